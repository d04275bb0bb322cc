"""Where EM begins. All starts see only observed cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels.simd import LANES
from mixmend.kernels.spherical import squared_distances
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.clustering import cluster
from mixmend.mixtures.spherical_e_step import (
    Array,
    Parameters,
    lane_count,
    posterior,
    statistics_of,
    table,
)
from mixmend.observed.matrix import ObservedMatrix

_KMEANS_ROUNDS = 100
"""Rounds after which clusters are good enough to begin EM with."""


def pooled(block: Block, centre: Array) -> Parameters:
    """One component at ``centre`` (d,) with the variance of the observed cells around it."""
    parameters = Parameters(np.ones(1), np.asfortranarray(centre[None, :]), np.ones(1))
    weights = np.ones((block.observed.shape[0], 1))
    statistics = statistics_of(weights, parameters, block)
    variance = statistics.residuals / np.maximum(statistics.cells, 1.0)
    return parameters._replace(variances=np.where(variance > 0, variance, 1.0))


def grand_mean(obs: ObservedMatrix) -> float:
    """Weighted mean of all observed cells."""
    values = obs.by_row.values.astype(np.float64, copy=False)
    if obs.row_weights is None:
        return float(values.mean()) if len(values) else 0.0
    return float(np.average(values, weights=np.repeat(obs.row_weights, obs.row_counts)))


def column_means(obs: ObservedMatrix) -> Array:
    """Mean of the observed values of each column; the grand mean where there is none."""
    if obs.is_complete and obs.n_observed > 0:
        grand = float(obs.dense.mean(dtype=np.float64))
        return np.asarray(grand + np.subtract(obs.dense, grand, dtype=np.float64).mean(axis=0))
    values = obs.by_row.values.astype(np.float64, copy=False)
    grand = float(values.mean()) if len(values) else 0.0
    sums = np.bincount(obs.by_row.indices, values - grand, obs.shape[1])
    return np.asarray(grand + sums / np.maximum(obs.column_counts, 1))


def column_scales(obs: ObservedMatrix) -> Array:
    """Standard deviation of the observed values of each column; 1 where it is 0."""
    columns = obs.by_row.indices
    gaps = obs.by_row.values.astype(np.float64, copy=False) - column_means(obs)[columns]
    squares = np.bincount(columns, gaps * gaps, obs.shape[1])
    scales = np.sqrt(squares / np.maximum(obs.column_counts, 1))
    return np.asarray(np.where(scales > 0, scales, 1.0))


def random_responsibilities(n: int, n_components: int, rng: np.random.Generator) -> Array:
    """Uniform random responsibilities, each row summing to 1 (as scikit-learn's "random")."""
    weights = rng.random((n, n_components)) + 1e-12
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def seeded_responsibilities(
    block: Block,
    base: Parameters,
    n_components: int,
    rng: np.random.Generator,
    init: str = "k-means++",
) -> Array:
    """Rows given whole to one of K groups: around picked rows, or the clusters of K-means.

    Parameters
    ----------
    block : Block
        The rows.
    base : Parameters
        One component fitted to them, as `seeded_rows` needs it.
    n_components : int
        K.
    rng : Generator
        Draws the rows.
    init : {"k-means++", "random_from_data", "kmeans"}
        The nearest of K rows that k-means++ picks; of K rows picked evenly; the clusters of
        K-means over observed cells, which starts from k-means++.

    Returns
    -------
    ndarray, shape (n, K)
        Rows without any observed cell are shared among all components.
    """
    picked, owner = seeded_rows(block, base, n_components, rng, init != "random_from_data")
    if init == "kmeans":
        owner = _clustered(block, base, picked)
    responsibilities = np.zeros((len(owner), n_components))
    responsibilities[np.arange(len(owner)), owner] = 1.0
    responsibilities[block.counts == 0] = 1.0 / n_components
    return responsibilities


def _clustered(block: Block, base: Parameters, picked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters of the rows, offsets taken out, by K-means from picked rows."""
    offsets = posterior(base, block).offsets[:, 0]
    if offsets.any():
        view, rows = block.by_row, block.observed.entry_rows
        block = Block(block.observed.with_values(view.values - offsets[rows]))
        offsets = np.zeros_like(offsets)
    centers = np.stack([_filled_row(block, base, offsets, int(u)) for u in picked])
    return cluster(np.asfortranarray(centers), block, tol=0.0, max_iter=_KMEANS_ROUNDS).labels


def seeded_rows(
    block: Block,
    base: Parameters,
    n_components: int,
    rng: np.random.Generator,
    spread: bool = True,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pick K rows by k-means++ (Arthur & Vassilvitskii 2007) over observed cells.

    The distance of a row to a picked row is taken over the cells that the row observes,
    averaged per cell, with the picked row's holes filled by its expectation under ``base``
    (one component): a cell that nobody saw adds nothing. Where ``base`` has row offsets
    they are taken out of both rows. Rows without any observed cell are never picked while
    others are left. Without ``spread`` every row has the same chance (by its weight).

    Returns
    -------
    picked : ndarray of int64, shape (K,)
    owner : ndarray of int64, shape (n,)
        Which of the picked rows is nearest to each row.
    """
    n = block.observed.shape[0]
    draw = (block.counts > 0).astype(float)
    if block.row_weights is not None:
        draw = draw * block.row_weights
    offsets = posterior(base, block).offsets[:, 0]
    nearest = np.full(n, np.inf)
    owner = np.zeros(n, np.int64)
    picked = np.empty(n_components, np.int64)
    mass = draw
    for k in range(n_components):
        # with fewer distinct rows than components, the rest are drawn like the first
        mass = mass if mass.sum() > 0 else draw if draw.sum() > 0 else np.ones(n)
        picked[k] = rng.choice(n, p=mass / mass.sum())
        distance = _mean_distances(block, _filled_row(block, base, offsets, picked[k]), offsets)
        owner[distance < nearest] = k
        nearest = np.minimum(nearest, distance)
        # a row at distance 0 is a picked one, or its equal
        mass = draw * (nearest if spread else nearest > 0)
    return picked, owner


def _filled_row(block: Block, base: Parameters, offsets: Array, row: int) -> Array:
    """A row without its offset, its holes filled by their expectation, shape (d,)."""
    columns, values = block.observed.row(int(row))
    filled = base.means[0].copy()
    filled[columns] = values - offsets[row]
    return np.asarray(filled)


def _mean_distances(block: Block, centre: Array, offsets: Array) -> Array:
    """Mean squared distance per observed cell of every row to ``centre``, shape (n,)."""
    view = block.by_row
    means = table(np.asfortranarray(centre[None, :]), view.values.dtype)
    shape = (len(offsets), means.shape[1])
    distances, sums = np.empty(shape), np.empty(shape)
    with threads_for(block.observed.n_observed * means.shape[1]):
        squared_distances(view, 0, means, None, LANES[lane_count(1)], distances, sums)
    counts = np.maximum(block.counts, 1)
    total = distances[:, 0] - 2.0 * offsets * sums[:, 0] + counts * offsets**2
    return np.asarray(np.maximum(total, 0.0) / counts)
