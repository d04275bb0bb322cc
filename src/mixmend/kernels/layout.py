"""Cutting rows that are ordered by pattern into tiles."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def cut_tiles(counts: Any, storage: Any, kinds: Any, most_rows: int, most_storage: int) -> Any:
    """Cut patterns (``counts`` rows each) into runs of one pattern, and runs into tiles.

    A tile has at most ``most_rows`` rows, all of one kind, and the sum of its runs'
    ``storage`` is at most ``most_storage`` unless a single run needs more. Returns the
    runs' first rows (and the end), their patterns, and the tiles' first runs (and the end).
    """
    most = len(counts) + counts.sum() // most_rows + 1
    starts = np.empty(2 * most + 1, np.int64)
    patterns = np.empty(2 * most, np.int64)
    tiles = np.empty(2 * most + 1, np.int64)
    n_runs = n_tiles = row = rows = stored = 0
    kind = -1
    for p in range(len(counts)):
        left = counts[p]
        while left > 0:
            full = rows >= most_rows or stored + storage[p] > most_storage
            if rows == 0 or full or kinds[p] != kind:
                tiles[n_tiles] = n_runs
                n_tiles += 1
                rows = stored = 0
                kind = kinds[p]
            taken = min(left, most_rows - rows)
            starts[n_runs] = row
            patterns[n_runs] = p
            n_runs += 1
            row += taken
            rows += taken
            left -= taken
            stored += storage[p]
    starts[n_runs] = row
    tiles[n_tiles] = n_runs
    return starts[: n_runs + 1].copy(), patterns[:n_runs].copy(), tiles[: n_tiles + 1].copy()
