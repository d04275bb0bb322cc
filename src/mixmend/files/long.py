"""Long tables: one record per rating."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, FileFormatError
from mixmend.files.complaints import complain_of_cell, in_message
from mixmend.files.ids import IdColumn, NumberColumn
from mixmend.files.layout import Table
from mixmend.files.text import TextTable
from mixmend.observed.matrix import ObservedMatrix

CURE_OF_REPEATED = (
    'Delete one of them, or say what counts with duplicates="first", "last" or "mean" '
    "(--duplicates)."
)


def read_long(
    table: Table,
    roles: dict[str, int],
    mark: str | None,
    number: float | None,
    duplicates: str,
    dtype: str,
) -> ObservedMatrix:
    """Read a table with one record per rating.

    Parameters
    ----------
    table : TextTable or BinaryTable
        The table.
    roles : dict of str to int
        Positions of the columns, as from `layout.plan_long`.
    mark, number : str or None, float or None
        Text and number that stand for a hole; such records are left out, their row and
        column stay.
    duplicates : {"error", "first", "last", "mean"}
        What to do where a pair is rated more than once.
    dtype : {"float64", "float32"}
        Type of the values.

    Raises
    ------
    FileFormatError, DataError
        As `ratings.read_ratings`.
    """
    rows, columns, values, times = IdColumn(), IdColumn(), NumberColumn(dtype, mark), IdColumn()
    sinks: dict[str, IdColumn | NumberColumn] = {"row": rows, "column": columns, "value": values}
    if duplicates in ("first", "last") and "timestamp" in roles:
        sinks["timestamp"] = times
    take_all(table, {role: roles[role] for role in sinks}, sinks)
    (row_codes, row_labels), (column_codes, column_labels) = rows.finish(), columns.finish()
    numbers = values.finish()
    # the records that are entries, in the order in which they shall count; None: all as they are
    chosen = _in_time(times) if "timestamp" in sinks else None
    if mark is not None or number is not None:
        seen = ~(np.isnan(numbers) | (numbers == number))
        chosen = np.flatnonzero(seen) if chosen is None else chosen[seen[chosen]]
    if chosen is not None:
        row_codes, column_codes, numbers = row_codes[chosen], column_codes[chosen], numbers[chosen]
    try:
        return ObservedMatrix.from_triplets(
            row_codes,
            column_codes,
            numbers,
            (len(row_labels), len(column_labels)),
            duplicates=duplicates,
            row_labels=row_labels,
            column_labels=column_labels,
        )
    except DataError as error:
        pair = first_repeated(row_codes, column_codes) if duplicates == "error" else None
        if pair is None:
            raise DataError(f"{table.shown}: {error}") from None
    first, second = pair if chosen is None else (int(chosen[k]) for k in pair)
    (one, cells), (two, others) = table.locate(first), table.locate(second)
    row, column, value = (in_message(cells[roles[role]]) for role in ("row", "column", "value"))
    other = in_message(others[roles["value"]])
    raise DataError(
        f"{table.shown}, {one} and {two}: the pair ({row}, {column}) is rated twice ({value} and "
        f"{other}). {CURE_OF_REPEATED}"
    )


def take_all(table: Table, positions: dict[str, int], sinks: dict[str, Any]) -> None:
    """Pour columns of a table into what gathers them; complain of the first bad cell.

    Parameters
    ----------
    table : TextTable or BinaryTable
        The table.
    positions : dict of str to int
        Where the column for each role is.
    sinks : dict of str to IdColumn or NumberColumn
        What takes each role's cells.

    Raises
    ------
    FileFormatError, DataError
        For a bad cell, and for a table without records.
    """
    taken = 0
    for batch in table.batches([positions[role] for role in sinks]):
        bad = {
            role: place
            for (role, sink), cells in zip(sinks.items(), batch, strict=True)
            if (place := sink.add(cells)) is not None
        }
        if bad:
            role = min(bad, key=bad.__getitem__)
            complain_of_cell(table, taken + bad[role], positions[role], role)
        taken += len(batch[0])
    if taken == 0:
        require_records(table)


def require_records(table: Table) -> None:
    """Raise the error for a table that has no records."""
    what = "a header but nothing below it" if isinstance(table, TextTable) else "no rows"
    raise FileFormatError(f"{table.shown} has {what}. Give a file with at least one rating.")


def first_repeated(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[int, int] | None:
    """Find the pair whose second occurrence comes first, and its first occurrence.

    Examples
    --------
    >>> first_repeated(np.array([0, 1, 1, 0]), np.array([5, 2, 2, 5]))
    (1, 2)
    """
    order = np.lexsort((columns, rows))  # stable: equal pairs stay in their order
    same = (np.diff(rows[order]) == 0) & (np.diff(columns[order]) == 0)
    again = np.flatnonzero(same)
    if len(again) == 0:
        return None
    where = again[np.argmin(order[again + 1])]
    return int(order[where]), int(order[where + 1])


def _in_time(times: IdColumn) -> NDArray[np.int64]:
    """Order of the records by time; equal times keep the order of the file."""
    codes, labels = times.finish()
    if labels.dtype.kind != "i":
        with contextlib.suppress(ValueError):  # ISO dates sort as text; 1112486027.5 as a number
            codes = np.argsort(np.argsort(labels.astype(np.float64), kind="stable"))[codes]
    return np.argsort(codes, kind="stable")
