"""One round of Lloyd's algorithm over complete rows, in one pass.

A tile of rows is scored against all centres as a matrix product, in the data's precision:
the nearest has the largest ``y b - |b|^2 / 2`` with y and b relative to a common point.
Where rounding could have swapped two scores the distances themselves decide. Distances
and sums for new centres are in double precision, about the centres.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.products import multiply
from mixmend.kernels.simd import (
    LANES,
    accumulate,
    fma,
    lanes_at_least,
    largest_lane,
    load,
    load_wide,
    lowest_bit,
    scale,
    store,
    sub,
    sum_lanes,
    zeros,
)

_COLUMN_LANES = LANES[4]


class Tables(NamedTuple):
    """Centres in the forms that the kernel reads; dp and Kp are padded d and K.

    ``centers`` (K, d). In the data's precision: ``centre`` (d,), taken off the data,
    ``coefficients`` (dp, Kp), the centers relative to it, and ``terms`` (Kp,), minus half
    their squares, minus infinity beyond K. The length of a row times ``doubt[0]`` plus
    ``doubt[1]`` bounds the difference that rounding can make to two scores.
    """

    centers: Any
    centre: Any
    coefficients: Any
    terms: Any
    doubt: Any


class Rows(NamedTuple):
    """``weights`` (n,) of the rows, or empty; ``labels`` and ``smallest`` (n,) are filled."""

    weights: Any
    labels: Any
    smallest: Any


class Sums(NamedTuple):
    """Sums over rows, per task: ``sizes`` (tasks, K) and weight × (x - center), (tasks, K, d)."""

    sizes: Any
    moves: Any


# These are called for every row. They take flat arrays, as a view counts its references, and
# count in while loops, as an unsigned range divides: either costs more than the arithmetic.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _shift(X: Any, row: Any, centre: Any, d: Any, tile: Any, out: Any) -> None:
    """``tile[out] = X[row] - centre`` for d numbers."""
    step = uint64(len(_COLUMN_LANES))
    whole, j = d - d % step, uint64(0)
    while j < whole:
        x = load(X, row + j, _COLUMN_LANES)
        store(tile, out + j, sub(x, load(centre, j, _COLUMN_LANES)))
        j += step
    for i in range(whole, d):
        tile[out + i] = X[row + i] - centre[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _distance(X: Any, row: Any, centers: Any, center: Any, d: Any) -> Any:
    """Squared distance of the d numbers from ``X[row]`` on to those from ``centers[center]`` on."""
    step = uint64(len(_COLUMN_LANES))
    whole = d - d % step
    sums = zeros(centers, _COLUMN_LANES)
    j = uint64(0)
    while j < whole:
        x = load_wide(X, row + j, _COLUMN_LANES)
        gap = sub(x, load(centers, center + j, _COLUMN_LANES))
        sums = fma(gap, gap, sums)
        j += step
    total = sum_lanes(sums)
    for i in range(whole, d):
        rest = np.float64(X[row + i]) - centers[center + i]
        total += rest * rest
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_move(
    X: Any, row: Any, centers: Any, center: Any, d: Any, weight: float, moves: Any, out: Any
) -> None:
    """``moves += weight * (x - center)`` from ``moves[out]`` on."""
    step = uint64(len(_COLUMN_LANES))
    whole = d - d % step
    j = uint64(0)
    while j < whole:
        x = load_wide(X, row + j, _COLUMN_LANES)
        gap = sub(x, load(centers, center + j, _COLUMN_LANES))
        accumulate(moves, out + j, scale(weight, gap))
        j += step
    for i in range(whole, d):
        moves[out + i] += weight * (np.float64(X[row + i]) - centers[center + i])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leader(scores: Any, begin: Any, width: Any, lanes: Any) -> Any:
    """The place of the largest score, the first of equals, and that score."""
    step = uint64(len(lanes))
    best, q = largest_lane(load(scores, begin, lanes)), step
    while q < width:
        best = max(best, largest_lane(load(scores, begin + q, lanes)))
        q += step
    label, q = width, uint64(0)
    while q < width:
        found = lowest_bit(lanes_at_least(load(scores, begin + q, lanes), best))
        if found < step and label == width:
            label = q + found
        q += step
    return label, best


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _has_rivals(scores: Any, begin: Any, width: Any, floor: float, lanes: Any) -> bool:
    """Whether more than one score is at least ``floor``."""
    step = uint64(len(lanes))
    rivals, q = 0, uint64(0)
    while q < width:
        bits = lanes_at_least(load(scores, begin + q, lanes), floor)
        q += step
        rivals += (bits != uint64(0)) + ((bits & (bits - uint64(1))) != uint64(0))
    return rivals > 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(X: Any, given: Any, tables: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, lanes, tile_rows = (tokens[0], tokens[1]), tokens[1], tokens[2]
    n, d = len(X), uint64(X.shape[1])
    columns, n_scores = tables.coefficients.shape
    n_tasks, n_clusters = len(sums.sizes), uint64(len(tables.centers))
    tile = np.zeros((tile_rows, columns), tables.centre.dtype)
    scores = np.zeros((tile_rows, n_scores), tables.centre.dtype)
    flat, flat_scores, width = X.reshape(-1), scores.reshape(-1), uint64(n_scores)
    flat_tile, centre, terms = tile.reshape(-1), tables.centre, tables.terms
    centers, sizes, moves = tables.centers.reshape(-1), sums.sizes, sums.moves[task].reshape(-1)
    weights, labels, smallest = given.weights, given.labels, given.smallest
    slope, constant = tables.doubt[0], tables.doubt[1]
    n_tiles = (n + tile_rows - 1) // tile_rows
    for t in range(task * n_tiles // n_tasks, (task + 1) * n_tiles // n_tasks):
        first = t * tile_rows
        n_rows = min(tile_rows, n - first)
        for r in range(uint64(n_rows)):
            _shift(flat, (uint64(first) + r) * d, centre, d, flat_tile, r * d)
            for k in range(width):
                flat_scores[r * width + k] = terms[k]
        multiply(tile, (1, columns), tables.coefficients, scores, columns, shape, 0)
        for r in range(uint64(n_rows)):
            u, begin = uint64(first) + r, r * width
            row = u * d
            label, best = _leader(flat_scores, begin, width, lanes)
            least = _distance(flat, row, centers, label * d, d)
            floor = best - (slope * least + constant)
            if _has_rivals(flat_scores, begin, width, floor, lanes):
                for i in range(n_clusters):
                    other = n_clusters - uint64(1) - i  # the first of equals comes last
                    if flat_scores[begin + other] >= floor:
                        distance = _distance(flat, row, centers, other * d, d)
                        if distance <= least:
                            least, label = distance, other
            weight = weights[u] if len(weights) > 0 else 1.0
            _add_move(flat, row, centers, label * d, d, weight, moves, label * d)
            sizes[task, label] += weight
            labels[u] = np.int64(label)
            smallest[u] = least


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def round_of(
    X: Any, rows: Any, tables: Any, sums: Any, row_token: Any, lanes: Any, tile_rows: int
) -> None:
    """Nearest centers of complete rows, squared distances to them, and sums for new centers.

    ``row_token`` and ``lanes`` are `mixmend.kernels.products.block_shape`'s for K and the
    data's precision.
    """
    for task in prange(len(sums.sizes)):
        _work_on(X, rows, tables, sums, (row_token, lanes, tile_rows), np.int64(task))
