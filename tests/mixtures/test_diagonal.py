"""Diagonal mixtures against dense Gaussian densities, scikit-learn and finite differences."""

from __future__ import annotations

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import dirichlet, invgamma, norm
from sklearn.mixture import GaussianMixture

from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.errors import LikelihoodDecreasedWarning, MixmendError, ModelFileError
from mixmend.mixtures import diagonal as dg
from mixmend.mixtures.columns import column_facts
from mixmend.mixtures.diagonal_family import DIAGONAL
from mixmend.mixtures.options import Options
from mixmend.mixtures.priors import DiagonalPrior, SphericalPrior
from mixmend.observed.matrix import ObservedMatrix


def options(n_components=2, **changes):
    named = {
        "covariance_type": "diag", "n_components": n_components, "n_init": 1, "tol": 0.0,
        "init_params": "random", "max_iter": 5, "min_variance": 0.0, "min_support": 0.0,
        "prior": None, "center": "none", "accelerate": False, "screen": 0, "n_factors": None,
    } | changes  # fmt: skip
    return Options(**{k: v for k, v in named.items() if k in Options.__dataclass_fields__})


def holed(rng, n, d, missing, dtype=np.float64):
    X = rng.normal(size=(n, d)) + rng.integers(0, 2, (n, 1)) * 3.0
    return np.where(rng.random((n, d)) < missing, np.nan, X).astype(dtype)


def some(rng, K, d):
    weights = rng.dirichlet(np.full(K, 3.0))
    return dg.Parameters(weights, rng.normal(size=(K, d)), rng.gamma(3.0, 0.4, (K, d)))


def block(X, tile_rows=None, weights=None):
    out = Block(ObservedMatrix.from_dense(X, row_weights=weights))
    if tile_rows is not None:
        out.tile_rows = tile_rows
    return out


def log_joint(X, q):
    """log p_k + log density of the observed cells, cell by cell with scipy."""
    cells = norm.logpdf(X[:, None, :], q.means, np.sqrt(q.variances))
    return np.log(q.weights) + np.nansum(cells, axis=2)


def expected(X, q, weights=None):
    X = X.astype(np.float64)
    joint = log_joint(X, q)
    density = np.where(np.isnan(X).all(axis=1), 0.0, logsumexp(joint, axis=1))
    post = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    w = np.ones(len(X)) if weights is None else weights
    post = post * w[:, None]
    gaps = X[:, None, :] - q.means
    sums = [np.einsum("uk,uki->ik", post, np.nan_to_num(gaps**power)) for power in (1, 2)]
    return w @ density, post.sum(axis=0), post.T @ ~np.isnan(X), *sums


def assert_statistics(got, wanted, rtol=1e-10):
    assert got.log_likelihood == pytest.approx(wanted[0], rel=rtol)
    support = wanted[2].T
    for part, reference in zip(
        (got.rows, got.support, got.deviations, got.squares),
        (wanted[1], support, *wanted[3:]),
        strict=True,
    ):
        np.testing.assert_allclose(
            part, reference, rtol=rtol, atol=rtol * (1 + abs(reference).max())
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("K", [1, 3, 4, 7, 16, 33])
def test_statistics(rng, K, missing, weighted, dtype):
    X = holed(rng, 31, 6, missing, dtype)
    if missing:
        X[[4, 30]], X[:, 2] = np.nan, np.nan
    weights = rng.gamma(1.0, 1.0, 31) * (rng.random(31) > 0.2) if weighted else None
    q = some(rng, K, 6)
    wanted = expected(X, q, weights)
    for tile_rows in (1, 7, 30, 31):
        assert_statistics(
            dg.e_step(q, block(X, tile_rows, weights)),
            wanted,
            1e-10 if dtype == np.float64 else 3e-5,
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (9, 1), (600, 3), (5, 700)])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_shapes_that_do_not_fill_vectors_or_runs(rng, shape, missing):
    X = holed(rng, *shape, missing)
    X[0, 0] = 1.0
    q = some(rng, 2, shape[1])
    assert_statistics(dg.e_step(q, block(X)), expected(X, q))


def test_complete_rows_among_holes_and_alone_agree(rng):
    X = holed(rng, 200, 9, 0.0)
    q = some(rng, 5, 9)
    alone = dg.e_step(q, block(X))
    with_empty_row = dg.e_step(q, block(np.vstack([X, np.full(9, np.nan)])))
    assert with_empty_row.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(with_empty_row.squares, alone.squares, rtol=1e-11)
    np.testing.assert_allclose(with_empty_row.support, alone.support, rtol=1e-11)


def test_parts_add_up_to_the_whole(rng):
    X = holed(rng, 40, 5, 0.5)
    q = some(rng, 3, 5)
    parts = dg.e_step(q, block(X[:13])) + dg.e_step(q, block(X[13:]))
    assert_statistics(parts, expected(X, q))


def test_statistics_of_given_responsibilities(rng):
    X, q = holed(rng, 30, 4, 0.4), some(rng, 2, 4)
    shares = rng.dirichlet([1.0, 1.0], 30)
    weights = rng.gamma(1.0, 1.0, 30)
    got = dg.statistics_of(shares, q, block(X, 11, weights))
    seen = ~np.isnan(X)
    post = shares * weights[:, None]
    np.testing.assert_allclose(got.support, seen.T @ post)
    gaps = np.nan_to_num(X[:, None, :] - q.means)
    np.testing.assert_allclose(got.squares, np.einsum("uk,uki->ik", post, gaps**2))
    assert np.isnan(got.log_likelihood)


def test_m_step_is_the_weighted_mean_and_variance(rng):
    X, q = holed(rng, 60, 4, 0.4), some(rng, 2, 4)
    new = dg.m_step(dg.e_step(q, block(X)), q, dg.DiagonalDensity())
    joint = log_joint(X, q)
    post = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    for k in range(2):
        for i in range(4):
            seen = ~np.isnan(X[:, i])
            mean = np.average(X[seen, i], weights=post[seen, k])
            variance = np.average((X[seen, i] - mean) ** 2, weights=post[seen, k])
            assert new.means[k, i] == pytest.approx(mean, rel=1e-10)
            assert new.variances[k, i] == pytest.approx(variance, rel=1e-10)
    np.testing.assert_allclose(new.weights, post.mean(axis=0))


def test_the_path_of_scikit_learn(rng):
    X = np.vstack([rng.normal(m, s, (300, 5)) for m, s in ((0, 1), (3, 0.5), (-2, 2))])
    start = some(rng, 3, 5)
    density = DIAGONAL.density(options(3), ObservedMatrix.from_dense(X))
    fit = run(density, start, [block(X)], tol=0, max_iter=12)
    theirs = GaussianMixture(
        3, covariance_type="diag", reg_covar=0, max_iter=12, tol=0, weights_init=start.weights,
        means_init=start.means, precisions_init=1 / start.variances,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X)
    assert fit.objective == pytest.approx(theirs.score(X) * len(X), rel=1e-8)
    np.testing.assert_allclose(fit.parameters.means, theirs.means_, atol=1e-6)
    np.testing.assert_allclose(fit.parameters.variances, theirs.covariances_, rtol=1e-6)
    np.testing.assert_allclose(fit.parameters.weights, theirs.weights_, atol=1e-6)


@pytest.mark.parametrize("prior", [None, DiagonalPrior(0.5, 2.0, 0.3, 2.0), DiagonalPrior()])
def test_the_end_of_em_is_a_stationary_point(rng, prior):
    X = holed(rng, 80, 3, 0.3)
    obs = ObservedMatrix.from_dense(X)
    density = DIAGONAL.density(options(2, prior=prior), obs)
    start = some(rng, 2, 3)
    best = run(density, start, [block(X)], tol=0, max_iter=1500).parameters

    def objective(vector):
        q = density.unpack(vector, best)
        total = expected(X, q)[0]
        return total + dg.log_prior(q, density.prior)

    at, step = density.pack(best), 1e-5
    for j in range(len(at)):
        move = np.eye(len(at))[j] * step
        slope = (objective(at + move) - objective(at - move)) / (2 * step)
        assert abs(slope) < 1e-4, (j, slope)


def test_a_prior_changes_the_fit_towards_its_centre(rng):
    X = holed(rng, 30, 3, 0.3)
    obs = ObservedMatrix.from_dense(X)
    q = some(rng, 2, 3)
    strong = DIAGONAL.density(options(prior=DiagonalPrior(1e9, 1e9, 2e9)), obs)
    new = strong.m_step(strong.e_step(q, block(X)), q)
    facts = column_facts(obs)
    np.testing.assert_allclose(new.means, np.tile(facts.means, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(new.variances, 2.0, rtol=1e-6)  # mode b / a for large a


def test_the_default_prior_follows_the_units_of_columns(rng):
    X = holed(rng, 50, 3, 0.3)
    units = np.array([1.0, 1e-3, 1e4])
    a, b = (
        DIAGONAL.density(options(prior=DiagonalPrior()), ObservedMatrix.from_dense(Y)).prior
        for Y in (X, X * units)
    )
    np.testing.assert_allclose(b.scale, a.scale * units**2)
    np.testing.assert_allclose(b.centre, a.centre * units)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_objective_never_falls(seed, missing, dtype, K, with_prior):
    rng = np.random.default_rng(seed)
    X = holed(rng, 25, 4, missing, dtype)
    X[0, 0] = 0.5
    obs = ObservedMatrix.from_dense(X)
    prior = DiagonalPrior() if with_prior else None
    density = DIAGONAL.density(options(K, prior=prior, min_variance=1e-3), obs)
    base = DIAGONAL.pooled(density, Block(obs))
    start = DIAGONAL.from_responsibilities(rng.dirichlet(np.ones(K), 25), base, density, Block(obs))
    with warnings.catch_warnings():
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        fit = run(density, start, [Block(obs)], tol=0, max_iter=12)
        run(density, start, [Block(obs)], tol=0, max_iter=6, accelerate=True)
    assert fit.history[-1] >= fit.history[0] - 1e-6 * abs(fit.history[0])


def test_a_wrong_m_step_is_noticed(rng):
    """The check of the rise can fail: here variances come out thrice too large."""

    class Wrong(dg.DiagonalDensity):
        def m_step(self, statistics, parameters):
            right = dg.m_step(statistics, parameters, self)
            return right._replace(variances=right.variances * 3.0)

    X = holed(rng, 50, 3, 0.3)
    start = run(dg.DiagonalDensity(), some(rng, 1, 3), [block(X)], tol=0, max_iter=2).parameters
    with pytest.warns(LikelihoodDecreasedWarning):
        run(Wrong(), start, [block(X)], tol=0, max_iter=1)


@pytest.mark.parametrize(("dtype", "offset"), [(np.float64, 1e8), (np.float32, 1e4)])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_offsets_do_not_spoil_variances(rng, dtype, offset, missing):
    X = (rng.normal(size=(20_000, 3)) * [1.0, 2.0, 0.5] + offset).astype(dtype)
    X[rng.random(X.shape) < missing] = np.nan
    obs = ObservedMatrix.from_dense(X)
    density = DIAGONAL.density(options(1), obs)
    fit = run(density, DIAGONAL.pooled(density, Block(obs)), [Block(obs)], tol=0, max_iter=5)
    exact = np.nanvar(X.astype(np.float64), axis=0)
    np.testing.assert_allclose(fit.parameters.variances[0], exact, rtol=0.01)
    np.testing.assert_allclose(exact, [1.0, 4.0, 0.25], rtol=0.05)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_threads_do_not_change_a_bit(rng, missing):
    X, q = holed(rng, 40_000, 8, missing), some(rng, 16, 8)
    results = []
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        results.append(dg.e_step(q, block(X)))
    numba.set_num_threads(before)
    assert results[0].log_likelihood == results[1].log_likelihood
    for name in ("rows", "support", "deviations", "squares"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


def test_support_below_the_minimum_keeps_mean_and_variance(rng):
    X = holed(rng, 20, 3, 0.0)
    X[2:, 1] = np.nan
    q = some(rng, 1, 3)
    density = dg.DiagonalDensity(min_support=3.0)
    new = density.m_step(density.e_step(q, block(X)), q)
    assert new.means[0, 1] == q.means[0, 1]
    assert new.variances[0, 1] == q.variances[0, 1]
    assert np.all(new.means[0, [0, 2]] != q.means[0, [0, 2]])


def test_floors_and_collapse(rng):
    X = np.repeat([[1.0, 2.0]], 9, axis=0)
    X[:, 1] += rng.normal(size=9)
    obs = ObservedMatrix.from_dense(X)
    density = DIAGONAL.density(options(2, min_variance=0.01), obs)
    q = DIAGONAL.pooled(density, Block(obs))
    assert q.variances[0, 0] == 0.01
    assert not density.collapsed(q)
    loose = DIAGONAL.density(options(2), obs)
    onto_a_point = q._replace(variances=np.array([[1e-9, 1e-20]]))
    assert loose.collapsed(onto_a_point)
    # a column that is constant as a whole says nothing of a component's collapse
    assert not loose.collapsed(q._replace(variances=np.array([[1e-300, 1.0]])))


def test_pack_and_unpack(rng):
    q = some(rng, 3, 4)
    density = dg.DiagonalDensity(min_variance=np.array([1e-6]))
    back = density.unpack(density.pack(q), q)
    for name in q._fields:
        np.testing.assert_allclose(getattr(back, name), getattr(q, name), rtol=1e-13)
    floored = density.unpack(density.pack(q._replace(variances=q.variances * 1e-12)), q)
    assert floored.variances.min() == 1e-6


# ------------------------------------------------------------------ family


def test_fold(rng):
    X, q = holed(rng, 300, 4, 0.5), some(rng, 3, 4)
    X[5] = np.nan
    obs = ObservedMatrix.from_dense(X, row_weights=rng.gamma(1.0, 1.0, 300))
    folded = DIAGONAL.fold(q, obs)
    joint = log_joint(X, q)
    post = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(folded.responsibilities, post, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(folded.responsibilities[5], q.weights)
    densities = logsumexp(joint, axis=1)
    densities[5] = 0.0
    np.testing.assert_allclose(folded.log_densities, densities, rtol=1e-9)
    cells = folded.cells(np.array([2, 5]), np.array([1, 3]))
    np.testing.assert_array_equal(cells.means, q.means.T[[1, 3]])
    np.testing.assert_array_equal(cells.variances, q.variances.T[[1, 3]])
    mean, variance = folded.moments(slice(2, 6))
    np.testing.assert_allclose(mean, post[2:6] @ q.means, rtol=1e-9)
    second = post[2:6] @ (q.variances + q.means**2)
    np.testing.assert_allclose(variance, second - (post[2:6] @ q.means) ** 2, rtol=1e-9)
    assert folded.moments(slice(0, 1), variance=False)[1] is None
    draws = np.stack([folded.draw(rng) for _ in range(800)])
    seen = ~np.isnan(X)
    assert np.all(draws[:, seen] == X[seen])
    hole = ~seen[2:6]
    error = np.sqrt(variance[hole] / 800)
    assert np.all(np.abs(draws[:, 2:6].mean(axis=0)[hole] - mean[hole]) < 5 * error)


def test_family_shapes_and_files(rng):
    q = some(rng, 2, 3)
    assert DIAGONAL.covariances(q).shape == DIAGONAL.covariance_shape(2, 3) == (2, 3)
    full = DIAGONAL.full_covariances(q)
    np.testing.assert_array_equal(np.diagonal(full, axis1=1, axis2=2), q.variances)
    assert np.count_nonzero(full) == 6
    assert DIAGONAL.n_parameters(q) == 2 * 3 * 2 + 1
    arrays = DIAGONAL.to_arrays(q)
    back = DIAGONAL.from_arrays(q.weights, q.means, arrays)
    np.testing.assert_array_equal(back.variances, q.variances)
    for wrong, message in (
        ({}, "The model file lacks the array 'variances'. Save the model again."),
        (
            {"variances": np.ones((3, 2))},
            "The model file's array 'variances' has shape (3, 2), not (2, 3). "
            "Save the model again.",
        ),
        (
            {"variances": np.full((2, 3), np.nan)},
            "The model file's array 'variances' must hold finite numbers. Save the model again.",
        ),
        (
            {"variances": np.full((2, 3), -1.0)},
            "The model file's array 'variances' must not be negative. Save the model again.",
        ),
    ):
        with pytest.raises(ModelFileError) as error:
            DIAGONAL.from_arrays(q.weights, q.means, wrong)
        assert str(error.value) == message
    given_start = DIAGONAL.given(q.weights, q.means, None, q._replace(variances=q.variances[:1]))
    np.testing.assert_array_equal(given_start.variances, np.repeat(q.variances[:1], 2, axis=0))
    labels = np.repeat([0, 1], 50_000)
    rows = DIAGONAL.sample(q, labels, rng)
    np.testing.assert_allclose(rows[:50_000].var(axis=0), q.variances[0], rtol=0.05)
    np.testing.assert_allclose(rows[50_000:].mean(axis=0), q.means[1], atol=0.05)


def test_pooled_is_the_one_component_fit(rng):
    X = holed(rng, 90, 4, 0.5)
    weights = rng.gamma(1.0, 1.0, 90)
    obs = ObservedMatrix.from_dense(X, row_weights=weights)
    q = DIAGONAL.pooled(DIAGONAL.density(options(1), obs), Block(obs))
    for i in range(4):
        seen = ~np.isnan(X[:, i])
        mean = np.average(X[seen, i], weights=weights[seen])
        assert q.means[0, i] == pytest.approx(mean)
        spread = np.average((X[seen, i] - mean) ** 2, weights=weights[seen])
        assert q.variances[0, i] == pytest.approx(spread)


def test_the_wrong_prior_is_named():
    obs = ObservedMatrix.from_dense([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(MixmendError) as error:
        DIAGONAL.density(options(prior=SphericalPrior()), obs)
    assert str(error.value) == (
        "prior must be None, 'default' or a DiagonalPrior with covariance_type='diag'; got "
        "SphericalPrior(mean_variance='learned', variance_shape=0.0, variance_scale=0.0, "
        "weight_concentration=None)."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_strength": -1.0}, "mean_strength must be finite and not negative; got -1.0."),
        ({"variance_shape": np.inf}, "variance_shape must be finite and not negative; got inf."),
        (
            {"variance_scale": 0.0},
            "variance_scale must be 'columns' or a positive number; got 0.0.",
        ),
        (
            {"variance_scale": "rows"},
            "variance_scale must be 'columns' or a positive number; got 'rows'.",
        ),
        ({"weight_concentration": 0.0}, "weight_concentration must be positive; got 0.0."),
    ],
)
def test_priors_out_of_range(changes, message):
    with pytest.raises(MixmendError) as error:
        DiagonalPrior(**changes)
    assert str(error.value) == message


def test_the_warning_names_the_type():
    assert dg.INDEPENDENCE_WARNING.format(name="diag").startswith("covariance_type='diag' assumes")


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_single_precision_keeps_the_means_own_centre(rng, missing):
    X = (holed(rng, 200, 3, missing) + 1e4).astype(np.float32)
    q = some(rng, 1, 3)
    q = q._replace(means=q.means + 1e4)  # not representable in the data's precision
    got, wanted = dg.e_step(q, block(X)), expected(X, q)
    np.testing.assert_allclose(got.deviations, wanted[3], atol=1e-3)
    np.testing.assert_allclose(got.squares, wanted[4], rtol=1e-5)


def test_the_log_prior_is_that_of_the_named_distributions(rng):
    obs = ObservedMatrix.from_dense(holed(rng, 30, 3, 0.2))
    prior = DiagonalPrior(0.7, 2.0, 0.4, 1.5)
    scales = DIAGONAL.density(options(2, prior=prior), obs).prior

    def named(q):
        means = norm.logpdf(q.means, scales.centre, np.sqrt(q.variances / 0.7))
        variances = invgamma.logpdf(q.variances, 2.0, scale=0.4)
        return (means + variances).sum() + dirichlet.logpdf(q.weights, [1.5, 1.5])

    a, b = some(rng, 2, 3), some(rng, 2, 3)
    difference = dg.log_prior(a, scales) - dg.log_prior(b, scales)
    assert difference == pytest.approx(named(a) - named(b))
