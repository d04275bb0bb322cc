"""Entries compressed along one axis: the plain functions under `ObservedMatrix`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError

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
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
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


def refuse_nul(texts: Iterable[Any]) -> None:
    r"""Complain of a text that NumPy's strings, which pad with NUL, would give back shorter.

    Examples
    --------
    >>> refuse_nul(["a", 3, "b\x00c"])
    """
    for text in texts:
        if isinstance(text, str) and text.endswith("\0"):
            raise DataError(
                f"Label {str(text)!r} ends in a NUL character, which labels cannot keep. "
                f"Take it off, as by label.rstrip({chr(0)!r})."
            )


def label_array(labels: ArrayLike) -> Labels:
    """Make a fresh array with one label per element, each of the type it has.

    NumPy alone would unfold tuples into a second axis and turn 1 beside "a" into "1". Objects
    that are all strings become NumPy strings, which can be stored without pickling.
    """
    given: Any = labels
    if isinstance(given, list | tuple):
        texts = sum(isinstance(label, str) for label in given)
        if 0 < texts < len(given) or any(isinstance(label, tuple) for label in given):
            kept: Labels = np.empty(len(given), object)
            kept[:] = given
            return kept
        refuse_nul(given)
    array = np.array(given)
    if array.dtype.kind in "OT" and array.size and all(isinstance(a, str) for a in array.flat):
        refuse_nul(array.flat)
        return array.astype(np.str_)
    return array


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


def count_cells(dense: Floats, axis: int) -> NDArray[np.int64]:
    """Count the cells that are not NaN in each row (axis 1) or column (axis 0)."""
    counts = np.zeros(dense.shape[1 - axis], np.int64)
    for block in row_blocks((dense.shape[0], dense.shape[1])):
        holes = np.isnan(dense[block])
        # most tables have none, or whole blocks without: counting takes several times as long
        part = len(holes) if axis == 0 else holes.shape[1]
        if holes.any():
            part = part - np.count_nonzero(holes, axis=axis)
        if axis == 1:
            counts[block] = part
        else:
            counts += part
    return counts


def count_positions(indices: Positions, n_lines: int) -> NDArray[np.int64]:
    """Count how often each of ``n_lines`` positions occurs."""
    counts = np.zeros(n_lines, np.int64)
    for start in range(0, len(indices), BLOCK_CELLS):
        counts += np.bincount(indices[start : start + BLOCK_CELLS], minlength=n_lines)
    return counts


def compress_dense(dense: Floats) -> Compressed:
    """Compress the cells that are not NaN by row."""
    from mixmend.kernels.compress import place_dense

    pointers = pointers_from(count_cells(dense, axis=1))
    indices = np.empty(int(pointers[-1]), index_dtype(dense.shape[1]))
    values = np.empty(int(pointers[-1]), dense.dtype)
    place_dense(dense, pointers, indices, values)
    return Compressed(pointers, indices, values)


def expand(view: Compressed, shape: tuple[int, int]) -> Floats:
    """Make a dense array with the entries in their cells and NaN in all others."""
    out = np.full(shape, np.nan, dtype=view.values.dtype)
    for lines, span in line_blocks(view.pointers):
        counts = np.diff(view.pointers[lines.start : lines.stop + 1])
        rows = np.repeat(np.arange(lines.start, lines.stop), counts)
        out[rows, view.indices[span]] = view.values[span]
    return out


def over_line_ranges(
    work: Callable[[int, int], None], pointers: NDArray[np.int64], n_parts: int | None = None
) -> None:
    """Call ``work(first, last)`` on ranges of lines with about equally many entries, in threads.

    Each line is in one range, so that what is written does not depend on ``n_parts`` (by default
    one for little data, else four or the number of cores if that is more).
    """
    n_lines = len(pointers) - 1
    if n_parts is None:
        n_parts = 1 if pointers[-1] < BLOCK_CELLS else max(4, os.cpu_count() or 1)
    cuts = np.searchsorted(pointers, np.linspace(0, int(pointers[-1]), n_parts + 1)[1:-1])
    bounds = [0, *np.minimum(cuts, n_lines).tolist(), n_lines]
    if n_parts == 1:
        work(0, n_lines)
        return
    with ThreadPoolExecutor(min(n_parts, os.cpu_count() or 1)) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def transposed(view: Compressed, n_lines: int) -> Compressed:
    """Compress the same entries along the other axis, which has ``n_lines`` lines."""
    from mixmend.kernels.compress import count_lines, place_transposed

    pointers = count_lines(view.indices, n_lines)
    indices = np.empty(len(view.indices), index_dtype(len(view.pointers) - 1))
    values = np.empty_like(view.values)
    over_line_ranges(
        lambda first, last: place_transposed(*view, pointers, indices, values, first, last),
        pointers,
    )
    return sealed(Compressed(pointers, indices, values))


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
    every = np.arange(count, dtype=np.int64)
    positions: NDArray[np.int64] = every[array if array.size else array.astype(np.int64)]
    return positions


def keep_positions(view: Compressed, kept: NDArray[np.int64], count: int) -> Compressed:
    """Keep the entries at the given increasing positions out of ``count``, numbered anew."""
    from mixmend.kernels.compress import renumber_positions

    numbers = np.full(count, -1, index_dtype(len(kept)))
    numbers[kept] = np.arange(len(kept))
    return Compressed(*renumber_positions(*view, numbers))
