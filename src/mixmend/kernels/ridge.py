"""Ridge systems of factor models, line by line: gather, accumulate, factor, solve.

A sweep solves, for every line u (row or column) of the data, the regression of what the
line observed on the design vectors of the other side::

    A_u = sum_i w_i (z_i z_i' + S_i) + D_u,    A_u x_u = sum_i w_i z_i t_ui + D_u m_u

with D_u the (diagonal) precision of the prior around m_u, and S_i what is not known of z_i.

A line's design vectors are first packed side by side, so that the products run in
registers (`mixmend.kernels.products.add_outer`) and the small systems stay in the cache.
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
from numba import prange, uint64

from mixmend.kernels.products import add_outer
from mixmend.kernels.spherical import TASKS, line_of_share

PACKED = 128
"""Entries of a line that are packed at once: at rank 128 they and the system fit level 2."""

_FAST = {"contract", "reassoc", "nsz"}
"""Sums may be taken in vectors and multiply-adds fused; NaN and infinity keep their meaning."""


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
    packed: Any  # (PACKED, W)
    system: Any  # (W, W), upper triangle
    upper: Any  # (W, W), the Cholesky factor: system = upper' upper
    panel: Any  # (rows, W)
    spread: Any  # (P,)
    solution: Any  # (W,)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gather(view: Any, u: int, design: Any, ridge: Any, shape: Any, tokens: Any, work: Any) -> None:
    """Sum the outer products of a line's design vectors into ``work.system``."""
    pointers, indices, values = view
    rows, lanes = tokens
    table, packed, system, spread = design.table, work.packed, work.system, work.spread
    width = table.shape[1]
    system[:] = 0.0
    spread[:] = 0.0
    flat, out = packed.reshape(-1), system.reshape(-1)
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
        for a in range(0, width, len(rows)):
            for b in range(a // len(lanes) * len(lanes), width, len(lanes)):
                add_outer(
                    flat,
                    uint64(a),
                    uint64(width),
                    uint64(1),
                    flat,
                    uint64(b),
                    uint64(width),
                    uint64(count),
                    out,
                    uint64(a * width + b),
                    uint64(width),
                    rows,
                    lanes,
                )
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
            work.system[row, column] += work.spread[at]
            at += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _factor(q: int, tokens: Any, work: Any) -> bool:
    """``system = upper' upper`` over the first q coordinates, block row by block row.

    Rows are taken up by all that stand above them in one long product in registers; False
    where a pivot is not positive.
    """
    rows, lanes = tokens
    system, upper, panel = work.system, work.upper, work.panel
    width = system.shape[1]
    flat, out = upper.reshape(-1), panel.reshape(-1)
    for first in range(0, q, len(rows)):
        start = first // len(lanes) * len(lanes)
        for r in range(len(rows)):
            for j in range(start, width):
                panel[r, j] = -system[first + r, j]
        for b in range(start, width, len(lanes)):
            add_outer(
                flat,
                uint64(first),
                uint64(width),
                uint64(1),
                flat,
                uint64(b),
                uint64(width),
                uint64(first),
                out,
                uint64(b),
                uint64(width),
                rows,
                lanes,
            )
        for r in range(min(len(rows), q - first)):
            k = first + r
            for s in range(r):
                above = upper[first + s, k]
                for j in range(k, width):
                    panel[r, j] += above * upper[first + s, j]
            pivot = -panel[r, k]
            if not pivot > 0.0:
                return False
            inverse = -1.0 / math.sqrt(pivot)
            for j in range(k, width):
                upper[k, j] = panel[r, j] * inverse
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _solve(q: int, work: Any) -> None:
    """``upper' upper solution = solution`` in place."""
    upper, x = work.upper, work.solution
    for i in range(q):
        x[i] /= upper[i, i]
        for j in range(i + 1, q):
            x[j] -= upper[i, j] * x[i]
    for i in range(q - 1, -1, -1):
        total = x[i]
        for j in range(i + 1, q):
            total -= upper[i, j] * x[j]
        x[i] = total / upper[i, i]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _invert(q: int, tokens: Any, work: Any) -> None:
    """``lower = inv(upper)'`` into ``work.system``, block row by block row, as `_factor` goes.

    ``inv(upper' upper) = lower' lower``; its diagonal is the squared lengths of lower's columns.
    """
    rows, lanes = tokens
    upper, lower, panel = work.upper, work.system, work.panel
    width = upper.shape[1]
    flat, flat_lower, out = upper.reshape(-1), lower.reshape(-1), panel.reshape(-1)
    lower[:] = 0.0
    for first in range(0, q, len(rows)):
        last = min(first + len(rows), q)
        panel[:] = 0.0
        for b in range(0, first, len(lanes)):
            add_outer(
                flat,
                uint64(first),
                uint64(width),
                uint64(1),
                flat_lower,
                uint64(b),
                uint64(width),
                uint64(first),
                out,
                uint64(b),
                uint64(width),
                rows,
                lanes,
            )
        for k in range(first, last):
            r = k - first
            for s in range(r):
                above = upper[first + s, k]
                for j in range(first + s + 1):
                    panel[r, j] += above * lower[first + s, j]
            inverse = 1.0 / upper[k, k]
            for j in range(k):
                lower[k, j] = -panel[r, j] * inverse
            lower[k, k] = inverse


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _square(q: int, tokens: Any, work: Any, out: Any) -> None:
    """Upper triangle of ``lower' lower``, row by row, into ``out`` (P,); overwrites ``upper``."""
    rows, lanes = tokens
    lower, product = work.system, work.upper
    width = lower.shape[1]
    flat, flat_out = lower.reshape(-1), product.reshape(-1)
    product[:] = 0.0
    for a in range(0, q, len(rows)):
        for b in range(a // len(lanes) * len(lanes), width, len(lanes)):
            # lower's columns begin at the diagonal
            first = max(a, min(b, q))
            add_outer(
                flat,
                uint64(first * width + a),
                uint64(width),
                uint64(1),
                flat,
                uint64(first * width + b),
                uint64(width),
                uint64(q - first),
                flat_out,
                uint64(a * width + b),
                uint64(width),
                rows,
                lanes,
            )
    at = 0
    for a in range(q):
        for b in range(a, q):
            out[at] = product[a, b]
            at += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _expected_squares(q: int, shape: Any, x: Any, work: Any) -> float:
    """``sum_i E (t_i - x . z_i - effect_i)^2`` at the solution, its own covariance left out."""
    system, target = work.system, shape.target
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


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _line(
    view: Any, u: int, design: Any, ridge: Any, shape: Any, tokens: Any, work: Any, out: Any
) -> None:
    q, system, x = shape.unknowns, work.system, work.solution
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
    if not _factor(q, tokens, work):
        out.failed[u] = 1
        return
    _solve(q, work)
    log_det = 0.0
    for a in range(q):
        out.values[u, a] = x[a]
        log_det += math.log(work.upper[a, a])
        system[a, a] -= ridge.precision[a] * ridge.scales[u]
    out.log_dets[u] = 2.0 * log_det
    out.squares[u] = _expected_squares(q, shape, out.values[u], work)
    if len(out.traces) > 0:
        _invert(q, tokens, work)
        freedom = np.float64(q)
        for k in range(q):
            for a in range(k + 1):
                held = ridge.precision[a] * ridge.scales[u]
                freedom -= held * work.system[k, a] * work.system[k, a]
        out.traces[u] = freedom
        if len(out.inverses) > 0:
            _square(q, tokens, work, out.inverses[u])


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def solve_lines(
    view: Any, design: Any, ridge: Any, shape: Any, out: Any, rows: Any, lanes: Any
) -> None:
    """Solve the ridge system of every line of ``view`` (a `Compressed`) into ``out``.

    ``rows`` and ``lanes`` are `mixmend.kernels.products.block_shape`'s tokens for W columns.
    """
    n, width = len(view[0]) - 1, design.table.shape[1]
    for task in prange(TASKS):
        first, end = line_of_share(view[0], 0, n, task), line_of_share(view[0], 0, n, task + 1)
        if first == end:  # a single new row has one share: the others' memory costs more than it
            continue
        size = shape.unknowns * (shape.unknowns + 1) // 2
        work = _Work(
            np.zeros((PACKED, width)),
            np.zeros((width, width)),
            np.zeros((width, width)),
            np.zeros((len(rows), width)),
            np.zeros(size),
            np.zeros(width),
        )
        tokens = (rows, lanes)
        for u in range(first, end):
            _line(view, u, design, ridge, shape, tokens, work, out)
