from __future__ import annotations

import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.imaging import posterior as module
from mixmend.imaging.operators import Blur
from mixmend.imaging.patch_step import basis_of
from mixmend.imaging.posterior import FLOOR, Posterior, components_of

SHAPE = (13, 14)
KERNEL = np.array([[0.1, 0.2, 0.1], [0.1, 0.3, 0.1], [0.0, 0.1, 0.0]])
NOISE, STRENGTH = 0.02**2, 0.3


def dense(operator):
    """F as a matrix."""
    units = np.eye(SHAPE[0] * SHAPE[1]).reshape(-1, *SHAPE)
    return np.stack([operator.forward(unit).ravel() for unit in units], axis=1)


def dense_posterior(operator, prior, found, y):
    """Precision and mean, patch by patch."""
    grid, size = found.grid, prior.patch_size
    rows, columns = SHAPE
    coverage = np.zeros(SHAPE)
    places = []
    for top in grid.rows:
        for left in grid.columns:
            place = [
                ((top + i) % rows) * columns + (left + j) % columns
                for i in range(size)
                for j in range(size)
            ]
            places.append(place)
            coverage.flat[place] += 1
    seen, basis = dense(operator), oracle.coordinates(prior)
    precision = seen.T @ seen / NOISE
    right = seen.T @ y.ravel() / NOISE
    for place, k in zip(places, found.winners.ravel(), strict=True):
        share = STRENGTH * (1 / coverage.flat[place]).mean()
        cov = basis.T @ prior.covariances[k] @ basis + FLOOR * np.eye(basis.shape[1])
        inverse = basis @ np.linalg.inv(cov) @ basis.T
        precision[np.ix_(place, place)] += share * inverse
        right[place] += share * inverse @ prior.means[k]
    return precision, np.linalg.solve(precision, right).reshape(SHAPE)


@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_mean_is_that_of_the_dense_gaussian(rng, boundary, stride, remove_mean, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 30)  # several chunks
    prior = oracle.random_prior(rng, remove_mean=remove_mean)
    operator, y = Blur(KERNEL, SHAPE, boundary), oracle.picture(rng, SHAPE)
    components = components_of(basis_of(prior))
    found = Posterior(operator, NOISE, components, y, 1e-3, STRENGTH, stride, (1, 0))
    precision, mean = dense_posterior(operator, prior, found, y)
    assert len(np.unique(found.winners)) > 1
    np.testing.assert_allclose(found.mean(y, y, tol=1e-10), mean, atol=1e-7)
    x = rng.normal(size=SHAPE)
    np.testing.assert_allclose(found.apply(x).ravel(), precision @ x.ravel(), rtol=1e-9)


def test_components_are_those_of_the_estimate_with_what_may_be_wrong_with_it(rng):
    prior = oracle.random_prior(rng)
    operator, y = Blur(KERNEL, SHAPE, "reflect"), oracle.picture(rng, SHAPE)
    components = components_of(basis_of(prior))
    winners = [
        Posterior(operator, NOISE, components, y, spread, STRENGTH).winners.ravel()
        for spread in (1e-3, 1e-1)
    ]
    patches = np.lib.stride_tricks.sliding_window_view(y, (3, 3)).reshape(-1, 9)
    for spread, found in zip((1e-3, 1e-1), winners, strict=True):
        np.testing.assert_array_equal(found, oracle.log_joint(patches, prior, spread).argmax(1))
    assert (winners[0] != winners[1]).any()


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_draws_have_the_covariance_of_the_posterior(rng, boundary):
    prior = oracle.random_prior(rng, remove_mean=True)
    operator, y = Blur(KERNEL, SHAPE, boundary), oracle.picture(rng, SHAPE)
    components = components_of(basis_of(prior))
    found = Posterior(operator, NOISE, components, y, 1e-3, STRENGTH, 2)
    precision, _ = dense_posterior(operator, prior, found, y)
    n = 60
    draws = np.array([found.draw(rng, 1e-3).ravel() for _ in range(n)])
    # e' H e is chi-squared: its mean over n draws is the number of pixels, to 4 deviations
    squares = np.einsum("ni,ij,nj->n", draws, precision, draws)
    pixels = draws.shape[1]
    assert squares.mean() == pytest.approx(pixels, abs=4 * np.sqrt(2 * pixels / n))
    assert squares.var() == pytest.approx(2 * pixels, rel=4 * np.sqrt(2 / n))
    expected = np.diagonal(np.linalg.inv(precision))
    ratio = (draws**2).mean(axis=0) / expected
    assert abs(ratio - 1).max() < 5 * np.sqrt(2 / n)


def test_variances_with_one_component_are_the_diagonal_of_the_dense_inverse(rng):
    """Periodic, with all patches and one component, every pixel is as well known: 40 draws of
    182 pixels leave an error of at most sqrt(2 / 40) for one, less for their average."""
    prior = oracle.random_prior(rng, n_components=1, remove_mean=True)
    operator, y = Blur(KERNEL, SHAPE), oracle.picture(rng, SHAPE)
    components = components_of(basis_of(prior))
    found = Posterior(operator, NOISE, components, y, 1e-3, STRENGTH)
    precision, _ = dense_posterior(operator, prior, found, y)
    expected = np.sqrt(np.diagonal(np.linalg.inv(precision)).reshape(SHAPE))
    assert np.ptp(expected) < 1e-2 * expected.mean()
    std = np.sqrt(found.variances(40, rng))
    np.testing.assert_allclose(std, expected, rtol=0.05)


def test_variances_tell_components_apart(rng):
    """Half of the picture is flat, and known better than the rough half."""
    d = 9
    covariances = np.stack([1e-4 * np.eye(d), 0.05 * np.eye(d)])
    prior = module.patch_step.PatchPrior.from_mixture(
        np.array([0.5, 0.5]), np.zeros((2, d)), covariances, 3, True
    )
    x = np.full((16, 40), 0.5)
    x[:, 20:] += rng.normal(0, 0.2, (16, 20))
    operator = Blur(KERNEL, x.shape, "reflect")
    found = Posterior(operator, NOISE, components_of(basis_of(prior)), x, 1e-4, 1.0)
    draws = np.mean([found.draw(rng) ** 2 for _ in range(25)], axis=0)
    variances = found.variances(8, rng)
    for part in (np.s_[:, 3:15], np.s_[:, 25:37]):
        assert variances[part].mean() == pytest.approx(draws[part].mean(), rel=0.2)
    assert variances[:, 25:37].mean() > 4 * variances[:, 3:15].mean()
