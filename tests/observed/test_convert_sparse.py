"""scipy.sparse into observed matrices and back: stored means observed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from mixmend.errors import DataError
from mixmend.observed.convert import as_observed, from_sparse

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def stored_cells(rng, n=12, d=9):
    """Rows, columns and values of cells to store, zeros among the values."""
    rows, columns = np.nonzero(rng.random((n, d)) < 0.4)
    values = rng.integers(-1, 3, len(rows)).astype(np.float64)
    assert (values == 0).any()
    return rows, columns, values


@pytest.mark.parametrize("kind", [sparse.coo_array, sparse.coo_matrix])
@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_explicit_zeros_stay_observed(rng, form, kind):
    rows, columns, values = stored_cells(rng)
    expected = np.full((12, 9), np.nan)
    expected[rows, columns] = values
    shuffled = rng.permutation(len(rows))
    S = kind((values[shuffled], (rows[shuffled], columns[shuffled])), shape=(12, 9))
    obs = as_observed(S.asformat(form))
    np.testing.assert_array_equal(obs.dense, expected)
    assert obs.n_observed == len(values)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_what_its_stored_cells_say(rng, form):
    dense = rng.integers(1, 5, (6, 6)).astype(np.float32)
    dense[rng.random((6, 6)) < 0.5] = 0
    S = sparse.csr_array(dense).asformat(form)
    obs = as_observed(S)
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs.to_dense(missing=0.0), dense)
    if form in ("csr", "csc", "coo", "lil", "dok"):
        assert obs.n_observed == np.count_nonzero(dense)


def test_zeros_set_in_a_lil_matrix_or_stored_in_a_diagonal_or_block_count():
    lil = sparse.lil_array((2, 2))
    lil.rows[0], lil.data[0] = [1], [0.0]
    np.testing.assert_array_equal(as_observed(lil).dense, [[np.nan, 0.0], [np.nan] * 2])
    dia = sparse.dia_array((np.array([[1.0, 0.0, 3.0], [7.0, 0.0, 9.0]]), [0, 1]), shape=(3, 3))
    expected = [[1.0, 0.0, np.nan], [np.nan, 0.0, 9.0], [np.nan, np.nan, 3.0]]
    np.testing.assert_array_equal(as_observed(dia).dense, expected)
    low = sparse.dia_array((np.array([[0.0, 5.0, 6.0]]), [-1]), shape=(3, 2))
    np.testing.assert_array_equal(
        as_observed(low).dense, [[np.nan] * 2, [0.0, np.nan], [np.nan, 5.0]]
    )
    bsr = sparse.bsr_array((np.array([[[0.0, 2.0]]]), [1], [0, 1, 1]), shape=(2, 4))
    np.testing.assert_array_equal(
        as_observed(bsr).dense, [[np.nan, np.nan, 0.0, 2.0], [np.nan] * 4]
    )


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_there_and_back(rng, form):
    rows, columns, values = stored_cells(rng)
    obs = from_sparse(sparse.coo_array((values, (rows, columns)), shape=(12, 9)))
    again = from_sparse(obs.to_sparse().asformat(form))
    for mine, its in zip(obs.by_row, again.by_row, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(
    ("given", "stored"),
    [(np.float32, np.float32), (np.int8, np.float64), (bool, np.float64), (np.int64, np.float64)],
)
def test_types_of_values(given, stored):
    obs = as_observed(sparse.csr_array(np.array([[1, 0], [0, 1]], given)))
    assert obs.dtype == stored
    np.testing.assert_array_equal(obs.by_row.values, [1.0, 1.0])


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_the_matrix_given_can_be_changed_afterwards(form):
    S = sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]).asformat(form)
    obs = as_observed(S)
    S.data[:] = 9.0
    np.testing.assert_array_equal(obs.by_row.values, [1.0, 2.0, 3.0])
    assert S.nnz == 3


def test_unsorted_indices_are_put_in_order_without_touching_the_given():
    S = sparse.csr_array((np.array([5.0, 4.0]), np.array([3, 1]), np.array([0, 2])), shape=(1, 4))
    obs = as_observed(S)
    np.testing.assert_array_equal(obs.by_row.indices, [1, 3])
    np.testing.assert_array_equal(obs.by_row.values, [4.0, 5.0])
    np.testing.assert_array_equal(S.indices, [3, 1])


def test_a_named_mark_drops_stored_cells():
    S = sparse.coo_array(([0.0, 2.0, -9.0], ([0, 0, 1], [0, 1, 1])), shape=(2, 2))
    assert as_observed(S, missing=0).n_observed == 2
    np.testing.assert_array_equal(as_observed(S, missing=-9).dense, [[0.0, 2.0], [np.nan] * 2])


def test_labels_and_weights_are_taken():
    S = sparse.csr_array([[1.0, 0.0]])
    obs = from_sparse(S, row_labels=["u"], column_labels=["a", "b"], row_weights=[2.0])
    assert obs.row_labels.tolist() == ["u"]
    assert obs.column_labels.tolist() == ["a", "b"]
    assert as_observed(S, row_weights=[3.0]).row_weights.tolist() == [3.0]


@pytest.mark.parametrize(
    ("S", "message"),
    [
        (
            sparse.coo_array(([1.0, 2.0, 4.0], ([1, 1, 0], [0, 0, 0])), shape=(2, 1)),
            "row 1, column 0 is stored more than once in the sparse matrix. Call its "
            "sum_duplicates() if they are to be added, or use from_triplets(..., "
            "duplicates='first').",
        ),
        (
            sparse.csr_array(([1.0, np.nan], ([0, 2], [0, 1])), shape=(3, 2)),
            "row 2, column 1 is stored as NaN, but in a sparse matrix stored means observed. "
            "Remove the stored NaN, or use from_dense if NaN marks holes.",
        ),
        (
            sparse.csc_array(([1.0, np.inf], ([0, 2], [0, 1])), shape=(3, 2)),
            "Input contains infinity: row 2, column 1 is inf. "
            "Replace it by a number, or by NaN where the value is missing.",
        ),
        (
            sparse.csr_array(np.array([[1j]])),
            "Complex data not supported: the sparse matrix holds complex128.",
        ),
        (
            sparse.csr_array((0, 3)),
            "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is required.",
        ),
        (
            sparse.csr_array((3, 0)),
            "Found array with 0 feature(s) (shape=(3, 0)) while a minimum of 1 is required.",
        ),
        (
            sparse.coo_array([1.0, 0.0]),
            "Expected 2D array, got a sparse array with shape (2,). Reshape your data: "
            "S.reshape(1, -1) if it is a single row.",
        ),
    ],
    ids=str,
)
def test_refused_with_cause_and_cure(S, message):
    with pytest.raises(DataError) as caught:
        as_observed(S)
    assert str(caught.value) == message


def test_from_sparse_refuses_what_is_not_sparse():
    with pytest.raises(DataError, match=r"needs a scipy\.sparse matrix; got list\."):
        from_sparse([[1.0]])
