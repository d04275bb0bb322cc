"""E-step of Gaussian mixtures with one covariance, over complete rows.

With the rows whitened once, every component's distance is a plain sum of squares. The
scatter within components needs no sum of outer products for each of them either: with
m_u the expected mean of row u and r_uk its responsibilities,

    sum_k r_uk (x_u - mu_k)(x_u - mu_k)' = (x_u - m_u)(x_u - m_u)'
                                           + sum_{k<l} r_uk r_ul (mu_k - mu_l)(mu_k - mu_l)'

whose sums over rows are one d × d and one K × K table; nothing in it cancels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.products import multiply
from mixmend.kernels.shares import bayes
from mixmend.kernels.simd import fma, load, minus, scale, store, zeros

_AT_ONCE = 4
"""Components whose distances are summed side by side, to hide the latency of the fma."""


class Tables(NamedTuple):
    """Parameters in the forms that the kernel reads; Kp and dp are padded K and d.

    ``centre`` (d,) is taken off the data, ``means`` (Kp, dp) are relative to it, ``whitener``
    (dp, dp) is lower triangular, ``white_means`` (Kp, dp) are whitened, ``terms`` (K,) hold
    log weight minus the log of the normalising constant.
    """

    centre: Any
    means: Any
    whitener: Any
    white_means: Any
    terms: Any


class Sums(NamedTuple):
    """Sums over rows, per task.

    ``log_likelihood`` (tasks,), responsibilities ``rows`` (tasks, Kp), responsibility × row
    ``first`` (tasks, Kp, dp), ``scatter`` (tasks, dp, dp) about the expected means and
    ``products`` (tasks, Kp, Kp) of responsibilities.
    """

    log_likelihood: Any
    rows: Any
    first: Any
    scatter: Any
    products: Any


class _Work(NamedTuple):
    rows: Any  # (rows, dp): the tile, centred
    lines: Any  # (dp, rows): the same, transposed
    white: Any  # (dp, rows)
    expected: Any  # (rows, dp): expected means times the rows' weights, then residuals
    weighted: Any  # (rows, dp): residuals times the rows' weights
    joint: Any  # (Kp, rows)
    shares: Any  # (rows, Kp)
    weights: Any  # (rows,)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _distances(tables: Any, n_rows: int, lanes: Any, work: Any) -> None:
    """``joint[k, r] = terms[k] - |white row - white mean|^2 / 2``."""
    d, n_components = len(tables.centre), len(tables.terms)
    white, joint = work.white.reshape(-1), work.joint.reshape(-1)
    width = uint64(work.white.shape[1])
    means = tables.white_means
    for r in range(0, n_rows, len(lanes)):
        for k in range(0, n_components, _AT_ONCE):
            total0, total1 = zeros(white, lanes), zeros(white, lanes)
            total2, total3 = zeros(white, lanes), zeros(white, lanes)
            for i in range(d):
                y = load(white, uint64(i) * width + uint64(r), lanes)
                gap = minus(means[k, i], y)
                total0 = fma(gap, gap, total0)
                gap = minus(means[k + 1, i], y)
                total1 = fma(gap, gap, total1)
                gap = minus(means[k + 2, i], y)
                total2 = fma(gap, gap, total2)
                gap = minus(means[k + 3, i], y)
                total3 = fma(gap, gap, total3)
            here = uint64(k) * width + uint64(r)
            store(joint, here, scale(-0.5, total0))
            store(joint, here + width, scale(-0.5, total1))
            store(joint, here + uint64(2) * width, scale(-0.5, total2))
            store(joint, here + uint64(3) * width, scale(-0.5, total3))
        for k in range(n_components):
            here = uint64(k) * width + uint64(r)
            negative = scale(-1.0, load(joint, here, lanes))
            store(joint, here, minus(tables.terms[k], negative))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _residuals(n_rows: int, tokens: Any, means: Any, work: Any) -> None:
    """Responsibilities by row, and what is left of each row beside its expected mean."""
    n_components = len(work.joint)
    d = work.rows.shape[1]
    for r in range(n_rows):
        for k in range(n_components):
            work.shares[r, k] = work.joint[k, r]
        for j in range(d):
            work.expected[r, j] = 0.0
    multiply(work.joint, (work.joint.shape[1], 1), means, work.expected, n_components, tokens, 0)
    for r in range(n_rows):
        weight = work.weights[r]
        inverse = 1.0 / weight if weight > 0.0 else 0.0
        for j in range(d):
            gap = weight * work.rows[r, j] - work.expected[r, j]
            work.weighted[r, j] = gap
            work.expected[r, j] = inverse * gap


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(tables: Any, layout: Any, weights: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, lanes = (tokens[0], tokens[1]), tokens[2]
    d, dp = len(tables.centre), tables.means.shape[1]
    n_components, kp = len(tables.terms), len(tables.means)
    size = layout.tile_rows
    work = _Work(
        np.zeros((size, dp)),
        np.zeros((dp, size)),
        np.zeros((dp, size)),
        np.zeros((size, dp)),
        np.zeros((size, dp)),
        np.zeros((kp, size)),
        np.zeros((size, kp)),
        np.zeros(size),
    )
    for tile in range(layout.task_tiles[task], layout.task_tiles[task + 1]):
        start = layout.run_starts[layout.tile_runs[tile]]
        n_rows = layout.run_starts[layout.tile_runs[tile + 1]] - start
        for r in range(n_rows):
            u = layout.order[start + r]
            work.weights[r] = weights[u] if len(weights) > 0 else 1.0
            for j in range(d):
                value = np.float64(layout.values[u, j]) - tables.centre[j]
                work.rows[r, j] = value
                work.lines[j, r] = value
        for r in range(n_rows, size):
            work.weights[r] = 0.0
        for i in range(dp):
            for r in range(size):
                work.white[i, r] = 0.0
        multiply(tables.whitener, (1, dp), work.lines, work.white, d, (shape[0], lanes), 1)
        _distances(tables, n_rows, lanes, work)
        sums.log_likelihood[task] += bayes(work.joint[:n_components], n_rows, lanes, work.weights)
        for k in range(n_components):
            for r in range(n_rows):
                sums.rows[task, k] += work.joint[k, r]
        _residuals(n_rows, shape, tables.means, work)
        multiply(work.shares, (kp, 1), work.rows, sums.first[task], n_rows, shape, 0)
        multiply(work.weighted, (dp, 1), work.expected, sums.scatter[task], n_rows, shape, -1)
        for r in range(n_rows):  # products of responsibilities, each once with the weight
            inverse = 1.0 / work.weights[r] if work.weights[r] > 0.0 else 0.0
            for k in range(n_components):
                work.joint[k, r] = inverse * work.shares[r, k]
        joint_steps = (1, size)
        multiply(work.joint, joint_steps, work.shares, sums.products[task], n_rows, shape, -1)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def e_step(
    tables: Any,
    layout: Any,
    weights: Any,
    sums: Any,
    row_token: Any,
    column_lanes: Any,
    tile_lanes: Any,
) -> None:
    """Sums over all rows of a layout without holes (see the module and `Sums`), by task.

    ``weights`` (n,) of the rows, or empty. ``row_token`` and ``column_lanes`` are
    `mixmend.kernels.products.block_shape`'s tokens.
    """
    for task in prange(len(layout.task_tiles) - 1):
        tokens = (row_token, column_lanes, tile_lanes)
        _work_on(tables, layout, weights, sums, tokens, np.int64(task))
