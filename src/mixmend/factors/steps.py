"""Steps of the fits: columns given rows, then rows given columns, then what they share.

*Ridge* lowers ``sum (x_ui - offset - q_u . p_i)^2 + lambda (sum |q_u|^2 + sum |p_i|^2)`` by
exact regressions in turn. *Variational* has N(0, s) priors, whose variances s are learned per
factor, and a Gaussian posterior for every row and column; its steps raise the evidence lower
bound (Lim & Teh 2007; Raiko, Ilin & Karhunen 2007; Nakajima & Sugiyama 2011). What a factor
has to do with the data is then found, and not set: useless factors fade.

With features, a side's unknowns are drawn towards a regression on them instead of 0
(`mixmend.factors.regressions`), which is solved anew after the side; the ridge objective is then
``... + lambda (sum |q_u - W' f_u|^2 + gamma |W|^2) + ...``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.factors.problem import Problem
from mixmend.factors.regressions import (
    LEAST,
    Known,
    Regression,
    doubt,
    learn,
    prior_means,
    ridge_regression,
)
from mixmend.factors.sweeps import (
    Cells,
    HalfStep,
    Prior,
    Side,
    descend_side,
    diagonal_places,
    solve_side,
)

Array = NDArray[np.float64]


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
    row_regression, column_regression : Regression or None
        What the unknowns are drawn towards, where there are features.
    """

    rows: Side
    columns: Side
    noise: float
    row_variances: Array
    column_variances: Array
    objective: float
    squares: float
    row_regression: Regression | None = None
    column_regression: Regression | None = None


def ridge_precision(problem: Problem) -> Array:
    """Lambda of every unknown, (q,)."""
    options = problem.options
    out = np.full(options.unknowns, options.regularization)
    if options.effects:
        out[-1] = options.bias_regularization
    return out


def ridge_step(problem: Problem, state: State) -> State:
    """Columns, then rows, each the solution given the other: exact, or nearer than before.

    The regressions on features are solved after each.
    """
    gamma = problem.options.feature_regularization
    columns = _ridge_columns(problem, state)
    of_columns = ridge_regression(
        columns.values, problem.column_scales(), problem.column_features, gamma
    )
    if problem.options.descends:
        prior = _row_prior(problem, state.row_regression)
        found = _descended(problem, problem.by_row, columns, prior, state.rows)
    else:
        found = _ridge_rows(problem, columns, state.row_regression)
    counts = problem.row_weights * problem.row_scales()
    of_rows = ridge_regression(found.side.values, counts, problem.row_features, gamma)
    return _ridge_state(problem, columns, found, of_rows, of_columns)


def settled(problem: Problem, state: State) -> State:
    """The state with its rows solved exactly, as new rows are folded in."""
    if problem.options.inference == "ridge":
        found = _ridge_rows(problem, state.columns, state.row_regression)
        return _ridge_state(
            problem, state.columns, found, state.row_regression, state.column_regression
        )
    counts, features = problem.observed.column_counts, problem.column_features
    columns = with_doubt(state.columns, counts, features, state.column_regression)
    return state._replace(rows=folded_rows(problem, state), columns=columns)


def _ridge_columns(problem: Problem, state: State) -> Side:
    means = prior_means(problem.column_features, state.column_regression)
    prior = Prior(ridge_precision(problem), problem.column_scales(), means)
    if problem.options.descends:
        return _descended(problem, problem.by_column, state.rows, prior, state.columns).side
    return solve_side(problem.by_column, state.rows, prior, problem.options.effects).side


def _row_prior(problem: Problem, regression: Regression | None) -> Prior:
    means = prior_means(problem.row_features, regression)
    return Prior(ridge_precision(problem), problem.row_scales(), means)


def _descended(problem: Problem, cells: Cells, other: Side, prior: Prior, own: Side) -> HalfStep:
    """Some conjugate gradient steps from where the lines are."""
    options = problem.options
    return descend_side(cells, other, prior, options.effects, own.values, options.cg_steps)


def _ridge_state(
    problem: Problem,
    columns: Side,
    found: HalfStep,
    of_rows: Regression | None,
    of_columns: Regression | None,
) -> State:
    precision, weights = ridge_precision(problem), problem.row_weights
    gamma, counts = problem.options.feature_regularization, weights * problem.row_scales()
    squares = float(weights @ found.squares)
    penalty = _penalty(found.side, counts, problem.row_features, of_rows, gamma)
    scales = problem.column_scales()
    penalty += _penalty(columns, scales, problem.column_features, of_columns, gamma)
    objective = squares + float(penalty @ precision)
    noise = max(squares / problem.n_entries, LEAST)
    variances = noise / precision
    return State(
        found.side, columns, noise, variances, variances, objective, squares, of_rows, of_columns
    )


def _penalty(
    side: Side,
    scales: Array,
    features: Array | None,
    regression: Regression | None,
    gamma: float,
) -> Array:
    """Squares that each coordinate's lambda multiplies, (q,)."""
    means = prior_means(features, regression)
    if means is None or regression is None:
        return scales @ side.values**2
    own = scales @ (side.values - means) ** 2
    return np.asarray(own + gamma * (regression.weights**2).sum(axis=0))


def variational_step(problem: Problem, state: State) -> State:
    """Columns' posterior, rows' posterior, then noise and prior variances."""
    effects, weights = problem.options.effects, problem.row_weights
    d = problem.observed.shape[1]
    means = prior_means(problem.column_features, state.column_regression)
    columns = _posterior(
        solve_side(
            problem.by_column,
            state.rows,
            Prior(state.noise / state.column_variances, np.ones(d), means),
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
    counting = np.minimum(counted, 1.0)
    of_columns = learn(
        columns.side,
        counting,
        state.column_variances,
        problem.column_features,
        state.column_regression,
    )
    found = _rows_given(problem, columns.side, state)
    squares = float(weights @ (found.squares + state.noise * found.freedom))
    rows = _posterior(found, state.noise)
    telling = np.where(problem.observed.row_counts > 0, weights, 0.0)
    of_rows = learn(
        rows.side, telling, state.row_variances, problem.row_features, state.row_regression
    )
    count = problem.n_entries
    noise = max(squares / count, LEAST)
    bound = -0.5 * count * np.log(2.0 * np.pi * noise) - 0.5 * squares / noise
    bound -= _divergence(rows, of_rows, telling)
    bound -= _divergence(columns, of_columns, counting)
    return State(
        rows.side,
        columns.side,
        noise,
        of_rows.variances,
        of_columns.variances,
        -bound,
        squares,
        of_rows.regression,
        of_columns.regression,
    )


def folded_rows(problem: Problem, state: State) -> Side:
    """The rows of a problem given a state's columns, noise and priors: new rows or old ones."""
    if problem.options.inference == "ridge":
        return _ridge_rows(problem, state.columns, state.row_regression).side
    rows = _posterior(_rows_given(problem, state.columns, state), state.noise).side
    return with_doubt(rows, problem.observed.row_counts, problem.row_features, state.row_regression)


def with_doubt(
    side: Side,
    counts: NDArray[np.int64],
    features: Array | None,
    regression: Regression | None,
) -> Side:
    """Lines without entries, of which features alone speak, also share the doubt about those."""
    more = doubt(features, regression)
    if side.covariances is None or isinstance(more, float):
        return side
    q = side.values.shape[1]
    covariances = side.covariances.copy()
    empty = np.flatnonzero(counts == 0)
    covariances[np.ix_(empty, diagonal_places(q))] += more[empty]
    return Side(side.values, covariances)


def _ridge_rows(problem: Problem, columns: Side, regression: Regression | None) -> HalfStep:
    prior = _row_prior(problem, regression)
    return solve_side(problem.by_row, columns, prior, problem.options.effects)


def _rows_given(problem: Problem, columns: Side, state: State) -> HalfStep:
    means = prior_means(problem.row_features, state.row_regression)
    prior = Prior(state.noise / state.row_variances, np.ones(problem.observed.shape[0]), means)
    return solve_side(problem.by_row, columns, prior, problem.options.effects, covariances=True)


def _posterior(found: HalfStep, noise: float) -> HalfStep:
    """Covariances and their log determinants in the units of the data."""
    values, covariances = found.side
    assert covariances is not None  # asked for by the caller
    covariances *= noise
    log_dets = values.shape[1] * np.log(noise) - found.log_dets
    return found._replace(side=Side(values, covariances), log_dets=log_dets)


def _divergence(found: HalfStep, known: Known, weights: Array) -> float:
    """Kullback–Leibler divergence of the posteriors of lines and regression from their priors."""
    q = found.side.values.shape[1]
    own = (known.seconds / known.variances).sum(axis=1) - q
    own += np.log(known.variances).sum() - found.log_dets
    return 0.5 * float(weights @ own) + known.divergence
