"""Triplets (row, column, value) into an observed matrix."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import cell_name, line_name, number_or_nan
from mixmend.observed.compressed import (
    BLOCK_CELLS,
    Compressed,
    Labels,
    as_floats,
    index_dtype,
    over_line_ranges,
)
from mixmend.observed.identifiers import as_positions
from mixmend.observed.matrix import ObservedMatrix

_KEEP = {"first": 0, "last": 1, "mean": 2}  # as kernels.compress.FIRST, LAST, MEAN


def from_triplets(
    rows: ArrayLike,
    columns: ArrayLike,
    values: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    duplicates: str = "error",
    row_labels: ArrayLike | None = None,
    column_labels: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
) -> ObservedMatrix:
    """Observed matrix from (row, column, value) triplets in any order.

    Integers are positions; strings, dates and other identifiers are numbered in sorted order
    and become the labels. Where labels are given as well, identifiers are looked up in them, so
    that new entries land in the rows and columns of an earlier matrix.

    Parameters
    ----------
    rows, columns : array-like, shape (n_observed,)
        Positions or identifiers: lists, arrays, or series of pandas, polars or Arrow.
    values : array-like of numbers, shape (n_observed,)
        float32 stays, float16 becomes float32, all else becomes float64.
    shape : (n, d), optional
        By default as many rows and columns as there are labels, or else just enough for the
        largest positions.
    duplicates : {"error", "first", "last", "mean"}, default "error"
        What to do where a (row, column) pair occurs more than once.
    row_labels, column_labels, row_weights : array-like, optional
        As for `ObservedMatrix`.

    Returns
    -------
    ObservedMatrix
        Stored by row; nothing of it shares memory with what was given.

    Raises
    ------
    DataError
        For a position outside the shape, a value that is no finite number, a missing or unknown
        identifier (the first such entry is named), and for a repeated pair unless ``duplicates``
        says what to do (the first by row and column is named).

    Notes
    -----
    Entries are placed into their rows by counting and each row is then sorted in cache (bytes of
    the column position, stable), ranges of rows being shared out over threads. Beside the triplets
    and the matrix itself there is only one row's worth of memory: measured at 10 million triplets
    (int32, int32, float32), the peak is 79 MB above the triplets, the matrix being 78 MB of that;
    at 100 million, 786 MB of 786.

    Examples
    --------
    >>> from mixmend import ObservedMatrix
    >>> obs = ObservedMatrix.from_triplets(["bob", "ann", "bob"], ["x", "y", "y"], [1, 0, 4])
    >>> obs.row_labels, obs.column_labels
    (array(['ann', 'bob'], dtype='<U3'), array(['x', 'y'], dtype='<U1'))
    >>> obs.dense
    array([[nan,  0.],
           [ 1.,  4.]])
    """
    if duplicates != "error" and duplicates not in _KEEP:
        raise DataError(
            f"duplicates must be 'error', 'first', 'last' or 'mean'; got {duplicates!r}."
        )
    row_positions, row_names = as_positions(rows, row_labels, "row")
    column_positions, column_names = as_positions(columns, column_labels, "column")
    numbers = _checked_values(values)
    if not len(row_positions) == len(column_positions) == len(numbers):
        raise DataError(
            "rows, columns and values must be equally long: got "
            f"{len(row_positions)}, {len(column_positions)} and {len(numbers)}."
        )
    if shape is not None and len(shape) != 2:
        raise DataError(f"shape must be (rows, columns); got {shape!r}.")
    n = _extent(row_positions, row_names, None if shape is None else shape[0], "row")
    d = _extent(column_positions, column_names, None if shape is None else shape[1], "column")
    _refuse_not_finite(numbers, row_positions, column_positions, row_names, column_names)
    view = compress_triplets(row_positions, column_positions, numbers, (n, d))
    view = _without_repeats(
        view, duplicates, row_positions, column_positions, row_names, column_names
    )
    return ObservedMatrix(
        (n, d),
        by_row=view,
        row_labels=row_names,
        column_labels=column_names,
        row_weights=row_weights,
    )


def compress_triplets(
    rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], shape: tuple[int, int]
) -> Compressed:
    """Compress checked triplets by row, columns in order; equal pairs stay, as they came."""
    from mixmend.kernels.compress import count_lines, place_in_lines, sort_lines

    pointers = count_lines(rows, shape[0])
    indices = np.empty(len(rows), index_dtype(shape[1]))
    floats = np.empty(len(rows), as_floats(values[:0]).dtype)
    n_bytes = max(1, (max(shape[1] - 1, 0).bit_length() + 7) // 8)

    def work(first: int, last: int) -> None:
        place_in_lines(rows, columns, values, pointers, indices, floats, first, last)
        sort_lines(pointers, indices, floats, first, last, n_bytes)

    over_line_ranges(work, pointers)
    return Compressed(pointers, indices, floats)


def _without_repeats(
    view: Compressed,
    duplicates: str,
    rows: NDArray[Any],
    columns: NDArray[Any],
    row_labels: Labels | None,
    column_labels: Labels | None,
) -> Compressed:
    from mixmend.kernels.compress import first_repeat, merge_repeats

    row, place = first_repeat(view.pointers, view.indices)
    if row < 0:
        return view
    if duplicates == "error":
        column = int(view.indices[place])
        entries = np.flatnonzero((rows == row) & (columns == column))
        raise DataError(
            f"{cell_name(row, column, row_labels, column_labels)} occurs {len(entries)} times "
            f"(entries {entries[0]} and {entries[1]}{', …' if len(entries) > 2 else ''}). Remove "
            "the repetitions, or say which to keep: duplicates='first', 'last' or 'mean'."
        )
    count = merge_repeats(*view, _KEEP[duplicates])
    for part in (view.indices, view.values):  # fresh arrays, so nothing else refers to them:
        part.resize(count, refcheck=False)  # the tail is given back without a second copy
    return view


def _checked_values(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"values must be one-dimensional; got shape {array.shape}.")
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: the values are complex numbers.")
    if array.dtype.kind == "O":
        numbers = (number_or_nan(v, partial("entry {}".format, e)) for e, v in enumerate(array))
        return np.fromiter(numbers, np.float64, len(array))
    if array.dtype.kind not in "fiub":
        shown = repr(array[0].item()) if len(array) else f"type {array.dtype}"
        raise DataError(f"values must be numbers; entry 0 is {shown}.")
    if array.dtype == np.float16 or array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = as_floats(array)
    return array


def _extent(positions: NDArray[Any], labels: Labels | None, given: int | None, axis: str) -> int:
    """How many rows (columns) there are; refuses positions outside."""
    smallest, largest = (int(positions.min()), int(positions.max())) if len(positions) else (0, -1)
    if given is None:
        count = largest + 1 if labels is None else len(labels)
        reason = "there is no label for it" if labels is not None else ""
    else:
        count = int(given)
        reason = f"shape says {count} {axis}s"
    if count < 0:
        raise DataError(f"shape must not be negative; got {given} {axis}s.")
    if smallest < 0 or largest >= count:
        entry = int(np.flatnonzero((positions < 0) | (positions >= count))[0])
        position = int(positions[entry])
        if position < 0:
            raise DataError(
                f"Entry {entry} has {axis} {position}: positions count from 0. "
                "Give identifiers as strings if the numbers are names."
            )
        raise DataError(
            f"Entry {entry} has {axis} {position}, but {reason} "
            f"(0 to {count - 1} are allowed). Enlarge the shape, or give identifiers as strings "
            "if the numbers are names."
        )
    if count == 0 and given is None:
        raise DataError(f"No entries and no shape: say how many {axis}s there are (shape=(n, d)).")
    return count


def _refuse_not_finite(
    values: NDArray[Any],
    rows: NDArray[Any],
    columns: NDArray[Any],
    row_labels: Labels | None,
    column_labels: Labels | None,
) -> None:
    if values.dtype.kind != "f":
        return
    for start in range(0, len(values), BLOCK_CELLS):
        finite = np.isfinite(values[start : start + BLOCK_CELLS])
        if not finite.all():
            entry = start + int(np.flatnonzero(~finite)[0])
            row = line_name("row", int(rows[entry]), row_labels)
            column = line_name("column", int(columns[entry]), column_labels)
            raise DataError(
                f"Entry {entry} ({row}, {column}) has the value {values[entry]}: a triplet says "
                "that something was observed. Leave entries without a value out (NaN) and "
                "replace infinity by a number."
            )
