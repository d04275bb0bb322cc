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
    # more rows than one task takes; rows with 0, 1 and all cells
    X = with_holes(rng, 2 * kernels.ROWS_PER_TASK + 5, 5, 0.5, dtype, empty_rows=(0, 4, 70, 132))
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
    n, d, tile_rows = 30, 2 * kernels.COLUMNS_PER_TASK + 3, 11 + K % 3
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


# ------------------------------------------------------------------ Bayes' rule


def bayes_by_kernel(X, q, *, dtype=np.float64, row_weights=None, n_tasks=1, offsets=True):
    n, K = len(X), len(q.weights)
    distances, sums = oracles.cell_distances(X, q.means, q.mean_variances)
    posterior = np.zeros((n, padded(K)), dtype)
    shift = np.zeros((n, padded(K)), dtype) if offsets else None
    with np.errstate(divide="ignore"):
        terms = np.stack([np.log(q.weights), q.variances, np.full(K, q.offset_variance)])
    totals = np.full((n_tasks, K + 1, 4), np.nan)
    kernels.responsibilities(
        distances,
        sums if offsets else None,
        (~np.isnan(X)).sum(axis=1).astype(np.int64),
        row_weights,
        terms,
        posterior,
        shift,
        totals,
    )
    return distances, posterior[:, :K], shift, totals


@DTYPES
@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("K", [1, 2, 7])
def test_responsibilities_agree_with_dense_covariances(rng, K, weighted, offsets, dtype):
    X = with_holes(rng, 25, 4, 0.4, empty_rows=(3, 24))
    q = parameters(rng, K, 4, mean_prior=True, row_offsets=offsets)
    weights = rng.gamma(1.0, 1.0, 25) if weighted else None
    log_joint, post, shift, totals = bayes_by_kernel(
        X, q, dtype=dtype, row_weights=weights, offsets=offsets
    )
    w = np.ones(25) if weights is None else weights
    rows = oracles.spherical_rows(X, q)
    expected = oracles.spherical_statistics(X, q, w)
    np.testing.assert_allclose(log_joint, rows.log_joint, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(post, w[:, None] * rows.post, **tolerance(dtype))
    total = totals.sum(axis=0)
    assert total[-1, 0] == pytest.approx(expected["log_likelihood"], rel=1e-11)
    for column, name in enumerate(["rows", "cells", "residuals", "offset_squares"]):
        np.testing.assert_allclose(total[:-1, column], expected[name], **tolerance(dtype))
    if offsets:
        moved = w[:, None] * rows.post * rows.offsets
        np.testing.assert_allclose(shift[:, :K], moved, **tolerance(dtype))


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 7, 30])
def test_tasks_share_the_rows_out_without_loss(rng, n_tasks):
    X = with_holes(rng, 25, 3)
    q = parameters(rng, 3, 3, row_offsets=True)
    alone, shared = bayes_by_kernel(X, q), bayes_by_kernel(X, q, n_tasks=n_tasks)
    for mine, other in zip(alone[:3], shared[:3], strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_allclose(shared[3].sum(axis=0), alone[3].sum(axis=0), rtol=1e-13)


def test_a_component_without_weight_gets_nothing(rng):
    X = with_holes(rng, 12, 3, empty_rows=(2,))
    q = parameters(rng, 3, 3)
    without = q._replace(weights=np.array([0.3, 0.0, 0.7]))
    log_joint, post, _, totals = bayes_by_kernel(X, without, offsets=False)
    np.testing.assert_array_equal(post[:, 1], 0.0)
    np.testing.assert_array_equal(totals[0, 1], 0.0)
    np.testing.assert_array_equal(log_joint[:, 1], -np.inf)
    np.testing.assert_allclose(post.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(post[2], without.weights, rtol=1e-14)


def test_negligible_responsibilities_are_zero_and_the_rest_sums_to_one():
    # gaps in log density of about 40 (kept) and 80 (dropped)
    X = np.array([[0.0]])
    q = parameters(np.random.default_rng(0), 3, 1)._replace(
        weights=np.full(3, 1 / 3),
        means=np.array([[0.0], [np.sqrt(80.0)], [np.sqrt(160.0)]]),
        variances=np.ones(3),
    )
    _, post, _, _ = bayes_by_kernel(X, q, offsets=False)
    assert post[0, 1] == pytest.approx(np.exp(-40), rel=1e-12)
    assert post[0, 2] == 0.0
    assert post.sum() == 1.0
