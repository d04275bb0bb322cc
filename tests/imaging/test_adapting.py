from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import patch_oracle as oracle
from mixmend.imaging import denoise
from mixmend.imaging.adapting import ALL_PIXELS, LEFT, PIXELS, adapted
from mixmend.imaging.patches import extract_patches, patch_grid

NOISE = 0.01


@pytest.mark.parametrize(
    ("shape", "stride"),
    [((30, 31), 2), ((30, 31), 3), ((270, 280), 2)],  # the last in two chunks
)
@pytest.mark.parametrize("remove_mean", [False, True])
def test_a_prior_is_drawn_to_each_component_s_patches(rng, remove_mean, shape, stride):
    prior = oracle.random_prior(rng, remove_mean=remove_mean)
    image = oracle.picture(rng, shape)
    patches = extract_patches(image, patch_grid(image.shape, 3, stride))
    if remove_mean:
        patches -= patches.mean(axis=1, keepdims=True)
    basis = oracle.coordinates(prior)
    q = basis.shape[1]
    scores = [
        np.log(w)
        + multivariate_normal(
            m @ basis, basis.T @ c @ basis + LEFT * NOISE**0.5 * np.eye(q)
        ).logpdf(patches @ basis)
        for w, m, c in zip(prior.weights, prior.means, prior.covariances, strict=True)
    ]
    winners = np.argmax(scores, axis=0)
    assert len(np.unique(winners)) > 1
    found = adapted(prior, image, NOISE, stride)
    for k in range(prior.n_components):
        own = patches[winners == k] - prior.means[k]
        strength = PIXELS / stride**2  # of pixels that stride^2 of are one patch
        total = strength * prior.covariances[k] + own.T @ own
        expected = total / (strength + len(own))
        np.testing.assert_allclose(found.covariances[k], expected, rtol=1e-9, atol=1e-15)
        strength = ALL_PIXELS / stride**2
        weight = (strength * prior.weights[k] + len(own)) / (strength + len(patches))
        assert found.weights[k] == pytest.approx(weight, rel=1e-12)
    np.testing.assert_allclose(found.means, prior.means, atol=1e-15)
    assert (found.patch_size, found.remove_mean) == (3, remove_mean)


@pytest.fixture
def cloth(rng):
    """A weave that no prior of random patches has seen."""
    y, x = np.mgrid[0:64, 0:64]
    return 0.5 + 0.15 * np.sin(2.1 * x + 0.9 * y) * np.cos(1.3 * y)


def test_what_a_picture_has_much_of_is_learned_from_itself(cloth, rng):
    prior = oracle.random_prior(rng, n_components=3, patch_size=4, remove_mean=True)
    noisy = cloth + rng.normal(0, 0.1, cloth.shape)
    errors = [np.mean((denoise(noisy, 0.1, prior, adapt=a) - cloth) ** 2) for a in (True, False)]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("mode", ["full", "fast"])
def test_both_modes_adapt_unless_told_otherwise(cloth, rng, mode):
    prior = oracle.random_prior(rng, n_components=3, patch_size=4, remove_mean=True)
    noisy = cloth + rng.normal(0, 0.1, cloth.shape)
    found = denoise(noisy, 0.1, prior, mode=mode)
    np.testing.assert_array_equal(found, denoise(noisy, 0.1, prior, mode=mode, adapt=True))
    other = denoise(noisy, 0.1, prior, mode=mode, adapt=False)
    assert np.abs(found - other).max() > 1e-3


def test_components_may_be_chosen_by_fewer_correlations_and_nodes(cloth, rng):
    prior = oracle.random_prior(rng, n_components=30, patch_size=4, remove_mean=True)
    exact = adapted(prior, cloth, NOISE)
    same = adapted(prior, cloth, NOISE, rank=15, beam=4)
    np.testing.assert_allclose(same.covariances, exact.covariances, rtol=1e-9, atol=1e-15)
    for options in ({"rank": 1}, {"beam": 1}):
        other = adapted(prior, cloth, NOISE, **options)
        assert np.abs(other.weights - exact.weights).max() > 1e-6
