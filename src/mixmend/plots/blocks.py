"""Large matrices made small enough to draw: means over blocks of cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class Blocks(NamedTuple):
    """A matrix in blocks of neighbouring cells.

    Attributes
    ----------
    means : ndarray, shape (a, b)
        Mean of the observed cells of each block; NaN where there are none.
    observed : ndarray, shape (a, b)
        The share of the block's cells that were observed.
    share : float
        The observed share of the whole matrix.
    """

    means: Array
    observed: Array
    share: float


def block_means(
    matrix: ObservedMatrix | NDArray[Any],
    row_order: NDArray[np.intp],
    column_order: NDArray[np.intp],
    size: tuple[int, int],
    blank: float = np.nan,
) -> Blocks:
    """Average a matrix over blocks, its rows and columns put in order first.

    Parameters
    ----------
    matrix : ObservedMatrix or ndarray, shape (n, d)
        NaN is a hole. Neither a sparse matrix nor a large dense one is copied as a whole.
    row_order, column_order : ndarray of int, shapes (n,) and (d,)
        Positions in the order wanted.
    size : tuple of int
        Rows and columns of a block; blocks at the far edges may be smaller.
    blank : float
        Another value of a dense matrix that means nothing, besides NaN.

    Returns
    -------
    Blocks
    """
    n, d = matrix.shape
    row_edges, column_edges = np.arange(0, n, size[0]), np.arange(0, d, size[1])
    if isinstance(matrix, ObservedMatrix) and not matrix.is_stored_dense:
        sums, counts = _of_entries(matrix, row_order, column_order, size)
    else:
        dense = matrix.dense if isinstance(matrix, ObservedMatrix) else matrix
        sums = np.empty((len(row_edges), len(column_edges)))
        counts = np.empty_like(sums)
        for block, start in enumerate(row_edges):
            lines = dense[row_order[start : start + size[0]]][:, column_order]
            seen = np.isfinite(lines) & (lines != blank)
            columns = np.where(seen, lines, 0.0).sum(axis=0, dtype=np.float64)
            sums[block] = np.add.reduceat(columns, column_edges)
            counts[block] = np.add.reduceat(seen.sum(axis=0), column_edges)
    cells = np.outer(np.diff(np.append(row_edges, n)), np.diff(np.append(column_edges, d)))
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return Blocks(means, counts / cells, float(counts.sum() / (n * d)))


def _of_entries(
    matrix: ObservedMatrix,
    row_order: NDArray[np.intp],
    column_order: NDArray[np.intp],
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """Add up the blocks from the observed entries alone: sums and counts."""
    n, d = matrix.shape
    shape = (-(-n // size[0]), -(-d // size[1]))
    row_block, column_block = np.empty(n, np.intp), np.empty(d, np.intp)
    row_block[row_order] = np.arange(n) // size[0]
    column_block[column_order] = np.arange(d) // size[1]
    rows, columns, values = matrix.entries()
    block = row_block[rows] * shape[1] + column_block[columns]
    n_blocks = shape[0] * shape[1]
    sums: Array = np.bincount(block, weights=values, minlength=n_blocks).astype(np.float64)
    counts: Array = np.bincount(block, minlength=n_blocks).astype(np.float64)
    return sums.reshape(shape), counts.reshape(shape)
