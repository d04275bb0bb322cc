"""M-steps against weighted averages over cells, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import oracles
from mixmend.em.engine import run
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import (
    Parameters,
    SphericalDensity,
    e_step,
    m_step,
    with_prior,
)
from mixmend.mixtures.spherical_family import SPHERICAL
from spherical_cases import block_of, parameters, with_holes

PRIORS = {
    "none": None,
    "weights and variances": SphericalPrior(None, 2.0, 0.3, 1.5),
    "given means": SphericalPrior(0.7),
    "learned means": SphericalPrior(),
    "everything": SphericalPrior("learned", 1.5, 0.2, 0.9),
}


def one_step(X, q, density, row_weights=None, tile_rows=None):
    return m_step(e_step(q, block_of(X, tile_rows, row_weights)), q, density)


def assert_parameters(got, expected, rtol=1e-9):
    for name, value in expected._asdict().items():
        if value is None:
            assert getattr(got, name) is None
        else:
            np.testing.assert_allclose(getattr(got, name), value, rtol=rtol, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize("prior", PRIORS)
def test_steps_agree_with_weighted_averages(rng, prior, row_offsets, weighted):
    prior = PRIORS[prior]
    mean_prior = prior is not None and prior.mean_variance is not None
    X = with_holes(rng, 30, 5, 0.4, empty_rows=(4,), empty_columns=(2,))
    weights = rng.gamma(2.0, 0.5, 30) if weighted else None
    q = parameters(rng, 3, 5, mean_prior, row_offsets)
    centre = rng.normal(size=5) if mean_prior else None
    density = SphericalDensity(prior=prior, prior_means=centre, row_offsets=row_offsets)
    expected = oracles.spherical_m_step(
        X, q, prior=prior, centre=centre, row_offsets=row_offsets, row_weights=weights
    )
    assert_parameters(one_step(X, q, density, weights, tile_rows=9), expected)


@pytest.mark.parametrize("min_support", [0.0, 1.0, 4.0, 100.0])
@pytest.mark.parametrize("min_variance", [0.0, 2.0, 50.0])
def test_floors_of_support_and_variance(rng, min_support, min_variance):
    X = with_holes(rng, 12, 5, 0.5)
    q = parameters(rng, 3, 5)
    options = {"min_variance": min_variance, "min_support": min_support}
    expected = oracles.spherical_m_step(X, q, **options)
    kept = np.isclose(expected.means, q.means, rtol=0, atol=0)
    assert kept.all() == (min_support == 100)
    assert kept.any() == (min_support > 0)
    assert (expected.variances == min_variance).any() == (min_variance > 0)
    assert_parameters(one_step(X, q, SphericalDensity(**options)), expected)


def test_a_mean_prior_overrules_the_support_rule(rng):
    X = with_holes(rng, 12, 4, 0.4)
    q = parameters(rng, 2, 4, mean_prior=True)
    given = {"prior": SphericalPrior(0.7), "prior_means": np.zeros(4)}
    assert_parameters(
        one_step(X, q, SphericalDensity(min_support=1e9, **given)),
        one_step(X, q, SphericalDensity(**given)),
        rtol=0,
    )


# ------------------------------------------------------------------ closed forms, K = 1


def single(X, prior=None, **changes):
    start = Parameters(np.ones(1), np.full((1, X.shape[1]), 0.3), np.array([2.0]))
    return with_prior(start, prior)._replace(**changes)


def test_maximum_likelihood_of_one_component_is_the_observed_moments(rng):
    X = with_holes(rng, 25, 4, 0.4)
    got = one_step(X, single(X), SphericalDensity())
    np.testing.assert_allclose(got.means[0], np.nanmean(X, axis=0), rtol=1e-12)
    residual = X - np.nanmean(X, axis=0)
    np.testing.assert_allclose(got.variances, np.nanmean(residual**2), rtol=1e-12)
    np.testing.assert_array_equal(got.weights, 1.0)


def test_inverse_gamma_prior_moves_the_variance_to_its_mode(rng):
    X = with_holes(rng, 10, 3, 0.3)
    prior = SphericalPrior(None, variance_shape=3.0, variance_scale=7.0)
    got = one_step(X, single(X, prior), SphericalDensity(prior=prior))
    squares = np.nansum((X - np.nanmean(X, axis=0)) ** 2)
    cells = np.count_nonzero(~np.isnan(X))

    def negative(v):
        likelihood = -0.5 * cells * np.log(v) - squares / (2 * v)
        return -likelihood - stats.invgamma.logpdf(v, 3.0, scale=7.0)

    best = optimize.minimize_scalar(
        negative, bounds=(0.01, 30), method="bounded", options={"xatol": 1e-9}
    )
    assert got.variances[0] == pytest.approx(best.x, rel=1e-6)
    assert got.variances[0] == pytest.approx((squares + 14) / (cells + 8), rel=1e-12)


@pytest.mark.parametrize("concentration", [0.4, 1.0, 3.0, 1000.0])
def test_dirichlet_prior_moves_the_weights_to_their_mode(concentration):
    # two groups so far apart that the responsibilities are 0 and 1: 7 rows and 3
    X = np.concatenate([np.zeros(7), np.full(3, 100.0)])[:, None] + np.linspace(0, 1, 10)[:, None]
    q = Parameters(np.full(2, 0.5), np.array([[0.0], [100.0]]), np.ones(2))
    prior = SphericalPrior(None, weight_concentration=concentration)
    got = one_step(X, q, SphericalDensity(prior=prior))
    mode = (np.array([7.0, 3.0]) + concentration - 1) / (10 + 2 * (concentration - 1))
    np.testing.assert_allclose(got.weights, mode, rtol=1e-12)


@pytest.mark.parametrize(("n", "K"), [(1, 3), (2, 5), (40, 60)])
def test_a_concentration_below_one_never_empties_every_component(rng, n, K):
    X = with_holes(rng, n, 2, 0.2)
    q = parameters(rng, K, 2)
    prior = SphericalPrior(None, weight_concentration=0.01)
    density = SphericalDensity(prior=prior, min_variance=0.01)
    got = one_step(X, q, density)
    assert np.isfinite(got.weights).all()
    assert got.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert got.weights.max() > 0.5 / n
    fit = run(density, q, [block_of(X)], tol=0, max_iter=20)
    assert np.diff(fit.history).min() >= -1e-10 * abs(fit.objective)


def test_emptying_a_component_does_not_lower_the_objective(rng):
    # a light row far away, which nothing but the component that is emptied explains
    X = np.concatenate([rng.normal(size=10), [1e3]])[:, None]
    weights = np.append(np.ones(10), 0.1)
    q = Parameters(np.array([0.9, 0.1]), np.array([[0.0], [1e3]]), np.ones(2))
    density = SphericalDensity(
        prior=SphericalPrior(None, weight_concentration=0.5), min_variance=0.5
    )
    got = one_step(X, q, density, weights)
    assert got.weights[1] < 1e-200
    fit = run(density, q, [block_of(X, row_weights=weights)], tol=0, max_iter=10)
    assert np.diff(fit.history).min() >= -1e-10 * abs(fit.objective)


def test_normal_prior_makes_the_means_those_of_conjugate_updating(rng):
    X = with_holes(rng, 10, 4, 0.4, empty_columns=(1,))
    v, s, centre = 1.7, 0.6, np.array([1.0, -2.0, 0.5, 4.0])
    prior = SphericalPrior(s)
    q = single(X, prior, variances=np.array([v]))
    got = one_step(X, q, SphericalDensity(prior=prior, prior_means=centre))
    for i in range(4):
        x = X[~np.isnan(X[:, i]), i]
        # exact posterior of one normal mean from its joint distribution with the data
        covariance = v * np.eye(len(x)) + s
        gain = np.linalg.solve(covariance, np.full(len(x), s))
        assert got.means[0, i] == pytest.approx(centre[i] + gain @ (x - centre[i]), rel=1e-12)
        assert got.mean_variances[0, i] == pytest.approx(s - s * gain.sum(), rel=1e-12)
    assert (got.means[0, 1], got.mean_variances[0, 1]) == pytest.approx((centre[1], s))
    assert got.prior_variance == s  # given, not learned


def test_the_strength_of_the_mean_prior_is_learned_by_maximising_the_evidence(rng):
    # one component without offsets: the bound is the exact evidence of v and s
    n, d, centre = 6, 40, np.full(40, 2.0)
    X = centre + rng.normal(0, 0.7, d) + rng.normal(0, 1.0, (n, d))
    X[rng.random((n, d)) < 0.4] = np.nan
    prior = SphericalPrior("learned")
    density = SphericalDensity(prior=prior, prior_means=centre)
    fit = run(density, single(X, prior), [block_of(X)], tol=1e-15, max_iter=5000, accelerate=True)

    def negative_evidence(logs):
        v, s = np.exp(logs)
        total = 0.0
        for i in range(d):
            x = X[~np.isnan(X[:, i]), i]
            if len(x):
                law = stats.multivariate_normal(np.full(len(x), 2.0), v * np.eye(len(x)) + s)
                total += law.logpdf(x)
        return -total

    best = optimize.minimize(
        negative_evidence, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11}
    )
    v, s = np.exp(best.x)
    assert s > 0.1  # the optimum is inside
    assert fit.log_likelihood != fit.objective
    assert fit.objective == pytest.approx(-best.fun, rel=1e-9)
    assert fit.parameters.variances[0] == pytest.approx(v, rel=1e-4)
    assert fit.parameters.prior_variance == pytest.approx(s, rel=1e-4)


def test_row_offsets_are_a_random_effects_model(rng):
    # one component, complete rows: closed-form maximum likelihood of the one-way layout
    n, d = 40, 5
    X = rng.normal(0, 1.5, (n, 1)) + rng.normal(0, 0.8, (n, d))
    X -= X.mean(axis=0)  # column means stay 0, so that only v and tau are at stake
    start = single(X, offset_variance=1.0, means=np.zeros((1, d)))
    density = SphericalDensity(row_offsets=True)
    fit = run(density, start, [block_of(X)], tol=1e-15, max_iter=5000, accelerate=True)
    within = ((X - X.mean(axis=1, keepdims=True)) ** 2).sum() / (n * (d - 1))
    between = d * (X.mean(axis=1) ** 2).sum() / n  # estimates v + d tau
    assert fit.parameters.variances[0] == pytest.approx(within, rel=1e-5)
    assert fit.parameters.offset_variance == pytest.approx((between - within) / d, rel=1e-5)


# ------------------------------------------------------------------ starts and counts


def test_starts_under_a_prior_get_posterior_variances(rng):
    q = parameters(rng, 3, 4)
    assert with_prior(q, None) is q
    assert with_prior(q, SphericalPrior(None, 2.0, 1.0)) is q
    given = with_prior(q, SphericalPrior(0.5))
    assert given.prior_variance == 0.5
    learned = with_prior(q, SphericalPrior())
    assert learned.prior_variance == pytest.approx(0.1 * q.variances.mean())
    for start in (given, learned):
        assert start.mean_variances.shape == (3, 4)
        assert (start.mean_variances > 0).all()
        assert (start.mean_variances < start.prior_variance).all()


@pytest.mark.parametrize(("row_offsets", "expected"), [(False, 3 * 4 + 3 + 2), (True, 18)])
def test_free_parameters(rng, row_offsets, expected):
    q = parameters(rng, 3, 4, row_offsets=row_offsets)
    assert SPHERICAL.n_parameters(q) == expected


@pytest.mark.parametrize("mean_prior", [False, True])
@pytest.mark.parametrize("row_offsets", [False, True])
def test_packing_keeps_every_parameter(rng, mean_prior, row_offsets):
    density = SphericalDensity(row_offsets=row_offsets)
    q = parameters(rng, 3, 4, mean_prior, row_offsets)
    vector = density.pack(q)
    free = SPHERICAL.n_parameters(q) + 1 + (13 if mean_prior else 0)  # all K weights, w and s
    assert vector.shape == (free,)
    again = density.unpack(vector, parameters(rng, 3, 4, mean_prior, row_offsets))
    assert_parameters(again, q if row_offsets else q._replace(offset_variance=0.0), rtol=1e-13)
    # each number of the vector stands for something
    for j in range(len(vector)):
        moved = vector.copy()
        moved[j] += 0.5
        assert not np.allclose(density.pack(density.unpack(moved, q)), vector)


def test_packing_survives_empty_components_and_respects_the_floor(rng):
    q = parameters(rng, 3, 2)._replace(
        weights=np.array([0.5, 0.0, 0.5]), variances=np.array([1.0, 0.0, 2.0])
    )
    density = SphericalDensity(min_variance=0.1)
    again = density.unpack(density.pack(q), q)
    assert np.isfinite(density.pack(q)).all()
    np.testing.assert_allclose(again.weights, q.weights, atol=1e-290)
    np.testing.assert_allclose(again.variances, [1.0, 0.1, 2.0])
