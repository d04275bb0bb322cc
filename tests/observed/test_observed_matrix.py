"""`ObservedMatrix`: its views, slices and derived matrices, and that it cannot be changed."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import DataError
from mixmend.observed import compressed
from mixmend.observed.compressed import Compressed
from mixmend.observed.matrix import ObservedMatrix

NAN = np.nan


@pytest.fixture
def table(rng):
    """17 × 6 with holes, explicit zeros, an empty row and an empty column."""
    X = rng.normal(size=(17, 6))
    X[rng.random(X.shape) < 0.4] = NAN
    X[2, 1] = X[5, 3] = 0.0
    X[7], X[:, 4] = NAN, NAN
    return X


@pytest.fixture(params=["dense", "by row"])
def obs(request, table):
    """The same table, stored either way, with labels and weights."""
    names = {
        "row_labels": [f"r{u}" for u in range(17)],
        "column_labels": [f"c{i}" for i in range(6)],
        "row_weights": np.arange(17.0),
    }
    if request.param == "dense":
        return ObservedMatrix.from_dense(table, **names)
    rows, columns = np.nonzero(~np.isnan(table))
    return ObservedMatrix.from_triplets(rows, columns, table[rows, columns], (17, 6), **names)


def test_views_agree_with_the_table(obs, table):
    seen = ~np.isnan(table)
    np.testing.assert_array_equal(obs.dense, table)
    np.testing.assert_array_equal(np.asarray(obs), table)
    rows, columns, values = obs.entries()
    np.testing.assert_array_equal(np.stack([rows, columns]), np.nonzero(seen))
    np.testing.assert_array_equal(values, table[seen])
    np.testing.assert_array_equal(obs.by_row.pointers, np.append(0, np.cumsum(seen.sum(1))))
    np.testing.assert_array_equal(obs.by_column.pointers, np.append(0, np.cumsum(seen.sum(0))))
    np.testing.assert_array_equal(obs.by_column.indices, np.nonzero(seen.T)[1])
    np.testing.assert_array_equal(obs.by_column.values, table.T[seen.T])
    for view in (obs.by_row, obs.by_column):
        assert view.pointers.dtype == np.int64
        assert view.indices.dtype == np.int32


def test_counts_agree_with_the_table_before_and_after_views_are_derived(obs, table):
    seen = ~np.isnan(table)
    for _ in range(2):
        np.testing.assert_array_equal(obs.row_counts, seen.sum(1))
        np.testing.assert_array_equal(obs.column_counts, seen.sum(0))
        assert obs.n_observed == seen.sum()
        assert obs.density == seen.mean()
        assert not obs.is_complete
        obs = obs.with_row_weights(None)
        obs.by_row, obs.by_column  # noqa: B018 (derives them)
    again = obs.select_rows(slice(None))
    again.by_row, again.by_column  # noqa: B018
    np.testing.assert_array_equal(again.row_counts, seen.sum(1))
    np.testing.assert_array_equal(again.column_counts, seen.sum(0))


def test_views_are_right_when_worked_in_many_blocks(table, monkeypatch):
    expected = ObservedMatrix.from_dense(table)
    want = (expected.by_row, expected.column_counts, expected.row_counts)
    monkeypatch.setattr(compressed, "BLOCK_CELLS", 13)
    dense = ObservedMatrix.from_dense(table)
    for got, part in zip(dense.by_row, want[0], strict=True):
        np.testing.assert_array_equal(got, part)
    sparse = ObservedMatrix((17, 6), by_row=expected.by_row)
    np.testing.assert_array_equal(sparse.dense, table)
    for one in (dense, sparse, ObservedMatrix.from_dense(table)):
        np.testing.assert_array_equal(one.column_counts, want[1])
        np.testing.assert_array_equal(one.row_counts, want[2])
    np.testing.assert_array_equal(sparse.T.dense, table.T)


def test_rows_and_columns_on_demand(obs, table):
    for u in (0, 2, 7, -1):
        columns, values = obs.row(u)
        np.testing.assert_array_equal(columns, np.flatnonzero(~np.isnan(table[u])))
        np.testing.assert_array_equal(values, table[u][columns])
    for i in (0, 4, -2):
        rows, values = obs.column(i)
        np.testing.assert_array_equal(rows, np.flatnonzero(~np.isnan(table[:, i])))
        np.testing.assert_array_equal(values, table[:, i][rows])
    with pytest.raises(IndexError):
        obs.row(17)
    with pytest.raises(IndexError):
        obs.column(-7)


ROW_CHOICES = [
    slice(None),
    slice(3, 9),
    slice(9, 3),
    slice(-4, None),
    slice(None, None, -3),
    [5, 5, 0, -1],
    [],
    np.array([16, 2], np.int32),
    np.arange(17) % 3 == 0,
]


@pytest.mark.parametrize("rows", ROW_CHOICES, ids=str)
def test_row_slices_keep_labels_and_weights(obs, table, rows):
    got = obs[rows]
    index = np.asarray(rows, int) if isinstance(rows, list) else rows
    np.testing.assert_array_equal(got.dense, table[index])
    np.testing.assert_array_equal(got.row_labels, obs.row_labels[index])
    np.testing.assert_array_equal(got.row_weights, np.arange(17.0)[index])
    np.testing.assert_array_equal(got.column_labels, obs.column_labels)
    np.testing.assert_array_equal(got.by_column.values, table[index].T[~np.isnan(table[index].T)])


@pytest.mark.parametrize(
    "columns", [slice(1, 4), slice(None, None, -1), [0, 3, 5], [4, 0, 0], [], [True, False] * 3]
)
def test_column_slices_keep_labels_and_weights(obs, table, columns):
    got = obs[2:11, columns]
    index = (
        np.arange(6)[columns if isinstance(columns, slice) else np.array(columns, bool)]
        if (isinstance(columns, slice) or (columns and isinstance(columns[0], bool)))
        else np.array(columns, int)
    )
    np.testing.assert_array_equal(got.dense, table[2:11][:, index])
    np.testing.assert_array_equal(got.row_weights, np.arange(2.0, 11.0))
    np.testing.assert_array_equal(got.row_labels, obs.row_labels[2:11])
    np.testing.assert_array_equal(got.column_labels, obs.column_labels[index])


def test_single_positions_and_ellipsis(obs, table):
    np.testing.assert_array_equal(obs[3].dense, table[3:4])
    np.testing.assert_array_equal(obs[-1, 2].dense, table[-1:, 2:3])
    np.testing.assert_array_equal(obs[..., [1, 2]].dense, table[:, 1:3])
    np.testing.assert_array_equal(obs[np.array([1, 2]), ...].dense, table[1:3])
    with pytest.raises(IndexError):
        obs[17]
    with pytest.raises(IndexError, match="one-dimensional"):
        obs[np.zeros((2, 2), int)]


def test_a_block_of_rows_shares_the_entries(obs):
    block = obs[2:9]
    stored = "dense" if obs.is_stored_dense else "by_row"
    mine, its = getattr(obs, stored), getattr(block, stored)
    if stored == "by_row":
        mine, its = mine.values, its.values
    assert np.shares_memory(mine, its)


def test_transpose_there_and_back(obs, table):
    assert obs.T.shape == (6, 17)
    np.testing.assert_array_equal(obs.T.dense, table.T)
    np.testing.assert_array_equal(obs.T.T.dense, table)
    np.testing.assert_array_equal(obs.T.row_labels, obs.column_labels)
    np.testing.assert_array_equal(obs.T.column_labels, obs.row_labels)
    assert obs.T.row_weights is None
    np.testing.assert_array_equal(obs.T.by_column.values, obs.by_row.values)


def test_copies_for_the_outside(obs, table):
    filled = obs.to_dense(missing=-1.0)
    np.testing.assert_array_equal(filled, np.where(np.isnan(table), -1.0, table))
    filled[:] = 7.0
    S = obs.to_sparse()
    assert S.nnz == obs.n_observed  # the explicit zeros too
    S.data[:] = 7.0
    np.testing.assert_array_equal(obs.dense, table)


def test_with_values_labels_and_weights(obs, table):
    doubled = obs.with_values(2 * obs.by_row.values)
    np.testing.assert_array_equal(doubled.dense, 2 * table)
    np.testing.assert_array_equal(doubled.row_weights, obs.row_weights)
    renamed = obs.with_labels(column_labels=list("uvwxyz"))
    np.testing.assert_array_equal(renamed.column_labels, list("uvwxyz"))
    np.testing.assert_array_equal(renamed.row_labels, obs.row_labels)
    assert obs.with_row_weights(None).row_weights is None
    zeroed = obs.with_values(np.zeros(obs.n_observed))
    assert zeroed.n_observed == obs.n_observed
    np.testing.assert_array_equal(obs.dense, table)


@pytest.mark.parametrize("values", [[NAN], [np.inf], ["a"]])
def test_with_values_refuses_what_is_no_observation(values):
    one = ObservedMatrix.from_triplets([0], [0], [1.0])
    with pytest.raises(DataError, match="with_values needs finite real numbers"):
        one.with_values(values)
    with pytest.raises(DataError, match=re.escape("one value per observed entry (1)")):
        one.with_values([1.0, 2.0])


def test_nothing_can_be_set_or_written(obs):
    with pytest.raises(AttributeError, match=r"cannot be changed \(setting 'shape'\)"):
        obs.shape = (1, 1)
    arrays = [*obs.by_row, *obs.by_column, obs.dense, obs.row_counts, obs.column_counts]
    arrays += [obs.row_labels, obs.column_labels, obs.row_weights]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array[0]


def test_labels_and_weights_given_can_be_changed_afterwards(table):
    labels, weights = np.array(list("abcdef")), np.ones(17)
    obs = ObservedMatrix.from_dense(table, column_labels=labels, row_weights=weights)
    labels[0], weights[0] = "z", 9.0
    assert obs.column_labels[0] == "a"
    assert obs.row_weights[0] == 1.0


def test_pickled_it_stays_whole_and_read_only(obs, table):
    obs.by_column  # noqa: B018 (derived views are not worth the bytes)
    again = pickle.loads(pickle.dumps(obs))
    np.testing.assert_array_equal(again.dense, table)
    np.testing.assert_array_equal(again.row_labels, obs.row_labels)
    np.testing.assert_array_equal(again.row_weights, obs.row_weights)
    assert again.is_stored_dense == obs.is_stored_dense
    assert "by_column" not in again.__dict__
    with pytest.raises(ValueError, match="read-only"):
        again.dense[0, 0] = 1.0
    assert copy.copy(obs) is obs
    assert copy.deepcopy(obs) is obs


def test_labels_are_positions_where_none_were_given(table):
    obs = ObservedMatrix.from_dense(table)
    assert not obs.has_row_labels
    assert not obs.has_column_labels
    np.testing.assert_array_equal(obs.row_labels, np.arange(17))
    np.testing.assert_array_equal(obs[3:5].row_labels, [0, 1])


@pytest.mark.parametrize(
    ("labels", "dtype", "expected"),
    [
        (["a", "bb"], "<U2", ["a", "bb"]),
        ([1, 2], "int64", [1, 2]),
        ([1, "a"], "O", [1, "a"]),
        ([("a", 1), ("b", 2)], "O", [("a", 1), ("b", 2)]),
        (np.array(["a", "b"], object), "<U1", ["a", "b"]),
        (np.array(["2024-01-01", "2024-01-02"], "M8[D]"), "<M8[D]", None),
    ],
)
def test_labels_keep_their_types(labels, dtype, expected):
    obs = ObservedMatrix.from_dense([[1.0, 2.0]], column_labels=labels)
    assert obs.column_labels.dtype == dtype
    assert obs.column_labels.shape == (2,)
    assert obs.column_labels.tolist() == (expected or labels.tolist())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"row_labels": ["a"]},
            "row_labels must hold one label per row (2); got shape (1,).",
        ),
        (
            {"column_labels": [["a", "b"]]},
            "column_labels must hold one label per column (2); got shape (1, 2).",
        ),
        (
            {"row_weights": [1.0]},
            "row weights must hold one number per row (2); got shape (1,).",
        ),
        (
            {"row_weights": [1.0, -2.0]},
            "row weights must be finite and not negative; row 1 has -2.0.",
        ),
        (
            {"row_weights": [NAN, 1.0]},
            "row weights must be finite and not negative; row 0 has nan.",
        ),
    ],
)
def test_labels_and_weights_that_do_not_fit(parts, message):
    with pytest.raises(DataError) as caught:
        ObservedMatrix.from_dense([[1.0, 2.0], [3.0, 4.0]], **parts)
    assert str(caught.value) == message


def test_the_constructor_wants_exactly_one_form():
    with pytest.raises(TypeError, match="exactly one of by_row and dense"):
        ObservedMatrix((1, 1))
    view = Compressed(np.array([0, 1]), np.array([0], np.int32), np.array([1.0]))
    with pytest.raises(TypeError, match="exactly one of by_row and dense"):
        ObservedMatrix((1, 1), by_row=view, dense=np.ones((1, 1)))


def test_repr_says_how_much_was_seen():
    obs = mm.ObservedMatrix.from_dense([[1.0, NAN], [NAN, NAN]])
    assert repr(obs) == "ObservedMatrix(2 × 2, 1 observed, 25.00%)"
    assert ObservedMatrix.from_triplets([], [], [], (0, 3)).density == 0.0


def test_scikit_learn_can_index_it(obs, table):
    from sklearn.model_selection import KFold, train_test_split

    train, test = train_test_split(obs, test_size=5, random_state=0)
    assert (train.shape, test.shape) == ((12, 6), (5, 6))
    folds = [test for _, test in KFold(4).split(obs)]
    np.testing.assert_array_equal(np.concatenate(folds), np.arange(17))
