"""Loops of K-means over observed entries."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange

from mixmend.kernels.spherical import TASKS, line_of_share

_ROWS_PER_TASK = 256


@numba.njit(cache=True, nogil=True, parallel=True)
def nearest(distances: Any, n_clusters: int, labels: Any, smallest: Any) -> None:
    """The cluster with the smallest distance for each row; the first of equals."""
    n = len(labels)
    for task in prange((n + _ROWS_PER_TASK - 1) // _ROWS_PER_TASK):
        for u in range(task * _ROWS_PER_TASK, min(n, (task + 1) * _ROWS_PER_TASK)):
            best = 0
            for k in range(1, n_clusters):
                if distances[u, k] < distances[u, best]:
                    best = k
            labels[u] = best
            smallest[u] = distances[u, best]


@numba.njit(cache=True, nogil=True, parallel=True)
def label_sums(view: Any, labels: Any, weights: Any, centres: Any, s0: Any, s1: Any) -> None:
    """Per column and cluster: sums of weights and of weight × (value − centre), each (d, K).

    ``view`` is a `Compressed` by column; ``weights`` is None where all rows count once.
    """
    pointers, indices, values = view
    d = len(s0)
    for task in prange(TASKS):
        for i in range(
            line_of_share(pointers, 0, d, task), line_of_share(pointers, 0, d, task + 1)
        ):
            for t in range(pointers[i], pointers[i + 1]):
                u = indices[t]
                k = labels[u]
                w = 1.0 if weights is None else weights[u]
                s0[i, k] += w
                s1[i, k] += w * (np.float64(values[t]) - centres[i, k])
