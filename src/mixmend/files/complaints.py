"""What to say of a bad cell: the file, the line, the column, the value, and the cure."""

from __future__ import annotations

from typing import NoReturn

from mixmend.errors import DataError, FileFormatError
from mixmend.files.layout import Table, column_name, seems_text

_LONGEST = 40


def complain_of_cell(table: Table, record: int, position: int, role: str) -> NoReturn:
    """Raise the error for a cell of a long table that is empty or no finite number.

    Parameters
    ----------
    table : TextTable or BinaryTable
        The table, read up to the record at least.
    record, position : int
        Which record and which column, from 0.
    role : {"row", "column", "value", "timestamp"}
        What the column is taken for.
    """
    place, cells = table.locate(record)
    cell = in_message(cells[position])
    where = f"{table.shown}, {place}, {column_name(table, position, role)}"
    if not cell:
        raise FileFormatError(
            f"{where}: the cell is empty. Fill it in or delete the {_line(place)}."
        )
    _complain_of_number(where, cell, f"delete the {_line(place)}")


def complain_of_wide_cell(table: Table, record: int, position: int) -> NoReturn:
    """Raise the error for a cell of a wide table that is neither a number nor a hole.

    Parameters
    ----------
    table, record, position
        As for `complain_of_cell`.
    """
    place, cells = table.locate(record)
    cell = in_message(cells[position])
    where = f"{table.shown}, {place}, {column_name(table, position)}"
    if seems_text(table, position) and not _is_special(cell):
        raise FileFormatError(
            f"{where}: {cell!r} is not a number; this column seems to hold text. A "
            "wide table has a number or nothing in each cell: leave the column out, or name it "
            "with row=… (--row-name) if it holds the labels of the rows."
        )
    _complain_of_number(
        where, cell, f"leave the cell empty; if it marks a hole, give missing={cell!r} (--missing)"
    )


def _complain_of_number(where: str, cell: str, otherwise: str) -> NoReturn:
    if _is_special(cell):
        raise DataError(
            f"{where}: {cell!r} is not a finite number. Correct the value or {otherwise}."
        )
    if cell.count(",") == 1 and cell.replace(",", "").lstrip("+-").isdigit():
        raise FileFormatError(
            f"{where}: {cell!r} is not a number. Write it with a decimal point, not a comma."
        )
    raise FileFormatError(f"{where}: {cell!r} is not a number. Correct the value or {otherwise}.")


def _is_special(cell: str) -> bool:
    """Whether Python reads it as a number: since it was refused, NaN, infinite or too large."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def in_message(cell: str) -> str:
    """Make a cell's text fit into one line of a message."""
    text = " ".join(cell.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _line(place: str) -> str:
    return place.partition(" ")[0]
