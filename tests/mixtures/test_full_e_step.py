"""The E-step of full covariances against plain loops over rows."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from full_oracle import random_mixture, sums, with_holes
from mixmend.mixtures import full_e_step
from mixmend.mixtures.full_e_step import Parameters, e_step, posterior, statistics_of
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.observed.matrix import ObservedMatrix


def block_of(X, n_components, row_weights=None):
    obs = ObservedMatrix.from_dense(X, row_weights=row_weights)
    return PatternBlock(obs, n_components)


def assert_same(statistics, wanted):
    for name in ("rows", "first", "second"):
        np.testing.assert_allclose(
            getattr(statistics, name), getattr(wanted, name), rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("n_components", "d"), [(1, 1), (3, 3), (3, 6), (9, 9)])
def test_statistics_are_those_of_plain_loops(rng, n_components, d, share):
    mixture = random_mixture(rng, n_components, d)
    X = with_holes(rng, rng.normal(size=(70, d)), share)
    X[40:60] = np.where(np.isnan(X[40]), np.nan, X[40:60])  # a pattern of several rows
    row_weights = rng.random(70)
    block = block_of(X, n_components, row_weights)
    wanted = sums(X, *mixture, row_weights)
    statistics = e_step(Parameters(*mixture), block)
    assert statistics.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-11)
    assert_same(statistics, wanted)
    np.testing.assert_allclose(
        posterior(Parameters(*mixture), block).log_joint, wanted.log_joint, rtol=1e-10, atol=1e-10
    )


def test_conditional_covariances_are_part_of_the_second_moments(rng, monkeypatch):
    """Skipping them is the classical fault: the comparison above must see it."""
    mixture = random_mixture(rng, 3, 3)
    X = with_holes(rng, rng.normal(size=(50, 3)), 0.3)
    real = full_e_step.kernels.e_step

    def without_spread(tables, layout, rows, found, *tokens):
        real(tables, layout, rows, found, *tokens)
        found.spread[:] = 0.0

    monkeypatch.setattr(full_e_step.kernels, "e_step", without_spread)
    with pytest.raises(AssertionError):
        assert_same(e_step(Parameters(*mixture), block_of(X, 3)), sums(X, *mixture))


def test_given_shares_replace_responsibilities(rng):
    mixture = random_mixture(rng, 3, 6)
    X = with_holes(rng, rng.normal(size=(50, 6)), 0.5)
    shares = rng.dirichlet(np.ones(3), 50)
    weights = rng.random(50)
    statistics = statistics_of(shares, Parameters(*mixture), block_of(X, 3, weights))
    assert np.isnan(statistics.log_likelihood)
    assert_same(statistics, sums(X, *mixture, weights, shares))


def test_statistics_of_halves_add_up(rng):
    mixture = random_mixture(rng, 3, 6)
    X = with_holes(rng, rng.normal(size=(90, 6)), 0.4)
    whole = e_step(Parameters(*mixture), block_of(X, 3))
    halves = [e_step(Parameters(*mixture), block_of(part, 3)) for part in (X[:35], X[35:])]
    added = halves[0] + halves[1]
    assert added.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
    assert_same(added, whole)


def test_rows_without_cells_say_nothing(rng):
    mixture = random_mixture(rng, 3, 3)
    X = rng.normal(size=(20, 3))
    X[[0, 7, 19]] = np.nan
    block = block_of(X, 3)
    statistics = e_step(Parameters(*mixture), block)
    assert_same(statistics, sums(np.delete(X, [0, 7, 19], axis=0), *mixture))
    np.testing.assert_allclose(
        posterior(Parameters(*mixture), block).responsibilities[7], mixture[0]
    )


def test_a_component_without_weight_gets_no_rows(rng):
    weights, means, covariances = random_mixture(rng, 3, 3)
    weights = np.array([0.0, 0.4, 0.6])
    statistics = e_step(
        Parameters(weights, means, covariances), block_of(rng.normal(size=(30, 3)), 3)
    )
    assert statistics.rows[0] == 0.0
    assert np.isfinite(statistics.log_likelihood)


def test_results_do_not_depend_on_threads(rng):
    mixture = random_mixture(rng, 9, 9)
    X = with_holes(rng, rng.normal(size=(9000, 9)), 0.4)
    block = block_of(X, 9)
    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(e_step(Parameters(*mixture), block))
    finally:
        numba.set_num_threads(before)
    assert len(block.layout.task_tiles) > 10
    for name in ("log_likelihood", "rows", "first", "second"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
def test_a_large_offset_costs_no_digits_that_matter(rng, dtype, offset):
    X = (rng.normal(size=(4000, 3)) + offset).astype(dtype)
    X[rng.random(X.shape) < 0.2] = np.nan
    parameters = Parameters(np.ones(1), np.full((1, 3), offset), np.eye(3)[None])
    statistics = e_step(parameters, block_of(X, 1))
    reference = sums(X.astype(float) - offset, np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    np.testing.assert_allclose(statistics.second, reference.second, rtol=1e-6, atol=1e-3)


def test_tiles_hold_one_kind_and_every_row_once(rng):
    X = with_holes(rng, rng.normal(size=(3000, 9)), 0.5)
    block = block_of(X, 5)
    layout = block.layout
    seen = np.flatnonzero((~np.isnan(X)).any(axis=1))
    np.testing.assert_array_equal(np.sort(layout.order), seen)
    kinds = layout.by_observed[layout.run_patterns]
    for first, end in zip(layout.tile_runs[:-1], layout.tile_runs[1:], strict=True):
        assert len(set(kinds[first:end])) == 1
        assert layout.run_starts[end] - layout.run_starts[first] <= layout.tile_rows
    for run, pattern in enumerate(layout.run_patterns):
        size = layout.sizes[pattern]
        few = layout.columns[pattern, :size]
        for row in layout.order[layout.run_starts[run] : layout.run_starts[run + 1]]:
            holes = np.flatnonzero(np.isnan(X[row]))
            chosen = np.setdiff1d(np.arange(9), few) if layout.by_observed[pattern] else few
            np.testing.assert_array_equal(np.sort(chosen), holes)
