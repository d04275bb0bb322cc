"""Wide data frames of several libraries into observed matrices."""

from __future__ import annotations

import datetime
import decimal

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from mixmend.errors import DataError
from mixmend.observed.cells import CellTypeError
from mixmend.observed.convert import as_observed, from_dense
from mixmend.observed.matrix import ObservedMatrix

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

NAN = np.nan
COLUMNS = {"age": [31, None, 4], "dose": [0.5, NAN, None], "sick": [True, None, False]}
EXPECTED = [[31.0, 0.5, 1.0], [NAN, NAN, NAN], [4.0, NAN, 0.0]]

FRAMES = {
    "polars": lambda: pl.DataFrame(COLUMNS, strict=False),
    "polars lazy": lambda: pl.LazyFrame(COLUMNS, strict=False),
    "arrow": lambda: pa.table(COLUMNS),
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas arrow": lambda: pd.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
    "narwhals": lambda: nw.from_native(pl.DataFrame(COLUMNS, strict=False)),
}


@pytest.mark.parametrize("library", FRAMES)
def test_null_and_nan_are_holes_in_every_library(library):
    obs = as_observed(FRAMES[library]())
    assert obs.dtype == np.float64
    np.testing.assert_array_equal(obs.dense, EXPECTED)
    assert obs.column_labels.tolist() == ["age", "dose", "sick"]
    assert obs.column_labels.dtype.kind == "U"
    assert not obs.has_row_labels


def test_any_table_with_an_arrow_stream_is_taken():
    class Foreign:
        def __init__(self, table):
            self.table = table
            self.columns = table.column_names

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    np.testing.assert_array_equal(as_observed(Foreign(pa.table(COLUMNS))).dense, EXPECTED)


@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame, pa.table])
def test_narrow_floats_stay_narrow_and_a_mark_is_a_hole(library):
    columns = {"a": np.array([0.0, 1.5], np.float32), "b": np.array([-999, 0], np.float32)}
    obs = ObservedMatrix.from_frame(library(columns), missing=-999)
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs.dense, np.array([[0, NAN], [1.5, 0]], np.float32))
    np.testing.assert_array_equal(as_observed(library(columns), missing=0).dense[1], [1.5, NAN])
    columns["c"] = np.array([1, 2])
    assert ObservedMatrix.from_frame(library(columns)).dtype == np.float64


def test_a_column_of_nulls_says_nothing():
    frame = pl.DataFrame({"a": pl.Series([1.5, 2.5], dtype=pl.Float32), "b": [None, None]})
    obs = as_observed(frame)
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs.dense, [[1.5, NAN], [2.5, NAN]])
    alone = as_observed(frame.select("b"))
    assert alone.dtype == np.float64
    assert alone.n_observed == 0


def test_decimals_and_objects_of_numbers():
    two = decimal.Decimal("2.5")
    obs = as_observed(pa.table({"a": [two, None]}))
    np.testing.assert_array_equal(obs.dense, [[2.5], [NAN]])
    mixed = pd.DataFrame({"a": pd.Series([1, None, two], dtype=object), "b": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(as_observed(mixed).dense, [[1, 1], [NAN, 2], [2.5, 3]])


@pytest.mark.parametrize(
    ("frame", "rows", "columns"),
    [
        (pd.DataFrame(np.ones((2, 2))), None, None),
        (pd.DataFrame(np.ones((2, 2)), index=[0, 1], columns=[0, 1]), None, None),
        (pd.DataFrame(np.ones((2, 2)), index=[5, 7], columns=[1, 0]), [5, 7], [1, 0]),
        (pd.DataFrame(np.ones((2, 2)), index=["x", "y"]), ["x", "y"], None),
        (pd.DataFrame(np.ones((2, 2)), columns=[1, "a"]), None, [1, "a"]),
        (
            pd.DataFrame(np.ones((2, 2)), index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
            [("a", 1), ("b", 2)],
            None,
        ),
        (pd.DataFrame(np.ones((3, 2)))[1:], [1, 2], None),
    ],
)
def test_index_and_names_become_labels_unless_they_merely_count(frame, rows, columns):
    obs = as_observed(frame)
    assert obs.has_row_labels == (rows is not None)
    assert obs.has_column_labels == (columns is not None)
    assert obs.row_labels.tolist() == (rows or [0, 1])
    assert obs.column_labels.tolist() == (columns or [0, 1])


def test_weights_and_labels_beside_a_frame():
    frame = pl.DataFrame({"a": [1.0, 2.0]})
    assert as_observed(frame, row_weights=[1, 2]).row_weights.tolist() == [1.0, 2.0]
    named = from_dense(frame, row_labels=["u", "v"], row_weights=[3, 4])
    assert named.column_labels.tolist() == ["a"]
    assert named.row_labels.tolist() == ["u", "v"]
    assert named.row_weights.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame])
def test_the_frame_given_can_be_changed_afterwards(library):
    numbers = np.array([1.0, 2.0])
    frame = library({"a": numbers})
    obs = as_observed(frame)
    numbers[0] = 9.0
    if library is pd.DataFrame:
        frame.loc[0, "a"] = 9.0
    np.testing.assert_array_equal(obs.dense, [[1.0], [2.0]])


def message_of(frame, kind=DataError):
    with pytest.raises(kind) as caught:
        ObservedMatrix.from_frame(frame)
    return str(caught.value)


@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame, pa.table])
def test_a_text_column_is_named(library):
    said = message_of(library({"a": [1.0, 2.0], "city": ["Rome", "Oslo"]}))
    assert said == (
        "Column 'city' is not numeric (String, e.g. 'Rome'). Leave it out, or convert it to "
        "numbers first."
    )


def test_other_columns_that_are_not_numbers():
    said = message_of(pl.DataFrame({"day": [datetime.date(2024, 1, 2)]}))
    assert said.startswith("Column 'day' is not numeric (Date, e.g. datetime.date(2024, 1, 2))")
    said = message_of(pd.DataFrame({"kind": pd.Series(["x", "y"], dtype="category")}))
    assert said.startswith("Column 'kind' is not numeric (Categorical, e.g. 'x')")
    said = message_of(pl.DataFrame({"text": ["long " * 100]}))
    assert len(said) < 150
    mixed = pd.DataFrame({"b": [1, 2], "a": pd.Series([1, "x"], dtype=object)})
    mixed.index = [5, 6]
    assert message_of(mixed) == (
        "The matrix must hold numbers: row 1 (6), column 1 ('a') is 'x'. Convert text to numbers "
        "first, and leave out what is not a number."
    )
    holder = pd.DataFrame({"a": pd.Series([1, {}], dtype=object)})
    assert "column 0 ('a') is {}" in message_of(holder, CellTypeError)


def test_other_refusals():
    assert message_of(pl.DataFrame({"a": [1.0, np.inf]})) == (
        "Input contains infinity: row 1, column 0 ('a') is inf. "
        "Replace it by a number, or by NaN where the value is missing."
    )
    repeated = pd.DataFrame(np.ones((1, 2)), columns=["a", "a"])
    assert message_of(repeated) == (
        "Column 'a' occurs more than once: give columns distinct names."
    )
    with pytest.raises(DataError, match="Column 'a' occurs more than once"):
        as_observed(repeated)
    assert "0 sample(s) (shape=(0, 1))" in message_of(pl.DataFrame({"a": []}))
    assert "0 feature(s) (shape=(2, 0))" in message_of(pd.DataFrame(index=[0, 1]))
    assert message_of([[1.0]]) == (
        "from_frame needs a data frame (pandas, polars, Arrow, …); got list."
    )
    with pytest.raises(DataError, match="Expected 2D array, got 1D array instead, of 2 values"):
        as_observed(pl.Series([1, 2]))
