"""Ctrl-C at any moment: what has been reached comes back, whole."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from mixmend.em import engine
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import SphericalDensity, with_prior
from planted_densities import Contraction, a_block
from spherical_cases import block_of, parameters, with_holes


def run(*args, **options):
    try:
        return engine.run(*args, **options)
    except KeyboardInterrupt:  # would end the session of the tests
        pytest.fail("the run was lost")


def assert_whole(fit, density):
    assert len(fit.history) == fit.n_iter + 1
    assert fit.objective == fit.history[-1] == density.value(fit.parameters)
    assert not fit.converged


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("where", ["e_step", "m_step"])
@pytest.mark.parametrize("call", range(2, 9))
def test_in_any_call_of_the_density(where, call, accelerate):
    density = Contraction(rates=np.array([0.9, 0.5, 0.99]), break_at=(where, call))
    start = np.array([3.0, -2.0, 1.0])
    fit = run(density, start, [a_block()], tol=0, max_iter=50, accelerate=accelerate)
    assert fit.interrupted
    assert_whole(fit, density)
    undisturbed = run(
        Contraction(rates=density.rates),
        start,
        [a_block()],
        tol=0,
        max_iter=fit.n_iter,
        accelerate=accelerate,
    )
    assert not undisturbed.interrupted
    assert fit.history == undisturbed.history
    np.testing.assert_array_equal(fit.parameters, undisturbed.parameters)


@pytest.mark.parametrize("last", [1, 4])
def test_in_what_is_called_after_each_step(last):
    density = Contraction()

    def on_step(step):
        if step.iteration == last:
            signal.raise_signal(signal.SIGINT)

    fit = run(density, np.ones(2), [a_block()], tol=0, max_iter=50, on_step=on_step)
    assert fit.interrupted
    assert fit.n_iter == last  # the step that was told of is kept
    assert_whole(fit, density)


def test_before_anything_was_reached_there_is_nothing_to_return():
    density = Contraction(break_at=("e_step", 1))
    with pytest.raises(KeyboardInterrupt):
        engine.run(density, np.ones(2), [a_block()], tol=0, max_iter=50)


@pytest.mark.skipif(
    not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread(),
    reason="needs an interval timer in the main thread",
)
@pytest.mark.parametrize("accelerate", [False, True])
def test_at_any_moment_of_a_real_fit(rng, accelerate):
    X = with_holes(rng, 50, 4, 0.3)
    prior = SphericalPrior("learned")
    density = SphericalDensity(prior=prior, prior_means=np.zeros(4), row_offsets=True)
    start = with_prior(parameters(rng, 3, 4, False, True), prior)
    blocks = [block_of(X)]
    run(density, start, blocks, tol=0, max_iter=2)  # compiled
    begun = []
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for delay in np.linspace(2e-3, 20e-3, 25):
            begun.clear()

            def on_step(step):
                if not begun:
                    begun.append(step)
                    signal.setitimer(signal.ITIMER_REAL, delay)  # noqa: B023

            fit = run(
                density,
                start,
                blocks,
                tol=0,
                max_iter=1_000_000,
                accelerate=accelerate,
                on_step=on_step,
            )
            assert fit.interrupted
            assert fit.objective == fit.history[-1]
            statistics = density.e_step(fit.parameters, blocks[0])
            assert density.objective(statistics, fit.parameters) == fit.objective
            assert statistics.log_likelihood == fit.log_likelihood
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
