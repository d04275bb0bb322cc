"""Loops for mixtures of factor analysers on rows with holes. Everything is float64.

A row's r factors are integrated out through a small symmetric system. Line by line that
system, and later the expected moments of the factors, are kept as one packed vector of
length 1 + r + r (r + 1) / 2: a scalar, a vector, and a lower triangle row by row, padded
to whole vector registers. The E-step of a row sums such vectors over its columns; the
M-step of a column sums such vectors over its rows. Both are the same gather.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.products import add_outer
from mixmend.kernels.simd import accumulate, add, load, scale, zeros
from mixmend.kernels.spherical import TASKS, line_of_share

_TASK_ROWS = 64
"""Rows of a product that share what is read of its second factor."""

_PANEL = 256
"""Terms of a product that are summed at a time: of 64 bytes each, half of a level-1 cache."""


@numba.njit(cache=True, nogil=True, parallel=True)
def row_systems(
    view: Any,
    first: int,
    means: Any,
    precisions: Any,
    linear: Any,
    packed: Any,
    lanes: Any,
    systems: Any,
) -> None:
    """``systems[u] = sum_i packed[i] + y_ui linear[i]``, and ``y_ui^2 precision_i`` in front.

    y = x - mean over the observed cells of rows ``first`` to ``first + len(systems)`` of
    ``view``, a `Compressed` by row. ``linear`` (d, head) reaches over the first lanes only.
    """
    pointers, indices, values = view
    n, length = systems.shape
    width, head = uint64(length), uint64(linear.shape[1])
    out = systems.reshape(-1)
    body = packed.reshape(-1)
    line = linear.reshape(-1)
    for task in prange(TASKS):
        for u in range(
            line_of_share(pointers, first, n, task), line_of_share(pointers, first, n, task + 1)
        ):
            start = uint64(pointers[first + u])
            end = uint64(pointers[first + u + 1])
            systems[u] = 0.0
            for block in range(0, length, len(lanes)):
                q = uint64(block)
                a0 = zeros(body, lanes)
                a1 = zeros(body, lanes)
                a2 = zeros(body, lanes)
                a3 = zeros(body, lanes)
                t = start
                while t + uint64(4) <= end:  # four chains hide the latency of an addition
                    i0 = uint64(indices[t])
                    i1 = uint64(indices[t + uint64(1)])
                    i2 = uint64(indices[t + uint64(2)])
                    i3 = uint64(indices[t + uint64(3)])
                    a0 = add(a0, load(body, i0 * width + q, lanes))
                    a1 = add(a1, load(body, i1 * width + q, lanes))
                    a2 = add(a2, load(body, i2 * width + q, lanes))
                    a3 = add(a3, load(body, i3 * width + q, lanes))
                    t += uint64(4)
                while t < end:
                    a0 = add(a0, load(body, uint64(indices[t]) * width + q, lanes))
                    t += uint64(1)
                accumulate(out, uint64(u) * width + q, add(add(a0, a1), add(a2, a3)))
            for block in range(0, linear.shape[1], len(lanes)):
                q = uint64(block)
                a0 = zeros(line, lanes)
                a1 = zeros(line, lanes)
                t = start
                while t + uint64(2) <= end:
                    i0 = uint64(indices[t])
                    i1 = uint64(indices[t + uint64(1)])
                    y0 = values[t] - means[i0]
                    y1 = values[t + uint64(1)] - means[i1]
                    a0 = add(a0, scale(y0, load(line, i0 * head + q, lanes)))
                    a1 = add(a1, scale(y1, load(line, i1 * head + q, lanes)))
                    t += uint64(2)
                if t < end:
                    i0 = uint64(indices[t])
                    y0 = values[t] - means[i0]
                    a0 = add(a0, scale(y0, load(line, i0 * head + q, lanes)))
                accumulate(out, uint64(u) * width + q, add(a0, a1))
            squares = 0.0
            t = start
            while t < end:
                i0 = uint64(indices[t])
                y0 = values[t] - means[i0]
                squares += y0 * y0 * precisions[i0]
                t += uint64(1)
            systems[u, 0] += squares


@numba.njit(cache=True, nogil=True, parallel=True)
def column_systems(
    view: Any,
    first: int,
    means: Any,
    moments: Any,
    lanes: Any,
    sums: Any,
    linear: Any,
    squares: Any,
) -> None:
    """Add one row tile: sums of moments, of ``y moments`` (first lanes), of ``y^2 moments[0]``.

    ``view`` holds the tile by column: lines ``first`` to ``first + len(sums)``, indices
    counting rows within the tile. ``moments`` (rows, length) are weighted by the posterior.
    """
    pointers, indices, values = view
    d, length = sums.shape
    width, head = uint64(length), uint64(linear.shape[1])
    moment = moments.reshape(-1)
    out = sums.reshape(-1)
    line = linear.reshape(-1)
    for task in prange(TASKS):
        for i in range(
            line_of_share(pointers, first, d, task), line_of_share(pointers, first, d, task + 1)
        ):
            start = uint64(pointers[first + i])
            end = uint64(pointers[first + i + 1])
            mean = means[i]
            for block in range(0, length, len(lanes)):
                q = uint64(block)
                a0 = zeros(moment, lanes)
                a1 = zeros(moment, lanes)
                a2 = zeros(moment, lanes)
                a3 = zeros(moment, lanes)
                t = start
                while t + uint64(4) <= end:
                    u0 = uint64(indices[t])
                    u1 = uint64(indices[t + uint64(1)])
                    u2 = uint64(indices[t + uint64(2)])
                    u3 = uint64(indices[t + uint64(3)])
                    a0 = add(a0, load(moment, u0 * width + q, lanes))
                    a1 = add(a1, load(moment, u1 * width + q, lanes))
                    a2 = add(a2, load(moment, u2 * width + q, lanes))
                    a3 = add(a3, load(moment, u3 * width + q, lanes))
                    t += uint64(4)
                while t < end:
                    a0 = add(a0, load(moment, uint64(indices[t]) * width + q, lanes))
                    t += uint64(1)
                accumulate(out, uint64(i) * width + q, add(add(a0, a1), add(a2, a3)))
            for block in range(0, linear.shape[1], len(lanes)):
                q = uint64(block)
                a0 = zeros(moment, lanes)
                a1 = zeros(moment, lanes)
                t = start
                while t + uint64(2) <= end:
                    u0 = uint64(indices[t])
                    u1 = uint64(indices[t + uint64(1)])
                    y0 = values[t] - mean
                    y1 = values[t + uint64(1)] - mean
                    a0 = add(a0, scale(y0, load(moment, u0 * width + q, lanes)))
                    a1 = add(a1, scale(y1, load(moment, u1 * width + q, lanes)))
                    t += uint64(2)
                if t < end:
                    y0 = values[t] - mean
                    a0 = add(a0, scale(y0, load(moment, uint64(indices[t]) * width + q, lanes)))
                accumulate(line, uint64(i) * head + q, add(a0, a1))
            total = 0.0
            t = start
            while t < end:
                y0 = values[t] - mean
                total += y0 * y0 * moment[uint64(indices[t]) * width]
                t += uint64(1)
            squares[i] += total


@numba.njit(cache=True, nogil=True, parallel=True)
def solve_rows(systems: Any, r: int) -> None:
    """Turn each row's packed (q, b, M - I) into (q + log|M| - b^T M^-1 b, M^-1 b, M^-1).

    The first is minus twice the row's log density but for its count of cells. One Cholesky
    factorisation a row.
    """
    n = len(systems)
    n_tasks = (n + 63) // 64
    for task in prange(n_tasks):
        factor = np.empty((r, r))
        inverse = np.empty((r, r))
        half = np.empty(r)
        for u in range(64 * task, min(n, 64 * task + 64)):
            line = systems[u]
            log_determinant = 0.0
            at = 1 + r
            for a in range(r):
                for b in range(a + 1):
                    total = line[at] + (1.0 if a == b else 0.0)
                    at += 1
                    for c in range(b):
                        total -= factor[a, c] * factor[b, c]
                    if a == b:
                        pivot = np.sqrt(total)
                        factor[a, a] = 1.0 / pivot
                        log_determinant += 2.0 * np.log(pivot)
                    else:
                        factor[a, b] = total * factor[b, b]
            for b in range(r):  # the inverse of the factor, whose diagonal is inverted already
                inverse[b, b] = factor[b, b]
                for a in range(b + 1, r):
                    total = 0.0
                    for c in range(b, a):
                        total -= factor[a, c] * inverse[c, b]
                    inverse[a, b] = total * factor[a, a]
            # by substitution: where factors explain a row to a small noise, products with the
            # inverse would lose of q - b^T M^-1 b what little is left
            explained = 0.0
            for a in range(r):
                total = line[1 + a]
                for c in range(a):
                    total -= factor[a, c] * half[c]
                half[a] = total * factor[a, a]
                explained += half[a] * half[a]
            for a in range(r - 1, -1, -1):
                total = half[a]
                for c in range(a + 1, r):
                    total -= factor[c, a] * line[1 + c]
                line[1 + a] = total * factor[a, a]
            at = 1 + r
            for a in range(r):
                for b in range(a + 1):
                    total = 0.0
                    for c in range(a, r):
                        total += inverse[c, a] * inverse[c, b]
                    line[at] = total
                    at += 1
            line[0] += log_determinant - explained


@numba.njit(cache=True, nogil=True, parallel=True)
def weigh_moments(systems: Any, shares: Any, r: int) -> None:
    """Turn each row's solved system into share × (1, E[z], E[z z^T]), packed, in place."""
    n = len(systems)
    for task in prange((n + 63) // 64):
        for u in range(64 * task, min(n, 64 * task + 64)):
            line, share = systems[u], shares[u]
            at = 1 + r
            for a in range(r):
                for b in range(a + 1):
                    line[at] = share * (line[at] + line[1 + a] * line[1 + b])
                    at += 1
            for a in range(r):
                line[1 + a] *= share
            line[0] = share


# reassociation alone lets the sum run in vectors; NaN keeps its meaning
@numba.njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc"})
def fill_gaps(
    X: Any, first: int, means: Any, precisions: Any, mask: Any, gaps: Any, q: Any
) -> None:
    """Dense rows for matrix products: mask 1 or 0, ``x - mean`` or 0 where x is NaN.

    Rows ``first`` to ``first + len(mask)`` of ``X``; ``q[u, 0]`` is raised by the sum of
    ``(x - mean)^2 precision``.
    """
    n, d = mask.shape
    for task in prange((n + 15) // 16):
        for u in range(16 * task, min(n, 16 * task + 16)):
            row, seen, gap = X[first + u], mask[u], gaps[u]
            total = 0.0
            for column in range(d):
                i = uint64(column)
                x = np.float64(row[i])
                here = 1.0 if x == x else 0.0
                y = x - means[i] if x == x else 0.0
                seen[i] = here
                gap[i] = y
                total += y * y * precisions[i]
            q[u, 0] += total


@numba.njit(cache=True, nogil=True, parallel=True)
def add_squares(gaps: Any, moments: Any, squares: Any) -> None:
    """``squares[i] += sum_u gaps[u, i]^2 moments[u, 0]``, strips of columns side by side."""
    n, d = gaps.shape
    for strip in prange((d + 63) // 64):
        begin, end = 64 * strip, min(d, 64 * strip + 64)
        for u in range(n):
            share = moments[u, 0]
            for i in range(begin, end):
                squares[i] += share * gaps[u, i] * gaps[u, i]


@numba.njit(cache=True, nogil=True, parallel=True)
def add_product(a: Any, transposed: bool, b: Any, rows: Any, lanes: Any, out: Any) -> None:
    """``out += a @ b``, or ``a.T @ b``, over the columns that b and out share.

    Their number must be whole vectors. The order of every sum is fixed, which a BLAS does
    not promise: results do not depend on the number of threads.
    """
    n, d = len(out), a.shape[1]
    count = len(a) if transposed else d
    step, gap = (d, 1) if transposed else (1, d)
    width = min(b.shape[1], out.shape[1])
    left, right, to = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    size = len(rows)
    for task in prange((n + _TASK_ROWS - 1) // _TASK_ROWS):
        begin, end = task * _TASK_ROWS, min(n, (task + 1) * _TASK_ROWS)
        whole = end - (end - begin) % size
        # one panel of b serves all rows of a task from the level-1 cache
        for t in range(0, count, _PANEL):
            terms = min(_PANEL, count - t)
            for q in range(0, width, len(lanes)):
                for first in range(begin, whole, size):
                    add_outer(
                        left,
                        uint64(first * gap + t * step),
                        uint64(step),
                        uint64(gap),
                        right,
                        uint64(t * b.shape[1] + q),
                        uint64(b.shape[1]),
                        uint64(terms),
                        to,
                        uint64(first * out.shape[1] + q),
                        uint64(out.shape[1]),
                        rows,
                        lanes,
                    )
        for row in range(whole, end):
            for t in range(count):
                value = left[row * gap + t * step]
                for q in range(width):
                    out[row, q] += value * b[t, q]
