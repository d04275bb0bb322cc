"""Random ratings row by row: which columns a row observes, and what it finds there.

Every row draws from its own stream of SplitMix64 (Steele, Lea, Flood 2014), so results
depend neither on the number of threads nor on the order of the rows.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_LOW_32 = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_U6, _U11, _U27, _U30, _U31, _U32, _U58, _U63 = (
    np.uint64(shift) for shift in (6, 11, 27, 30, 31, 32, 58, 63)
)
_ROWS_PER_TASK = 256


def _bit_positions() -> Any:
    """Position of the lowest set bit, by the top six bits of its De Bruijn product."""
    table = np.empty(64, np.int64)
    for bit in range(64):
        table[((int(_DE_BRUIJN) << bit) & (2**64 - 1)) >> 58] = bit
    return table


_POSITIONS = _bit_positions()


@numba.njit(cache=True, nogil=True)
def _mixed(z: Any) -> Any:
    z = (z ^ (z >> _U30)) * _MIX_1
    z = (z ^ (z >> _U27)) * _MIX_2
    return z ^ (z >> _U31)


@numba.njit(cache=True, nogil=True)
def _stream(seed: Any, row: int) -> Any:
    """Start of a row's own stream."""
    return _mixed(_mixed(np.uint64(seed) + _GAMMA) ^ (np.uint64(row) * _MIX_2 + _MIX_1))


@numba.njit(cache=True, nogil=True)
def _uniform(bits: Any) -> float:
    """Uniform in the open interval (0, 1)."""
    return (float(bits >> _U11) + 0.5) * (1.0 / 9007199254740992.0)


@numba.njit(cache=True, nogil=True, parallel=True)
def draw_columns(
    pointers: Any, popularity: Any, thresholds: Any, aliases: Any, seed: int, out: Any
) -> None:
    """Draw each row's columns without replacement by popularity, and write them in order.

    Columns come one after the other from an alias table; those already drawn are thrown
    away. Where a row wants so many that this takes long, the rest is drawn by
    exponential clocks, which continues the same distribution.
    """
    n = len(pointers) - 1
    words = (len(popularity) + 63) // 64
    for task in numba.prange((n + _ROWS_PER_TASK - 1) // _ROWS_PER_TASK):
        drawn = np.zeros(words, np.uint64)
        for u in range(task * _ROWS_PER_TASK, min((task + 1) * _ROWS_PER_TASK, n)):
            drawn[:] = np.uint64(0)
            wanted = pointers[u + 1] - pointers[u]
            state, missing = _draw_some(drawn, wanted, thresholds, aliases, _stream(seed, u))
            if missing > 0:
                _draw_rest(drawn, missing, popularity, state)
            _write_set_bits(drawn, out[pointers[u] : pointers[u + 1]])


@numba.njit(cache=True, nogil=True)
def _draw_some(drawn: Any, wanted: int, thresholds: Any, aliases: Any, state: Any) -> Any:
    """Mark up to ``wanted`` new columns; how many are still missing after a fair try."""
    d = np.uint64(len(thresholds))
    missing = wanted
    for _ in range(4 * wanted + 16):
        if missing == 0:
            break
        state += _GAMMA
        bits = _mixed(state)
        column = ((bits >> _U32) * d) >> _U32
        if (bits & _LOW_32) >= thresholds[column]:
            column = np.uint64(aliases[column])
        word = column >> _U6
        bit = _ONE << (column & _U63)
        if drawn[word] & bit == np.uint64(0):
            drawn[word] |= bit
            missing -= 1
    return state, missing


@numba.njit(cache=True, nogil=True)
def _draw_rest(drawn: Any, missing: int, popularity: Any, state: Any) -> None:
    """Mark the ``missing`` columns whose clocks, of rates ``popularity``, ring first."""
    clocks = np.empty(len(popularity))
    for i in range(len(popularity)):
        state += _GAMMA
        clocks[i] = -math.log(_uniform(_mixed(state))) / popularity[i]
        if drawn[i >> 6] >> np.uint64(i & 63) & _ONE:
            clocks[i] = math.inf
    last = _kth_smallest(clocks.copy(), missing - 1)
    for i in range(len(popularity)):
        if missing > 0 and clocks[i] <= last:
            drawn[i >> 6] |= _ONE << np.uint64(i & 63)
            missing -= 1


@numba.njit(cache=True, nogil=True)
def _kth_smallest(values: Any, k: int) -> Any:
    """Hoare's selection in place; NumPy's partition takes Numba seconds to compile."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if k <= right:
            high = right
        elif k >= left:
            low = left
        else:
            break
    return values[k]


@numba.njit(cache=True, nogil=True)
def _write_set_bits(drawn: Any, out: Any) -> None:
    at = 0
    for word in range(len(drawn)):
        rest = drawn[word]
        while rest != np.uint64(0):
            lowest = rest & (~rest + _ONE)
            out[at] = 64 * word + _POSITIONS[(lowest * _DE_BRUIJN) >> _U58]
            rest ^= lowest
            at += 1


@numba.njit(cache=True, nogil=True, parallel=True)
def draw_values(
    pointers: Any,
    indices: Any,
    row_means: Any,
    components: Any,
    column_means: Any,
    noise: float,
    levels: Any,
    seed: int,
    out: Any,
) -> None:
    """Draw each entry from a normal around its mean, then move it to the nearest level.

    The mean is ``row_means[u] + column_means[components[u], i]``. Without levels (an
    empty array) the value stays as it is.
    """
    n = len(pointers) - 1
    for task in numba.prange((n + _ROWS_PER_TASK - 1) // _ROWS_PER_TASK):
        for u in range(task * _ROWS_PER_TASK, min((task + 1) * _ROWS_PER_TASK, n)):
            means = column_means[components[u]]
            state = _stream(seed, u)
            spare = 0.0
            for t in range(pointers[u], pointers[u + 1]):
                if (t - pointers[u]) % 2 == 0:  # Box and Muller give two at a time
                    state += _GAMMA
                    radius = math.sqrt(-2.0 * math.log(_uniform(_mixed(state))))
                    state += _GAMMA
                    angle = 2.0 * math.pi * _uniform(_mixed(state))
                    normal, spare = radius * math.cos(angle), radius * math.sin(angle)
                else:
                    normal = spare
                out[t] = _nearest(row_means[u] + means[indices[t]] + noise * normal, levels)


@numba.njit(cache=True, nogil=True)
def _nearest(value: float, levels: Any) -> Any:
    if len(levels) == 0:
        return value
    at = 0
    while at + 1 < len(levels) and value > 0.5 * (levels[at] + levels[at + 1]):
        at += 1
    return levels[at]
