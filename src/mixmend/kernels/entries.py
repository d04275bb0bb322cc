"""Single cells of a product of two tables."""

from __future__ import annotations

from typing import Any

import numba
from numba import prange


@numba.njit(
    cache=True,
    nogil=True,
    parallel=True,
    error_model="numpy",
    fastmath={"contract", "reassoc", "nsz"},
)
def dot_entries(left: Any, right: Any, rows: Any, columns: Any, out: Any) -> None:
    """``out[t] = left[rows[t]] . right[columns[t]]``."""
    for t in prange(len(out)):
        u, i = rows[t], columns[t]
        total = 0.0
        for j in range(left.shape[1]):
            total += left[u, j] * right[i, j]
        out[t] = total
