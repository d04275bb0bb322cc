"""Each kernel of `mixmend.kernels.compress` against a few lines of NumPy or plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mixmend.kernels import compress
from mixmend.observed.compressed import over_line_ranges


def random_lines(rng, n_lines, n_positions, most=60, dtype=np.float32):
    """Unsorted compressed lines, with repeats and empty lines."""
    counts = rng.integers(0, most, n_lines)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    indices = rng.integers(0, n_positions, pointers[-1]).astype(np.int32)
    values = rng.normal(size=pointers[-1]).astype(dtype)
    return pointers, indices, values


def lines_of(pointers, *arrays):
    return [tuple(a[i:j] for a in arrays) for i, j in itertools.pairwise(pointers)]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_counting_takes_any_integer_type(rng, dtype):
    lines = rng.integers(0, 100, 1000).astype(dtype)
    pointers = compress.count_lines(lines, 120)
    assert pointers.dtype == np.int64
    np.testing.assert_array_equal(np.diff(pointers), np.bincount(lines, minlength=120))


@pytest.mark.parametrize("n_parts", [1, 2, 3, 7])
def test_placing_keeps_the_order_of_arrival_however_the_lines_are_shared_out(rng, n_parts):
    lines = rng.integers(0, 9, 500).astype(np.uint64)
    others = rng.integers(0, 50, 500).astype(np.uint32)
    values = rng.integers(-5, 5, 500).astype(np.int8)
    pointers = compress.count_lines(lines, 9)
    indices, floats = np.empty(500, np.int32), np.empty(500, np.float64)
    over_line_ranges(
        lambda a, b: compress.place_in_lines(
            lines, others, values, pointers, indices, floats, a, b
        ),
        pointers,
        n_parts,
    )
    order = np.argsort(lines, kind="stable")
    np.testing.assert_array_equal(indices, others[order])
    np.testing.assert_array_equal(floats, values[order])


@pytest.mark.parametrize("n_positions", [1, 7, 256, 257, 70_000, 20_000_000])
def test_sorting_is_stable_for_short_and_long_lines(rng, n_positions):
    pointers, indices, _ = random_lines(rng, 40, n_positions)
    tags = np.arange(len(indices), dtype=np.float64)  # shows which entry went where
    n_bytes = max(1, ((n_positions - 1).bit_length() + 7) // 8)
    before = lines_of(pointers, indices.copy(), tags.copy())
    compress.sort_lines(pointers, indices, tags, 0, 40, n_bytes)
    for (was, was_tags), (now, now_tags) in zip(
        before, lines_of(pointers, indices, tags), strict=True
    ):
        order = np.argsort(was, kind="stable")
        np.testing.assert_array_equal(now, was[order])
        np.testing.assert_array_equal(now_tags, was_tags[order])


def test_sorting_leaves_other_lines_alone(rng):
    pointers, indices, values = random_lines(rng, 10, 1000)
    untouched = indices.copy()
    compress.sort_lines(pointers, indices, values, 3, 5, 2)
    a, b = pointers[3], pointers[5]
    np.testing.assert_array_equal(indices[:a], untouched[:a])
    np.testing.assert_array_equal(indices[b:], untouched[b:])
    assert not np.array_equal(indices[a:b], untouched[a:b])


def test_first_repeat_is_found_within_a_line_only():
    pointers = np.array([0, 2, 2, 5])
    assert compress.first_repeat(pointers, np.array([0, 4, 4, 5, 6])) == (-1, -1)
    assert compress.first_repeat(pointers, np.array([0, 4, 4, 6, 6])) == (2, 4)


@pytest.mark.parametrize(
    ("keep", "pick"),
    [
        (compress.FIRST, lambda v: v[0]),
        (compress.LAST, lambda v: v[-1]),
        (compress.MEAN, lambda v: np.float32(np.mean(v.astype(np.float64)))),
    ],
)
def test_merging_repeats_against_a_loop(rng, keep, pick):
    pointers, indices, values = random_lines(rng, 30, 12)
    compress.sort_lines(pointers, indices, values, 0, 30, 1)
    expected = []
    for line_indices, line_values in lines_of(pointers, indices, values):
        distinct = np.unique(line_indices)
        expected.append((distinct, [pick(line_values[line_indices == i]) for i in distinct]))
    expected = [(i.copy(), np.array(v, np.float32)) for i, v in expected]
    count = compress.merge_repeats(pointers, indices, values, keep)
    assert pointers[-1] == count
    for (want_i, want_v), (got_i, got_v) in zip(
        expected, lines_of(pointers, indices, values), strict=True
    ):
        np.testing.assert_array_equal(got_i, want_i)
        np.testing.assert_array_equal(got_v, want_v)


def test_mean_of_repeats_is_summed_in_double_precision():
    many = 3000
    values = np.full(many, 0.1, np.float32)
    pointers, indices = np.array([0, many]), np.zeros(many, np.int32)
    compress.merge_repeats(pointers, indices, values, compress.MEAN)
    assert values[0] == np.float32(0.1)  # a float32 sum would be off in the fifth digit


@pytest.mark.parametrize("n_parts", [1, 3])
def test_transposing_against_scipy(rng, n_parts):
    from scipy import sparse

    dense = rng.integers(0, 3, (40, 25)).astype(np.float32)
    S = sparse.csr_array(dense)
    out_pointers = compress.count_lines(S.indices, 25)
    indices, values = np.empty(S.nnz, np.int32), np.empty(S.nnz, np.float32)
    over_line_ranges(
        lambda a, b: compress.place_transposed(
            S.indptr, S.indices, S.data, out_pointers, indices, values, a, b
        ),
        out_pointers,
        n_parts,
    )
    T = S.tocsc()
    np.testing.assert_array_equal(out_pointers, T.indptr)
    np.testing.assert_array_equal(indices, T.indices)
    np.testing.assert_array_equal(values, T.data)


def test_gathering_lines_with_repeats(rng):
    pointers, indices, values = random_lines(rng, 12, 30)
    chosen = np.array([5, 0, 5, 11, 3])
    out_pointers = np.concatenate([[0], np.cumsum(np.diff(pointers)[chosen])])
    got = compress.gather_lines(pointers, indices, values, chosen, out_pointers)
    lines = lines_of(pointers, indices, values)
    for part in range(2):
        np.testing.assert_array_equal(got[part], np.concatenate([lines[j][part] for j in chosen]))


def test_renumbering_drops_the_negative(rng):
    pointers, indices, values = random_lines(rng, 12, 30)
    numbers = np.full(30, -1, np.int32)
    kept = np.array([2, 3, 17, 29])
    numbers[kept] = np.arange(4)
    out_pointers, out_indices, out_values = compress.renumber_positions(
        pointers, indices, values, numbers
    )
    for (was, was_v), (now, now_v) in zip(
        lines_of(pointers, indices, values),
        lines_of(out_pointers, out_indices, out_values),
        strict=True,
    ):
        inside = np.isin(was, kept)
        np.testing.assert_array_equal(kept[now], was[inside])
        np.testing.assert_array_equal(now_v, was_v[inside])


def test_taking_a_group(rng):
    pointers, indices, values = random_lines(rng, 12, 30)
    groups = rng.integers(0, 3, len(indices)).astype(np.uint8)
    out_pointers, out_indices, out_values = compress.take_group(
        pointers, indices, values, groups, 2
    )
    np.testing.assert_array_equal(out_indices, indices[groups == 2])
    np.testing.assert_array_equal(out_values, values[groups == 2])
    want = [np.sum(g == 2) for (g,) in lines_of(pointers, groups)]
    np.testing.assert_array_equal(np.diff(out_pointers), want)


def test_peeling_against_repeated_removal(rng):
    for least in range(6):
        cells = rng.random((30, 20)) < 0.25
        rows, columns = np.ones(30, bool), np.ones(20, bool)
        while True:
            alive = cells & rows[:, None] & columns
            thin_rows = rows & (alive.sum(1) <= least)
            thin_columns = columns & (alive.sum(0) <= least)
            if not thin_rows.any() and not thin_columns.any():
                break
            rows &= ~thin_rows
            columns &= ~thin_columns
        by_row = (np.concatenate([[0], np.cumsum(cells.sum(1))]), np.nonzero(cells)[1])
        by_column = (np.concatenate([[0], np.cumsum(cells.sum(0))]), np.nonzero(cells.T)[1])
        got_rows, got_columns = compress.peel_lines(*by_row, *by_column, least)
        np.testing.assert_array_equal(got_rows, rows)
        np.testing.assert_array_equal(got_columns, columns)


def test_means_and_offsets_by_line(rng):
    pointers, _, values = random_lines(rng, 12, 30)
    means = compress.line_means(pointers, values)
    centred = compress.subtract_by_line(pointers, values, means)
    assert centred.dtype == np.float32
    for j, (line, out) in enumerate(lines_of(pointers, values, centred)):
        if len(line) == 0:
            assert np.isnan(means[j])
        else:
            exact = line.astype(np.float64).mean()
            assert means[j] == pytest.approx(exact, rel=1e-12)
            np.testing.assert_array_equal(out, (line - means[j]).astype(np.float32))


def test_spared_entries_follow_the_order_and_the_limits():
    pointers, indices = np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32)
    order = np.array([2, 0, 3, 1], np.uint32)
    ones = np.ones(2, np.int64)
    got = compress.spare_entries(order, pointers, indices, ones, ones, 4)
    np.testing.assert_array_equal(got, [2, 1])  # 0 shares column 0 with 2, 3 shares row 1
    got = compress.spare_entries(order, pointers, indices, ones, ones, 1)
    np.testing.assert_array_equal(got, [2])
