"""Rows folded into mixtures of dependent columns: conditionals, moments and joint draws."""

from __future__ import annotations

import numpy as np
import pytest

from full_oracle import conditional, random_mixture, sums, with_holes
from mixmend.completion import predictive
from mixmend.mixtures import tied
from mixmend.mixtures.full_e_step import Parameters
from mixmend.mixtures.full_family import FULL
from mixmend.mixtures.tied_family import TIED
from mixmend.observed.matrix import ObservedMatrix


def table(rng, d, share, n=40):
    X = with_holes(rng, rng.normal(size=(n, d)), share)
    X[3] = np.nan
    return X


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_cells_are_conditional_on_what_their_row_observes(rng, share):
    X = table(rng, 6, share)
    parameters = Parameters(*random_mixture(rng, 3, 6))
    folded = FULL.fold(parameters, ObservedMatrix.from_dense(X))
    rows, columns = (part[rng.permutation(X.size)] for part in np.indices(X.shape).reshape(2, -1))
    cells = folded.cells(rows, columns)
    log_joint = sums(X, *parameters).log_joint
    shares = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=1)[:, None])
    np.testing.assert_allclose(folded.responsibilities, shares, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(cells.weights, shares[rows], rtol=1e-9, atol=1e-12)
    for k in range(3):
        known = [conditional(x, parameters.means[k], parameters.covariances[k]) for x in X]
        for i, (u, j) in enumerate(zip(rows, columns, strict=True)):
            filled, spread = known[u]
            assert cells.means[i, k] == pytest.approx(filled[j], abs=1e-9)
            assert cells.variances[i, k] == pytest.approx(spread[j, j], abs=1e-9)


def test_moments_are_those_of_the_cells(rng):
    X = table(rng, 6, 0.4)
    folded = FULL.fold(Parameters(*random_mixture(rng, 3, 6)), ObservedMatrix.from_dense(X))
    rows, columns = np.indices((20, 6)).reshape(2, -1)
    cells = folded.cells(rows + 5, columns)
    mean, spread = folded.moments(slice(5, 25))
    np.testing.assert_allclose(mean.ravel(), predictive.mean(cells), atol=1e-12)
    np.testing.assert_allclose(spread.ravel(), predictive.variance(cells), atol=1e-12)
    assert folded.moments(slice(0, 2), variance=False)[1] is None
    np.testing.assert_array_equal(mean[~np.isnan(X[5:25])], X[5:25][~np.isnan(X[5:25])])


def test_log_densities_are_zero_without_cells(rng):
    X = table(rng, 3, 0.4)
    parameters = Parameters(*random_mixture(rng, 3, 3))
    folded = FULL.fold(parameters, ObservedMatrix.from_dense(X))
    assert folded.log_densities[3] == 0.0
    assert folded.log_densities.sum() == pytest.approx(sums(X, *parameters).log_likelihood)
    np.testing.assert_allclose(folded.responsibilities[3], parameters.weights)


def test_draws_have_the_conditional_moments(rng):
    x = np.array([0.3, np.nan, -0.5, np.nan, np.nan, 0.1])
    parameters = Parameters(*random_mixture(rng, 3, 6))
    obs = ObservedMatrix.from_dense(np.tile(x, (40_000, 1)))
    folded = FULL.fold(parameters, obs)
    draws = folded.draw(np.random.default_rng(5))
    np.testing.assert_array_equal(draws[:, [0, 2, 5]], np.tile(x[[0, 2, 5]], (40_000, 1)))
    parts = [conditional(x, m, c) for m, c in zip(*parameters[1:], strict=True)]
    shares = folded.responsibilities[0]
    mean = sum(w * filled for w, (filled, _) in zip(shares, parts, strict=True))
    joint = sum(
        w * (spread + np.outer(filled - mean, filled - mean))
        for w, (filled, spread) in zip(shares, parts, strict=True)
    )
    error = np.sqrt(np.diagonal(joint) / 40_000) + 1e-12
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * error)
    np.testing.assert_allclose(np.cov(draws.T), joint, atol=0.05 * joint.max())


def test_samples_have_the_components_moments(rng):
    parameters = Parameters(*random_mixture(rng, 3, 3))
    labels = np.repeat(np.arange(3), 30_000)
    rows = FULL.sample(parameters, labels, np.random.default_rng(2))
    for k in range(3):
        mine, covariance = rows[labels == k], parameters.covariances[k]
        error = np.sqrt(np.diagonal(covariance) / 30_000)
        assert np.all(np.abs(mine.mean(axis=0) - parameters.means[k]) < 5 * error)
        np.testing.assert_allclose(np.cov(mine.T), covariance, atol=0.05 * covariance.max())


def test_tied_folds_like_full_with_equal_covariances(rng):
    X = table(rng, 3, 0.4)
    weights, means, covariances = random_mixture(rng, 3, 3)
    mine = tied.Parameters(weights, means, covariances[0])
    obs = ObservedMatrix.from_dense(X)
    one = TIED.fold(mine, obs)
    other = FULL.fold(Parameters(weights, means, np.stack([covariances[0]] * 3)), obs)
    np.testing.assert_allclose(one.responsibilities, other.responsibilities)
    np.testing.assert_allclose(one.moments(slice(None))[1], other.moments(slice(None))[1])
    labels = np.array([0, 1, 2, 0])
    np.testing.assert_allclose(
        TIED.sample(mine, labels, np.random.default_rng(0)),
        FULL.sample(tied.as_full(mine), labels, np.random.default_rng(0)),
    )
