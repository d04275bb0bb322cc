"""Labels looked up, and new matrices lined up with a model's columns."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from mixmend.errors import DataError
from mixmend.observed.labels import align_columns, positions
from mixmend.observed.matrix import ObservedMatrix

NAN = np.nan


@pytest.mark.parametrize(
    ("labels", "wanted", "found"),
    [
        ([10, 42, 7], [7, 42, 42], [2, 1, 1]),
        ([10, 42, 7], ["42", np.int8(10)], [1, 0]),
        ([10, 42, 7], "42", [1]),
        ([10, 42, 7], 42, [1]),
        (["10", "42"], [42, "10"], [1, 0]),
        (["10", "42"], np.array([42.0]), [1]),
        (np.array([10.0, 42.0]), ["42", 10], [1, 0]),
        (np.array([1, "1"], object), [1, "1"], [0, 1]),
        (np.array(["2024-01-02", "2024-03-04"], "M8[D]"), ["2024-03-04"], [1]),
        (np.array(["2024-01-02"], "M8[D]"), [datetime.date(2024, 1, 2)], [0]),
        ([("a", 1), ("b", 2)], [("b", 2)], [1]),
        (["a"], [], []),
    ],
)
def test_labels_are_found_as_they_are_or_by_their_text(labels, wanted, found):
    got = positions(labels, wanted)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, found)


@pytest.mark.parametrize(
    ("labels", "wanted", "what", "message"),
    [
        (
            ["ann", "bob"],
            ["eve"],
            "row",
            "1 unknown row label: 'eve'. Known are such as 'ann', 'bob'.",
        ),
        (
            [1, 2, 3, 4],
            ["9", 1, 8, 7, 6, 5, 0],
            "column",
            "6 unknown column labels: '9', 8, 7, 6, 5, …. Known are such as 1, 2, 3.",
        ),
        (
            ["a", "b", "a"],
            ["b"],
            "column",
            "column label 'a' occurs more than once: rows and columns can only be looked up by "
            "labels that are distinct.",
        ),
        (
            np.array([1, "1"], object),
            [np.str_("1 ").strip(), 1.0, "01"],
            "row",
            "1 unknown row label: '01'. Known are such as 1, '1'.",
        ),
    ],
)
def test_unknown_and_repeated_labels(labels, wanted, what, message):
    with pytest.raises(DataError) as caught:
        positions(labels, wanted, what)
    assert str(caught.value) == message


def test_a_text_that_fits_two_labels_is_refused():
    table = np.empty(2, object)
    table[:] = [_Named("x", 1), _Named("x", 2)]
    with pytest.raises(DataError, match="row label 'x' fits more than one label: give its type"):
        positions(table, ["x"])


class _Named:
    def __init__(self, name, number):
        self.name, self.number = name, number

    def __str__(self):
        return self.name


def new_rows(stored_dense, **kwargs):
    X = [[1.0, 2.0, NAN], [NAN, 0.0, 3.0]]
    if stored_dense:
        return ObservedMatrix.from_dense(X, **kwargs)
    return ObservedMatrix.from_triplets([0, 0, 1, 1], [0, 1, 1, 2], [1, 2, 0, 3], **kwargs)


@pytest.mark.parametrize("stored_dense", [True, False])
def test_columns_are_put_in_the_models_order(stored_dense):
    obs = new_rows(
        stored_dense, column_labels=["c", "a", "b"], row_labels=["u", "v"], row_weights=[1, 2]
    )
    got = align_columns(obs, ["a", "b", "x", "c"])
    np.testing.assert_array_equal(got.dense, [[2.0, NAN, NAN, 1.0], [0.0, 3.0, NAN, NAN]])
    assert got.is_stored_dense == stored_dense
    assert got.column_labels.tolist() == ["a", "b", "x", "c"]
    assert got.row_labels.tolist() == ["u", "v"]
    assert got.row_weights.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(got.by_row.indices, [0, 3, 0, 1])


@pytest.mark.parametrize("stored_dense", [True, False])
def test_unknown_columns_are_an_error_or_dropped(stored_dense):
    obs = new_rows(stored_dense, column_labels=["c", "a", "b"])
    with pytest.raises(DataError) as caught:
        align_columns(obs, ["a", "z"])
    assert str(caught.value) == (
        "2 unknown column labels: 'c', 'b'. Known are such as 'a', 'z'. "
        "Pass unknown='drop' to leave such columns out."
    )
    got = align_columns(obs, ["a", "z"], unknown="drop")
    np.testing.assert_array_equal(got.dense, [[2.0, NAN], [0.0, NAN]])
    nothing = align_columns(obs, ["y", "z"], unknown="drop")
    assert nothing.n_observed == 0
    assert nothing.shape == (2, 2)
    with pytest.raises(DataError, match="unknown must be 'error' or 'drop'; got 'keep'"):
        align_columns(obs, ["a"], unknown="keep")


def test_what_fits_already_is_not_copied():
    obs = new_rows(True, column_labels=[5, 6, 7])
    assert align_columns(obs, [5, 6, 7]) is obs
    assert align_columns(obs, ["5", "6", "7"]) is obs
    assert align_columns(obs, None) is obs
    plain = new_rows(True)
    assert align_columns(plain, ["a", "b", "c"]) is plain


def test_columns_that_cannot_be_matched():
    with pytest.raises(DataError) as caught:
        align_columns(new_rows(True), ["a", "b"])
    assert str(caught.value) == (
        "The matrix has 3 columns without labels, the model 2. Label the columns "
        "(with_labels(column_labels=...)) so that they can be matched."
    )
    twice = new_rows(True, column_labels=["a", "b", "a"])
    with pytest.raises(DataError, match="Column 'a' occurs more than once in the new matrix"):
        align_columns(twice, ["a", "b"])
