"""Re-ordering of compressed entries between rows and columns."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def transpose_compressed(
    pointers: Any, indices: Any, values: Any, n_lines: int, index_like: Any
) -> Any:
    """CSR to CSC (or back) by counting: one pass to count, one to place.

    ``index_like`` is an empty array of the type that the new indices shall have. Lines
    of the result are in increasing order because the source is read in order.
    """
    out_pointers = np.zeros(n_lines + 1, np.int64)
    for t in range(len(indices)):
        out_pointers[indices[t] + 1] += 1
    for j in range(n_lines):
        out_pointers[j + 1] += out_pointers[j]
    place = out_pointers[:-1].copy()
    out_indices = np.empty(len(indices), index_like.dtype)
    out_values = np.empty(len(values), values.dtype)
    for u in range(len(pointers) - 1):
        for t in range(pointers[u], pointers[u + 1]):
            j = indices[t]
            at = place[j]
            place[j] = at + 1
            out_indices[at] = u
            out_values[at] = values[t]
    return out_pointers, out_indices, out_values
