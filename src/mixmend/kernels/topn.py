"""The best few of every row of scores, leaving out the columns already observed."""

from __future__ import annotations

from typing import Any

import numba


@numba.njit(cache=True, nogil=True, parallel=True)
def best_columns(
    scores: Any, pointers: Any, excluded: Any, out_columns: Any, out_scores: Any
) -> None:
    """Fill each row of the outputs with its best columns, best first; -1 and NaN remain.

    ``excluded[pointers[u]:pointers[u + 1]]`` are row u's columns to leave out, increasing.
    A heap of the size asked for is all the memory that a row needs.
    """
    for u in numba.prange(len(scores)):
        _best_of_row(
            scores[u], excluded[pointers[u] : pointers[u + 1]], out_columns[u], out_scores[u]
        )


@numba.njit(cache=True, nogil=True)
def _best_of_row(scores: Any, excluded: Any, columns: Any, values: Any) -> None:
    size, skip = 0, 0
    for i in range(len(scores)):
        if skip < len(excluded) and excluded[skip] == i:
            skip += 1
            continue
        score = scores[i]
        if score != score:  # NaN: nothing is known about it, so it is not recommended
            continue
        if size < len(columns):
            _sift_up(columns, values, size, i, score)
            size += 1
        elif score > values[0]:  # on a tie the column that came first stays
            _sift_down(columns, values, size, i, score)
    for last in range(size - 1, 0, -1):  # the worst is on top: move it behind the others
        column, score = columns[last], values[last]
        columns[last], values[last] = columns[0], values[0]
        _sift_down(columns, values, last, column, score)


@numba.njit(cache=True, nogil=True)
def _worse(column_a: int, score_a: float, column_b: int, score_b: float) -> bool:
    return score_a < score_b or (score_a == score_b and column_a > column_b)


@numba.njit(cache=True, nogil=True)
def _sift_up(columns: Any, values: Any, at: int, column: int, score: float) -> None:
    """Put a candidate at the end of the heap of ``at`` entries and let it rise."""
    while at > 0:
        parent = (at - 1) // 2
        if not _worse(column, score, columns[parent], values[parent]):
            break
        columns[at], values[at] = columns[parent], values[parent]
        at = parent
    columns[at], values[at] = column, score


@numba.njit(cache=True, nogil=True)
def _sift_down(columns: Any, values: Any, size: int, column: int, score: float) -> None:
    """Replace the top of a heap of ``size`` entries by a candidate and let it sink."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(
            columns[child + 1], values[child + 1], columns[child], values[child]
        ):
            child += 1
        if not _worse(columns[child], values[child], column, score):
            break
        columns[at], values[at] = columns[child], values[child]
        at = child
    columns[at], values[at] = column, score
