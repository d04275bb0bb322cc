"""How many threads a piece of work deserves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numba

SMALL_WORK = 4_000_000
"""Multiply-adds below which one thread finishes before a second has been woken and waited
for: about a millisecond. On a busy machine the wait alone can take many times that."""


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Run small work (in multiply-adds) on one thread; the rest as the user has set.

    Results do not depend on it: no kernel's do.
    """
    before = numba.get_num_threads()
    if work >= SMALL_WORK or before == 1:
        yield
        return
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401  (brings its own BLAS, which must be known by now)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def fixed_order() -> Iterator[None]:
    """Matrix products and decompositions of NumPy and SciPy in one order: on one thread.

    How a BLAS sums depends, in the last bits, on how many threads it cuts the work for, and
    results must not depend on that. Serves as a decorator too. What is large enough for
    more threads has kernels of its own, which cut by the data.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield
