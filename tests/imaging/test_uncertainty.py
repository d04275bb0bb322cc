from __future__ import annotations

import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.imaging import denoise
from mixmend.imaging.patches import patch_grid
from mixmend.imaging.uncertainty import calibration, pixel_variances


@pytest.mark.parametrize("remove_mean", [False, True])
def test_variances_are_averages_of_the_patches_posteriors(rng, remove_mean):
    prior = oracle.random_prior(rng, remove_mean=remove_mean)
    grid = patch_grid((9, 10), 3, 2)
    winners = rng.integers(0, prior.n_components, (len(grid.rows), len(grid.columns)))
    noise = 0.004
    total, counts = np.zeros((9, 10)), np.zeros((9, 10))
    for a, row in enumerate(grid.rows):
        for b, column in enumerate(grid.columns):
            c = prior.covariances[winners[a, b]]
            posterior = c - c @ np.linalg.inv(c + noise * np.eye(9)) @ c
            patch = np.diagonal(posterior) + (noise / 9 if remove_mean else 0.0)
            total[row : row + 3, column : column + 3] += patch.reshape(3, 3)
            counts[row : row + 3, column : column + 3] += 1
    found = pixel_variances(prior, winners.astype(np.int32), grid, noise)
    expected = np.minimum(calibration(noise) * total / counts, noise)
    assert (expected < noise).any()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("mode", ["full", "fast"])
def test_deviations_are_those_of_the_prior_as_it_came(rng, mode):
    """What the prior has been told by the noisy picture must not make it surer."""
    prior = oracle.random_prior(rng, n_components=1, patch_size=4, remove_mean=True)
    y, x = np.mgrid[0:64, 0:64]
    noisy = 0.5 + 0.2 * np.sin(2.1 * x + 0.9 * y) + rng.normal(0, 0.1, (64, 64))
    plain, adapted = (
        denoise(noisy, 0.1, prior, mode=mode, adapt=a, return_std=True)[1][8:56, 8:56].mean()
        for a in (False, True)
    )
    assert adapted == pytest.approx(plain, rel=0.02)
