"""Entries compressed along one axis: the plain functions under `ObservedMatrix`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

Floats: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[Any]
Positions: TypeAlias = NDArray[np.signedinteger[Any]]

BLOCK_CELLS = 1 << 22
"""Cells looked at in one go where a temporary per cell is needed: a few dozen megabytes."""


class Compressed(NamedTuple):
    """Entries compressed along one axis (CSR by rows, CSC by columns).

    Attributes
    ----------
    pointers : ndarray of int64, shape (m + 1,)
        Entries of line j lie in ``pointers[j]:pointers[j + 1]``. 64 bits: more than
        2^31 entries are legal.
    indices : ndarray of int32 (int64 beyond 2^31 lines), shape (n_observed,)
        Position on the other axis, increasing within a line.
    values : ndarray of float32 or float64, shape (n_observed,)
        The observed values.
    """

    pointers: NDArray[np.int64]
    indices: Positions
    values: Floats


def index_dtype(n_lines: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest type in use that can number ``n_lines`` lines: int32, else int64."""
    return np.int32 if n_lines <= np.iinfo(np.int32).max else np.int64


def as_floats(values: NDArray[Any]) -> Floats:
    """Keep float32, widen float16 to it, turn all else into float64; copy only where needed."""
    if values.dtype == np.float32 or values.dtype == np.float16:
        return values.astype(np.float32, copy=False)
    return values.astype(np.float64, copy=False)


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a read-only view; the array it looks into can still be written by who holds it."""
    view = array.view()
    view.flags.writeable = False
    return view


def sealed(view: Compressed) -> Compressed:
    """Return the same entries in read-only views."""
    return Compressed(frozen(view.pointers), frozen(view.indices), frozen(view.values))


def pointers_from(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Compute where each line starts from how many entries each has."""
    pointers = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=pointers[1:])
    return pointers


def row_blocks(shape: tuple[int, int]) -> Iterator[slice]:
    """Yield slices of consecutive rows: `BLOCK_CELLS` cells each, or one row where it has more."""
    step = max(1, BLOCK_CELLS // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def line_blocks(pointers: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Yield (slice of lines, slice of entries) for about `BLOCK_CELLS` entries at a time."""
    n_lines = len(pointers) - 1
    first = 0
    while first < n_lines:
        end = int(np.searchsorted(pointers, pointers[first] + BLOCK_CELLS, side="right")) - 1
        last = min(max(end, first + 1), n_lines)
        yield slice(first, last), slice(int(pointers[first]), int(pointers[last]))
        first = last


def compress_dense(dense: Floats) -> Compressed:
    """Compress the cells that are not NaN by row, with temporaries for one block only."""
    counts = np.empty(dense.shape[0], np.int64)
    for block in row_blocks((dense.shape[0], dense.shape[1])):
        counts[block] = dense.shape[1] - np.isnan(dense[block]).sum(axis=1)
    pointers = pointers_from(counts)
    indices = np.empty(int(pointers[-1]), index_dtype(dense.shape[1]))
    values = np.empty(int(pointers[-1]), dense.dtype)
    for block in row_blocks((dense.shape[0], dense.shape[1])):
        observed = ~np.isnan(dense[block])
        span = slice(int(pointers[block.start]), int(pointers[block.stop]))
        indices[span] = np.nonzero(observed)[1]
        values[span] = dense[block][observed]
    return Compressed(pointers, indices, values)


def expand(view: Compressed, shape: tuple[int, int]) -> Floats:
    """Make a dense array with the entries in their cells and NaN in all others."""
    out = np.full(shape, np.nan, dtype=view.values.dtype)
    for lines, span in line_blocks(view.pointers):
        counts = np.diff(view.pointers[lines.start : lines.stop + 1])
        rows = np.repeat(np.arange(lines.start, lines.stop), counts)
        out[rows, view.indices[span]] = view.values[span]
    return out


def transposed(view: Compressed, n_lines: int) -> Compressed:
    """Compress the same entries along the other axis, which has ``n_lines`` lines."""
    from mixmend.kernels.compress import transpose_compressed

    dtype = index_dtype(len(view.pointers) - 1)
    return sealed(Compressed(*transpose_compressed(*view, n_lines, np.empty(0, dtype))))


def line(view: Compressed, j: int) -> tuple[Positions, Floats]:
    """Return positions and values of line j; negative j counts from the end."""
    position = range(len(view.pointers) - 1)[j]  # IndexError as for any sequence
    span = slice(int(view.pointers[position]), int(view.pointers[position + 1]))
    return view.indices[span], view.values[span]


def select_lines(view: Compressed, chosen: slice | NDArray[np.int64]) -> Compressed:
    """Take the lines `chosen_lines` named, in that order; a slice shares the entries' memory."""
    if isinstance(chosen, slice):
        pointers = view.pointers[chosen.start : chosen.stop + 1]
        span = slice(int(pointers[0]), int(pointers[-1]))
        return Compressed(pointers - pointers[0], view.indices[span], view.values[span])
    from mixmend.kernels.compress import gather_lines

    pointers = pointers_from(view.pointers[chosen + 1] - view.pointers[chosen])
    return Compressed(pointers, *gather_lines(*view, chosen, pointers))


def chosen_lines(which: slice | ArrayLike, count: int) -> slice | NDArray[np.int64]:
    """Resolve a choice of lines: a slice of step 1 stays one, all else (masks too) is positions."""
    if isinstance(which, slice):
        first, last, step = which.indices(count)
        return slice(first, max(first, last)) if step == 1 else np.arange(first, last, step)
    array = np.asarray(which)
    if array.ndim != 1:
        raise IndexError(f"choose lines by a one-dimensional sequence; got shape {array.shape}")
    every: NDArray[np.int64] = np.arange(count, dtype=np.int64)
    return every[array if array.size else array.astype(np.int64)]
