"""Wide tables: one record per row of the matrix, a cell for each of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, FileFormatError
from mixmend.files.binary import BinaryTable
from mixmend.files.complaints import complain_of_cell, complain_of_wide_cell, in_message
from mixmend.files.dialect import HOLE_MARKS
from mixmend.files.ids import IdColumn, integer_labels, numbers_of, text_labels
from mixmend.files.layout import Table
from mixmend.files.long import first_repeated, require_records
from mixmend.observed.matrix import ObservedMatrix

if TYPE_CHECKING:
    import polars as pl


def read_wide(
    table: Table, label_column: int | None, mark: str | None, number: float | None, dtype: str
) -> ObservedMatrix:
    """Read a table with one record per row; empty cells, NaN, NA and null are holes.

    Parameters
    ----------
    table : TextTable or BinaryTable
        The table.
    label_column : int or None
        Position of the column that labels the rows.
    mark, number : str or None, float or None
        Text and number that stand for a hole too.
    dtype : {"float64", "float32"}
        Type of the values.

    Raises
    ------
    FileFormatError, DataError
        As `ratings.read_ratings`.
    """
    positions = [j for j in range(table.n_columns) if j != label_column]
    if not positions:
        raise FileFormatError(
            f"{table.shown} has no column besides the labels of the rows. "
            "Give a table with numbers."
        )
    labels = IdColumn()
    parts: list[NDArray[np.floating[Any]]] = []
    taken = 0
    for grid, odd, names in _grids(table, positions, label_column, np.dtype(dtype), mark):
        place = None if names is None else labels.add(names)
        if label_column is not None and place is not None:
            complain_of_cell(table, taken + place, label_column, "row")
        if odd is not None:
            complain_of_wide_cell(table, taken + odd[0], odd[1])
        parts.append(grid)
        taken += len(grid)
    if taken == 0:
        require_records(table)
    return ObservedMatrix.from_dense(
        np.concatenate(parts) if len(parts) > 1 else parts[0],
        np.nan if number is None else number,
        row_labels=None if label_column is None else _row_labels(table, labels, label_column),
        column_labels=_column_labels(table, positions),
    )


def _grids(
    table: Table,
    positions: list[int],
    label_column: int | None,
    dtype: np.dtype[Any],
    mark: str | None,
) -> Iterator[tuple[NDArray[np.floating[Any]], tuple[int, int] | None, pl.Series | None]]:
    """Numbers of some rows, the first odd cell (row, position) among them, and their labels."""
    if isinstance(table, BinaryTable):
        wanted = positions if label_column is None else [*positions, label_column]
        for batch in table.batches(wanted):
            grid = np.empty((len(batch[0]), len(positions)), dtype)
            found = []
            for j, position in enumerate(positions):
                grid[:, j], odd = _numbers_and_holes(batch[j], mark, dtype)
                found += [(int(k), position) for k in odd[:1]]
            yield grid, min(found, default=None), None if label_column is None else batch[-1]
        return
    n_columns = table.n_columns
    for cells in table.cells():
        numbers, odd = _numbers_and_holes(cells, mark, dtype)
        odd = odd[odd % n_columns != label_column] if label_column is not None else odd
        first = divmod(int(odd[0]), n_columns) if len(odd) else None
        grid = numbers.reshape(-1, n_columns)
        if label_column is None:
            yield grid, first, None
        else:
            yield grid[:, positions], first, cells.gather_every(n_columns, label_column)


def _numbers_and_holes(
    cells: pl.Series, mark: str | None, dtype: np.dtype[Any]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
    """Numbers of cells, NaN where there is none, and where that is not because of a hole."""
    import polars as pl

    numbers, _ = numbers_of(cells, mark)
    with np.errstate(over="ignore"):
        narrowed = numbers.astype(dtype, copy=False)
    odd = np.flatnonzero(~np.isfinite(narrowed))
    if len(odd) == 0:
        return narrowed, odd
    rest = cells.gather(odd)
    hole = rest.is_null()
    if rest.dtype == pl.String:
        marks = [*HOLE_MARKS, *([] if mark is None else [mark.lower()])]
        hole |= rest.str.strip_chars(" \t").str.to_lowercase().is_in(marks).fill_null(True)
    elif rest.dtype.is_float():
        hole |= rest.is_nan().fill_null(True)
    return narrowed, odd[~hole.to_numpy()]


def _row_labels(table: Table, labels: IdColumn, label_column: int) -> NDArray[Any]:
    codes, distinct = labels.finish()
    twice = first_repeated(codes, np.zeros_like(codes))
    if twice is not None:
        (one, cells), (two, _) = table.locate(twice[0]), table.locate(twice[1])
        raise DataError(
            f"{table.shown}, {one} and {two}: both rows have the label "
            f"{in_message(cells[label_column])!r}. Give each row its own label."
        )
    return np.take(distinct, codes)


def _column_labels(table: Table, positions: list[int]) -> NDArray[Any] | None:
    if table.names is None:
        return None
    seen: dict[str, int] = {}
    for position in positions:
        other = seen.setdefault(table.names[position], position)
        if other != position:
            raise DataError(
                f"{table.shown}: columns {other + 1} and {position + 1} both have the name "
                f"{table.names[position]!r}. Give each column its own name, or header=False if the "
                "first line holds data."
            )
    integers = integer_labels(list(seen))
    return text_labels(list(seen)) if integers is None else integers
