"""Far from 0 variances stay right: scikit-learn's come out at twice their size."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from mixture_cases import TYPES, known, matched, matrices, options_of, with_holes

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning"),
]


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
@pytest.mark.parametrize("missing", [0.0, 0.25])
@pytest.mark.parametrize("n_components", [1, 2])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_far_from_zero_is_the_fit_near_zero(
    covariance_type, n_components, missing, dtype, offset
):
    X = known(covariance_type, n_components, 4, 5.0, 3).sample(1500)[0]
    far = (with_holes(X, missing) + offset).astype(dtype)
    near = far.astype(np.float64) - offset  # what rounding has left of X, exactly
    options = options_of(covariance_type) | {"n_init": 2, "random_state": 0}
    fit = mm.GaussianMixture(n_components, **options).fit(far)
    expected = mm.GaussianMixture(n_components, **options).fit(near)
    order = matched(fit.means_ - offset, expected.means_)
    np.testing.assert_allclose(fit.weights_[order], expected.weights_, rtol=0.01)
    np.testing.assert_allclose(fit.means_[order] - offset, expected.means_, atol=0.02)
    ours, theirs = (matrices(gm) for gm in (fit, expected))
    scale = np.sqrt(np.einsum("ki,kj->kij", *2 * [np.diagonal(theirs, axis1=1, axis2=2)]))
    np.testing.assert_allclose(ours[order] / scale, theirs / scale, atol=0.01)
    holes = np.isnan(near)
    np.testing.assert_allclose(
        fit.complete(far)[holes] - offset, expected.complete(near)[holes], atol=0.05
    )
    assert fit.score(far) == pytest.approx(expected.score(near), rel=2e-3)
