"""Alternate until nothing is gained any more, and keep the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixmend.factors.folded import entry_means
from mixmend.factors.problem import Problem
from mixmend.factors.starts import begin
from mixmend.factors.steps import State, ridge_precision, ridge_step, settled, variational_step
from mixmend.factors.sweeps import Prior, solve_side
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
    # noise, priors and regressions have moved since the last sweep
    if options.inference == "variational" or options.descends or problem.row_features is not None:
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


def noise_variance(problem: Problem, state: State, validation: ObservedMatrix | None) -> float:
    """Variance of a cell around its prediction."""
    if problem.options.inference == "variational":
        return state.noise
    if validation is not None:
        return max(validation_error(problem, state, validation), 1e-300)
    effects, precision = problem.options.effects, ridge_precision(problem)
    taken = (
        solve_side(
            problem.by_row,
            state.columns,
            Prior(precision, problem.row_scales()),
            effects,
            freedom=True,
        ).freedom
        @ problem.row_weights
    )
    taken += solve_side(
        problem.by_column,
        state.rows,
        Prior(precision, problem.column_scales()),
        effects,
        freedom=True,
    ).freedom.sum()
    count = problem.n_entries
    # each side's degrees of freedom are counted given the other: together at most all but few
    return max(state.squares / max(count - float(taken), 0.05 * count), 1e-300)
