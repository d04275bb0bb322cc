"""Rows laid out for densities whose cost lies in the set of columns that a row observes.

Rows that observe the same columns share the factor of a covariance matrix restricted to
them. They are put side by side and cut into tiles: small enough that what a tile's rows
need stays in the cache, and fixed by the data, so that results do not depend on threads.

A pattern with many rows is common: it pays to factor the covariance of its observed columns
for it, and to work on its rows like complete ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels.layout import cut_tiles
from mixmend.kernels.products import padded_columns
from mixmend.mixtures.spherical_e_step import padded
from mixmend.observed.compressed import Floats
from mixmend.observed.matrix import ObservedMatrix
from mixmend.observed.patterns import group_patterns

_TILE_BYTES = 1 << 18
"""What the residuals of a tile may take, for all components: a part of the level-2 cache."""

_NEAR_BYTES = 1 << 19
"""What whiteners and sums of all components may take to be found in the level-2 cache."""

_STORE_BYTES = 1 << 21
"""What the inverses of a tile's patterns may take, for all components."""

_STRIPS = 24
"""Rows which are a whole number of strips on any processor."""

_SUMS_BYTES = 1 << 28
"""What all tasks' sums may take together: decides how many tasks share the rows."""

COMMON_ROWS = 4
"""Rows per column from which on a pattern is common."""

WORTH = 10**8
"""Multiply-adds of a step's sums over common rows (n d^2 K) below which they are left with the
rare ones: two kernels take twice as long to compile at the first fit ever."""

_ROWS_EACH = 512
"""Complete rows, or the arithmetic of as many, that a task has at least: clearing its sums and
adding them to the others' takes as long as some seventy."""

_MOST_TASKS = 32
_LEAST_TASKS = 2


class Layout(NamedTuple):
    """Where each row is worked on; plain arrays, for kernels.

    A pattern with few holes is worked on through its holes (precision matrix restricted to
    them), one with few observed cells through those (covariance matrix restricted to them).

    Attributes
    ----------
    values : ndarray, shape (n, d)
        The data with NaN in the holes.
    order : ndarray of int64
        The rows that observe anything, those of one pattern side by side.
    columns : ndarray of int32, shape (n_patterns, d)
        Each pattern's columns: first the fewer ones (holes or observed cells), then the rest.
    sizes : ndarray of int64, shape (n_patterns,)
        How many the fewer ones are.
    by_observed : ndarray of int64, shape (n_patterns,)
        1 where the fewer ones are the observed cells.
    run_starts : ndarray of int64, shape (n_runs + 1,)
        Rows ``order[run_starts[i]:run_starts[i + 1]]`` are of one pattern and one tile.
    run_patterns : ndarray of int64, shape (n_runs,)
    tile_runs : ndarray of int64, shape (n_tiles + 1,)
        Runs of each tile; all of a tile's are worked on through holes or all through cells.
    task_tiles : ndarray of int64, shape (n_tasks + 1,)
        Tiles of each task; tasks run side by side, each with sums of its own.
    tile_rows : int
        Most rows of a tile, a multiple of 24: whole strips (see `mixmend.kernels.gaussian`).
    store_size : int
        Most numbers per component that a tile's inverses take.
    """

    values: Floats
    order: NDArray[np.int64]
    columns: NDArray[np.int32]
    sizes: NDArray[np.int64]
    by_observed: NDArray[np.int64]
    run_starts: NDArray[np.int64]
    run_patterns: NDArray[np.int64]
    tile_runs: NDArray[np.int64]
    task_tiles: NDArray[np.int64]
    tile_rows: int
    store_size: int

    @property
    def n_kinds(self) -> int:
        """1, or 2 where some pattern is worked on through its observed cells."""
        return 2 if self.by_observed.any() else 1

    @property
    def has_holes(self) -> bool:
        """Whether any cell is missing from the rows in ``order``."""
        return bool(self.sizes.any())


class Common(NamedTuple):
    """Rows of common patterns; plain arrays, for kernels. A tile is a run of one pattern.

    Attributes
    ----------
    values, order, columns, run_starts, run_patterns, tile_runs, task_tiles, tile_rows
        As in `Layout`, but each pattern's observed columns come first.
    seen : ndarray of int64, shape (n_patterns,)
        How many columns a pattern observes.
    """

    values: Floats
    order: NDArray[np.int64]
    columns: NDArray[np.int32]
    seen: NDArray[np.int64]
    run_starts: NDArray[np.int64]
    run_patterns: NDArray[np.int64]
    tile_runs: NDArray[np.int64]
    task_tiles: NDArray[np.int64]
    tile_rows: int


class PatternBlock(Block):
    """A block of rows with their layout by pattern, made once per fit.

    ``layout`` has the rows of rare patterns, ``common`` those of common ones: all rows of a
    complete matrix.

    Parameters
    ----------
    observed : ObservedMatrix
        The rows.
    n_components : int
        For how many components the tiles are to fit the cache.
    """

    def __init__(self, observed: ObservedMatrix, n_components: int) -> None:
        super().__init__(observed)
        self.n_components = n_components
        self.layout, self.common = lay_out(observed, n_components)

    @property
    def has_holes(self) -> bool:
        """Whether any cell is missing from the rows that observe anything."""
        return self.layout.has_holes or bool((self.common.seen < self.observed.shape[1]).any())


def patterned(block: Block) -> PatternBlock:
    """The block, which must have been laid out by pattern."""
    if not isinstance(block, PatternBlock):
        raise TypeError(f"full covariances need a PatternBlock; got {type(block).__name__}")
    return block


def lay_out(obs: ObservedMatrix, n_components: int) -> tuple[Layout, Common]:
    """Order the rows by pattern and cut them into tiles and tasks, rare and common ones."""
    d = obs.shape[1]
    mask, counts, order = _patterns(obs)
    common = counts >= COMMON_ROWS * d
    if counts[common].sum() * d * d * n_components < WORTH:
        common = np.full(len(counts), mask.all())  # complete rows need no other kernel
    of_row = np.repeat(common, counts)
    return (
        _rare(obs, mask[~common], counts[~common], order[~of_row], n_components),
        _common(obs, mask[common], counts[common], order[of_row], n_components),
    )


def _common(
    obs: ObservedMatrix,
    mask: NDArray[np.bool_],
    counts: NDArray[np.int64],
    order: NDArray[np.int64],
    n_components: int,
) -> Common:
    d, tile_rows = obs.shape[1], _tile_rows_of_common(obs.shape[1], n_components)
    apart = np.arange(len(counts))  # no tile has rows of two patterns
    run_starts, run_patterns, tile_runs = cut_tiles(
        counts, np.zeros(len(counts), np.int64), apart, tile_rows, 1
    )
    seen = mask.sum(axis=1)
    return Common(
        obs.dense,
        order,
        np.argsort(~mask, axis=1, kind="stable").astype(np.int32),
        seen,
        run_starts,
        run_patterns,
        tile_runs,
        _tasks(run_starts, run_patterns, tile_runs, 0 * seen, (n_components, d)),
        tile_rows,
    )


def _tile_rows(obs: ObservedMatrix, n_components: int) -> int:
    fitting = _TILE_BYTES // (n_components * padded_columns(obs.shape[1]) * 8)
    return int(np.clip(fitting // _STRIPS * _STRIPS, _STRIPS, 240))


def _tile_rows_of_common(d: int, n_components: int) -> int:
    """Enough rows to be worth loading a component's tables, which may come from far."""
    tables = 2 * n_components * padded_columns(d) ** 2 * 8
    return 72 if tables <= _NEAR_BYTES else 144


def _rare(
    obs: ObservedMatrix,
    mask: NDArray[np.bool_],
    counts: NDArray[np.int64],
    order: NDArray[np.int64],
    n_components: int,
) -> Layout:
    d, tile_rows = obs.shape[1], _tile_rows(obs, n_components)
    seen = mask.sum(axis=1)
    by_observed = (2 * seen < d).astype(np.int64)
    few = np.where(by_observed[:, None] == 1, mask, ~mask)
    sizes = few.sum(axis=1)
    columns = np.argsort(~few, axis=1, kind="stable").astype(np.int32)
    width = padded(n_components) * 8
    triangles = sizes * (sizes + 1) // 2
    run_starts, run_patterns, tile_runs = cut_tiles(
        counts, triangles, by_observed, tile_rows, max(_STORE_BYTES // width, 1)
    )
    stored = np.add.reduceat(triangles[run_patterns], tile_runs[:-1]) if len(counts) else [0]
    return Layout(
        obs.dense,
        order,
        columns,
        sizes,
        by_observed,
        run_starts,
        run_patterns,
        tile_runs,
        _tasks(run_starts, run_patterns, tile_runs, sizes, (n_components, d)),
        tile_rows,
        int(max(stored)),
    )


def _patterns(
    obs: ObservedMatrix,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Masks and row counts of the patterns that observe anything, and their rows in order.

    Patterns that are alike in their numbers of holes come together.
    """
    n, d = obs.shape
    if obs.is_complete:
        return np.ones((min(n, 1), d), bool), np.full(min(n, 1), n), np.arange(n)
    patterns = group_patterns(obs)
    seen = patterns.mask.sum(axis=1)
    ranked = np.argsort(-seen, kind="stable")
    ranked = ranked[seen[ranked] > 0]
    rank = np.full(len(seen), len(seen))
    rank[ranked] = np.arange(len(ranked))
    order = np.argsort(rank[patterns.of_row], kind="stable")
    counts = patterns.counts[ranked]
    return patterns.mask[ranked], counts, order[: counts.sum()]


def _tasks(
    run_starts: NDArray[np.int64],
    run_patterns: NDArray[np.int64],
    tile_runs: NDArray[np.int64],
    sizes: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.int64]:
    """Cut the tiles into tasks of about equal arithmetic."""
    n_components, d = shape
    n_tiles = len(tile_runs) - 1
    size = sizes[run_patterns].astype(float)
    work = np.diff(run_starts) * (d * d + size * (d + size)) + size**3
    total = np.concatenate([[0.0], np.cumsum(work)])[tile_runs]
    table = n_components * padded_columns(d) ** 2 * 8 * 3
    worthy = min(_SUMS_BYTES // table, int(total[-1] / (_ROWS_EACH * d * d)))
    n_tasks = int(np.clip(worthy, _LEAST_TASKS, _MOST_TASKS))
    shares = np.linspace(0.0, total[-1], min(n_tasks, max(n_tiles, 1)) + 1)
    cuts = np.searchsorted(total, shares)
    cuts[0], cuts[-1] = 0, n_tiles
    return cuts
