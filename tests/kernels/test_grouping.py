"""Grouping kernels against a dictionary, and with hashes that all collide."""

from __future__ import annotations

import numpy as np
import pytest

from mixmend.kernels import compress, grouping


def test_listing_entries_by_line(rng):
    lines = rng.integers(0, 8, 100)
    pointers = compress.count_lines(lines, 8)
    np.testing.assert_array_equal(
        grouping.order_by_line(lines, pointers), np.argsort(lines, kind="stable")
    )


@pytest.mark.parametrize("dtype", [np.int32, np.uint64])
def test_grouping_against_a_dictionary(rng, dtype):
    lines = [tuple(rng.integers(0, 2, rng.integers(0, 6)).tolist()) for _ in range(400)]
    pointers = np.concatenate([[0], np.cumsum([len(line) for line in lines])])
    items = np.array([item for line in lines for item in line], dtype)
    numbers: dict[tuple[int, ...], int] = {}
    want = [numbers.setdefault(line, len(numbers)) for line in lines]
    groups, firsts = grouping.group_equal_lines(pointers, items)
    np.testing.assert_array_equal(groups, want)
    assert [lines[j] for j in firsts] == list(numbers)


def test_grouping_compares_the_items_and_not_the_hash():
    """Items made so that all lines start at one slot of the table, where only looking helps."""
    mask = 2**64 - 1

    def slot(item, size):
        key = ((1 ^ item) * 0xBF58476D1CE4E5B9) & mask
        key ^= key >> 31
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & mask
        key ^= key >> 31
        return key & (size - 1)

    colliding = [item for item in range(3000) if slot(item, 64) == 5][:20]
    assert len(colliding) == 20
    items = np.array(colliding + colliding[::-1][:12], np.int32)  # 32 lines: a table of 64 slots
    groups, firsts = grouping.group_equal_lines(np.arange(33), items)
    np.testing.assert_array_equal(firsts, np.arange(20))
    np.testing.assert_array_equal(items[firsts[groups]], items)
