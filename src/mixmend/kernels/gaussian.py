"""Distances of a tile's rows from a component's mean, and moments about it, in registers.

Distances want the rows side by side: a strip of them lies along vector lanes, whitened
coordinates are formed a few at a time and squared on the spot, and nothing is summed across
lanes. Moments want the columns side by side; each residual is scaled with the root of its
row's responsibility, so that an outer product of one array with itself is all that is left.
Both leave out what lies above the diagonal, block by block.

A strip is (dp, lanes): line j holds column j of its rows. ``shape`` is always `shape_of`'s.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import uint64

from mixmend.kernels.products import add_outer, add_whitened_squares
from mixmend.kernels.simd import LANES, fma_scaled, load, scale, store, store_transposed, sub

_ROWS = LANES[4]
"""Rows of a block. Four times three vectors keep two units for multiply-adds busy until a sum
comes back, and leave registers for what is multiplied."""


class Room(NamedTuple):
    """One task's arrays for what is made of a tile and one component."""

    residuals: Any  # (dp * lanes,): of a strip
    squares: Any  # (lanes,)
    scaled: Any  # (rows, dp): residuals times the roots of the rows' responsibilities
    roots: Any  # (rows,)
    chosen: Any  # (rows,): which rows have a share of the component


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shape_of(vector: Any) -> Any:
    """Tokens of a block's rows, and of one to four vectors; a strip is three vectors wide.

    ``vector`` is `mixmend.kernels.products.vector_lanes`'s. It travels alone, as parallel
    kernels take no tuples of tuples.
    """
    return (
        _ROWS,
        vector,
        vector + vector,
        vector + vector + vector,
        vector + vector + vector + vector,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def room_for(n_rows: int, width: int, shape: Any) -> Any:
    """Room for tiles of ``n_rows`` rows, whole strips, and ``width`` columns."""
    lanes = len(shape[3])
    return Room(
        np.zeros(width * lanes),
        np.zeros(lanes),
        np.zeros((n_rows, width)),
        np.zeros(n_rows),
        np.zeros(n_rows, np.int64),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def strips_for(n_rows: int, width: int, shape: Any) -> Any:
    """Strips (n_strips, dp * lanes) for tiles of ``n_rows`` rows, whole strips."""
    lanes = len(shape[3])
    return np.zeros((n_rows // lanes, width * lanes))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cut_strips(tile: Any, used: int, n_rows: int, shape: Any, strips: Any) -> None:
    """Lay the first ``used`` columns of ``tile`` (rows, dp) out in strips.

    The last strip goes on with whatever lies beyond ``n_rows``.
    """
    vector = shape[1]
    step, width = uint64(len(vector)), uint64(tile.shape[1])
    lanes, length = uint64(len(shape[3])), uint64(strips.shape[1])
    flat, out = tile.reshape(-1), strips.reshape(-1)
    for strip in range((n_rows + len(shape[3]) - 1) // len(shape[3])):
        v = uint64(0)
        while v < lanes:
            row, at, j = (uint64(strip) * lanes + v) * width, uint64(strip) * length + v, uint64(0)
            while j < uint64(used):
                store_transposed(flat, row + j, width, out, at + j * lanes, lanes, vector)
                j += step
            v += step


@numba.njit(cache=True, nogil=True, error_model="numpy")
def subtract_distances(
    strips: Any,
    mean: Any,
    whitener: Any,
    used: int,
    n_rows: int,
    shape: Any,
    joint: Any,
    room: Any,
) -> None:
    """Subtract half the squared distances of a tile's rows from one component's ``joint``.

    ``mean`` (dp,) is taken off the strips, and ``whitener`` (dp, dp; line j, lane i holds
    W_ij) makes what is left white; only the first ``used`` columns, a number of whole
    vectors, are not 0.
    """
    rows, lanes = shape[0], shape[3]
    step, width, last = uint64(len(rows)), uint64(whitener.shape[1]), uint64(used)
    flat, w, squares = strips.reshape(-1), whitener.reshape(-1), room.squares
    for strip in range((n_rows + len(lanes) - 1) // len(lanes)):
        for r in range(len(lanes)):
            squares[r] = 0.0
        at, i = uint64(strip) * uint64(strips.shape[1]), uint64(0)
        while i < last:
            add_whitened_squares(
                flat, at, mean, room.residuals, w, width, i, squares, rows, lanes
            )  # fmt: skip
            i += step
        first = strip * len(lanes)
        for r in range(min(len(lanes), n_rows - first)):
            joint[first + r] -= 0.5 * squares[r]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply_vectors(
    a: Any, steps: Any, b: Any, out: Any, count: int, extent: Any, shape: Any, lower: bool
) -> None:
    """``out[i, j] += sum_t a[t, i] b[t, j]``; ``steps`` are a's for t and for i.

    ``extent`` is how many lines and columns of ``out`` there are to be, whole blocks of rows and
    whole vectors; with ``lower`` only blocks that touch j <= i.
    """
    rows, one, two, three, _ = shape
    # flat views are made once: each counts its references, which costs more than a short sum
    left, right, flat = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    step, gap, terms = uint64(steps[0]), uint64(steps[1]), uint64(count)
    depth, width, vector = uint64(b.shape[1]), uint64(out.shape[1]), uint64(len(one))
    i, last = uint64(0), uint64(extent[0])
    while i < last:
        end, j, from_i = uint64(extent[1]), uint64(0), i * gap
        if lower:
            end = min(end, i + uint64(len(rows)))
        columns = (end + vector - uint64(1)) // vector
        while columns > uint64(0):  # blocks of three vectors, and no single one beside them
            at = i * width + j
            if columns == uint64(1):
                add_outer(
                    left, from_i, step, gap, right, j, depth, terms, flat, at, width, rows, one
                )
                columns -= uint64(1)
            elif columns == uint64(2) or columns == uint64(4):
                add_outer(
                    left, from_i, step, gap, right, j, depth, terms, flat, at, width, rows, two
                )
                columns -= uint64(2)
                j += uint64(len(two))
            else:
                add_outer(
                    left, from_i, step, gap, right, j, depth, terms, flat, at, width, rows, three
                )
                columns -= uint64(3)
                j += uint64(len(three))
        i += uint64(len(rows))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_moments(
    tile: Any, mean: Any, shares: Any, used: int, n_rows: int, shape: Any, room: Any, sums: Any
) -> float:
    """Add a tile's moments about ``mean`` to one component's sums; returns the sum of ``shares``.

    ``tile`` (rows, dp) holds the rows, ``shares`` their responsibilities, and ``sums`` are
    first moments (dp,) and second ones (dp, dp), of which only the lower triangle counts;
    only the first ``used`` columns, a number of whole vectors, are not 0.
    """
    first, second = sums
    mass, count = 0.0, 0
    for r in range(n_rows):  # without a branch, which could not be foreseen
        share = shares[r]
        mass += share
        room.roots[count] = share
        room.chosen[count] = r
        count += share != 0.0
    if count == 0:
        return mass
    for t in range(count):
        room.roots[t] = math.sqrt(room.roots[t])
    # flat views are made once: each counts its references, which costs more than a short sum
    source, flat = tile.reshape(-1), room.scaled.reshape(-1)
    width, last, one, four = uint64(tile.shape[1]), uint64(used), shape[1], shape[4]
    j = uint64(0)
    while j < last:
        if j + uint64(len(four)) <= last:
            _scale(source, width, mean, j, count, four, room, flat, first)
            j += uint64(len(four))
        else:
            _scale(source, width, mean, j, count, one, room, flat, first)
            j += uint64(len(one))
    multiply_vectors(
        room.scaled, (width, uint64(1)), room.scaled, second, count, (used, used), shape, True
    )  # fmt: skip
    return mass


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scale(
    tile: Any,
    width: Any,
    mean: Any,
    at: Any,
    count: int,
    lanes: Any,
    room: Any,
    out: Any,
    first: Any,
) -> None:
    """Scaled residuals of the chosen rows in the columns from ``at`` on; adds first moments."""
    about, total = load(mean, at, lanes), load(first, at, lanes)
    for t in range(count):
        root = room.roots[t]
        gap = sub(load(tile, uint64(room.chosen[t]) * width + at, lanes), about)
        scaled = scale(root, gap)
        store(out, uint64(t) * width + at, scaled)
        total = fma_scaled(root, scaled, total)
    store(first, at, total)
