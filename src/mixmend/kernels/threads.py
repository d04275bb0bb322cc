"""How many threads a piece of work deserves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba

SMALL_WORK = 4_000_000
"""Multiply-adds below which one thread finishes before a second has been woken and waited
for: about a millisecond. On a busy machine the wait alone can take many times that."""


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Run small work (in multiply-adds) on one thread; the rest as the user has set.

    Results do not depend on it: no kernel's do.
    """
    if work >= SMALL_WORK:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
