"""Columns on a scale on which they are closer to normal: a step towards Gaussian copulas.

Normal scores give the value with rank r of n the normal quantile of ``(r - 1/2) / n``; a
mixture of Gaussians on them is a mixture of Gaussian copulas. Full normal scores follow every
wiggle of a short column, and so do predictions that are brought back. Half of them, and half
of the standardised value itself, are never flatter than half the value, and measured better
on real tables than either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.observed.convert import as_observed
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_FAR = 1e6
"""How far beyond a column's values its scale is continued, in standard deviations."""

_END_SHARE = 0.05
"""What part of a column's different values says how steep its scale is beyond its ends."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Scale(NamedTuple):
    """A column's values and their scores, both increasing: linear in between and beyond."""

    values: Array
    scores: Array


class ColumnScores(NamedTuple):
    """The scales of all columns."""

    scales: tuple[Scale, ...]

    def forward(self, rows: Array) -> Array:
        """Scores of values (n, d); NaN stays NaN."""
        columns = [np.interp(rows[:, j], s.values, s.scores) for j, s in enumerate(self.scales)]
        return np.stack(columns, axis=1)

    def backward(self, scores: Array) -> Array:
        """The inverse of `forward`."""
        columns = [np.interp(scores[:, j], s.scores, s.values) for j, s in enumerate(self.scales)]
        return np.stack(columns, axis=1)

    def moments(self, cells: Predictive, columns: NDArray[np.int64]) -> Predictive:
        """Distributions of scores as those of values, component by component.

        Each normal distribution becomes the normal one with the mean and variance that its
        values have (Gauss–Hermite quadrature).
        """
        means, variances = np.empty_like(cells.means), np.empty_like(cells.variances)
        for j in np.unique(columns):
            own = columns == j
            spread = np.sqrt(cells.variances[own])[..., None]
            nodes = cells.means[own][..., None] + spread * _NODES
            values = np.interp(nodes, self.scales[j].scores, self.scales[j].values)
            means[own] = values @ _WEIGHTS
            variances[own] = np.square(values - means[own][..., None]) @ _WEIGHTS
        return Predictive(cells.weights, means, variances)


def column_scores(rows: Array, weights: Array | None = None, share: float = 0.5) -> ColumnScores:
    """Learn the scale of each column from its observed values.

    Parameters
    ----------
    rows : ndarray, shape (n, d)
        Standardised columns, NaN in the holes.
    weights : ndarray, shape (n,), optional
        How often each row counts.
    share : float, default 0.5
        What part of a score is the normal score; the rest is the value itself.

    Examples
    --------
    >>> rows = np.array([[-1.0], [0.0], [np.nan], [4.0]])
    >>> scores = column_scores(rows)
    >>> scores.forward(rows).round(2).ravel()
    array([-0.98,  0.  ,   nan,  2.48])
    >>> scores.backward(scores.forward(rows)).ravel()
    array([-1.,  0., nan,  4.])
    """
    counts = np.ones(len(rows)) if weights is None else weights
    return ColumnScores(tuple(_scale(column, counts, share) for column in rows.T))


def _scale(column: Array, counts: Array, share: float) -> Scale:
    from scipy.special import ndtri

    seen = ~np.isnan(column) & (counts > 0)
    values, place = np.unique(column[seen], return_inverse=True)
    if len(values) < 2:
        return Scale(np.array([-_FAR, _FAR]), np.array([-_FAR, _FAR]))
    mass = np.bincount(place, counts[seen])
    ranks = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    scores = (1.0 - share) * values + share * ndtri(ranks)
    m = max(1, int(_END_SHARE * len(values)))
    low = (scores[m] - scores[0]) / (values[m] - values[0])
    high = (scores[-1] - scores[-1 - m]) / (values[-1] - values[-1 - m])
    return Scale(
        np.concatenate([[values[0] - _FAR], values, [values[-1] + _FAR]]),
        np.concatenate([[scores[0] - _FAR * low], scores, [scores[-1] + _FAR * high]]),
    )


class FoldedScores(NamedTuple):
    """Rows conditioned on the scale of scores, seen on that of the values."""

    folded: Any
    scores: ColumnScores

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        return self.scores.moments(self.folded.cells(rows, columns), columns)

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all rows' holes."""
        return self.scores.backward(self.folded.draw(rng))


def scored(obs: ObservedMatrix, scores: ColumnScores) -> ObservedMatrix:
    """The rows on the scale of scores."""
    return as_observed(
        scores.forward(np.asarray(obs.dense, np.float64)), row_weights=obs.row_weights, copy=False
    )
