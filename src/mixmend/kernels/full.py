"""E-step of Gaussian mixtures with full covariances, over rows laid out by pattern.

A tile of rows (see `mixmend.mixtures.pattern_rows`) is worked on in two passes: residuals
and distances for every component, Bayes' rule, and then the moments, while the residuals
are still in the cache. Matrix products run along columns, row by row in registers; what
depends on a row's pattern (inverses of small matrices) runs along components, because one
pattern serves them all without a branch.

With holes h and observed cells o, precision P and covariance C of a component, and z the
residuals of the observed cells, a tile works either through the holes::

    residuals of the holes  f = -inv(P_hh) P_ho z      distance = |W (z, f)|^2,  P = W' W
    second moments          (z, f)(z, f)' + inv(P_hh) in the holes

or, where fewer cells are observed than missing, through those::

    w = inv(C_oo) z, 0 in the holes                    distance = w' z
    second moments          C + C (w w' - inv(C_oo)) C

so that the sums over rows are of the same kind, an outer product and a small matrix, and
the products with C wait until all rows have been summed.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.gaussian import (
    add_moments,
    cut_strips,
    room_for,
    shape_of,
    strips_for,
    subtract_distances,
)
from mixmend.kernels.lanes import (
    buffers_for,
    lane_residuals,
    negated_inverse,
    restricted_product,
    times_symmetric,
)
from mixmend.kernels.shares import weighted_shares
from mixmend.kernels.simd import fma, load, store

LOG_2PI = math.log(2.0 * math.pi)


class Tables(NamedTuple):
    """Parameters in the forms that the kernels read; K padded to whole vectors is Kp.

    ``means`` (K, dp) and ``whiteners`` (K, dp, dp; line j, lane i holds W_ij) run along
    columns; ``lane_means`` (d, Kp), ``precisions`` and ``covariances`` (d, d, Kp) along
    components, flat. ``terms`` (2, Kp) holds log weights and log determinants of the covariances.
    """

    means: Any
    whiteners: Any
    lane_means: Any
    precisions: Any
    covariances: Any
    terms: Any


class Sums(NamedTuple):
    """Sums over rows, per task and kind of tile (through holes, through observed cells).

    ``rows`` (tasks, kinds, K), ``first`` (tasks, kinds, K, dp), ``second`` (tasks, kinds,
    K, dp, dp) and ``spread`` (tasks, kinds, d, d, Kp): lower triangles; the last is empty
    where no cell is missing. ``log_likelihood`` (tasks,).
    """

    log_likelihood: Any
    rows: Any
    first: Any
    second: Any
    spread: Any


class Rows(NamedTuple):
    """What is given or wanted row by row; arrays without lines where it is not.

    ``weights`` (n,) of the rows; ``shares`` (n, K), given responsibilities; ``log_joint``
    (n, K), to be filled with log weight plus log density of the observed cells.
    """

    weights: Any
    shares: Any
    log_joint: Any


class _Work(NamedTuple):
    """One task's arrays for a tile."""

    residuals: Any  # (K, rows, dp)
    strips: Any  # a component's, transposed (see `mixmend.kernels.gaussian`)
    room: Any  # what is made of them and one component
    joint: Any  # (K, rows)
    lanes: Any  # Buffers: triangles of -inverse, run after run, and lines for a row
    lane_terms: Any  # (Kp,)


# ------------------------------------------------------------------------------ a tile


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_run(tables: Any, layout: Any, run: int, row: int, at: int, lanes: Any, work: Any) -> Any:
    """Residuals and pattern terms of one run of rows; returns where the next inverse goes.

    ``row`` is the run's first row within the tile. ``joint`` gets everything but the
    products' squares.
    """
    n_components = len(tables.means)
    pattern = layout.run_patterns[run]
    size = layout.sizes[pattern]
    by_observed = layout.by_observed[pattern] == 1
    few = layout.columns[pattern, :size]
    rest = layout.columns[pattern, size:]
    # arrays are indexed, not sliced, where it happens often: a slice counts its references
    values, order, first = layout.values, layout.order, layout.run_starts[run]
    means, residuals, joint = tables.means, work.residuals, work.joint
    log_det = work.lane_terms
    for k in range(len(log_det)):
        log_det[k] = 0.0
    if size > 0:
        table = tables.covariances if by_observed else tables.precisions
        negated_inverse(table, values.shape[1], few, size, lanes, at, log_det, work.lanes)
    n_seen = size if by_observed else len(rest)
    for k in range(n_components):
        if not by_observed:
            log_det[k] += tables.terms[1, k]
        log_det[k] = tables.terms[0, k] - 0.5 * (n_seen * LOG_2PI + log_det[k])
    count = layout.run_starts[run + 1] - first
    for i in range(count):
        u = order[first + i]
        for k in range(n_components):
            joint[k, row + i] = log_det[k]
            for j in range(values.shape[1]):
                gap = np.float64(values[u, j]) - means[k, j]
                residuals[k, row + i, j] = 0.0 if by_observed else gap
    if size > 0:
        rows = (first, count, row)
        _fill_holes(tables, layout, (few, rest, by_observed, at), rows, lanes, work)
    return at + size * (size + 1) // 2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_holes(tables: Any, layout: Any, pattern: Any, rows: Any, lanes: Any, work: Any) -> None:
    """Residuals of a run's holes, or all that its observed cells make of it (see the module)."""
    few, rest, by_observed, at = pattern
    first, count, row = rows
    inverses, residuals, column, fill = work.lanes
    out, joint, values, order = work.residuals, work.joint, layout.values, layout.order
    lane_means, precisions = tables.lane_means, tables.precisions
    n_components, size, width = len(joint), len(few), len(work.lane_terms)
    for r in range(count):
        u = order[first + r]
        if by_observed:
            lane_residuals(values, u, few, lane_means, width, lanes, residuals)
            for i in range(size):
                for k in range(n_components):
                    column[i * width + k] = residuals[few[i] * width + k]
        else:
            lane_residuals(values, u, rest, lane_means, width, lanes, residuals)
            restricted_product(
                precisions, values.shape[1], few, rest, residuals, width, lanes, column
            )
        times_symmetric(inverses, at, size, column, width, lanes, fill)
        for k in range(n_components):
            for i in range(size):
                solved = fill[i * width + k]
                if by_observed:
                    out[k, row + r, few[i]] = -solved
                    joint[k, row + r] += 0.5 * solved * column[i * width + k]
                else:
                    out[k, row + r, few[i]] = solved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_all_moments(nowhere: Any, n_rows: int, shape: Any, work: Any, out: Any) -> None:
    """Add a tile's sums of responsibilities, residuals and outer products, ``out``'s tables."""
    rows_out, first, second = out
    n_components, width = first.shape
    for k in range(n_components):
        rows_out[k] += add_moments(
            work.residuals[k],
            nowhere,
            work.joint[k],
            width,
            n_rows,
            shape,
            work.room,
            (first[k], second[k]),
        )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_spread(layout: Any, first_run: int, end_run: int, lanes: Any, work: Any, out: Any) -> None:
    """Add each run's inverse times its rows' responsibilities to the lower triangle of ``out``.

    The inverses are stored with a minus sign, which is what tiles that work through observed
    cells want; tiles that work through holes want it gone.
    """
    width = uint64(out.shape[2])
    d = uint64(out.shape[1])
    target, source, mass = out.reshape(-1), work.lanes.inverses, work.lane_terms
    row: Any = np.int64(0)  # a literal 0 would have every callee compiled twice
    at: Any = np.int64(0)
    for run in range(first_run, end_run):
        pattern = layout.run_patterns[run]
        sign = 1.0 if layout.by_observed[pattern] == 1 else -1.0
        size = layout.sizes[pattern]
        last = row + layout.run_starts[run + 1] - layout.run_starts[run]
        for k in range(len(work.joint)):
            mass[k] = 0.0
            for r in range(row, last):
                mass[k] += sign * work.joint[k, r]
        row = last
        for q in range(0, out.shape[2], len(lanes)):
            lane = uint64(q)
            factor = load(mass, lane, lanes)
            line = uint64(at) * width + lane
            for i in range(size):
                base = uint64(layout.columns[pattern, i]) * d
                for j in range(i + 1):
                    here = (base + uint64(layout.columns[pattern, j])) * width + lane
                    moved = fma(factor, load(source, line, lanes), load(target, here, lanes))
                    store(target, here, moved)
                    line += width
        at += size * (size + 1) // 2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(tables: Any, layout: Any, rows: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, lanes, tile_lanes = tokens
    n_components, width = tables.means.shape
    lane_width = tables.terms.shape[1]
    size = layout.tile_rows
    work = _Work(
        np.zeros((n_components, size, width)),
        strips_for(size, width, shape),
        room_for(size, width, shape),
        np.zeros((n_components, size)),
        buffers_for(layout.store_size, layout.values.shape[1], lane_width),
        np.zeros(lane_width),
    )
    weights, nowhere = np.zeros(size), np.zeros(width)  # residuals are about 0
    for tile in range(layout.task_tiles[task], layout.task_tiles[task + 1]):
        first_run, end_run = layout.tile_runs[tile], layout.tile_runs[tile + 1]
        start, end = layout.run_starts[first_run], layout.run_starts[end_run]
        n_rows = end - start
        kind = layout.by_observed[layout.run_patterns[first_run]]
        row: Any = np.int64(0)  # a literal 0 would have every callee compiled twice
        at: Any = np.int64(0)
        for run in range(first_run, end_run):
            at = _fill_run(tables, layout, run, row, at, lanes, work)
            row += layout.run_starts[run + 1] - layout.run_starts[run]
        if kind == 0:
            for k in range(n_components):
                cut_strips(work.residuals[k], width, n_rows, shape, work.strips)
                subtract_distances(
                    work.strips,
                    nowhere,
                    tables.whiteners[k],
                    width,
                    n_rows,
                    shape,
                    work.joint[k],
                    work.room,
                )
        here = (layout.order, start, n_rows)
        sums.log_likelihood[task] += weighted_shares(rows, here, work.joint, tile_lanes, weights)
        if len(sums.second) > 0:
            out = (sums.rows[task, kind], sums.first[task, kind], sums.second[task, kind])
            _add_all_moments(nowhere, n_rows, shape, work, out)
            if at > 0:
                _add_spread(layout, first_run, end_run, lanes, work, sums.spread[task, kind])


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def e_step(
    tables: Any,
    layout: Any,
    rows: Any,
    sums: Any,
    vector: Any,
    lanes: Any,
    tile_lanes: Any,
) -> None:
    """Sums over all rows of a layout (see the module and `Sums`), task by task.

    ``vector`` is `mixmend.kernels.products.vector_lanes`'s for d, ``lanes`` the token of the
    vectors along components, ``tile_lanes`` of those along a tile's rows.
    With given shares the log-likelihood is not added up.
    """
    for task in prange(len(layout.task_tiles) - 1):
        tokens = (shape_of(vector), lanes, tile_lanes)
        _work_on(tables, layout, rows, sums, tokens, np.int64(task))
