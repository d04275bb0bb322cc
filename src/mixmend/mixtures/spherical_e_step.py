"""The E-step of spherical mixtures: from parameters to responsibilities and statistics.

The rows are worked on tile by tile (see `mixmend.em.block`): distances by row, Bayes'
rule, then column sums while the tile's responsibilities are still in the cache. What a
tile's rows say is kept only as sums; responsibilities of all rows exist only where a
caller asks for them (`posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from mixmend.em.block import Block
from mixmend.kernels import spherical as kernels
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.mixtures import complete_rows
from mixmend.mixtures.complete_rows import Columns, log_scales_of

Array: TypeAlias = NDArray[np.float64]
Table: TypeAlias = NDArray[np.floating[Any]]

_ROWS_PER_TASK = 256
_CACHE_LINE = 64


class Parameters(NamedTuple):
    """Parameters of a spherical mixture; K components, d columns.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Mixing weights.
    means : ndarray, shape (K, d)
        Component means; posterior means where there is a prior.
    variances : ndarray, shape (K,)
        Variance of every cell given component, mean and offset.
    mean_variances : ndarray, shape (K, d), or None
        Posterior variances of the means; None without a prior.
    prior_variance : float
        s, the prior variance of the means around the prior centre.
    offset_variance : float
        tau, the variance of the row offsets; 0 without offsets.
    """

    weights: Array
    means: Array
    variances: Array
    mean_variances: Array | None = None
    prior_variance: float = np.inf
    offset_variance: float = 0.0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Expected sufficient statistics at some parameters, centred at those parameters' means.

    Attributes
    ----------
    log_likelihood : float
        Log-likelihood of the observed cells at the parameters of the E-step (a lower bound
        of it under a prior on the means).
    rows, cells, residuals, offset_squares : ndarray, shape (K,)
        Posterior-weighted sums of 1, of observed cells, of expected squared residuals and
        of expected squared row offsets.
    support, deviations : ndarray, shape (d, K)
        Per column: sums of the posterior and of posterior × (x − offset − mean).
    """

    log_likelihood: float
    rows: Array
    cells: Array
    residuals: Array
    offset_squares: Array
    support: Array
    deviations: Array

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of both sets of rows, taken at the same parameters."""
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.rows + other.rows,
            self.cells + other.cells,
            self.residuals + other.residuals,
            self.offset_squares + other.offset_squares,
            self.support + other.support,
            self.deviations + other.deviations,
        )


class Posterior(NamedTuple):
    """What the E-step says of each row.

    Attributes
    ----------
    responsibilities : ndarray, shape (n, K)
        Posterior probability of each component.
    log_joint : ndarray, shape (n, K)
        log p_k + log density of the observed cells under component k.
    log_likelihood : float
        Weighted sum of the rows' log densities.
    offsets, offset_variances : ndarray, shape (n, K)
        Mean and variance of each row's offset given the component; zeros without offsets.
    """

    responsibilities: Array
    log_joint: Array
    log_likelihood: float
    offsets: Array
    offset_variances: Array

    def log_densities(self) -> Array:
        """Log density of the observed cells of each row, shape (n,); 0 where none is."""
        return np.asarray(logsumexp(self.log_joint, axis=1))


# ------------------------------------------------------------------------------ tables


def lane_count(n_components: int) -> int:
    """Lanes of the vectors that the kernels use for so many components."""
    if n_components <= 4:
        return 4
    return 16 if -(-n_components // 8) % 2 == 0 else 8


def padded(n_components: int) -> int:
    """Components rounded up to whole vectors."""
    lanes = lane_count(n_components)
    return -(-n_components // lanes) * lanes


def aligned_zeros(shape: tuple[int, int], dtype: np.dtype[Any] | type) -> Table:
    """Zeros that begin on a cache line: a gathered row then touches no line too many."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + _CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % _CACHE_LINE
    return raw[begin : begin + n_bytes].view(dtype).reshape(shape)


def table(values: Array, dtype: np.dtype[Any] | type) -> Table:
    """(K, d) values as the (d, padded K) table that kernels gather from."""
    n_components, d = values.shape
    out = aligned_zeros((d, padded(n_components)), dtype)
    out[:, :n_components] = values.T
    return out


def row_bytes(n_components: int, itemsize: int, row_offsets: bool) -> int:
    """Bytes per row that the M-step gathers; what `Block` sizes its tiles by."""
    return padded(n_components) * itemsize * (2 if row_offsets else 1)


# ------------------------------------------------------------------------------ E-step


class _Offsets(NamedTuple):
    """Row offsets tabulated over the distinct numbers of observed cells (levels)."""

    levels: NDArray[np.int32]
    gains: Array
    log_ratios: Array
    variances: Array


class _Tables(NamedTuple):
    """Parameters in the form that the kernels read, padded to whole vectors."""

    means: Table
    spread: Table | None
    terms: Array
    lanes: tuple[int, ...]
    offsets: _Offsets | None


def _tables(parameters: Parameters, block: Block, log_scales: Array | None = None) -> _Tables:
    spread = parameters.mean_variances
    dtype = block.by_row.values.dtype
    n_components = len(parameters.weights)
    terms = np.zeros((3, padded(n_components)))
    terms[0] = -np.inf  # lanes beyond K get no share
    with np.errstate(divide="ignore"):
        terms[0, :n_components] = np.log(parameters.weights)
    v = parameters.variances
    terms[1, :n_components] = 0.5 * (np.log(2.0 * np.pi) + log_scales_of(v, log_scales))
    terms[2, :n_components] = 0.5 / v
    return _Tables(
        table(parameters.means, dtype),
        None if spread is None else table(spread, dtype),
        terms,
        LANES[lane_count(n_components)],
        _offsets(parameters, block) if parameters.offset_variance > 0.0 else None,
    )


def _offsets(parameters: Parameters, block: Block) -> _Offsets:
    counts, levels = block.count_levels
    variances = np.ones(padded(len(parameters.weights)))
    variances[: len(parameters.weights)] = parameters.variances
    tau = parameters.offset_variance
    total = variances + counts[:, None] * tau
    return _Offsets(levels, tau / total, 0.5 * np.log(total / variances), variances)


def _columns(parameters: Parameters, log_scales: Array | None = None) -> Columns:
    """The same density as complete rows want it; what the means' doubt adds is constant."""
    shape, v = parameters.means.shape, parameters.variances
    scales = shape[1] * (np.log(2.0 * np.pi) + log_scales_of(v, log_scales))
    with np.errstate(divide="ignore"):
        log_terms = np.log(parameters.weights) - 0.5 * (scales + _doubt(parameters) / v)
    return Columns(log_terms, parameters.means, 1.0 / v[:, None])


def _doubt(parameters: Parameters) -> Array | float:
    """Each component's sum of the variances of its means: what a complete row adds."""
    spread = parameters.mean_variances
    return 0.0 if spread is None else np.asarray(spread.sum(axis=1))


def _of_moments(moments: complete_rows.Moments, parameters: Parameters) -> Statistics:
    rows, first = moments.rows, moments.first
    squares = moments.second.sum(axis=0) + rows * _doubt(parameters)
    columns = (np.zeros(len(rows)), np.broadcast_to(rows, first.shape), first)
    return Statistics(moments.log_likelihood, rows, len(first) * rows, squares, *columns)


def e_step(parameters: Parameters, block: Block, log_scales: Array | None = None) -> Statistics:
    """Expected sufficient statistics of a block, tile by tile.

    The responsibilities live only as long as their tile is worked on. Complete rows without
    offsets take the products of `mixmend.mixtures.complete_rows`. ``log_scales`` (K,) are
    what a posterior of the variances expects of their logarithms, in the place of those.
    """
    columns = _columns(parameters, log_scales)
    if parameters.offset_variance == 0.0 and complete_rows.suits(columns, block):
        return _of_moments(complete_rows.moments(columns, block), parameters)
    tables = _tables(parameters, block, log_scales)
    d, width = tables.means.shape
    support, deviations = np.zeros((d, width)), np.zeros((d, width))
    n_components = len(parameters.weights)
    totals = np.zeros((5, width))
    work = _Workspace(block.tile_rows, tables)
    with threads_for(block.observed.n_observed * width):
        for tile, (first, n_rows) in enumerate(block.tiles()):
            totals += _posterior_tile(tables, block, first, n_rows, work)
            kernels.column_sums(
                block.by_tile_column,
                tile * d,
                tables.means,
                work.posterior,
                work.shift,
                tables.lanes,
                support,
                deviations,
            )
    rows, cells, residuals, offset_squares = totals[:4, :n_components]
    return Statistics(
        float(totals[4, 0]),
        rows,
        cells,
        residuals,
        offset_squares,
        support[:, :n_components],
        deviations[:, :n_components],
    )


def posterior(parameters: Parameters, block: Block) -> Posterior:
    """Responsibilities, log joint densities and offsets of every row of a block."""
    shape = (len(block.counts), len(parameters.weights))
    offsets, offset_variances = np.zeros(shape), np.zeros(shape)
    columns = _columns(parameters)
    if parameters.offset_variance == 0.0 and complete_rows.suits(columns, block):
        responsibilities, log_joint = complete_rows.posterior(columns, block)
    else:
        tables = _tables(parameters, block)
        responsibilities, log_joint = np.empty(shape), np.empty(shape)
        work = _Workspace(block.tile_rows, tables)
        with threads_for(block.observed.n_observed * tables.means.shape[1]):
            for first, n_rows in block.tiles():
                rows = slice(first, first + n_rows)
                _posterior_tile(tables, block, first, n_rows, work, weighted=False)
                responsibilities[rows] = work.posterior[:n_rows, : shape[1]]
                log_joint[rows] = work.distances[:n_rows, : shape[1]]
                if tables.offsets is not None and work.sums is not None:
                    gains = tables.offsets.gains[tables.offsets.levels[rows], : shape[1]]
                    offsets[rows] = gains * work.sums[:n_rows, : shape[1]]
                    offset_variances[rows] = gains * parameters.variances
    densities = np.where(block.counts > 0, logsumexp(log_joint, axis=1), 0.0)
    total = densities.sum() if block.row_weights is None else block.row_weights @ densities
    return Posterior(responsibilities, log_joint, float(total), offsets, offset_variances)


def statistics_of(
    responsibilities: Array, parameters: Parameters, block: Block, offsets: Array | None = None
) -> Statistics:
    """Statistics under given responsibilities (n, K): what an M-step alone needs.

    The residuals are taken at ``parameters``; ``offsets`` (n,), where given, are known row
    offsets that are taken out first. The log-likelihood of this is not defined and given
    as NaN; offset squares are 0.
    """
    columns = _columns(parameters)
    if offsets is None and complete_rows.suits_given_shares(columns, block):
        given = _of_moments(complete_rows.moments(columns, block, responsibilities), parameters)
        return replace(given, log_likelihood=float("nan"))
    tables = _tables(parameters._replace(offset_variance=0.0), block)
    d, width = tables.means.shape
    n_components = len(parameters.weights)
    support, deviations = np.zeros((d, width)), np.zeros((d, width))
    work = _Workspace(block.tile_rows, tables, offsets is not None)
    weights = responsibilities
    if block.row_weights is not None:
        weights = responsibilities * block.row_weights[:, None]
    residuals = np.zeros(n_components)
    with threads_for(block.observed.n_observed * width):
        for tile, (first, n_rows) in enumerate(block.tiles()):
            rows = slice(first, first + n_rows)
            distances = work.distances[:n_rows]
            sums = None if work.sums is None else work.sums[:n_rows]
            kernels.squared_distances(
                block.by_row, first, tables.means, tables.spread, tables.lanes, distances, sums
            )
            work.posterior[:n_rows, :n_components] = weights[rows]
            if offsets is not None and work.shift is not None and sums is not None:
                b = offsets[rows, None]
                distances += block.counts[rows, None] * b * b - 2.0 * b * sums
                work.shift[:n_rows] = work.posterior[:n_rows] * b
            residuals += np.einsum("uk,uk->k", weights[rows], distances[:, :n_components])
            kernels.column_sums(
                block.by_tile_column,
                tile * d,
                tables.means,
                work.posterior,
                work.shift,
                tables.lanes,
                support,
                deviations,
            )
    return Statistics(
        float("nan"),
        weights.sum(axis=0),
        block.counts @ weights,
        residuals,
        np.zeros(n_components),
        support[:, :n_components],
        deviations[:, :n_components],
    )


class _Workspace:
    """Arrays of one tile, used again for the next."""

    def __init__(self, n_rows: int, tables: _Tables, offsets: bool | None = None) -> None:
        shape, dtype = (n_rows, tables.means.shape[1]), tables.means.dtype
        with_offsets = tables.offsets is not None if offsets is None else offsets
        self.distances = aligned_zeros(shape, np.float64)
        self.posterior = aligned_zeros(shape, dtype)  # lanes beyond K stay 0
        self.sums = aligned_zeros(shape, np.float64) if with_offsets else None
        self.shift = aligned_zeros(shape, dtype) if with_offsets else None


def _posterior_tile(
    tables: _Tables,
    block: Block,
    first: int,
    n_rows: int,
    work: _Workspace,
    weighted: bool = True,
) -> Array:
    """Fill the workspace for one tile; returns the sums over its rows, (5, padded K)."""
    rows = slice(first, first + n_rows)
    distances = work.distances[:n_rows]
    sums = None if work.sums is None else work.sums[:n_rows]
    kernels.squared_distances(
        block.by_row, first, tables.means, tables.spread, tables.lanes, distances, sums
    )
    offsets = None
    if tables.offsets is not None and sums is not None and work.shift is not None:
        levels, gains, log_ratios, variances = tables.offsets
        offsets = (sums, levels[rows], gains, log_ratios, variances, work.shift[:n_rows])
    weights = block.row_weights
    totals = np.empty((-(-n_rows // _ROWS_PER_TASK), 5, tables.terms.shape[1]))
    kernels.responsibilities(
        distances,
        block.counts[rows],
        None if weights is None or not weighted else weights[rows],
        tables.terms,
        offsets,
        tables.lanes,
        work.posterior[:n_rows],
        totals,
    )
    return np.asarray(totals.sum(axis=0))
