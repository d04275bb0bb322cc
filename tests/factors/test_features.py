"""Tables of features: what they become, how their lines are found, what is refused."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.factors.features import (
    FeatureEncoder,
    Levels,
    Number,
    fit_encoder,
    pose_features,
)

TABLE = {
    "id": ["e", "c", "b", "a", "z"],
    "age": [1.0, 2.0, None, 3.0, 9.0],
    "sex": ["M", "F", "M", None, "F"],
    "paid": [True, False, True, True, False],
    "genres": [["x"], ["x", "y"], [], ["y"], None],
}


def matrix(labels=("a", "b", "c", "e"), d=2):
    return mm.ObservedMatrix.from_dense(np.ones((len(labels), d)), row_labels=list(labels))


def expected():
    scale = np.sqrt(2 / 3)
    # lines in the order a, b, c, e: age, age missing, paid False and True, sex F and M, x, y
    return {
        "age": np.array([1 / scale, 0, 0, -1 / scale]),
        "age missing": np.array([0, 1, 0, 0]),
        "sex=F": np.array([0, 0, 1, 0]),
        "sex=M": np.array([0, 1, 0, 1]),
        "paid=False": np.array([0, 0, 1, 0]),
        "paid=True": np.array([1, 1, 0, 1]),
        "genres=x": np.array([0, 0, 1, 1]),
        "genres=y": np.array([1, 0, 1, 0]),
    }


@pytest.mark.parametrize("kind", ["dict", "polars", "lazy", "arrow", "pandas", "index"])
def test_every_table_becomes_the_same_numbers(kind):
    frame = pd.DataFrame(TABLE)
    table = {
        "dict": TABLE,
        "polars": pl.DataFrame(TABLE),
        "lazy": pl.LazyFrame(TABLE),
        "arrow": pl.DataFrame(TABLE).to_arrow(),
        "pandas": frame,
        "index": frame.set_index("id"),
    }[kind]
    encoder, features = pose_features(table, matrix(), "row")
    assert encoder.n_features == features.shape[1] == 8
    for name, column in zip(encoder.names, features.T, strict=True):
        assert np.allclose(column, expected()[name], atol=1e-12), name


def test_texts_are_split_into_tags_and_dates_are_numbers():
    table = {
        "genres": ["War|Comedy", "War", None, "Comedy| "],
        "code": pd.Categorical([1, 1, 2, 2]),
        "day": pl.Series(["2020-01-01", "2020-01-03", None, None]).str.to_date().to_list(),
    }
    encoder = fit_encoder(pl.DataFrame(table | {"code": ["1", "1", "2", "2"]}))
    assert encoder.names == (
        "genres=Comedy", "genres=War", "code=1", "code=2", "day", "day missing",
    )  # fmt: skip
    assert encoder.encode(pl.DataFrame(table | {"code": ["1", "1", "2", "2"]})).tolist() == [
        [1, 1, 1, 0, -1, 0],
        [0, 1, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 1],
        [1, 0, 0, 1, 0, 1],
    ]
    categories = fit_encoder(pd.DataFrame({"code": table["code"]}))
    assert categories.names == ("code=1", "code=2")  # names, even where they look like numbers


def test_rare_levels_share_a_feature_and_unseen_ones_are_zeros():
    values = ["a"] * 300 + ["b"] * 5 + ["c"] * 2 + ["d"]
    encoder = fit_encoder({"level": values})
    assert encoder.columns == (Levels("level", ("a", "b"), ("c", "d"), False),)
    assert encoder.names == ("level=a", "level=b", "level=rare")
    coded = encoder.encode({"level": ["b", "d", "new", None], "more": [1, 2, 3, 4]})
    assert coded.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    many = fit_encoder({"level": [f"{k:03d}" for k in range(103) for _ in range(2)] + ["000"]})
    assert many.n_features == 101
    assert many.names[0] == "level=000"
    assert many.columns[0].rare == ("100", "101", "102")


def test_new_lines_are_encoded_as_the_fit_learned():
    encoder = fit_encoder({"age": [10.0, 20.0, 30.0]})
    assert encoder.columns == (Number("age", 20.0, float(np.sqrt(200 / 3)), False),)
    coded = encoder.encode({"age": [20.0 + np.sqrt(200 / 3), None]})
    assert coded.ravel() == pytest.approx([1.0, 0.0])
    assert fit_encoder({"same": [5, 5, 5]}).encode({"same": [5, 7]}).tolist() == [[0.0], [2.0]]
    with pytest.raises(DataError) as failure:
        encoder.encode({"age": ["old"]})
    assert str(failure.value) == (
        "Column 'age' of row_features held numbers when the model was fitted; now it holds 'old'."
    )
    with pytest.raises(DataError) as failure:
        encoder.encode({"Age": [3]})
    assert str(failure.value) == (
        "row_features lacks the column 'age' that the model was fitted with. Add it; single cells "
        "may be empty."
    )


def test_encoders_come_back_from_headers():
    encoder, _ = pose_features(TABLE, matrix(), "row")
    assert FeatureEncoder.from_header(json.loads(json.dumps(encoder.to_header()))) == encoder


def test_lines_are_found_by_label_with_others_left_aside():
    encoder, features = pose_features(TABLE, matrix(), "row")
    table = {"age": [2.0, 9.0], "sex": ["F", None], "paid": [None, True], "genres": [None, []]}
    # no label column this time: by position
    _, again = pose_features(table, matrix(("p", "q")), "row", encoder=encoder)
    assert again[0, :2].tolist() == features[2, :2].tolist()
    by_label = {"age": [9.0, 2.0], "id": ["q", "p"]} | {
        key: table[key][::-1] for key in ("sex", "paid", "genres")
    }
    _, turned = pose_features(by_label, matrix(("p", "q")), "row", encoder=encoder)
    assert np.array_equal(turned, again)


def test_numbers_find_labels_of_text():
    _, features = pose_features({"id": [2, 1], "v": [1.0, 3.0]}, matrix(("1", "2")), "row")
    assert features.ravel().tolist() == [1.0, -1.0]


def test_columns_have_features_too():
    obs = mm.ObservedMatrix.from_dense(np.ones((2, 3)), column_labels=["x", "y", "z"])
    encoder, features = pose_features({"c": ["z", "x", "y"], "v": [3, 1, 2]}, obs, "column")
    assert features.ravel() == pytest.approx(np.sqrt(1.5) * np.array([-1, 0, 1]))
    assert encoder.axis == "column"


def test_arrays_are_taken_by_position():
    encoder, features = pose_features(np.array([[1, 0], [3, 0], [1, 4], [3, 4]]), matrix(), "row")
    assert encoder.names == ("x0", "x1")
    assert features.tolist() == [[-1, -1], [1, -1], [-1, 1], [1, 1]]
    encoder, _ = pose_features([["u", 1], ["v", 2], ["u", 3], ["v", None]], matrix(), "row")
    assert encoder.names == ("x0=u", "x0=v", "x1", "x1 missing")


def test_rows_without_a_line_can_be_unknown():
    obs = matrix(("a", "b", "nobody"))
    _, features = pose_features({"id": ["a", "b"], "v": [1, 3]}, obs, "row", missing="unknown")
    assert features.ravel().tolist() == [-1, 1, 0]


def test_new_rows_may_all_be_unknown_but_not_all_rows_of_a_fit():
    table = {"id": ["a", "b"], "v": [1, 3]}
    encoder, _ = pose_features(table, matrix(("a", "b")), "row")
    new = matrix(("nobody", "either"))
    _, features = pose_features(table, new, "row", missing="unknown", encoder=encoder)
    assert features.ravel().tolist() == [0, 0]
    for more in ({"missing": "unknown"}, {"encoder": encoder}):
        with pytest.raises(DataError, match=r"^No row label of the matrix, such as 'nobody', 'ei"):
            pose_features(table, new, "row", **more)


BAD = [
    (
        {"id": ["a", "b", "c"], "v": [1, 2, 3]},
        "1 row has no line in row_features: 'e'. Add it, or pass missing_features='unknown' to "
        "fit as though nothing were known of such rows.",
    ),
    (
        {"id": ["a"], "v": [1]},
        "3 rows have no line in row_features: 'b', 'c', 'e'. Add them, or pass "
        "missing_features='unknown' to fit as though nothing were known of such rows.",
    ),
    (
        {"age": [1, 2, 3, 4], "v": [1, 2, 3, 4]},
        "No row label of the matrix, such as 'a', 'b', 'c', …, is among those of row_features, "
        "such as 1, 2, 3, … (from its first column, 'age'). Give the labels there, or features as "
        "an array in the order of the matrix.",
    ),
    (
        pd.DataFrame({"v": [1, 2]}, index=["p", "q"]),
        "No row label of the matrix, such as 'a', 'b', 'c', …, is among those of row_features, "
        "such as 'p', 'q' (from its index). Give the labels there, or features as an array in "
        "the order of the matrix.",
    ),
    (
        {"id": ["a", "b", "c", "e", "b"], "v": [1, 2, 3, 4, 5]},
        "row_features: row label 'b' occurs more than once: rows and columns can only be looked "
        "up by labels that are distinct.",
    ),
    (
        {"id": ["a", "b", "c", None], "v": [1, 2, 3, 4]},
        "row_features has no label in line 3 of column 'id', its first, from which labels are "
        "taken.",
    ),
    (
        np.ones((3, 2)),
        "row_features has 3 lines, the matrix 4 rows: without labels on both sides they are "
        "matched by position and must be equally many.",
    ),
    (np.ones(4), "row_features must be a data frame, a dict of columns or a two-dimensional "
     "array; got ndarray of 1 dimensions."),
    ([[1], [1, 2]], "row_features must be a data frame, a dict of columns or a two-dimensional "
     "array; its lines differ in length."),
    ({}, "row_features has no columns."),
    ({"v": []}, "row_features has no lines."),
    ({"v": "abcd"}, "Column 'v' of row_features must be a sequence; got 'abcd'."),
    (
        {"id": ["a", "b"], "v": [1]},
        "The columns of row_features differ in length: 'id' has 2 lines, 'v' has 1.",
    ),
    (
        {"id": ["a", "b", "c", "e"], "v": [1, np.inf, 3, 4]},
        "row_features holds an infinite number in column 'v', line 1: replace it, or leave the "
        "cell empty.",
    ),
    (
        {"id": ["a", "b", "c", "e", "f"], "v": [None, None, None, None, 3]},
        "Column 'v' of row_features is empty on every line that is used: leave it out.",
    ),
    (
        {"id": ["a", "b", "c", "e"], "v": [None] * 4},
        "Column 'v' of row_features is empty on every line that is used: leave it out.",
    ),
    (
        {"id": ["a", "b", "c", "e"], "v": [["x"], "x", "y", None]},
        "Column 'v' of row_features mixes lists with other values: give lists everywhere.",
    ),
    ({"id": ["a", "b", "c", "e"]}, "row_features has no column that says anything."),
]  # fmt: skip


@pytest.mark.parametrize(("table", "text"), BAD)
def test_tables_that_cannot_be_used_are_named(table, text):
    with pytest.raises(DataError) as failure:
        pose_features(table, matrix(), "row")
    assert str(failure.value) == text


def test_what_else_is_refused_or_said():
    with pytest.raises(MixmendError) as failure:
        pose_features(TABLE, matrix(), "row", missing="drop")
    assert str(failure.value) == ("missing_features must be one of 'error', 'unknown'; got 'drop'.")
    with pytest.warns(UserWarning, match="title") as told:
        encoder = fit_encoder({"title": ["p", "q", "r"], "v": [1, 2, 3]})
    assert str(told[0].message) == (
        "Column 'title' of row_features is left out: each of its 3 levels stands on very few "
        "lines, so that nothing can be learned of them."
    )
    assert encoder.names == ("v",)
