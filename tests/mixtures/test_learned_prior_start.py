"""The learned prior of the means begins wide enough for components that lie far apart."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm

CORNERS = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0]])


@pytest.mark.parametrize("center", ["none", "columns"])
def test_separated_clusters_stay_apart_under_the_learned_prior(rng, center):
    """One component has equal column means: begun at their spread, s would be next to 0."""
    X = np.concatenate([rng.normal(0, 0.1, (50, 2)), rng.normal(10, 0.1, (50, 2))])
    gm = mm.GaussianMixture(2, prior="default", center=center, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(gm.means_[:, 0]), [0, 10], atol=0.1)
    assert gm.prior_variance_ == pytest.approx(25, rel=0.1)
    plain = mm.GaussianMixture(2, random_state=0).fit(X)
    assert plain.log_likelihood_ - gm.log_likelihood_ < 5


@pytest.mark.parametrize("given", [None, CORNERS])
def test_clusters_in_two_columns_are_not_drawn_to_one_point(given):
    """One component says nothing of how far several are apart, nor may its prior."""
    rng = np.random.default_rng(0)
    X = CORNERS[rng.integers(4, size=300)] + rng.normal(size=(300, 2))
    model = mm.GaussianMixture(4, prior="default", means_init=given, n_init=3, random_state=0)
    model.fit(X)
    nearest = np.linalg.norm(model.means_[:, None] - CORNERS, axis=2).argmin(axis=0)
    np.testing.assert_allclose(model.means_[nearest], CORNERS, atol=0.4)
    assert 6 < model.prior_variance_ < 13  # 9 in the square
