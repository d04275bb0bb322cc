"""Rows folded into a mixture with full or tied covariances: predictions of their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.kernels import conditional as kernels
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.full_e_step import Parameters, Posterior, lanes_of, whitener
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.mixtures.spherical_e_step import Array, lane_count
from mixmend.observed.matrix import ObservedMatrix

_CELLS_AT_ONCE = 1 << 21
"""Cells times components whose distributions are held at once: 2 tables of 16 MB."""


class FoldedFull(NamedTuple):
    """A mixture of dependent columns conditioned on the observed cells of some rows.

    Given component k, the holes h of a row that observes o are jointly normal with mean
    ``m_h + C_ho inv(C_oo) (x_o - m_o)`` and covariance ``C_hh - C_ho inv(C_oo) C_oh``. The
    model has no measurement noise of its own: an observed cell is known, its distribution
    is its value. Where ``doubt`` is given, ``doubt(self, rows, columns)`` tells the
    factors, (cells, K), by which conditional variances grow (see `mixmend.mixtures.doubt`).
    """

    parameters: Parameters
    posterior: Posterior
    block: PatternBlock
    tables: kernels.LaneTables
    doubt: Callable[..., Array] | None = None

    @property
    def observed(self) -> ObservedMatrix:
        """The rows."""
        return self.block.observed

    @property
    def responsibilities(self) -> Array:
        """Posterior probability of each component, (n, K); the weights for an empty row."""
        return self.posterior.responsibilities

    @property
    def log_densities(self) -> Array:
        """Log density of each row's observed cells, (n,); 0 for an empty row."""
        with np.errstate(divide="ignore"):
            total = np.logaddexp.reduce(self.posterior.log_joint, axis=1)
        return np.where(self.observed.row_counts > 0, total, 0.0)

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells given everything that their rows observe."""
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        order = np.argsort(rows, kind="stable")
        lines, counts = np.unique(rows, return_counts=True)
        means, variances = self._conditional(lines, counts, columns[order])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        variances = variances[back]
        if self.doubt is not None:
            variances = variances * self.doubt(self, rows, columns)
        return Predictive(self.responsibilities[rows], means[back], variances)

    def expected(self, lines: NDArray[np.int64]) -> Array:
        """Some rows with their holes as each component expects them, (K, rows, d)."""
        values = self.observed.dense[lines].astype(np.float64)
        out = np.repeat(values[None], len(self.parameters.weights), axis=0)
        line, column = np.nonzero(np.isnan(values))
        if len(line):
            holed, counts = np.unique(line, return_counts=True)
            out[:, line, column] = self._conditional(lines[holed], counts, column)[0].T
        return out

    def _conditional(
        self, lines: NDArray[np.int64], counts: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[Array, Array]:
        """Means and variances, each (cells, K), of cells that are ordered by row."""
        pointers = np.concatenate([[0], np.cumsum(counts)])
        n_components, d = self.parameters.means.shape
        out = np.empty((2, len(columns), n_components))
        lanes = LANES[lane_count(n_components)]
        with threads_for(len(lines) * n_components * d * d):
            kernels.conditional_cells(
                self.tables, self.observed.dense, lines, pointers, columns, lanes, out
            )
        return out[0], out[1]

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows."""
        values = self.observed.dense[rows].astype(np.float64)
        spread = np.zeros_like(values)
        first = range(self.observed.shape[0])[rows].start
        many = max(1, _CELLS_AT_ONCE // self.parameters.means.size)
        for start in range(0, len(values), many):
            part = slice(start, start + many)
            line, column = np.nonzero(np.isnan(values[part]))
            if len(line):
                cells = self.cells(line + first + start, column)
                values[part][line, column] = predictive.mean(cells)
                spread[part][line, column] = predictive.variance(cells)
        return values, spread if variance else None

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all rows' holes: component first, then its conditional normal."""
        # inverse transform on the cumulated responsibilities, one uniform number a row
        levels = np.cumsum(self.responsibilities, axis=1)
        n, d = self.observed.shape
        picked = (rng.random((n, 1)) * levels[:, -1:] > levels[:, :-1]).sum(axis=1)
        draws = rng.standard_normal((n, d))
        with threads_for(n * d * d):
            kernels.draw_holes(self.tables, picked, (self.observed.dense, draws))
        if self.doubt is not None:
            self._widen(draws, picked, self.doubt)
        return draws

    def _widen(self, draws: Array, picked: NDArray[np.int64], doubt: Callable[..., Array]) -> None:
        """Stretch what was drawn about what the component ``picked`` (n,) expects."""
        many = max(1, _CELLS_AT_ONCE // self.parameters.means.size)
        for start in range(0, len(draws), many):
            lines = np.arange(start, min(start + many, len(draws)))
            line, column = np.nonzero(np.isnan(self.observed.dense[lines]))
            rows = lines[line]
            if len(rows):
                middle = self.expected(lines)[picked[rows], line, column]
                stretch = np.sqrt(doubt(self, rows, column)[np.arange(len(rows)), picked[rows]])
                draws[rows, column] = middle + stretch * (draws[rows, column] - middle)


def lane_tables(parameters: Parameters) -> kernels.LaneTables:
    """Means, precisions and covariances side by side, for the kernels."""
    w = whitener(parameters.covariances)
    return kernels.LaneTables(
        lanes_of(parameters.means),
        lanes_of(w.swapaxes(1, 2) @ w),
        lanes_of(parameters.covariances),
    )
