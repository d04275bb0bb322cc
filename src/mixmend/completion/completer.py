"""The verbs that every model of a matrix with holes offers, on top of one fold-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.completion import predictive as predictive_of
from mixmend.completion.predictive import Predictive
from mixmend.errors import DataError, MixmendError
from mixmend.kernels.threads import fixed_order
from mixmend.observed.convert import as_observed
from mixmend.observed.labels import align_columns
from mixmend.observed.matrix import ObservedMatrix

if TYPE_CHECKING:
    from mixmend.completion.topn import TopN
    from mixmend.files.completed import CompletedRows

Array = NDArray[np.float64]

CHUNK_CELLS = 1 << 21
"""Cells that are predicted at once where a whole matrix is asked for: 16 MB a table."""

_INTERVAL_CELLS = 1 << 17
"""Cells whose whole distributions are held at once: 3 tables of K numbers each."""


class FoldedRows(Protocol):
    """What a model makes of rows: enough to predict any of their cells without refitting."""

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells (positions, of equal length)."""

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, each (m, d)."""


class Completer(ABC):
    """Complete, predict and recommend; subclasses say how rows are folded in.

    New rows need no refit: whatever matrix is given, its observed cells are what the
    predictions of its holes are conditioned on.
    """

    @abstractmethod
    def _fold_in(self, obs: ObservedMatrix) -> FoldedRows:
        """Condition the model on the observed cells of rows."""

    @abstractmethod
    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        """Number of columns that the model was fitted to, and their labels."""

    def _new_rows(self, X: Any) -> ObservedMatrix:
        """Whatever was given as a matrix with the model's columns in the model's order."""
        d, labels = self._columns()
        obs = as_observed(X, copy=False)
        if obs.has_column_labels:
            obs = align_columns(obs, labels)
        if obs.shape[1] != d:
            raise DataError(
                f"X has {obs.shape[1]} features, but {type(self).__name__} is expecting {d} "
                "features as input. Give rows with the columns that the model was fitted to."
            )
        return obs

    @fixed_order()
    def predictive(self, X: Any, rows: ArrayLike, columns: ArrayLike) -> Predictive:
        """Predictive distributions of chosen cells.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            Rows to predict in; their observed cells are conditioned on.
        rows, columns : array-like of int, shape (m,)
            Positions of the cells.

        Returns
        -------
        Predictive
            One Gaussian mixture per cell. Where the cell is observed: the distribution of a
            second measurement of it for models whose cells have noise of their own; its
            value, with variance 0, for full and tied covariances, which tell none apart.
        """
        obs = self._new_rows(X)
        row_positions = _positions(rows, obs.shape[0], "row")
        column_positions = _positions(columns, obs.shape[1], "column")
        if row_positions.shape != column_positions.shape:
            raise DataError(
                f"rows and columns must be of equal length; got {len(row_positions)} rows "
                f"and {len(column_positions)} columns."
            )
        # only rows that are asked for are folded in
        wanted, inverse = np.unique(row_positions, return_inverse=True)
        if 2 * len(wanted) < obs.shape[0]:
            obs, row_positions = obs.select_rows(wanted), inverse
        return self._fold_in(obs).cells(row_positions, column_positions)

    def predict_entries(
        self, X: Any, rows: ArrayLike, columns: ArrayLike, return_std: bool = False
    ) -> Array | tuple[Array, Array]:
        """Predict chosen cells: their expected values, shape (m,).

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            Rows to predict in; their observed cells are conditioned on.
        rows, columns : array-like of int, shape (m,)
            Positions of the cells.
        return_std : bool, default False
            Whether to return the predictive standard deviations too.
        """
        cells = self.predictive(X, rows, columns)
        mean = predictive_of.mean(cells)
        return (mean, predictive_of.std(cells)) if return_std else mean

    def complete(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Fill the holes of a matrix; observed cells stay as they are.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            The matrix with holes.
        return_std : bool, default False
            Whether to return the predictive standard deviations too (0 where observed).

        Returns
        -------
        ndarray of float64, shape (n, d), or two of them
        """
        obs = self._new_rows(X)
        filled = np.empty(obs.shape)
        std = np.empty(obs.shape) if return_std else None
        for chunk in self.iter_complete(obs, return_std=return_std):
            rows = slice(chunk.first_row, chunk.first_row + len(chunk.mean))
            filled[rows] = chunk.mean
            if std is not None:
                std[rows] = chunk.std
        return filled if std is None else (filled, std)

    def iter_complete(
        self,
        X: Any,
        return_std: bool = True,
        interval: float | None = None,
        chunk_rows: int | None = None,
    ) -> Iterator[CompletedRows]:
        """Complete a matrix a few rows at a time, for results that need not fit in memory.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            The matrix with holes.
        return_std : bool, default True
            Whether to give standard deviations.
        interval : float, optional
            Level of the central predictive interval to give, e.g. 0.9; costs more than
            all the rest.
        chunk_rows : int, optional
            Rows at a time; by default about two million cells.

        Yields
        ------
        CompletedRows
            ``first_row``, ``mean``, ``std``, ``lower``, ``upper`` (None where not asked
            for). Observed cells have their value, standard deviation 0 and an interval of
            length 0.
        """
        from mixmend.files.completed import CompletedRows

        if interval is not None and not 0 < interval < 1:
            raise MixmendError(f"interval must lie between 0 and 1; got {interval!r}.")
        if chunk_rows is not None and chunk_rows < 1:
            raise MixmendError(f"chunk_rows must be at least 1; got {chunk_rows!r}.")
        obs = self._new_rows(X)
        n, d = obs.shape
        step = chunk_rows or max(1, CHUNK_CELLS // max(d, 1))
        for first in range(0, n, step):
            part = obs.select_rows(slice(first, min(first + step, n)))
            with fixed_order():
                folded = self._fold_in(part)
                mean, variance = folded.moments(slice(0, part.shape[0]), variance=return_std)
            seen, values = (part.entry_rows, part.by_row.indices), part.by_row.values
            mean[seen] = values
            std = None
            if variance is not None:
                std = np.sqrt(variance)
                std[seen] = 0.0
            lower = upper = None
            if interval is not None:
                lower, upper = mean.copy(), mean.copy()
                hole = np.ones(part.shape, bool)
                hole[seen] = False
                holes = np.nonzero(hole)
                for start in range(0, len(holes[0]), _INTERVAL_CELLS):
                    rows, columns = (where[start : start + _INTERVAL_CELLS] for where in holes)
                    with fixed_order():
                        ends = predictive_of.interval(folded.cells(rows, columns), interval)
                    lower[rows, columns], upper[rows, columns] = ends
            yield CompletedRows(first, mean, std, lower, upper)

    @fixed_order()
    def recommend(self, X: Any, n_items: int = 10, rows: ArrayLike | None = None) -> TopN:
        """Pick the columns with the highest expected value among each row's holes.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            Rows to recommend to.
        n_items : int, default 10
            How many columns per row.
        rows : array-like of int, optional
            Positions of the rows to do it for; all by default.

        Returns
        -------
        TopN
            ``columns`` and ``scores``, each (m, n_items), best first; rows with fewer
            holes end in column -1 and score NaN.
        """
        from mixmend.completion.topn import TopN, top_n

        obs = self._new_rows(X)
        if rows is not None:
            obs = obs.select_rows(_positions(rows, obs.shape[0], "row"))
        step = max(1, CHUNK_CELLS // max(obs.shape[1], 1))
        parts = []
        for first in range(0, max(obs.shape[0], 1), step):
            part = obs.select_rows(slice(first, first + step))
            scores, _ = self._fold_in(part).moments(slice(0, part.shape[0]), variance=False)
            parts.append(top_n(scores, n_items, exclude=part))
        return TopN(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _positions(positions: ArrayLike, count: int, what: str) -> NDArray[np.int64]:
    array = np.atleast_1d(np.asarray(positions))
    if array.dtype.kind not in "iu" and array.size:
        raise DataError(
            f"{what}s must be whole-number positions; got {array.dtype}. "
            "Look labels up first (mixmend.observed.labels.positions)."
        )
    outside = (array < 0) | (array >= count)
    if np.any(outside):
        raise DataError(
            f"{what} {array[outside][0]} does not exist: the matrix has {count} {what}s, "
            f"0 to {count - 1}."
        )
    return array.astype(np.int64)
