"""Ridge systems of factor models, line by line: gather, accumulate, factor, solve.

A sweep solves, for every line u (row or column) of the data, the regression of what the
line observed on the design vectors of the other side::

    A_u = sum_i w_i (z_i z_i' + S_i) + D_u,    A_u x_u = sum_i w_i z_i t_ui + D_u m_u

with D_u the (diagonal) precision of the prior around m_u, and S_i what is not known of z_i.

A line's design vectors are first packed side by side, so that the products run in
registers (`mixmend.kernels.products.add_outer`) and the small systems stay in the cache.
Lines with fewer entries than unknowns go through smaller systems (`mixmend.kernels.dual`).
Every line is one thread's work from beginning to end: results do not depend on how many
there are.

A design vector's coordinates are, in this order: q regressors; one more that the model
multiplies by 1 (an effect of the other side), where there is one; then the target, which is
the entry itself, so that one product gives the system, its right-hand side and the squares.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from mixmend.kernels.cholesky import FAST, Room, add_gram, factor, invert, padded, solve, square
from mixmend.kernels.dual import dual_line, pays, scaling
from mixmend.kernels.spherical import TASKS, line_of_share

PACKED = 128
"""Entries of a line that are packed at once: at rank 128 they and the system fit level 2."""


class Design(NamedTuple):
    """The other side of the regression, m lines.

    Attributes
    ----------
    table : (m, W) float64
        Design vectors, padded with zeros; coordinate ``target`` is left for the entries.
    weights : (m,) or (0,)
        How often an entry of that line counts.
    spreads : (m, P) or (0, P)
        Upper triangles, row by row, of the covariances of the lines' own q unknowns.
    offsets : (m,) or (0,)
        What is taken off every entry of that line.
    """

    table: Any
    weights: Any
    spreads: Any
    offsets: Any


class Shape(NamedTuple):
    """q unknowns per line, r of them factors; the target's position; 1 where there are effects."""

    unknowns: Any
    factors: Any
    target: Any
    effects: Any


class Ridge(NamedTuple):
    """Prior of the lines' unknowns: precision (q,) × scale (n,) around means (n, q) or (0, q)."""

    precision: Any
    scales: Any
    means: Any
    offsets: Any


class Solved(NamedTuple):
    """What comes out, for n lines.

    ``values`` (n, q); ``squares`` (n,), the expected squared residuals at the values;
    ``log_dets`` (n,) of A; ``traces`` (n,), of inv(A) times A without its prior: the degrees of
    freedom that a line takes; ``inverses`` (n, P), upper triangles of inv(A). The last two have
    no lines where nobody needs them. ``failed`` (n,), 1 where A is not positive definite.
    """

    values: Any
    squares: Any
    log_dets: Any
    traces: Any
    inverses: Any
    failed: Any


class _Work(NamedTuple):
    room: Room
    packed: Any  # (PACKED, W)
    spread: Any  # (P,)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _gather(view: Any, u: int, design: Any, ridge: Any, shape: Any, tokens: Any, work: Any) -> None:
    """Sum the outer products of a line's design vectors into ``work.room.system``."""
    pointers, indices, values = view
    table, packed, spread = design.table, work.packed, work.spread
    system = work.room.system
    width = table.shape[1]
    system[:] = 0.0
    spread[:] = 0.0
    own = ridge.offsets[u] if len(ridge.offsets) > 0 else 0.0
    t, end = pointers[u], pointers[u + 1]
    while t < end:
        count = min(end - t, PACKED)
        for s in range(count):
            i = indices[t + s]
            target = np.float64(values[t + s]) - own
            if len(design.offsets) > 0:
                target -= design.offsets[i]
            weight = design.weights[i] if len(design.weights) > 0 else 1.0
            root = math.sqrt(weight)
            if root == 1.0:
                for j in range(width):
                    packed[s, j] = table[i, j]
            else:
                for j in range(width):
                    packed[s, j] = root * table[i, j]
            packed[s, shape.target] = root * target
            if len(design.spreads) > 0:
                for j in range(len(spread)):
                    spread[j] += weight * design.spreads[i, j]
        add_gram(packed, count, width, tokens, system)
        t += count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_spread(shape: Any, work: Any) -> None:
    """Add the summed covariances of the design vectors to the system.

    The other side's unknowns are its factors and its effect; in its design vector the
    effect stands behind the regressors (see the module).
    """
    at = 0
    for a in range(shape.unknowns):
        row = a if a < shape.factors else shape.unknowns
        for b in range(a, shape.unknowns):
            column = b if b < shape.factors else shape.unknowns
            work.room.system[row, column] += work.spread[at]
            at += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _expected_squares(q: int, shape: Any, x: Any, work: Any) -> float:
    """``sum_i E (t_i - x . z_i - effect_i)^2`` at the solution, its own covariance left out."""
    system, target = work.room.system, shape.target
    known = q if shape.effects > 0 else -1
    total = system[target, target]
    if known >= 0:
        total += system[known, known] - 2.0 * system[known, target]
    for a in range(q):
        inner = 0.5 * system[a, a] * x[a] - system[a, target]
        if known >= 0:
            inner += system[a, known]
        for b in range(a + 1, q):
            inner += system[a, b] * x[b]
        total += 2.0 * x[a] * inner
    return float(total)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _line(
    view: Any, u: int, design: Any, ridge: Any, shape: Any, tokens: Any, work: Any, out: Any
) -> None:
    room = work.room
    q, system, x = shape.unknowns, room.system, room.solution
    _gather(view, u, design, ridge, shape, tokens, work)
    if len(design.spreads) > 0:
        _add_spread(shape, work)
    for a in range(q):
        x[a] = system[a, shape.target]
        if shape.effects > 0:
            x[a] -= system[a, q]
        held = ridge.precision[a] * ridge.scales[u]
        if len(ridge.means) > 0:
            x[a] += held * ridge.means[u, a]
        system[a, a] += held
    if not factor(q, tokens, room):
        out.failed[u] = 1
        return
    solve(q, tokens[1], room)
    log_det = 0.0
    for a in range(q):
        out.values[u, a] = x[a]
        log_det += math.log(room.upper[a, a])
        system[a, a] -= ridge.precision[a] * ridge.scales[u]
    out.log_dets[u] = 2.0 * log_det
    out.squares[u] = _expected_squares(q, shape, out.values[u], work)
    if len(out.traces) > 0:
        invert(q, tokens, room)
        freedom = np.float64(q)
        for k in range(q):
            for a in range(k + 1):
                held = ridge.precision[a] * ridge.scales[u]
                freedom -= held * system[k, a] * system[k, a]
        out.traces[u] = freedom
        if len(out.inverses) > 0:
            square(q, tokens, room, out.inverses[u])


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def solve_lines(
    view: Any, design: Any, ridge: Any, shape: Any, out: Any, rows: Any, lanes: Any
) -> None:
    """Solve the ridge system of every line of ``view`` (a `Compressed`) into ``out``.

    ``rows`` and ``lanes`` are `mixmend.kernels.products.block_shape`'s tokens for W columns.
    """
    n, width = len(view[0]) - 1, padded(design.table.shape[1], lanes)
    for task in prange(TASKS):
        first, end = line_of_share(view[0], 0, n, task), line_of_share(view[0], 0, n, task + 1)
        if first == end:  # a single new row has one share: the others' memory costs more than it
            continue
        size = shape.unknowns * (shape.unknowns + 1) // 2
        room = Room(
            np.zeros((width, width)),
            np.zeros((width, width)),
            np.zeros((len(rows), width)),
            np.zeros(width),
        )
        work = _Work(room, np.zeros((max(PACKED, width), width)), np.zeros(size))
        by, tokens, regression = scaling(design, ridge, out), (rows, lanes), (design, ridge, shape)
        for u in range(first, end):
            if pays(view[0][u + 1] - view[0][u], ridge.scales[u], by):
                dual_line(view, u, regression, by, tokens, work, out)
            else:
                _line(view, u, design, ridge, shape, tokens, work, out)
