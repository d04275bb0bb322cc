"""Statistics moved from old parameters to new ones, against sums taken there over the rows."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

import full_oracle
from mixmend.em.block import Block
from mixmend.mixtures import diagonal, factor, full, full_e_step, spherical, tied
from mixmend.mixtures.columns import column_facts
from mixmend.mixtures.diagonal_family import prior_scales
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.mixtures.priors import DiagonalPrior, SphericalPrior
from mixmend.observed.matrix import ObservedMatrix
from spherical_cases import parameters as spherical_parameters
from spherical_cases import with_holes

K, D, R, N = 3, 4, 2, 60
WISHART = full.PriorScales(np.arange(4.0), 0.7, 7.0, 0.3 * np.eye(4), 1.5)


def equal(one, other, rtol=1e-9):
    for field in fields(one):
        if field.name != "log_likelihood":
            a, b = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def data(rng):
    X = with_holes(rng, N, D, 0.3, empty_rows=(3,))
    return X, ObservedMatrix.from_dense(X, row_weights=rng.gamma(2.0, 0.5, N))


def some_diagonal(rng):
    variances = rng.gamma(3.0, 0.4, (K, D)) + 0.1
    return diagonal.Parameters(rng.dirichlet(np.full(K, 3.0)), rng.normal(size=(K, D)), variances)


def some_full(rng):
    return full_e_step.Parameters(*full_oracle.random_mixture(rng, K, D))


def some_factor(rng):
    return factor.Parameters(
        rng.dirichlet(np.full(K, 3.0)),
        rng.normal(size=(K, D)),
        rng.normal(size=(K, D, R)),
        rng.gamma(4.0, 0.2, (K, D)),
    )


# ------------------------------------------------------------------ against sums over rows


def test_spherical_statistics_move_as_sums_over_the_rows_do(rng):
    _, observed = data(rng)
    block, shares = Block(observed), rng.dirichlet(np.ones(K), N)
    offsets = rng.normal(size=N)
    old, new = (spherical_parameters(rng, K, D, mean_prior=True) for _ in range(2))
    moved = spherical.recentred(spherical.statistics_of(shares, old, block, offsets), old, new)
    equal(moved, spherical.statistics_of(shares, new, block, offsets))


def test_diagonal_statistics_move_as_sums_over_the_rows_do(rng):
    _, observed = data(rng)
    block, shares = Block(observed), rng.dirichlet(np.ones(K), N)
    old, new = some_diagonal(rng), some_diagonal(rng)
    moved = diagonal.recentred(diagonal.statistics_of(shares, old, block), old, new)
    equal(moved, diagonal.statistics_of(shares, new, block))


@pytest.mark.parametrize("one_covariance", [False, True])
def test_full_and_tied_statistics_keep_what_the_holes_were_expected_to_be(rng, one_covariance):
    X, _ = data(rng)
    old, new = some_full(rng), some_full(rng)
    found = full_oracle.sums(X, *old)
    shares = np.exp(found.log_joint - np.logaddexp.reduce(found.log_joint, axis=1)[:, None])
    shares[np.isnan(X).all(axis=1)] = 0.0
    first, second = np.zeros((K, D)), np.zeros((K, D, D))
    for u, x in enumerate(X):
        for k in range(K):
            filled, spread = full_oracle.conditional(x, old.means[k], old.covariances[k])
            gap = filled - new.means[k]
            first[k] += shares[u, k] * gap
            second[k] += shares[u, k] * (np.outer(gap, gap) + spread)
    statistics = full_e_step.Statistics(0.0, found.rows, found.first, found.second)
    if one_covariance:
        second = second.sum(axis=0)
        statistics = full_e_step.Statistics(0.0, found.rows, found.first, found.second.sum(axis=0))
    moved = full.recentred(statistics, old.means, new.means)
    equal(moved, full_e_step.Statistics(0.0, found.rows, first, second))


def test_factor_statistics_give_the_same_residuals_in_the_new_factors(rng):
    """For any coefficients, sum E(x - m - a - b z)^2 is one number in both descriptions."""
    _, observed = data(rng)
    old = some_factor(rng)
    statistics = factor.e_step(old, Block(observed))
    density = factor.FactorDensity(R)
    new = density.m_step(statistics, old)
    moved = density.recentred(statistics, old, new)

    def residuals(s, coefficients):
        fitted = np.einsum("kia,kiab,kib->ki", coefficients, s.systems, coefficients)
        return s.squares - 2.0 * np.einsum("kia,kia->ki", coefficients, s.deviations) + fitted

    # x - new mean - (a, b)(z', 1) with z' = root^-1 (z - alpha), written in z about the old mean
    basis = np.zeros((K, R + 1, R + 1))
    for k, sums in enumerate(statistics.factors):
        moments = sums / sums[R, R]
        alpha = moments[R, :R]
        root = np.linalg.cholesky(moments[:R, :R] - np.outer(alpha, alpha))
        basis[k, :R, :R], basis[k, R, R] = np.linalg.inv(root), 1.0
        basis[k, :R, R] = -np.linalg.solve(root, alpha)
    coefficients = rng.normal(size=(K, D, R + 1))
    before = coefficients @ basis
    before[..., R] += new.means - old.means
    np.testing.assert_allclose(
        residuals(moved, coefficients), residuals(statistics, before), rtol=1e-9
    )
    standard = moved.factors / moved.factors[:, R, R, None, None]
    np.testing.assert_allclose(standard, np.repeat(np.eye(R + 1)[None], K, axis=0), atol=1e-9)


def test_a_component_whose_mean_and_loadings_stay_keeps_its_factors(rng):
    _, observed = data(rng)
    old = some_factor(rng)
    statistics = factor.e_step(old, Block(observed))
    new = factor.FactorDensity(R).m_step(statistics, old)
    new.means[1], new.loadings[1] = old.means[1], old.loadings[1]
    moved = factor.recentred(statistics, old, new)
    for name in ("factors", "systems", "deviations", "squares"):
        np.testing.assert_array_equal(getattr(moved, name)[1], getattr(statistics, name)[1])
        assert not np.array_equal(getattr(moved, name)[0], getattr(statistics, name)[0])


# ------------------------------------------------------------------ steps


def cases(rng, observed):
    facts = column_facts(observed)
    plain, patterned = Block(observed), PatternBlock(observed, K)
    scales = prior_scales(DiagonalPrior(mean_strength=2.0), facts, K)
    whole = some_full(rng)
    one = tied.Parameters(whole.weights, whole.means, whole.covariances[0])
    fixed_spread = SphericalPrior(mean_variance=None, variance_shape=1.0, variance_scale=0.3)
    floors = np.full(D, 1e-9)
    return {
        "spherical": (spherical.SphericalDensity(), spherical_parameters(rng, K, D), plain),
        "spherical offsets": (
            spherical.SphericalDensity(row_offsets=True, prior=fixed_spread),
            spherical_parameters(rng, K, D, row_offsets=True),
            plain,
        ),
        "diag": (diagonal.DiagonalDensity(), some_diagonal(rng), plain),
        "diag prior": (diagonal.DiagonalDensity(prior=scales), some_diagonal(rng), plain),
        "tied": (tied.TiedDensity(floors), one, patterned),
        "tied prior": (tied.TiedDensity(floors, WISHART), one, patterned),
        "full": (full.FullDensity(floors), whole, patterned),
        "full prior": (full.FullDensity(floors, WISHART), whole, patterned),
        "factor": (factor.FactorDensity(R), some_factor(rng), plain),
        "isotropic": (factor.FactorDensity(R, isotropic=True), some_factor(rng), plain),
    }


@pytest.mark.parametrize(
    "name",
    ["spherical", "spherical offsets", "diag", "diag prior", "tied", "tied prior", "full",
     "full prior", "factor", "isotropic"],
)  # fmt: skip
def test_a_step_from_moved_statistics_stays_where_it_is(rng, name):
    """An M-step maximises over all parameters: from its own point it has nowhere to go."""
    _, observed = data(rng)
    density, old, block = cases(rng, observed)[name]
    statistics = density.e_step(old, block)
    new = density.m_step(statistics, old)
    again = density.m_step(density.recentred(statistics, old, new), new)
    for one, other in zip(again, new, strict=True):
        if other is not None:
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_what_is_moved_far_from_zero_loses_nothing(rng):
    """Raw second moments of values near 1e8 would have no digit of a variance of 1 left."""
    X = rng.normal(size=(500, D)) + 1e8
    block, shares = PatternBlock(ObservedMatrix.from_dense(X), 1), np.ones((500, 1))
    old = full_e_step.Parameters(np.ones(1), X[:1] + 2.0, np.eye(D)[None])
    new = old._replace(means=X.mean(axis=0)[None])
    moved = full.recentred(full_e_step.statistics_of(shares, old, block), old.means, new.means)
    np.testing.assert_allclose(moved.second[0] / 500, np.cov(X.T, bias=True), atol=1e-6)
