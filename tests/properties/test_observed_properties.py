"""Properties of observed matrices on arbitrary data: nothing lost, nothing invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import draw_entries, filter_min_entries, fold_entries
from mixmend.observed.labels import align_columns
from mixmend.observed.matrix import ObservedMatrix
from mixmend.observed.patterns import group_patterns

# zeros, negative zeros and tiny numbers are values; NaN is a hole
VALUES = st.one_of(
    st.just(np.nan), st.sampled_from([0.0, -0.0, 5e-324, 1.0]), st.floats(-1e300, 1e300)
)
TABLES = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=VALUES,
)
# a name that ends in NUL is refused (tests/observed/test_triplets.py)
NAMES = st.text(max_size=4).filter(lambda name: not name.endswith("\0"))


def same(a, b):
    """Equal bit for bit, the sign of zero included."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_array_equal(a[~np.isnan(a)].view(np.int64), b[~np.isnan(b)].view(np.int64))


@given(TABLES, st.randoms(use_true_random=False))
def test_every_form_says_the_same(table, random):
    obs = ObservedMatrix.from_dense(table)
    same(obs.dense, table)
    rows, columns, values = obs.entries()
    order = list(range(len(values)))
    random.shuffle(order)
    triplets = ObservedMatrix.from_triplets(rows[order], columns[order], values[order], table.shape)
    same(triplets.dense, table)
    for form in ("csr", "csc", "coo"):
        same(as_observed(obs.to_sparse().asformat(form)).dense, table)
    same(triplets.T.T.dense, table)
    for mine, its in zip(obs.by_column, triplets.by_column, strict=True):
        np.testing.assert_array_equal(mine, its)


@given(TABLES)
def test_frames_say_the_same(table):
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    names = [f"c{i}" for i in range(table.shape[1])]
    same(as_observed(pd.DataFrame(table, columns=names)).dense, table)
    nulls = pl.DataFrame(table, schema=names).fill_nan(None)
    same(as_observed(nulls).dense, table)
    same(as_observed(nulls.to_arrow()).dense, table)


@given(TABLES, st.data())
def test_slices_are_those_of_the_table(table, data):
    n, d = table.shape
    rows = data.draw(st.one_of(st.slices(n), st.lists(st.integers(-n, n - 1))))
    columns = data.draw(st.one_of(st.slices(d), st.lists(st.integers(-d, d - 1))))
    pick = [np.arange(m)[np.asarray(k, int) if isinstance(k, list) else k]
            for m, k in ((n, rows), (d, columns))]  # fmt: skip
    dense = ObservedMatrix.from_dense(table)
    for obs in (dense, ObservedMatrix(table.shape, by_row=dense.by_row)):
        part = obs[rows, columns]
        same(part.dense, table[np.ix_(*pick)])
        np.testing.assert_array_equal(part.column_counts, (~np.isnan(part.dense)).sum(0))


@given(TABLES, st.integers(0, 2**32 - 1), st.data())
def test_draws_are_a_partition(table, seed, data):
    obs = ObservedMatrix.from_dense(table)
    first = data.draw(st.integers(0, obs.n_observed))
    second = data.draw(st.integers(0, obs.n_observed - first))
    parts = draw_entries(obs, [first, second], seed)
    assert [part.n_observed for part in parts[1:]] == [first, second]
    seen = np.stack([~np.isnan(part.dense) for part in parts])
    np.testing.assert_array_equal(seen.sum(0), ~np.isnan(table))
    same(np.nansum(np.stack([np.where(s, table, np.nan) for s in seen]), 0) + 0.0,
         np.nan_to_num(table) + 0.0)  # fmt: skip
    for part, mask in zip(parts, seen, strict=True):
        same(part.dense, np.where(mask, table, np.nan))


@given(TABLES, st.integers(2, 6), st.integers(0, 99))
def test_folds_are_a_partition(table, n_folds, seed):
    obs = ObservedMatrix.from_dense(table)
    if obs.n_observed < n_folds:
        return
    times_held_out = np.zeros(table.shape, int)
    for train, test in fold_entries(obs, n_folds, seed):
        held_out = ~np.isnan(test.dense)
        times_held_out += held_out
        same(train.dense, np.where(held_out, np.nan, table))
    np.testing.assert_array_equal(times_held_out, ~np.isnan(table))


@given(TABLES, st.integers(0, 6))
def test_the_filter_is_a_fixed_point_and_the_largest(table, least):
    obs = ObservedMatrix.from_dense(table)
    kept = filter_min_entries(obs, least)
    same(kept.matrix.dense, table[np.ix_(kept.rows, kept.columns)])
    assert np.all(kept.matrix.row_counts > least)
    assert np.all(kept.matrix.column_counts > least)
    again = filter_min_entries(kept.matrix, least)
    assert again.matrix.shape == kept.matrix.shape
    # whatever is kept with a lower bound contains what is kept with this one
    if least:
        wider = filter_min_entries(obs, least - 1)
        assert set(kept.rows) <= set(wider.rows)
        assert set(kept.columns) <= set(wider.columns)


@given(TABLES)
def test_patterns_are_exactly_the_distinct_masks(table):
    obs = ObservedMatrix.from_dense(table)
    patterns = group_patterns(obs)
    seen = ~np.isnan(table)
    np.testing.assert_array_equal(patterns.mask[patterns.of_row], seen)
    assert len(np.unique(patterns.mask, axis=0)) == len(patterns.mask)
    for mine, its in zip(
        patterns, group_patterns(ObservedMatrix(table.shape, by_row=obs.by_row)), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


@given(TABLES, st.randoms(use_true_random=False), st.booleans())
def test_shuffled_columns_are_lined_up_again(table, random, stored_dense):
    names = [f"c{i}" for i in range(table.shape[1])]
    order = list(range(table.shape[1]))
    random.shuffle(order)
    obs = ObservedMatrix.from_dense(table, column_labels=names)
    if not stored_dense:
        obs = ObservedMatrix(table.shape, by_row=obs.by_row, column_labels=names)
    same(align_columns(obs[:, order], names).dense, table)


@given(
    st.lists(
        st.tuples(NAMES, st.integers(0, 3), st.integers(1, 5)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["first", "last", "mean"]),
)
def test_identifiers_and_duplicates_against_a_dictionary(triplets, duplicates):
    names, columns, values = zip(*triplets, strict=True)
    cells: dict[tuple[str, int], list[int]] = {}
    for name, column, value in triplets:
        cells.setdefault((name, column), []).append(value)
    keep = {"first": lambda v: v[0], "last": lambda v: v[-1], "mean": np.mean}[duplicates]
    obs = ObservedMatrix.from_triplets(list(names), columns, values, duplicates=duplicates)
    assert obs.row_labels.tolist() == sorted(set(names))
    assert obs.n_observed == len(cells)
    for (name, column), seen in cells.items():
        row = obs.row_labels.tolist().index(name)
        assert obs.dense[row, column] == pytest.approx(keep(seen), rel=1e-15)
