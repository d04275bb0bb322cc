"""The E-step of diagonal mixtures: from parameters to responsibilities and statistics.

Tile by tile, as for spherical mixtures (`mixmend.mixtures.spherical_e_step`). Complete rows
take the matrix products of `mixmend.mixtures.complete_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from mixmend.em.block import Block
from mixmend.kernels import diagonal as kernels
from mixmend.kernels.simd import LANES
from mixmend.kernels.spherical import responsibilities
from mixmend.kernels.threads import threads_for
from mixmend.mixtures import complete_rows
from mixmend.mixtures.complete_rows import Columns, log_scales_of
from mixmend.mixtures.spherical_e_step import (
    Array,
    Table,
    aligned_zeros,
    lane_count,
    padded,
    table,
)

_ROWS_PER_TASK = 256


class Parameters(NamedTuple):
    """Parameters of a diagonal mixture; K components, d columns.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Mixing weights.
    means : ndarray, shape (K, d)
        Component means.
    variances : ndarray, shape (K, d)
        Variance of every column given the component, in squared units of the column.
    """

    weights: Array
    means: Array
    variances: Array


@dataclass(frozen=True, slots=True)
class Statistics:
    """Expected sufficient statistics at some parameters, centred at those parameters' means.

    Attributes
    ----------
    log_likelihood : float
        Log-likelihood of the observed cells at the parameters of the E-step.
    rows : ndarray, shape (K,)
        Sums of the posterior over rows.
    support, deviations, squares : ndarray, shape (d, K)
        Per column: sums over the rows that observe it of the posterior, of posterior ×
        (x − mean) and of posterior × (x − mean)².
    """

    log_likelihood: float
    rows: Array
    support: Array
    deviations: Array
    squares: Array

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of both sets of rows, taken at the same parameters."""
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.rows + other.rows,
            self.support + other.support,
            self.deviations + other.deviations,
            self.squares + other.squares,
        )


class Posterior(NamedTuple):
    """What the E-step says of each row.

    Attributes
    ----------
    responsibilities : ndarray, shape (n, K)
        Posterior probability of each component.
    log_densities : ndarray, shape (n,)
        Log density of each row's observed cells; 0 where none is.
    """

    responsibilities: Array
    log_densities: Array


def row_bytes(n_components: int, itemsize: int) -> int:
    """Bytes per row that the M-step gathers; what `Block` sizes its tiles by."""
    return padded(n_components) * itemsize


class _Work:
    """Parameters in the form that kernels read, and the arrays of one tile used again."""

    def __init__(self, parameters: Parameters, block: Block, log_scales: Array | None) -> None:
        self.block = block
        self.n_components, self.d = parameters.means.shape
        self.width = padded(self.n_components)
        self.lanes = LANES[lane_count(self.n_components)]
        dtype = block.observed.dtype
        self.means = table(parameters.means, dtype)
        # the kernels' means are rounded to the data's precision: what that moved them by
        self.rounding = self.means[:, : self.n_components] - parameters.means.T
        precisions = table(1.0 / parameters.variances, dtype)
        self.terms = np.zeros((3, self.width))
        self.terms[0] = -np.inf  # lanes beyond K get no share
        with np.errstate(divide="ignore"):
            self.terms[0, : self.n_components] = np.log(parameters.weights)
        self.terms[1] = 0.5 * np.log(2.0 * np.pi)
        self.terms[2] = 0.5
        logs = table(log_scales_of(parameters.variances, log_scales), dtype)
        shape = (self.d, 3 * self.width)
        self.tables = aligned_zeros(shape, dtype).reshape(self.d, 3, self.width)
        self.tables[:] = np.stack([self.means, precisions, logs], axis=1)
        tile = (block.tile_rows, self.width)
        self.distances = aligned_zeros(tile, np.float64)
        self.posterior: Table = aligned_zeros(tile, dtype)  # lanes beyond K stay 0
        self.sums = np.zeros((3, self.d, self.width))

    def threads(self) -> Any:
        """As many threads as the work deserves."""
        return threads_for(2 * self.block.observed.n_observed * self.width)

    def bayes(self, first: int, n_rows: int, weighted: bool = True) -> Array:
        """Log joint densities and posterior of a tile; sums over rows (5, padded K)."""
        block, rows = self.block, slice(first, first + n_rows)
        distances = self.distances[:n_rows]
        kernels.scaled_distances(block.by_row, first, self.tables, self.lanes, distances)
        weights = block.row_weights if weighted else None
        totals = np.empty((-(-n_rows // _ROWS_PER_TASK), 5, self.width))
        responsibilities(
            distances,
            block.counts[rows],
            None if weights is None else weights[rows],
            self.terms,
            None,
            self.lanes,
            self.posterior[:n_rows],
            totals,
        )
        return np.asarray(totals.sum(axis=0))

    def add_columns(self, tile: int) -> None:
        """Add a tile to the sums by column."""
        view = self.block.by_tile_column
        kernels.column_moments(
            view, tile * self.d, self.means, self.posterior, self.lanes, *self.sums
        )

    def statistics(self, log_likelihood: float, rows: Array) -> Statistics:
        """The sums, moved from the kernels' rounded means to the parameters' own."""
        s0, s1, s2 = self.sums[:, :, : self.n_components]
        gap = self.rounding
        return Statistics(
            log_likelihood, rows, s0, s1 + gap * s0, s2 + 2.0 * gap * s1 + gap * gap * s0
        )


def _columns(parameters: Parameters, log_scales: Array | None = None) -> Columns:
    """The same density as complete rows want it."""
    d = parameters.means.shape[1]
    scales = log_scales_of(parameters.variances, log_scales).sum(axis=1)
    with np.errstate(divide="ignore"):
        log_terms = np.log(parameters.weights) - 0.5 * (scales + d * np.log(2.0 * np.pi))
    return Columns(log_terms, parameters.means, 1.0 / parameters.variances)


def e_step(parameters: Parameters, block: Block, log_scales: Array | None = None) -> Statistics:
    """Expected sufficient statistics of a block, tile by tile.

    The responsibilities live only as long as their tile is worked on. ``log_scales`` (K, d)
    stand in the log densities where the logarithms of the variances would: a variational
    step's expectations of those. Nor need its weights sum to 1.
    """
    columns = _columns(parameters, log_scales)
    if complete_rows.suits(columns, block):
        return _of_moments(complete_rows.moments(columns, block))
    work = _Work(parameters, block, log_scales)
    totals = np.zeros((5, work.width))
    with work.threads():
        for tile, (first, n_rows) in enumerate(block.tiles()):
            totals += work.bayes(first, n_rows)
            work.add_columns(tile)
    return work.statistics(float(totals[4, 0]), totals[0, : work.n_components].copy())


def _of_moments(moments: complete_rows.Moments) -> Statistics:
    support = np.broadcast_to(moments.rows, moments.first.shape)
    return Statistics(moments.log_likelihood, moments.rows, support, moments.first, moments.second)


def posterior(parameters: Parameters, block: Block, log_scales: Array | None = None) -> Posterior:
    """Responsibilities and log densities of every row of a block; row weights do not enter."""
    columns = _columns(parameters, log_scales)
    if complete_rows.suits(columns, block):
        shares, joint = complete_rows.posterior(columns, block)
        return Posterior(shares, np.asarray(logsumexp(joint, axis=1)))
    work = _Work(parameters, block, log_scales)
    n = len(block.counts)
    out, densities = np.empty((n, work.n_components)), np.empty(n)
    with work.threads():
        for first, n_rows in block.tiles():
            rows = slice(first, first + n_rows)
            work.bayes(first, n_rows, weighted=False)
            out[rows] = work.posterior[:n_rows, : work.n_components]
            densities[rows] = logsumexp(work.distances[:n_rows, : work.n_components], axis=1)
    return Posterior(out, np.where(block.counts > 0, densities, 0.0))


def statistics_of(shares: Array, parameters: Parameters, block: Block) -> Statistics:
    """Statistics under given responsibilities (n, K), centred at the means of ``parameters``.

    What an M-step alone needs: the log-likelihood is not defined and given as NaN.
    """
    columns = _columns(parameters)
    if complete_rows.suits_given_shares(columns, block):
        return replace(
            _of_moments(complete_rows.moments(columns, block, shares)),
            log_likelihood=float("nan"),
        )
    work = _Work(parameters, block, None)
    if block.row_weights is not None:
        shares = shares * block.row_weights[:, None]
    with work.threads():
        for tile, (first, n_rows) in enumerate(block.tiles()):
            work.posterior[:n_rows, : work.n_components] = shares[first : first + n_rows]
            work.add_columns(tile)
    return work.statistics(float("nan"), shares.sum(axis=0))
