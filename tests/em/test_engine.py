"""One run of EM: when it stops, what it tells, what it warns of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mixmend.em.block import Block
from mixmend.em.engine import Step, run
from mixmend.errors import LikelihoodDecreasedWarning
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import SphericalDensity, with_prior
from mixmend.observed.matrix import ObservedMatrix
from planted_densities import Contraction, Scripted, a_block
from spherical_cases import block_of, parameters, with_holes


def taken(values, tol, max_iter=50, **planted):
    density = Scripted(values=values, **planted)
    return run(density, 0, [a_block()], tol=tol, max_iter=max_iter)


# ------------------------------------------------------------------ when it stops


def test_it_stops_where_the_gain_equals_the_tolerance_times_the_new_value():
    values = [-8.0, -4.0, -2.0, -1.5]  # the second gain is exactly 1 * |-2|
    at_equality = taken(values, tol=1.0)
    assert at_equality.converged
    assert at_equality.history == (-8.0, -4.0)
    just_below = taken(values, tol=np.nextafter(1.0, 0.0))
    assert just_below.history == (-8.0, -4.0, -2.0, -1.5)


@pytest.mark.parametrize("tol", [0.5, 1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("shift", [-50.0, 3.0, 1e6])
def test_it_stops_at_the_first_gain_within_the_tolerance(tol, shift):
    values = shift - 10.0 * 0.7 ** np.arange(200)
    fit = taken(values, tol, max_iter=199)
    gains = np.diff(fit.history)
    small = gains <= tol * np.abs(fit.history[1:])
    assert fit.converged
    assert small[-1]
    assert not small[:-1].any()
    assert fit.history == tuple(values[: fit.n_iter + 1])


def test_without_a_tolerance_it_takes_all_steps():
    fit = taken([-2.0, -1.0, -1.0, -1.0], tol=0, max_iter=7)
    assert fit.n_iter == 7
    assert not fit.converged
    assert fit.history == (-2.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("max_iter", [0, 1, 5])
def test_no_more_steps_than_allowed(max_iter, accelerate):
    density = Contraction(rates=np.array([0.9, 0.99]))
    fit = run(density, np.ones(2), [a_block()], tol=1e-9, max_iter=max_iter, accelerate=accelerate)
    assert fit.n_iter == max_iter
    assert len(fit.history) == max_iter + 1
    assert not fit.converged


# ------------------------------------------------------------------ what it returns


@pytest.mark.parametrize("tol", [0, 1e-3])
def test_parameters_objective_and_history_belong_together_and_no_e_step_is_wasted(tol):
    density = Contraction(rates=0.6)
    steps: list[Step] = []
    start = np.array([1.0, -2.0])
    fit = run(density, start, [a_block()], tol=tol, max_iter=9, on_step=steps.append)
    assert fit.objective == fit.log_likelihood == fit.history[-1] == density.value(fit.parameters)
    assert fit.history[0] == density.value(start) == -5.0
    np.testing.assert_allclose(fit.parameters, start * 0.6**fit.n_iter, rtol=1e-12)
    assert density.calls == {"e_step": fit.n_iter + 1, "m_step": fit.n_iter}
    assert [step.iteration for step in steps] == list(range(1, fit.n_iter + 1))
    assert [step.objective for step in steps] == list(fit.history[1:])
    assert [step.gain for step in steps] == np.diff(fit.history).tolist()
    np.testing.assert_array_equal(start, [1.0, -2.0])


def test_blocks_are_merged_into_the_same_fit(rng):
    X = with_holes(rng, 60, 4, 0.3, empty_rows=(7,))
    prior = SphericalPrior("learned", 2.0, 0.3, 1.5)
    density = SphericalDensity(prior=prior, prior_means=np.zeros(4), row_offsets=True)
    start = with_prior(parameters(rng, 3, 4, False, True), prior)
    whole = run(density, start, [block_of(X)], tol=0, max_iter=15)
    observed = ObservedMatrix.from_dense(X)
    parts = [Block(observed.select_rows(rows)) for rows in (slice(0, 8), slice(8, 9), slice(9, 60))]
    cut = run(density, start, parts, tol=0, max_iter=15)
    np.testing.assert_allclose(cut.history, whole.history, rtol=1e-10)
    assert cut.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-10)
    for mine, other in zip(cut.parameters, whole.parameters, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-7)


def test_the_log_likelihood_is_told_apart_from_the_objective(rng):
    X = with_holes(rng, 30, 3)
    prior = SphericalPrior(None, 2.0, 0.3, 1.5)
    density = SphericalDensity(prior=prior)
    fit = run(density, parameters(rng, 2, 3), [block_of(X)], tol=0, max_iter=5)
    assert fit.log_likelihood == density.e_step(fit.parameters, block_of(X)).log_likelihood
    assert abs(fit.objective - fit.log_likelihood) > 0.1


def test_collapse_at_the_end_is_told():
    assert taken([-2.0, -1.0], tol=0, max_iter=1, singular=(1,)).collapsed
    assert not taken([-2.0, -1.0], tol=0, max_iter=0, singular=(1,)).collapsed


# ------------------------------------------------------------------ what it warns of


def fall(size, dtype=np.float64, noise=0.0, value=-5.0):
    """A run whose second step lowers the objective by ``size``."""
    density = Scripted(values=[value - 100, value, value - size], noise=noise)
    return run(density, 0, [a_block(dtype)], tol=0, max_iter=2)


def test_a_fall_is_warned_of_in_so_many_words():
    with pytest.warns(LikelihoodDecreasedWarning) as caught:
        fall(2.25)
    assert [str(w.message) for w in caught] == [
        "EM step 2 lowered its objective by 2.25 (to -7.25). "
        "Please report this with the data's shape and options."
    ]


def test_an_objective_that_is_no_number_is_warned_of():
    with pytest.warns(LikelihoodDecreasedWarning, match="by nan"):
        taken([-2.0, np.nan], tol=0, max_iter=1)


@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.float64, 1e-10), (np.float32, 1e-6)], ids=["double", "single"]
)
@pytest.mark.parametrize("value", [-5.0, 1e4, -0.01])
def test_only_what_rounding_explains_is_let_pass(value, dtype, unit):
    unit = unit * max(abs(value), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fall(0.9 * unit, dtype, value=value)
        fall(2.0, dtype, noise=1.01, value=value)  # twice: at the step's start and end
    with pytest.warns(LikelihoodDecreasedWarning):
        fall(1.1 * unit, dtype, value=value)
    with pytest.warns(LikelihoodDecreasedWarning):
        fall(2.0, dtype, noise=0.99, value=value)


class OvershootsTheMeans(SphericalDensity):
    """The first of the planted faults: each spoils one block of parameters."""

    def m_step(self, statistics, parameters):
        new = super().m_step(statistics, parameters)
        return new._replace(means=new.means + 0.1)


class DoublesTheOffsetVariance(SphericalDensity):
    def m_step(self, statistics, parameters):
        new = super().m_step(statistics, parameters)
        return new._replace(offset_variance=2 * new.offset_variance)


class HalvesTheSpreadOfMeans(SphericalDensity):
    def m_step(self, statistics, parameters):
        new = super().m_step(statistics, parameters)
        return new._replace(mean_variances=0.5 * new.mean_variances)


class ForgetsTheSpreadInThePriorVariance(SphericalDensity):
    def m_step(self, statistics, parameters):
        new = super().m_step(statistics, parameters)
        return new._replace(prior_variance=float(np.mean((new.means - self.prior_means) ** 2)))


class CountsEmptyCells(SphericalDensity):
    def m_step(self, statistics, parameters):
        new = super().m_step(statistics, parameters)
        shrunk = statistics.cells / (statistics.rows * new.means.shape[1])
        return new._replace(variances=new.variances * shrunk)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "faulty",
    [
        OvershootsTheMeans,
        DoublesTheOffsetVariance,
        HalvesTheSpreadOfMeans,
        ForgetsTheSpreadInThePriorVariance,
        CountsEmptyCells,
    ],
)
def test_planted_faults_are_caught_and_the_sound_density_is_not(rng, faulty, dtype):
    X = (with_holes(rng, 60, 4, 0.3) + rng.normal(0, 0.7, (60, 1))).astype(dtype)
    prior = SphericalPrior("learned")
    options = {"prior": prior, "prior_means": np.zeros(4), "row_offsets": True}
    start = with_prior(parameters(rng, 2, 4, False, True), prior)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sound = run(SphericalDensity(**options), start, [block_of(X)], tol=0, max_iter=60)
    # where the sound steps end, a faulty one cannot but lead down
    with pytest.warns(LikelihoodDecreasedWarning):
        run(faulty(**options), sound.parameters, [block_of(X)], tol=0, max_iter=3)
