"""Steps of full and tied mixtures: against scikit-learn, their own score, and what must rise."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from full_oracle import random_mixture, sums, with_holes
from mixmend.em.engine import run
from mixmend.errors import LikelihoodDecreasedWarning, MixmendError
from mixmend.mixtures.full_family import FULL
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.mixtures.tied_family import TIED
from mixmend.observed.matrix import ObservedMatrix

pytestmark = pytest.mark.filterwarnings("error::mixmend.errors.LikelihoodDecreasedWarning")

FAMILIES = pytest.mark.parametrize("family", [FULL, TIED], ids=["full", "tied"])


def options(family, n_components, **changes):
    values = {"min_variance": 0.0, "prior": None} | changes
    return SimpleNamespace(covariance_type=family.name, n_components=n_components, **values)


def problem(family, X, n_components, row_weights=None, **changes):
    """Block, informed density and pooled fit, as the estimator makes them."""
    obs = ObservedMatrix.from_dense(X, row_weights=row_weights)
    chosen = options(family, n_components, **changes)
    block = family.block(obs, n_components)
    density = family.density(chosen, obs)
    base = family.pooled(density, block)
    return block, family.informed(density, base, chosen), base


def clusters(rng, n, d, n_components):
    _, means, covariances = random_mixture(rng, n_components, d)
    owner = rng.integers(0, n_components, n)
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[owner], rng.normal(size=(n, d)))
    return 3.0 * means[owner] + noise


# ------------------------------------------------------------------ complete data


@FAMILIES
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "with an empty row"])
def test_complete_data_take_scikit_learns_steps(rng, family, weighted):
    X = clusters(rng, 600, 6, 3)
    means, weights = X[:3], np.array([0.2, 0.3, 0.5])
    covariance = np.cov(X.T)
    covariances = np.stack([covariance] * 3) if family is FULL else covariance
    peer = GaussianMixture(
        3,
        covariance_type=family.name,
        reg_covar=0.0,
        tol=0.0,
        max_iter=15,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(X)
    table = np.vstack([X, np.full((1, 6), np.nan)]) if weighted else X
    block, density, base = problem(family, table, 3)
    fit = run(density, family.given(weights, means, covariances, base), [block], tol=0, max_iter=15)
    assert fit.log_likelihood / 600 == pytest.approx(peer.score(X), rel=1e-8)
    np.testing.assert_allclose(fit.history[14] / 600, peer.lower_bound_, rtol=1e-8)
    np.testing.assert_allclose(fit.parameters.means, peer.means_, atol=1e-6)
    np.testing.assert_allclose(family.covariances(fit.parameters), peer.covariances_, atol=1e-6)
    np.testing.assert_allclose(fit.parameters.weights, peer.weights_, atol=1e-6)
    assert family.n_parameters(fit.parameters) == peer._n_parameters()


@FAMILIES
def test_a_row_of_weight_two_counts_as_two_rows(rng, family):
    X = with_holes(rng, clusters(rng, 60, 3, 2), 0.3)
    twice = np.vstack([X, X[:20]])
    found = []
    for table, weights in ((twice, None), (X, np.where(np.arange(60) < 20, 2.0, 1.0))):
        block, density, base = problem(family, table, 2, weights)
        start = family.given(np.full(2, 0.5), np.array([[0.0] * 3, [1.0] * 3]), None, base)
        found.append(run(density, start, [block], tol=0, max_iter=5))
    assert found[0].objective == pytest.approx(found[1].objective, rel=1e-7)
    np.testing.assert_allclose(found[0].parameters.means, found[1].parameters.means, rtol=1e-4)


# ------------------------------------------------------------------ incomplete data


def test_the_pooled_fit_solves_the_score_equations(rng):
    X = with_holes(rng, clusters(rng, 150, 3, 1), 0.35)
    block, density, base = problem(FULL, X, 1)
    fit = run(density, base, [block], tol=0, max_iter=400)
    packed = density.pack(fit.parameters)

    def log_likelihood(vector):
        return density.e_step(density.unpack(vector, fit.parameters), block).log_likelihood

    step = 1e-5
    for i in range(len(packed)):
        if i == 3:
            continue  # the single weight is 1 whatever its logarithm says
        change = np.zeros(len(packed))
        change[i] = step
        slope = (log_likelihood(packed + change) - log_likelihood(packed - change)) / (2 * step)
        assert abs(slope) < 1e-5 * len(X)
    oracle = sums(X, *fit.parameters)
    assert fit.log_likelihood == pytest.approx(oracle.log_likelihood, rel=1e-10)


def _mar_table():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 0], [[1.0, 0.8], [0.8, 1.0]], 20_000)
    X[X[:, 0] > 0.3, 1] = np.nan
    return X


@FAMILIES
def test_holes_that_depend_on_seen_cells_do_not_bias(family):
    X = _mar_table()
    _, _, base = problem(family, X, 1)
    assert np.nanmean(X[:, 1]) < -0.4
    assert abs(base.means[0, 1]) < 0.02
    covariance = family.full_covariances(base)[0]
    assert covariance[1, 1] == pytest.approx(1.0, abs=0.03)
    assert covariance[0, 1] == pytest.approx(0.8, abs=0.03)


def test_skipping_conditional_covariances_would_be_seen(monkeypatch):
    """The planted fault: without them the variance of the second column collapses."""
    from mixmend.mixtures import full_e_step

    real = full_e_step.kernels.e_step

    def without_spread(tables, layout, rows, found, *tokens):
        real(tables, layout, rows, found, *tokens)
        found.spread[:] = 0.0

    monkeypatch.setattr(full_e_step.kernels, "e_step", without_spread)
    with pytest.warns(LikelihoodDecreasedWarning):
        _, _, base = problem(FULL, _mar_table(), 1)
    assert base.covariances[0, 1, 1] < 0.9


@FAMILIES
@given(
    seed=st.integers(0, 10**6),
    n_components=st.integers(1, 4),
    share=st.floats(0.0, 0.9),
    dtype=st.sampled_from([np.float32, np.float64]),
    scale=st.sampled_from([None, "columns", "pooled"]),
    accelerate=st.booleans(),
)
@settings(max_examples=25)
def test_the_objective_never_falls(family, seed, n_components, share, dtype, scale, accelerate):
    rng = np.random.default_rng(seed)
    X = with_holes(rng, clusters(rng, 40, 3, 2) * [1.0, 100.0, 0.01], share).astype(dtype)
    if np.isnan(X).all():
        X[0, 0] = 1.0
    prior = None if scale is None else NormalInverseWishart(mean_strength=0.5, scale=scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        block, density, base = problem(family, X, n_components, prior=prior)
        shares = rng.dirichlet(np.ones(n_components), len(X))
        start = family.from_responsibilities(shares, base, density, block)
        fit = run(density, start, [block], tol=0, max_iter=12, accelerate=accelerate)
    assert np.all(np.isfinite(fit.history))
    np.linalg.cholesky(family.full_covariances(fit.parameters))
    assert fit.parameters.weights.sum() == pytest.approx(1.0)


@FAMILIES
@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
def test_variances_survive_a_large_offset(family, dtype, offset):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(20_000, 3)) + offset).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    block, density, base = problem(family, X, 2)
    start = family.from_responsibilities(rng.dirichlet([1, 1], len(X)), base, density, block)
    fit = run(density, start, [block], tol=0, max_iter=3)
    weights, means = fit.parameters.weights, fit.parameters.means
    gaps = means - weights @ means
    total = np.einsum("k,kij->ij", weights, family.full_covariances(fit.parameters))
    total += np.einsum("k,ki,kj->ij", weights, gaps, gaps)
    np.testing.assert_allclose(np.diagonal(total), 1.0, rtol=0.03)
    np.testing.assert_allclose(np.diagonal(total), np.nanvar(X.astype(float), axis=0), rtol=0.01)


# ------------------------------------------------------------------ edges


@FAMILIES
def test_constant_and_unseen_columns_are_kept(rng, family):
    X = with_holes(rng, rng.normal(size=(80, 4)), 0.2)
    X[:, 1] = np.where(np.isnan(X[:, 1]), np.nan, 7.0)
    X[:, 3] = np.nan
    X[5] = np.nan
    block, density, base = problem(family, X, 2)
    start = family.from_responsibilities(rng.dirichlet([1, 1], 80), base, density, block)
    fit = run(density, start, [block], tol=0, max_iter=10)
    assert not density.collapsed(fit.parameters)
    np.testing.assert_allclose(fit.parameters.means[:, 1], 7.0)
    assert np.all(np.isfinite(fit.parameters.means))
    mean, spread = family.fold(fit.parameters, block.observed).moments(slice(None))
    np.testing.assert_allclose(mean[np.isnan(X[:, 1]), 1], 7.0)
    assert np.all(spread[:, 3] > 0.5)


@FAMILIES
def test_min_variance_is_a_floor_of_every_direction(rng, family):
    X = clusters(rng, 50, 3, 1)
    X[:, 2] = X[:, 0] + X[:, 1]
    _, density, base = problem(family, X, 1, min_variance=0.25)
    covariance = family.full_covariances(base)[0]
    values, vectors = np.linalg.eigh(covariance)
    assert values[0] == pytest.approx(0.25)
    # what is above the floor is untouched
    free = np.cov(X.T, bias=True)
    assert vectors[:, 2] @ free @ vectors[:, 2] == pytest.approx(values[2])
    assert density.floors == pytest.approx(np.full(3, 0.25))


def test_a_component_on_a_single_point_has_collapsed(rng):
    X = rng.normal(size=(60, 3))
    block, density, base = problem(FULL, X, 2)
    covariances = np.stack([np.eye(3), 1e-9 * np.eye(3)])
    point = FULL.given(np.full(2, 0.5), np.stack([np.zeros(3), X[0]]), covariances, base)
    assert density.collapsed(point)
    assert not density.collapsed(FULL.given(np.full(2, 0.5), point.means, None, base))
    # columns that depend on one another are no collapse of a component
    X[:, 2] = X[:, 0]
    block, density, base = problem(FULL, X, 2)
    start = FULL.from_responsibilities(rng.dirichlet([5, 5], 60), base, density, block)
    assert not density.collapsed(start)


@FAMILIES
def test_a_component_without_rows_keeps_its_shape(rng, family):
    X = clusters(rng, 50, 3, 1)
    block, density, base = problem(family, X, 2)
    far = family.given(
        np.array([0.5, 0.5]), np.stack([X.mean(axis=0), np.full(3, 1e6)]), None, base
    )
    moved = density.m_step(density.e_step(far, block), far)
    assert moved.weights[1] == 0.0
    np.testing.assert_array_equal(moved.means[1], far.means[1])
    assert np.all(np.isfinite(family.full_covariances(moved)))


# ------------------------------------------------------------------ priors


@FAMILIES
@pytest.mark.parametrize("scale", [3.0, "columns", "pooled"])
def test_the_prior_step_is_the_maximum_of_its_objective(rng, family, scale):
    """From the same statistics no nearby parameters have a higher expected log posterior."""
    X = clusters(rng, 60, 3, 2)
    prior = NormalInverseWishart(
        mean_strength=2.0, degrees=7.0, scale=scale, weight_concentration=2.0
    )
    block, density, base = problem(family, X, 2, prior=prior)
    shares = rng.dirichlet([1, 1], 60)
    start = family.from_responsibilities(shares, base, density, block)
    statistics = density.e_step(start, block)
    best = density.m_step(statistics, start)

    second = statistics.second.reshape(-1, 3, 3)  # a matrix for each covariance

    def expected(parameters):
        covariances = family.full_covariances(parameters)
        total = statistics.rows @ np.log(parameters.weights)
        for k in range(2):
            move = parameters.means[k] - start.means[k]
            cross = np.outer(move, statistics.first[k])
            scatter = statistics.rows[k] * np.outer(move, move) - cross - cross.T
            scatter += second[k] if len(second) > k else 0.0
            total -= 0.5 * statistics.rows[k] * np.linalg.slogdet(covariances[k])[1]
            total -= 0.5 * np.trace(np.linalg.solve(covariances[k], scatter))
        zero = type(statistics)(0.0, statistics.rows, statistics.first, statistics.second)
        return total + density.objective(zero, parameters)

    vector = density.pack(best)
    top = expected(best)
    for _ in range(40):
        there = density.unpack(vector + 1e-3 * rng.normal(size=len(vector)), best)
        assert expected(there) < top


@FAMILIES
def test_the_default_prior_follows_the_units(rng, family):
    X = with_holes(rng, clusters(rng, 80, 3, 2), 0.2)
    scale = np.array([1.0, 1e3, 1e-3])
    found = []
    for table in (X, X * scale):
        block, density, base = problem(family, table, 2, prior=NormalInverseWishart())
        shares = np.random.default_rng(1).dirichlet([1, 1], 80)
        start = family.from_responsibilities(shares, base, density, block)
        found.append(run(density, start, [block], tol=0, max_iter=6).parameters)
    np.testing.assert_allclose(found[0].means * scale, found[1].means, rtol=1e-3)


@FAMILIES
@pytest.mark.parametrize("mean_strength", [0.0, 0.5])
def test_what_is_borrowed_is_the_pooled_covariance_and_the_mode(rng, family, mean_strength):
    X = with_holes(rng, clusters(rng, 90, 3, 2), 0.2)
    prior = NormalInverseWishart(mean_strength=mean_strength, degrees=9.0, scale="pooled")
    block, density, base = problem(family, X, 2, prior=prior)
    pooled = family.full_covariances(base)[0]
    # the base is found under the weak prior, whatever degrees are asked for
    weak = problem(family, X, 1, prior=NormalInverseWishart(mean_strength=mean_strength))[2]
    np.testing.assert_allclose(pooled, family.full_covariances(weak)[0], rtol=2e-2, atol=2e-2)
    expected = 9.0 + 3 + 1 + (mean_strength > 0)
    np.testing.assert_allclose(density.prior.scale, expected * pooled)
    assert density.prior.degrees == 9.0
    # where no row speaks, the M-step takes the mode of the prior (tied: beside two means)
    start = family.given(np.full(2, 0.5), np.zeros((2, 3)), None, base)
    nothing = density.e_step(start, block)
    nothing = type(nothing)(0.0, 0.0 * nothing.rows, 0.0 * nothing.first, 0.0 * nothing.second)
    stepped = family.full_covariances(density.m_step(nothing, start))
    more = 1.0 if family is FULL else expected / (expected + (mean_strength > 0))
    np.testing.assert_allclose(stepped, np.stack([more * pooled] * 2))


def test_a_small_component_borrows_the_correlations_of_the_table(rng):
    """Ten rows cannot tell six columns' correlations; those of the whole table help."""
    d, loads = 6, np.linspace(1.0, 2.0, 6)
    owner = np.arange(310) >= 300
    X = rng.normal(size=(310, 1)) * loads + 0.3 * rng.normal(size=(310, d))
    X[owner] += 1.5 * loads
    truth = np.outer(loads, loads) + 0.09 * np.eye(d)
    errors = {}
    for scale in ("columns", "pooled"):
        block, density, base = problem(FULL, X, 2, prior=NormalInverseWishart(scale=scale))
        start = FULL.from_responsibilities(np.eye(2)[owner * 1], base, density, block)
        small = run(density, start, [block], tol=0, max_iter=30).parameters.covariances[1]
        whitened = np.linalg.solve(truth, small)
        errors[scale] = np.trace(whitened) - np.linalg.slogdet(whitened)[1] - d  # 2 × KL
    assert errors["pooled"] < 0.5 * errors["columns"]


def test_a_prior_keeps_single_points_from_collapsing(rng):
    X = rng.normal(size=(40, 3))
    block, density, base = problem(FULL, X, 2, prior=NormalInverseWishart())
    tight = np.stack([np.cov(X.T), 1e-4 * np.eye(3)])
    start = FULL.given(np.array([0.9, 0.1]), np.stack([X.mean(axis=0), X[0]]), tight, base)
    fit = run(density, start, [block], tol=0, max_iter=100)
    assert not fit.collapsed
    free = run(problem(FULL, X, 2)[1], start, [block], tol=0, max_iter=100)
    assert free.collapsed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_strength": -1.0}, "mean_strength must be finite and not negative; got -1.0."),
        ({"degrees": 0.0}, "degrees must be None or a positive, finite number; got 0.0."),
        (
            {"scale": "rows"},
            "scale must be 'columns', 'pooled' or a positive number; got 'rows'.",
        ),
        ({"weight_concentration": 0.0}, "weight_concentration must be positive; got 0.0."),
    ],
)
def test_a_bad_prior_is_refused(changes, message):
    with pytest.raises(MixmendError) as caught:
        NormalInverseWishart(**changes)
    assert str(caught.value) == message


@FAMILIES
def test_priors_of_other_kinds_are_refused(rng, family):
    obs = ObservedMatrix.from_dense(rng.normal(size=(10, 3)))
    with pytest.raises(MixmendError) as caught:
        family.density(options(family, 1, prior=3), obs)
    assert str(caught.value) == (
        f"covariance_type={family.name!r} needs prior=None, 'default' or a NormalInverseWishart; "
        "got 3."
    )
    few = NormalInverseWishart(degrees=1.5)
    with pytest.raises(MixmendError) as caught:
        family.density(options(family, 1, prior=few), obs)
    assert str(caught.value) == (
        "An inverse Wishart prior over 3 columns needs degrees greater than 2; got 1.5."
    )


# ------------------------------------------------------------------ packing and files


@FAMILIES
def test_packing_is_undone_by_unpacking(rng, family):
    X = with_holes(rng, clusters(rng, 50, 3, 2), 0.2)
    block, density, base = problem(family, X, 2)
    start = family.from_responsibilities(rng.dirichlet([1, 1], 50), base, density, block)
    back = density.unpack(density.pack(start), start)
    for mine, other in zip(start, back, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    arrays = family.to_arrays(start)
    again = family.from_arrays(start.weights, start.means, arrays)
    for mine, other in zip(start, again, strict=True):
        np.testing.assert_array_equal(mine, other)
