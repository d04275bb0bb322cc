"""Sums over complete rows for densities whose columns are independent given the component.

Diagonal and spherical mixtures share one kernel there (`mixmend.kernels.dense`), which works
with matrix products about a centre that all components share. Products cancel where means
lie many standard deviations from that centre; `suits` says where they do not matter.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from mixmend.em.block import Block
from mixmend.kernels import dense as kernels
from mixmend.kernels.full import Rows
from mixmend.kernels.products import block_shape, padded_columns
from mixmend.kernels.shares import NEGLIGIBLE
from mixmend.kernels.threads import threads_for

Array: TypeAlias = NDArray[np.float64]

MOST_SPREAD = 1e5
"""Largest squared distance, in variances, of a mean from the common centre: products then
cost 5 of the 16 digits of a variance, and nothing that EM's rise could notice."""

MOST_COLUMNS = 1024
"""With more columns a tile of rows leaves the cache."""

_TILE_BYTES = 1 << 17
_SUMS_BYTES = 1 << 28
_MOST_TASKS = 32
_LEAST_TASKS = 2


class Columns(NamedTuple):
    """Parameters of a mixture with independent columns, as its log density is made of them.

    The log joint density of row x and component k is
    ``log_terms[k] - sum_i precisions[k, i] (x_i - means[k, i])^2 / 2``.

    Attributes
    ----------
    log_terms : ndarray, shape (K,)
    means : ndarray, shape (K, d)
    precisions : ndarray, shape (K, d), or (K, 1) where all columns have the same
    """

    log_terms: Array
    means: Array
    precisions: Array

    @property
    def alike(self) -> bool:
        """Whether every component has one precision for all columns."""
        return self.precisions.shape != self.means.shape

    @property
    def centre(self) -> Array:
        """Halfway between the outermost means of each column, shape (d,)."""
        least = self.means.min(axis=0)
        return np.asarray(least + 0.5 * (self.means.max(axis=0) - least))


def log_scales_of(variances: Array, given: Array | None) -> Array:
    """Logarithms of the variances, or what a variational step puts in their place."""
    return np.log(variances) if given is None else given


class Moments(NamedTuple):
    """Sums over rows, about the components' means.

    Attributes
    ----------
    log_likelihood : float
        Weighted sum of the rows' log densities; 0 under given responsibilities.
    rows : ndarray, shape (K,)
        Responsibilities.
    first : ndarray, shape (d, K)
        Responsibility × (x - mean).
    second : ndarray, shape (d, K), or (1, K) summed over columns that are alike
        Responsibility × (x - mean)^2.
    """

    log_likelihood: float
    rows: Array
    first: Array
    second: Array


def suits(columns: Columns, block: Block) -> bool:
    """Whether the rows are complete and matrix products exact enough for these parameters."""
    gaps = columns.means - columns.centre
    spread = (columns.precisions * gaps**2).max(initial=0.0)
    return _is_dense(block) and bool(spread <= MOST_SPREAD)


def suits_given_shares(columns: Columns, block: Block) -> bool:
    """The same where responsibilities are given, which need not fit the variances.

    Nothing cancels where all components have the same means, as they do in starts.
    """
    return _is_dense(block) and bool((columns.means == columns.means[0]).all())


def _is_dense(block: Block) -> bool:
    n, d = block.observed.shape
    return n > 0 and 0 < d <= MOST_COLUMNS and block.observed.is_complete


def moments(columns: Columns, block: Block, shares: Array | None = None) -> Moments:
    """Sums over a block under the parameters' responsibilities, or under given ones (n, K)."""
    n_components, d = columns.means.shape
    nobody = np.zeros((0, n_components))
    weights = block.row_weights
    given = nobody if shares is None else np.ascontiguousarray(shares)
    sums = _run(columns, block, Rows(_or_nobody(weights), given, nobody), True)
    if shares is None:
        rows = sums.rows.sum(axis=0)[:n_components]
    else:
        rows = shares.sum(axis=0) if weights is None else weights @ shares
    # lanes beyond K hold what was in memory
    total = sums.moments[:, :, :n_components].sum(axis=0)
    gaps = (columns.means - columns.centre).T
    first, moved = total[:d], gaps * (gaps * rows - 2.0 * total[:d])
    if columns.alike:
        second = total[_half(columns)][None, :] + moved.sum(axis=0, keepdims=True)
    else:
        second = total[_half(columns) :][:d] + moved
    # rounding must not make a sum of squares negative
    positive = np.maximum(second, 0.0)
    return Moments(float(sums.log_likelihood.sum()), rows, first - gaps * rows, positive)


def posterior(columns: Columns, block: Block) -> tuple[Array, Array]:
    """Responsibilities, and log weight plus log density of every row; each (n, K)."""
    n_components = len(columns.means)
    out = np.empty((block.observed.shape[0], n_components))
    _run(columns, block, Rows(np.zeros(0), np.zeros((0, n_components)), out), False)
    shares = np.exp(out - logsumexp(out, axis=1, keepdims=True))
    shares[shares < np.exp(NEGLIGIBLE)] = 0.0
    return shares, out


def _or_nobody(weights: Array | None) -> Array:
    return np.zeros(0) if weights is None else weights


def _half(columns: Columns) -> int:
    """Columns rounded up to whole blocks: where a tile's squares begin."""
    n_components, d = columns.means.shape
    step = len(block_shape(n_components)[0])
    return int(-(-d // step) * step)


def _run(columns: Columns, block: Block, rows: Rows, with_moments: bool) -> kernels.Sums:
    n_components, d = columns.means.shape
    row_token, lanes = block_shape(n_components)
    half, width = _half(columns), padded_columns(n_components)
    centre = columns.centre
    gaps = columns.means - centre
    depth = half + len(row_token) if columns.alike else 2 * half
    coefficients = np.zeros((depth, width))
    coefficients[:d, :n_components] = (columns.precisions * gaps).T
    squares = columns.precisions.shape[1]
    coefficients[half : half + squares, :n_components] = -0.5 * columns.precisions.T
    terms = np.full(width, -np.inf)  # lanes beyond K get no share
    terms[:n_components] = columns.log_terms - 0.5 * (columns.precisions * gaps**2).sum(axis=1)
    n = block.observed.shape[0]
    tile_rows = int(np.clip(_TILE_BYTES // (8 * depth) // 16 * 16, 16, 128))
    most = int(np.clip(_SUMS_BYTES // coefficients.nbytes, _LEAST_TASKS, _MOST_TASKS))
    n_tasks = min(most, -(-n // tile_rows))
    sums = kernels.Sums(
        np.zeros(n_tasks),
        np.zeros((n_tasks, width)),
        np.zeros((n_tasks if with_moments else 0, depth, width)),
    )
    tables = kernels.Tables(half, int(columns.alike), centre, coefficients, terms)
    with threads_for(2 * n * depth * width):
        kernels.e_step(block.observed.dense, tables, rows, sums, row_token, lanes, tile_rows)
    return sums
