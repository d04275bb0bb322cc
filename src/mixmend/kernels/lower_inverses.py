"""Inverses of the Cholesky factors of many small matrices, eight side by side.

LAPACK takes one matrix of 63 columns after the other, at a fraction of what the processor can
do: rows are too short. Here a vector register holds one number of eight matrices.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.simd import LANES, fma, load, mul, scale, store, sub, zeros

_SIDE_BY_SIDE = LANES[8]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _factor_and_invert(room: Any, q: int, lanes: Any) -> None:
    """Lower triangles of ``room`` (q, q, lanes) become W, row by row; 1 / pivots come first.

    Row i of the factor is finished with those above it, ``L[i] = (A[i] - …) / pivots``; their
    inverse W and the row of L then give row i of W, from left to right over what is not needed
    any more. ``above`` keeps L, which later rows need.
    """
    size = uint64(len(lanes))
    above = np.empty_like(room)
    flat, factor = room.reshape(-1), above.reshape(-1)
    for i in range(uint64(q)):
        line = i * uint64(q)
        for j in range(i + uint64(1)):
            other, total = j * uint64(q), zeros(flat, lanes)
            for t in range(j):
                left = load(factor, (line + t) * size, lanes)
                total = fma(left, load(factor, (other + t) * size, lanes), total)
            total = sub(load(flat, (line + j) * size, lanes), total)
            if j < i:
                total = mul(total, load(flat, (other + j) * size, lanes))
                store(factor, (line + j) * size, total)
            else:
                store(flat, (line + i) * size, total)
        for lane in range(len(lanes)):
            room[i, i, lane] = 1.0 / math.sqrt(room[i, i, lane])
        pivot = load(flat, (line + i) * size, lanes)
        for j in range(i):
            total = zeros(flat, lanes)
            for t in range(j, i):
                left = load(factor, (line + t) * size, lanes)
                total = fma(left, load(flat, (t * uint64(q) + j) * size, lanes), total)
            store(flat, (line + j) * size, scale(-1.0, mul(pivot, total)))


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def _invert(matrices: Any, added: Any, out: Any, lanes: Any) -> None:
    count, q = matrices.shape[:2]
    for group in prange(-(-count // len(lanes))):
        room = np.empty((q, q, len(lanes)))
        for lane in range(len(lanes)):
            k = min(group * len(lanes) + lane, count - 1)
            for i in range(q):
                for j in range(i + 1):
                    room[i, j, lane] = matrices[k, i, j]
                room[i, i, lane] += added[k]
        _factor_and_invert(room, q, lanes)
        for lane in range(min(len(lanes), count - group * len(lanes))):
            k = group * len(lanes) + lane
            for i in range(q):
                for j in range(i + 1):
                    out[k, i, j] = room[i, j, lane]
                for j in range(i + 1, q):
                    out[k, i, j] = 0.0


def lower_inverses(matrices: Any, added: Any) -> Any:
    """``W = L^-1`` with ``L L' = A + added 1``, so that ``W' W`` is the inverse.

    Parameters
    ----------
    matrices : ndarray, shape (K, q, q)
        Symmetric; the lower triangles are read.
    added : ndarray, shape (K,)
        What is added to the diagonals. NaN comes back where a sum is not positive definite.

    Returns
    -------
    ndarray, shape (K, q, q)
        Lower triangles, zeros above.

    Examples
    --------
    >>> lower_inverses(np.array([[[3.0, 2.0], [2.0, 4.0]]]), np.ones(1))
    array([[[ 0.5 ,  0.  ],
            [-0.25,  0.5 ]]])
    """
    out = np.empty(matrices.shape)
    _invert(np.ascontiguousarray(matrices), np.asarray(added), out, _SIDE_BY_SIDE)
    return out
