"""A block of rows as the densities work on it: entries by row, and by column within row tiles."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixmend.kernels.blocks import columns_by_block
from mixmend.observed.compressed import sealed
from mixmend.observed.matrix import Compressed, ObservedMatrix

_CACHE_BYTES = 1 << 20
"""What a tile's gathered tables may take: half of the level-2 cache of current processors."""

_ENTRIES_PER_LINE = 8
"""A tile is made taller until a column has this many entries in it on average: shorter lines
cost more for their loop than for their entries."""


class Block:
    """Rows of an observed matrix with the layouts that E- and M-steps need, made once per fit.

    Parameters
    ----------
    observed : ObservedMatrix
        The rows. Usually the whole matrix: kernels use the threads inside a block.
    row_bytes : int
        Bytes that the M-step gathers per row (components × tables × item size): they
        decide how many rows a tile has, so that the gathered tables stay in the cache.
    """

    def __init__(self, observed: ObservedMatrix, row_bytes: int = 128) -> None:
        self.observed = observed
        n, d = observed.shape
        fitting = _CACHE_BYTES // max(row_bytes, 1)
        filled = int(_ENTRIES_PER_LINE * d / max(observed.n_observed / max(n, 1), 1e-9)) + 1
        self.tile_rows = max(1, min(n, max(fitting, filled), np.iinfo(np.int32).max))

    @property
    def by_row(self) -> Compressed:
        """Entries by row."""
        return self.observed.by_row

    @cached_property
    def by_tile_column(self) -> Compressed:
        """Entries by column within each tile; line ``tile * d + i`` holds column i's."""
        if self.tile_rows >= self.observed.shape[0]:
            return self.observed.by_column
        view = self.observed.by_row
        regrouped = columns_by_block(*view, self.observed.shape[1], self.tile_rows)
        # read-only like every other view: kernels are compiled for one kind of array only
        return sealed(Compressed(*regrouped))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Observed cells of each row."""
        return self.observed.row_counts

    @cached_property
    def count_levels(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The distinct numbers of observed cells per row, and which of them each row has."""
        levels, index = np.unique(self.counts, return_inverse=True)
        return levels, index.astype(np.int32)

    @property
    def row_weights(self) -> NDArray[np.float64] | None:
        """Weight of each row; None means 1."""
        return self.observed.row_weights

    def tiles(self) -> list[tuple[int, int]]:
        """First row and row count of each tile, in order: fixed by the data, not by threads."""
        n = self.observed.shape[0]
        return [(r, min(self.tile_rows, n - r)) for r in range(0, n, self.tile_rows)]
