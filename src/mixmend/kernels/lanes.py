"""Small symmetric matrices, one per component, worked on side by side in vector lanes.

A row's set of observed columns serves every component, so there is nothing to branch on:
the components are the lanes. Tables are (lines, Kp) or (d, d, Kp) with the components last,
padded to whole vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import uint64

from mixmend.kernels.simd import add, fma, load, minus, mul, scale, store, zeros


@numba.njit(cache=True, nogil=True, error_model="numpy")
def negated_inverse(
    table: Any, chosen: Any, size: int, lanes: Any, out: Any, at: int, log_det: Any, column: Any
) -> None:
    """Minus the inverse of ``table[chosen, chosen]`` for every lane, and its log determinant.

    The lower triangle goes to lines ``at`` … of ``out`` (lines, Kp). Sweeps (Goodnight 1979)
    need no pivoting as the matrices are positive definite.
    """
    d = uint64(table.shape[0])
    width = uint64(table.shape[2])
    source, target, factors = table.reshape(-1), out.reshape(-1), column.reshape(-1)
    product = np.empty(len(lanes))
    for q in range(0, table.shape[2], len(lanes)):
        lane = uint64(q)
        base = uint64(at) * width + lane
        line = base
        for i in range(size):
            for j in range(i + 1):
                here = (uint64(chosen[i]) * d + uint64(chosen[j])) * width + lane
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
                row = base + uint64(i * (i + 1) // 2) * width
                factor = scale(-1.0, mul(load(factors, uint64(i) * width + lane, lanes), inverse))
                for j in range(i + 1):
                    if j != p:
                        here = row + uint64(j) * width
                        other = load(factors, uint64(j) * width + lane, lanes)
                        store(target, here, fma(factor, other, load(target, here, lanes)))
                high, low = max(i, p), min(i, p)
                here = base + uint64(high * (high + 1) // 2 + low) * width
                store(target, here, scale(-1.0, factor))
            store(target, diagonal, scale(-1.0, inverse))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def times_symmetric(matrix: Any, at: int, size: int, vector: Any, lanes: Any, out: Any) -> None:
    """``out = M vector`` in every lane, M's lower triangle in lines ``at`` … of ``matrix``."""
    width = uint64(matrix.shape[1])
    m, v, o = matrix.reshape(-1), vector.reshape(-1), out.reshape(-1)
    for q in range(0, matrix.shape[1], len(lanes)):
        lane = uint64(q)
        for i in range(size):
            total = zeros(m, lanes)
            for j in range(size):
                row, col = max(i, j), min(i, j)
                here = uint64(at + row * (row + 1) // 2 + col) * width + lane
                total = fma(load(m, here, lanes), load(v, uint64(j) * width + lane, lanes), total)
            store(o, uint64(i) * width + lane, total)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def lane_residuals(values: Any, chosen: Any, means: Any, lanes: Any, out: Any) -> None:
    """``out[j] = values[j] - means[j]`` in every lane, for the chosen columns j."""
    width = uint64(means.shape[1])
    flat, target = means.reshape(-1), out.reshape(-1)
    for j in chosen:
        for q in range(0, means.shape[1], len(lanes)):
            here = uint64(j) * width + uint64(q)
            store(target, here, minus(np.float64(values[j]), load(flat, here, lanes)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def restricted_product(
    table: Any, rows: Any, columns: Any, vector: Any, lanes: Any, out: Any
) -> None:
    """``out[i] = sum_j table[rows[i], columns[j]] * vector[columns[j]]`` in every lane."""
    d = uint64(table.shape[0])
    width = uint64(table.shape[2])
    t, v, o = table.reshape(-1), vector.reshape(-1), out.reshape(-1)
    count = len(columns)
    for q in range(0, table.shape[2], len(lanes)):
        lane = uint64(q)
        for i in range(len(rows)):
            base = uint64(rows[i]) * d
            even = zeros(t, lanes)
            odd = zeros(t, lanes)
            for c in range(0, count - 1, 2):  # two chains hide the latency of the fma
                j0, j1 = uint64(columns[c]), uint64(columns[c + 1])
                first = load(t, (base + j0) * width + lane, lanes)
                second = load(t, (base + j1) * width + lane, lanes)
                even = fma(first, load(v, j0 * width + lane, lanes), even)
                odd = fma(second, load(v, j1 * width + lane, lanes), odd)
            if count % 2 == 1:
                j0 = uint64(columns[count - 1])
                first = load(t, (base + j0) * width + lane, lanes)
                even = fma(first, load(v, j0 * width + lane, lanes), even)
            store(o, uint64(i) * width + lane, add(even, odd))
