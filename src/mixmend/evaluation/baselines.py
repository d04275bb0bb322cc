"""Simple models that any other has to beat, with the interface that all completers share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mixmend.completion import predictive
from mixmend.completion.completer import Completer
from mixmend.completion.predictive import Array, Predictive
from mixmend.errors import DataError, MixmendError
from mixmend.observed.compressed import Compressed
from mixmend.observed.convert import as_observed
from mixmend.observed.matrix import ObservedMatrix


class AdditiveRows(NamedTuple):
    """Rows folded into a model whose cells are Gaussian, with a part by row and one by column."""

    row_means: Array
    row_variances: Array
    column_means: Array
    column_variances: Array

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        return predictive.gaussian(
            self.row_means[rows] + self.column_means[columns],
            self.row_variances[rows] + self.column_variances[columns],
        )

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows."""
        mean = self.row_means[rows, None] + self.column_means
        return mean, self.row_variances[rows, None] + self.column_variances if variance else None


class Baseline(Completer, BaseEstimator):  # type: ignore[misc]
    """What the baselines share: they complete, predict and recommend like any other model.

    A subclass learns in ``_learn(obs)`` and answers in ``_fold_in(obs)``.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the observed entries of X.

        Parameters
        ----------
        X : ObservedMatrix or anything that can become one, shape (n, d)
            The data; a row with weight w counts as w rows.
        y : ignored
            As scikit-learn's pipelines want it.

        Raises
        ------
        DataError
            If nothing was observed (or only in rows of weight 0).
        """
        obs = as_observed(X, copy=False)
        if not np.any(obs.row_counts * _row_weights(obs)):
            raise DataError(
                f"{type(self).__name__} needs at least one observed entry; "
                f"the {obs.shape[0]} × {obs.shape[1]} matrix has none."
            )
        self._learn(obs)
        self.n_features_in_ = obs.shape[1]
        self.column_labels_ = obs.column_labels if obs.has_column_labels else None
        return self

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self, "n_features_in_")
        return self.n_features_in_, self.column_labels_

    @abstractmethod
    def _learn(self, obs: ObservedMatrix) -> None:
        """Take from the observed entries what predictions need."""


class GlobalMean(Baseline):
    """Every cell gets the mean and the variance of all observed entries.

    Attributes
    ----------
    mean_, variance_ : float
        Of the observed entries, rows counted by their weights.

    Examples
    --------
    >>> import mixmend as mm
    >>> X = mm.ObservedMatrix.from_dense([[1.0, float("nan")], [2.0, 3.0]])
    >>> GlobalMean().fit(X).predict_entries(X, [0], [1])
    array([2.])
    """

    def _learn(self, obs: ObservedMatrix) -> None:
        self.mean_, self.variance_ = _mean_and_variance(obs)

    def _fold_in(self, obs: ObservedMatrix) -> AdditiveRows:
        none, same = np.zeros(obs.shape[0]), np.ones(obs.shape[1])
        return AdditiveRows(none, none, self.mean_ * same, self.variance_ * same)


class ColumnMean(Baseline):
    """Every cell gets its column's mean; columns share one variance.

    The variance of a prediction grows by 1/N_i for the error of a mean of N_i values. A
    column with nothing observed gets the mean and variance of all entries.

    Attributes
    ----------
    means_ : ndarray, shape (d,)
        Column means.
    variances_ : ndarray, shape (d,)
        Predictive variance in each column.

    Examples
    --------
    >>> import mixmend as mm
    >>> X = mm.ObservedMatrix.from_dense([[1.0, float("nan")], [2.0, 3.0]])
    >>> ColumnMean().fit(X).predict_entries(X, [0], [1])
    array([3.])
    """

    def _learn(self, obs: ObservedMatrix) -> None:
        mean, variance = _mean_and_variance(obs)
        count, total, square = _sums(obs.by_column, np.full(obs.shape[0], mean), _row_weights(obs))
        seen = count > 0
        shift = np.divide(total, count, out=np.zeros_like(total), where=seen)
        freedom = count.sum() - np.count_nonzero(seen)
        within = max(float((square - count * shift**2).sum()), 0.0)
        pooled = within / freedom if freedom > 0 else variance
        spread = 1.0 + np.divide(1.0, count, out=np.zeros_like(count), where=seen)
        self.means_ = mean + shift
        self.variances_ = np.where(seen, pooled * spread, variance)

    def _fold_in(self, obs: ObservedMatrix) -> AdditiveRows:
        none = np.zeros(obs.shape[0])
        return AdditiveRows(none, none, self.means_, self.variances_)


class RowColumnBiases(Baseline):
    """A mean plus an offset for the row and one for the column: the model to beat.

    ``x_ui = m + b_u + c_i + e`` with ``b_u ~ N(0, s_b)``, ``c_i ~ N(0, s_c)`` and
    ``e ~ N(0, s)``: crossed random effects. Offsets are the joint ridge solution, whose
    strengths ``s / s_b`` and ``s / s_c`` are not tuned but learned from the same entries
    by variational EM (each offset Gaussian, independent in the posterior). New rows are
    folded in: a row's offset comes from what X holds of it, given the column effects.

    Parameters
    ----------
    max_iter : int, default 200
        Most EM steps (each one sweep over rows and one over columns).
    tol : float, default 1e-7
        Stop when the lower bound on the log-likelihood rises by no more than this times
        its size.

    Attributes
    ----------
    mean_ : float
        m.
    row_effects_, column_effects_ : ndarray, shape (n,) and (d,)
        Posterior means of b and c; 0 where nothing was observed.
    column_effect_variances_ : ndarray, shape (d,)
        Posterior variances of c.
    noise_variance_, row_variance_, column_variance_ : float
        s, s_b, s_c.
    history_ : list of float
        The lower bound after each step; it never falls.
    n_iter_ : int
        Steps taken.
    converged_ : bool
        Whether they stopped by ``tol``.

    References
    ----------
    Searle, Casella, McCulloch (1992), Variance Components, for the model; Blei,
    Kucukelbir, McAuliffe (2017), Variational inference, for the algorithm.

    Examples
    --------
    >>> import numpy as np, mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50, 1)) + rng.normal(size=20) + 0.1 * rng.normal(size=(50, 20))
    >>> hidden = X[0, 0]
    >>> X[0, 0] = np.nan
    >>> mean, std = RowColumnBiases().fit(X).predict_entries(X, [0], [0], return_std=True)
    >>> bool(abs(mean[0] - hidden) < 3 * std[0]), std.round(1)
    (True, array([0.1]))
    """

    def __init__(self, max_iter: int = 200, tol: float = 1e-7) -> None:
        self.max_iter = max_iter
        self.tol = tol

    def _learn(self, obs: ObservedMatrix) -> None:
        if self.max_iter < 1:
            raise MixmendError(f"max_iter must be at least 1; got {self.max_iter}.")
        weights = _row_weights(obs)
        mean, variance = _mean_and_variance(obs)
        # far below what rounding leaves of constant data, far above what underflows
        floor = max(variance * 1e-10, mean**2 * 1e-24, 1e-100)
        noise = max(0.5 * variance, floor)
        by_row = by_column = max(0.25 * variance, floor)
        columns, ones = np.zeros(obs.shape[1]), np.ones(obs.shape[1])
        self.history_: list[float] = []
        self.converged_ = False
        count, total, square = _sums(obs.by_row, mean + columns, ones)
        entries, total_weight = float(weights @ count), float(weights.sum())
        while len(self.history_) < self.max_iter and not self.converged_:
            rows, row_doubt = _shrunk(count, total, noise, by_row)
            column_count, total, _ = _sums(obs.by_column, mean + rows, weights)
            columns, column_doubt = _shrunk(column_count, total, noise, by_column)
            # offsets with a common part would creep into the mean over many steps: move it
            # there at once, which leaves the fit as it is and the offsets smaller
            shift = float(weights @ rows) / total_weight
            rows, mean = rows - shift, mean + shift
            shift = float(columns.mean())
            columns, mean = columns - shift, mean + shift
            # what is left after both sweeps moves the mean and measures the noise
            count, total, square = _sums(obs.by_row, mean + columns, ones)
            left = float(weights @ (total - count * rows))
            squares = float(weights @ (square - 2 * rows * total + count * rows**2))
            mean += left / entries
            total -= count * (left / entries)
            squares -= left**2 / entries
            doubt = float(weights @ (count * row_doubt) + column_count @ column_doubt)
            noise = max((squares + doubt) / entries, floor)
            by_row = max(float(weights @ (rows**2 + row_doubt)) / total_weight, floor)
            by_column = max(float(np.mean(columns**2 + column_doubt)), floor)
            bound = (
                -0.5 * entries * np.log(2 * np.pi * noise)
                - 0.5 * (squares + doubt) / noise
                - float(weights @ _divergence(rows, row_doubt, by_row))
                - float(_divergence(columns, column_doubt, by_column).sum())
            )
            if self.history_:
                self.converged_ = bound - self.history_[-1] <= self.tol * abs(bound)
            self.history_.append(float(bound))
        self.mean_ = mean
        self.noise_variance_, self.row_variance_, self.column_variance_ = noise, by_row, by_column
        self.column_effects_, self.column_effect_variances_ = columns, column_doubt
        self.row_effects_ = self._row_effects(obs)[0]
        self.n_iter_ = len(self.history_)

    def _fold_in(self, obs: ObservedMatrix) -> AdditiveRows:
        effects, doubts = self._row_effects(obs)
        return AdditiveRows(
            effects,
            doubts,
            self.mean_ + self.column_effects_,
            self.noise_variance_ + self.column_effect_variances_,
        )

    def _row_effects(self, obs: ObservedMatrix) -> tuple[Array, Array]:
        offsets = self.mean_ + self.column_effects_
        count, total, _ = _sums(obs.by_row, offsets, np.ones(obs.shape[1]))
        return _shrunk(count, total, self.noise_variance_, self.row_variance_)


def _row_weights(obs: ObservedMatrix) -> Array:
    return np.ones(obs.shape[0]) if obs.row_weights is None else obs.row_weights


def _sums(view: Compressed, offsets: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Weight, sum and sum of squares of each line's residuals."""
    from mixmend.kernels.effects import residual_sums

    out = tuple(np.empty(len(view.pointers) - 1) for _ in range(3))
    residual_sums(*view, offsets, weights, *out)
    return out[0], out[1], out[2]


def _mean_and_variance(obs: ObservedMatrix) -> tuple[float, float]:
    weights, ones = _row_weights(obs), np.ones(obs.shape[1])
    # a first guess at the mean keeps the squares small
    guess = float(obs.by_row.values[:1000].mean(dtype=np.float64))
    count, total, square = (weights @ part for part in _sums(obs.by_row, guess * ones, ones))
    shift = float(total / count)
    return guess + shift, max(float(square / count) - shift**2, 0.0)


def _shrunk(count: Array, total: Array, noise: float, prior: float) -> tuple[Array, Array]:
    """Posterior mean and variance of offsets N(0, prior) given sums of residuals."""
    precision = count * prior + noise
    return prior * total / precision, prior * noise / precision


def _divergence(effects: Array, doubts: Array, prior: float) -> Array:
    """Kullback–Leibler divergence of N(effects, doubts) from N(0, prior)."""
    return 0.5 * ((effects**2 + doubts) / prior - 1.0 - np.log(doubts / prior))
