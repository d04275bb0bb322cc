"""Rows grouped by the set of columns they observe."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.observed.compressed import row_blocks
from mixmend.observed.matrix import ObservedMatrix


class Patterns(NamedTuple):
    """Rows grouped by the set of columns they observe; patterns in order of first appearance.

    Attributes
    ----------
    of_row : ndarray of int64, shape (n,)
        Pattern of each row.
    first_rows : ndarray of int64, shape (n_patterns,)
        First row of each pattern, increasing: it represents the others.
    mask : ndarray of bool, shape (n_patterns, d)
        Which columns a pattern observes.
    counts : ndarray of int64, shape (n_patterns,)
        How many rows share a pattern.
    order : ndarray of int64, shape (n,)
        All rows, those of pattern 0 first, increasing within a pattern.
    pointers : ndarray of int64, shape (n_patterns + 1,)
        Rows of pattern j are ``order[pointers[j]:pointers[j + 1]]``.
    """

    of_row: NDArray[np.int64]
    first_rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    counts: NDArray[np.int64]
    order: NDArray[np.int64]
    pointers: NDArray[np.int64]

    def rows(self, pattern: int) -> NDArray[np.int64]:
        """Rows that show a pattern, increasing."""
        return self.order[self.pointers[pattern] : self.pointers[pattern + 1]]


def group_patterns(obs: ObservedMatrix) -> Patterns:
    """Group rows by the set of columns they observe.

    Rows of one pattern share every quantity that depends on the pattern alone, such as the
    factor of a covariance restricted to it.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed, n × d.

    Returns
    -------
    Patterns
        Read-only arrays. Those per row take 24 n bytes, the mask n_patterns × d bytes.

    Notes
    -----
    Rows go through a hash table in which equality is decided by comparing the sets themselves,
    never by the hash alone: linear in the size of the data, also where every row is of a
    pattern of its own.

    Examples
    --------
    >>> obs = ObservedMatrix.from_dense([[1, None], [2, 3], [4, None]])
    >>> patterns = group_patterns(obs)
    >>> patterns.of_row, patterns.counts
    (array([0, 1, 0]), array([2, 1]))
    >>> patterns.mask
    array([[ True, False],
           [ True,  True]])
    >>> patterns.rows(0)
    array([0, 2])
    """
    from mixmend.kernels.compress import count_lines
    from mixmend.kernels.grouping import group_equal_lines, order_by_line

    if obs.is_stored_dense:
        words = _mask_words(obs)
        lines = np.arange(obs.shape[0] + 1, dtype=np.int64) * words.shape[1]
        of_row, first_rows = group_equal_lines(lines, words.ravel())
        mask = ~np.isnan(obs.dense[first_rows])
    else:
        view = obs.by_row
        of_row, first_rows = group_equal_lines(view.pointers, view.indices)
        mask = np.zeros((len(first_rows), obs.shape[1]), bool)
        for pattern, row in enumerate(first_rows):
            mask[pattern, view.indices[view.pointers[row] : view.pointers[row + 1]]] = True
    pointers = count_lines(of_row, len(first_rows))
    order = order_by_line(of_row, pointers)
    patterns = Patterns(of_row, first_rows, mask, np.diff(pointers), order, pointers)
    for part in patterns:
        part.flags.writeable = False
    return patterns


def _mask_words(obs: ObservedMatrix) -> NDArray[Any]:
    """Which cells were observed, packed into 64-bit words, shape (n, ceil(d / 64))."""
    n, d = obs.shape
    packed = np.zeros((n, -(-d // 64) * 8), np.uint8)
    for block in row_blocks(obs.shape):
        bits = np.packbits(~np.isnan(obs.dense[block]), axis=1)
        packed[block, : bits.shape[1]] = bits
    return packed.view(np.uint64)
