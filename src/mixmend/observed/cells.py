"""Cells of a dense table turned into floats, with errors that name the cell."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.compressed import Floats, Labels, as_floats, row_blocks


class CellTypeError(DataError, TypeError):
    """A cell holds an object that no number can be made of (a dict, a list, a model…)."""


def table_of_cells(X: Any) -> NDArray[Any]:
    """Make a two-dimensional real array of whatever NumPy understands as one.

    Raises
    ------
    DataError
        For other dimensions, ragged rows, complex numbers, no rows or no columns.
    """
    if isinstance(X, np.ma.MaskedArray):
        array: NDArray[Any] = X
    else:
        try:
            array = np.asarray(X)
            if array.dtype.kind in "US" and not hasattr(X, "dtype"):
                array = np.asarray(X, dtype=object)  # numbers among text stay numbers
        except ValueError as error:
            raise DataError(_why_not_rectangular(X, error)) from error
    if array.dtype.kind == "c":
        raise DataError(
            "Complex data not supported: the matrix holds complex numbers. "
            "Give real and imaginary parts as columns of their own (X.real, X.imag)."
        )
    if array.ndim != 2:
        raise DataError(_wrong_dimensions(array))
    require_cells(array.shape[0], array.shape[1])
    return array


def require_cells(n: int, d: int) -> None:
    """Refuse a matrix without rows or without columns, in scikit-learn's words."""
    for count, what in ((n, "sample(s)"), (d, "feature(s)")):
        if count == 0:
            raise DataError(
                f"Found array with 0 {what} (shape=({n}, {d})) while a minimum of 1 is required."
            )


def floats_of_cells(
    array: Any,
    missing: float | None,
    row_labels: Labels | None = None,
    column_labels: Labels | None = None,
    copy: bool = True,
) -> Floats:
    """Turn cells into C-ordered floats with NaN for holes.

    A mask, None, NaN and the mark ``missing`` are holes. float32 stays and float16 becomes
    float32; all else becomes float64.

    Raises
    ------
    DataError
        For text, dates, other objects and infinite values; the first such cell is named.
    """
    mask = None
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        array = np.ma.getdata(array)
    if array.dtype.kind == "O":
        dense = _floats_of_objects(array, mask, row_labels, column_labels)
    elif array.dtype.kind in "fiub":
        dense = np.ascontiguousarray(as_floats(array))
    else:
        row, column = _first_not_a_number(array)
        name = cell_name(row, column, row_labels, column_labels)
        raise DataError(_not_a_number(array[row, column], name))
    mark = mark_of_holes(missing)
    must_write = mask is not None or not np.isnan(mark)
    if (copy or must_write) and np.may_share_memory(dense, array):
        dense = dense.copy()
    if mask is not None:
        dense[mask] = np.nan
    for block in row_blocks((dense.shape[0], dense.shape[1])):
        cells = dense[block]
        if not np.isnan(mark):
            cells[cells == mark] = np.nan
        infinite = np.isinf(cells)
        if infinite.any():
            row, column = (int(k[0]) for k in np.nonzero(infinite))
            raise DataError(
                infinite_cell(
                    cells[row, column], row + block.start, column, row_labels, column_labels
                )
            )
    return dense


def infinite_cell(
    value: float, row: int, column: int, row_labels: Labels | None, column_labels: Labels | None
) -> str:
    """Say where an infinite value is, and what to do."""
    return (
        f"Input contains infinity: {cell_name(row, column, row_labels, column_labels)} is "
        f"{value}. Replace it by a number, or by NaN where the value is missing."
    )


def cell_name(
    row: int, column: int, row_labels: Labels | None = None, column_labels: Labels | None = None
) -> str:
    """Name a cell: ``row 3 ('alice'), column 5 ('Heat')``, labels where there are any."""
    return f"{line_name('row', row, row_labels)}, {line_name('column', column, column_labels)}"


def line_name(axis: str, position: int, labels: Labels | None) -> str:
    """Name a line: ``row 3`` or ``row 3 ('alice')``."""
    if labels is None:
        return f"{axis} {position}"
    return f"{axis} {position} ({plain(labels[position])!r})"


def plain(value: Any) -> Any:
    """Return Python's value of a NumPy scalar: messages read ``'a'`` and not ``np.str_('a')``."""
    return value.item() if isinstance(value, np.generic) else value


def mark_of_holes(missing: float | None) -> float:
    """Check the mark of holes; NaN where there is none beside NaN itself."""
    if missing is None:
        return np.nan
    given: Any = missing
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise DataError(f"missing must be a number, such as 0, -999 or NaN; got {given!r}.")
    return float(given)


# ---------------------------------------------------------------------- one cell at a time


def number_or_nan(value: Any, name: Callable[[], str]) -> float:
    """Make a float of any object: None and NA are NaN, text and dates an error.

    ``name`` is called for the name of the cell where it is needed.
    """
    if value is None or _is_missing_scalar(value):
        return np.nan
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        raise DataError(f"Complex data not supported: {name()} is {value!r}.")
    if isinstance(value, str | bytes | np.datetime64 | np.timedelta64):
        raise DataError(_not_a_number(value, name()))
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CellTypeError(
            f"The matrix must hold numbers: {name()} is {value!r} ({error}). "
            "Put a number there, or None or NaN where the value is missing."
        ) from error


def _floats_of_objects(
    array: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    row_labels: Labels | None,
    column_labels: Labels | None,
) -> Floats:
    out = np.full(array.shape, np.nan)
    for row, column in np.ndindex(*array.shape):
        if mask is None or not mask[row, column]:
            name = partial(cell_name, row, column, row_labels, column_labels)
            out[row, column] = number_or_nan(array[row, column], name)
    return out


def _is_missing_scalar(value: Any) -> bool:
    """Whether it is pandas' NA and NaT, known by name so that pandas need not be imported."""
    return type(value).__name__ in ("NAType", "NaTType")


def _first_not_a_number(array: NDArray[Any]) -> tuple[int, int]:
    """Find the first text that is no number (the first cell where all are, or no text)."""
    if array.dtype.kind in "UST":
        for row, column in np.ndindex(*array.shape):
            try:
                float(array[row, column])
            except ValueError:
                return row, column
    return 0, 0


def _not_a_number(value: Any, name: str) -> str:
    return (
        f"The matrix must hold numbers: {name} is {plain(value)!r}. Convert text to numbers first, "
        "and leave out what is not a number."
    )


# ---------------------------------------------------------------------- wrong shapes


def _wrong_dimensions(array: NDArray[Any]) -> str:
    if array.ndim == 0:
        kind = f"scalar array instead: {plain(array[()])!r}"
    elif array.ndim == 1:
        kind = f"1D array instead, of {len(array)} values"
    else:
        return (
            f"Found array with dim {array.ndim}, while dim <= 2 is required (shape={array.shape}). "
            "Reshape your data to rows and columns, e.g. X.reshape(len(X), -1)."
        )
    return (
        f"Expected 2D array, got {kind}. Reshape your data either using array.reshape(-1, 1) if "
        "it has a single column or array.reshape(1, -1) if it is a single row."
    )


def _why_not_rectangular(X: Any, error: ValueError) -> str:
    try:
        lengths = [len(row) for row in X]
    except TypeError:
        return f"The data cannot be read as a matrix ({error})."
    for row, length in enumerate(lengths):
        if length != lengths[0]:
            return (
                f"All rows must be equally long: row 0 has {lengths[0]} values, row {row} has "
                f"{length}. Put None or NaN where a value is missing."
            )
    return f"The data cannot be read as a matrix ({error})."
