"""The loops of spherical mixtures against plain loops, for every padding and both precisions."""

from __future__ import annotations

import numpy as np
import pytest

import oracles
from mixmend.kernels import spherical as kernels
from mixmend.kernels.simd import LANES
from mixmend.mixtures.spherical_e_step import lane_count, padded, table
from spherical_cases import block_of, parameters, with_holes

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
FIRST_ROW = 3


def tolerance(dtype, scale=1.0):
    relative = 64 * float(np.finfo(dtype).eps)
    return {"rtol": relative, "atol": relative * scale}


def distances_by_kernel(X, q, with_spread, with_sums, first=0):
    block = block_of(X)
    means = table(q.means, X.dtype)
    spread = table(q.mean_variances, X.dtype) if with_spread else None
    shape = (len(X) - first, means.shape[1])
    distances = np.full(shape, 55.0)  # must be overwritten
    sums = np.full(shape, 55.0) if with_sums else None
    lanes = LANES[lane_count(len(q.weights))]
    kernels.squared_distances(block.by_row, first, means, spread, lanes, distances, sums)
    K = len(q.weights)
    return distances[:, :K], None if sums is None else sums[:, :K]


def assert_distances(X, q, with_spread, with_sums, first=0):
    got, sums = distances_by_kernel(X, q, with_spread, with_sums, first)
    spread = q.mean_variances if with_spread else None
    expected, expected_sums = oracles.cell_distances(X[first:], q.means, spread)
    np.testing.assert_allclose(got, expected, **tolerance(X.dtype, 10))
    if with_sums:
        np.testing.assert_allclose(sums, expected_sums, **tolerance(X.dtype, 10))


def test_lane_counts_waste_less_than_a_vector():
    widths = [padded(K) for K in range(1, 41)]
    assert [lane_count(K) for K in (1, 4, 5, 8, 9, 16, 17, 24, 25, 32)] == (
        [4, 4, 8, 8, 16, 16, 8, 8, 16, 16]
    )
    for K, width in enumerate(widths, start=1):
        assert K <= width < K + 8
        assert width % lane_count(K) == 0


# ------------------------------------------------------------------ distances by row


@DTYPES
@pytest.mark.parametrize("extras", [False, True])
@pytest.mark.parametrize("K", range(1, 41))
def test_distances_for_every_padding(K, extras, dtype):
    rng = np.random.default_rng(K)
    # rows enough for many tasks; rows with 0, 1 and all cells
    X = with_holes(rng, 133, 5, 0.5, dtype, empty_rows=(0, 4, 70, 132))
    X[7] = [1.0, np.nan, np.nan, np.nan, np.nan]
    q = parameters(rng, K, 5, mean_prior=True, dtype=dtype)
    assert_distances(X[:: 1 + 6 * (K % 4)].copy(), q, extras, extras, FIRST_ROW)


@DTYPES
@pytest.mark.parametrize(("with_spread", "with_sums"), [(True, False), (False, True)])
def test_spread_and_sums_each_alone(rng, with_spread, with_sums, dtype):
    X = with_holes(rng, 40, 6, 0.4, dtype, empty_rows=(11,))
    assert_distances(X, parameters(rng, 3, 6, True, dtype=dtype), with_spread, with_sums)


@DTYPES
@pytest.mark.parametrize("extras", [False, True])
def test_rows_longer_than_a_run(rng, extras, dtype):
    lengths = [
        1, 2, kernels.RUN - 1, kernels.RUN, kernels.RUN + 1, 2 * kernels.RUN - 1,
        2 * kernels.RUN, 2 * kernels.RUN + 1, 3 * kernels.RUN + 17,
    ]  # fmt: skip
    X = np.full((len(lengths), max(lengths)), np.nan, dtype)
    for row, length in zip(X, lengths, strict=True):
        row[rng.choice(row.size, length, replace=False)] = rng.normal(size=length)
    q = parameters(rng, 3, X.shape[1], True, dtype=dtype)
    assert_distances(X, q, extras, extras)


def test_long_single_precision_rows_lose_no_more_than_a_run_does(rng):
    X = rng.normal(1.0, 0.1, (1, 300_000)).astype(np.float32)
    q = parameters(rng, 1, X.shape[1], dtype=np.float32)._replace(means=np.zeros((1, X.shape[1])))
    distances, sums = distances_by_kernel(X, q, False, True)
    assert distances[0, 0] == pytest.approx((X.astype(float) ** 2).sum(), rel=1e-6)
    assert sums[0, 0] == pytest.approx(X.astype(float).sum(), rel=1e-6)


# ------------------------------------------------------------------ sums by column


@DTYPES
@pytest.mark.parametrize("extras", [False, True])
@pytest.mark.parametrize("K", range(1, 41))
def test_column_sums_for_every_padding(K, extras, dtype):
    rng = np.random.default_rng(K)
    n, d, tile_rows = 30, 35, 11 + K % 3
    X = with_holes(rng, n, d, 0.6, dtype, empty_rows=(0, 12), empty_columns=(0, 5, d - 1))
    q = parameters(rng, K, d, dtype=dtype)
    post = table(rng.dirichlet(np.ones(K), n).T.copy(), dtype)  # (n, padded K)
    shift = table(rng.normal(size=(K, n)), dtype) if extras else None
    means, width = table(q.means, dtype), padded(K)
    s0, s1 = np.full((d, width), 10.0), np.full((d, width), -10.0)  # must be added to
    block = block_of(X, tile_rows)
    for tile, (first, rows) in enumerate(block.tiles()):
        part = slice(first, first + rows)
        kernels.column_sums(
            block.by_tile_column,
            tile * d,
            means,
            post[part],
            None if shift is None else shift[part],
            LANES[lane_count(K)],
            s0,
            s1,
        )
    expected0, expected1 = oracles.cell_column_sums(
        X, q.means, post[:, :K], None if shift is None else shift[:, :K]
    )
    np.testing.assert_allclose(s0[:, :K], 10 + expected0, **tolerance(dtype, 10))
    np.testing.assert_allclose(s1[:, :K], -10 + expected1, **tolerance(dtype, 10))
    np.testing.assert_array_equal(s0[:, K:], 10.0)  # lanes beyond K carry no posterior
    np.testing.assert_array_equal(s0[5], 10.0)
    np.testing.assert_array_equal(s1[5], -10.0)


# ------------------------------------------------------------------ shares of the work


@pytest.mark.parametrize("kind", ["even", "popular first", "one holds all", "empty", "few"])
def test_parts_cover_all_lines_once_and_hold_about_equal_work(rng, kind):
    counts = {
        "even": np.full(1000, 7),
        "popular first": (3000 / np.arange(1, 1001)).astype(int),
        "one holds all": np.where(np.arange(500) == 77, 100_000, 0),
        "empty": np.zeros(300, int),
        "few": np.array([5, 0, 3]),
    }[kind]
    before = 11  # the lines asked for need not be the first, nor their entries
    pointers = np.concatenate([np.arange(before), before + np.cumsum([0, *counts])]).astype(int)
    n = len(counts)
    cuts = [kernels.line_of_share(pointers, before, n, part) for part in range(kernels.TASKS + 1)]
    assert (cuts[0], cuts[-1]) == (0, n)
    assert np.diff(cuts).min() >= 0
    work = np.add.reduceat([*(counts + 1), 0], cuts[:-1]) * (np.diff(cuts) > 0)
    assert work.sum() == (counts + 1).sum()
    assert work.max() <= (counts + 1).sum() / kernels.TASKS + counts.max() + 1
