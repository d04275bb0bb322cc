"""E-step of full covariances over many rows that observe the same columns.

What such rows observe is gathered into short rows without holes, which take the products of
complete data: o x o whiteners for the distances and o x o sums of outer products. With
L L' the covariance of a component, its observed columns first, everything that a pattern
needs is in L::

    W = inv(L_oo)        regression of the holes A = L_mo W        spread of the holes L_mm L_mm'

Only when a task leaves a pattern are its sums F, S taken to all columns: first moments
(F, A F), second moments (S, A S, A S A' + rows × spread). Complete rows are the pattern
without holes: its forms are made once, by the caller, and read by all tasks.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.cholesky import FAST
from mixmend.kernels.full import LOG_2PI
from mixmend.kernels.gaussian import (
    add_moments,
    cut_strips,
    room_for,
    shape_of,
    strips_for,
    subtract_distances,
)
from mixmend.kernels.shares import weighted_shares
from mixmend.kernels.simd import prefetch

_AHEAD = 12
"""Rows ahead of which memory is asked for the next: rows of one pattern may lie far apart, and a
row takes less time to copy than to come."""


class Forms(NamedTuple):
    """Parameters as the rows of one pattern need them; dp is d padded to whole vectors.

    ``means`` (K, dp) of the observed columns; ``whiteners`` (K, dp, dp), where line j, lane i
    holds W_ij; ``terms`` (K,), all of the log joint density that no value changes.
    """

    means: Any
    whiteners: Any
    terms: Any


class Tables(NamedTuple):
    """Means (K, d), covariances (K, d, d), log weights (K,), and the `Forms` for complete rows.

    Flat, as parallel kernels take no tuples of tuples.
    """

    means: Any
    covariances: Any
    log_weights: Any
    whole_means: Any
    whole_whiteners: Any
    whole_terms: Any


class Sums(NamedTuple):
    """Sums over rows, per task, of all columns; dp is d padded to whole vectors.

    ``log_likelihood`` (tasks,), ``rows`` (tasks, K), ``first`` (tasks, K, dp) and
    ``second`` (tasks, K, dp, dp), lower triangles; without tasks where nobody wants it.
    """

    log_likelihood: Any
    rows: Any
    first: Any
    second: Any


class _Work(NamedTuple):
    """One task's arrays: for the pattern that it is at, and for a tile."""

    factors: Any  # (K, d, d): L
    slopes: Any  # (K, d, d): A, a line for each hole
    forms: Any  # of a pattern with holes
    tile: Any  # (rows, dp)
    strips: Any  # the same, transposed (see `mixmend.kernels.gaussian`)
    room: Any  # what is made of it and one component, whenever that is needed
    joint: Any  # (K, rows)


# ---------------------------------------------------------------------------- a pattern


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _factor(covariance: Any, columns: Any, out: Any) -> None:
    """The Cholesky factor of ``covariance[columns, columns]``, its lower triangle."""
    for i in range(len(columns)):
        for j in range(i + 1):
            total = covariance[columns[i], columns[j]]
            for c in range(j):
                total -= out[i, c] * out[j, c]
            out[i, j] = math.sqrt(total) if i == j else total / out[j, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _enter(tables: Any, columns: Any, seen: int, work: Any) -> None:
    """Bring the parameters into the forms that a pattern's rows need.

    The first ``seen`` of ``columns`` are observed.
    """
    n_components, d = tables.means.shape
    lines = np.empty((d, d))
    for k in range(n_components):
        factor, whitener, slopes = work.factors[k], work.forms.whiteners[k], work.slopes[k]
        _factor(tables.covariances[k], columns, factor)
        whitener[:] = 0.0
        work.forms.means[k] = 0.0
        log_det = 0.0
        for i in range(d):  # lines of W, and of A = L_mo W, by the lines of W before them
            line = lines[i]
            line[:] = 0.0
            for c in range(min(i, seen)):
                for j in range(c + 1):
                    line[j] += factor[i, c] * lines[c, j]
            if i < seen:
                pivot = 1.0 / factor[i, i]
                for j in range(i):
                    line[j] *= -pivot
                line[i] = pivot
                for j in range(i + 1):
                    whitener[j, i] = line[j]
                log_det += math.log(factor[i, i])
                work.forms.means[k, i] = tables.means[k, columns[i]]
            else:
                for j in range(seen):
                    slopes[i - seen, j] = line[j]
        work.forms.terms[k] = tables.log_weights[k] - 0.5 * seen * LOG_2PI - log_det


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leave(columns: Any, seen: int, work: Any, found: Any, out: Any) -> None:
    """Take a pattern's sums to all columns, add them to ``out``, and clear them."""
    n_components, d = len(found[0]), len(columns)
    rows, first, second = found
    all_rows, all_first, all_second = out
    products = np.empty(d)
    for k in range(n_components):
        if rows[k] == 0.0:
            continue
        all_rows[k] += rows[k]
        sums, total = second[k], all_second[k]
        if seen == d:
            for i in range(first.shape[1]):
                all_first[k, i] += first[k, i]
                for j in range(first.shape[1]):
                    total[i, j] += sums[i, j]
                    sums[i, j] = 0.0
            rows[k] = 0.0
            first[k] = 0.0
            continue
        for i in range(seen):
            all_first[k, columns[i]] += first[k, i]
            for j in range(i + 1):
                row, column = max(columns[i], columns[j]), min(columns[i], columns[j])
                total[row, column] += sums[i, j]
                sums[j, i] = sums[i, j]
        for a in range(d - seen):
            factor, slopes = work.factors[k], work.slopes[k]
            here = columns[seen + a]
            products[:] = 0.0
            for j in range(seen):
                all_first[k, here] += slopes[a, j] * first[k, j]
                for c in range(seen):
                    products[c] += slopes[a, j] * sums[j, c]
            for j in range(seen):
                total[max(here, columns[j]), min(here, columns[j])] += products[j]
            for b in range(a + 1):
                value = 0.0
                for j in range(seen):
                    value += products[j] * slopes[b, j]
                for c in range(b + 1):
                    value += rows[k] * factor[seen + a, seen + c] * factor[seen + b, seen + c]
                there = columns[seen + b]
                total[max(here, there), min(here, there)] += value
        rows[k] = 0.0
        first[k] = 0.0
        second[k] = 0.0


# ------------------------------------------------------------------------------ a tile


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _ask_for(values: Any, u: Any) -> None:
    """Have the memory of a row come while others are worked on."""
    at = uint64(u) * uint64(values.shape[1])
    end = at + uint64(values.shape[1])
    prefetch(values, end - uint64(1))
    while at < end:
        prefetch(values, at)
        at += uint64(64 // values.itemsize)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(layout: Any, start: int, n_rows: int, pattern: int, step: int, tile: Any) -> Any:
    """Gather the rows' observed columns; returns how many, in whole vectors, are not padding."""
    values, order, columns = layout.values, layout.order, layout.columns
    seen = layout.seen[pattern]
    used = min((seen + step - 1) // step * step, tile.shape[1])
    scattered = order[start + n_rows - 1] - order[start] >= n_rows
    for r in range(n_rows):
        u = order[start + r]
        if scattered and start + r + _AHEAD < len(order):
            _ask_for(values, order[start + r + _AHEAD])
        if seen == values.shape[1]:
            for j in range(seen):
                tile[r, j] = values[u, j]
        else:
            for j in range(seen):
                tile[r, j] = values[u, columns[pattern, j]]
        for j in range(seen, used):
            tile[r, j] = 0.0
    return used


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_on(tables: Any, layout: Any, rows: Any, sums: Any, tokens: Any, task: Any) -> None:
    shape, tile_lanes = tokens
    n_components, d = tables.means.shape
    size, width = layout.tile_rows, sums.first.shape[2]
    holed = 0 if len(layout.seen) == 1 and layout.seen[0] == d else n_components
    work = _Work(
        np.zeros((holed, d, d)),
        np.zeros((holed, d, d)),
        Forms(np.zeros((holed, width)), np.zeros((holed, width, width)), np.zeros(holed)),
        np.zeros((size, width)),
        strips_for(size, width, shape),
        room_for(size, width, shape),
        np.zeros((n_components, size)),
    )
    found = (
        np.zeros(n_components),
        np.zeros((n_components, width)),
        np.zeros((n_components, width, width)),
    )
    weights = np.zeros(size)
    current, forms = np.int64(-1), work.forms
    for tile in range(layout.task_tiles[task], layout.task_tiles[task + 1]):
        pattern = layout.run_patterns[tile]
        if pattern != current:
            if current >= 0 and len(sums.second) > 0:
                out = (sums.rows[task], sums.first[task], sums.second[task])
                _leave(layout.columns[current], layout.seen[current], work, found, out)
            current = pattern
            if layout.seen[pattern] == d:
                forms = Forms(tables.whole_means, tables.whole_whiteners, tables.whole_terms)
            else:
                forms = work.forms
                _enter(tables, layout.columns[pattern], layout.seen[pattern], work)
        start = layout.run_starts[tile]
        n_rows = layout.run_starts[tile + 1] - start
        used = _fill(layout, start, n_rows, pattern, len(shape[1]), work.tile)
        cut_strips(work.tile, used, n_rows, shape, work.strips)
        for k in range(n_components):
            joint = work.joint[k]
            for r in range(n_rows):
                joint[r] = forms.terms[k]
            subtract_distances(
                work.strips,
                forms.means[k],
                forms.whiteners[k],
                used,
                n_rows,
                shape,
                joint,
                work.room,
            )
        here = (layout.order, start, n_rows)
        sums.log_likelihood[task] += weighted_shares(rows, here, work.joint, tile_lanes, weights)
        if len(sums.second) > 0:
            for k in range(n_components):
                mean, shares, moments = forms.means[k], work.joint[k], (found[1][k], found[2][k])
                found[0][k] += add_moments(
                    work.tile, mean, shares, used, n_rows, shape, work.room, moments
                )
    if current >= 0 and len(sums.second) > 0:
        out = (sums.rows[task], sums.first[task], sums.second[task])
        _leave(layout.columns[current], layout.seen[current], work, found, out)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def e_step(
    tables: Any,
    layout: Any,
    rows: Any,
    sums: Any,
    vector: Any,
    tile_lanes: Any,
) -> None:
    """Sums over all rows of a `mixmend.mixtures.pattern_rows.Common`, task by task.

    ``rows`` is a `mixmend.kernels.full.Rows`; ``vector`` is
    `mixmend.kernels.products.vector_lanes`'s for d, ``tile_lanes`` run along a tile's rows.
    With given shares the log-likelihood is not added up.
    """
    for task in prange(len(layout.task_tiles) - 1):
        _work_on(tables, layout, rows, sums, (shape_of(vector), tile_lanes), np.int64(task))
