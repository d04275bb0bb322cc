"""Predictive mixtures against scipy's normal distribution and root finder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.errors import MixmendError


def random_predictive(rng: np.random.Generator, m: int = 40, K: int = 5) -> Predictive:
    weights = rng.dirichlet(np.full(K, 0.5), m)
    return Predictive(weights, rng.normal(0, 3, (m, K)), rng.gamma(1.0, 1.0, (m, K)) + 1e-3)


def test_moments_agree_with_many_draws_and_with_quadrature(rng):
    p = random_predictive(rng, m=6)
    grid = np.linspace(-40, 40, 400_001)
    for j in range(6):
        density = np.exp(
            predictive.log_density(Predictive(*(part[j : j + 1] for part in p)), grid[:, None])
        )[:, 0]
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-9)
        mean = np.trapezoid(density * grid, grid)
        assert predictive.mean(p)[j] == pytest.approx(mean, abs=1e-8)
        spread = np.trapezoid(density * (grid - mean) ** 2, grid)
        assert predictive.variance(p)[j] == pytest.approx(spread, rel=1e-7)
        assert predictive.std(p)[j] == pytest.approx(np.sqrt(spread), rel=1e-7)
    draws = predictive.sample(p, 200_000, np.random.default_rng(3))
    assert draws.shape == (200_000, 6)
    assert np.all(
        np.abs(draws.mean(axis=0) - predictive.mean(p)) < 5 * predictive.std(p) / np.sqrt(2e5)
    )
    np.testing.assert_allclose(draws.std(axis=0), predictive.std(p), rtol=0.02)


def test_variance_does_not_cancel_far_from_zero():
    p = Predictive(np.array([[0.5, 0.5]]), np.array([[1e9, 1e9 + 2]]), np.array([[1e-4, 1e-4]]))
    assert predictive.variance(p)[0] == pytest.approx(1.0001, rel=1e-12)


@pytest.mark.parametrize("q", [1e-12, 1e-4, 0.05, 0.3, 0.5, 0.77, 0.95, 1 - 1e-4, 1 - 1e-9])
def test_quantiles_agree_with_a_root_finder(rng, q):
    p = random_predictive(rng)
    found = predictive.quantile(p, q)
    assert found.shape == (40,)
    for j in range(40):
        weights, means, stds = p.weights[j], p.means[j], np.sqrt(p.variances[j])

        def excess(x, weights=weights, means=means, stds=stds):
            if q <= 0.5:
                return weights @ stats.norm.cdf(x, means, stds) - q
            return (1 - q) - weights @ stats.norm.sf(x, means, stds)

        ends = stats.norm.ppf(q, means, stds)
        root = optimize.brentq(excess, ends.min() - 1e-6, ends.max() + 1e-6, xtol=1e-13, rtol=1e-14)
        assert found[j] == pytest.approx(root, abs=1e-8)


@given(
    st.lists(
        st.tuples(st.floats(0.001, 1), st.floats(-1e4, 1e4), st.floats(1e-3, 1e3)),
        min_size=1,
        max_size=6,
    ),
    st.floats(1e-6, 1 - 1e-6),
)
def test_the_quantile_inverts_the_distribution_function(components, q):
    w, m, s = (np.array([part]) for part in zip(*components, strict=True))
    p = predictive.checked(w, m, s**2)
    x = predictive.quantile(p, q)
    step = 1e-7 * (1 + np.abs(x) + s.max())
    assert predictive.cdf(p, x - step)[0] - 1e-12 <= q <= predictive.cdf(p, x + step)[0] + 1e-12


def test_a_quantile_takes_few_looks_at_the_mixture(rng, monkeypatch):
    from mixmend.kernels import quantiles

    looks = []
    plain = quantiles._excess.py_func
    monkeypatch.setattr(quantiles, "_excess", lambda *all_: looks.append(1) or plain(*all_))
    p = random_predictive(rng, m=200)
    for q, sign in ((0.05, 1.0), (0.05, -1.0)):
        level = q if sign > 0 else 1 - q
        found = [
            sign
            * quantiles._lower_quantile.py_func(
                *(part[j] for part in (p.weights, p.means, np.sqrt(p.variances))),
                q,
                stats.norm.ppf(q),
                sign,
            )
            for j in range(200)
        ]
        np.testing.assert_allclose(found, predictive.quantile(p, level), atol=1e-12)
    assert len(looks) / 400 < 7


def test_quantiles_increase_with_the_level(rng):
    p = random_predictive(rng, m=200)
    levels = np.linspace(0.001, 0.999, 99)
    found = predictive.quantile(p, levels)
    assert found.shape == (99, 200)
    assert np.all(np.diff(found, axis=0) > 0)
    np.testing.assert_allclose(predictive.cdf(p, found), levels[:, None] + np.zeros(200), atol=1e-9)
    assert predictive.quantile(p, levels.reshape(3, 33)).shape == (3, 33, 200)


def test_components_without_weight_do_not_move_the_quantile():
    lone = predictive.gaussian([1.0], 4.0)
    p = Predictive(
        np.array([[0.0, 1.0, 0.0]]), np.array([[-1e9, 1.0, 1e9]]), np.array([[1.0, 4.0, 0.0]])
    )
    for q in (0.0, 1e-9, 0.05, 0.5, 0.95, 1.0):
        assert predictive.quantile(p, q) == predictive.quantile(lone, q)
    assert predictive.quantile(lone, 0.95)[0] == pytest.approx(
        1 + 2 * stats.norm.ppf(0.95), abs=1e-14
    )


def test_components_far_apart_are_told_apart():
    p = predictive.checked([0.25, 0.75], [[-1e6, 1e6]], [[1.0, 1e-4]])
    low, mid, high = predictive.quantile(p, [0.125, 0.26, 0.625])[:, 0]
    assert low == pytest.approx(-1e6, abs=1e-8)
    assert mid == pytest.approx(1e6 + 1e-2 * stats.norm.ppf(0.01 / 0.75), abs=1e-8)
    assert high == pytest.approx(1e6, abs=1e-8)
    # on the plateau the tails decide: equal halves meet where the tails balance
    halves = predictive.checked([0.5, 0.5], [[-20.0, 20.0]], [[1.0, 4.0]])
    root = predictive.quantile(halves, 0.5)[0]
    assert (root + 20) / 1 == pytest.approx((20 - root) / 2, rel=1e-6)


def test_a_point_mass_is_a_jump():
    p = predictive.checked([0.5, 0.5], [[2.0, 5.0]], [[0.0, 1.0]])
    found = predictive.quantile(p, [0.0, 0.2, 0.4, 0.75, 1.0])[:, 0]
    assert found[0] == -np.inf
    assert found[4] == np.inf
    np.testing.assert_allclose(found[1:4], [2, 2, 5], atol=1e-9)
    assert predictive.cdf(p, 2.0)[0] == pytest.approx(0.5 + 0.5 * stats.norm.cdf(-3))
    assert predictive.log_density(p, 2.0)[0] == np.inf
    assert predictive.log_density(p, 5.0)[0] == pytest.approx(np.log(0.5) + stats.norm.logpdf(0))
    known = predictive.gaussian([3.0], 0.0)
    assert predictive.interval(known) == (3.0, 3.0)
    assert predictive.std(known) == 0
    assert predictive.log_density(known, 2.0)[0] == -np.inf
    np.testing.assert_array_equal(predictive.quantile(known, [0.0, 1.0]), [[3.0], [3.0]])


def test_log_density_stays_finite_where_densities_underflow(rng):
    p = random_predictive(rng)
    x = np.full(40, 1e4)
    oracle = [
        np.logaddexp.reduce(
            np.log(p.weights[j]) + stats.norm.logpdf(1e4, p.means[j], np.sqrt(p.variances[j]))
        )
        for j in range(40)
    ]
    np.testing.assert_allclose(predictive.log_density(p, x), oracle, rtol=1e-12)
    assert predictive.log_density(p, np.zeros((7, 40))).shape == (7, 40)


def test_intervals_hold_their_share_of_draws(rng):
    p = random_predictive(rng)
    lower, upper = predictive.interval(p, level=0.8)
    draws = predictive.sample(p, 20_000, 11)
    share = ((draws >= lower) & (draws <= upper)).mean(axis=0)
    np.testing.assert_allclose(share, 0.8, atol=5 * np.sqrt(0.16 / 20_000))


def test_draws_never_come_from_a_component_without_weight():
    p = predictive.checked([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], [-1e6, 0.0, 1e6], 1.0)
    draws = predictive.sample(p, 50_000, 1)
    assert np.abs(draws[:, 0]).max() < 10
    assert draws[:, 1].max() < 10
    np.testing.assert_array_equal(draws, predictive.sample(p, 50_000, 1))


def test_quantiles_do_not_depend_on_the_number_of_threads(rng):
    import numba

    p = random_predictive(rng, m=3000)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = predictive.quantile(p, [0.05, 0.95])
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(alone, predictive.quantile(p, [0.05, 0.95]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: predictive.quantile(predictive.gaussian(0.0, 1.0), 1.5),
            "a quantile needs a probability from 0 to 1; got 1.5.",
        ),
        (
            lambda: predictive.quantile(predictive.gaussian(0.0, 1.0), [0.5, np.nan]),
            "a quantile needs a probability from 0 to 1; got nan.",
        ),
        (
            lambda: predictive.interval(predictive.gaussian(0.0, 1.0), 90),
            "the level of an interval must lie between 0 and 1; got 90.",
        ),
        (
            lambda: predictive.checked(np.ones((3, 2)), np.ones((2, 3)), 1.0),
            "weights, means and variances must broadcast to (cells, components); "
            "got shapes (3, 2), (2, 3), ().",
        ),
        (
            lambda: predictive.checked([[1.0]], [[0.0], [np.inf]], 1.0),
            "each mean of a predictive distribution must be finite; cell 1, component 0 has inf.",
        ),
        (
            lambda: predictive.gaussian([0.0], -1.0),
            "each variance of a predictive distribution must be finite and not negative; "
            "cell 0, component 0 has -1.0.",
        ),
        (
            lambda: predictive.checked([[1.0, 0.0], [0.0, 0.0]], 0.0, 1.0),
            "the weights of cell 1 are all zero; at least one component must have weight.",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises(MixmendError) as caught:
        call()
    assert str(caught.value) == text
