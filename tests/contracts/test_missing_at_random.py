"""Holes that depend on what is seen do not bias what is learned, and who cannot help it says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import IndependenceWarning, LikelihoodDecreasedWarning
from mixmend.mixtures import full_e_step
from mixture_cases import options_of


def correlated_pair():
    """x1 and x2 standard normal with correlation .8; x2 is hidden where x1 > .3."""
    rng = np.random.default_rng(11)
    x1 = rng.normal(size=20_000)
    x2 = 0.8 * x1 + 0.6 * rng.normal(size=20_000)
    return np.column_stack([x1, np.where(x1 > 0.3, np.nan, x2)])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("covariance_type", ["full", "tied", "factor"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mean_of_the_hidden_column_is_found(covariance_type, dtype):
    X = correlated_pair().astype(dtype)
    assert np.nanmean(X[:, 1]) < -0.45  # what is left of the column
    gm = mm.GaussianMixture(1, **options_of(covariance_type), random_state=0).fit(X)
    assert abs(gm.mean()[1]) < 0.02
    assert gm.covariance()[1, 1] == pytest.approx(1.0, abs=0.04)
    assert gm.covariance()[0, 1] == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("covariance_type", ["spherical", "diag"])
def test_types_without_dependence_are_biased_and_say_so(covariance_type):
    X = correlated_pair()
    with pytest.warns(IndependenceWarning) as caught:
        gm = mm.GaussianMixture(1, covariance_type).fit(X)
    assert gm.mean()[1] < -0.45
    assert [str(w.message) for w in caught] == [
        f"covariance_type={covariance_type!r} assumes that columns do not depend on each other "
        "given the component. Where a cell's being missing depends on other cells (MAR), the "
        "estimated means may be biased, and holes borrow nothing from the row's other cells but "
        "the component. Use more components, or another covariance type, where columns are "
        "correlated."
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mm.GaussianMixture(1, covariance_type).fit(X[~np.isnan(X).any(axis=1)])


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_dropping_conditional_covariances_would_be_seen(covariance_type, monkeypatch):
    """The planted error: holes filled by their expectation as if that had been measured."""
    real = full_e_step.kernels.e_step

    def without_spread(tables, layout, rows, found, *tokens):
        real(tables, layout, rows, found, *tokens)
        found.spread[:] = 0.0

    monkeypatch.setattr(full_e_step.kernels, "e_step", without_spread)
    with pytest.warns(LikelihoodDecreasedWarning):
        gm = mm.GaussianMixture(1, covariance_type).fit(correlated_pair())
    assert gm.covariance()[1, 1] < 0.9
