"""Loops for mixtures with a variance per component and column.

Layout and guarantees are those of `mixmend.kernels.spherical`: tables are flat views of
(lines, K) arrays padded to whole vectors, every output element is written by one thread
and summed in an order that the data alone fix, and single-precision sums flow into
float64 tables after at most ``RUN`` terms. Complete rows have a kernel of their own
(`mixmend.kernels.dense`).
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
