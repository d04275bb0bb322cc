"""The learned prior of the means begins wide enough for components that lie far apart."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm


@pytest.mark.parametrize("center", ["none", "columns"])
def test_separated_clusters_stay_apart_under_the_learned_prior(rng, center):
    """One component has equal column means: begun at their spread, s would be next to 0."""
    X = np.concatenate([rng.normal(0, 0.1, (50, 2)), rng.normal(10, 0.1, (50, 2))])
    gm = mm.GaussianMixture(2, prior="default", center=center, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(gm.means_[:, 0]), [0, 10], atol=0.1)
    assert gm.prior_variance_ == pytest.approx(25, rel=0.1)
    plain = mm.GaussianMixture(2, random_state=0).fit(X)
    assert plain.log_likelihood_ - gm.log_likelihood_ < 5
