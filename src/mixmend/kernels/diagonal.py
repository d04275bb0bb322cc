"""Loops for mixtures with a variance per component and column.

Layout and guarantees are those of `mixmend.kernels.spherical`: tables are flat views of
(lines, K) arrays padded to whole vectors, every output element is written by one thread
and summed in an order that the data alone fix, and single-precision sums flow into
float64 tables after at most ``RUN`` terms.

Rows with holes gather the tables entry by entry. Complete rows need no indices: there,
four rows (or four columns) share every load of a table.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import prange, uint64

from mixmend.kernels.simd import accumulate, add, fma, load, minus, mul, zeros
from mixmend.kernels.spherical import RUN, TASKS, line_of_share


@numba.njit(cache=True, nogil=True, parallel=True)
def scaled_distances(view: Any, first: int, tables: Any, lanes: Any, distances: Any) -> None:
    """``distances[u, k] = sum_i ((x_ui - mean)^2 * precision + log variance)`` over observed i.

    ``tables`` (d, 3, K) holds means, precisions and log variances side by side: an entry
    then touches one stretch of memory. Rows ``first`` to ``first + len(distances)`` of
    ``view``, a `Compressed` by row, are worked on.
    """
    pointers, indices, values = view
    n, padded = distances.shape
    width = uint64(padded)
    flat = tables.reshape(-1)
    distance = distances.reshape(-1)
    for task in prange(TASKS):
        for u in range(
            line_of_share(pointers, first, n, task), line_of_share(pointers, first, n, task + 1)
        ):
            for q in range(0, padded, len(lanes)):
                out = uint64(u) * width + uint64(q)
                for k in range(len(lanes)):
                    distance[out + uint64(k)] = 0.0
                start = uint64(pointers[first + u])
                end = uint64(pointers[first + u + 1])
                while start < end:
                    stop = min(end, start + uint64(RUN))
                    even = zeros(flat, lanes)
                    odd = zeros(flat, lanes)
                    t = start
                    while t + uint64(2) <= stop:  # two chains hide the latency of the fma
                        i0 = uint64(indices[t]) * (uint64(3) * width) + uint64(q)
                        i1 = uint64(indices[t + uint64(1)]) * (uint64(3) * width) + uint64(q)
                        d0 = minus(values[t], load(flat, i0, lanes))
                        d1 = minus(values[t + uint64(1)], load(flat, i1, lanes))
                        p0 = load(flat, i0 + width, lanes)
                        p1 = load(flat, i1 + width, lanes)
                        even = fma(mul(d0, p0), d0, even)
                        odd = fma(mul(d1, p1), d1, odd)
                        even = add(even, load(flat, i0 + uint64(2) * width, lanes))
                        odd = add(odd, load(flat, i1 + uint64(2) * width, lanes))
                        t += uint64(2)
                    if t < stop:
                        i0 = uint64(indices[t]) * (uint64(3) * width) + uint64(q)
                        d0 = minus(values[t], load(flat, i0, lanes))
                        even = fma(mul(d0, load(flat, i0 + width, lanes)), d0, even)
                        even = add(even, load(flat, i0 + uint64(2) * width, lanes))
                    accumulate(distance, out, add(even, odd))
                    start = stop


@numba.njit(cache=True, nogil=True, parallel=True)
def column_moments(
    view: Any, first: int, means: Any, posterior: Any, lanes: Any, s0: Any, s1: Any, s2: Any
) -> None:
    """Add one row tile to the sums of ``post``, ``post (x - mean)`` and ``post (x - mean)^2``.

    ``view`` holds the tile by column: lines ``first`` to ``first + len(s0)``, its indices
    counting rows within the tile. All tables are (d, K).
    """
    pointers, indices, values = view
    d, padded = s0.shape
    width = uint64(padded)
    mean = means.reshape(-1)
    post = posterior.reshape(-1)
    for task in prange(TASKS):
        for i in range(
            line_of_share(pointers, first, d, task), line_of_share(pointers, first, d, task + 1)
        ):
            for q in range(0, padded, len(lanes)):
                out = uint64(i) * width + uint64(q)
                centre = load(mean, out, lanes)
                start = uint64(pointers[first + i])
                end = uint64(pointers[first + i + 1])
                while start < end:
                    stop = min(end, start + uint64(16 * RUN))
                    even0 = zeros(mean, lanes)
                    even1 = zeros(mean, lanes)
                    even2 = zeros(mean, lanes)
                    odd0 = zeros(mean, lanes)
                    odd1 = zeros(mean, lanes)
                    odd2 = zeros(mean, lanes)
                    t = start
                    while t + uint64(2) <= stop:
                        u0 = uint64(indices[t]) * width + uint64(q)
                        u1 = uint64(indices[t + uint64(1)]) * width + uint64(q)
                        p0 = load(post, u0, lanes)
                        p1 = load(post, u1, lanes)
                        d0 = minus(values[t], centre)
                        d1 = minus(values[t + uint64(1)], centre)
                        e0 = mul(p0, d0)
                        e1 = mul(p1, d1)
                        even0 = add(even0, p0)
                        odd0 = add(odd0, p1)
                        even1 = add(even1, e0)
                        odd1 = add(odd1, e1)
                        even2 = fma(e0, d0, even2)
                        odd2 = fma(e1, d1, odd2)
                        t += uint64(2)
                    if t < stop:
                        p0 = load(post, uint64(indices[t]) * width + uint64(q), lanes)
                        d0 = minus(values[t], centre)
                        e0 = mul(p0, d0)
                        even0 = add(even0, p0)
                        even1 = add(even1, e0)
                        even2 = fma(e0, d0, even2)
                    accumulate(s0.reshape(-1), out, add(even0, odd0))
                    accumulate(s1.reshape(-1), out, add(even1, odd1))
                    accumulate(s2.reshape(-1), out, add(even2, odd2))
                    start = stop


@numba.njit(cache=True, nogil=True, parallel=True)
def complete_distances(
    X: Any, first: int, means: Any, precisions: Any, lanes: Any, distances: Any
) -> None:
    """``distances[u, k] = sum_i (x_ui - means[i, k])^2 * precisions[i, k]`` of complete rows.

    ``X`` (n, d) has no holes; rows ``first`` to ``first + len(distances)`` are worked on.
    Four rows share every load of the tables.
    """
    n, padded = distances.shape
    d = X.shape[1]
    width = uint64(padded)
    mean = means.reshape(-1)
    precision = precisions.reshape(-1)
    distance = distances.reshape(-1)
    n_groups = (n + 3) // 4
    for task in prange(TASKS):
        for group in range(task * n_groups // TASKS, (task + 1) * n_groups // TASKS):
            u = 4 * group
            # rows past the last are computed as copies of it and dropped
            x0, x1 = X[first + u], X[first + min(u + 1, n - 1)]
            x2, x3 = X[first + min(u + 2, n - 1)], X[first + min(u + 3, n - 1)]
            for q in range(0, padded, len(lanes)):
                for row in range(u, min(u + 4, n)):
                    for k in range(len(lanes)):
                        distance[uint64(row) * width + uint64(q + k)] = 0.0
                for begin in range(0, d, RUN):
                    a0 = zeros(mean, lanes)
                    a1 = zeros(mean, lanes)
                    a2 = zeros(mean, lanes)
                    a3 = zeros(mean, lanes)
                    for column in range(begin, min(begin + RUN, d)):
                        i = uint64(column)
                        m = load(mean, i * width + uint64(q), lanes)
                        p = load(precision, i * width + uint64(q), lanes)
                        d0 = minus(x0[i], m)
                        d1 = minus(x1[i], m)
                        d2 = minus(x2[i], m)
                        d3 = minus(x3[i], m)
                        a0 = fma(mul(d0, p), d0, a0)
                        a1 = fma(mul(d1, p), d1, a1)
                        a2 = fma(mul(d2, p), d2, a2)
                        a3 = fma(mul(d3, p), d3, a3)
                    out = uint64(u) * width + uint64(q)
                    accumulate(distance, out, a0)
                    if u + 1 < n:
                        accumulate(distance, out + width, a1)
                    if u + 2 < n:
                        accumulate(distance, out + uint64(2) * width, a2)
                    if u + 3 < n:
                        accumulate(distance, out + uint64(3) * width, a3)


@numba.njit(cache=True, nogil=True, parallel=True)
def complete_moments(
    X: Any, first: int, n_rows: int, means: Any, posterior: Any, lanes: Any, parts: Any
) -> None:
    """Add complete rows to sums of ``post (x - mean)`` and ``post (x - mean)^2``.

    ``parts`` (n_parts, 2, d, K) has one pair of tables per part of the tile's rows; the
    caller adds them up in their order. Four columns share every load of the posterior.
    """
    n_parts, _, d, padded = parts.shape
    width = uint64(padded)
    mean = means.reshape(-1)
    post = posterior.reshape(-1)
    for part in prange(n_parts):
        firsts = parts[part, 0].reshape(-1)
        seconds = parts[part, 1].reshape(-1)
        last = (part + 1) * n_rows // n_parts
        for begin in range(part * n_rows // n_parts, last, RUN):
            end = min(begin + RUN, last)
            for i in range(0, d, 4):
                # columns past the last are computed as copies of it and dropped
                c1, c2, c3 = min(i + 1, d - 1), min(i + 2, d - 1), min(i + 3, d - 1)
                for q in range(0, padded, len(lanes)):
                    m0 = load(mean, uint64(i) * width + uint64(q), lanes)
                    m1 = load(mean, uint64(c1) * width + uint64(q), lanes)
                    m2 = load(mean, uint64(c2) * width + uint64(q), lanes)
                    m3 = load(mean, uint64(c3) * width + uint64(q), lanes)
                    a0 = zeros(mean, lanes)
                    a1 = zeros(mean, lanes)
                    a2 = zeros(mean, lanes)
                    a3 = zeros(mean, lanes)
                    b0 = zeros(mean, lanes)
                    b1 = zeros(mean, lanes)
                    b2 = zeros(mean, lanes)
                    b3 = zeros(mean, lanes)
                    for u in range(begin, end):
                        x = X[first + u]
                        p = load(post, uint64(u) * width + uint64(q), lanes)
                        d0 = minus(x[uint64(i)], m0)
                        d1 = minus(x[uint64(c1)], m1)
                        d2 = minus(x[uint64(c2)], m2)
                        d3 = minus(x[uint64(c3)], m3)
                        e0 = mul(p, d0)
                        e1 = mul(p, d1)
                        e2 = mul(p, d2)
                        e3 = mul(p, d3)
                        a0 = add(a0, e0)
                        a1 = add(a1, e1)
                        a2 = add(a2, e2)
                        a3 = add(a3, e3)
                        b0 = fma(e0, d0, b0)
                        b1 = fma(e1, d1, b1)
                        b2 = fma(e2, d2, b2)
                        b3 = fma(e3, d3, b3)
                    out = uint64(i) * width + uint64(q)
                    accumulate(firsts, out, a0)
                    accumulate(seconds, out, b0)
                    if i + 1 < d:
                        accumulate(firsts, out + width, a1)
                        accumulate(seconds, out + width, b1)
                    if i + 2 < d:
                        accumulate(firsts, out + uint64(2) * width, a2)
                        accumulate(seconds, out + uint64(2) * width, b2)
                    if i + 3 < d:
                        accumulate(firsts, out + uint64(3) * width, a3)
                        accumulate(seconds, out + uint64(3) * width, b3)
