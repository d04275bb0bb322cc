"""E-steps against dense covariances: v I + tau 1 1^T written out for every row and component."""

from __future__ import annotations

from functools import reduce
from operator import add

import numba
import numpy as np
import pytest

import oracles
from mixmend.em.block import Block
from mixmend.kernels import threads
from mixmend.mixtures.spherical import SphericalDensity as Density
from mixmend.mixtures.spherical import e_step, m_step, posterior, row_bytes, statistics_of
from mixmend.observed.matrix import ObservedMatrix
from spherical_cases import block_of, parameters, with_holes

NAMES = (
    "log_likelihood", "rows", "cells", "residuals", "offset_squares", "support", "deviations",
)  # fmt: skip


def close(got, expected, dtype=np.float64, scale=1.0):
    relative = 1e-10 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(got, expected, rtol=relative, atol=relative * scale)


def assert_statistics(got, expected, dtype=np.float64, names=NAMES):
    for name in names:
        reference = np.asarray(expected[name])
        assert np.shape(getattr(got, name)) == reference.shape, name
        close(getattr(got, name), reference, dtype, scale=1 + np.abs(reference).max())


# ------------------------------------------------------------------ e_step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize("mean_prior", [False, True])
def test_statistics(rng, mean_prior, row_offsets, weighted, dtype):
    X = with_holes(rng, 30, 6, 0.4, dtype, empty_rows=(4, 29), empty_columns=(2,))
    weights = rng.gamma(1.0, 1.0, 30) * (rng.random(30) > 0.2) if weighted else None
    q = parameters(rng, 3, 6, mean_prior, row_offsets, dtype)
    expected = oracles.spherical_statistics(X, q, weights)
    for tile_rows in (1, 7, 29, 30, 1000):
        got = e_step(q, block_of(X, min(tile_rows, 30), weights))
        assert_statistics(got, expected, dtype)


@pytest.mark.parametrize("K", [1, 4, 5, 8, 9, 17, 33])
def test_statistics_for_every_width_of_the_tables(rng, K):
    X = with_holes(rng, 12, 4, 0.3, empty_rows=(0,))
    q = parameters(rng, K, 4, mean_prior=True, row_offsets=True)
    assert_statistics(e_step(q, block_of(X, 5)), oracles.spherical_statistics(X, q))


@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_of_many_tasks(rng, weighted):
    X = with_holes(rng, 700, 3, 0.5)
    weights = rng.gamma(1.0, 1.0, 700) if weighted else None
    q = parameters(rng, 2, 3, row_offsets=True)
    expected = oracles.spherical_statistics(X, q, weights)
    assert_statistics(e_step(q, block_of(X, 690, weights)), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (9, 1)])
def test_single_rows_and_columns(rng, shape):
    X = with_holes(rng, *shape, missing=0.0)
    q = parameters(rng, 3, shape[1], mean_prior=True, row_offsets=True)
    assert_statistics(e_step(q, block_of(X)), oracles.spherical_statistics(X, q))


def test_nothing_observed_at_all(rng):
    X = np.full((4, 3), np.nan)
    q = parameters(rng, 2, 3, row_offsets=True)
    got = e_step(q, block_of(X))
    assert got.log_likelihood == 0.0
    close(got.rows, 4 * q.weights)
    close(got.offset_squares, 4 * q.weights * q.offset_variance)
    for name in ("cells", "residuals", "support", "deviations"):
        np.testing.assert_array_equal(getattr(got, name), 0.0)


@pytest.mark.parametrize("cut", [1, 6, 15, 29])
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_of_parts_add_up_to_those_of_the_whole(rng, cut, weighted):
    X = with_holes(rng, 30, 5, 0.4, empty_rows=(0, 7))
    observed = ObservedMatrix.from_dense(X, row_weights=np.arange(30.0) if weighted else None)
    q = parameters(rng, 3, 5, mean_prior=True, row_offsets=True)
    whole = e_step(q, Block(observed))
    parts = [Block(observed.select_rows(rows)) for rows in (slice(0, cut), slice(cut, 30))]
    together = reduce(add, (e_step(q, part) for part in parts))
    assert_statistics(together, {name: getattr(whole, name) for name in NAMES})


def test_row_weights_count_rows_several_times(rng):
    X = with_holes(rng, 10, 4, 0.3)
    times = np.array([0, 1, 2, 3, 1, 0, 1, 5, 1, 2])
    q = parameters(rng, 2, 4, mean_prior=True, row_offsets=True)
    weighted = e_step(q, block_of(X, row_weights=times.astype(float)))
    repeated = e_step(q, block_of(np.repeat(X, times, axis=0)))
    assert_statistics(weighted, {name: getattr(repeated, name) for name in NAMES})


def test_tiles_fit_the_cache_and_do_not_change_what_is_computed(rng):
    observed = ObservedMatrix.from_dense(with_holes(rng, 400, 3, 0.3))
    q = parameters(rng, 4, 3)
    whole = Block(observed, row_bytes(4, 8, False))
    assert whole.tiles() == [(0, 400)]
    tall = Block(observed, row_bytes=(1 << 20) // 50)
    assert [rows for _, rows in tall.tiles()] == [50] * 8
    # so few entries that lines of 50 rows would be nearly empty: taller tiles
    sparse = ObservedMatrix.from_dense(with_holes(rng, 400, 3, 0.95))
    assert Block(sparse, row_bytes=(1 << 20) // 50).tile_rows > 50
    assert_statistics(e_step(q, tall), {n: getattr(e_step(q, whole), n) for n in NAMES})


# ------------------------------------------------------------------ posterior


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize("mean_prior", [False, True])
def test_posterior(rng, mean_prior, row_offsets, dtype):
    X = with_holes(rng, 30, 6, 0.4, dtype, empty_rows=(4, 29))
    weights = rng.gamma(1.0, 1.0, 30)
    q = parameters(rng, 3, 6, mean_prior, row_offsets, dtype)
    rows = oracles.spherical_rows(X, q)
    expected = oracles.spherical_statistics(X, q, weights)
    for tile_rows in (1, 8, 30):
        got = posterior(q, block_of(X, tile_rows, weights))
        close(got.responsibilities, rows.post, dtype)  # unweighted
        close(got.log_joint, rows.log_joint, dtype, 10)
        close(got.offsets, rows.offsets, dtype)
        close(got.offset_variances, rows.offset_variances, dtype)
        close(got.log_densities(), rows.log_densities(), dtype, 10)
        assert got.log_likelihood == pytest.approx(
            expected["log_likelihood"], rel=1e-10 if dtype == np.float64 else 1e-5
        )
        np.testing.assert_allclose(got.responsibilities[[4, 29]], [q.weights] * 2, rtol=1e-6)
        np.testing.assert_allclose(got.log_densities()[[4, 29]], 0.0, atol=1e-14)


def test_a_component_without_weight_gets_nothing(rng):
    X = with_holes(rng, 12, 3, empty_rows=(2,))
    q = parameters(rng, 3, 3)._replace(weights=np.array([0.3, 0.0, 0.7]))
    got = posterior(q, block_of(X))
    np.testing.assert_array_equal(got.responsibilities[:, 1], 0.0)
    np.testing.assert_array_equal(got.log_joint[:, 1], -np.inf)
    np.testing.assert_allclose(got.responsibilities.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(got.responsibilities[2], q.weights, rtol=1e-14)
    statistics = e_step(q, block_of(X))
    for name in ("rows", "cells", "residuals", "support", "deviations"):
        np.testing.assert_array_equal(getattr(statistics, name)[..., 1], 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_negligible_responsibilities_are_zero_and_the_rest_sums_to_one(dtype):
    # gaps in log density of about 40 (kept) and 80 (dropped)
    q = parameters(np.random.default_rng(0), 3, 1)._replace(
        weights=np.full(3, 1 / 3),
        means=np.array([[0.0], [-(80**0.5)], [160**0.5]]),
        variances=np.ones(3),
    )
    post = posterior(q, block_of(np.zeros((1, 1), dtype))).responsibilities[0]
    np.testing.assert_allclose(post[1], np.exp(-40), rtol=1e-12 if dtype == np.float64 else 1e-5)
    assert post[2] == 0.0
    assert post.sum() == 1.0


# ------------------------------------------------------------------ given responsibilities


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mean_prior", [False, True])
def test_statistics_of_given_responsibilities(rng, mean_prior, weighted, dtype):
    X = with_holes(rng, 20, 5, 0.4, dtype, empty_rows=(3,), empty_columns=(4,))
    weights = rng.gamma(1.0, 1.0, 20) if weighted else None
    post = rng.dirichlet(np.ones(3), 20)
    q = parameters(rng, 3, 5, mean_prior, False, dtype)
    expected = oracles.spherical_statistics(X, q, weights, post)
    for tile_rows in (1, 6, 20):
        got = statistics_of(post, q, block_of(X, tile_rows, weights))
        assert np.isnan(got.log_likelihood)
        assert_statistics(got, expected, dtype, NAMES[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean_prior", [False, True])
def test_known_offsets_are_taken_out_first(rng, mean_prior, dtype):
    X = with_holes(rng, 20, 5, 0.4, dtype, empty_rows=(3,))
    weights = rng.gamma(1.0, 1.0, 20)
    offsets = rng.normal(size=20)
    post = rng.dirichlet(np.ones(3), 20)
    q = parameters(rng, 3, 5, mean_prior, True, dtype)  # whose offset variance plays no part
    expected = oracles.spherical_statistics(X.astype(float) - offsets[:, None], q, weights, post)
    for tile_rows in (6, 20):
        got = statistics_of(post, q, block_of(X, tile_rows, weights), offsets)
        assert_statistics(got, expected, dtype, NAMES[1:])


def test_given_responsibilities_make_the_textbook_m_step(rng):
    X = with_holes(rng, 20, 5, 0.3)
    post = rng.dirichlet(np.ones(2), 20)
    q = parameters(rng, 2, 5)
    got = m_step(statistics_of(post, q, block_of(X)), q, Density(min_variance=0.25, min_support=1))
    marked = np.where(np.isnan(X), 0.0, X)
    expected = oracles.mstep(marked, post, oracles.Mixture(q.means, q.variances, q.weights))
    close(got.means, expected.mu)
    close(got.variances, expected.var)
    close(got.weights, expected.p)


# ------------------------------------------------------------------ the same bits every time


@pytest.fixture
def two_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this process may use one thread only")
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile_rows", [700, 2000])
def test_bits_do_not_depend_on_the_number_of_threads(
    rng, two_threads, monkeypatch, tile_rows, dtype
):
    monkeypatch.setattr(threads, "SMALL_WORK", 0)  # so that both threads do work
    X = with_holes(rng, 2000, 40, 0.6, dtype)
    q = parameters(rng, 5, 40, mean_prior=True, row_offsets=True, dtype=dtype)
    weights = rng.gamma(1.0, 1.0, 2000)
    results = []
    for n_threads in (1, 2, 2, 1):
        numba.set_num_threads(n_threads)
        block = block_of(X, tile_rows, weights)
        got, rows = e_step(q, block), posterior(q, block)
        given = statistics_of(rows.responsibilities, q, block)
        results.append(
            [np.asarray(getattr(got, name)).tobytes() for name in NAMES]
            + [np.asarray(part).tobytes() for part in rows]
            + [np.asarray(getattr(given, name)).tobytes() for name in NAMES[1:]]
        )
    assert results[0] == results[1] == results[2] == results[3]
