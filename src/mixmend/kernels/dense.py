"""E-step of diagonal and spherical mixtures over complete rows, as matrix products.

With c a common centre, y = x - c and b = mean - c, the exponent of a component is linear in
y and y^2, and so are the sums that an M-step needs::

    sum_i p_i (y_i - b_i)^2 = sum_i p_i y_i^2 - 2 sum_i p_i b_i y_i + const
    sum_u r_u (y_u - b)^2   = sum_u r_u y_u^2 - 2 b sum_u r_u y_u + b^2 sum_u r_u

A tile of rows ``(y, y^2)`` is written once and multiplied twice while it is in the cache:
by the coefficients, and, transposed, by the responsibilities. Where a component has one
precision for all columns, ``(y, |y|^2)`` says as much with half the work. What the second
line cancels is the caller's affair: it is (b / standard deviation)^2 roundings of a variance.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.exponentials import exp_below
from mixmend.kernels.products import multiply
from mixmend.kernels.shares import NEGLIGIBLE
from mixmend.kernels.simd import (
    accumulate,
    add,
    lanes_at_least,
    largest_lane,
    load,
    minus_scalar,
    scale,
    store,
    sum_lanes,
    zeros,
)


class Tables(NamedTuple):
    """Parameters in the forms that the kernel reads; dp and Kp are padded d and K.

    ``centre`` (d,) is taken off the data. ``coefficients`` (depth, Kp) hold p b and, from
    line ``half`` on, -p / 2 for precisions p: a line for each column, or a single one where
    ``alike`` is 1. ``terms`` (Kp,) are everything else of the log joint density, minus
    infinity beyond K.
    """

    half: int
    alike: int
    centre: Any
    coefficients: Any
    terms: Any


class Sums(NamedTuple):
    """Sums over rows, per task.

    ``log_likelihood`` (tasks,), responsibilities ``rows`` (tasks, Kp), and responsibility ×
    the lines of a tile, ``moments`` (tasks, depth, Kp).
    """

    log_likelihood: Any
    rows: Any
    moments: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_tile(X: Any, first: int, n_rows: int, tables: Any, tile: Any) -> None:
    """``tile[r] = (y, y^2)``, or ``(y, |y|^2)``, for the rows from ``first`` on."""
    centre, d, half = tables.centre, uint64(X.shape[1]), uint64(tables.half)
    alike = tables.alike == 1
    for r in range(n_rows):
        row, out = X[first + r], tile[r]
        for j in range(d):
            y = np.float64(row[j]) - centre[j]
            out[j] = y
        if alike:
            even, odd = 0.0, 0.0  # two chains hide some of the latency of a sum
            for j in range(d // uint64(2)):
                even += out[uint64(2) * j] * out[uint64(2) * j]
                odd += out[uint64(2) * j + uint64(1)] * out[uint64(2) * j + uint64(1)]
            if d % uint64(2) == uint64(1):
                even += out[d - uint64(1)] * out[d - uint64(1)]
            out[half] = even + odd
        else:
            for j in range(d):
                out[half + j] = out[j] * out[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def bayes(joint: Any, n_rows: int, lanes: Any, weights: Any, rows: Any) -> float:
    """Turn log joint densities (rows, Kp) into weighted responsibilities.

    Returns the weighted sum of log densities; ``rows`` (Kp,) gets the responsibilities'
    sums added.
    """
    width, flat = uint64(joint.shape[1]), joint.reshape(-1)
    step = uint64(len(lanes))
    total = 0.0
    for r in range(n_rows):  # while loops inside: an unsigned range divides to count its steps
        begin = uint64(r) * width
        largest, k = -np.inf, uint64(0)
        while k < width:
            largest = max(largest, largest_lane(load(flat, begin + k, lanes)))
            k += step
        floor, sums, k = largest + NEGLIGIBLE, zeros(flat, lanes), uint64(0)
        while k < width:
            scores = load(flat, begin + k, lanes)
            if lanes_at_least(scores, floor) == uint64(0):
                store(flat, begin + k, zeros(flat, lanes))
            else:
                share = exp_below(minus_scalar(scores, largest), NEGLIGIBLE)
                store(flat, begin + k, share)
                sums = add(sums, share)
            k += step
        evidence, k = sum_lanes(sums), uint64(0)
        total += weights[r] * (largest + math.log(evidence))
        factor = weights[r] / evidence
        while k < width:
            share = scale(factor, load(flat, begin + k, lanes))
            store(flat, begin + k, share)
            accumulate(rows, k, share)
            k += step
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(X: Any, tables: Any, rows: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, lanes, tile_rows = (tokens[0], tokens[1]), tokens[1], tokens[2]
    n = len(X)
    depth, width = tables.coefficients.shape
    n_tasks = len(sums.log_likelihood)
    tile, joint = np.zeros((tile_rows, depth)), np.zeros((tile_rows, width))
    weights = np.ones(tile_rows)
    n_tiles = (n + tile_rows - 1) // tile_rows
    for t in range(task * n_tiles // n_tasks, (task + 1) * n_tiles // n_tasks):
        first = t * tile_rows
        n_rows = min(tile_rows, n - first)
        _fill_tile(X, first, n_rows, tables, tile)
        for r in range(n_rows):
            if len(rows.weights) > 0:
                weights[r] = rows.weights[first + r]
            for k in range(width):
                joint[r, k] = tables.terms[k]
        if len(rows.shares) > 0:
            for r in range(n_rows):
                for k in range(rows.shares.shape[1]):
                    joint[r, k] = weights[r] * rows.shares[first + r, k]
        else:
            multiply(tile, (1, depth), tables.coefficients, joint, depth, shape)
            for r in range(n_rows):
                for k in range(rows.log_joint.shape[1] if len(rows.log_joint) > 0 else 0):
                    rows.log_joint[first + r, k] = joint[r, k]
            sums.log_likelihood[task] += bayes(joint, n_rows, lanes, weights, sums.rows[task])
        if len(sums.moments) > 0:
            multiply(tile, (depth, 1), joint, sums.moments[task], n_rows, shape)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def e_step(
    X: Any, tables: Any, rows: Any, sums: Any, row_token: Any, lanes: Any, tile_rows: int
) -> None:
    """Sums over all rows of ``X`` (n, d), which has no holes (see the module and `Sums`).

    ``rows`` is a `mixmend.kernels.full.Rows`. With given shares only ``moments`` are summed.
    ``row_token`` and ``lanes`` are `mixmend.kernels.products.block_shape`'s for K.
    """
    for task in prange(len(sums.log_likelihood)):
        _work_on(X, tables, rows, sums, (row_token, lanes, tile_rows), np.int64(task))
