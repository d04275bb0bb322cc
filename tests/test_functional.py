"""The handout's layer against the oracles, and what it says to bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mixmend import functional as layer
from mixmend.errors import CollapsedComponentWarning, DataError


@st.composite
def problems(draw, complete=False):
    """A matrix (0 = missing unless complete), a mixture and responsibilities that fit it."""
    n, d, K = (draw(st.integers(1, most)) for most in (14, 6, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** draw(st.integers(-3, 3))
    X = scale * rng.normal(2.0, 1.0, (n, d))
    if not complete:
        X[rng.random((n, d)) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0.0
    mixture = layer.GaussianMixture(
        scale * rng.normal(2.0, 1.0, (K, d)),
        scale**2 * rng.uniform(0.2, 3.0, K),
        rng.dirichlet(np.full(K, 0.5)),
    )
    post = rng.dirichlet(np.full(K, 0.3), n)
    return X, mixture, post


def agree(got, wanted, rtol=1e-9):
    for one, other in zip(got, wanted, strict=True):
        atol = rtol * max(float(np.abs(other).max()), 1e-300)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


@given(problems())
def test_estep_and_fill_are_the_formulas(problem):
    X, mixture, _ = problem
    post, log_likelihood = layer.estep(X, mixture)
    expected, value = oracles.estep(X, mixture)
    np.testing.assert_allclose(post, expected, atol=1e-8)
    assert log_likelihood == pytest.approx(value, rel=1e-9, abs=1e-8)
    filled = layer.fill_matrix(X, mixture)
    np.testing.assert_allclose(
        filled, oracles.fill_matrix(X, mixture), rtol=1e-7, atol=1e-7 * np.abs(mixture.mu).max()
    )
    np.testing.assert_array_equal(filled[X != 0], X[X != 0])


@given(problems(), st.sampled_from([0.0, 1e-3, 0.25, 4.0]))
def test_mstep_is_the_formulas(problem, min_variance):
    X, mixture, post = problem
    seen_by_nobody = ((X != 0).sum(axis=1) @ post) == 0
    new = layer.mstep(X, post, mixture, min_variance)
    with np.errstate(invalid="ignore"):
        expected = oracles.mstep(X, post, mixture, min_variance)
    # where a component sees no value the formula is 0 / 0: the old variance stays
    var = np.where(seen_by_nobody, np.maximum(mixture.var, min_variance), expected.var)
    spread = float(np.abs(mixture.mu).max()) ** 2
    np.testing.assert_allclose(new.mu, expected.mu, rtol=1e-9, atol=1e-9 * np.sqrt(spread))
    np.testing.assert_allclose(new.var, var, rtol=1e-7, atol=1e-9 * spread)
    np.testing.assert_allclose(new.p, expected.p, rtol=1e-9, atol=1e-12)


@given(problems(complete=True))
def test_naive_steps_are_the_formulas_and_zeros_are_values(problem):
    X, mixture, post = problem
    X[0, 0] = 0.0
    with np.errstate(divide="ignore"):
        expected, value = oracles.naive_estep(X, mixture)
    got, log_likelihood = layer.naive_estep(X, mixture)
    np.testing.assert_allclose(got, expected, atol=1e-8)
    assert log_likelihood == pytest.approx(value, rel=1e-9, abs=1e-8)
    if (post.sum(axis=0) > 1e-9).all():
        new, wanted = layer.naive_mstep(X, post), oracles.naive_mstep(X, post)
        spread = float(np.abs(X).max()) ** 2 + 1e-200
        np.testing.assert_allclose(new.mu, wanted.mu, rtol=1e-8, atol=1e-9 * np.sqrt(spread))
        np.testing.assert_allclose(new.var, wanted.var, rtol=1e-6, atol=1e-8 * spread)
        np.testing.assert_allclose(new.p, wanted.p, rtol=1e-9)


@given(problems())
def test_run_takes_the_oracles_steps(problem):
    X, mixture, post = problem
    floor = 0.05 * float(np.abs(mixture.mu).max()) ** 2
    got = layer.run(X, mixture, post, min_variance=floor)
    wanted = oracles.run(X, mixture, floor)
    assert got[2] == pytest.approx(wanted[2], rel=1e-6, abs=1e-5)
    np.testing.assert_allclose(got[1].sum(axis=1), 1.0, atol=1e-9)


@given(problems(complete=True))
def test_kmeans_is_the_oracle(problem):
    X, mixture, post = problem
    mixture, hard, distortion = layer.kmeans_run(X, mixture, post)
    expected, labels, value = oracles.kmeans(X, problem[1])
    np.testing.assert_array_equal(hard, labels)
    assert distortion == pytest.approx(value, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(mixture.mu, expected.mu, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        mixture.var, expected.var, rtol=1e-7, atol=1e-9 * np.abs(X).max() ** 2
    )
    np.testing.assert_allclose(mixture.p, expected.p)


def test_kmeans_keeps_a_cluster_that_loses_its_rows():
    X = np.array([[0.0], [1.0], [2.0]])
    start = layer.GaussianMixture(np.array([[1.0], [90.0]]), np.ones(2), np.full(2, 0.5))
    mixture, post, distortion = layer.kmeans_run(X, start)
    assert mixture.mu.ravel().tolist() == [1.0, 90.0]
    assert mixture.var.tolist() == [pytest.approx(2 / 3), 0.0]
    assert mixture.p.tolist() == [1.0, 0.0]
    assert post[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert distortion == pytest.approx(2.0)


# ------------------------------------------------------------------ the start


@pytest.mark.parametrize("seed", range(6))
def test_init_draws_what_numpys_global_generator_would(seed):
    X = np.random.default_rng(5).normal(size=(40, 3))
    wanted, uniform = oracles.init(X, 7, seed)  # numpy.random.seed, numpy.random.choice
    np.random.seed(99)
    got, post = layer.init(X, 7, seed)
    agree(got, wanted, rtol=1e-14)
    np.testing.assert_array_equal(post, uniform)
    assert np.random.random() == np.random.RandomState(99).random_sample()  # untouched


def test_seed_is_zero_by_default_and_means_are_copies():
    X = np.arange(12.0).reshape(6, 2)
    mixture, _ = layer.init(X, 2)
    np.testing.assert_array_equal(mixture.mu, layer.init(X, 2, seed=0)[0].mu)
    mixture.mu[:] = -1
    assert X.min() == 0


# ------------------------------------------------------------------ the rest


def test_observed_rows_without_a_value_get_the_weights():
    mixture = layer.GaussianMixture(np.ones((2, 2)), np.ones(2), np.array([0.3, 0.7]))
    post, log_likelihood = layer.estep(np.zeros((1, 2)), mixture)
    np.testing.assert_allclose(post, [[0.3, 0.7]], atol=1e-15)
    assert log_likelihood == 0.0


def test_a_component_of_no_weight_is_no_trouble():
    X = np.array([[1.0, 0.0], [2.0, 3.0]])
    mixture = layer.GaussianMixture(
        np.array([[1.0, 3.0], [9.0, 9.0]]), np.ones(2), np.array([1.0, 0.0])
    )
    for step in (layer.estep, layer.naive_estep):
        post, log_likelihood = step(X, mixture)
        assert np.isfinite(log_likelihood)
        np.testing.assert_allclose(post[:, 0], 1.0)


def test_a_component_of_no_weight_can_come_back_where_nothing_else_explains_a_row():
    X = np.array([[1.0, 1.0], [90.0, 90.0]])
    mixture = layer.GaussianMixture(np.array(X), np.ones(2), np.array([1.0, 0.0]))
    post, log_likelihood = layer.estep(X, mixture)  # log(p + 1e-16) is finite
    np.testing.assert_allclose(post, np.eye(2), atol=1e-12)
    assert log_likelihood == pytest.approx(oracles.estep(X, mixture)[1], rel=1e-12)
    assert layer.naive_estep(X, mixture)[0][1].tolist() == [1.0, 0.0]


def test_plot_is_the_picture_of_the_mixture():
    X = np.array([[0.0, 0.0], [0.0, 2.0], [8.0, 8.0]])
    mixture, post = layer.init(X, 2, 0)
    ax = layer.plot(X, mixture, post, "Start")
    assert ax.get_title(loc="left") == "Start"
    assert len(ax.collections[0].get_offsets()) == 2 * len(X)  # two arcs each
    assert sum("μ" in text.get_text() for text in ax.texts) == 2


def test_rmse_and_bic():
    assert layer.rmse([[0.0, 3.0]], [[4.0, 3.0]]) == pytest.approx(np.sqrt(8))
    mixture = layer.GaussianMixture(np.zeros((3, 4)), np.zeros(3), np.full(3, 1 / 3))
    assert layer.bic(np.ones((7, 4)), mixture, -10.0) == pytest.approx(-10 - 8.5 * np.log(7))


def test_shrinking_onto_a_point_is_said():
    X = np.array([[0.0], [1.0], [50.0]])
    start = layer.GaussianMixture(
        np.array([[0.5], [50.0]]), np.array([1.0, 1e-3]), np.array([0.7, 0.3])
    )
    with pytest.warns(CollapsedComponentWarning) as caught:
        layer.naive_run(X, start)
    assert str(caught[0].message) == (
        "component 1 shrank onto a single point, where its likelihood has no bound: start "
        "elsewhere, use fewer components, or use run, which has a floor for variances."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layer.run(X + 1, start)[0].var.min() == 0.25


X = [[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]]
GOOD = layer.GaussianMixture(np.ones((2, 2)), np.ones(2), np.full(2, 0.5))
POST = np.full((3, 2), 0.5)
NAN = [[1.0, np.nan]]
FOR_NAN = "Here 0 marks what is missing; for NaN use mixmend.GaussianMixture."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layer.init(X, 4),
         "K must be a whole number from 1 to the number of rows (3): the means start at different "
         "rows; got 4."),
        (lambda: layer.init(X, 0),
         "K must be a whole number from 1 to the number of rows (3): the means start at different "
         "rows; got 0."),
        (lambda: layer.init(X, 2.0),
         "K must be a whole number from 1 to the number of rows (3): the means start at different "
         "rows; got 2.0."),
        (lambda: layer.init([1.0, 2.0], 1),
         "X must be a matrix with rows and columns, shape (n, d); got shape (2,)."),
        (lambda: layer.init(np.empty((0, 2)), 1),
         "X must be a matrix with rows and columns, shape (n, d); got shape (0, 2)."),
        (lambda: layer.init([["a"]], 1), "X must be a matrix of numbers, shape (n, d)."),
        (lambda: layer.estep(NAN, GOOD),
         "X must be finite; row 0, column 1 is nan. " + FOR_NAN),
        (lambda: layer.naive_run([[1.0, 2.0], [np.inf, 2.0]], GOOD),
         "X must be finite; row 1, column 0 is inf. " + FOR_NAN),
        (lambda: layer.rmse(X, [[np.nan]]),
         "Y must be finite; row 0, column 0 is nan. " + FOR_NAN),
        (lambda: layer.rmse(X, [[1.0]]),
         "X and Y must have the same shape; got (3, 2) and (1, 1)."),
        (lambda: layer.estep([[1.0]], GOOD),
         "the mixture must have mu of shape (K, 1), as X has 1 columns, and var and p of shape "
         "(K,); got (2, 2), (2,) and (2,)."),
        (lambda: layer.fill_matrix(X, GOOD._replace(var=[1.0])),
         "the mixture must have mu of shape (K, 2), as X has 2 columns, and var and p of shape "
         "(K,); got (2, 2), (1,) and (2,)."),
        (lambda: layer.naive_estep(X, GOOD._replace(var=[1.0, 0.0])),
         "mixture.var must be finite and positive; component 1 has 0.0."),
        (lambda: layer.run(X, GOOD._replace(mu=[[1.0, 2.0], [3.0, np.nan]])),
         "mixture.mu must be finite."),
        (lambda: layer.kmeans_run(X, GOOD._replace(p=[0.5, 0.6])),
         "mixture.p must be weights, not negative, with sum 1; got [0.5, 0.6]."),
        (lambda: layer.mstep(X, POST[:2], GOOD),
         "post must have one row per row of X and one column per component, shape (n, K) = "
         "(3, 2); got (2, 2)."),
        (lambda: layer.run(X, GOOD, POST[:, :1]),
         "post must have one row per row of X and one column per component, shape (n, K) = "
         "(3, 2); got (3, 1)."),
        (lambda: layer.naive_run(X, GOOD, POST[:, :1]),
         "post must have one row per row of X and one column per component, shape (n, K) = "
         "(3, 2); got (3, 1)."),
        (lambda: layer.kmeans_run(X, GOOD, POST[:, :1]),
         "post must have one row per row of X and one column per component, shape (n, K) = "
         "(3, 2); got (3, 1)."),
        (lambda: layer.naive_mstep(X, [0.5, 0.5]),
         "post must have one row per row of X and one column per component, shape (n, K) = "
         "(3, K); got (2,)."),
        (lambda: layer.naive_mstep(X, [[0.5, 0.5], [0.5, 0.6], [0.5, 0.5]]),
         "rows of post must be responsibilities: not negative, with sum 1; row 1 is not."),
        (lambda: layer.mstep(X, [[0.5, 0.5], [0.5, 0.5], [np.nan, 0.5]], GOOD),
         "rows of post must be responsibilities: not negative, with sum 1; row 2 is not."),
        (lambda: layer.naive_mstep(X, [[1.0, 0.0]] * 3),
         "component 1 has no share of any row, so its mean is undefined: start with fewer "
         "components."),
        (lambda: layer.mstep(X, POST, GOOD, min_variance=-1.0),
         "min_variance must be finite and not negative; got -1.0."),
        (lambda: layer.run(X, GOOD, min_variance=np.nan),
         "min_variance must be finite and not negative; got nan."),
    ],
)  # fmt: skip
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == message


def test_nothing_that_is_given_is_changed():
    X = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 4.0]])
    mixture, post = layer.init(X, 2)
    kept = [part.copy() for part in (X, *mixture, post)]
    layer.estep(X, mixture)
    layer.mstep(X, post, mixture)
    layer.run(X, mixture, post)
    layer.fill_matrix(X, mixture)
    layer.kmeans_run(X, mixture, post)
    layer.naive_estep(X, mixture)
    layer.naive_mstep(X, post)
    for part, before in zip((X, *mixture, post), kept, strict=True):
        np.testing.assert_array_equal(part, before)
        assert part.flags.writeable
