"""Alternate until nothing is gained any more, and keep the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixmend.factors.folded import entry_means
from mixmend.factors.problem import Problem
from mixmend.factors.starts import begin
from mixmend.factors.steps import State, ridge_step, settled, variational_step
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Evaluation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FactorFit:
    """The outcome of a fit.

    Attributes
    ----------
    best : State
        The best on validation entries; the last one where there are none.
    history : list of dict
        One per evaluation: ``iteration``, ``objective``, ``train_rmse``, ``validation_rmse``
        (where there are validation entries).
    best_iteration, n_iter : int
    converged : bool
        Whether patience ran out, or the objective gained no more than ``tol`` of itself.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    best: State
    history: list[Evaluation]
    best_iteration: int
    n_iter: int
    converged: bool
    interrupted: bool


def fit_factors(
    problem: Problem,
    validation: ObservedMatrix | None,
    rng: np.random.Generator,
    *,
    verbose: bool = False,
) -> FactorFit:
    """Alternate from a start, evaluate every ``eval_every`` steps, stop when it no longer helps."""
    options = problem.options
    step = ridge_step if options.inference == "ridge" else variational_step
    state = begin(problem, rng)
    best, best_error, best_iteration, worse = state, np.inf, 0, 0
    history: list[Evaluation] = []
    converged = interrupted = False
    iteration = 0
    with track("factors", total=options.max_iter, enabled=verbose or None) as progress:
        try:
            while iteration < options.max_iter and not converged:
                before, state = state.objective, step(problem, state)
                iteration += 1
                evaluate = iteration % options.eval_every == 0 or iteration == options.max_iter
                if validation is None:
                    gain = before - state.objective
                    converged = bool(gain <= options.tol * abs(state.objective))
                    best, best_iteration = state, iteration
                    evaluate = evaluate or converged
                if not evaluate:
                    continue
                row = _evaluated(problem, state, validation, iteration)
                history.append(row)
                progress.update(
                    options.eval_every, **{k: row[k] for k in row if k.endswith("rmse")}
                )
                if validation is not None:
                    error = row["validation_rmse"]
                    worse = 0 if error < best_error else worse + 1
                    if error < best_error:
                        best, best_error, best_iteration = state, error, iteration
                    converged = worse >= options.patience
        except KeyboardInterrupt:
            if best_iteration == 0:
                raise  # nothing is worth keeping yet
            interrupted = True
    # variational: noise and priors have moved since the last sweep
    if options.inference == "variational" or options.descends:
        best = settled(problem, best)
    return FactorFit(best, history, best_iteration, iteration, converged, interrupted)


def _evaluated(
    problem: Problem, state: State, validation: ObservedMatrix | None, iteration: int
) -> Evaluation:
    row: Evaluation = {"iteration": iteration, "objective": state.objective}
    row["train_rmse"] = float(np.sqrt(state.squares / problem.n_entries))
    if validation is not None:
        row["validation_rmse"] = float(np.sqrt(validation_error(problem, state, validation)))
    return row


def validation_error(problem: Problem, state: State, validation: ObservedMatrix) -> float:
    """Mean squared error on entries of the training rows."""
    rows, columns, values = validation.entries()
    guesses = entry_means(
        problem.offsets, state.rows, state.columns, problem.options.effects, rows, columns
    )
    return float(np.mean((values - guesses) ** 2))
