"""The algebra of mixtures: against closed forms, plain loops, and its own laws."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from mixmend.errors import MixmendError
from mixmend.mixtures import algebra
from mixmend.mixtures.algebra import Mixture, mixture


def random_mixture(seed: int, k: int, d: int, scale: float = 1.0) -> Mixture:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(k, d, d + 1))
    return mixture(
        rng.dirichlet(np.ones(k)),
        scale * 2.0 * rng.normal(size=(k, d)),
        scale**2 * (half @ np.swapaxes(half, 1, 2) + 0.05 * np.eye(d)),
    )


def assert_same(X: Mixture, Y: Mixture, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    for left, right in zip(X, Y, strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)


mixtures = st.builds(
    random_mixture,
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([1e-4, 1.0, 1e5]),
)


# ---------------------------------------------------------------------- closed forms


def test_moments_of_two_points_of_mass():
    X = mixture([0.25, 0.75], [[0.0, 1.0], [4.0, 1.0]], np.zeros((2, 2, 2)))
    np.testing.assert_allclose(algebra.mean(X), [3.0, 1.0])
    np.testing.assert_allclose(algebra.covariance(X), [[3.0, 0.0], [0.0, 0.0]])


def test_moments_are_the_formulas_of_the_textbook():
    X = random_mixture(1, 3, 4)
    mean = sum(w * m for w, m in zip(X.weights, X.means, strict=True))
    second = sum(w * (c + np.outer(m, m)) for w, m, c in zip(*X, strict=True))
    np.testing.assert_allclose(algebra.mean(X), mean)
    np.testing.assert_allclose(algebra.covariance(X), second - np.outer(mean, mean))


def test_the_covariance_does_not_cancel_far_from_the_origin():
    X = mixture([0.5, 0.5], [[1e9], [1e9 + 2.0]], [[[1.0]], [[1.0]]])
    np.testing.assert_allclose(algebra.covariance(X), [[2.0]])


def test_conditioning_one_gaussian_is_regression():
    X = random_mixture(2, 1, 5)
    x = np.array([np.nan, 0.3, np.nan, -1.0, 2.0])
    seen, hidden = [1, 3, 4], [0, 2]
    sigma, mu = X.covariances[0], X.means[0]
    slope = sigma[np.ix_(hidden, seen)] @ np.linalg.inv(sigma[np.ix_(seen, seen)])
    Y = algebra.condition(X, x)
    np.testing.assert_allclose(Y.weights, [1.0])
    np.testing.assert_allclose(Y.means[0], mu[hidden] + slope @ (x[seen] - mu[seen]))
    np.testing.assert_allclose(
        Y.covariances[0],
        sigma[np.ix_(hidden, hidden)] - slope @ sigma[np.ix_(seen, hidden)],
        atol=1e-12,
    )


def test_conditioning_weighs_components_by_bayes_rule():
    X = random_mixture(3, 3, 3)
    x = np.array([0.4, np.nan, -0.2])
    seen = [0, 2]
    densities = [
        w * multivariate_normal(m[seen], c[np.ix_(seen, seen)]).pdf(x[seen])
        for w, m, c in zip(*X, strict=True)
    ]
    np.testing.assert_allclose(algebra.condition(X, x).weights, densities / np.sum(densities))


def test_weights_survive_where_densities_underflow():
    X = mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 5.0]], np.broadcast_to(np.eye(2), (2, 2, 2)))
    Y = algebra.condition(X, [1000.0, np.nan])  # both densities are below 1e-200000
    np.testing.assert_allclose(Y.weights, [0.0, 1.0], atol=1e-200)
    np.testing.assert_allclose(algebra.mean(Y), [5.0])


def test_the_conditional_density_is_joint_over_marginal():
    X = random_mixture(4, 3, 4)
    point = np.array([0.1, -0.5, 0.7, 0.2])
    x = np.where([True, False, True, False], point, np.nan)
    Y = algebra.condition(X, x)
    left = algebra.log_density(Y, point[None, [1, 3]])
    joint = algebra.log_density(X, point[None])
    observed = algebra.log_density(X, x[None])
    np.testing.assert_allclose(left, joint - observed)


def test_the_density_is_scipys_and_skips_what_is_not_observed():
    X = random_mixture(5, 2, 3)
    rows = np.random.default_rng(0).normal(size=(6, 3))
    rows[1, 0] = rows[2, [0, 2]] = np.nan
    rows[3] = np.nan
    expected = np.zeros(6)
    for n, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        if len(seen):
            parts = [
                w * multivariate_normal(m[seen], c[np.ix_(seen, seen)]).pdf(row[seen])
                for w, m, c in zip(*X, strict=True)
            ]
            expected[n] = np.log(np.sum(parts))
    np.testing.assert_allclose(algebra.log_density(X, rows), expected)


def test_the_sum_of_two_gaussians_and_of_two_mixtures():
    X = mixture([1.0], [[1.0]], [[[2.0]]])
    Y = mixture([1.0], [[10.0]], [[[3.0]]])
    assert_same(algebra.add(X, Y), mixture([1.0], [[11.0]], [[[5.0]]]))
    X, Y = random_mixture(6, 2, 3), random_mixture(7, 3, 3)
    Z = X + Y
    assert Z.means.shape == (6, 3)
    for a in range(2):
        for b in range(3):
            np.testing.assert_allclose(Z.weights[3 * a + b], X.weights[a] * Y.weights[b])
            np.testing.assert_allclose(Z.means[3 * a + b], X.means[a] + Y.means[b])
            np.testing.assert_allclose(
                Z.covariances[3 * a + b], X.covariances[a] + Y.covariances[b]
            )


def test_a_mixture_and_a_tuple_are_not_added():
    with pytest.raises(TypeError):
        _ = random_mixture(0, 1, 1) + (1, 2)  # noqa: RUF005 -- the trap itself


# ---------------------------------------------------------------------- laws


@given(mixtures)
def test_conditioning_on_nothing_is_identity(X):
    assert algebra.condition(X, np.full(X.means.shape[1], np.nan)) is X


@given(mixtures)
def test_conditioning_on_everything_leaves_no_columns(X):
    Y = algebra.condition(X, X.means[0])
    assert Y.means.shape == (len(X.weights), 0)
    np.testing.assert_allclose(Y.weights.sum(), 1.0)


@given(mixtures, st.data())
def test_conditioning_in_two_steps_is_conditioning_at_once(X, data):
    d = X.means.shape[1]
    stage = np.array(data.draw(st.lists(st.integers(0, 2), min_size=d, max_size=d)))
    point = algebra.sample(X, 1, rng=0)[0]
    at_once = algebra.condition(X, np.where(stage < 2, point, np.nan))
    first = algebra.condition(X, np.where(stage == 0, point, np.nan))
    rest = np.where(stage == 1, point, np.nan)[stage > 0]
    scale = float(np.abs(X.means).max())
    twice = algebra.condition(first, rest)
    np.testing.assert_allclose(twice.weights, at_once.weights, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(twice.means, at_once.means, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(
        twice.covariances, at_once.covariances, rtol=1e-6, atol=1e-7 * scale**2
    )


@given(mixtures, st.integers(0, 2**32 - 1), st.data())
def test_the_marginal_of_a_sum_is_the_sum_of_marginals(X, seed, data):
    d = X.means.shape[1]
    Y = random_mixture(seed, 2, d)
    columns = data.draw(st.permutations(range(d)))[: data.draw(st.integers(0, d))]
    left = algebra.marginal(X + Y, np.array(columns, int))
    right = algebra.marginal(X, np.array(columns, int)) + algebra.marginal(
        Y, np.array(columns, int)
    )
    assert_same(left, right, rtol=0, atol=0)


@given(mixtures, st.integers(0, 2**32 - 1))
def test_moments_of_a_sum_are_sums_of_moments(X, seed):
    Y = random_mixture(seed, 3, X.means.shape[1])
    scale = float(np.abs(X.means).max()) + 1.0
    np.testing.assert_allclose(
        algebra.mean(X + Y), algebra.mean(X) + algebra.mean(Y), atol=1e-12 * scale
    )
    np.testing.assert_allclose(
        algebra.covariance(X + Y),
        algebra.covariance(X) + algebra.covariance(Y),
        atol=1e-11 * scale**2,
    )


@given(mixtures, st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_affine_maps_compose(X, seed, m, p):
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(m, X.means.shape[1])), rng.normal(size=m)
    B, c = rng.normal(size=(p, m)), rng.normal(size=p)
    scale = float(np.abs(X.means).max()) + 1.0
    left = algebra.affine(algebra.affine(X, A, b), B, c)
    right = algebra.affine(X, B @ A, B @ b + c)
    np.testing.assert_allclose(left.means, right.means, atol=1e-10 * scale)
    np.testing.assert_allclose(left.covariances, right.covariances, atol=1e-9 * scale**2)
    np.testing.assert_allclose(
        algebra.covariance(right),
        B @ A @ algebra.covariance(X) @ A.T @ B.T,
        rtol=1e-7,
        atol=1e-9 * scale**2,
    )


@given(mixtures, st.data())
def test_choosing_columns_is_an_affine_map(X, data):
    d = X.means.shape[1]
    columns = data.draw(st.permutations(range(d)))
    scale = float(np.abs(X.covariances).max())
    assert_same(
        algebra.marginal(X, columns), algebra.affine(X, np.eye(d)[columns]), atol=1e-11 * scale
    )
    assert_same(algebra.marginal(X, np.array(columns) - d), algebra.marginal(X, columns))


def test_total_expectation_and_variance():
    """Averaged over what is observed, conditional moments recover the moments.

    One observed column: the average is an integral over a line, done by the midpoint rule.
    """
    X = random_mixture(8, 3, 2)
    grid = np.linspace(-40, 40, 1601)
    step = grid[1] - grid[0]
    density = np.exp(algebra.log_density(algebra.marginal(X, [0]), grid[:, None]))
    assert density.sum() * step == pytest.approx(1.0, abs=1e-9)
    parts = [algebra.condition(X, [x, np.nan]) for x in grid]
    means = np.array([algebra.mean(Y)[0] for Y in parts])
    variances = np.array([algebra.covariance(Y)[0, 0] for Y in parts])
    mean = (density * means).sum() * step
    assert mean == pytest.approx(algebra.mean(X)[1], abs=1e-8)
    spread = (density * (variances + (means - mean) ** 2)).sum() * step
    assert spread == pytest.approx(algebra.covariance(X)[1, 1], rel=1e-8)


# ---------------------------------------------------------------------- Monte Carlo
# Each of about 40 compared numbers is within 4.5 standard errors with a probability of
# 1 - 3e-4 over all of them; seeds are fixed, so the tests cannot fail by chance later.

DRAWS, LIMIT = 200_000, 4.5


def assert_moments(rows: np.ndarray, X: Mixture) -> None:
    mean, covariance = algebra.mean(X), algebra.covariance(X)
    z = (rows.mean(0) - mean) / np.sqrt(np.diag(covariance) / len(rows))
    assert np.abs(z).max() < LIMIT
    centred = rows - mean
    products = centred[:, :, None] * centred[:, None, :]
    z = (products.mean(0) - covariance) / (products.std(0) / np.sqrt(len(rows)))
    assert np.abs(z).max() < LIMIT


def test_samples_have_the_moments():
    X = random_mixture(9, 3, 3)
    assert_moments(algebra.sample(X, DRAWS, rng=1), X)


def test_sums_and_maps_of_samples_have_the_moments_of_sums_and_maps():
    X, Y = random_mixture(10, 2, 3), random_mixture(11, 3, 3)
    x, y = algebra.sample(X, DRAWS, rng=2), algebra.sample(Y, DRAWS, rng=3)
    assert_moments(x + y, X + Y)
    A, b = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]]), np.array([3.0, -1.0])
    assert_moments(x @ A.T + b, algebra.affine(X, A, b))


def test_samples_near_a_value_have_the_conditional_moments():
    X = random_mixture(12, 3, 3)
    rows = algebra.sample(X, 10 * DRAWS, rng=4)
    near = rows[np.abs(rows[:, 1] - 0.5) < 0.01]
    assert len(near) > 4000
    Y = algebra.condition(X, [np.nan, 0.5, np.nan])
    assert_moments(near[:, [0, 2]], Y)


def test_the_moments_can_fail():
    X = random_mixture(9, 3, 3)
    off = Mixture(X.weights, X.means + 0.1, X.covariances)
    with pytest.raises(AssertionError):
        assert_moments(algebra.sample(X, DRAWS, rng=1), off)


def test_samples_are_reproducible_and_independent_of_order():
    X = random_mixture(13, 2, 2)
    np.testing.assert_array_equal(algebra.sample(X, 9, rng=5), algebra.sample(X, 9, rng=5))
    assert algebra.sample(X, 0, rng=5).shape == (0, 2)


# ---------------------------------------------------------------------- singular covariances


@pytest.fixture
def flat() -> Mixture:
    """(x, y, x + y): three columns that lie in a plane."""
    return algebra.affine(random_mixture(14, 2, 2), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_a_singular_mixture_is_moved_added_and_sampled(flat):
    rows = algebra.sample(flat, 1000, rng=6)
    np.testing.assert_allclose(rows[:, 0] + rows[:, 1], rows[:, 2], atol=1e-7)
    difference = algebra.affine(flat, [[1.0, 1.0, -1.0]])
    np.testing.assert_allclose(difference.covariances, 0.0, atol=1e-12)
    assert (difference.covariances >= 0).all()
    assert mixture(*flat).means.shape == (2, 3)
    noise = mixture([1.0], [[0.0, 0.0, 0.0]], [np.eye(3)])
    assert np.isfinite(algebra.log_density(flat + noise, rows)).all()


def test_a_singular_mixture_is_conditioned_where_it_has_a_density(flat):
    Y = algebra.condition(flat, [0.3, 0.4, np.nan])
    np.testing.assert_allclose(Y.means, 0.7)
    np.testing.assert_allclose(Y.covariances, 0.0, atol=1e-9)
    assert (Y.covariances >= 0).all()


def test_a_singular_mixture_says_that_it_has_no_density(flat):
    cure = (
        "Leave out columns that are constant or follow from the others, or add noise to the "
        "diagonal."
    )
    with pytest.raises(MixmendError) as raised:
        algebra.condition(flat, [0.3, 0.4, 0.7])
    assert str(raised.value) == (
        "The covariance of component 0 is not positive definite in the columns 0, 1, 2 "
        f"(rank 2 of 3): there is no density to condition on them. {cure}"
    )
    with pytest.raises(MixmendError) as raised:
        algebra.log_density(flat, [[0.3, 0.4, 0.7]])
    assert str(raised.value) == (
        "The covariance of component 0 is not positive definite in the columns 0, 1, 2 "
        f"(rank 2 of 3): there is no density to give a density of them. {cure}"
    )


def test_columns_of_very_different_units_are_not_singular():
    scale = np.array([1e-9, 1.0, 1e9])
    X = random_mixture(15, 2, 3)
    Y = algebra.affine(X, np.diag(scale))
    point = np.array([0.1, np.nan, 0.2])
    np.testing.assert_allclose(
        algebra.condition(Y, point * scale).means, algebra.condition(X, point).means, rtol=1e-9
    )
    assert mixture(*Y).weights.shape == (2,)


# ---------------------------------------------------------------------- what is refused

ONE = ([1.0], [[0.0, 0.0]], [np.eye(2)])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            ([0.5, 0.4], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
            "weights must sum to 1; their sum is 0.9. Divide them by it.",
        ),
        (
            ([1.5, -0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
            "weights must not be negative; weights[1] is -0.5.",
        ),
        (
            ([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]),
            "covariances[0] is not positive semi-definite: the least eigenvalue of its "
            "correlations is -1. A covariance matrix has none below 0.",
        ),
        (
            ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.2, 1.0]]]),
            "covariances[0] is not symmetric: element (0, 1) is 0.5, (1, 0) is 0.2.",
        ),
        (
            ([1.0], [[0.0]], [[[-1.0]]]),
            "covariances[0] is not positive semi-definite: the least eigenvalue of its "
            "correlations is -1. A covariance matrix has none below 0.",
        ),
        (([1.0], [[np.nan]], [[[1.0]]]), "means of a mixture must be finite; one is nan."),
        (
            ([1.0], [[0.0, 0.0]], [[1.0, 1.0]]),
            "weights, means and covariances must have shapes (K,), (K, d) and (K, d, d); got "
            "(1,), (1, 2) and (1, 2).",
        ),
        (
            ([0.5, 0.5], [[0.0, 0.0]], [np.eye(2)]),
            "weights, means and covariances must have shapes (K,), (K, d) and (K, d, d); got "
            "(2,), (1, 2) and (1, 2, 2).",
        ),
    ],
)
def test_what_is_no_mixture_is_refused(parts, message):
    with pytest.raises(MixmendError, match=f"^{re.escape(message)}$"):
        mixture(*parts)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            lambda X: algebra.marginal(X, [2]),
            "column 2 does not exist: the mixture has 2 columns, 0 to 1.",
        ),
        (lambda X: algebra.marginal(X, [1, -1]), "columns must be distinct; got [1, 1]."),
        (
            lambda X: algebra.marginal(X, ["a"]),
            "columns must be whole-number positions; got ['a'].",
        ),
        (
            lambda X: algebra.condition(X, [1.0]),
            "x must have shape (2,), NaN where unobserved; got (1,).",
        ),
        (
            lambda X: algebra.condition(X, [np.nan, -np.inf]),
            "x must be finite where observed; column 1 is -inf.",
        ),
        (
            lambda X: algebra.condition(X, [np.nan, 1e200]),
            "x is too far from every component to have a density in double precision. "
            "Check its units.",
        ),
        (lambda X: algebra.affine(X, [1.0, 2.0]), "A must have shape (m, 2); got (2,)."),
        (
            lambda X: algebra.affine(X, np.eye(2), [1.0]),
            "b must be a number or have shape (2,); got (1,).",
        ),
        (lambda X: algebra.affine(X, np.eye(2), np.inf), "A and b must be finite."),
        (
            lambda X: X + mixture([1.0], [[0.0]], [[[1.0]]]),
            "only vectors of one length can be added; these have 2 and 1 columns. "
            "Take marginals of the columns that belong together first.",
        ),
        (
            lambda X: algebra.sample(X, -1),
            "the number of draws must be a whole number >= 0; got -1.",
        ),
        (
            lambda X: algebra.log_density(X, [0.0, 0.0]),
            "points must have shape (n, 2); got (2,).",
        ),
    ],
)
def test_what_cannot_be_done_is_said(work, message):
    with pytest.raises(MixmendError, match=f"^{re.escape(message)}$"):
        work(mixture(*ONE))


def test_a_mixture_is_a_copy_that_cannot_be_changed():
    means = np.zeros((1, 2))
    X = mixture([1.0], means, [np.eye(2)])
    means[:] = 7.0
    np.testing.assert_array_equal(X.means, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        X.means[0, 0] = 1.0
