"""Rounds of Lloyd's algorithm on complete rows, with what one round leaves for the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels import lloyd as kernels
from mixmend.kernels.scores import score_shape, turned_lanes
from mixmend.kernels.threads import threads_for

Array = NDArray[np.float64]

_TILE_BYTES = 1 << 16
_SUMS_BYTES = 1 << 26
_ROWS_PER_TASK = 128
_MOST_TASKS = 32
_LEAST_TASKS = 2
_MOST_TILE_ROWS = 64
_MOST_CANCELLED = 1024.0
"""How much larger what went into a sum may be than the sum, before it is taken afresh."""


class CompleteRows:
    """Labels of complete rows while centres move.

    Between rounds it keeps, for each row, how far centres may drift until the row could be
    nearer to another, and sums over the rows of each cluster. These give the distortion and
    the next centres without a look at the rows: with points of reference r_k, the rows of
    cluster k are at squared distances of ``P_k - 2 (c_k - r_k) T_k + N_k |c_k - r_k|^2`` from
    a centre c_k, where N_k, T_k and P_k sum their weights, ``w (x - r_k)`` and ``w |x - r_k|^2``.
    The references are near the centres: where any of these sums is so much less than what went
    into it that rounding would show, all are taken afresh about the present centres.

    Parameters
    ----------
    block : Block
        Rows that observe every column.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        Nearest centre of each row, the first of equals.
    """

    def __init__(self, block: Block) -> None:
        self._X = block.observed.dense
        n = len(self._X)
        self._weights = np.zeros(0) if block.row_weights is None else block.row_weights
        self.labels = np.full(n, -1)
        self._until = np.full(n, -np.inf)
        self._n_tasks = min(_MOST_TASKS, -(-n // _ROWS_PER_TASK))
        self._centers = self._moves = np.zeros((0, 0))
        self._drift, self._totals = np.zeros(0), np.zeros((0, 4))

    def assign(self, centers: Array) -> float:
        """Label the rows by their nearest centres; returns the distortion."""
        centers = np.ascontiguousarray(centers)
        first = len(self._centers) == 0
        if first:
            self._start_sums(centers)
        else:
            self._drift = _drifted(self._drift, centers - self._centers)
        self._centers = centers
        self._search(self._sums)
        squares = self._merged()
        # weights of all sizes that come and go leave rounding where nothing is left
        if (len(self._weights) > 0 and not first) or self._is_cancelled(squares):
            self._sum_afresh()
            squares = self._totals[:, 1]
        return float(squares.sum())

    @property
    def sizes(self) -> Array:
        """Weight of each cluster's rows, shape (K,)."""
        return self._totals[:, 0]

    def following(self) -> Array:
        """Means of the clusters' rows; where there are none, the centre."""
        sizes = self._totals[:, :1]
        step = np.divide(self._moves, sizes, out=np.zeros_like(self._moves), where=sizes > 0)
        return np.where(sizes > 0, self._sums.references + step, self._centers)

    def smallest(self) -> Array:
        """Squared distance of each row to its centre, shape (n,)."""
        out = np.empty(len(self._X))
        with threads_for(self._X.size):
            kernels.distances(self._X, self.labels, self._centers, self._n_tasks, out)
        return out

    def relabel(self, labels: NDArray[np.int64]) -> None:
        """Give rows other clusters, whatever their distance."""
        self._until[labels != self.labels] = -np.inf
        self.labels[:] = labels
        self._sum_afresh()

    def nearest(self, centers: Array) -> tuple[NDArray[np.int64], Array]:
        """Labels of the rows and squared distances to their centres, without sums."""
        self._centers, self._drift = np.ascontiguousarray(centers), np.zeros(len(centers))
        self._search(kernels.Sums(np.zeros((0, 0)), *[np.zeros((self._n_tasks, 0, 0))] * 2))
        return self.labels, self.smallest()

    def _search(self, sums: kernels.Sums) -> None:
        dtype = self._X.dtype
        tables = _product_tables(self._centers, self._drift, dtype)
        tokens = (*score_shape(dtype.itemsize), turned_lanes(dtype.itemsize))
        lanes, d = len(tokens[1]), max(1, self._X.shape[1])
        most = _TILE_BYTES // (d * dtype.itemsize) // lanes * lanes
        tile_rows = int(np.clip(most, lanes, _MOST_TILE_ROWS))
        rows = kernels.Rows(self._weights, self.labels, self._until)
        with threads_for(self._X.size * len(tables.terms)):
            kernels.search(self._X, rows, tables, sums, tile_rows, *tokens)

    def _start_sums(self, centers: Array) -> None:
        n_clusters = len(centers)
        most = int(np.clip(_SUMS_BYTES // max(1, centers.nbytes), _LEAST_TASKS, _MOST_TASKS))
        self._n_tasks = min(most, self._n_tasks)
        totals = np.zeros((self._n_tasks, n_clusters, 4))
        self._sums = kernels.Sums(centers, np.zeros((self._n_tasks, *centers.shape)), totals)
        self._moves, self._totals = np.zeros_like(centers), np.zeros((n_clusters, 4))
        self._drift = np.zeros(n_clusters)

    def _sum_afresh(self) -> None:
        """All sums over the rows, about the present centres."""
        self._sums = self._sums._replace(references=self._centers)
        self._moves[:] = 0.0
        self._totals[:] = 0.0
        rows = kernels.Rows(self._weights, self.labels, self._until)
        with threads_for(self._X.size):
            kernels.sum_up(self._X, rows, self._sums)
        self._merged()

    def _merged(self) -> Array:
        """Take over the tasks' sums; sums of squared distances to the present centres (K,)."""
        kernels.merge(self._sums, self._moves, self._totals)
        if len(self._weights) == 0:  # whole numbers are exact: who left leaves nothing
            left = self._totals[:, 0] == 0
            self._moves[left] = self._totals[left] = 0.0
        away = self._centers - self._sums.references
        squares: Array = self._totals[:, 1] + (
            away * (self._totals[:, :1] * away - 2.0 * self._moves)
        ).sum(axis=1)
        return squares

    def _is_cancelled(self, squares: Array) -> bool:
        sums = np.column_stack([self._totals[:, 0], squares])
        return bool((self._totals[:, 2:] > _MOST_CANCELLED * sums).any())


def _drifted(drift: Array, moves: Array) -> Array:
    """How far each centre and any other have moved together, added up and rounded upwards."""
    lengths = np.sqrt((moves * moves).sum(axis=1))
    order = np.argsort(lengths)
    others = np.full(len(lengths), lengths[order[-1]])
    others[order[-1]] = lengths[order[-2]] if len(lengths) > 1 else 0.0
    rounding = (moves.shape[1] + 4) * float(np.finfo(np.float64).eps)
    moved: Array = (1.0 + 8.0 * rounding) * (lengths + others)
    return (drift + moved) * (1.0 + 2.0**-50)


def _product_tables(centers: Array, drift: Array, dtype: np.dtype[Any]) -> kernels.Tables:
    """Centres as `mixmend.kernels.lloyd` reads them.

    A score is a sum of d + 1 products of numbers that are rounded themselves, so with L the
    squared length of a row y and b_1 the centre with the best score, it is wrong by at most
    ``unit / 2`` times ``|y| |b| + |b|^2 / 2``. A centre b that is no farther from y than b_1 has
    ``|b| <= 2 |y| + |b_1|``, and ``|b_1|^2`` is at most ``4 L`` less four times the score. Two such
    errors are less than ``unit`` times 10.5 L less 6 times the score; the rest of the doubt is
    for lengths and gaps, which are rounded too, and for distances in double precision.
    """
    n_clusters, d = centers.shape
    height, limits = len(score_shape(dtype.itemsize)[0]), np.finfo(dtype)
    centre = np.median(centers, axis=0).astype(dtype)  # one centre far away does not move it
    moved = np.zeros((-(-n_clusters // height) * height, d))
    moved[:n_clusters] = centers - centre
    squares = (moved * moved).sum(axis=1)
    unit = (d + 4) * float(limits.eps)
    doubt = np.array(
        [13.0 * unit, 8.0 * unit, 64.0 * (d + 4) * float(limits.smallest_subnormal), 1.0 - unit]
    )
    if not squares.max() < float(limits.max) / 64:  # nothing is certain about infinite scores
        doubt[0] = np.inf
    with np.errstate(over="ignore"):
        panels = np.ascontiguousarray(moved.reshape(-1, height, d).transpose(0, 2, 1), dtype)
        terms = (-0.5 * squares).astype(dtype)
    terms[n_clusters:] = -np.inf
    return kernels.Tables(centers, drift, centre, panels, terms, doubt.astype(dtype))
