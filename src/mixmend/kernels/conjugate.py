"""A few conjugate gradient steps on every line's ridge system, which is never formed.

The systems are those of `mixmend.kernels.ridge`, without doubt about the other side::

    A_u = sum_i w_i z_i z_i' + D_u,    A_u x_u = sum_i w_i z_i t_ui + D_u m_u

A step needs one product with A_u: a walk over the line's design vectors that takes each
vector's product with the direction and adds the vector, times that, to the outcome. The
vectors of a line stay in the cache from one walk to the next. That is 2 q multiply-adds an
entry and step against q (q + 1) / 2 for forming A_u, which could pay only if more than q / 4
steps were taken; then solving exactly would be cheaper still.

Each step goes to the least value along its direction, so the regression's penalised squares
never rise. Every line is one thread's work: results do not depend on how many there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.products import lane_totals
from mixmend.kernels.simd import fma, fma_scaled, load, store, zeros
from mixmend.kernels.spherical import TASKS, line_of_share

_FAST = {"contract", "reassoc", "nsz"}
"""Sums may be taken in vectors and multiply-adds fused; NaN and infinity keep their meaning."""

_NOTHING = 1e-30
"""Share of a line's energy below which a step gains nothing that double precision shows."""


class Start(NamedTuple):
    """Where the lines' unknowns begin, (n, q), and the most steps that are taken from there."""

    values: Any
    steps: Any


class _Work(NamedTuple):
    """One thread's vectors: W numbers each, or one number per entry of the longest line."""

    solution: Any
    direction: Any
    product: Any
    residual: Any
    errors: Any
    dots: Any
    weights: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _walk(table: Any, indices: Any, first: int, count: int, known: int, lanes: Any, work: Any):  # type: ignore[no-untyped-def]
    """``product += sum_i w_i z_i c_i`` along a line's entries.

    ``c_i`` is the entry's product with the direction (kept in ``dots``); with ``known`` 1, its
    error at the direction, which takes the place of its target in ``errors``.
    """
    vector, out = work.direction, work.product
    errors, dots, weights = work.errors, work.dots, work.weights
    flat, width, step = table.reshape(-1), uint64(table.shape[1]), uint64(len(lanes))
    for s in range(0, count // 4 * 4, 4):
        t = first + s
        at0, at1 = uint64(indices[t]) * width, uint64(indices[t + 1]) * width
        at2, at3 = uint64(indices[t + 2]) * width, uint64(indices[t + 3]) * width
        sum0, sum1 = zeros(flat, lanes), zeros(flat, lanes)
        sum2, sum3 = zeros(flat, lanes), zeros(flat, lanes)
        j = uint64(0)
        while j < width:
            shared = load(vector, j, lanes)
            sum0 = fma(load(flat, at0 + j, lanes), shared, sum0)
            sum1 = fma(load(flat, at1 + j, lanes), shared, sum1)
            sum2 = fma(load(flat, at2 + j, lanes), shared, sum2)
            sum3 = fma(load(flat, at3 + j, lanes), shared, sum3)
            j += step
        dots[s], dots[s + 1], dots[s + 2], dots[s + 3] = lane_totals(sum0, sum1, sum2, sum3)
        if known == 1:
            for k in range(s, s + 4):
                errors[k] -= dots[k]
                dots[k] = errors[k]
        c0, c1 = weights[s] * dots[s], weights[s + 1] * dots[s + 1]
        c2, c3 = weights[s + 2] * dots[s + 2], weights[s + 3] * dots[s + 3]
        j = uint64(0)
        while j < width:
            total = load(out, j, lanes)
            total = fma_scaled(c0, load(flat, at0 + j, lanes), total)
            total = fma_scaled(c1, load(flat, at1 + j, lanes), total)
            total = fma_scaled(c2, load(flat, at2 + j, lanes), total)
            total = fma_scaled(c3, load(flat, at3 + j, lanes), total)
            store(out, j, total)
            j += step
    for s in range(count // 4 * 4, count):
        i = indices[first + s]
        dot = 0.0
        for k in range(len(vector)):
            dot += table[i, k] * vector[k]
        if known == 1:
            errors[s] -= dot
            dot = errors[s]
        dots[s] = dot
        for k in range(len(vector)):
            out[k] += weights[s] * dot * table[i, k]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _targets(view: Any, u: int, design: Any, ridge: Any, shape: Any, work: Any) -> float:
    """What a line's regression explains, into ``errors``; its weighted sum of squares."""
    pointers, indices, values = view
    first = pointers[u]
    own = ridge.offsets[u] if len(ridge.offsets) > 0 else 0.0
    energy = 0.0
    for s in range(pointers[u + 1] - first):
        i = indices[first + s]
        target = np.float64(values[first + s]) - own
        if len(design.offsets) > 0:
            target -= design.offsets[i]
        if shape.effects > 0:
            target -= design.table[i, shape.unknowns]
        weight = design.weights[i] if len(design.weights) > 0 else 1.0
        work.errors[s] = target
        work.weights[s] = weight
        energy += weight * target * target
    return energy


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _line(view: Any, u: int, regressions: Any, start: Any, lanes: Any, work: Any, out: Any) -> None:
    """Take a line's steps; its solution and weighted squared errors."""
    design, ridge, shape = regressions
    q, first = shape.unknowns, view[0][u]
    count = view[0][u + 1] - first
    x, direction, product, residual = work.solution, work.direction, work.product, work.residual
    errors, dots = work.errors, work.dots
    energy = _targets(view, u, design, ridge, shape, work)
    direction[:] = 0.0
    product[:] = 0.0
    for a in range(q):
        x[a] = direction[a] = start.values[u, a]
    _walk(design.table, view[1], first, count, 1, lanes, work)
    size = 0.0
    for a in range(q):
        mean = ridge.means[u, a] if len(ridge.means) > 0 else 0.0
        held = ridge.precision[a] * ridge.scales[u]
        residual[a] = product[a] - held * (x[a] - mean)
        direction[a] = residual[a]
        energy += held * mean * mean
        size += residual[a] * residual[a]
    for _ in range(start.steps):
        if size == 0.0:
            break
        product[:] = 0.0
        _walk(design.table, view[1], first, count, 0, lanes, work)
        curvature = 0.0
        for a in range(q):
            product[a] += ridge.precision[a] * ridge.scales[u] * direction[a]
            curvature += direction[a] * product[a]
        if not curvature > 0.0:
            break
        length = size / curvature
        before, size = size, 0.0
        for a in range(q):
            x[a] += length * direction[a]
            residual[a] -= length * product[a]
            size += residual[a] * residual[a]
        for s in range(count):
            errors[s] -= length * dots[s]
        if not length * before > _NOTHING * energy:
            break
        for a in range(q):
            direction[a] = residual[a] + size / before * direction[a]
    squares = 0.0
    for s in range(count):
        squares += work.weights[s] * errors[s] * errors[s]
    out.squares[u] = squares
    for a in range(q):
        out.values[u, a] = x[a]


@numba.njit(cache=True, nogil=True)
def _longest(pointers: Any) -> int:
    most = 0
    for u in range(len(pointers) - 1):
        most = max(most, pointers[u + 1] - pointers[u])
    return most


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def descend_lines(
    view: Any, design: Any, ridge: Any, shape: Any, start: Any, out: Any, lanes: Any
) -> None:
    """Take ``start.steps`` steps for every line of ``view`` (a `Compressed`).

    ``design``, ``ridge`` and ``shape`` are those of `mixmend.kernels.ridge.solve_lines`;
    ``out`` its `Solved`, of which the values and squares are filled.
    """
    pointers, n, width = view[0], len(view[0]) - 1, design.table.shape[1]
    longest = _longest(pointers)
    for task in prange(TASKS):
        work = _Work(
            np.zeros(width),
            np.zeros(width),
            np.zeros(width),
            np.zeros(width),
            np.zeros(longest),
            np.zeros(longest),
            np.zeros(longest),
        )
        for u in range(
            line_of_share(pointers, 0, n, task), line_of_share(pointers, 0, n, task + 1)
        ):
            _line(view, u, (design, ridge, shape), start, lanes, work, out)
