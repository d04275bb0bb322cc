"""Rows folded into a factor model: the predictions of any of their cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive, gaussian
from mixmend.factors.sweeps import Side, design_table
from mixmend.kernels.entries import dot_entries

Array = NDArray[np.float64]

_CHUNK = 1 << 14
"""Cells whose posterior covariances are gathered at once."""


class FoldedFactors(NamedTuple):
    """Rows and columns whose products are the cells.

    A cell is Gaussian around ``offset + q . p (+ b + c)``. Its variance is that of the noise,
    and, where the model has posterior covariances, that of the product: with w and v the two
    sides' vectors, ``w' Cov(v) w + v' Cov(w) v + trace(Cov(w) Cov(v))``.
    """

    offsets: Array
    rows: Side
    columns: Side
    effects: bool
    noise: float

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        mean = entry_means(self.offsets, self.rows, self.columns, self.effects, rows, columns)
        variance = np.full(len(mean), self.noise)
        if self.columns.covariances is not None:
            for first in range(0, len(mean), _CHUNK):
                span = slice(first, first + _CHUNK)
                left = _moments(self.rows, rows[span], self.effects, own_effect_first=True)
                right = _moments(self.columns, columns[span], self.effects, own_effect_first=False)
                variance[span] += _product_variance(left, right).sum(axis=1)
        return gaussian(mean, variance)

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, as matrix products."""
        doubts = self.rows.covariances
        mine = Side(self.rows.values[rows], None if doubts is None else doubts[rows])
        rank = mine.values.shape[1] - self.effects
        mean = mine.values[:, :rank] @ self.columns.values[:, :rank].T
        mean += self.offsets[rows, None]
        if self.effects:
            mean += mine.values[:, -1:] + self.columns.values[:, -1]
        if not variance:
            return mean, None
        spread = np.full(mean.shape, self.noise)
        if self.columns.covariances is not None:
            left = _moments(mine, slice(None), self.effects, own_effect_first=True)
            right = _moments(self.columns, slice(None), self.effects, own_effect_first=False)
            spread += left.outer @ right.spread.T
            spread += left.spread @ (right.outer + right.spread).T
        return mean, np.maximum(spread, self.noise)


class _Moments(NamedTuple):
    """Outer products and covariances of one side's vectors, packed so that products add up.

    ``outer`` carries the weight of what stands twice in a symmetric matrix on one side only.
    """

    outer: Array
    spread: Array


def _moments(
    side: Side, lines: slice | NDArray[np.int64], effects: bool, own_effect_first: bool
) -> _Moments:
    values = side.values[lines]
    covariances = side.covariances
    assert covariances is not None  # asked for only where there are some
    n, q = values.shape
    # vectors in common coordinates: factors, what multiplies the row's effect, the column's
    width = q + effects
    vectors = np.ones((n, width))
    place = np.arange(q)
    if effects:
        place[-1] = q - 1 if own_effect_first else q
    vectors[:, place] = values
    upper = np.triu_indices(width)
    at = np.zeros((width, width), np.int64)
    at[upper] = np.arange(len(upper[0]))
    spread = np.zeros((n, len(upper[0])))
    a, b = np.triu_indices(q)
    spread[:, at[place[a], place[b]]] = covariances[lines]
    outer = vectors[:, upper[0]] * vectors[:, upper[1]]
    if own_effect_first:  # the rows' side carries the weight of what stands twice
        twice = np.where(upper[0] == upper[1], 1.0, 2.0)
        return _Moments(outer * twice, spread * twice)
    return _Moments(outer, spread)


def _product_variance(left: _Moments, right: _Moments) -> Array:
    return np.asarray(left.outer * right.spread + left.spread * (right.outer + right.spread))


def entry_means(
    offsets: Array,
    rows: Side,
    columns: Side,
    effects: bool,
    at_rows: NDArray[np.int64],
    at_columns: NDArray[np.int64],
) -> Array:
    """Expected values of single cells, (m,)."""
    table = columns.values
    left = rows.values
    if effects:
        # (q, b, 1) . (p, 1, c)
        left = np.column_stack([left, np.ones(len(left))])
        rank = table.shape[1] - 1
        table = design_table(columns, True)[:, : rank + 2]
    out = np.empty(len(at_rows))
    dot_entries(np.ascontiguousarray(left), np.ascontiguousarray(table), at_rows, at_columns, out)
    return out + offsets[at_rows]


def nearest(
    factors: Array, strengths: Array, line: int, count: int
) -> tuple[NDArray[np.int64], Array]:
    """The lines whose factors have the largest cosine with one's, and the cosines.

    Factors are taken in units of what a typical line of the other side makes of them:
    ``strengths`` (r,) are the variances of its factors.
    """
    scaled = factors * np.sqrt(strengths)
    lengths = np.linalg.norm(scaled, axis=1)
    scale = np.where(lengths > 0, lengths, 1.0)
    cosines = (scaled @ scaled[line]) / (scale * scale[line])
    order = np.argsort(-cosines, kind="stable")
    order = order[order != line][:count]
    return order, cosines[order]
