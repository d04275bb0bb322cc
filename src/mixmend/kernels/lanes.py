"""Small symmetric matrices, one per component, worked on side by side in vector lanes.

A row's set of observed columns serves every component, so there is nothing to branch on:
the components are the lanes. Tables are (lines, Kp) or (d, d, Kp) with the components last,
padded to whole vectors. They come as flat views, made once: a view counts references, which
costs more than the arithmetic on a row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import uint64

from mixmend.kernels.exponentials import log_lanes
from mixmend.kernels.simd import (
    add,
    div,
    fma,
    lanes_at_least,
    larger,
    load,
    minus,
    mul,
    scale,
    store,
    zeros,
)


class Buffers(NamedTuple):
    """Flat arrays of one thread: inverses' lower triangles, and (d, Kp) lines of each kind."""

    inverses: Any
    residuals: Any
    column: Any
    fill: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def buffers_for(store_size: int, d: int, width: int) -> Any:
    """Zeroed buffers for ``store_size`` lines of inverses and d columns."""
    return Buffers(
        np.zeros(store_size * width), np.zeros(d * width), np.zeros(d * width), np.zeros(d * width)
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def negated_inverse(
    source: Any, d: int, chosen: Any, size: int, lanes: Any, at: int, log_det: Any, work: Any
) -> None:
    """Minus the inverse of ``table[chosen, chosen]`` for every lane, and its log determinant.

    ``source`` is a flat (d, d, Kp) table; the first ``size`` columns of ``chosen`` count. The
    lower triangle goes to lines ``at`` … of the buffer of inverses. Sweeps (Goodnight 1979)
    need no pivoting as the matrices are positive definite; where rounding has left one that is
    not, the log determinants of its vector of lanes are NaN.
    """
    width = uint64(len(log_det))
    target, factors = work.inverses, work.column
    for q in range(0, len(log_det), len(lanes)):
        lane = uint64(q)
        base = uint64(at) * width + lane
        line = base
        for i in range(size):
            row = uint64(chosen[i]) * uint64(d)
            for j in range(i + 1):
                here = (row + uint64(chosen[j])) * width + lane
                store(target, line, load(source, here, lanes))
                line += width
        one = minus(1.0, zeros(target, lanes))
        product, total, worst = one, zeros(target, lanes), scale(-1.0, one)
        for p in range(size):
            top = base + uint64(p * (p + 1) // 2) * width
            diagonal = top + uint64(p) * width
            pivot = load(target, diagonal, lanes)
            inverse, product = div(one, pivot), mul(product, pivot)
            worst = larger(worst, scale(-1.0, pivot))
            if p % 4 == 3 or p == size - 1:  # four pivots between logarithms cannot overflow
                total, product = add(total, log_lanes(product)), one
            # the pivot's line up to the diagonal, and on down its column
            for i in range(p):
                here, there = top + uint64(i) * width, uint64(i) * width + lane
                store(factors, there, load(target, here, lanes))
            here = diagonal + uint64(p + 1) * width
            for i in range(p + 1, size):
                store(factors, uint64(i) * width + lane, load(target, here, lanes))
                here += uint64(i + 1) * width
            line = base
            for i in range(size):  # all lines without a branch; the pivot's are written anew
                factor = scale(-1.0, mul(load(factors, uint64(i) * width + lane, lanes), inverse))
                other = lane
                for _ in range(i + 1):
                    moved = fma(factor, load(factors, other, lanes), load(target, line, lanes))
                    store(target, line, moved)
                    line += width
                    other += width
            for i in range(p):
                here, there = top + uint64(i) * width, uint64(i) * width + lane
                store(target, here, mul(load(factors, there, lanes), inverse))
            here = diagonal + uint64(p + 1) * width
            for i in range(p + 1, size):
                store(target, here, mul(load(factors, uint64(i) * width + lane, lanes), inverse))
                here += uint64(i + 1) * width
            store(target, diagonal, scale(-1.0, inverse))
        store(log_det, lane, total)
        if lanes_at_least(worst, 0.0) != 0:  # the logarithm of such a product tells nothing
            for k in range(len(lanes)):
                log_det[q + k] = np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def times_symmetric(m: Any, at: int, size: int, v: Any, width: int, lanes: Any, out: Any) -> None:
    """``out = M v`` in every lane, M's lower triangle in lines ``at`` … of ``m``."""
    step = uint64(width)
    for q in range(0, width, len(lanes)):
        lane = uint64(q)
        for i in range(size):
            total = zeros(m, lanes)
            here = (uint64(at) + uint64(i) * uint64(i + 1) // uint64(2)) * step + lane
            for j in range(size):
                total = fma(load(m, here, lanes), load(v, uint64(j) * step + lane, lanes), total)
                # along the line up to the diagonal, then down the column
                here += step if j < i else uint64(j + 1) * step
            store(out, uint64(i) * step + lane, total)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def lane_residuals(
    values: Any, u: int, chosen: Any, means: Any, width: int, lanes: Any, out: Any
) -> None:
    """``out[j] = values[u, j] - means[j]`` in every lane, for the chosen columns j."""
    for c in range(len(chosen)):
        j = uint64(chosen[c])
        value = np.float64(values[u, j])
        for q in range(0, width, len(lanes)):
            here = j * uint64(width) + uint64(q)
            store(out, here, minus(value, load(means, here, lanes)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def restricted_product(
    t: Any, d: int, rows: Any, columns: Any, v: Any, width: int, lanes: Any, out: Any
) -> None:
    """``out[i] = sum_j t[rows[i], columns[j]] * v[columns[j]]`` in every lane."""
    count, step = len(columns), uint64(width)
    for q in range(0, width, len(lanes)):
        lane = uint64(q)
        for i in range(len(rows)):
            base = uint64(rows[i]) * uint64(d) * step + lane
            even = zeros(t, lanes)
            odd = zeros(t, lanes)
            for c in range(0, count - 1, 2):  # two chains hide the latency of the fma
                j0 = uint64(columns[c]) * step
                j1 = uint64(columns[c + 1]) * step
                even = fma(load(t, base + j0, lanes), load(v, j0 + lane, lanes), even)
                odd = fma(load(t, base + j1, lanes), load(v, j1 + lane, lanes), odd)
            if count % 2 == 1:
                j0 = uint64(columns[count - 1]) * step
                even = fma(load(t, base + j0, lanes), load(v, j0 + lane, lanes), even)
            store(out, uint64(i) * step + lane, add(even, odd))
