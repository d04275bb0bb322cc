"""Lloyd's algorithm on rows with holes, as plain functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels import kmeans as kernels
from mixmend.kernels import lloyd
from mixmend.kernels.products import block_shape, padded_columns
from mixmend.kernels.simd import LANES
from mixmend.kernels.spherical import squared_distances
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.spherical_e_step import Array, lane_count, table

_TILE_BYTES = 1 << 17
_SUMS_BYTES = 1 << 26
_MOST_TASKS = 32
_LEAST_TASKS = 2


class Clustering(NamedTuple):
    """One run of K-means.

    Attributes
    ----------
    centers : ndarray, shape (K, d)
        Means of the observed values of each cluster's rows.
    labels : ndarray of int64, shape (n,)
        Nearest centre of each row.
    distortion : float
        Sum over rows of the squared distance to their centre, over observed coordinates.
    history : tuple of float
        Distortion of the start and after each round.
    converged : bool
        Whether the tolerance was reached.
    """

    centers: Array
    labels: NDArray[np.int64]
    distortion: float
    history: tuple[float, ...]
    converged: bool


def assign(centers: Array, block: Block) -> tuple[NDArray[np.int64], Array, Array]:
    """Nearest centre of each row over the coordinates that the row observes.

    Returns labels (n,), squared distances to the nearest centre (n,) and to all (n, K).
    """
    means = table(centers, block.by_row.values.dtype)
    n = block.observed.shape[0]
    distances = np.empty((n, means.shape[1]))
    lanes = LANES[lane_count(len(centers))]
    labels, smallest = np.empty(n, np.int64), np.empty(n)
    with threads_for(block.observed.n_observed * means.shape[1]):
        squared_distances(block.by_row, 0, means, None, lanes, distances, None)
        kernels.nearest(distances, len(centers), labels, smallest)
    return labels, smallest, distances[:, : len(centers)]


def update(centers: Array, labels: NDArray[np.int64], block: Block) -> tuple[Array, Array]:
    """Means of the observed values per cluster, and the weight of rows behind each (d, K).

    Where no row of a cluster observes a column, the centre keeps its value.
    """
    d = block.observed.shape[1]
    support, moves = np.zeros((d, len(centers))), np.zeros((d, len(centers)))
    old = np.ascontiguousarray(centers.T)
    with threads_for(block.observed.n_observed):
        kernels.label_sums(block.observed.by_column, labels, block.row_weights, old, support, moves)
    step = np.divide(moves, support, out=np.zeros_like(moves), where=support > 0)
    return (old + step).T, support


def cluster(
    start: Array, block: Block, *, tol: float, max_iter: int, relocate: bool = True
) -> Clustering:
    """Lloyd's algorithm from given centres.

    Parameters
    ----------
    start : ndarray, shape (K, d)
        Centres to begin with.
    block : Block
        The rows.
    tol : float
        Stop when the distortion improves by at most this, in absolute terms.
    max_iter : int
        Most rounds (new centres, new assignment); the start is not one.
    relocate : bool
        Whether a cluster that lost its rows is moved to the row that lies farthest from
        its centre; otherwise it stays where it was.
    """
    centers = start
    history: list[float] = []
    weights = block.row_weights
    converged = False
    labels = np.zeros(block.observed.shape[0], np.int64)
    for turn in range(max_iter + 1):
        labels, smallest, following = _round(centers, block)
        # a row that was moved needs a new centre: such a round is never the last one
        moved = relocate and turn < max_iter
        moved = moved and _fill_empty(labels, smallest, len(centers), block)
        distortion = float(smallest.sum() if weights is None else weights @ smallest)
        converged = not moved and bool(history) and history[-1] - distortion <= tol
        history.append(distortion)
        if converged or turn == max_iter:
            break
        if following is None or moved:
            following, _ = update(centers, labels, block)
        centers = following
    return Clustering(centers, labels, history[-1], tuple(history), converged)


def nearest(centers: Array, block: Block) -> tuple[NDArray[np.int64], Array]:
    """Nearest centre of each row over the coordinates that the row observes.

    Returns labels (n,) and squared distances (n,).
    """
    return _round(centers, block)[:2]


def _round(centers: Array, block: Block) -> tuple[NDArray[np.int64], Array, Array | None]:
    """The same, with the centres' successors where they cost nothing more."""
    if not block.observed.is_complete or block.observed.n_observed == 0:
        return *assign(centers, block)[:2], None
    (n, d), X = block.observed.shape, block.observed.dense
    tables = _product_tables(np.ascontiguousarray(centers), X.dtype)
    tile_rows = int(np.clip(_TILE_BYTES // (len(tables.coefficients) * 8) // 16 * 16, 16, 128))
    most = np.clip(_SUMS_BYTES // tables.centers.nbytes, _LEAST_TASKS, _MOST_TASKS)
    n_tasks = min(int(most), -(-n // tile_rows))
    sums = lloyd.Sums(np.zeros((n_tasks, len(centers))), np.zeros((n_tasks, *centers.shape)))
    weights = np.zeros(0) if block.row_weights is None else block.row_weights
    rows = lloyd.Rows(weights, np.empty(n, np.int64), np.empty(n))
    with threads_for(n * d * len(tables.terms)):
        shape = block_shape(len(centers), X.dtype.itemsize)
        lloyd.round_of(X, rows, tables, sums, *shape, tile_rows)
    sizes, moves = sums.sizes.sum(axis=0)[:, None], sums.moves.sum(axis=0)
    step = np.divide(moves, sizes, out=np.zeros_like(moves), where=sizes > 0)
    return rows.labels, rows.smallest, centers + step


def _product_tables(centers: Array, dtype: np.dtype[Any]) -> lloyd.Tables:
    """Centres as `mixmend.kernels.lloyd` reads them."""
    n_clusters, d = centers.shape
    least = centers.min(axis=0)
    centre = (least + 0.5 * (centers.max(axis=0) - least)).astype(dtype)
    moved = centers - centre
    coefficients = np.zeros((d, padded_columns(n_clusters, dtype.itemsize)), dtype)
    coefficients[:, :n_clusters] = moved.T
    squares = (moved * moved).sum(axis=1)
    terms = np.full(coefficients.shape[1], -np.inf, dtype)
    terms[:n_clusters] = -0.5 * squares
    # a score is a sum of d + 1 products of numbers that are rounded themselves; the lengths'
    # product is at most half the sum of their squares
    unit = (d + 4) * float(np.finfo(dtype).eps)
    doubt = np.array([2.0 * unit, 6.0 * unit * squares.max()])
    return lloyd.Tables(centers, centre, coefficients, terms, doubt)


def _fill_empty(labels: NDArray[np.int64], smallest: Array, n_clusters: int, block: Block) -> bool:
    """Give each empty cluster the row that is served worst, in place; says whether any was."""
    moved = False
    if block.row_weights is None and np.bincount(labels, minlength=n_clusters).all():
        return False
    weights = np.ones(len(labels)) if block.row_weights is None else block.row_weights
    for k in np.flatnonzero(np.bincount(labels, weights, n_clusters) == 0):
        sizes = np.bincount(labels, weights, n_clusters)
        # only rows whose own cluster keeps another row may move
        candidates = np.where((sizes[labels] > weights) & (weights > 0), smallest, -1.0)
        farthest = int(candidates.argmax())
        if candidates[farthest] > 0:
            labels[farthest] = k
            smallest[farthest] = 0.0
            moved = True
    return moved
