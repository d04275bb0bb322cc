"""Several starts of EM, the best kept; hopeless ones stopped early where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Generic, TypeVar

import numpy as np

from mixmend.em.block import Block
from mixmend.em.engine import Density, Fit, OnStep, run

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Restarts(Generic[P]):
    """The best of several runs, and how all of them ended.

    Attributes
    ----------
    best : Fit
        The run with the highest objective (the first of equals) among those that did not
        end at a singularity, or among all where every one did.
    runs : tuple of Fit
        All runs in the order of their starts; screened-out ones end where they were dropped.
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    best: Fit[P]
    runs: tuple[Fit[P], ...]
    interrupted: bool = False


def run_restarts(
    density: Density[P, Any],
    starts: Sequence[P],
    blocks: list[Block],
    *,
    tol: float,
    max_iter: int,
    screen: int = 0,
    accelerate: bool = False,
    on_step: OnStep | None = None,
    runner: Callable[..., Fit[P]] = run,
) -> Restarts[P]:
    """Run EM from every start and keep the best.

    Parameters
    ----------
    density, tol, max_iter, accelerate, on_step
        As for `mixmend.em.engine.run`.
    starts : sequence of parameters
        At least one.
    blocks : list of Block
        The rows.
    screen : int
        With a positive number, every start first takes so many steps and only the better
        half (rounded up) goes on; 0 runs all to their end.

    Returns
    -------
    Restarts
        After Ctrl-C: what had been reached, so long as one run has begun.
    """
    options: dict[str, Any] = {"tol": tol, "accelerate": accelerate, "on_step": on_step}
    runs: list[Fit[P]] = []
    first_leg = min(screen, max_iter) if screen > 0 and len(starts) > 1 else max_iter
    try:
        for start in starts:
            runs.append(runner(density, start, blocks, max_iter=first_leg, **options))
            _let_go(runs)
            if runs[-1].interrupted:
                raise KeyboardInterrupt
        if first_leg < max_iter:
            ranked = sorted(range(len(runs)), key=lambda i: _merit(runs[i]), reverse=True)
            for i in ranked[: -(-len(runs) // 2)]:
                if runs[i].converged:
                    continue
                left = max_iter - first_leg
                rest = runner(density, runs[i].parameters, blocks, max_iter=left, **options)
                runs[i] = _joined(runs[i], rest)
                _let_go(runs)
                if rest.interrupted:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        if not runs:
            raise
        return _searched(density, blocks, runs, interrupted=True)
    return _searched(density, blocks, runs, interrupted=False)


def _searched(
    density: Density[P, Any], blocks: list[Block], runs: list[Fit[P]], interrupted: bool
) -> Restarts[P]:
    best = max(range(len(runs)), key=lambda i: _merit(runs[i]))
    if runs[best].statistics is None:  # a better one let them go, and collapsed later
        parameters = runs[best].parameters
        found: Any = reduce(add, (density.e_step(parameters, block) for block in blocks))
        runs[best] = replace(runs[best], statistics=found)
    return Restarts(runs[best], tuple(runs), interrupted)


def joined(first: Restarts[P], second: Restarts[P]) -> Restarts[P]:
    """Two searches as one: all runs in order, the better of the best."""
    runs = list(first.runs + second.runs)
    _let_go(runs)
    return Restarts(max(runs, key=_merit), tuple(runs), first.interrupted or second.interrupted)


def _merit(fit: Fit[P]) -> tuple[bool, float]:
    return not fit.collapsed, -np.inf if np.isnan(fit.objective) else fit.objective


def _let_go(runs: list[Fit[P]]) -> None:
    """Keep no statistics but the best run's: those of many starts would fill the memory."""
    best = max(range(len(runs)), key=lambda i: _merit(runs[i]))
    for i, other in enumerate(runs):
        if i != best and other.statistics is not None:
            runs[i] = replace(other, statistics=None)


def _joined(head: Fit[P], tail: Fit[P]) -> Fit[P]:
    return replace(tail, history=head.history + tail.history[1:])
