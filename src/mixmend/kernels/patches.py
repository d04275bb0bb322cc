"""Patches of a picture, cut out and added back: plain loops over a grid of corners."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange


@numba.njit(cache=True, nogil=True, parallel=True)
def cut_patches(image: Any, rows: Any, columns: Any, size: int) -> Any:
    """Patches (n, size^2) with upper left corners at all crossings of ``rows`` and ``columns``."""
    width = len(columns)
    out = np.empty((len(rows) * width, size * size), image.dtype)
    for a in prange(len(rows)):
        for b in range(width):
            for i in range(size):
                for j in range(size):
                    out[a * width + b, i * size + j] = image[rows[a] + i, columns[b] + j]
    return out


@numba.njit(cache=True, nogil=True)
def cut_single_patches(image: Any, rows: Any, columns: Any, size: int, out: Any) -> None:
    """Patches with corners (rows[n], columns[n]) into ``out`` (n, size^2)."""
    for n in range(len(rows)):
        for i in range(size):
            for j in range(size):
                out[n, i * size + j] = image[rows[n] + i, columns[n] + j]


@numba.njit(cache=True, nogil=True)
def add_patches(patches: Any, rows: Any, columns: Any, size: int, total: Any) -> None:
    """Add patches (n, size^2) to ``total`` where they lie, in the order of the grid."""
    width = len(columns)
    for a in range(len(rows)):
        for b in range(width):
            for i in range(size):
                for j in range(size):
                    total[rows[a] + i, columns[b] + j] += patches[a * width + b, i * size + j]
