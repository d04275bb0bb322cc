"""On complete data, from the same start, every step is scikit-learn's, to rounding."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.mixture
from sklearn.datasets import make_spd_matrix

import mixmend as mm

SHAPES = [(40, 1, 1), (60, 1, 3), (200, 2, 2), (150, 6, 3), (400, 5, 8), (90, 17, 2)]


def start_of(covariance_type, X, n_components, rng):
    d = X.shape[1]
    means = X[rng.choice(len(X), n_components, replace=False)]
    scale = X.var(axis=0).mean()
    matrices = np.stack(
        [
            scale * make_spd_matrix(d, random_state=int(s))
            for s in rng.integers(1000, size=n_components)
        ]
    )
    covariances = {
        "spherical": scale * rng.uniform(0.5, 2, n_components),
        "diag": scale * rng.uniform(0.5, 2, (n_components, d)),
        "tied": matrices[0],
        "full": matrices,
    }[covariance_type]
    return rng.dirichlet(np.full(n_components, 5.0)), means, covariances


def both(covariance_type, X, n_components, seed, steps):
    weights, means, covariances = start_of(
        covariance_type, X, n_components, np.random.default_rng(seed)
    )
    common = {"max_iter": steps, "tol": 0.0, "weights_init": weights, "means_init": means}
    ours = mm.GaussianMixture(
        n_components, covariance_type, covariances_init=covariances, **common
    ).fit(X)
    matrices = covariance_type in ("tied", "full")
    theirs = sklearn.mixture.GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        reg_covar=0.0,
        precisions_init=np.linalg.inv(covariances) if matrices else 1 / covariances,
        **common,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge
        theirs.fit(X)
    return ours, theirs


@pytest.mark.filterwarnings("ignore::mixmend.errors.CollapsedComponentWarning")
@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "tied", "full"])
@pytest.mark.parametrize(("n", "d", "n_components"), SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_ten_steps_are_scikit_learns(covariance_type, n, d, n_components, seed):
    rng = np.random.default_rng(100 + seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 3, d) + rng.choice([-3, 0, 4], (n, 1))
    ours, theirs = both(covariance_type, X, n_components, seed, 10)
    assert ours.n_iter_ == theirs.n_iter_ == 10
    # theirs are taken before each step, ours before the first and after each
    np.testing.assert_allclose(
        np.array(ours.history_[:10]) / n, theirs.lower_bounds_, rtol=1e-8, atol=1e-8
    )
    assert ours.log_likelihood_ / n == pytest.approx(theirs.score(X), rel=1e-8, abs=1e-8)
    np.testing.assert_allclose(ours.weights_, theirs.weights_, atol=1e-6)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-8)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-8)


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "tied", "full"])
def test_the_comparison_sees_a_step_more(covariance_type):
    X = np.random.default_rng(0).normal(size=(100, 3))
    ours, _ = both(covariance_type, X, 2, 0, 10)
    _, theirs = both(covariance_type, X, 2, 0, 9)
    assert ours.log_likelihood_ / 100 != pytest.approx(theirs.score(X), rel=1e-8)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("d", "n_components"), [(3, 1), (4, 1), (3, 2)])
def test_factors_one_less_than_columns_reach_full(d, n_components, missing):
    rng = np.random.default_rng(2)
    X = np.vstack(
        [
            rng.multivariate_normal(m * np.ones(d), make_spd_matrix(d, random_state=1 + m), 150)
            for m in (0, 4)
        ]
    )
    if n_components == 1:
        X = X[:150]
    X[rng.random(X.shape) < missing] = np.nan
    options = {"max_iter": 3000, "tol": 1e-11, "accelerate": True, "random_state": 0}
    full = mm.GaussianMixture(n_components, "full", **options).fit(X)
    factor = mm.GaussianMixture(n_components, "factor", n_factors=d - 1, **options).fit(X)
    assert factor.log_likelihood_ == pytest.approx(full.log_likelihood_, rel=1e-6)
    np.testing.assert_allclose(factor.covariance(), full.covariance(), rtol=0.02, atol=0.02)
