"""Small symmetric matrices, one per component, worked on side by side in vector lanes.

A row's set of observed columns serves every component, so there is nothing to branch on:
the components are the lanes. Tables are (lines, Kp) or (d, d, Kp) with the components last,
padded to whole vectors. They come as flat views, made once: a view counts references, which
costs more than the arithmetic on a row.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import uint64

from mixmend.kernels.simd import add, fma, load, minus, mul, scale, store, zeros


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
    need no pivoting as the matrices are positive definite.
    """
    width = uint64(len(log_det))
    target, factors, product = work.inverses, work.column, work.fill
    for q in range(0, len(log_det), len(lanes)):
        lane = uint64(q)
        base = uint64(at) * width + lane
        line = base
        for i in range(size):
            for j in range(i + 1):
                here = (uint64(chosen[i]) * uint64(d) + uint64(chosen[j])) * width + lane
                store(target, line, load(source, here, lanes))
                line += width
        for k in range(len(lanes)):
            log_det[q + k] = 0.0
            product[k] = 1.0
        for p in range(size):
            diagonal = base + uint64(p * (p + 1) // 2 + p) * width
            pivot = load(target, diagonal, lanes)
            store(product, uint64(0), mul(load(product, uint64(0), lanes), pivot))
            for k in range(len(lanes)):
                factors[k] = 1.0 / target[diagonal + uint64(k)]
            inverse = load(factors, uint64(0), lanes)
            if p % 4 == 3 or p == size - 1:  # four pivots between logarithms cannot overflow
                for k in range(len(lanes)):
                    log_det[q + k] += math.log(product[k])
                    product[k] = 1.0
            for i in range(size):
                row, col = max(i, p), min(i, p)
                here = base + uint64(row * (row + 1) // 2 + col) * width
                store(factors, uint64(i) * width + lane, load(target, here, lanes))
            for i in range(size):
                if i == p:
                    continue
                begin = base + uint64(i * (i + 1) // 2) * width
                factor = scale(-1.0, mul(load(factors, uint64(i) * width + lane, lanes), inverse))
                for j in range(i + 1):
                    if j != p:
                        here = begin + uint64(j) * width
                        other = load(factors, uint64(j) * width + lane, lanes)
                        store(target, here, fma(factor, other, load(target, here, lanes)))
                high, low = max(i, p), min(i, p)
                here = base + uint64(high * (high + 1) // 2 + low) * width
                store(target, here, scale(-1.0, factor))
            store(target, diagonal, scale(-1.0, inverse))


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
