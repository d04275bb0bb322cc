"""E-step of Gaussian mixtures with one covariance, over complete rows.

With the rows whitened once, every component's distance is a plain sum of squares. The
scatter within components needs no sum of outer products for each of them either: with
m_u the expected mean of row u and r_uk its responsibilities,

    sum_k r_uk (x_u - mu_k)(x_u - mu_k)' = (x_u - m_u)(x_u - m_u)'
                                           + sum_{k<l} r_uk r_ul (mu_k - mu_l)(mu_k - mu_l)'

whose sums over rows are one d × d and one K × K table; nothing in it cancels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.gaussian import cut_strips, multiply_vectors, shape_of, strips_for
from mixmend.kernels.products import add_outer, subtract_half_squares
from mixmend.kernels.shares import bayes
from mixmend.kernels.simd import store_transposed

_COMPONENTS = (0, 0)
"""Token of how many components' distances are summed side by side."""


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

    ``log_likelihood`` (tasks,), responsibility × row ``first`` (tasks, Kp, dp), ``scatter``
    (tasks, dp, dp) about the expected means and ``products`` (tasks, Kp, Kp) of
    responsibilities; of the last two only the lower triangles count.
    """

    log_likelihood: Any
    first: Any
    scatter: Any
    products: Any


class _Work(NamedTuple):
    """One task's arrays.

    Rows, gaps and shares end up times the roots of the rows' weights, so that each sum over
    rows is one of products of two of them.
    """

    rows: Any  # (rows, dp): the tile, centred
    strips: Any  # see `mixmend.kernels.gaussian`
    white: Any  # (dp * lanes,): a strip
    gaps: Any  # (rows, dp): the expected means minus the rows
    joint: Any  # (Kp, rows); what lies beyond K is of no account, nor in the shares
    shares: Any  # (rows, Kp): responsibilities
    weights: Any  # (rows,)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _distances(tables: Any, n_rows: int, shape: Any, work: Any) -> None:
    """``joint[k, r] = terms[k] - |white row - white mean|^2 / 2``."""
    rows, lanes = shape[0], shape[3]
    step, width = uint64(len(lanes)), uint64(len(tables.whitener))
    whitener, means = tables.whitener.reshape(-1), tables.white_means.reshape(-1)
    strips, white, joint = work.strips.reshape(-1), work.white, work.joint.reshape(-1)
    size, one, none = uint64(work.joint.shape[1]), uint64(1), uint64(0)
    for component in range(len(tables.terms)):
        for r in range(work.joint.shape[1]):
            work.joint[component, r] = tables.terms[component]
    for strip in range((n_rows + len(lanes) - 1) // len(lanes)):
        for lane in range(len(white)):
            white[lane] = 0.0
        at, i = uint64(strip) * uint64(len(white)), uint64(0)
        while i < width:
            end = i + uint64(len(rows))
            add_outer(
                whitener, i * width, one, width, strips, at, step, end, white, i * step, step,
                rows, lanes,
            )  # fmt: skip
            i = end
        k, at = uint64(0), uint64(strip) * step
        while k < uint64(len(tables.terms)):
            subtract_half_squares(
                means, k * width, one, width, white, none, step, width, joint, k * size + at, size,
                _COMPONENTS, lanes,
            )  # fmt: skip
            k += uint64(len(_COMPONENTS))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _turn_shares(n_rows: int, vector: Any, work: Any) -> None:
    """Responsibilities by row from those by component."""
    step, size, kp = uint64(len(vector)), uint64(work.joint.shape[1]), uint64(len(work.joint))
    joint, shares = work.joint.reshape(-1), work.shares.reshape(-1)
    r = uint64(0)
    while r < uint64(n_rows):
        k = uint64(0)
        while k < kp:
            store_transposed(joint, k * size + r, size, shares, r * kp + k, kp, vector)
            k += step
        r += step


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _spread_weights(n_rows: int, work: Any) -> None:
    """Give the roots of the rows' weights to rows and to responsibilities that have them whole."""
    for r in range(n_rows):
        root = math.sqrt(work.weights[r])
        inverse = 1.0 / root if root > 0.0 else 0.0
        for k in range(work.shares.shape[1]):
            work.shares[r, k] *= inverse
        for j in range(work.rows.shape[1]):
            work.rows[r, j] *= root
            work.gaps[r, j] *= root


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(tables: Any, layout: Any, weights: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, lanes = tokens
    d, dp = len(tables.centre), tables.means.shape[1]
    n_components, kp = len(tables.terms), len(tables.means)
    size = layout.tile_rows
    work = _Work(
        np.zeros((size, dp)),
        strips_for(size, dp, shape),
        np.zeros(dp * len(shape[3])),
        np.zeros((size, dp)),
        np.zeros((kp, size)),
        np.zeros((size, kp)),
        np.zeros(size),
    )
    first, scatter, products = sums.first[task], sums.scatter[task], sums.products[task]
    for tile in range(layout.task_tiles[task], layout.task_tiles[task + 1]):
        start = layout.run_starts[layout.tile_runs[tile]]
        n_rows = layout.run_starts[layout.tile_runs[tile + 1]] - start
        work.weights[:] = 0.0
        for r in range(n_rows):
            u = layout.order[start + r]
            work.weights[r] = weights[u] if len(weights) > 0 else 1.0
            for j in range(d):
                value = np.float64(layout.values[u, j]) - tables.centre[j]
                work.rows[r, j] = value
                work.gaps[r, j] = -value
        cut_strips(work.rows, dp, n_rows, shape, work.strips)
        _distances(tables, n_rows, shape, work)
        sums.log_likelihood[task] += bayes(work.joint[:n_components], n_rows, lanes, work.weights)
        _turn_shares(n_rows, shape[1], work)
        if len(weights) > 0:
            _spread_weights(n_rows, work)
        to_rows = n_rows + -n_rows % len(shape[0])
        multiply_vectors(
            work.shares, (1, kp), tables.means, work.gaps, n_components, (to_rows, dp), shape, False
        )
        multiply_vectors(work.shares, (kp, 1), work.rows, first, n_rows, (kp, dp), shape, False)
        multiply_vectors(work.gaps, (dp, 1), work.gaps, scatter, n_rows, (dp, dp), shape, True)
        multiply_vectors(work.shares, (kp, 1), work.shares, products, n_rows, (kp, kp), shape, True)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def e_step(tables: Any, layout: Any, weights: Any, sums: Any, vector: Any, tile_lanes: Any) -> None:
    """Sums over all rows of a layout without holes (see the module and `Sums`), by task.

    ``weights`` (n,) of the rows, or empty. ``vector`` is
    `mixmend.kernels.products.vector_lanes`'s, ``tile_lanes`` the token of the vectors along a
    tile's rows.
    """
    for task in prange(len(layout.task_tiles) - 1):
        tokens = (shape_of(vector), tile_lanes)
        _work_on(tables, layout, weights, sums, tokens, np.int64(task))
