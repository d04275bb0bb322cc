"""Held-out entries, folds, the cold-start filter and row means."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import DataError
from mixmend.observed.holdout import (
    as_generator,
    draw_entries,
    filter_min_entries,
    fold_entries,
    split_entries,
    subtract_row_means,
)
from mixmend.observed.matrix import ObservedMatrix


def ratings(rng, n=40, d=25, share=0.4, **kwargs):
    X = rng.integers(0, 5, (n, d)).astype(np.float64)
    X[rng.random(X.shape) > share] = np.nan
    return ObservedMatrix.from_dense(X, **kwargs)


def cells_of(obs):
    rows, columns, values = obs.entries()
    return set(zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True))


def assert_partition(whole, parts):
    """The parts are disjoint, together the whole, and carry its names and weights."""
    assert sum(part.n_observed for part in parts) == whole.n_observed
    assert set().union(*(cells_of(part) for part in parts)) == cells_of(whole)
    for part in parts:
        assert part.shape == whole.shape
        assert part.dtype == whole.dtype
        assert part.has_row_labels == whole.has_row_labels
        np.testing.assert_array_equal(part.row_labels, whole.row_labels)
        np.testing.assert_array_equal(part.column_labels, whole.column_labels)
        np.testing.assert_array_equal(part.row_weights, whole.row_weights)


@pytest.fixture
def obs(rng):
    return ratings(rng, row_labels=[f"u{u}" for u in range(40)], row_weights=np.linspace(0, 1, 40))


@pytest.mark.parametrize(("size", "count"), [(0.25, None), (7, 7), (0, 0), (0.0, 0), (1.0, None)])
def test_split_is_a_partition_of_the_size_asked(obs, size, count):
    train, test = mm.split_entries(obs, test_size=size, random_state=3)
    assert_partition(obs, [train, test])
    assert test.n_observed == (round(size * obs.n_observed) if count is None else count)


def test_draws_are_disjoint_and_of_the_sizes_asked(obs):
    rest, validation, test = draw_entries(obs, [11, 0.2], random_state=5)
    assert_partition(obs, [rest, validation, test])
    assert (validation.n_observed, test.n_observed) == (11, round(0.2 * obs.n_observed))
    assert draw_entries(obs, [])[0].n_observed == obs.n_observed


def test_the_seed_decides_and_seeds_differ(obs):
    first = cells_of(split_entries(obs, 0.3, random_state=1)[1])
    assert first == cells_of(split_entries(obs, 0.3, random_state=1)[1])
    assert first == cells_of(split_entries(obs, 0.3, random_state=np.int64(1))[1])
    assert first != cells_of(split_entries(obs, 0.3, random_state=2)[1])
    assert first == cells_of(split_entries(obs, 0.3, np.random.default_rng(1))[1])


def test_generators_move_on_and_the_global_seed_reproduces(obs):
    for make in (np.random.default_rng, np.random.RandomState):
        state = make(4)
        drawn = [cells_of(split_entries(obs, 0.3, state)[1]) for _ in range(2)]
        assert drawn[0] != drawn[1]
        assert drawn[0] == cells_of(split_entries(obs, 0.3, make(4))[1])
    np.random.seed(8)
    drawn = [cells_of(split_entries(obs, 0.3, None)[1]) for _ in range(2)]
    np.random.seed(8)
    again = [cells_of(split_entries(obs, 0.3, None)[1]) for _ in range(2)]
    assert drawn == again
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("state", ["0", 1.5, True, [1]])
def test_other_random_states_are_refused(state):
    with pytest.raises(DataError) as caught:
        as_generator(state)
    assert str(caught.value) == (
        "random_state must be an integer, a numpy Generator or RandomState, or None; "
        f"got {state!r}."
    )


def test_every_subset_is_equally_likely():
    obs = ObservedMatrix.from_dense([[1.0, 2.0], [3.0, np.nan], [np.nan, 4.0]])
    state = np.random.default_rng(0)
    drawn = collections.Counter(
        tuple(split_entries(obs, 2, state)[1].by_row.values) for _ in range(3000)
    )
    pairs = list(itertools.combinations([1.0, 2.0, 3.0, 4.0], 2))
    assert set(drawn) == set(pairs)
    assert all(abs(count - 500) < 5 * np.sqrt(500 * 5 / 6) for count in drawn.values())


def test_minima_hold_in_training(rng):
    obs = ratings(rng, share=0.15)
    for least_row, least_column in ((2, 0), (0, 3), (1, 1)):
        train, validation, test = draw_entries(
            obs,
            [20, 0.1],
            random_state=2,
            min_train_per_row=least_row,
            min_train_per_column=least_column,
        )
        assert_partition(obs, [train, validation, test])
        assert validation.n_observed == 20
        assert np.all(train.row_counts >= np.minimum(obs.row_counts, least_row))
        assert np.all(train.column_counts >= np.minimum(obs.column_counts, least_column))
    train, _ = split_entries(obs, 0.5, 0, min_train_per_row=1)
    assert train.row_counts[obs.row_counts > 0].min() >= 1


def test_with_minima_no_part_gets_the_thin_rows():
    """Late in the search only thick rows can spare entries: the parts must not show that."""
    X = np.full((101, 200), np.nan)
    X[:100, :2] = 1.0  # a hundred rows that can spare one entry each
    X[100] = 1.0  # and one that can spare 199
    obs = ObservedMatrix.from_dense(X)
    _, first, second = draw_entries(obs, [145, 145], random_state=0, min_train_per_row=1)
    thin = [int(part.row_counts[:100].sum()) for part in (first, second)]
    assert sum(thin) > 80
    assert abs(thin[0] - thin[1]) < 20


def test_more_than_can_be_spared_is_refused():
    obs = ObservedMatrix.from_dense(np.ones((2, 3)))
    with pytest.raises(DataError) as caught:
        split_entries(obs, 4, min_train_per_row=2)
    assert str(caught.value) == (
        "Only 2 of 4 entries could be held out while leaving 2 per row and 0 per column: lower "
        "the size or the minima."
    )
    assert split_entries(obs, 2, min_train_per_row=2)[0].row_counts.tolist() == [2, 2]


@pytest.mark.parametrize("size", [-1, 7, 1.5, -0.1, np.nan, "0.1", True])
def test_sizes_out_of_range_are_refused(size):
    obs = ObservedMatrix.from_dense(np.ones((2, 3)))
    with pytest.raises(DataError) as caught:
        split_entries(obs, size)
    assert str(caught.value) == (
        "A size must be a share between 0.0 and 1.0 (float) or a number of entries between 0 and "
        f"6 (int); got {size!r}."
    )


def test_parts_that_take_more_than_there_is_are_refused():
    obs = ObservedMatrix.from_dense(np.ones((2, 3)))
    with pytest.raises(DataError) as caught:
        draw_entries(obs, [4, 3])
    assert str(caught.value) == "The parts take 7 entries but only 6 are observed: ask for fewer."
    with pytest.raises(DataError, match="At most 255 parts can be drawn at once; got 256"):
        draw_entries(obs, [0] * 256)


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_folds_hold_each_entry_out_once(obs, n_folds):
    folds = list(mm.fold_entries(obs, n_folds, random_state=1))
    assert len(folds) == n_folds
    for train, test in folds:
        assert_partition(obs, [train, test])
    assert_partition(obs, [test for _, test in folds])
    sizes = [test.n_observed for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_folds_follow_the_seed(obs):
    def tests(seed):
        return [cells_of(test) for _, test in fold_entries(obs, 3, seed)]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


@pytest.mark.parametrize("n_folds", [1, 0, 7])
def test_folds_out_of_range_are_refused_at_the_call(n_folds):
    obs = ObservedMatrix.from_dense(np.ones((2, 3)))
    with pytest.raises(DataError) as caught:
        fold_entries(obs, n_folds)
    assert str(caught.value) == f"n_folds must lie between 2 and 6 for 6 entries; got {n_folds}."


def test_explicit_zeros_are_held_out_like_other_values():
    obs = ObservedMatrix.from_dense(np.zeros((4, 5)))
    train, test = split_entries(obs, 0.5)
    assert (train.n_observed, test.n_observed) == (10, 10)


@pytest.mark.parametrize("least", [0, 1, 3, 6, 100])
def test_filter_leaves_the_largest_part_without_thin_lines(rng, least):
    obs = ratings(rng, share=0.2, column_labels=[f"i{i}" for i in range(25)])
    got = filter_min_entries(obs, least)
    rows, columns = np.arange(40), np.arange(25)
    X = obs.dense
    while True:  # as the specification words it
        seen = ~np.isnan(X[np.ix_(rows, columns)])
        keep_rows, keep_columns = seen.sum(1) > least, seen.sum(0) > least
        if keep_rows.all() and keep_columns.all():
            break
        rows, columns = rows[keep_rows], columns[keep_columns]
    np.testing.assert_array_equal(got.rows, rows)
    np.testing.assert_array_equal(got.columns, columns)
    np.testing.assert_array_equal(got.matrix.dense, X[np.ix_(rows, columns)])
    np.testing.assert_array_equal(got.matrix.column_labels, obs.column_labels[columns])
    if least == 100:
        assert got.matrix.shape == (0, 0)
    if least == 3:
        assert 0 < len(rows) < 40  # or the test would show nothing


def test_filter_follows_a_long_chain():
    """Removing one end makes the next one thin, and so on: as many rounds as there are rows."""
    n = 5000
    rows = np.concatenate([np.arange(n), np.arange(1, n)])
    columns = np.concatenate([np.arange(n), np.arange(n - 1)])
    chain = ObservedMatrix.from_triplets(rows, columns, np.ones(len(rows)))
    assert filter_min_entries(chain, 1).matrix.shape == (0, 0)
    closed = ObservedMatrix.from_triplets(
        np.append(rows, 0), np.append(columns, n - 1), np.ones(len(rows) + 1)
    )
    assert filter_min_entries(closed, 1).matrix.shape == (n, n)


def test_filter_refuses_a_negative_minimum(obs):
    with pytest.raises(DataError, match="min_entries must not be negative; got -1"):
        filter_min_entries(obs, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_means_are_of_observed_values_only(rng, dtype):
    X = rng.normal(3.0, 1.0, (9, 5)).astype(dtype)
    X[rng.random(X.shape) < 0.3] = np.nan
    X[4] = np.nan
    X[5] = [2.0, np.nan, 2.0, 2.0, np.nan]
    obs = ObservedMatrix.from_dense(X, row_weights=np.ones(9))
    matrix, means = subtract_row_means(obs)
    expected = np.array([np.mean(row[~np.isnan(row)], dtype=float) if u != 4 else np.nan
                         for u, row in enumerate(X)])  # fmt: skip
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    assert np.isnan(means[4])
    np.testing.assert_allclose(matrix.dense, X - expected[:, None], atol=1e-6)
    assert matrix.n_observed == obs.n_observed
    assert matrix.dense[5, 0] == 0.0  # became 0, stays observed
    assert matrix.dtype == dtype
    assert matrix.row_weights is not None
