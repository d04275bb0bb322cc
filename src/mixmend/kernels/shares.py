"""Responsibilities of a tile of rows, one row in each lane, from its log joint densities."""

from __future__ import annotations

from typing import Any

import numba
from numba import uint64

from mixmend.kernels.exponentials import exp_below, log_lanes
from mixmend.kernels.simd import (
    add,
    div,
    fma,
    larger,
    load,
    mul,
    store,
    sub,
    sum_lanes,
    zeros,
)

NEGLIGIBLE = -45.0
"""exp(-45) = 3e-20: smaller responsibilities count as 0, which no sum over rows could tell;
denormals would cost 100 cycles each."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def bayes(joint: Any, n_rows: int, lanes: Any, weights: Any) -> float:
    """Turn log joint densities (K, rows) into weighted responsibilities; returns their sum.

    That is the weighted sum of the rows' log densities. Rows beyond ``n_rows`` up to whole
    vectors must hold finite numbers and have no weight.
    """
    n_components, width = joint.shape
    flat = joint.reshape(-1)
    total = zeros(flat, lanes)
    for r in range(0, n_rows, len(lanes)):
        largest = load(flat, uint64(r), lanes)
        for k in range(1, n_components):
            largest = larger(largest, load(flat, uint64(k) * uint64(width) + uint64(r), lanes))
        evidence = zeros(flat, lanes)
        for k in range(n_components):
            here = uint64(k) * uint64(width) + uint64(r)
            share = exp_below(sub(load(flat, here, lanes), largest), NEGLIGIBLE)
            evidence = add(evidence, share)
            store(flat, here, share)
        weight = load(weights, uint64(r), lanes)
        total = fma(weight, add(largest, log_lanes(evidence)), total)
        factor = div(weight, evidence)
        for k in range(n_components):
            here = uint64(k) * uint64(width) + uint64(r)
            store(flat, here, mul(load(flat, here, lanes), factor))
    return float(sum_lanes(total))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def weighted_shares(rows: Any, here: Any, joint: Any, lanes: Any, weights: Any) -> float:
    """Turn the log joint densities (K, rows) of a tile into weighted shares, in place.

    ``here`` is (order, start, n_rows): the rows that the tile holds. ``rows`` has their weights,
    takes their log joint densities where somebody wants these, and may hold given shares, which
    then count instead. ``weights`` (rows,) is filled. Returns the weighted sum of the rows' log
    densities, 0 with given shares.
    """
    order, start, n_rows = here
    for r in range(n_rows):
        u = order[start + r]
        weights[r] = rows.weights[u] if len(rows.weights) > 0 else 1.0
        for k in range(len(joint)):
            if len(rows.log_joint) > 0:
                rows.log_joint[u, k] = joint[k, r]
            if len(rows.shares) > 0:
                joint[k, r] = weights[r] * rows.shares[u, k]
    for r in range(n_rows, len(weights)):
        weights[r] = 0.0
    return 0.0 if len(rows.shares) > 0 else bayes(joint, n_rows, lanes, weights)
