from __future__ import annotations

import numpy as np
import pytest

from mixmend.imaging.adapting import ALL_PIXELS
from mixmend.imaging.holes import PIXELS, Seen, adapted, estimates, hole_tables
from mixmend.imaging.patches import extract_patches, patch_grid, sum_patches
from mixmend.imaging.prior import PatchPrior
from patch_oracle import random_prior

SHAPE = (21, 85)  # two bands, two tiles and a remainder


def conditioned(patch, noise, prior, k):
    """Log density of a patch's known pixels, conditional means and covariance, by the book."""
    d = len(patch)
    covariance = prior.covariances[k] + 1e-6 * np.eye(d)
    if prior.remove_mean:
        covariance = covariance + 0.25
    o = np.isfinite(noise)
    known = covariance[np.ix_(o, o)] + np.diag(noise[o])
    gap = patch[o] - prior.means[k][o]
    gain = np.linalg.solve(known, covariance[o]).T
    log_density = -0.5 * (np.linalg.slogdet(known)[1] + gap @ np.linalg.solve(known, gap))
    mean = prior.means[k] + gain @ gap
    return log_density, mean, covariance - gain @ covariance[o]


def by_the_book(seen, grid, prior):
    """Winners, means and covariances of all patches; None where nothing is known."""
    values = extract_patches(np.where(np.isfinite(seen.variances), seen.values, 0.0), grid)
    found = []
    for patch, noise in zip(values, extract_patches(seen.variances, grid), strict=True):
        if np.isinf(noise).all():
            found.append((-1, None, None))
            continue
        parts = [conditioned(patch, noise, prior, k) for k in range(prior.n_components)]
        joint = [np.log(w) + part[0] for w, part in zip(prior.weights, parts, strict=True)]
        best = int(np.argmax(joint))
        found.append((best, *parts[best][1:]))
    return found


def a_sight(rng, share=0.5, shape=SHAPE):
    """Known pixels of different noise, some without, and holes of NaN, one of them wide."""
    values = np.kron(rng.normal(0, 0.1, (shape[0], 17)), np.ones((1, 5)))[:, : shape[1]]
    variances = rng.choice([0.0, 1e-4, 0.01], size=shape)
    holes = rng.random(shape) < share
    holes[3:12, 40:50] = True
    return Seen(np.where(holes, np.nan, values), np.where(holes, np.inf, variances))


@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.85])
def test_patches_with_holes_are_estimated_as_by_the_book(rng, remove_mean, share):
    prior = random_prior(rng, n_components=11, patch_size=4, remove_mean=remove_mean)
    seen = a_sight(rng, share)
    grid = patch_grid(SHAPE, 4, stride=2, offset=(1, 0))
    found = estimates(seen, grid, hole_tables(prior))
    expected = by_the_book(seen, grid, prior)
    np.testing.assert_array_equal(found.winners.ravel(), [k for k, *_ in expected])
    assert len(np.unique(found.winners)) > 4
    means, spread, weights = np.zeros((3, grid.n_patches, 16))
    for n, (k, mean, covariance) in enumerate(expected):
        if k >= 0:
            variance = np.maximum(np.diagonal(covariance), 1e-9)
            weights[n], means[n], spread[n] = variance**-0.25, mean, variance
    total = sum_patches(weights, grid)
    assert (total == 0).any()
    with np.errstate(invalid="ignore"):
        mean = sum_patches(weights * means, grid) / total
        variance = sum_patches(weights * spread, grid) / total
    np.testing.assert_allclose(found.means, mean, atol=1e-6)
    np.testing.assert_allclose(found.variances, variance, rtol=1e-4, atol=1e-8)


def test_only_wanted_patches_count(rng):
    prior = random_prior(rng, patch_size=4)
    seen = a_sight(rng)
    grid = patch_grid(SHAPE, 4, stride=3)
    wanted = np.zeros((len(grid.rows), len(grid.columns)), np.bool_)
    wanted[0, 1] = True
    found = estimates(seen, grid, hole_tables(prior), wanted)
    reached = np.zeros(SHAPE, np.bool_)
    reached[:4, 3:7] = True
    np.testing.assert_array_equal(np.isfinite(found.means), reached)
    np.testing.assert_array_equal(found.winners >= 0, wanted)


def test_components_without_weight_never_win(rng):
    prior = random_prior(rng, n_components=9, patch_size=4)
    seen, grid = a_sight(rng), patch_grid(SHAPE, 4, stride=3)
    favourite = np.bincount(estimates(seen, grid, hole_tables(prior)).winners.ravel() + 1)[1:]
    weights = prior.weights.copy()
    weights[favourite.argmax()] = 0.0
    without = PatchPrior.from_mixture(weights, prior.means, prior.covariances, 4, False)
    assert favourite.argmax() not in estimates(seen, grid, hole_tables(without)).winners


@pytest.mark.parametrize("remove_mean", [False, True])
def test_adaptation_is_the_most_probable_mixture_given_the_expectations(rng, remove_mean):
    prior = random_prior(rng, n_components=3, patch_size=4, remove_mean=remove_mean)
    seen, grid = a_sight(rng), patch_grid(SHAPE, 4, stride=3)
    tables = hole_tables(prior)
    winners = estimates(seen, grid, tables).winners
    found = adapted(prior, seen, grid, tables, winners, stride=3)
    second, counts = PIXELS / 9 * prior.covariances, np.zeros(3)
    for k, mean, covariance in by_the_book(seen, grid, prior):
        if k >= 0:
            gap = mean - prior.means[k]
            second[k] += covariance + np.outer(gap, gap)
            counts[k] += 1
    expected = second / (PIXELS / 9 + counts)[:, None, None]
    if remove_mean:
        centring = np.eye(16) - 1 / 16
        expected = centring @ expected @ centring
    np.testing.assert_allclose(found.covariances, expected, atol=1e-8)
    strength = ALL_PIXELS / 9  # a patch stands for 9 pixels
    weights = (strength * prior.weights + counts) / (strength + counts.sum())
    np.testing.assert_allclose(found.weights, weights)
    np.testing.assert_allclose(found.means, prior.means, atol=1e-15)
