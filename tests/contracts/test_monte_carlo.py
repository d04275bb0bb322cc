"""What the algebra says, draws show; what was drawn from, a fit finds again."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from mixmend.completion import predictive
from mixmend.mixtures import algebra
from mixture_cases import TYPES, known, matched, matrices, options_of, with_holes

pytestmark = pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning")

DRAWS = 40_000


@pytest.fixture(params=TYPES, scope="module")
def truth(request):
    return known(request.param, 3, 4, 3.0, 7)


def assert_moments(draws, mean, covariance):
    """Sample moments within five of their own standard errors (one false alarm in a million)."""
    n = len(draws)
    error = np.sqrt(np.diag(covariance) / n)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * error).all()
    products = np.einsum("ni,nj->nij", draws - mean, draws - mean)
    assert (
        np.abs(products.mean(axis=0) - covariance) < 5 * products.std(axis=0) / np.sqrt(n)
    ).all()


def test_samples_have_the_mean_and_covariance(truth):
    draws, labels = truth.sample(DRAWS)
    assert_moments(draws, truth.mean(), truth.covariance())
    counts = np.bincount(labels) / DRAWS
    np.testing.assert_allclose(counts, truth.weights_, atol=0.015)
    for k in range(3):
        assert_moments(draws[labels == k], truth.means_[k], matrices(truth)[k])


def test_wrong_moments_would_be_seen(truth):
    draws, _ = truth.sample(DRAWS)
    with pytest.raises(AssertionError):
        assert_moments(draws, truth.mean() + 0.1, truth.covariance())
    with pytest.raises(AssertionError):
        assert_moments(draws, truth.mean(), 1.1 * truth.covariance())


def test_sums_of_samples_have_the_moments_of_the_sum(truth):
    other = known("full", 2, 4, 2.0, 3)
    total = truth + other
    both = truth.sample(DRAWS)[0], other.sample(DRAWS)[0]
    shuffled = np.random.default_rng(0).permutation(DRAWS)  # rows come sorted by component
    assert len(total.weights) == 6
    assert_moments(both[0][shuffled] + both[1], algebra.mean(total), algebra.covariance(total))


def test_samples_near_a_value_have_the_conditional_moments(truth):
    draws, _ = truth.sample(20 * DRAWS)
    at = truth.mean()[:2]
    near = draws[(np.abs(draws[:, :2] - at) < 0.15).all(axis=1)]
    given = truth.condition(np.r_[at, np.nan, np.nan])
    spread = algebra.covariance(given)
    assert len(near) > 1000
    # a window has a width: besides the error of the sample, one of its order
    error = 5 * np.sqrt(np.diag(spread) / len(near)) + 0.05
    assert (np.abs(near[:, 2:].mean(axis=0) - algebra.mean(given)) < error).all()
    np.testing.assert_allclose(np.cov(near[:, 2:].T), spread, atol=0.12 * np.diag(spread).max())


def test_imputations_are_draws_of_the_conditional(truth):
    x = np.r_[truth.means_[0][:2] + 0.3, np.nan, np.nan]
    drawn = truth.impute_samples(np.tile(x, (DRAWS // 4, 1)), n_samples=4).reshape(-1, 4)
    given = truth.condition(x)
    assert (drawn[:, :2] == x[:2]).all()
    assert_moments(drawn[:, 2:], algebra.mean(given), algebra.covariance(given))
    filled, std = truth.complete(x[None], return_std=True)
    np.testing.assert_allclose(filled[0, 2:], algebra.mean(given), rtol=1e-9)
    np.testing.assert_allclose(std[0, 2:] ** 2, np.diag(algebra.covariance(given)), rtol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_to_samples_finds_what_they_were_drawn_from(covariance_type, missing):
    truth = known(covariance_type, 3, 4, 5.0, 7)
    X = with_holes(truth.sample(8000)[0], missing)
    gm = mm.GaussianMixture(
        3, **options_of(covariance_type), n_init=6, screen=5, random_state=1
    ).fit(X)
    order = matched(gm.means_, truth.means_)
    np.testing.assert_allclose(gm.weights_[order], truth.weights_, atol=0.03)
    np.testing.assert_allclose(gm.means_[order], truth.means_, atol=0.12)
    np.testing.assert_allclose(matrices(gm)[order], matrices(truth), atol=0.15)
    assert gm.score(X) >= truth.score(X)  # maximum likelihood, and no local one


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_components", [1, 2])
def test_intervals_cover_what_was_held_out(covariance_type, n_components):
    truth = known(covariance_type, n_components, 5, 3.0, 2)
    learned, held_out = np.split(
        truth.sample(6000)[0][np.random.default_rng(1).permutation(6000)], 2
    )
    gm = mm.GaussianMixture(
        n_components, **options_of(covariance_type), n_init=3, random_state=0
    ).fit(with_holes(learned, 0.3))
    for X in (learned, held_out):
        seen = with_holes(X, 0.3)
        rows, columns = np.nonzero(np.isnan(seen))
        cells = gm.predictive(seen, rows, columns)
        for level in (0.5, 0.9):
            lower, upper = (predictive.quantile(cells, (1 + s * level) / 2) for s in (-1, 1))
            inside = (lower <= X[rows, columns]) & (X[rows, columns] <= upper)
            assert inside.mean() == pytest.approx(level, abs=0.02)
