"""What Gaussian components say of a row's holes given its observed cells."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from mixmend.kernels.lanes import (
    buffers_for,
    lane_residuals,
    negated_inverse,
    restricted_product,
    times_symmetric,
)

_PARTS = 64
"""Parts that rows are cut into: enough to balance threads."""


class LaneTables(NamedTuple):
    """Means (d, Kp), precisions and covariances (d, d, Kp), the components side by side."""

    means: Any
    precisions: Any
    covariances: Any


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _split_columns(x: Any, few: Any, rest: Any) -> Any:
    """Sort a row's columns into holes and observed ones; the fewer ones go to ``few``.

    Returns how many those are and whether they are the observed ones.
    """
    n_holes = np.int64(0)
    for value in x:
        if math.isnan(value):
            n_holes += 1
    by_observed = 2 * n_holes > len(x)
    a = b = np.int64(0)
    for j in range(len(x)):
        if math.isnan(x[j]) != by_observed:
            few[a] = j
            a += 1
        else:
            rest[b] = j
            b += 1
    return a, by_observed


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def conditional_cells(
    tables: Any, values: Any, rows: Any, pointers: Any, columns: Any, lanes: Any, out: Any
) -> None:
    """Conditional means and variances of cells under every component.

    Cells ``pointers[i]`` … of ``columns`` lie in row ``rows[i]`` of ``values`` (NaN for the
    holes). ``out`` is (2, cells, K): means and variances; those of an observed cell are its
    value and 0.
    """
    for part in prange(_PARTS):
        begin, end = part * len(rows) // _PARTS, (part + 1) * len(rows) // _PARTS
        _condition(tables, values, rows, (begin, end), pointers, columns, lanes, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _condition(
    tables: Any,
    values: Any,
    rows: Any,
    lines: Any,
    pointers: Any,
    columns: Any,
    lanes: Any,
    out: Any,
) -> None:
    d, width = tables.means.shape
    n_components = out.shape[2]
    means = tables.means.reshape(-1)
    precisions, covariances = tables.precisions.reshape(-1), tables.covariances.reshape(-1)
    few, rest = np.empty(d, np.int64), np.empty(d, np.int64)
    place = np.empty(d, np.int64)
    most = (d // 2) * (d // 2 + 1) // 2
    work = buffers_for(most, d, width)
    inverse, residuals, column, solved = work
    log_det = np.zeros(width)
    for line in range(lines[0], lines[1]):
        u = rows[line]
        size, by_observed = _split_columns(values[u], few, rest)
        for i in range(size):
            place[few[i]] = i
        table = covariances if by_observed else precisions
        negated_inverse(table, d, few, size, lanes, 0, log_det, work)
        if by_observed:
            lane_residuals(values, u, few[:size], means, width, lanes, residuals)
            for i in range(size):
                for k in range(width):
                    column[i * width + k] = residuals[few[i] * width + k]
        else:
            seen = rest[: d - size]
            lane_residuals(values, u, seen, means, width, lanes, residuals)
            restricted_product(table, d, few[:size], seen, residuals, width, lanes, column)
        times_symmetric(inverse, 0, size, column, width, lanes, solved)
        for cell in range(pointers[line], pointers[line + 1]):
            j = columns[cell]
            if not math.isnan(values[u, j]):
                for k in range(n_components):
                    out[0, cell, k] = values[u, j]
                    out[1, cell, k] = 0.0
            elif by_observed:
                for i in range(size):
                    for k in range(width):
                        column[i * width + k] = table[(j * d + few[i]) * width + k]
                times_symmetric(inverse, 0, size, column, width, lanes, residuals)
                for k in range(n_components):
                    mean, variance = tables.means[j, k], tables.covariances[j, j, k]
                    for i in range(size):
                        mean -= column[i * width + k] * solved[i * width + k]
                        variance += column[i * width + k] * residuals[i * width + k]
                    out[0, cell, k] = mean
                    out[1, cell, k] = max(variance, 0.0)
            else:
                i = place[j]
                for k in range(n_components):
                    out[0, cell, k] = tables.means[j, k] + solved[i * width + k]
                    out[1, cell, k] = -inverse[(i * (i + 1) // 2 + i) * width + k]


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def draw_holes(tables: Any, picked: Any, rows: Any) -> None:
    """Replace standard normal numbers in the holes of ``rows`` by joint draws, in place.

    ``rows`` is (values with NaN for the holes, normal numbers), each (n, d); ``picked`` (n,)
    says which component each row is drawn from. With the precision matrix restricted to the
    holes L L', a draw is the conditional mean plus the solution of L' y = normal numbers.
    """
    values, draws = rows
    n, d = values.shape
    for part in prange(_PARTS):
        holes = np.empty(d, np.int64)
        factor = np.empty((d, d))
        mean, noise = np.empty(d), np.empty(d)
        for u in range(part * n // _PARTS, (part + 1) * n // _PARTS):
            k = picked[u]
            m = np.int64(0)
            for j in range(d):
                if math.isnan(values[u, j]):
                    holes[m] = j
                    m += 1
                else:
                    draws[u, j] = values[u, j]
            for a in range(m):
                total = 0.0
                for j in range(d):
                    if not math.isnan(values[u, j]):
                        residual = values[u, j] - tables.means[j, k]
                        total -= tables.precisions[holes[a], j, k] * residual
                mean[a] = total
                noise[a] = draws[u, holes[a]]
                for b in range(a + 1):
                    total = tables.precisions[holes[a], holes[b], k]
                    for c in range(b):
                        total -= factor[a, c] * factor[b, c]
                    factor[a, b] = math.sqrt(total) if a == b else total / factor[b, b]
            for a in range(m):  # L y = right-hand side; the noise joins on the way back
                for c in range(a):
                    mean[a] -= factor[a, c] * mean[c]
                mean[a] /= factor[a, a]
            for a in range(m - 1, -1, -1):
                total = mean[a] + noise[a]
                for c in range(a + 1, m):
                    total -= factor[c, a] * noise[c]
                noise[a] = total / factor[a, a]
            for a in range(m):
                draws[u, holes[a]] = tables.means[holes[a], k] + noise[a]
