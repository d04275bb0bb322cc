"""Sums of residuals along rows or columns, for additive effects."""

from __future__ import annotations

from typing import Any

import numba


@numba.njit(cache=True, nogil=True, parallel=True)
def residual_sums(
    pointers: Any,
    indices: Any,
    values: Any,
    offsets: Any,
    weights: Any,
    out_weight: Any,
    out_sum: Any,
    out_square: Any,
) -> None:
    """For each line: the weights, weighted residuals and weighted squares, summed.

    The residual of an entry is its value less ``offsets`` of the line that crosses it,
    and ``weights`` are those of the crossing lines too. Each line is summed in its own
    order, so the result does not depend on the number of threads.
    """
    for j in numba.prange(len(pointers) - 1):
        weight, total, square = 0.0, 0.0, 0.0
        for t in range(pointers[j], pointers[j + 1]):
            crossing = indices[t]
            residual = values[t] - offsets[crossing]
            weight += weights[crossing]
            total += weights[crossing] * residual
            square += weights[crossing] * residual * residual
        out_weight[j] = weight
        out_sum[j] = total
        out_square[j] = square
