"""Dense data, in every guise, into observed matrices; and what `as_observed` refuses."""

from __future__ import annotations

import fractions
import re

import numpy as np
import pytest

from mixmend.errors import DataError
from mixmend.observed.cells import CellTypeError
from mixmend.observed.convert import as_observed, from_dense
from mixmend.observed.matrix import ObservedMatrix

NAN = np.nan


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.longdouble, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.bool_, np.float64),
        (">f8", np.float64),
        (">f4", np.float32),
    ],
)
def test_types_of_values(given, stored):
    X = np.array([[0, 1], [1, 0], [1, 1]]).astype(given)
    obs = as_observed(X)
    assert obs.dtype == stored
    assert obs.dense.dtype.isnative
    np.testing.assert_array_equal(obs.dense, X.astype(float))
    assert obs.n_observed == 6  # zeros are values


def test_lists_and_objects_with_none():
    expected = [[1.0, NAN], [0.0, 2.5]]
    for X in (
        [[1, None], [0, 2.5]],
        ((1, NAN), (0, 2.5)),
        np.array([[1, None], [False, fractions.Fraction(5, 2)]], object),
    ):
        obs = as_observed(X)
        assert obs.dtype == np.float64
        np.testing.assert_array_equal(obs.dense, expected)


def test_pandas_na_in_an_object_array():
    pd = pytest.importorskip("pandas")
    X = np.array([[1, pd.NA], [pd.NaT, 2]], object)
    np.testing.assert_array_equal(as_observed(X).dense, [[1.0, NAN], [NAN, 2.0]])


def test_masked_arrays_hide_whatever_is_under_the_mask():
    data = np.array([[1.0, np.inf], [NAN, 4.0]])
    X = np.ma.masked_array(data, mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(as_observed(X).dense, [[1.0, NAN], [NAN, 4.0]])
    np.testing.assert_array_equal(data, [[1.0, np.inf], [NAN, 4.0]])
    integers = np.ma.masked_equal([[1, 0], [2, 3]], 0)
    np.testing.assert_array_equal(as_observed(integers).dense, [[1.0, NAN], [2.0, 3.0]])
    unmasked = np.ma.masked_array([[1.0, 2.0]])
    np.testing.assert_array_equal(as_observed(unmasked).dense, [[1.0, 2.0]])
    objects = np.ma.masked_array(np.array([[1, "a"]], object), mask=[[0, 1]])
    np.testing.assert_array_equal(as_observed(objects).dense, [[1.0, NAN]])


@pytest.mark.parametrize("missing", [0, -999, np.float64(-0.1), np.inf])
def test_a_named_mark_is_a_hole_beside_nan(missing):
    X = np.array([[missing, 1.0], [NAN, 0.5]])
    for array in (X, X.astype(np.float32), X.tolist(), np.asfortranarray(X)):
        np.testing.assert_array_equal(
            as_observed(array, missing=missing).dense, [[NAN, 1.0], [NAN, 0.5]]
        )
    assert X[0, 0] == missing  # the caller's array is as it was


def test_the_mark_none_is_no_mark():
    assert as_observed([[0.0, NAN]], missing=None).n_observed == 1


@pytest.mark.parametrize("missing", ["?", True, [0, 1]])
def test_a_mark_must_be_a_number(missing):
    with pytest.raises(DataError) as caught:
        as_observed([[1.0]], missing=missing)
    assert str(caught.value) == (
        f"missing must be a number, such as 0, -999 or NaN; got {missing!r}."
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_array_given_can_be_changed_afterwards(order):
    X = np.array([[1.0, 2.0], [3.0, NAN]], order=order)
    obs = as_observed(X)
    X[:] = 9.0
    np.testing.assert_array_equal(obs.dense, [[1.0, 2.0], [3.0, NAN]])
    assert X.flags.writeable


def test_without_a_copy_the_memory_is_shared_and_never_written():
    X = np.array([[1.0, 0.0], [3.0, NAN]])
    assert np.shares_memory(as_observed(X, copy=False).dense, X)
    marked = as_observed(X, missing=0, copy=False)
    assert not np.shares_memory(marked.dense, X)
    assert X[0, 1] == 0.0
    X.flags.writeable = False
    assert as_observed(X, missing=0, copy=False).n_observed == 2


def test_labels_and_weights_are_taken():
    obs = from_dense([[1.0], [2.0]], row_labels=["a", "b"], row_weights=[1, 3])
    np.testing.assert_array_equal(obs.row_labels, ["a", "b"])
    np.testing.assert_array_equal(as_observed([[1], [2]], row_weights=[2, 4]).row_weights, [2, 4])


def test_an_observed_matrix_comes_back_as_it_is():
    obs = ObservedMatrix.from_dense([[0.0, NAN]])
    assert as_observed(obs) is obs
    assert as_observed(obs, missing=0) is obs  # its holes are known: no mark applies
    weighted = as_observed(obs, row_weights=[3.0])
    np.testing.assert_array_equal(weighted.row_weights, [3.0])
    assert obs.row_weights is None
    with pytest.raises(DataError, match=re.escape("0 sample(s) (shape=(0, 2))")):
        as_observed(obs[[]])


RESHAPE = (
    "Reshape your data either using array.reshape(-1, 1) if it has a single column or "
    "array.reshape(1, -1) if it is a single row."
)
COMPLEX = (
    "Complex data not supported: the matrix holds complex numbers. "
    "Give real and imaginary parts as columns of their own (X.real, X.imag)."
)
NUMBERS = "Convert text to numbers first, and leave out what is not a number."


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (5.0, f"Expected 2D array, got scalar array instead: 5.0. {RESHAPE}"),
        ([1.0, 2.0], f"Expected 2D array, got 1D array instead, of 2 values. {RESHAPE}"),
        (
            np.zeros((2, 3, 4)),
            "Found array with dim 3, while dim <= 2 is required (shape=(2, 3, 4)). "
            "Reshape your data to rows and columns, e.g. X.reshape(len(X), -1).",
        ),
        (
            np.zeros((0, 3)),
            "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is required.",
        ),
        (
            np.zeros((12, 0)),
            "Found array with 0 feature(s) (shape=(12, 0)) while a minimum of 1 is required.",
        ),
        ([[1.0, 2.0], [3.0]], None),
        ([[1j]], COMPLEX),
        (
            np.array([[1.0, 1j]], object),
            "Complex data not supported: row 0, column 1 is 1j.",
        ),
        (
            [[1.0, 2.0], [3.0, "x"]],
            f"The matrix must hold numbers: row 1, column 1 is 'x'. {NUMBERS}",
        ),
        (
            np.array([["1", "2"], ["3", "x"]]),
            f"The matrix must hold numbers: row 1, column 1 is 'x'. {NUMBERS}",
        ),
        (
            np.array([["1", "2"]]),
            f"The matrix must hold numbers: row 0, column 0 is '1'. {NUMBERS}",
        ),
        (
            np.array([["2024-01-01"]], "M8[D]"),
            "The matrix must hold numbers: row 0, column 0 is datetime.date(2024, 1, 1). "
            f"{NUMBERS}",
        ),
        (
            [[1.0, 2.0], [3.0, -np.inf]],
            "Input contains infinity: row 1, column 1 is -inf. "
            "Replace it by a number, or by NaN where the value is missing.",
        ),
        (
            "ratings.csv",
            "Expected a matrix, got the text 'ratings.csv'. "
            "Read a file first: mixmend.read_ratings(path).",
        ),
        (
            {"a": [1]},
            "Expected a matrix, got a dict. Make a data frame of it first: polars.DataFrame(X).",
        ),
        (None, "Expected a matrix, got None."),
    ],
    ids=str,
)
def test_refused_with_cause_and_cure(X, message):
    message = message or (
        "All rows must be equally long: row 0 has 2 values, row 1 has 1. "
        "Put None or NaN where a value is missing."
    )
    with pytest.raises(DataError) as caught:
        as_observed(X)
    assert str(caught.value) == message


def test_errors_name_labels_where_there_are_any():
    with pytest.raises(DataError, match=re.escape("row 1 ('b'), column 0 ('age') is inf")):
        from_dense([[1.0], [np.inf]], row_labels=["a", "b"], column_labels=["age"])


def test_infinity_is_found_beyond_the_first_block(monkeypatch):
    from mixmend.observed import compressed

    monkeypatch.setattr(compressed, "BLOCK_CELLS", 4)
    X = np.ones((9, 3))
    X[7, 2] = np.inf
    with pytest.raises(DataError, match=re.escape("row 7, column 2 is inf")):
        as_observed(X)


def test_an_object_that_is_no_number_is_also_a_type_error():
    X = np.array([[1.0, {"foo": "bar"}]], object)
    with pytest.raises(CellTypeError, match=r"argument must be .* string.* number") as caught:
        as_observed(X)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, DataError)
    assert "row 0, column 1 is {'foo': 'bar'}" in str(caught.value)


def test_from_dense_refuses_sparse():
    from scipy import sparse

    with pytest.raises(DataError, match="use from_sparse"):
        from_dense(sparse.csr_array([[1.0]]))


def test_anything_with_an_array_form_is_taken():
    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return np.array([[1.0, NAN]])

    np.testing.assert_array_equal(as_observed(Foreign()).dense, [[1.0, NAN]])
    with pytest.raises(DataError, match="Expected 2D array, got scalar array instead"):
        as_observed(object())
