"""Steps of the fits: columns given rows, then rows given columns, then what they share.

*Ridge* lowers ``sum (x_ui - offset - q_u . p_i)^2 + lambda (sum |q_u|^2 + sum |p_i|^2)`` by
exact regressions in turn. *Variational* has N(0, s) priors, whose variances s are learned per
factor, and a Gaussian posterior for every row and column; its steps raise the evidence lower
bound (Lim & Teh 2007; Raiko, Ilin & Karhunen 2007; Nakajima & Sugiyama 2011). What a factor
has to do with the data is then found, and not set: useless factors fade.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.factors.problem import Problem
from mixmend.factors.sweeps import Cells, HalfStep, Prior, Side, descend_side, solve_side

Array = NDArray[np.float64]

_LEAST = 1e-12
"""Least variance of noise and priors, in units of the entries' variance."""


class State(NamedTuple):
    """Where a fit is.

    Attributes
    ----------
    rows, columns : Side
        The unknowns; the rows are the solution given the columns.
    noise : float
        Noise variance (variational) or mean squared residual (ridge).
    row_variances, column_variances : ndarray, shape (q,)
        Prior variances; for ridge those that lambda stands for at this noise.
    objective : float
        What falls at every step: penalised squares (ridge), or minus the lower bound.
    squares : float
        Sum of squared residuals; expected ones under the posterior (variational).
    """

    rows: Side
    columns: Side
    noise: float
    row_variances: Array
    column_variances: Array
    objective: float
    squares: float


def ridge_precision(problem: Problem) -> Array:
    """Lambda of every unknown, (q,)."""
    options = problem.options
    out = np.full(options.unknowns, options.regularization)
    if options.effects:
        out[-1] = options.bias_regularization
    return out


def ridge_step(problem: Problem, state: State) -> State:
    """Columns, then rows, each the solution given the other: exact, or nearer than before."""
    columns = _ridge_columns(problem, state)
    if not problem.options.descends:
        return _ridge_state(problem, columns, _ridge_rows(problem, columns))
    prior = Prior(ridge_precision(problem), problem.row_scales())
    found = _descended(problem, problem.by_row, columns, prior, state.rows)
    return _ridge_state(problem, columns, found)


def settled(problem: Problem, state: State) -> State:
    """The state with its rows solved exactly, as new rows are folded in."""
    if problem.options.inference == "ridge":
        return _ridge_state(problem, state.columns, _ridge_rows(problem, state.columns))
    return state._replace(rows=folded_rows(problem, state))


def _ridge_columns(problem: Problem, state: State) -> Side:
    prior = Prior(ridge_precision(problem), problem.column_scales())
    if problem.options.descends:
        return _descended(problem, problem.by_column, state.rows, prior, state.columns).side
    return solve_side(problem.by_column, state.rows, prior, problem.options.effects).side


def _descended(problem: Problem, cells: Cells, other: Side, prior: Prior, own: Side) -> HalfStep:
    """Some conjugate gradient steps from where the lines are."""
    options = problem.options
    return descend_side(cells, other, prior, options.effects, own.values, options.cg_steps)


def _ridge_state(problem: Problem, columns: Side, found: HalfStep) -> State:
    precision, weights = ridge_precision(problem), problem.row_weights
    row_scales, column_scales = problem.row_scales(), problem.column_scales()
    squares = float(weights @ found.squares)
    penalty = float((weights * row_scales) @ found.side.values**2 @ precision)
    penalty += float(column_scales @ columns.values**2 @ precision)
    noise = max(squares / problem.n_entries, _LEAST)
    variances = noise / precision
    return State(found.side, columns, noise, variances, variances, squares + penalty, squares)


def variational_step(problem: Problem, state: State) -> State:
    """Columns' posterior, rows' posterior, then noise and prior variances."""
    effects, weights = problem.options.effects, problem.row_weights
    d = problem.observed.shape[1]
    columns = _posterior(
        solve_side(
            problem.by_column,
            state.rows,
            Prior(state.noise / state.column_variances, np.ones(d)),
            effects,
            covariances=True,
        ),
        state.noise,
    )
    counted = np.bincount(
        problem.observed.by_row.indices,
        np.repeat(weights, problem.observed.row_counts) > 0,
        d,
    )
    column_variances = _prior_variances(columns.side, np.minimum(counted, 1.0))
    found = _rows_given(problem, columns.side, state)
    squares = float(weights @ (found.squares + state.noise * found.freedom))
    rows = _posterior(found, state.noise)
    telling = np.where(problem.observed.row_counts > 0, weights, 0.0)
    row_variances = _prior_variances(rows.side, telling)
    count = problem.n_entries
    noise = max(squares / count, _LEAST)
    bound = -0.5 * count * np.log(2.0 * np.pi * noise) - 0.5 * squares / noise
    bound -= _divergence(rows, row_variances, telling)
    bound -= _divergence(columns, column_variances, np.minimum(counted, 1.0))
    return State(rows.side, columns.side, noise, row_variances, column_variances, -bound, squares)


def folded_rows(problem: Problem, state: State) -> Side:
    """The rows of a problem given a state's columns, noise and priors: new rows or old ones."""
    if problem.options.inference == "ridge":
        return _ridge_rows(problem, state.columns).side
    return _posterior(_rows_given(problem, state.columns, state), state.noise).side


def diagonal_of(covariances: Array, q: int) -> Array:
    """Diagonals (n, q) of packed upper triangles."""
    return covariances[:, np.cumsum([0, *range(q, 1, -1)])]


def _ridge_rows(problem: Problem, columns: Side) -> HalfStep:
    prior = Prior(ridge_precision(problem), problem.row_scales())
    return solve_side(problem.by_row, columns, prior, problem.options.effects)


def _rows_given(problem: Problem, columns: Side, state: State) -> HalfStep:
    prior = Prior(state.noise / state.row_variances, np.ones(problem.observed.shape[0]))
    return solve_side(problem.by_row, columns, prior, problem.options.effects, covariances=True)


def _posterior(found: HalfStep, noise: float) -> HalfStep:
    """Covariances and their log determinants in the units of the data."""
    values, covariances = found.side
    assert covariances is not None  # asked for by the caller
    covariances *= noise
    log_dets = values.shape[1] * np.log(noise) - found.log_dets
    return found._replace(side=Side(values, covariances), log_dets=log_dets)


def _prior_variances(side: Side, weights: Array) -> Array:
    """The variances that make the lines' posterior most probable; lines count by weight."""
    assert side.covariances is not None
    second = side.values**2 + diagonal_of(side.covariances, side.values.shape[1])
    return np.asarray(np.maximum(weights @ second / weights.sum(), _LEAST))


def _divergence(found: HalfStep, variances: Array, weights: Array) -> float:
    """Kullback–Leibler divergence of the lines' posteriors from their prior."""
    side = found.side
    assert side.covariances is not None
    q = side.values.shape[1]
    second = side.values**2 + diagonal_of(side.covariances, q)
    own = (second / variances).sum(axis=1) - q + np.log(variances).sum() - found.log_dets
    return 0.5 * float(weights @ own)
