"""Two files put on one set of rows and columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.errors import DataError
from mixmend.evaluation import align_labels
from mixmend.observed.matrix import ObservedMatrix

CELLS = st.dictionaries(
    st.tuples(st.integers(-3, 9), st.integers(0, 5)), st.floats(-5, 5), min_size=1, max_size=25
)


def matrix_of(cells, kind):
    rows = np.array([kind(u) for u, _ in cells], dtype=object if kind is str else np.int64)
    columns = np.array([kind(i) for _, i in cells], dtype=object)
    labels, at = np.unique(rows, return_inverse=True)
    names, place = np.unique(columns.astype(str), return_inverse=True)
    return ObservedMatrix.from_triplets(
        at,
        place,
        list(cells.values()),
        (len(labels), len(names)),
        row_labels=labels,
        column_labels=names,
    )


@given(CELLS, CELLS, st.sampled_from([str, int]))
def test_every_entry_keeps_its_labels(first, second, kind):
    aligned = align_labels(matrix_of(first, kind), matrix_of(second, kind))
    assert aligned[0].shape == aligned[1].shape
    for matrix, cells in zip(aligned, (first, second), strict=True):
        rows, columns, values = matrix.entries()
        found = {
            (int(matrix.row_labels[u]), int(matrix.column_labels[i])): x
            for u, i, x in zip(rows, columns, values, strict=True)
        }
        assert found == cells
        np.testing.assert_array_equal(matrix.row_labels, aligned[0].row_labels)
        np.testing.assert_array_equal(matrix.column_labels, aligned[0].column_labels)
    assert set(aligned[0].row_labels.astype(int)) == {u for u, _ in first} | {u for u, _ in second}
    before = matrix_of(first, kind)
    np.testing.assert_array_equal(aligned[0].row_labels[: before.shape[0]], before.row_labels)


def test_positions_count_where_there_are_no_labels():
    small = ObservedMatrix.from_dense(np.array([[1.0, 2.0]], np.float32))
    large = ObservedMatrix.from_dense([[np.nan, 1.0, 5.0], [7.0, np.nan, np.nan]])
    one, two = align_labels(small, large)
    assert one.shape == two.shape == (2, 3)
    assert not one.has_row_labels
    np.testing.assert_array_equal(one.dense, [[1, 2, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(two.dense, large.dense)
    assert one.dtype == np.float32


def test_row_weights_travel():
    one = ObservedMatrix.from_dense([[1.0], [2.0]], row_labels=["a", "b"], row_weights=[3, 4])
    two = ObservedMatrix.from_dense([[5.0]], row_labels=["c"])
    one, two = align_labels(one, two)
    assert one.row_weights.tolist() == [3, 4, 1]
    assert two.row_weights is None


def test_empty_and_single_matrices_pass():
    empty = ObservedMatrix.from_triplets([], [], [], (0, 0))
    full = ObservedMatrix.from_dense([[1.0]], row_labels=["a"], column_labels=["x"])
    one, two = align_labels(empty, full)
    assert one.shape == (1, 1)
    assert one.n_observed == 0
    assert two.dense.tolist() == [[1.0]]
    assert align_labels(full)[0].row_labels.tolist() == ["a"]


def test_repeated_labels_are_refused():
    twice = ObservedMatrix.from_dense([[1.0], [2.0]], row_labels=["a", "a"])
    with pytest.raises(DataError) as caught:
        align_labels(twice, twice)
    assert str(caught.value) == (
        "row label a occurs more than once in a matrix; labels must differ to be aligned."
    )


def test_numbers_meet_text_as_text():
    number = ObservedMatrix.from_dense([[1.0, 2.0]], column_labels=[42, 7])
    text = ObservedMatrix.from_dense([[3.0, 4.0]], column_labels=["x", "42"])
    one, two = align_labels(number, text)
    assert one.column_labels.tolist() == two.column_labels.tolist() == ["42", "7", "x"]
    np.testing.assert_array_equal(one.dense, [[1, 2, np.nan]])
    np.testing.assert_array_equal(two.dense, [[4, np.nan, 3]])
    whole = ObservedMatrix.from_dense([[1.0]], column_labels=np.array([1], np.int32))
    assert align_labels(whole, number)[0].column_labels.dtype.kind == "i"
