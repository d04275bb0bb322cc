"""Variational fits that end with as many components as the rows ask for.

Variational EM empties components that it does not need, but slowly: two that share a
cluster of rows may do so for thousands of steps. Here a fit is taken in stretches. In
between, components of less than a row are left out, and once the steps gain little a few
moves are tried: merging the two components whose union would raise the bound the most,
leaving out the lightest (in the spirit of Ueda & Ghahramani 2002, "Bayesian model search
for mixture models based on optimizing variational bounds"). A move is kept where some steps
later the evidence lower bound is at least as high as before it, so the bound never falls;
each takes a component away, so there are at most K - 1 of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.em.engine import Density, Fit, OnStep, Step, run
from mixmend.mixtures.spherical_e_step import Array

P = TypeVar("P")

_STRETCH = 10
"""Steps between two looks at components that have lost their rows."""

_QUIET = 1e-5
"""Relative gain of a step from which on moves are tried, before the tolerance is reached."""

_TRIAL_LEGS = (1, 2, 4)
"""Steps after which a tried move is compared with what was."""

_MOST_MERGES = 4
"""Merges tried at a time, the most promising first."""


class Prunable(Density[P, Any], Protocol[P]):
    """A density whose components can be counted, left out and merged."""

    def counts(self, parameters: P) -> Array:
        """Expected rows of each component, (K,)."""

    def without(self, parameters: P, left_out: NDArray[np.intp]) -> P:
        """The parameters with some components left out."""

    def merged(self, parameters: P, j: int, k: int) -> P:
        """The parameters with one component in place of two."""

    def merge_gains(self, parameters: P) -> Array:
        """Roughly what merging j < k would gain, (K, K); minus infinity elsewhere."""


def run_pruned(
    density: Prunable[P],
    start: P,
    blocks: list[Block],
    *,
    tol: float,
    max_iter: int,
    accelerate: bool = False,
    on_step: OnStep | None = None,
) -> Fit[P]:
    """As `mixmend.em.engine.run`, with components taken away where that raises the bound.

    A move counts as one step of the history; steps of moves that were not kept do not.
    """
    history: list[float] = []
    parameters, quiet = start, max(tol, _QUIET)
    while True:
        fit = run(
            density,
            parameters,
            blocks,
            tol=quiet,
            max_iter=min(_STRETCH, max_iter - max(len(history) - 1, 0)),
            accelerate=accelerate,
            on_step=on_step,
        )
        history += fit.history[1:] if history else fit.history
        fit = replace(fit, history=tuple(history))
        if fit.interrupted or fit.n_iter >= max_iter:
            return fit
        parameters = fit.parameters
        if fit.converged and accelerate:
            # a leap is no posterior of any rows, which merging takes apart and adds up
            parameters = run(density, parameters, blocks, tol=0.0, max_iter=1).parameters
        moves = _moves(density, parameters, fit.converged)
        moved = _first_kept(density, fit, moves, blocks)
        if moved is not None:
            if moved.interrupted:
                return replace(fit, interrupted=True)
            history.append(moved.objective)
            if on_step is not None:
                on_step(Step(fit.n_iter + 1, moved.objective, moved.objective - fit.objective))
            if len(history) > max_iter:
                return replace(moved, history=tuple(history), converged=False)
        elif fit.converged and quiet <= tol:
            return fit
        elif fit.converged:
            quiet = tol
        if moved is not None:
            parameters = moved.parameters


def _moves(density: Prunable[P], parameters: P, quiet: bool) -> Iterator[P]:
    """Parameters with a component less, the likeliest to be kept first."""
    counts = density.counts(parameters)
    if len(counts) == 1:
        return
    order = np.argsort(counts, kind="stable")
    empty = order[:-1][counts[order[:-1]] < 1.0]
    if len(empty):
        yield density.without(parameters, empty)
    if not quiet:
        return
    gains = density.merge_gains(parameters)
    for place in np.argsort(-gains, axis=None, kind="stable")[:_MOST_MERGES]:
        j, k = np.unravel_index(place, gains.shape)
        # rows that are torn between both only take away from the gain
        if gains[j, k] > 0:
            yield density.merged(parameters, int(j), int(k))
    if len(empty) != 1:
        yield density.without(parameters, order[:1])


def _first_kept(
    density: Prunable[P], before: Fit[P], moves: Iterator[P], blocks: list[Block]
) -> Fit[P] | None:
    """The first move after which the bound is at least as high, a few steps on."""
    for parameters in moves:
        for leg in _TRIAL_LEGS:
            trial = run(density, parameters, blocks, tol=0.0, max_iter=leg)
            if trial.interrupted or trial.objective >= before.objective:
                return trial
            parameters = trial.parameters
    return None
