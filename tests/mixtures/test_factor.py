"""Mixtures of factor analysers against dense covariances on the observed coordinates."""

from __future__ import annotations

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import mixmend as mm
from mixmend.completion import predictive
from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.errors import LikelihoodDecreasedWarning, MixmendError, ModelFileError
from mixmend.mixtures import factor as fa
from mixmend.mixtures.factor_family import FACTOR, factor_family, principal_factors
from mixmend.mixtures.options import Options
from mixmend.mixtures.priors import DiagonalPrior
from mixmend.observed.matrix import ObservedMatrix


def options(n_components=1, **changes):
    named = {
        "covariance_type": "factor", "n_components": n_components, "n_init": 1, "tol": 0.0,
        "init_params": "random", "max_iter": 5, "min_variance": 0.0, "min_support": 0.0,
        "prior": None, "center": "none", "accelerate": False, "screen": 0, "n_factors": None,
        "fixed": None, "learning_decay": 0.6, "learning_offset": 1.0,
    } | changes  # fmt: skip
    return Options(**{k: v for k, v in named.items() if k in Options.__dataclass_fields__})


def some(rng, K=2, d=5, r=2, isotropic=False):
    noise = rng.gamma(4.0, 0.2, (K, d))
    if isotropic:
        noise[:] = noise[:, :1]
    return fa.Parameters(
        rng.dirichlet(np.full(K, 3.0)), rng.normal(size=(K, d)), rng.normal(size=(K, d, r)), noise
    )


def holed(rng, n, d, missing, dtype=np.float64):
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.5 * rng.normal(size=(n, d))
    X = X + rng.integers(0, 2, (n, 1)) * 3.0
    return np.where(rng.random((n, d)) < missing, np.nan, X).astype(dtype)


def block(X, tile_rows=None, weights=None):
    out = Block(ObservedMatrix.from_dense(X, row_weights=weights))
    if tile_rows is not None:
        out.tile_rows = tile_rows
    return out


def dense(q):
    return FACTOR.full_covariances(q)


def log_joint(X, q):
    """log p_k + log density, every row by the dense covariance of what it observes."""
    out = np.tile(np.log(q.weights), (len(X), 1))
    for u, x in enumerate(X.astype(np.float64)):
        o = np.flatnonzero(~np.isnan(x))
        if len(o):
            for k, covariance in enumerate(dense(q)):
                part = covariance[np.ix_(o, o)]
                out[u, k] += multivariate_normal.logpdf(x[o], q.means[k, o], part)
    return out


def log_densities(X, q):
    return np.where(np.isnan(X).all(axis=1), 0.0, logsumexp(log_joint(X, q), axis=1))


def factors(x, q, k):
    """Mean and covariance of the factors of one row by conditioning the joint Gaussian."""
    o = ~np.isnan(x)
    w, inside = q.loadings[k][o], dense(q)[k][np.ix_(o, o)]
    gain = np.linalg.solve(inside, w).T if o.any() else np.zeros((q.loadings.shape[2], 0))
    return gain @ (x[o] - q.means[k, o]), np.eye(q.loadings.shape[2]) - gain @ w


def oracle_statistics(X, q, weights=None):
    X = X.astype(np.float64)
    n_components, d, r = q.loadings.shape
    w = np.ones(len(X)) if weights is None else weights
    joint = log_joint(X, q)
    post = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) * w[:, None]
    everywhere = np.zeros((n_components, r + 1, r + 1))
    systems = np.zeros((n_components, d, r + 1, r + 1))
    deviations = np.zeros((n_components, d, r + 1))
    squares = np.zeros((n_components, d))
    for k in range(n_components):
        for u, x in enumerate(X):
            z, spread = factors(x, q, k)
            f = np.append(z, 1.0)
            second = np.outer(f, f)
            second[:r, :r] += spread
            everywhere[k] += post[u, k] * second
            for i in np.flatnonzero(~np.isnan(x)):
                gap = x[i] - q.means[k, i]
                systems[k, i] += post[u, k] * second
                deviations[k, i] += post[u, k] * gap * f
                squares[k, i] += post[u, k] * gap * gap
    value = w @ log_densities(X, q)
    return fa.Statistics(value, everywhere, systems, deviations, squares)


def assert_statistics(got, wanted, rtol=1e-9):
    assert got.log_likelihood == pytest.approx(wanted.log_likelihood, rel=rtol)
    for name in ("factors", "systems", "deviations", "squares"):
        reference = getattr(wanted, name)
        atol = rtol * (1 + np.abs(reference).max())
        np.testing.assert_allclose(getattr(got, name), reference, rtol, atol, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [0.0, 0.1, 0.4])  # complete, by mask, by entries
@pytest.mark.parametrize(("K", "r"), [(1, 1), (2, 2), (3, 4), (1, 8)])
def test_statistics(rng, K, r, missing, dtype):
    X = holed(rng, 23, 9, missing, dtype)
    if missing:
        X[[4, 22]], X[1:, 2] = np.nan, np.nan
    weights = rng.gamma(1.0, 1.0, 23) * (rng.random(23) > 0.2)
    q = some(rng, K, 9, r)
    for w in (None, weights):
        wanted = oracle_statistics(X, q, w)
        for tile_rows in (1, 7, 23):
            assert_statistics(fa.e_step(q, block(X, tile_rows, w)), wanted)


def test_parts_add_up_to_the_whole(rng):
    X, q = holed(rng, 40, 5, 0.5), some(rng)
    parts = fa.e_step(q, block(X[:13])) + fa.e_step(q, block(X[13:]))
    assert_statistics(parts, oracle_statistics(X, q))


def test_statistics_of_given_responsibilities(rng):
    X, q = holed(rng, 30, 5, 0.4), some(rng)
    joint = log_joint(X, q)
    shares = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    wanted = oracle_statistics(X, q)
    got = fa.statistics_of(shares, q, block(X, 11))
    assert np.isnan(got.log_likelihood)
    np.testing.assert_allclose(got.systems, wanted.systems, atol=1e-9)
    other = fa.statistics_of(shares[:, ::-1].copy(), q, block(X, 11))
    assert np.abs(other.systems - wanted.systems).max() > 0.1


@pytest.mark.parametrize("isotropic", [False, True])
def test_the_end_of_em_is_a_stationary_point(rng, isotropic):
    X = holed(rng, 200, 4, 0.2)
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(1, isotropic)
    density = family.density(options(2, min_variance=1e-3), obs)
    start = some(rng, 2, 4, 1, isotropic)
    best = run(density, start, [block(X)], tol=0, max_iter=1500, accelerate=True).parameters
    assert best.noise.min() > 2e-3  # inside, not at the floor

    def objective(vector):
        q = density.unpack(vector, best)
        if isotropic:
            q = q._replace(noise=np.repeat(q.noise[:, :1], 4, axis=1))
        return log_densities(X, q).sum()

    at, step = density.pack(best), 1e-5
    for j in range(len(at)):
        move = np.eye(len(at))[j] * step
        slope = (objective(at + move) - objective(at - move)) / (2 * step)
        assert abs(slope) < 1e-4, (j, slope)
    if isotropic:
        assert np.ptp(best.noise, axis=1).max() == 0


def test_probabilistic_principal_components_in_closed_form(rng):
    n, d, r = 400, 6, 2
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.7 * rng.normal(size=(n, d))
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(r, isotropic=True)
    density = family.density(options(), obs)
    fit = run(density, family.pooled(density, Block(obs)), [Block(obs)], tol=0, max_iter=300)
    # Tipping & Bishop (1999), equations 3 to 8
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    noise = values[r:].mean()
    spectrum = np.log(values[:r]).sum() + (d - r) * np.log(noise) + d
    assert fit.log_likelihood == pytest.approx(-0.5 * n * (d * np.log(2 * np.pi) + spectrum))
    np.testing.assert_allclose(fit.parameters.noise, noise, rtol=1e-5)
    np.testing.assert_allclose(fit.parameters.means[0], X.mean(axis=0), atol=1e-8)


@pytest.mark.parametrize("d", [2, 4])
def test_rank_one_less_than_columns_reaches_full(rng, d):
    X = rng.normal(size=(500, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(d - 1)
    density = family.density(options(), obs)
    fit = run(density, family.pooled(density, Block(obs)), [Block(obs)], tol=0, max_iter=3000)
    full = multivariate_normal.logpdf(X, X.mean(axis=0), np.cov(X.T, bias=True)).sum()
    assert fit.log_likelihood == pytest.approx(full, rel=1e-5)


def test_missing_at_random_does_not_bias_the_means():
    rng = np.random.default_rng(8)
    X = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 20_000)
    X[X[:, 0] > 0.3, 1] = np.nan
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(1)
    density = family.density(options(), obs)
    fit = run(density, family.pooled(density, Block(obs)), [Block(obs)], tol=1e-9, max_iter=500)
    assert np.nanmean(X[:, 1]) < -0.4  # what ignoring the dependence would say
    assert abs(fit.parameters.means[0, 1]) < 0.02
    np.testing.assert_allclose(dense(fit.parameters)[0], [[1, 0.8], [0.8, 1]], atol=0.04)


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_the_likelihood_never_falls(seed, missing, dtype, K, r, isotropic):
    rng = np.random.default_rng(seed)
    X = holed(rng, 25, 5, missing, dtype)
    X[0, 0] = 0.5
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(r, isotropic)
    density = family.density(options(K, min_variance=1e-3), obs)
    base = family.pooled(density, Block(obs))
    start = family.from_responsibilities(rng.dirichlet(np.ones(K), 25), base, density, Block(obs))
    with warnings.catch_warnings():
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        fit = run(density, start, [Block(obs)], tol=0, max_iter=12)
        run(density, start, [Block(obs)], tol=0, max_iter=5, accelerate=True)
    assert np.all(np.diff(fit.history) >= -1e-9 * np.abs(fit.history[:-1]) - 1e-9)


def test_a_wrong_m_step_is_noticed(rng):
    """The check of the rise can fail: here the covariance of the factors is left out."""

    class Wrong(fa.FactorDensity):
        def m_step(self, statistics, parameters):
            r = parameters.loadings.shape[2]
            mean = statistics.factors[:, r, :, None] * statistics.factors[:, r, None, :]
            rows = statistics.factors[:, r, r, None, None]
            lost = statistics.factors - mean / rows
            systems = statistics.systems - 0.5 * lost[:, None]
            wrong = fa.Statistics(
                0.0, statistics.factors, systems, statistics.deviations, statistics.squares
            )
            return fa.m_step(wrong, parameters, self)

    X = holed(rng, 80, 5, 0.0)
    start = run(fa.FactorDensity(2), some(rng, 1), [block(X)], tol=0, max_iter=200).parameters
    with pytest.warns(LikelihoodDecreasedWarning):
        run(Wrong(2), start, [block(X)], tol=0, max_iter=5)


@pytest.mark.parametrize(("dtype", "offset"), [(np.float64, 1e8), (np.float32, 1e4)])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_offsets_do_not_spoil_variances(rng, dtype, offset, missing):
    X = (rng.multivariate_normal([0, 0, 0], np.eye(3) + 0.8, 20_000) + offset).astype(dtype)
    X[rng.random(X.shape) < missing] = np.nan
    obs = ObservedMatrix.from_dense(X)
    family = factor_family(1)
    density = family.density(options(), obs)
    fit = run(density, family.pooled(density, Block(obs)), [Block(obs)], tol=0, max_iter=60)
    exact = np.nanvar(X.astype(np.float64), axis=0)
    np.testing.assert_allclose(fit.parameters.variances[0], exact, rtol=0.01)
    np.testing.assert_allclose(exact, 1.8, rtol=0.05)


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.5, 0.9])
def test_threads_do_not_change_a_bit(rng, missing):
    X, q = holed(rng, 6000, 30, missing), some(rng, 2, 30, 5)
    results = []
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        results.append(fa.e_step(q, block(X)))
    numba.set_num_threads(before)
    assert results[0].log_likelihood == results[1].log_likelihood
    for name in ("factors", "systems", "deviations", "squares"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


def test_thousands_of_columns_take_no_square_memory(rng):
    n, d = 60, 40_000  # one d × d matrix would take 12.8 GB
    rows, columns = np.repeat(np.arange(n), 50), rng.integers(0, d, n * 50)
    obs = ObservedMatrix.from_triplets(
        rows, columns, rng.normal(size=n * 50), (n, d), duplicates="first"
    )
    family = factor_family(3)
    density = family.density(options(min_variance=0.1), obs)
    fit = run(density, family.pooled(density, Block(obs)), [Block(obs)], tol=0, max_iter=2)
    assert np.isfinite(fit.history).all()
    predicted = family.fold(fit.parameters, obs).cells(np.array([0, 59]), np.array([7, 9]))
    assert np.isfinite(predicted.means).all()


def test_columns_below_the_least_support_keep_their_noise(rng):
    X = holed(rng, 30, 4, 0.0)
    X[2:, 1] = np.nan
    q = some(rng, 1, 4, 1)
    density = fa.FactorDensity(1, min_support=3.0)
    new = density.m_step(density.e_step(q, block(X)), q)
    assert new.noise[0, 1] == q.noise[0, 1]
    free = fa.FactorDensity(1)
    assert free.m_step(free.e_step(q, block(X)), q).noise[0, 1] != q.noise[0, 1]


def test_collapse_is_noticed(rng):
    X = holed(rng, 40, 4, 0.2)
    density = factor_family(2).density(options(2), ObservedMatrix.from_dense(X))
    q = some(rng, 2, 4, 2)
    assert not density.collapsed(q)
    assert density.collapsed(q._replace(loadings=q.loadings * 1e-9, noise=q.noise * 1e-18))
    at_floor = np.stack([density.min_variance, q.noise[1]])
    assert density.collapsed(q._replace(noise=at_floor))
    one_column = q.noise.copy()
    one_column[0, 0] = density.min_variance[0]  # a Heywood case is no collapse
    assert not density.collapsed(q._replace(noise=one_column))


@pytest.mark.parametrize("hole", [False, True])
def test_rows_that_factors_explain_to_a_small_noise_have_exact_densities(hole):
    """As in a component that has collapsed onto three rows: more factors than they need."""
    loadings = np.zeros((5, 4))
    loadings[1] = 0.15853046, 0.29482558, 0.71827517, -0.19670437
    loadings[2] = -0.56480349, -0.9019246, 0.24908131, -0.89748903
    loadings[4] = 0.17339915, 0.29773355, 0.31762404, 0.05122932
    q = fa.Parameters(np.ones(1), np.zeros((1, 5)), loadings[None], np.full((1, 5), 1e-6))
    X = (loadings @ np.array([[-0.56480349, -0.9019246, 0.24908131, -0.89748903]]).T).T
    X = np.concatenate([X, -X, 0.5 * X])
    X[1, 0] = np.nan if hole else 0.0
    found = fa.posterior(q, block(X)).log_densities
    covariance = loadings @ loadings.T + 1e-6 * np.eye(5)
    for row, density in zip(X, found, strict=True):
        seen = ~np.isnan(row)
        half = np.linalg.cholesky(covariance[np.ix_(seen, seen)])
        z = np.linalg.solve(half, row[seen])
        expected = -0.5 * (z @ z + seen.sum() * np.log(2 * np.pi)) - np.log(np.diag(half)).sum()
        assert density == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("n", "d", "K", "r", "seed"), [(36, 5, 5, 4, 1), (42, 8, 4, 7, 7)])
def test_components_that_collapse_do_not_seem_to_lower_the_likelihood(n, d, K, r, seed):
    X = np.round(np.random.default_rng(seed).normal(size=(n, d)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        for start in range(6):
            fitted = mm.GaussianMixture(
                K, "factor", n_factors=r, min_variance=1e-6, tol=1e-9, max_iter=150,
                random_state=start,
            ).fit(X)  # fmt: skip
    assert fitted.noise_.min() < 1e-5  # else the case is not the one that is meant


def test_pack_and_unpack(rng):
    q = some(rng, 3, 4)
    density = fa.FactorDensity(2, min_variance=np.array([1e-6]))
    back = density.unpack(density.pack(q), q)
    for name in q._fields:
        np.testing.assert_allclose(getattr(back, name), getattr(q, name), rtol=1e-13)
    floored = density.unpack(density.pack(q._replace(noise=q.noise * 1e-12)), q)
    assert floored.noise.min() == 1e-6


# ------------------------------------------------------------------ family


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_fold(rng, missing):
    X, q = holed(rng, 40, 5, missing), some(rng, 2, 5)
    if missing:
        X[5] = np.nan
    folded = FACTOR.fold(q, ObservedMatrix.from_dense(X))
    joint = log_joint(X, q)
    post = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(folded.responsibilities, post, atol=1e-10)
    np.testing.assert_allclose(folded.log_densities, log_densities(X, q), atol=1e-9)
    rows, columns = np.array([7, 2, 7, 5]), np.array([1, 0, 4, 3])
    cells = folded.cells(rows, columns)
    mean, variance = folded.moments(slice(2, 9))
    for j, (u, i) in enumerate(zip(rows, columns, strict=True)):
        for k in range(2):
            z, spread = factors(X[u], q, k)
            w = q.loadings[k, i]
            assert cells.means[j, k] == pytest.approx(q.means[k, i] + w @ z)
            assert cells.variances[j, k] == pytest.approx(q.noise[k, i] + w @ spread @ w)
        assert mean[u - 2, i] == pytest.approx(predictive.mean(cells)[j])
        assert variance[u - 2, i] == pytest.approx(predictive.variance(cells)[j])
    np.testing.assert_array_equal(cells.weights, folded.responsibilities[rows])
    assert folded.moments(slice(0, 2), variance=False)[1] is None


def test_holes_follow_the_conditional_gaussian(rng):
    X, q = holed(rng, 3, 5, 0.0), some(rng, 1, 5)
    X[1, [1, 3]] = np.nan
    seen, holes = [0, 2, 4], [1, 3]
    covariance = dense(q)[0]
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, holes)]).T
    mean = q.means[0, holes] + gain @ (X[1, seen] - q.means[0, seen])
    spread = covariance[np.ix_(holes, holes)] - gain @ covariance[np.ix_(seen, holes)]
    folded = FACTOR.fold(q, ObservedMatrix.from_dense(X))
    cells = folded.cells(np.array([1, 1]), np.array(holes))
    np.testing.assert_allclose(cells.means[:, 0], mean)
    np.testing.assert_allclose(cells.variances[:, 0], np.diag(spread))
    draws = np.stack([folded.draw(rng) for _ in range(4000)])
    assert np.all(draws[:, [0, 2]] == X[[0, 2]])
    assert np.all(draws[:, 1, seen] == X[1, seen])
    np.testing.assert_allclose(np.cov(draws[:, 1, holes].T), spread, atol=0.12 * spread.max())
    error = np.sqrt(np.diag(spread) / 4000)
    assert np.all(np.abs(draws[:, 1, holes].mean(axis=0) - mean) < 5 * error)


def test_family_shapes_and_files(rng):
    q = some(rng, 2, 4, 2)
    family = factor_family(2)
    assert family.covariances(q).shape == family.covariance_shape(2, 4) == (2, 4, 4)
    full = q.loadings[1] @ q.loadings[1].T + np.diag(q.noise[1])
    np.testing.assert_allclose(family.full_covariances(q)[1], full)
    assert family.n_parameters(q) == 2 * (4 + 7 + 4) + 1
    assert factor_family(2, True).n_parameters(q) == 2 * (4 + 7 + 1) + 1
    arrays = family.to_arrays(q)
    back = family.from_arrays(q.weights, q.means, arrays)
    np.testing.assert_array_equal(back.loadings, q.loadings)
    np.testing.assert_array_equal(back.noise, q.noise)
    for wrong, message in (
        (
            {"noise": q.noise},
            "The model file lacks the array 'loadings'. Save the model again.",
        ),
        (
            {"loadings": q.loadings[:, :3], "noise": q.noise},
            "The model file's array 'loadings' has shape (2, 3, 2), not (2, 4, 2). "
            "Save the model again.",
        ),
        (
            {"loadings": q.loadings, "noise": -q.noise},
            "The model file's array 'noise' must not be negative. Save the model again.",
        ),
    ):
        with pytest.raises(ModelFileError) as error:
            family.from_arrays(q.weights, q.means, wrong)
        assert str(error.value) == message
    rows = family.sample(q, np.repeat([0, 1], 60_000), rng)
    np.testing.assert_allclose(np.cov(rows[60_000:].T), full, atol=0.03 * full.max())
    np.testing.assert_allclose(rows[:60_000].mean(axis=0), q.means[0], atol=0.06)


@pytest.mark.parametrize("isotropic", [False, True])
def test_a_given_covariance_of_low_rank_is_kept(rng, isotropic):
    truth = some(rng, 1, 6, 2, isotropic=True)
    covariance = dense(truth)
    loadings, noise = principal_factors(covariance[0], 2, True)
    np.testing.assert_allclose(loadings @ loadings.T + np.diag(noise), covariance[0], atol=1e-10)
    family = factor_family(2, isotropic)
    q = family.given(truth.weights, truth.means, covariance, truth)
    np.testing.assert_allclose(q.variances[0], np.diag(covariance[0]), rtol=0.3)
    np.testing.assert_array_equal(q.means, truth.means)
    kept = family.given(truth.weights, truth.means, None, truth)
    np.testing.assert_array_equal(kept.loadings, truth.loadings)


@pytest.mark.parametrize(
    ("n_factors", "changes", "message"),
    [
        (
            None,
            {},
            "covariance_type='factor' needs n_factors, the rank of the covariances beside "
            "their diagonal: for example n_factors=5.",
        ),
        (0, {}, "n_factors must be a whole number of at least 1; got 0."),
        (
            2,
            {},
            "n_factors=2 must be less than the 2 columns of X (n_features=2); with as many, use "
            "covariance_type='full'.",
        ),
        (
            1,
            {"prior": DiagonalPrior()},
            "prior must be None, 'default' or a FactorPrior with covariance_type='factor'; got "
            "DiagonalPrior(mean_strength=0.01, variance_shape=1.5, variance_scale='columns', "
            "weight_concentration=None).",
        ),
    ],
)
def test_options_that_do_not_fit(n_factors, changes, message):
    obs = ObservedMatrix.from_dense([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0]])
    with pytest.raises(MixmendError) as error:
        factor_family(n_factors).density(options(**changes), obs)
    assert str(error.value) == message


def test_a_step_is_the_maximum_with_factors_of_any_mean_and_covariance(rng):
    X, q = holed(rng, 60, 4, 0.3), some(rng, 2, 4, 2)
    stats = oracle_statistics(X, q)
    new = fa.m_step(fa.e_step(q, block(X)), q, fa.FactorDensity(2))
    for k in range(2):
        moments = stats.factors[k] / stats.factors[k, 2, 2]
        alpha = moments[:2, 2]
        spread = moments[:2, :2] - np.outer(alpha, alpha)
        w = np.empty((4, 3))
        noise = np.empty(4)
        for i in range(4):
            system, deviation = stats.systems[k, i], stats.deviations[k, i]
            w[i] = np.linalg.solve(system, deviation)
            left = stats.squares[k, i] - 2 * w[i] @ deviation + w[i] @ system @ w[i]
            noise[i] = left / system[2, 2]
        np.testing.assert_allclose(new.means[k], q.means[k] + w[:, 2] + w[:, :2] @ alpha)
        covariance = w[:, :2] @ spread @ w[:, :2].T + np.diag(noise)
        np.testing.assert_allclose(dense(new)[k], covariance, atol=1e-10)
    np.testing.assert_allclose(new.weights, stats.factors[:, 2, 2] / 60)
