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

from mixmend.kernels.exponentials import exp_below
from mixmend.kernels.shares import NEGLIGIBLE
from mixmend.kernels.simd import (
    accumulate,
    add,
    fma,
    largest_lane,
    load,
    minus,
    minus_scalar,
    mul,
    scale,
    store,
    store_as,
    sub,
    sum_lanes,
    zeros,
)

RUN = 256
"""Entries of a row that are summed before the sum flows into the float64 table."""

TASKS = 64
"""Parts of equal numbers of entries that a block is cut into: enough to balance threads."""


@numba.njit(cache=True, nogil=True)
def line_of_share(pointers: Any, first: int, n_lines: int, share: int) -> int:
    """Where part ``share`` of `TASKS` begins among lines ``first`` to ``first + n_lines``.

    Counted from ``first``. Parts hold about equal numbers of entries plus lines: popular
    columns lie side by side in many data sets, and empty lines cost time as well.
    """
    low, high = 0, n_lines
    base = pointers[first]
    wanted = (pointers[first + n_lines] - base + n_lines) * share // TASKS
    while low < high:
        middle = (low + high) // 2
        if pointers[first + middle] - base + middle < wanted:
            low = middle + 1
        else:
            high = middle
    return low


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
    for task in prange(TASKS):
        for u in range(
            line_of_share(pointers, first, n, task), line_of_share(pointers, first, n, task + 1)
        ):
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
    for task in prange(TASKS):
        for i in range(
            line_of_share(pointers, first, d, task), line_of_share(pointers, first, d, task + 1)
        ):
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
    counts: Any,
    row_weights: Any,
    terms: Any,
    offsets: Any,
    lanes: Any,
    posterior: Any,
    totals: Any,
) -> None:
    """Bayes' rule in the log domain for a block of rows, and the sums over rows.

    ``terms`` (3, K) holds the log weights, 1/2 log(2 pi v) and 1/(2 v). ``distances`` is
    overwritten by each row's log joint densities. ``totals`` (n_tasks, 5, K) gets, per
    task, the sums over rows of the weighted posterior times 1, observed cells, expected
    squared residual and expected squared offset; its last line begins with the
    log-likelihood.

    ``offsets`` is None or (sums, levels, gains, log_ratios, variances, shift). A row with
    m observed cells and residual sum S has, given the component, the offset posterior
    N(g S, g v) with g = tau / (v + m tau); integrating it out adds g S^2 / (2 v) -
    1/2 log(1 + m tau / v) to the log density. ``gains`` and ``log_ratios`` (n_levels, K)
    tabulate g and the last term over the distinct values of m, ``levels`` (n,) says which
    is the row's, and ``shift`` (n, K) gets posterior × expected offset.
    """
    n, width = distances.shape
    n_tasks = len(totals)
    per_task = (n + n_tasks - 1) // n_tasks
    joint = distances.reshape(-1)
    post = posterior.reshape(-1)
    term = terms.reshape(-1)
    step = len(lanes)
    for task in prange(n_tasks):
        squares = np.empty(width)
        shares = np.empty(width)
        total = totals[task].reshape(-1)
        total[:] = 0.0
        for u in range(task * per_task, min(n, (task + 1) * per_task)):
            m = np.float64(counts[u])
            row = uint64(u) * uint64(width)
            largest = -np.inf
            for q in range(0, width, step):
                k = uint64(q)
                squared = load(joint, row + k, lanes)
                store(squares, k, squared)
                score = sub(
                    load(term, k, lanes),
                    scale(m, load(term, uint64(width) + k, lanes)),
                )
                half_precision = load(term, uint64(2 * width) + k, lanes)
                if offsets is not None:
                    sums, levels, gains, log_ratios, _, _ = offsets
                    level = uint64(levels[u]) * uint64(width) + k
                    residual = load(sums.reshape(-1), row + k, lanes)
                    gain = load(gains.reshape(-1), level, lanes)
                    squared = sub(squared, mul(gain, mul(residual, residual)))
                    score = sub(score, load(log_ratios.reshape(-1), level, lanes))
                score = sub(score, mul(half_precision, squared))
                store(joint, row + k, score)
                largest = max(largest, largest_lane(score))
            evidence = 0.0
            for q in range(0, width, step):
                k = uint64(q)
                share = exp_below(minus_scalar(load(joint, row + k, lanes), largest), NEGLIGIBLE)
                store(shares, k, share)
                evidence += sum_lanes(share)
            w = 1.0 if row_weights is None else row_weights[u]
            if m > 0:  # a row with nothing observed is certain: it adds log 1 = 0
                total[4 * width] += w * (largest + np.log(evidence))
            for q in range(0, width, step):
                k = uint64(q)
                share = scale(w / evidence, load(shares, k, lanes))
                store_as(post, row + k, share)
                squared = load(squares, k, lanes)
                if offsets is not None:
                    sums, levels, gains, _, variances, shift = offsets
                    level = uint64(levels[u]) * uint64(width) + k
                    gain = load(gains.reshape(-1), level, lanes)
                    residual = load(sums.reshape(-1), row + k, lanes)
                    offset = mul(gain, residual)
                    square = fma(offset, offset, mul(gain, load(variances, k, lanes)))
                    squared = fma(scale(-2.0, offset), residual, squared)
                    squared = add(squared, scale(m, square))
                    store_as(shift.reshape(-1), row + k, mul(share, offset))
                    accumulate(total, uint64(3 * width) + k, mul(share, square))
                accumulate(total, k, share)
                accumulate(total, uint64(width) + k, scale(m, share))
                accumulate(total, uint64(2 * width) + k, mul(share, squared))
