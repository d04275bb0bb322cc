from __future__ import annotations

import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.imaging import PatchPrior
from mixmend.imaging.training import LEAST_VARIANCE, draw_patches, grouped_start, minibatches


def test_a_start_groups_patches_around_some_of_them(rng):
    patches = rng.normal(0, [[0.1], [0.3]] * 100, (200, 4)) + 0.2
    weights, means, covariances = grouped_start(patches, 3, np.random.default_rng(5))
    centred = patches - patches.mean(axis=0)
    drawn = centred[np.random.default_rng(5).choice(200, 3, replace=False)]
    nearest = ((centred[:, None] - drawn) ** 2).sum(axis=2).argmin(axis=1)
    pooled = centred.T @ centred / 200 + LEAST_VARIANCE * np.eye(4)
    for k in range(3):
        own = centred[nearest == k]
        contrast = (own**2).sum() / len(own)
        total = own.T @ own + 100 * contrast * pooled / np.trace(pooled)
        expected = total / (len(own) + 100) + LEAST_VARIANCE * np.eye(4)
        np.testing.assert_allclose(covariances[k], expected, rtol=1e-10)
        assert weights[k] == pytest.approx(len(own) / 200)
    np.testing.assert_allclose(means, np.tile(patches.mean(axis=0), (3, 1)))


def test_a_start_leaves_out_patches_with_holes(rng):
    patches = rng.normal(size=(60, 4))
    holed = np.concatenate([patches, np.full((5, 4), np.nan)])
    some, same = (grouped_start(p, 2, np.random.default_rng(0)) for p in (patches, holed))
    np.testing.assert_array_equal(some[2], same[2])
    assert grouped_start(np.where(rng.random((60, 4)) < 0.5, np.nan, patches), 2, rng) is None


@pytest.mark.parametrize(
    ("n_patches", "n_components", "expected"),
    [
        (3_000_000, 200, [60_000] * 50),  # no larger than worth waiting for
        (500_000, 200, [20_000] * 25),  # no smaller than components bear
        (15_000, 3, [300] * 50),  # fifty where that fits between
        (50, 3, [50]),
    ],
)
def test_patches_are_dealt_to_minibatches(n_patches, n_components, expected):
    assert minibatches(n_patches, n_components) == expected


def test_what_is_left_over_goes_to_the_last_minibatch():
    sizes = minibatches(500_321, 200)
    assert sum(sizes) == 500_321
    assert sizes[-1] == 20_321


def test_flat_patches_keep_their_own_covariance(rng):
    """Half of the picture has a thousandth of the other half's contrast."""
    picture = 0.5 + rng.normal(0, np.repeat([0.2, 0.006], 60)[:, None], (120, 80)).clip(-0.5, 0.5)
    prior = PatchPrior.fit([picture], 3, 2, n_patches=2000)
    widths = np.einsum("kii->k", prior.covariances) / 8
    assert widths.min() == pytest.approx(0.006**2, rel=0.1)


def test_few_patches_borrow_their_shape_from_all(rng):
    """Ten patches for each component: its covariance alone would be nearly singular."""
    picture = oracle.picture(rng, (40, 40)).clip(0, 1)
    prior = PatchPrior.fit([picture], 4, 12, n_patches=120)
    fresh = draw_patches([picture], 4, 2000, True, np.random.default_rng(9))
    pooled = PatchPrior.fit([picture], 4, 1, n_patches=120)
    assert oracle.log_density(fresh, prior) > oracle.log_density(fresh, pooled)
