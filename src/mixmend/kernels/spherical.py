"""Loops over observed entries for spherical mixtures.

Layout: tables are flat views of (lines, K) arrays whose K is padded to a whole number of
vector lanes. The work goes in row blocks of a fixed size: within a block the E-step walks
the entries by row and the M-step walks the same entries by column, so that the block's
responsibilities are still in the cache when they are gathered. Every output element is
written by one thread and summed in an order that the data alone fix: results do not
depend on the number of threads.

In single precision (float32 values and tables) sums run in float32 over at most a few
thousand terms (one row's run of ``RUN`` entries, one column's entries in one block) and
are then added to float64 tables.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.simd import accumulate, add, fma, load, minus, zeros

RUN = 256
"""Entries of a row that are summed before the sum flows into the float64 table."""

ROWS_PER_TASK = 64
"""Rows that one task of the E-step takes: enough to hide the hand-out, few enough to balance."""

COLUMNS_PER_TASK = 16

_NEGLIGIBLE = -60.0
"""exp(-60) = 9e-27: smaller responsibilities count as 0; denormals would cost 100 cycles each."""


@numba.njit(cache=True, nogil=True, parallel=True)
def squared_distances(
    view: Any, first: int, means: Any, spread: Any, lanes: Any, distances: Any, sums: Any
) -> None:
    """``distances[u, k] = sum_i (x_ui - means[i, k])^2 (+ spread[i, k])`` over observed i.

    ``view`` is a `Compressed` by row; rows ``first`` to ``first + len(distances)`` are
    worked on. ``sums`` gets the sums of ``x - mean`` and is None where nobody needs them;
    so is ``spread``, the variance of each mean.
    """
    pointers, indices, values = view
    n = len(distances)
    width = uint64(means.shape[1])
    mean = means.reshape(-1)
    distance = distances.reshape(-1)
    n_tasks = (n + ROWS_PER_TASK - 1) // ROWS_PER_TASK
    for task in prange(n_tasks):
        for u in range(task * ROWS_PER_TASK, min(n, (task + 1) * ROWS_PER_TASK)):
            for q in range(0, means.shape[1], len(lanes)):
                out = uint64(u) * width + uint64(q)
                for k in range(len(lanes)):
                    distance[out + uint64(k)] = 0.0
                    if sums is not None:
                        sums[u, q + k] = 0.0
                start = uint64(pointers[first + u])
                end = uint64(pointers[first + u + 1])
                while start < end:
                    stop = min(end, start + uint64(RUN))
                    even = zeros(mean, lanes)
                    odd = zeros(mean, lanes)
                    total = zeros(mean, lanes)
                    t = start
                    while t + uint64(2) <= stop:  # two chains hide the latency of the fma
                        i0 = uint64(indices[t]) * width + uint64(q)
                        i1 = uint64(indices[t + uint64(1)]) * width + uint64(q)
                        d0 = minus(values[t], load(mean, i0, lanes))
                        d1 = minus(values[t + uint64(1)], load(mean, i1, lanes))
                        even = fma(d0, d0, even)
                        odd = fma(d1, d1, odd)
                        if spread is not None:
                            even = add(even, load(spread.reshape(-1), i0, lanes))
                            odd = add(odd, load(spread.reshape(-1), i1, lanes))
                        if sums is not None:
                            total = add(total, add(d0, d1))
                        t += uint64(2)
                    if t < stop:
                        i0 = uint64(indices[t]) * width + uint64(q)
                        d0 = minus(values[t], load(mean, i0, lanes))
                        even = fma(d0, d0, even)
                        if spread is not None:
                            even = add(even, load(spread.reshape(-1), i0, lanes))
                        if sums is not None:
                            total = add(total, d0)
                    accumulate(distance, out, add(even, odd))
                    if sums is not None:
                        accumulate(sums.reshape(-1), out, total)
                    start = stop


@numba.njit(cache=True, nogil=True, parallel=True)
def column_sums(
    view: Any, first: int, means: Any, posterior: Any, shift: Any, lanes: Any, s0: Any, s1: Any
) -> None:
    """Add one row block to ``s0[i, k] = sum_u post`` and ``s1[i, k] = sum_u post (x_ui - mean)``.

    ``view`` holds the block by column: lines ``first`` to ``first + len(s0)``, its indices
    counting rows within the block. ``shift[u, k]``, where given, is subtracted from s1 for
    every entry (the posterior times the row's expected offset).
    """
    pointers, indices, values = view
    d = len(s0)
    width = uint64(means.shape[1])
    mean = means.reshape(-1)
    post = posterior.reshape(-1)
    n_tasks = (d + COLUMNS_PER_TASK - 1) // COLUMNS_PER_TASK
    for task in prange(n_tasks):
        for i in range(task * COLUMNS_PER_TASK, min(d, (task + 1) * COLUMNS_PER_TASK)):
            start = uint64(pointers[first + i])
            end = uint64(pointers[first + i + 1])
            if start == end:
                continue
            for q in range(0, means.shape[1], len(lanes)):
                out = uint64(i) * width + uint64(q)
                centre = load(mean, out, lanes)
                even0 = zeros(mean, lanes)
                even1 = zeros(mean, lanes)
                odd0 = zeros(mean, lanes)
                odd1 = zeros(mean, lanes)
                offset = zeros(mean, lanes)
                t = start
                while t + uint64(2) <= end:
                    u0 = uint64(indices[t]) * width + uint64(q)
                    u1 = uint64(indices[t + uint64(1)]) * width + uint64(q)
                    p0 = load(post, u0, lanes)
                    p1 = load(post, u1, lanes)
                    even0 = add(even0, p0)
                    odd0 = add(odd0, p1)
                    even1 = fma(p0, minus(values[t], centre), even1)
                    odd1 = fma(p1, minus(values[t + uint64(1)], centre), odd1)
                    if shift is not None:
                        moved = shift.reshape(-1)
                        offset = add(offset, add(load(moved, u0, lanes), load(moved, u1, lanes)))
                    t += uint64(2)
                if t < end:
                    u0 = uint64(indices[t]) * width + uint64(q)
                    p0 = load(post, u0, lanes)
                    even0 = add(even0, p0)
                    even1 = fma(p0, minus(values[t], centre), even1)
                    if shift is not None:
                        offset = add(offset, load(shift.reshape(-1), u0, lanes))
                accumulate(s0.reshape(-1), out, add(even0, odd0))
                accumulate(s1.reshape(-1), out, add(even1, odd1))
                if shift is not None:
                    accumulate(s1.reshape(-1), out, minus(np.float32(0.0), offset))


@numba.njit(cache=True, nogil=True, parallel=True)
def responsibilities(
    distances: Any,
    sums: Any,
    counts: Any,
    row_weights: Any,
    terms: Any,
    posterior: Any,
    shift: Any,
    totals: Any,
) -> None:
    """Bayes' rule in the log domain for a block of rows, and the sums over rows.

    ``terms`` (3, K) holds the log weights, the variances and the offset variances.
    ``distances`` is overwritten by each row's log joint densities. ``totals`` (n_tasks,
    K + 1, 4) gets, per task and component, the weighted sums of the posterior, of posterior
    × observed cells, of posterior × expected squared residual and of posterior × expected
    squared offset; its last line begins with the log-likelihood. A row's offset b has, given
    the component, the posterior N(tau S / (v + m tau), tau v / (v + m tau)), S being the sum
    of its m residuals; b is integrated out of the row's density (v I + tau 1 1^T).
    """
    n_components = terms.shape[1]
    n = len(counts)
    n_tasks = len(totals)
    per_task = (n + n_tasks - 1) // n_tasks
    half_log = 0.5 * np.log(2.0 * np.pi * terms[1])
    half_precision = 0.5 / terms[1]
    for task in prange(n_tasks):
        score = np.empty(n_components)
        total = totals[task]
        total[:] = 0.0
        for u in range(task * per_task, min(n, (task + 1) * per_task)):
            m = counts[u]
            largest = -np.inf
            for k in range(n_components):
                score[k] = terms[0, k] - m * half_log[k] - distances[u, k] * half_precision[k]
                if sums is not None:
                    tau = terms[2, k]
                    both = terms[1, k] + m * tau
                    score[k] += half_precision[k] * tau * sums[u, k] ** 2 / both
                    score[k] -= 0.5 * np.log(both / terms[1, k])
                largest = max(largest, score[k])
            evidence = 0.0
            for k in range(n_components):
                gap = score[k] - largest
                weight = np.exp(gap) if gap > _NEGLIGIBLE else 0.0
                posterior[u, k] = weight
                evidence += weight
            w = 1.0 if row_weights is None else row_weights[u]
            if m > 0:  # a row with nothing observed is certain: it adds log 1 = 0
                total[n_components, 0] += w * (largest + np.log(evidence))
            scale = w / evidence
            for k in range(n_components):
                p = posterior[u, k] * scale
                posterior[u, k] = p
                squared = distances[u, k]
                distances[u, k] = score[k]
                if sums is not None:
                    both = terms[1, k] + m * terms[2, k]
                    offset = terms[2, k] * sums[u, k] / both
                    offset_square = offset * offset + terms[2, k] * terms[1, k] / both
                    squared += m * offset_square - 2.0 * offset * sums[u, k]
                    shift[u, k] = p * offset
                    total[k, 3] += p * offset_square
                total[k, 0] += p
                total[k, 1] += p * m
                total[k, 2] += p * squared
