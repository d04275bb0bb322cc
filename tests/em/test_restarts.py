"""Several starts: the best is kept, hopeless ones are dropped, nothing reached is lost."""

from __future__ import annotations

import numpy as np
import pytest

from mixmend.em.engine import run
from mixmend.em.restarts import run_restarts
from mixmend.mixtures.spherical import SphericalDensity
from planted_densities import Contraction, Scripted, a_block
from spherical_cases import block_of, parameters, with_holes


def restarts(density, starts, **options):
    options = {"tol": 0, "max_iter": 10} | options
    return run_restarts(density, starts, [a_block()], **options)


# ------------------------------------------------------------------ the best


def test_every_run_is_kept_in_the_order_of_its_start_and_the_best_is_told():
    starts = [np.array([2.0]), np.array([-0.5]), np.array([1.0])]
    found = restarts(Contraction(), starts)
    assert [fit.history[0] for fit in found.runs] == [-4.0, -0.25, -1.0]
    assert [fit.n_iter for fit in found.runs] == [10] * 3
    assert found.best is found.runs[1]
    assert not found.interrupted


def test_the_first_of_equals_is_the_best():
    starts = [np.array([1.0]), np.array([0.5]), np.array([-0.5])]
    found = restarts(Contraction(), starts)
    assert found.runs[1].objective == found.runs[2].objective
    assert found.best is found.runs[1]


def test_only_the_best_run_keeps_its_statistics():
    found = restarts(Contraction(), [np.array([2.0]), np.array([-0.5]), np.array([1.0])])
    assert [fit.statistics is None for fit in found.runs] == [True, False, True]
    assert found.best.statistics.log_likelihood == found.best.objective


def test_a_run_that_was_dropped_gets_its_statistics_back_where_the_better_one_collapses():
    density = Contraction(singular=(0.5**10,))
    found = restarts(density, [np.array([1.0]), np.array([8.0])], screen=2)
    assert found.runs[0].collapsed
    assert found.best is found.runs[1]
    assert found.best.statistics.log_likelihood == found.best.objective == -4.0


@pytest.mark.filterwarnings("ignore::mixmend.errors.LikelihoodDecreasedWarning")
def test_an_objective_that_is_no_number_is_never_the_best():
    density = Scripted(values=[np.nan, -3.0, -2.0, np.nan])
    assert restarts(density, [3, 0, 1, 2], max_iter=0).best.objective == -2.0
    assert restarts(density, [0, 1], max_iter=0).best.objective == -3.0


def test_a_collapsed_run_is_the_best_only_among_its_like():
    density = Scripted(values=[-1.0, 50.0, -2.0, 60.0], singular=(1, 3))
    assert restarts(density, [1, 2, 3, 0], max_iter=0).best.objective == -1.0
    assert restarts(density, [1, 3], max_iter=0).best.objective == 60.0


# ------------------------------------------------------------------ screening


def screened(starts, screen, **options):
    return restarts(Contraction(rates=0.9), starts, screen=screen, **options)


@pytest.mark.parametrize(("n", "kept"), [(2, 1), (3, 2), (4, 2), (5, 3), (9, 5)])
def test_the_worse_half_is_dropped_after_its_first_steps(n, kept):
    starts = [np.array([float((7 * j) % n + 1)]) for j in range(n)]  # all ranks, scattered
    found = screened(starts, 3, max_iter=20)
    assert sorted(fit.n_iter for fit in found.runs) == [3] * (n - kept) + [20] * kept
    survivors = sorted(abs(float(s[0])) for s, fit in zip(starts, found.runs, strict=True)
                       if fit.n_iter == 20)  # fmt: skip
    assert survivors == list(range(1, kept + 1))
    assert found.best.history[0] == -1.0


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("tol", [0, 1e-4])
@pytest.mark.parametrize("screen", [1, 4, 11])
def test_those_that_go_on_end_as_if_they_had_not_been_stopped(rng, screen, tol, accelerate):
    X = with_holes(rng, 60, 4, 0.3)
    density = SphericalDensity(row_offsets=True)
    starts = [parameters(rng, 2, 4, False, True) for _ in range(4)]
    options = {"tol": tol, "max_iter": 30, "accelerate": accelerate}
    full = run_restarts(density, starts, [block_of(X)], **options)
    found = run_restarts(density, starts, [block_of(X)], screen=screen, **options)
    gone_on = 0
    for mine, other in zip(found.runs, full.runs, strict=True):
        assert mine.history == other.history[: len(mine.history)]
        assert mine.objective == mine.history[-1]
        if mine.n_iter > screen or mine.converged:
            gone_on += 1
            assert (mine.history, mine.converged) == (other.history, other.converged)
            for a, b in zip(mine.parameters, other.parameters, strict=True):
                np.testing.assert_array_equal(a, b)
    assert gone_on >= 2


def test_a_run_that_has_converged_is_not_taken_up_again():
    density = Contraction(rates=np.array([0.5, 0.5]))
    found = restarts(
        density, [np.zeros(2), np.ones(2)], screen=3, tol=1e-6, max_iter=50
    )  # the first is at its end from the start
    assert found.runs[0].converged
    assert found.runs[0].n_iter == 1
    assert found.runs[1].n_iter == 3


@pytest.mark.parametrize(
    ("n", "screen", "max_iter"), [(1, 3, 10), (4, 0, 10), (4, 10, 10), (4, 99, 10)]
)
def test_without_anything_to_screen_all_run_to_their_end(n, screen, max_iter):
    starts = [np.array([1.0 + j]) for j in range(n)]
    density = Contraction()
    found = restarts(density, starts, screen=screen, max_iter=max_iter)
    assert [fit.n_iter for fit in found.runs] == [max_iter] * n
    assert density.calls["e_step"] == n * (max_iter + 1)


@pytest.mark.parametrize("screen", [0, 3])
def test_every_step_is_told_of(screen):
    told = []
    found = screened([np.array([1.0 + j]) for j in range(4)], screen, on_step=told.append)
    assert len(told) == sum(fit.n_iter for fit in found.runs)
    objectives = [value for fit in found.runs for value in fit.history[1:]]
    assert sorted(step.objective for step in told) == sorted(objectives)


# ------------------------------------------------------------------ interruption


def interrupted(call, screen=0):
    # each full run of 4 steps takes 5 E-steps; the second of these starts is the best
    density = Contraction(rates=0.5, break_at=("e_step", call))
    starts = [np.array([3.0]), np.array([1.0]), np.array([2.0])]
    try:
        return density, restarts(density, starts, max_iter=4, screen=screen)
    except KeyboardInterrupt:  # would end the session of the tests
        pytest.fail("what had been reached was lost")


@pytest.mark.parametrize(
    ("call", "n_runs", "n_iter", "best"),
    [
        (2, 1, (0,), 0),  # in the first run: what it has
        (5, 1, (3,), 0),
        (6, 1, (4,), 0),  # in the second's first E-step: the first run is not lost
        (7, 2, (4, 0), 0),
        (8, 2, (4, 1), 0),
        (10, 2, (4, 3), 1),
        (11, 2, (4, 4), 1),
        (13, 3, (4, 4, 1), 1),
    ],
)
def test_what_had_been_reached_comes_back(call, n_runs, n_iter, best):
    density, found = interrupted(call)
    assert found.interrupted
    assert tuple(fit.n_iter for fit in found.runs) == n_iter
    assert len(found.runs) == n_runs
    assert found.best is found.runs[best]
    for fit in found.runs:
        assert fit.objective == fit.history[-1] == density.value(fit.parameters)


@pytest.mark.parametrize(
    ("call", "n_iter"),
    [
        # three runs of 1 step take 6 E-steps; then the best two are continued, best first
        (4, (1, 0)),
        (5, (1, 1)),
        (7, (1, 1, 1)),  # in the first E-step of the continued run
        (8, (1, 1, 1)),
        (10, (1, 3, 1)),
        (11, (1, 4, 1)),
        (13, (1, 4, 2)),
    ],
)
def test_what_screening_had_reached_comes_back(call, n_iter):
    density, found = interrupted(call, screen=1)
    assert found.interrupted
    assert tuple(fit.n_iter for fit in found.runs) == n_iter
    for fit in found.runs:
        assert fit.objective == fit.history[-1] == density.value(fit.parameters)
    assert found.best.objective == max(fit.objective for fit in found.runs)


def test_before_anything_was_reached_there_is_nothing_to_return():
    with pytest.raises(KeyboardInterrupt):
        restarts(Contraction(break_at=("e_step", 1)), [np.ones(1)])


def test_the_best_of_restarts_is_a_plain_run(rng):
    X = with_holes(rng, 30, 3, 0.3)
    start = parameters(rng, 2, 3)
    alone = run(SphericalDensity(), start, [block_of(X)], tol=1e-5, max_iter=50)
    found = run_restarts(SphericalDensity(), [start], [block_of(X)], tol=1e-5, max_iter=50)
    assert found.best.history == alone.history
