"""Whatever the matrix, type and options: no step of a fit lowers what it raises."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixmend as mm
from mixmend.errors import LikelihoodDecreasedWarning
from mixmend.mixtures.full import FullDensity
from mixmend.mixtures.priors import DiagonalPrior, NormalInverseWishart, SphericalPrior
from mixture_cases import TYPES, options_of, with_holes

PRIORS = {
    "spherical": SphericalPrior(0.7),
    "diag": DiagonalPrior(0.5, 2.0, 0.3, 2.0),
    "tied": NormalInverseWishart(0.5),
    "full": NormalInverseWishart(0.5),
}


@st.composite
def fits(draw):
    """An estimator, and what it is to be fitted to."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(4, 40)), draw(st.integers(2, 5))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    scale = 10.0 ** draw(st.integers(-3, 3))
    centre = draw(st.sampled_from([0.0, 0.0, 30.0]))
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.choice([-3, 0, 3], (n, 1))
    X = with_holes(scale * (X + centre), draw(st.floats(0.0, 0.9)), draw(st.integers(0, 99)))
    covariance_type = draw(st.sampled_from(TYPES))
    priors = [None, None, "default", PRIORS.get(covariance_type)]
    gm = mm.GaussianMixture(
        draw(st.integers(1, min(4, n))),
        **options_of(covariance_type, draw(st.integers(1, d - 1))),
        init_params=draw(st.sampled_from(["k-means++", "kmeans", "random", "random_from_data"])),
        prior=draw(st.sampled_from(priors)) if covariance_type != "factor" else None,
        min_variance=draw(st.sampled_from([0.0, 0.01, 0.3])) * scale**2,
        accelerate=draw(st.booleans()),
        center=draw(st.sampled_from(["none", "columns", "rows", "biases"]))
        if covariance_type == "spherical"
        else "none",
        tol=0.0,
        max_iter=15,
        random_state=draw(st.integers(0, 99)),
    )
    weights = rng.gamma(1.0, 1.0, n) + 1e-3 if draw(st.booleans()) else None
    return gm, X.astype(dtype), weights


def falls(gm, dtype):
    """By how much each step fell, beyond rounding (of values far from 0 in their own units)."""
    history = np.array(gm.history_)
    relative = 1e-9 if dtype == np.float64 else 1e-5
    return -np.diff(history) - relative * np.maximum(np.abs(history[1:]), 1.0)


@settings(max_examples=60)
@given(fits())
def test_no_step_of_a_fit_falls(case):
    gm, X, weights = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", LikelihoodDecreasedWarning)  # a false alarm is a fault too
        gm.fit(X, sample_weight=weights)
    assert len(gm.history_) == 16
    assert np.isfinite(gm.history_).all()
    assert gm.collapsed_ or falls(gm, X.dtype).max() <= 0
    filled, std = gm.complete(X, return_std=True)
    assert np.isfinite(filled).all()
    assert np.isfinite(std).all()


def test_a_density_that_falls_is_noticed(monkeypatch):
    """The planted error: covariances of an M-step twice as large as they should be."""
    right = FullDensity.m_step

    def wrong(self, statistics, parameters):
        new = right(self, statistics, parameters)
        return new._replace(covariances=2.0 * new.covariances)

    X = with_holes(np.random.default_rng(0).normal(size=(60, 3)), 0.3)
    sound = mm.GaussianMixture(1, "full", tol=0.0, max_iter=5).fit(X)
    assert falls(sound, X.dtype).max() <= 0
    monkeypatch.setattr(FullDensity, "m_step", wrong)
    start = {"means_init": sound.means_, "covariances_init": sound.covariances_}
    with pytest.warns(LikelihoodDecreasedWarning):
        gm = mm.GaussianMixture(1, "full", tol=0.0, max_iter=5, **start).fit(X)
    assert falls(gm, X.dtype).max() > 0
