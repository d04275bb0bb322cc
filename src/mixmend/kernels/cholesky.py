"""Small positive definite systems of one thread: products, Cholesky factors, inverses in registers.

A BLAS brings threads of its own, which a loop over thousands of small systems must not start.
Everything here works on the room that one thread keeps, in blocks of registers
(`mixmend.kernels.products.add_outer`); ``tokens`` are the rows and lanes of a block.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
from numba import uint64

from mixmend.kernels.products import add_outer, lane_totals
from mixmend.kernels.simd import fma, fma_scaled, load, scale, store, zeros

FAST = {"contract", "reassoc", "nsz"}
"""Sums may be taken in vectors and multiply-adds fused; NaN and infinity keep their meaning."""

PANEL = 32
"""Rows that are factored before what is below them is brought up to date: they fit level 1."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def padded(q: int, lanes: Any) -> int:
    """Width for q coordinates: whole blocks, and of more than a few an odd number.

    The numbers of a column would else meet in few sets of the first-level cache (a power of
    two takes three times as long).
    """
    blocks = -(-q // len(lanes))
    return (blocks + 1 - blocks % 2 if blocks > 4 else blocks) * len(lanes)


class Room(NamedTuple):
    """Where one thread keeps its system: W a multiple of a block's rows and of its lanes.

    ``system`` (W, W), upper triangle; ``upper`` (W, W), its Cholesky factor, ``system = upper'
    upper``; ``block`` (rows, W); ``solution`` (W,).
    """

    system: Any
    upper: Any
    block: Any
    solution: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_gram(packed: Any, count: int, q: int, tokens: Any, out: Any) -> None:
    """Add ``packed' packed``, of ``count`` rows and q columns, to ``out``'s upper triangle."""
    rows, lanes = tokens
    width = out.shape[1]
    flat, flat_out = packed.reshape(-1), out.reshape(-1)
    for a in range(0, q, len(rows)):
        for b in range(a // len(lanes) * len(lanes), q, len(lanes)):
            add_outer(
                flat,
                uint64(a),
                uint64(width),
                uint64(1),
                flat,
                uint64(b),
                uint64(width),
                uint64(count),
                flat_out,
                uint64(a * width + b),
                uint64(width),
                rows,
                lanes,
            )


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def factor(q: int, tokens: Any, room: Room) -> bool:
    """``system = upper' upper`` over the first q coordinates, and ``upper' y = solution`` in place.

    `PANEL` rows are factored, and all rows below take up their products while they are in
    level 1. Within a panel, each block of rows takes up those above it. The right-hand side
    comes along as column q. False where a pivot is not positive.
    """
    rows, lanes = tokens
    system, upper, x = room.system, room.upper, room.solution
    width, flat = system.shape[1], upper.reshape(-1)
    columns = (q // len(lanes) + 1) * len(lanes)
    # what is left of the system stands in ``upper`` with its sign turned: products are added
    for i in range(q):
        for j in range(i // len(lanes) * len(lanes), columns):
            upper[i, j] = -system[i, j]
        upper[i, q] = -x[i]
    for top in range(0, q, PANEL):
        bottom = min(top + PANEL, q)
        for first in range(top, bottom, len(rows)):
            _take_up(top, first, first, columns, tokens, upper)
            start = uint64(first // len(lanes) * len(lanes))
            for k in range(first, min(first + len(rows), q)):
                pivot = -upper[k, k]
                for s in range(first, k):
                    pivot -= upper[s, k] * upper[s, k]
                if not pivot > 0.0:
                    return False
                inverse, at = -1.0 / math.sqrt(pivot), uint64(k * width)
                t = start
                while t < columns:
                    total = load(flat, at + t, lanes)
                    for s in range(first, k):
                        above = load(flat, uint64(s * width) + t, lanes)
                        total = fma_scaled(upper[s, k], above, total)
                    store(flat, at + t, scale(inverse, total))
                    t += uint64(len(lanes))
        for a in range(bottom, q, len(rows)):
            _take_up(top, bottom, a, columns, tokens, upper)
    for i in range(q):
        x[i] = upper[i, q]
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _take_up(top: int, end: int, a: int, columns: int, tokens: Any, upper: Any) -> None:
    """Add the products of rows ``top`` to ``end`` to the block of rows that begins at ``a``."""
    rows, lanes = tokens
    width, flat = upper.shape[1], upper.reshape(-1)
    for b in range(a // len(lanes) * len(lanes), columns, len(lanes)):
        add_outer(
            flat,
            uint64(top * width + a),
            uint64(width),
            uint64(1),
            flat,
            uint64(top * width + b),
            uint64(width),
            uint64(end - top),
            flat,
            uint64(a * width + b),
            uint64(width),
            rows,
            lanes,
        )


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def solve(q: int, lanes: Any, room: Room) -> None:
    """``upper solution = y`` in place, after `factor`: four coordinates at a time, last first."""
    upper, x, known = room.upper, room.solution, room.block.reshape(-1)
    width, flat = upper.shape[1], upper.reshape(-1)
    known[:width] = 0.0
    for first in range((q - 1) // 4 * 4, -1, -4):
        at = uint64(first * width)
        sum0, sum1 = zeros(flat, lanes), zeros(flat, lanes)
        sum2, sum3 = zeros(flat, lanes), zeros(flat, lanes)
        j = uint64((first + 4) // len(lanes) * len(lanes))
        while j < q:
            shared = load(known, j, lanes)
            sum0 = fma(load(flat, at + j, lanes), shared, sum0)
            sum1 = fma(load(flat, at + uint64(width) + j, lanes), shared, sum1)
            sum2 = fma(load(flat, at + uint64(2 * width) + j, lanes), shared, sum2)
            sum3 = fma(load(flat, at + uint64(3 * width) + j, lanes), shared, sum3)
            j += uint64(len(lanes))
        sums = lane_totals(sum0, sum1, sum2, sum3)
        last = min(first + 4, q)
        for i in range(last - 1, first - 1, -1):
            total = x[i] - sums[i - first]
            for k in range(i + 1, last):
                total -= upper[i, k] * x[k]
            x[i] = known[i] = total / upper[i, i]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def invert(q: int, tokens: Any, room: Room) -> None:
    """``lower = inv(upper)'`` into ``room.system``, block row by block row, as `factor` goes.

    ``inv(upper' upper) = lower' lower``; its diagonal is the squared lengths of lower's columns.
    """
    rows, lanes = tokens
    upper, lower, block = room.upper, room.system, room.block
    width = upper.shape[1]
    flat, flat_lower, out = upper.reshape(-1), lower.reshape(-1), block.reshape(-1)
    lower[:] = 0.0
    for first in range(0, q, len(rows)):
        last = min(first + len(rows), q)
        block[:] = 0.0
        for b in range(0, first, len(lanes)):
            add_outer(
                flat,
                uint64(first),
                uint64(width),
                uint64(1),
                flat_lower,
                uint64(b),
                uint64(width),
                uint64(first),
                out,
                uint64(b),
                uint64(width),
                rows,
                lanes,
            )
        for k in range(first, last):
            r = k - first
            for s in range(r):
                above = upper[first + s, k]
                for j in range(first + s + 1):
                    block[r, j] += above * lower[first + s, j]
            inverse = 1.0 / upper[k, k]
            for j in range(k):
                lower[k, j] = -block[r, j] * inverse
            lower[k, k] = inverse


@numba.njit(cache=True, nogil=True, error_model="numpy")
def square(q: int, tokens: Any, room: Room, out: Any) -> None:
    """Upper triangle of ``lower' lower``, row by row, into ``out`` (P,); overwrites ``upper``."""
    rows, lanes = tokens
    lower, product = room.system, room.upper
    width = lower.shape[1]
    flat, flat_out = lower.reshape(-1), product.reshape(-1)
    product[:] = 0.0
    for a in range(0, q, len(rows)):
        for b in range(a // len(lanes) * len(lanes), width, len(lanes)):
            # lower's columns begin at the diagonal
            first = max(a, min(b, q))
            add_outer(
                flat,
                uint64(first * width + a),
                uint64(width),
                uint64(1),
                flat,
                uint64(first * width + b),
                uint64(width),
                uint64(q - first),
                flat_out,
                uint64(a * width + b),
                uint64(width),
                rows,
                lanes,
            )
    at = 0
    for a in range(q):
        for b in range(a, q):
            out[at] = product[a, b]
            at += 1
