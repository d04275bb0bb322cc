"""The E-step of mixtures with full covariances: from parameters to sums over rows.

The kernels do the arithmetic, `mixmend.kernels.gathered` for rows of common patterns and
`mixmend.kernels.full` for the rest; here parameters are brought into the forms that they
read, and their sums into statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from mixmend.kernels import full as kernels
from mixmend.kernels import gathered
from mixmend.kernels.products import vector_lanes, whole_vectors
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.pattern_rows import Common, Layout, PatternBlock
from mixmend.mixtures.spherical_e_step import Array, lane_count, padded


class Parameters(NamedTuple):
    """Parameters of a mixture with full covariances; K components, d columns.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Mixing weights.
    means : ndarray, shape (K, d)
        Component means.
    covariances : ndarray, shape (K, d, d)
        Component covariances.
    """

    weights: Array
    means: Array
    covariances: Array


@dataclass(frozen=True, slots=True)
class Statistics:
    """Expected sufficient statistics at some parameters, centred at those parameters' means.

    Attributes
    ----------
    log_likelihood : float
        Log-likelihood of the observed cells at the parameters of the E-step.
    rows : ndarray, shape (K,)
        Sums of the posterior over rows that observe anything.
    first : ndarray, shape (K, d)
        Sums of posterior × expected (x - mean).
    second : ndarray, shape (K, d, d), or (d, d) where summed over components
        Sums of posterior × expected (x - mean)(x - mean)': the conditional covariances of
        what is missing are part of it.
    """

    log_likelihood: float
    rows: Array
    first: Array
    second: Array

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of both sets of rows, taken at the same parameters."""
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.rows + other.rows,
            self.first + other.first,
            self.second + other.second,
        )


class Posterior(NamedTuple):
    """Responsibilities and log densities of rows.

    Attributes
    ----------
    responsibilities : ndarray, shape (n, K)
        Posterior probability of each component; the weights for an empty row.
    log_joint : ndarray, shape (n, K)
        log weight + log density of the observed cells under each component.
    """

    responsibilities: Array
    log_joint: Array


def whitener(covariance: Array) -> Array:
    """The lower-triangular W with ``W' W = inv(covariance)``; of each, where there are several.

    Raises `numpy.linalg.LinAlgError` where one is not positive definite.

    Examples
    --------
    >>> whitener(np.array([np.diag([4.0, 1.0]), np.diag([1.0, 16.0])])).diagonal(0, 1, 2)
    array([[0.5 , 1.  ],
           [1.  , 0.25]])
    """
    factor = np.linalg.cholesky(covariance)
    if factor.ndim == 2:
        return np.asarray(lapack.dtrtri(factor, lower=1)[0])
    for matrix in factor:
        matrix[:] = lapack.dtrtri(matrix, lower=1)[0]
    return np.asarray(factor)


def lanes_of(matrices: Array) -> Array:
    """(K, …) as (…, padded K), the components side by side; padding repeats the last."""
    copies = matrices.take(_lane_owners(len(matrices)), axis=0)
    return np.ascontiguousarray(copies.transpose(*range(1, matrices.ndim), 0))


@cache
def _lane_owners(n_components: int) -> NDArray[np.int64]:
    return np.minimum(np.arange(padded(n_components)), n_components - 1)


def _padded(d: int) -> int:
    """Columns rounded up to whole vectors."""
    return whole_vectors(d, vector_lanes(d))


class _Whitened(NamedTuple):
    """Padded means (K, dp) and transposed whiteners (K, dp, dp); logs, (K,)."""

    means: Array
    whiteners: Array
    log_weights: Array
    log_determinants: Array


def _whitened(parameters: Parameters) -> _Whitened:
    """What both kernels need to know of complete rows."""
    n_components, d = parameters.means.shape
    width = _padded(d)
    means, whiteners = np.zeros((n_components, width)), np.zeros((n_components, width, width))
    means[:, :d] = parameters.means
    whiteners[:, :d, :d] = whitener(parameters.covariances).swapaxes(1, 2)
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    pivots = np.diagonal(whiteners, axis1=1, axis2=2)[:, :d]
    return _Whitened(means, whiteners, log_weights, -2.0 * np.log(pivots).sum(axis=1))


def _tables_of(parameters: Parameters, whole: _Whitened, layout: Layout) -> kernels.Tables:
    """Parameters in the forms that the kernels read (see `mixmend.kernels.full.Tables`)."""
    n_components, d = parameters.means.shape
    upper = whole.whiteners[:, :d, :d]
    terms = np.empty((n_components, 2))
    terms[:, 0], terms[:, 1] = whole.log_weights, whole.log_determinants
    nothing = np.zeros(0)
    return kernels.Tables(
        whole.means,
        whole.whiteners,
        lanes_of(parameters.means).ravel(),
        lanes_of(upper @ upper.swapaxes(1, 2)).ravel() if layout.has_holes else nothing,
        lanes_of(parameters.covariances).ravel() if layout.n_kinds == 2 else nothing,
        lanes_of(terms),
    )


def _empty_sums(tables: kernels.Tables, layout: Layout, with_moments: bool) -> kernels.Sums:
    n_components, width = tables.means.shape
    d, lane_width = layout.values.shape[1], tables.terms.shape[1]
    n_tasks, kinds = len(layout.task_tiles) - 1, layout.n_kinds
    moments = n_tasks if with_moments else 0
    spread = moments if layout.has_holes else 0
    return kernels.Sums(
        np.zeros(n_tasks),
        np.zeros((n_tasks, kinds, n_components)),
        np.zeros((n_tasks, kinds, n_components, width)),
        np.zeros((moments, kinds, n_components, width, width)),
        np.zeros((spread, kinds, d, d, lane_width)),
    )


class _Found(NamedTuple):
    """What the two kernels have summed: None where there are no rows of that kind."""

    rare: kernels.Sums | None
    common: gathered.Sums | None

    @property
    def log_likelihood(self) -> float:
        return float(sum(part.log_likelihood.sum() for part in self if part is not None))


def _run(
    parameters: Parameters, block: PatternBlock, rows: kernels.Rows, with_moments: bool
) -> _Found:
    n_components, d = parameters.means.shape
    vector, rare, common = vector_lanes(d), None, None
    whole = _whitened(parameters)  # raises where a covariance is not positive definite
    if len(block.layout.order):
        tables = _tables_of(parameters, whole, block.layout)
        rare = _empty_sums(tables, block.layout, with_moments)
        lanes = LANES[lane_count(n_components)]
        with threads_for(2 * len(block.layout.order) * n_components * d * d):
            kernels.e_step(tables, block.layout, rows, rare, vector, lanes, LANES[8])
    if len(block.common.order):
        terms = whole.log_weights - 0.5 * (d * kernels.LOG_2PI + whole.log_determinants)
        of_common = gathered.Tables(
            *parameters[1:], whole.log_weights, whole.means, whole.whiteners, terms
        )
        common = _empty_common(of_common, block.common, with_moments)
        with threads_for(2 * len(block.common.order) * n_components * d * d):
            gathered.e_step(of_common, block.common, rows, common, vector, LANES[8])
    return _Found(rare, common)


def _empty_common(tables: gathered.Tables, layout: Common, with_moments: bool) -> gathered.Sums:
    n_components, d = tables.means.shape
    n_tasks, width = len(layout.task_tiles) - 1, _padded(d)
    return gathered.Sums(
        np.zeros(n_tasks),
        np.zeros((n_tasks, n_components)),
        np.zeros((n_tasks, n_components, width)),
        np.zeros((n_tasks if with_moments else 0, n_components, width, width)),
    )


def _row_weights(block: PatternBlock) -> Array:
    return np.zeros(0) if block.row_weights is None else block.row_weights


def e_step(parameters: Parameters, block: PatternBlock) -> Statistics:
    """Expected sufficient statistics of a block of rows."""
    nobody = np.zeros((0, len(parameters.weights)))
    found = _run(parameters, block, kernels.Rows(_row_weights(block), nobody, nobody), True)
    return _statistics(parameters, found, found.log_likelihood)


def statistics_of(shares: Array, parameters: Parameters, block: PatternBlock) -> Statistics:
    """Statistics under given responsibilities (n, K): what an M-step alone needs.

    What is missing is expected under ``parameters``. The log-likelihood of this is not
    defined and given as NaN.
    """
    given = np.ascontiguousarray(shares)
    rows = kernels.Rows(_row_weights(block), given, np.zeros((0, given.shape[1])))
    return _statistics(parameters, _run(parameters, block, rows, True), float("nan"))


def posterior(parameters: Parameters, block: PatternBlock) -> Posterior:
    """Responsibilities and log joint densities of every row of a block."""
    n_components = len(parameters.weights)
    log_joint = np.empty((block.observed.shape[0], n_components))
    with np.errstate(divide="ignore"):
        log_joint[:] = np.log(parameters.weights)  # all there is of a row without cells
    rows = kernels.Rows(np.zeros(0), np.zeros((0, n_components)), log_joint)
    _run(parameters, block, rows, False)
    shares = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return Posterior(shares / shares.sum(axis=1, keepdims=True), log_joint)


def _statistics(parameters: Parameters, found: _Found, log_likelihood: float) -> Statistics:
    n_components, d = parameters.means.shape
    total = Statistics(
        log_likelihood,
        np.zeros(n_components),
        np.zeros((n_components, d)),
        np.zeros((n_components, d, d)),
    )
    if found.common is not None:
        rows, first = found.common.rows.sum(axis=0), found.common.first.sum(axis=0)[:, :d]
        second = mirrored(found.common.second.sum(axis=0)[..., :d, :d])
        total = total + Statistics(0.0, rows, first, second)
    if found.rare is not None:
        total = total + _of_rare(parameters, found.rare)
    return total


def _of_rare(parameters: Parameters, sums: kernels.Sums) -> Statistics:
    """Tasks and kinds of tiles brought together (see `mixmend.kernels.full`)."""
    d = parameters.means.shape[1]
    rows, first = sums.rows.sum(axis=0), sums.first.sum(axis=0)[..., :d]
    lower = sums.second.sum(axis=0)[..., :d, :d]
    if len(sums.spread):
        lower += sums.spread.sum(axis=0).transpose(0, 3, 1, 2)[:, : len(parameters.weights)]
    inner = mirrored(lower)
    moved, second = first[0], inner[0]
    if len(rows) == 2:
        covariances = parameters.covariances
        moved = moved + (covariances @ first[1][..., None])[..., 0]
        second = second + rows[1][:, None, None] * covariances
        second += covariances @ inner[1] @ covariances
    return Statistics(0.0, rows.sum(axis=0), moved, second)


def mirrored(lower: Array) -> Array:
    """Symmetric matrices from their lower triangles; what is above them does not matter."""
    return np.where(_lower(lower.shape[-1]), lower, np.swapaxes(lower, -1, -2))


@cache
def _lower(d: int) -> NDArray[np.bool_]:
    return np.tri(d, dtype=bool)


__all__ = [
    "Parameters",
    "Posterior",
    "Statistics",
    "e_step",
    "mirrored",
    "posterior",
    "statistics_of",
    "whitener",
]
