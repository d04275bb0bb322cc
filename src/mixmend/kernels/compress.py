"""Re-ordering of compressed entries: triplets into lines, lines into order, rows into columns.

All sorting is by counting: a pass to count, a pass to place. Positions come in any integer type,
so that nothing needs to be widened first; they are made signed 64-bit one at a time, because an
unsigned 64-bit position plus a signed one would become a float.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

FIRST, LAST, MEAN = 0, 1, 2
"""What `merge_repeats` keeps of entries with the same position."""

_SHORT = 24
"""Up to this many entries a line is sorted by insertion; above, by bytes of the position."""


@numba.njit(cache=True, nogil=True)
def count_lines(lines: Any, n_lines: int) -> Any:
    """Pointers of the lines: entries of line j will lie in ``pointers[j]:pointers[j + 1]``."""
    pointers = np.zeros(n_lines + 1, np.int64)
    for t in range(len(lines)):
        pointers[np.int64(lines[t]) + 1] += 1
    for j in range(n_lines):
        pointers[j + 1] += pointers[j]
    return pointers


@numba.njit(cache=True, nogil=True)
def place_in_lines(
    lines: Any,
    others: Any,
    values: Any,
    pointers: Any,
    out_indices: Any,
    out_values: Any,
    first: int,
    last: int,
) -> None:
    """Write the entries of lines ``first:last`` into them, in the order they come in.

    Reading everything and writing one range is faster than writing everywhere: the places
    written to stay in cache. Ranges may be worked by threads of their own.
    """
    place = pointers[first:last].copy()
    width = np.uint64(last - first)
    for t in range(len(lines)):
        j = np.uint64(np.int64(lines[t]) - first)  # below first: a huge number
        if j < width:
            at = np.uint64(place[j])
            place[j] += 1
            out_indices[at] = others[t]
            out_values[at] = values[t]


@numba.njit(cache=True, nogil=True)
def place_transposed(
    pointers: Any,
    indices: Any,
    values: Any,
    out_pointers: Any,
    out_indices: Any,
    out_values: Any,
    first: int,
    last: int,
) -> None:
    """CSR to CSC (or back): write lines ``first:last`` of the other axis, each in order.

    The order follows from that of reading; ranges as in `place_in_lines`.
    """
    place = out_pointers[first:last].copy()
    width = np.uint64(last - first)
    for u in range(len(pointers) - 1):
        for t in range(pointers[u], pointers[u + 1]):
            j = np.uint64(np.int64(indices[t]) - first)  # below first: a huge number
            if j < width:
                at = np.uint64(place[j])
                place[j] += 1
                out_indices[at] = u
                out_values[at] = values[t]


@numba.njit(cache=True, nogil=True)
def _sort_by_byte(
    source: Any,
    source_values: Any,
    at: int,
    to: Any,
    to_values: Any,
    there: int,
    m: int,
    shift: int,
) -> None:
    """Write ``m`` entries from ``at`` on in stable order of one byte, to ``there`` and after."""
    starts = np.zeros(256, np.int64)
    for t in range(at, at + m):
        starts[(source[t] >> shift) & 255] += 1
    place = there
    for b in range(256):
        count = starts[b]
        starts[b] = place
        place += count
    for t in range(at, at + m):
        b = (source[t] >> shift) & 255
        to[starts[b]] = source[t]
        to_values[starts[b]] = source_values[t]
        starts[b] += 1


@numba.njit(cache=True, nogil=True)
def sort_lines(
    pointers: Any, indices: Any, values: Any, first: int, last: int, n_bytes: int
) -> None:
    """Sort lines ``first:last`` by position, in place and stably.

    ``n_bytes`` low bytes hold every position. The spare memory is one line's, so that the sort
    runs in cache; lines already in order are left alone after one look.
    """
    longest = 0
    for j in range(first, last):
        longest = max(longest, pointers[j + 1] - pointers[j])
    spare_indices = np.empty(longest, indices.dtype)
    spare_values = np.empty(longest, values.dtype)
    for j in range(first, last):
        a = pointers[j]
        b = pointers[j + 1]
        m = b - a
        ordered = True
        for t in range(a + 1, b):
            if indices[t] < indices[t - 1]:
                ordered = False
                break
        if ordered:
            continue
        if m <= _SHORT:
            for t in range(a + 1, b):
                index = indices[t]
                value = values[t]
                s = t
                while s > a and indices[s - 1] > index:
                    indices[s] = indices[s - 1]
                    values[s] = values[s - 1]
                    s -= 1
                indices[s] = index
                values[s] = value
        else:
            for shift in range(0, 8 * n_bytes, 16):  # there and back: the line itself ends sorted
                _sort_by_byte(indices, values, a, spare_indices, spare_values, 0, m, shift)
                _sort_by_byte(spare_indices, spare_values, 0, indices, values, a, m, shift + 8)


@numba.njit(cache=True, nogil=True)
def first_repeat(pointers: Any, indices: Any) -> Any:
    """Line and place of the first entry with the position of the one before it; else -1, -1."""
    for j in range(len(pointers) - 1):
        for t in range(pointers[j] + 1, pointers[j + 1]):
            if indices[t] == indices[t - 1]:
                return j, t
    return -1, -1


@numba.njit(cache=True, nogil=True)
def merge_repeats(pointers: Any, indices: Any, values: Any, keep: int) -> int:
    """Make entries with the same position one, in place; returns how many entries are left.

    ``keep`` is FIRST, LAST or MEAN in the order within the line; a mean is summed in double
    precision.
    """
    end = 0
    start = 0
    for j in range(len(pointers) - 1):
        t = start
        start = pointers[j + 1]
        while t < start:
            index = indices[t]
            value = values[t]
            total = np.float64(value)
            count = 1
            t += 1
            while t < start and indices[t] == index:
                if keep == LAST:
                    value = values[t]
                total += values[t]
                count += 1
                t += 1
            if keep == MEAN and count > 1:
                value = total / count
            indices[end] = index
            values[end] = value
            end += 1
        pointers[j + 1] = end
    return end


@numba.njit(cache=True, nogil=True)
def gather_lines(pointers: Any, indices: Any, values: Any, chosen: Any, out_pointers: Any) -> Any:
    """Copy the chosen lines one after another; ``out_pointers`` says where each goes."""
    out_indices = np.empty(out_pointers[-1], indices.dtype)
    out_values = np.empty(out_pointers[-1], values.dtype)
    for j in range(len(chosen)):
        shift = pointers[chosen[j]] - out_pointers[j]
        for t in range(out_pointers[j], out_pointers[j + 1]):
            out_indices[t] = indices[t + shift]
            out_values[t] = values[t + shift]
    return out_indices, out_values


@numba.njit(cache=True, nogil=True)
def renumber_positions(pointers: Any, indices: Any, values: Any, numbers: Any) -> Any:
    """Give position i the number ``numbers[i]``; entries whose number is negative are dropped.

    Numbers increase with the positions, so that lines stay in order.
    """
    n_lines = len(pointers) - 1
    out_pointers = np.zeros(n_lines + 1, np.int64)
    for j in range(n_lines):
        count = 0
        for t in range(pointers[j], pointers[j + 1]):
            count += numbers[indices[t]] >= 0
        out_pointers[j + 1] = out_pointers[j] + count
    out_indices = np.empty(out_pointers[n_lines], numbers.dtype)
    out_values = np.empty(out_pointers[n_lines], values.dtype)
    at = 0
    for t in range(len(indices)):
        number = numbers[indices[t]]
        if number >= 0:
            out_indices[at] = number
            out_values[at] = values[t]
            at += 1
    return out_pointers, out_indices, out_values


@numba.njit(cache=True, nogil=True)
def take_group(pointers: Any, indices: Any, values: Any, groups: Any, group: int) -> Any:
    """Pick the entries whose group is ``group``, in the same lines and order.

    ``groups`` holds one small integer per entry.
    """
    n_lines = len(pointers) - 1
    out_pointers = np.zeros(n_lines + 1, np.int64)
    for j in range(n_lines):
        count = 0
        for t in range(pointers[j], pointers[j + 1]):
            count += groups[t] == group
        out_pointers[j + 1] = out_pointers[j] + count
    out_indices = np.empty(out_pointers[n_lines], indices.dtype)
    out_values = np.empty(out_pointers[n_lines], values.dtype)
    at = 0
    for t in range(len(indices)):
        if groups[t] == group:
            out_indices[at] = indices[t]
            out_values[at] = values[t]
            at += 1
    return out_pointers, out_indices, out_values


@numba.njit(cache=True, nogil=True)
def spare_entries(
    order: Any, pointers: Any, indices: Any, row_spare: Any, column_spare: Any, wanted: int
) -> Any:
    """Entries, tried in the given order, that their row and their column can spare.

    ``row_spare`` and ``column_spare`` say how many each can give; stops at ``wanted`` entries.
    """
    taken = np.empty(wanted, order.dtype)
    row_left = row_spare.copy()
    column_left = column_spare.copy()
    count = 0
    for s in range(len(order)):
        if count == wanted:
            break
        t = np.int64(order[s])
        row = np.searchsorted(pointers, t, side="right") - 1
        column = indices[t]
        if row_left[row] > 0 and column_left[column] > 0:
            row_left[row] -= 1
            column_left[column] -= 1
            taken[count] = order[s]
            count += 1
    return taken[:count]


@numba.njit(cache=True, nogil=True)
def peel_lines(
    row_pointers: Any, row_indices: Any, column_pointers: Any, column_indices: Any, least: int
) -> Any:
    """Which rows and columns are left when those with at most ``least`` entries are taken away.

    Rows and columns are nodes 0 … n - 1 and n … n + d - 1 of a graph; those to be taken away wait
    on a stack, so that each entry is looked at once from either side.
    """
    n = len(row_pointers) - 1
    d = len(column_pointers) - 1
    degree = np.empty(n + d, np.int64)
    for u in range(n):
        degree[u] = row_pointers[u + 1] - row_pointers[u]
    for i in range(d):
        degree[n + i] = column_pointers[i + 1] - column_pointers[i]
    kept = degree > least
    stack = np.empty(n + d, np.int64)
    height = 0
    for node in range(n + d):
        if not kept[node]:
            stack[height] = node
            height += 1
    while height > 0:
        height -= 1
        node = stack[height]
        if node < n:
            first, last = row_pointers[node], row_pointers[node + 1]
        else:
            first, last = column_pointers[node - n], column_pointers[node - n + 1]
        for t in range(first, last):
            other = np.int64(column_indices[t]) if node >= n else n + np.int64(row_indices[t])
            degree[other] -= 1
            if kept[other] and degree[other] <= least:
                kept[other] = False
                stack[height] = other
                height += 1
    return kept[:n], kept[n:]


@numba.njit(cache=True, nogil=True)
def line_means(pointers: Any, values: Any) -> Any:
    """Mean of each line's values in double precision; NaN for a line without any."""
    means = np.full(len(pointers) - 1, np.nan)
    for j in range(len(means)):
        if pointers[j + 1] > pointers[j]:
            total = 0.0
            for t in range(pointers[j], pointers[j + 1]):
                total += values[t]
            means[j] = total / (pointers[j + 1] - pointers[j])
    return means


@numba.njit(cache=True, nogil=True)
def subtract_by_line(pointers: Any, values: Any, offsets: Any) -> Any:
    """Subtract its line's offset from each value; the type of the values stays."""
    out = np.empty_like(values)
    for j in range(len(pointers) - 1):
        for t in range(pointers[j], pointers[j + 1]):
            out[t] = values[t] - offsets[j]
    return out


@numba.njit(cache=True, nogil=True)
def place_dense(dense: Any, pointers: Any, indices: Any, values: Any) -> None:
    """Place the cells of a dense matrix that are not NaN, row by row.

    Every cell is written where the next entry belongs and kept by moving on: a branch on
    holes that lie at random would be mispredicted half of the time.
    """
    for u in range(len(dense)):
        at = pointers[u]
        end = pointers[u + 1]
        for i in range(dense.shape[1]):
            if at == end:
                break
            value = dense[u, i]
            indices[at] = i
            values[at] = value
            at += np.int64(value == value)
