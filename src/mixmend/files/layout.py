"""Long or wide? Which column is what? Decided from names and numbers, never by guessing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from mixmend.errors import FileFormatError
from mixmend.files.binary import BinaryTable
from mixmend.files.dialect import is_number, is_numeric_cell
from mixmend.files.roles import (
    by_usual_names,
    holds_row_labels,
    in_words,
    missing_roles,
    position_of,
    refuse_repeated,
)
from mixmend.files.sources import Source, identify
from mixmend.files.text import TextTable

Table: TypeAlias = TextTable | BinaryTable
ColumnChoice: TypeAlias = str | int | None

_ORDER = {"row": 0, "column": 1, "value": 2, "timestamp": 3}


class Plan(NamedTuple):
    """How a table is to be read.

    Attributes
    ----------
    layout : {"long", "wide"}
    roles : dict of str to int
        Position of the columns for "row", "column", "value" and "timestamp" of a long
        table; of a wide one at most that of the row labels ("row").
    """

    layout: str
    roles: dict[str, int]


def open_source(path: str | os.PathLike[str], encoding: str = "utf-8") -> Source:
    """Identify a file that shall hold a table, and refuse a saved model."""
    source = identify(path, encoding)
    if source.kind == "model":
        raise FileFormatError(
            f"{source.path} is a saved model, not a ratings file. Read it with mixmend.load."
        )
    return source


def open_table(
    source: Source, encoding: str, separator: str | None, header: bool | None
) -> TextTable | BinaryTable:
    """Open a file as the table that it holds."""
    if source.kind == "text":
        return TextTable(source, encoding=encoding, separator=separator, header=header)
    return BinaryTable(source)


def plan_long(table: Table, given: dict[str, ColumnChoice], needed: Sequence[str]) -> Plan:
    """Find the columns of a long table: as given, by usual names, or by order without a header.

    Parameters
    ----------
    table : TextTable or BinaryTable
        The table.
    given : dict
        What the user said of each role, None for nothing.
    needed : sequence of str
        The roles that must be found.

    Raises
    ------
    FileFormatError
        If one is missing; the message lists the columns and the option to use.
    """
    shown, names, n_columns = table.shown, table.names, table.n_columns
    _refuse_single_column(table)
    roles = {
        role: position_of(shown, role, choice, names, n_columns)
        for role, choice in given.items()
        if choice is not None
    }
    if names is not None:
        usual = by_usual_names(names)
    else:
        usual = {role: position for role, position in _ORDER.items() if position < n_columns}
    for role, position in usual.items():
        if role not in roles and position not in roles.values():
            if names is not None:
                refuse_repeated(shown, role, names, position)
            roles[role] = position
    absent = [role for role in needed if role not in roles]
    if absent and names is not None:
        raise FileFormatError(_no_columns(table, absent, needed))
    if absent:
        raise FileFormatError(
            f"{shown} has {_columns(n_columns)} and no header: too few for "
            f"{in_words(needed)}. {_cure_by_number(absent, 'value' in needed)}"
        )
    seen: dict[int, str] = {}
    for role in roles:
        if roles[role] in seen:
            raise FileFormatError(
                f"{shown}: {seen[roles[role]]} and {role} are the same column. "
                "Name a different column for each."
            )
        seen[roles[role]] = role
    return Plan("long", roles)


def plan_wide(table: Table, row: ColumnChoice) -> Plan:
    """Find the row labels of a wide table: as given, or a first column with a usual name."""
    if row is not None:
        position = position_of(table.shown, "row", row, table.names, table.n_columns)
        return Plan("wide", {"row": position})
    if table.names is not None and table.n_columns > 1 and holds_row_labels(table.names[0]):
        return Plan("wide", {"row": 0})
    return Plan("wide", {})


def plan_either(table: Table, given: dict[str, ColumnChoice]) -> Plan:
    """Tell a long table from a wide one, or say that it cannot be told.

    A long table has its columns named by the user or by usual names, or has three or four
    columns and no header. A wide one has more than four columns, all of numbers but for
    the row labels. Everything else is an error that names the options.
    """
    needed = ("row", "column", "value")
    if given["column"] is not None or given["value"] is not None:
        return plan_long(table, given, needed)
    names, n_columns = table.names, table.n_columns
    _refuse_single_column(table)
    if names is not None:
        usual = by_usual_names(names)
        if given["row"] is not None:
            usual["row"] = position_of(table.shown, "row", given["row"], names, n_columns)
        if all(role in usual for role in needed):
            return plan_long(table, given, needed)
        if "column" in usual or "value" in usual or n_columns <= 4:
            absent = [role for role in needed if role not in usual]
            raise FileFormatError(_no_columns(table, absent, needed))
    elif 3 <= n_columns <= 4:
        return plan_long(table, given, needed)
    elif n_columns < 3:
        raise FileFormatError(
            f"{table.shown} has {_columns(n_columns)} and no header: too few for rows (users), "
            'columns (items) and ratings. If it is a dense matrix, give layout="wide" '
            "(--input-layout wide)."
        )
    plan = plan_wide(table, given["row"])
    text = [j for j in _text_columns(table) if j != plan.roles.get("row")]
    if not text:
        return plan
    if names is None:
        raise FileFormatError(
            f"{table.shown} has {n_columns} columns and no header, and column {text[0] + 1} holds "
            "text. Give the numbers of the columns (row=1, column=2, value=3), or header=True if "
            "its first line holds names (--row-name, --column-name, --value-name, --header)."
        )
    if len(text) > 1:
        raise FileFormatError(_no_columns(table, needed, needed))
    return plan  # one column of text: the reader names it


def column_name(table: Table, position: int, role: str | None = None) -> str:
    """Name a column in a message: its name, or its number and what it is taken for."""
    if table.names is not None:
        return f"column {table.names[position]!r}"
    what = {"row": " (row)", "column": " (column)", "value": " (rating)"}.get(role or "", "")
    return f"column {position + 1}{what}"


def _no_columns(table: Table, absent: Sequence[str], needed: Sequence[str]) -> str:
    """Say that columns are missing, and which option would help."""
    told = missing_roles(table.shown, absent, table.names or [], "value" in needed)
    if len(absent) == len(needed) and isinstance(table, TextTable):
        told += " If its first line holds data, give header=False (--no-header)."
    return told


def _refuse_single_column(table: Table) -> None:
    if table.n_columns > 1:
        return
    if isinstance(table, BinaryTable):
        raise FileFormatError(
            f"{table.shown} has only one column, {table.names[0]!r}. "
            "Give a table with rows (users) and columns (items)."
        )
    first = (table.names or table.sample[0])[0]
    raise FileFormatError(
        f"{table.shown} has only one column: there is no {table.dialect.spoken} in its first line "
        f"{first[:60]!r}. Name the right separator (--separator), or, if it is a matrix of one "
        'column, give layout="wide" (--input-layout wide).'
    )


def seems_text(table: Table, position: int) -> bool:
    """Tell whether a column holds text, as far as its type or its first cells say."""
    if isinstance(table, BinaryTable):
        return not table.numeric[position]
    cells = [fields[position] for fields in table.sample if len(fields) == table.n_columns]
    return not any(map(is_number, cells))


def _text_columns(table: Table) -> list[int]:
    """Columns of which a cell of the sample is neither a number nor a hole."""
    if isinstance(table, BinaryTable):
        return [j for j, numeric in enumerate(table.numeric) if not numeric]
    rows = [fields for fields in table.sample if len(fields) == table.n_columns]
    return [
        j for j, cells in enumerate(zip(*rows, strict=True)) if not all(map(is_numeric_cell, cells))
    ]


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _cure_by_number(absent: Sequence[str], wide: bool) -> str:
    options = ", ".join(f"{role}=…" for role in absent)
    other = ' If it is a dense matrix, give layout="wide" (--input-layout wide).' if wide else ""
    return f"Name the columns by number ({options}).{other}"
