"""The E-step of tied covariances against that of full ones, and against plain loops."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from full_oracle import random_mixture, sums, with_holes
from mixmend.mixtures import tied
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.observed.matrix import ObservedMatrix


def mixture(rng, n_components, d):
    weights, means, covariances = random_mixture(rng, n_components, d)
    return tied.Parameters(weights, means, covariances[0])


def block_of(X, n_components, row_weights=None):
    return PatternBlock(ObservedMatrix.from_dense(X, row_weights=row_weights), n_components)


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_components", "d"), [(1, 1), (3, 3), (5, 9), (17, 6), (9, 12)])
def test_statistics_are_those_of_plain_loops(rng, n_components, d, share, weighted):
    parameters = mixture(rng, n_components, d)
    X = with_holes(rng, 2.0 * rng.normal(size=(70, d)) + 1.0, share)
    row_weights = rng.random(70) * (rng.random(70) < 0.8) if weighted else None
    wanted = sums(X, *tied.as_full(parameters), row_weights)
    statistics = tied.e_step(parameters, block_of(X, n_components, row_weights))
    assert statistics.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(statistics.rows, wanted.rows, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(statistics.first, wanted.first, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(statistics.second, wanted.second.sum(axis=0), rtol=1e-9, atol=1e-9)


def test_means_far_apart_do_not_cancel(rng):
    """Clusters a million standard deviations apart keep the scatter within them."""
    owner = np.repeat([0, 1], 2000)
    X = rng.normal(size=(4000, 3)) + 1e6 * owner[:, None]
    parameters = tied.Parameters(np.full(2, 0.5), np.array([[0.0] * 3, [1e6] * 3]), np.eye(3))
    statistics = tied.e_step(parameters, block_of(X, 2))
    residuals = X - 1e6 * owner[:, None]
    np.testing.assert_allclose(statistics.second, residuals.T @ residuals, rtol=1e-7, atol=1e-4)


def test_results_do_not_depend_on_threads(rng):
    parameters = mixture(rng, 9, 12)
    block = block_of(rng.normal(size=(20_000, 12)), 9)
    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(tied.e_step(parameters, block))
    finally:
        numba.set_num_threads(before)
    assert len(block.common.task_tiles) > 10
    for name in ("log_likelihood", "rows", "first", "second"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
