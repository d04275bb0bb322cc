"""Acceleration: faster where EM is slow, and never at the objective's cost."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from mixmend.em.engine import run
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import Parameters, SphericalDensity, with_prior
from planted_densities import Contraction, a_block
from spherical_cases import block_of


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def steps(density, start, n, accelerate=True):
    return run(density, start, [a_block()], tol=0, max_iter=n, accelerate=accelerate)


def test_one_leap_ends_a_geometric_approach():
    # x -> r x: change (r - 1) x, curvature (r - 1)^2 x, so that the leap lands on 0
    density = Contraction(rates=0.99)
    fit = steps(density, np.array([3.0, -4.0]), 1)
    np.testing.assert_allclose(fit.parameters, 0.0, atol=1e-11)
    assert density.calls == {"e_step": 3, "m_step": 2}


def test_the_leap_is_the_one_of_scheme_s3():
    rates = np.array([0.9, 0.5])
    x0 = np.array([1.0, 2.0])
    change, curvature = (rates - 1) * x0, (rates - 1) ** 2 * x0
    step = -np.linalg.norm(change) / np.linalg.norm(curvature)
    fit = steps(Contraction(rates=rates), x0, 1)
    np.testing.assert_allclose(fit.parameters, x0 - 2 * step * change + step**2 * curvature)
    assert fit.objective > -np.sum((rates * x0) ** 2)


def test_at_a_fixed_point_nothing_moves():
    fit = steps(Contraction(rates=1.0), np.array([1.0, 2.0]), 3)
    np.testing.assert_array_equal(fit.parameters, [1.0, 2.0])
    assert fit.history == (-5.0,) * 4


@dataclass
class BadLeaps(Contraction):
    """Whatever is extrapolated to has been made worse, or is no parameter at all."""

    landing: float = 0.0

    def unpack(self, vector, like):
        return np.full_like(vector, self.landing)

    def value(self, parameters):
        # a landing in infinity looks as good as any: nothing but its size tells
        return 0.0 if np.isinf(parameters).all() else super().value(parameters)


@pytest.mark.parametrize("landing", [100.0, np.inf, -np.inf, np.nan])
def test_a_leap_that_lowers_the_objective_or_leaves_the_numbers_is_not_taken(landing):
    density = BadLeaps(rates=np.array([0.9, 0.5]), landing=landing)
    plain = Contraction(rates=density.rates)
    fit = steps(density, np.array([3.0, -4.0]), 10)
    twice_as_many = steps(plain, np.array([3.0, -4.0]), 20, accelerate=False)
    assert fit.history == twice_as_many.history[::2]  # two plain steps instead
    assert np.all(np.diff(fit.history) > 0)


@dataclass
class Overflowing(Contraction):
    """Positive parameters packed as logarithms, with an approach that leaps beyond exp's range."""

    def pack(self, parameters):
        return np.log(parameters)

    def unpack(self, vector, like):
        return np.exp(vector)

    def following(self, parameters):
        # logarithms 0, 1, 2 - 1e-9, ...: almost straight, so the leap is a billion steps long
        logs = np.log(parameters)
        return np.exp(logs + 1.0 - 1e-9 * np.round(logs))

    def value(self, parameters):
        return 0.0


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_overflow_in_a_leap_is_silent_and_not_taken(direction):
    class Falling(Overflowing):
        def following(self, parameters):
            return 1 / super().following(1 / parameters)

    density = Overflowing() if direction > 0 else Falling()
    fit = steps(density, np.array([1.0]), 2)
    assert np.isfinite(fit.parameters).all()
    assert (fit.parameters > 0).all()


def overlapping(rng):
    """Two groups that overlap so much that EM creeps."""
    X = rng.normal(0, 1, (300, 4)) + rng.choice([-0.6, 0.6], (300, 1)) * np.array([1, -1, 1, -1])
    X[rng.random(X.shape) < 0.3] = np.nan
    start = Parameters(
        np.array([0.3, 0.7]),
        np.asfortranarray(0.2 * rng.normal(size=(2, 4))),
        np.array([1.0, 1.5]),
    )
    return block_of(X), start


@pytest.mark.parametrize("prior", [None, SphericalPrior(1.0, 2.0, 1.0, 1.5)])
def test_a_slow_mixture_takes_fewer_e_steps_to_the_same_end(rng, prior):
    block, start = overlapping(rng)

    class Counting(SphericalDensity):
        def e_step(self, parameters, block):
            calls.append(1)
            return super().e_step(parameters, block)

    density = Counting(prior=prior, prior_means=np.zeros(4))
    start = with_prior(start, prior)
    spent, fits = [], []
    for accelerate in (False, True):
        calls: list[int] = []
        fit = run(density, start, [block], tol=1e-10, max_iter=5000, accelerate=accelerate)
        assert fit.converged
        assert np.diff(fit.history).min() >= -1e-10 * abs(fit.objective)
        fits.append(fit)
        spent.append(len(calls))
    assert spent[1] < 0.5 * spent[0]
    assert fits[1].objective >= fits[0].objective - 1e-7 * abs(fits[0].objective)
