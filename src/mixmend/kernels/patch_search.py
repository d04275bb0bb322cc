"""The most likely component of every patch of a picture, and its Wiener estimate.

Patches are taken 64 at a time along a row of the picture, side by side in vector registers,
and turned into a basis in which their distances from a component,

    cost_k + |W_k (y - mu_k)|^2      (W lower triangular: W' W is a precision matrix),

are summed from the coordinates that tell components apart to those that do not. Each term is
positive, so a component is left as soon as none of the 64 patches can still come to prefer
it: the search is exact, and cheap. It begins with the components that the patches, or their
neighbours, preferred before. Cheaper still, W may be a triangle over the first coordinates
and a diagonal over the others, which come first, as they take one multiplication each.

Bands of rows are worked on side by side; each adds into sums of its own, because patches of
neighbouring bands overlap.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.products import add_outer, add_squares_by_lane, any_below
from mixmend.kernels.simd import LANES, fma_scaled, load, store

TILE = 64
"""Patches side by side."""

_CHECKED = 8
"""A component is given up, if it can be, after every so many coordinates."""

_ACROSS = LANES[32]


class Tables(NamedTuple):
    """Components as the kernel reads them; q coordinates, d pixels, qp = q in whole blocks of 4.

    Distances take the first r coordinates as correlated, rp in whole blocks, and the others as
    independent; estimates are those of the whole covariances.

    Attributes
    ----------
    basis : ndarray, shape (d, qp)
        Orthonormal columns; zeros beyond q.
    whiteners : ndarray, shape (K, rp + 1, rp)
        Entry [k, 0] is ``-W mu``, [k, 1 + t, i] is ``W[i, t]``.
    costs : ndarray, shape (K,)
        What the distance is added to: least is best.
    rank : int
        r, at most q.
    centre : ndarray, shape (q - r,)
        Of the other coordinates.
    tails : ndarray, shape (K, q - r)
        The components' precisions about the centre along these.
    gains, offsets : ndarray, shape (K, q, d) and (K, d)
        The estimate of patch y is ``gains' y + offsets``, in pixels.
    remove_mean : int
        1: the patch's mean is taken off first and added to the estimate.
    """

    basis: Any
    whiteners: Any
    costs: Any
    rank: int
    centre: Any
    tails: Any
    gains: Any
    offsets: Any
    remove_mean: int


class Grid(NamedTuple):
    """Corners of the patches at ``rows`` × ``columns``; ``size`` is their side."""

    rows: Any
    columns: Any
    size: int


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gather(picture: Any, row: int, columns: Any, first: int, size: int, raw: Any) -> None:
    """Pixels of a tile, (d, 64); lanes beyond the last patch repeat it."""
    last = len(columns) - 1
    whole_tile = first + TILE <= last + 1 and columns[first + TILE - 1] == columns[first] + TILE - 1
    for i in range(size):
        for j in range(size):
            t = uint64(i * size + j)
            if whole_tile:
                at = columns[first] + j
                for lane in range(uint64(TILE)):
                    raw[t, lane] = picture[row + i, uint64(at) + lane]
            else:
                for lane in range(TILE):
                    raw[t, lane] = picture[row + i, columns[min(first + lane, last)] + j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def take_mean(raw: Any, mean: Any) -> None:
    """Take each patch's mean off a tile."""
    mean[:] = 0.0
    for t in range(uint64(raw.shape[0])):
        for lane in range(uint64(TILE)):
            mean[lane] += raw[t, lane]
    scale = mean.dtype.type(1.0 / raw.shape[0])
    for lane in range(uint64(TILE)):
        mean[lane] *= scale
    for t in range(uint64(raw.shape[0])):
        for lane in range(uint64(TILE)):
            raw[t, lane] -= mean[lane]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def turn(basis: Any, raw: Any, y: Any, tokens: Any) -> None:
    """Coordinates of a tile, behind a line of ones."""
    rows, lanes = tokens
    d, width = basis.shape
    y[:] = 0.0
    y[0] = 1.0
    flat_basis, flat_raw, flat = basis.reshape(-1), raw.reshape(-1), y.reshape(-1)
    for i in range(0, width, len(rows)):
        for lane in range(0, TILE, len(lanes)):
            add_outer(
                flat_basis, uint64(i), uint64(width), uint64(1),
                flat_raw, uint64(lane), uint64(TILE), uint64(d),
                flat, uint64((1 + i) * TILE + lane), uint64(TILE), rows, lanes,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def square_rest(tables: Any, y: Any) -> None:
    """Squares about the centre of the coordinates beyond the first r, below all coordinates."""
    first = uint64(1 + tables.basis.shape[1])
    for t in range(uint64(len(tables.centre))):
        for lane in range(uint64(TILE)):
            gap = y[uint64(1 + tables.rank) + t, lane] - tables.centre[t]
            y[first + t, lane] = gap * gap


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_tail(tail: Any, y: Any, first: int, distance: Any) -> None:
    """Add a component's distances along the coordinates beyond the first r."""
    flat = y.reshape(-1)
    for lane in range(0, TILE, len(_ACROSS)):
        total = load(distance, uint64(lane), _ACROSS)
        for t in range(uint64(len(tail))):
            at = (uint64(first) + t) * uint64(TILE) + uint64(lane)
            total = fma_scaled(tail[t], load(flat, at, _ACROSS), total)
        store(distance, uint64(lane), total)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def distances(tables: Any, k: int, y: Any, limit: Any, distance: Any, tokens: Any) -> bool:
    """A component's cost and distances; False where it was given up.

    It is, once no lane's distance is below its ``limit``.
    """
    rows, lanes = tokens
    distance[:] = tables.costs[k]
    _add_tail(tables.tails[k], y, 1 + tables.basis.shape[1], distance)
    whitener = tables.whiteners[k]
    width = whitener.shape[1]
    flat_w, flat_y = whitener.reshape(-1), y.reshape(-1)
    for i in range(0, width, len(rows)):
        if i % _CHECKED == 0:
            hopeful = False
            for lane in range(0, TILE, len(lanes)):
                hopeful |= any_below(distance, uint64(lane), limit, uint64(lane), lanes)
            if not hopeful:
                return False
        for lane in range(0, TILE, len(lanes)):
            add_squares_by_lane(
                flat_w, uint64(i), uint64(width), uint64(1),
                flat_y, uint64(lane), uint64(TILE), uint64(1 + i + len(rows)),
                distance, uint64(lane), rows, lanes,
            )  # fmt: skip
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _try(k: int, tables: Any, y: Any, best: Any, winner: Any, distance: Any, tokens: Any) -> None:
    if distances(tables, k, y, best, distance, tokens):
        for lane in range(uint64(TILE)):
            if distance[lane] < best[lane]:
                best[lane] = distance[lane]
                winner[lane] = k


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(
    tables: Any, y: Any, guess: Any, best: Any, winner: Any, distance: Any, tried: Any, tokens: Any
) -> None:
    """Winners of a tile; ``guess`` (64,) names components to try first, -1 none."""
    tried[:] = False
    search_among(tables, y, guess, best, winner, distance, tried, tokens)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def search_among(
    tables: Any, y: Any, guess: Any, best: Any, winner: Any, distance: Any, tried: Any, tokens: Any
) -> None:
    """The same among the components that are not said to be ``tried`` (K,)."""
    best[:] = np.inf
    winner[:] = 0
    for lane in range(TILE):
        k = guess[lane]
        if k >= 0 and not tried[k]:
            tried[k] = True
            _try(k, tables, y, best, winner, distance, tokens)
    for k in range(len(tables.costs)):
        if not tried[k]:
            _try(k, tables, y, best, winner, distance, tokens)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _log_densities(tables: Any, y: Any, best: Any, distance: Any, total: Any, tokens: Any) -> None:
    """``log sum_k exp(-distance_k / 2)`` of a tile, terms below exp(-20) of the best left out."""
    limit = best + best.dtype.type(40.0)
    total[:] = 0.0
    for k in range(len(tables.costs)):
        if distances(tables, k, y, limit, distance, tokens):
            for lane in range(TILE):
                total[lane] += math.exp(-0.5 * (float(distance[lane]) - float(best[lane])))
    for lane in range(TILE):
        total[lane] = math.log(total[lane]) - 0.5 * float(best[lane])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _estimate(tables: Any, k: int, y: Any, lane: int, mean: Any, estimate: Any) -> None:
    """The Wiener estimate of one patch of a tile, in pixels."""
    q, d = tables.gains.shape[1:]
    for pixel in range(uint64(d)):
        estimate[pixel] = tables.offsets[k, pixel] + mean
    for t in range(uint64(q)):
        value = y[uint64(1) + t, lane]
        for pixel in range(uint64(d)):
            estimate[pixel] += value * tables.gains[k, t, pixel]


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def estimate_patches(
    picture: Any,
    grid: Any,
    tables: Any,
    winners: Any,
    band: int,
    found: bool,
    sums: Any,
    rows: Any,
    lanes: Any,
) -> None:
    """Sums of the estimates of all patches, per band of ``band`` rows of the grid.

    ``winners`` (rows, columns) holds guesses, -1 for none, and afterwards the most likely
    components, or these already if they are ``found``. ``sums`` (bands, height, width) begins,
    for each band, at its first row.
    """
    n_rows, n_columns = winners.shape
    d = grid.size * grid.size
    for b in prange(sums.shape[0]):
        tokens = rows, lanes
        raw = np.empty((d, TILE), picture.dtype)
        y = np.empty((1 + tables.basis.shape[1] + len(tables.centre), TILE), picture.dtype)
        mean, estimate = np.zeros(TILE, picture.dtype), np.empty(d, picture.dtype)
        best, distance = np.empty(TILE, picture.dtype), np.empty(TILE, picture.dtype)
        winner, guess = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
        tried = np.empty(len(tables.costs), np.bool_)
        top = grid.rows[b * band]
        for a in range(b * band, min(n_rows, (b + 1) * band)):
            for first in range(0, n_columns, TILE):
                count = min(TILE, n_columns - first)
                gather(picture, grid.rows[a], grid.columns, first, grid.size, raw)
                if tables.remove_mean:
                    take_mean(raw, mean)
                turn(tables.basis, raw, y, tokens)
                for lane in range(count):
                    winner[lane] = winners[a, first + lane]
                if not found:
                    square_rest(tables, y)
                    guess[:] = -1
                    for lane in range(count):
                        guess[lane] = winner[lane]
                        if guess[lane] < 0 and a > b * band:
                            guess[lane] = winners[a - 1, first + lane]
                    _search(tables, y, guess, best, winner, distance, tried, tokens)
                for lane in range(count):
                    winners[a, first + lane] = winner[lane]
                    _estimate(tables, winner[lane], y, lane, mean[lane], estimate)
                    left = grid.columns[first + lane]
                    for i in range(grid.size):
                        for j in range(grid.size):
                            sums[b, grid.rows[a] - top + i, left + j] += estimate[i * grid.size + j]


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def log_densities(
    picture: Any, grid: Any, tables: Any, winners: Any, out: Any, rows: Any, lanes: Any
) -> None:
    """The sum over each row of the grid of its patches' log densities, ``out`` (rows,)."""
    d, n_columns = grid.size * grid.size, len(grid.columns)
    for a in prange(len(grid.rows)):
        tokens = rows, lanes
        raw = np.empty((d, TILE), picture.dtype)
        y = np.empty((1 + tables.basis.shape[1] + len(tables.centre), TILE), picture.dtype)
        mean, total = np.zeros(TILE, picture.dtype), np.empty(TILE)
        best, distance = np.empty(TILE, picture.dtype), np.empty(TILE, picture.dtype)
        winner, guess = np.empty(TILE, np.int32), np.full(TILE, -1, np.int32)
        tried = np.empty(len(tables.costs), np.bool_)
        out[a] = 0.0
        for first in range(0, n_columns, TILE):
            count = min(TILE, n_columns - first)
            gather(picture, grid.rows[a], grid.columns, first, grid.size, raw)
            if tables.remove_mean:
                take_mean(raw, mean)
            turn(tables.basis, raw, y, tokens)
            square_rest(tables, y)
            guess[:count] = winners[a, first : first + count]
            _search(tables, y, guess, best, winner, distance, tried, tokens)
            _log_densities(tables, y, best, distance, total, tokens)
            for lane in range(count):
                out[a] += total[lane]


@numba.njit(cache=True, nogil=True)
def add_of_winners(values: Any, grid: Any, winners: Any, total: Any) -> None:
    """Add ``values`` (K, d) of each patch's component to ``total`` where the patch lies."""
    for a in range(len(grid.rows)):
        for b in range(len(grid.columns)):
            k = winners[a, b]
            for i in range(grid.size):
                for j in range(grid.size):
                    place = grid.rows[a] + i, grid.columns[b] + j
                    total[place] += values[k, i * grid.size + j]
