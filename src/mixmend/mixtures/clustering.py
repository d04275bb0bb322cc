"""Lloyd's algorithm on rows with holes, as plain functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels import kmeans as kernels
from mixmend.kernels.simd import LANES
from mixmend.kernels.spherical import squared_distances
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.lloyd import CompleteRows
from mixmend.mixtures.spherical_e_step import Array, lane_count, table


class Clustering(NamedTuple):
    """One run of K-means.

    Attributes
    ----------
    centers : ndarray, shape (K, d)
        Means of the observed values of each cluster's rows.
    labels : ndarray of int64, shape (n,)
        Nearest centre of each row.
    smallest : ndarray, shape (n,)
        Squared distance of each row to its centre, over observed coordinates.
    distortion : float
        Sum over rows of the squared distance to their centre, over observed coordinates.
    history : tuple of float
        Distortion of the start and after each round.
    converged : bool
        Whether the tolerance was reached.
    """

    centers: Array
    labels: NDArray[np.int64]
    smallest: Array
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
    converged = False
    rows = _rows_of(block)
    for turn in range(max_iter + 1):
        distortion = rows.assign(centers)
        # a row that was moved needs a new centre: such a round is never the last one
        moved = relocate and turn < max_iter and not rows.sizes.all()
        if moved:
            labels, smallest = rows.labels.copy(), rows.smallest()
            moved = _fill_empty(labels, smallest, len(centers), block)
            if moved:
                rows.relabel(labels)
                distortion = _total(smallest, block)
        converged = not moved and bool(history) and history[-1] - distortion <= tol
        history.append(distortion)
        if converged or turn == max_iter:
            break
        centers = rows.following()
    smallest = rows.smallest()
    history[-1] = _total(smallest, block)
    return Clustering(centers, rows.labels, smallest, history[-1], tuple(history), converged)


def nearest(centers: Array, block: Block) -> tuple[NDArray[np.int64], Array]:
    """Nearest centre of each row over the coordinates that the row observes.

    Returns labels (n,) and squared distances (n,).
    """
    rows = _rows_of(block)
    return rows.nearest(centers) if isinstance(rows, CompleteRows) else assign(centers, block)[:2]


class _ObservedRows:
    """What `CompleteRows` does, for rows with holes; nothing is kept from round to round."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def assign(self, centers: Array) -> float:
        self._centers = centers
        self.labels, self._smallest, _ = assign(centers, self._block)
        return _total(self._smallest, self._block)

    @property
    def sizes(self) -> Array:
        n_clusters = len(self._centers)
        return np.bincount(self.labels, self._block.row_weights, n_clusters).astype(np.float64)

    def following(self) -> Array:
        return update(self._centers, self.labels, self._block)[0]

    def smallest(self) -> Array:
        return self._smallest

    def relabel(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels


def _rows_of(block: Block) -> CompleteRows | _ObservedRows:
    if block.observed.is_complete and block.observed.n_observed > 0:
        return CompleteRows(block)
    return _ObservedRows(block)


def _total(smallest: Array, block: Block) -> float:
    weights = block.row_weights
    return float(smallest.sum() if weights is None else weights @ smallest)


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
