"""Equal lines found by hashing, and entries listed group by group."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def order_by_line(lines: Any, pointers: Any) -> Any:
    """List the entries line by line, in the order they came in within each."""
    place = pointers[:-1].copy()
    order = np.empty(len(lines), np.int64)
    for t in range(len(lines)):
        j = lines[t]
        order[place[j]] = t
        place[j] += 1
    return order


@numba.njit(cache=True, nogil=True)
def group_equal_lines(pointers: Any, items: Any) -> Any:
    """Give lines with the same items one number, in order of first appearance.

    Returns the group of each line and the first line of each group. Open addressing with linear
    probing; lines are equal only if all their items are.
    """
    n = len(pointers) - 1
    size = 16
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, np.int64)  # the group that sits there
    groups = np.empty(n, np.int64)
    firsts = np.empty(n, np.int64)
    count = 0
    for j in range(n):
        a = pointers[j]
        m = pointers[j + 1] - a
        key = np.uint64(m)
        for t in range(m):  # multiply and mix (the constants of splitmix64)
            key = (key ^ np.uint64(items[a + t])) * np.uint64(0xBF58476D1CE4E5B9)
            key ^= key >> np.uint64(31)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
        slot = np.int64(key & np.uint64(size - 1))
        while True:
            group = slots[slot]
            if group < 0:
                slots[slot] = count
                firsts[count] = j
                group = count
                count += 1
                break
            b = pointers[firsts[group]]
            equal = pointers[firsts[group] + 1] - b == m
            t = 0
            while equal and t < m:
                equal = items[a + t] == items[b + t]
                t += 1
            if equal:
                break
            slot = (slot + 1) & (size - 1)
        groups[j] = group
    return groups, firsts[:count].copy()
