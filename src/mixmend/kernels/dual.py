"""Ridge systems of lines with fewer entries n than unknowns q, solved with n × n systems.

With C = W^½ Z R and R = (delta inv(D))^½, where delta is the least of the line's precisions D,
the solution of `mixmend.kernels.ridge`'s system is (the push-through identity)::

    K = C C' + delta I,    K a = W^½ (t - Z m),    x = m + R C' a

What else is asked for follows from K: the squared residuals are ``delta^2 |a|^2``, the
determinant is ``|A| = |D| |K| / delta^n``, and the degrees of freedom are ``n - delta tr inv(K)``.
K's eigenvalues are at least delta whatever n is, whereas those of A differ the more the
smaller lambda is, and cannot be told from 0 in the end.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from mixmend.kernels.cholesky import FAST, Room, add_gram, factor, invert, padded, solve

_TOGETHER = 4
"""Entries whose design vectors are turned at once."""


class Scaling(NamedTuple):
    """R, (q,), the same for all lines; the least of the prior's precisions; their log determinant.

    R is empty where this way is ruled out.
    """

    roots: Any
    least: Any
    log_det: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def scaling(design: Any, ridge: Any, out: Any) -> Scaling:
    """What the prior's precisions are to all lines.

    Doubt about the design adds a full matrix to D, without a prior there is nothing to
    invert, and inverses are q × q whatever n is.
    """
    least = ridge.precision.min()
    if len(design.spreads) > 0 or len(out.inverses) > 0 or not least > 0.0:
        return Scaling(np.zeros(0), 0.0, 0.0)
    return Scaling(np.sqrt(least / ridge.precision), least, np.log(ridge.precision).sum())


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pays(n: int, scale: float, by: Scaling) -> bool:
    """Whether a line of n entries is solved with fewer operations this way.

    Forming the systems takes ``n q^2 / 2`` and ``n^2 q / 2`` operations, factoring them
    ``q^3 / 6`` and ``n^3 / 6``: this way has fewer where n < q.
    """
    return n < len(by.roots) and scale > 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _turn(view: Any, u: int, design: Any, roots: Any, out: Any) -> None:
    """A line's C', (q, N), zero beyond its entries."""
    pointers, indices, _ = view
    first, n = pointers[u], pointers[u + 1] - pointers[u]
    table, weights, width = design.table, design.weights, out.shape[1]
    if n == 0:
        return
    for s in range(0, width, _TOGETHER):
        i0 = indices[first + min(s, n - 1)]
        i1 = indices[first + min(s + 1, n - 1)]
        i2 = indices[first + min(s + 2, n - 1)]
        i3 = indices[first + min(s + 3, n - 1)]
        w0 = w1 = w2 = w3 = 1.0
        if len(weights) > 0:
            w0, w1 = math.sqrt(weights[i0]), math.sqrt(weights[i1])
            w2, w3 = math.sqrt(weights[i2]), math.sqrt(weights[i3])
        w0, w1 = w0 if s < n else 0.0, w1 if s + 1 < n else 0.0
        w2, w3 = w2 if s + 2 < n else 0.0, w3 if s + 3 < n else 0.0
        for a in range(len(roots)):
            root = roots[a]
            out[a, s] = w0 * root * table[i0, a]
            out[a, s + 1] = w1 * root * table[i1, a]
            out[a, s + 2] = w2 * root * table[i2, a]
            out[a, s + 3] = w3 * root * table[i3, a]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _targets(view: Any, u: int, design: Any, ridge: Any, shape: Any, out: Any) -> None:
    """``W^½ (t - Z m)`` of a line's entries."""
    pointers, indices, values = view
    own = ridge.offsets[u] if len(ridge.offsets) > 0 else 0.0
    for s in range(pointers[u + 1] - pointers[u]):
        i = indices[pointers[u] + s]
        target = np.float64(values[pointers[u] + s]) - own
        if len(design.offsets) > 0:
            target -= design.offsets[i]
        if shape.effects > 0:
            target -= design.table[i, shape.unknowns]
        if len(ridge.means) > 0:
            for a in range(shape.unknowns):
                target -= design.table[i, a] * ridge.means[u, a]
        out[s] = target * math.sqrt(design.weights[i]) if len(design.weights) > 0 else target


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _part(numbers: Any, rows: int, columns: int) -> Any:
    """The beginning of an array's numbers as a smaller one."""
    return numbers.reshape(-1)[: rows * columns].reshape((rows, columns))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def dual_line(
    view: Any, u: int, regression: Any, by: Scaling, tokens: Any, work: Any, out: Any
) -> None:
    """Solve line u into ``out``.

    ``regression`` are design, ridge and shape, ``work`` and ``out`` all as in
    `mixmend.kernels.ridge`; ``out`` has no inverses.
    """
    design, ridge, shape = regression
    q, n = shape.unknowns, view[0][u + 1] - view[0][u]
    width = padded(n + 1, tokens[1])  # one more for the right-hand side
    room = Room(
        _part(work.room.system, width, width),
        _part(work.room.upper, width, width),
        _part(work.room.block, len(tokens[0]), width),
        work.room.solution,
    )
    turned, system, x = _part(work.packed, q, width), room.system, room.solution
    _turn(view, u, design, by.roots, turned)
    _targets(view, u, design, ridge, shape, x)
    system[:] = 0.0
    add_gram(turned, q, n, tokens, system)
    delta = by.least * ridge.scales[u]
    for s in range(n):
        system[s, s] += delta
    if not factor(n, tokens, room):
        out.failed[u] = 1
        return
    solve(n, tokens[1], room)
    squares = log_det = 0.0
    for s in range(n):
        squares += x[s] * x[s]
        log_det += math.log(room.upper[s, s])
    out.squares[u] = delta * delta * squares
    log_det = by.log_det + q * math.log(ridge.scales[u]) + 2.0 * log_det - n * math.log(delta)
    for a in range(q):
        total = 0.0
        for s in range(n):
            total += turned[a, s] * x[s]
        out.values[u, a] = by.roots[a] * total
        if len(ridge.means) > 0:
            out.values[u, a] += ridge.means[u, a]
    out.log_dets[u] = log_det
    if len(out.traces) > 0:
        invert(n, tokens, room)
        trace = 0.0
        for s in range(n):
            for j in range(s + 1):
                trace += system[s, j] * system[s, j]
        out.traces[u] = n - delta * trace
