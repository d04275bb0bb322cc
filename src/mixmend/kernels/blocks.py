"""Entries by column within blocks of rows: the layout of the M-step."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange


@numba.njit(cache=True, nogil=True, parallel=True)
def columns_by_block(
    pointers: Any, indices: Any, values: Any, n_columns: int, block_rows: int
) -> Any:
    """Regroup entries by (row block, column); rows are counted within their block.

    A block's entries stay within the block's own span of the arrays, so the blocks are
    regrouped side by side. Returns pointers (n_blocks * n_columns + 1,), int32 rows, values.
    """
    n = len(pointers) - 1
    n_blocks = (n + block_rows - 1) // block_rows
    out_pointers = np.empty(n_blocks * n_columns + 1, np.int64)
    out_pointers[-1] = pointers[-1]
    rows = np.empty(len(indices), np.int32)
    out_values = np.empty_like(values)
    for b in prange(n_blocks):
        first = b * block_rows
        last = min(n, first + block_rows)
        place = np.zeros(n_columns + 1, np.int64)
        for t in range(pointers[first], pointers[last]):
            place[indices[t] + 1] += 1
        place[0] = pointers[first]
        for i in range(n_columns):
            place[i + 1] += place[i]
            out_pointers[b * n_columns + i] = place[i]
        for u in range(first, last):
            for t in range(pointers[u], pointers[u + 1]):
                at = place[indices[t]]
                place[indices[t]] = at + 1
                rows[at] = u - first
                out_values[at] = values[t]
    return out_pointers, rows, out_values
