"""Tables of typed columns, from text, Parquet and Arrow, and back without loss of type."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixmend.errors import DataError, FileFormatError
from mixmend.files.complaints import in_message
from mixmend.files.kinds import Told, tell_text, tell_typed
from mixmend.files.layout import Table, column_name, open_source, open_table
from mixmend.files.sinks import table_sink
from mixmend.files.text import TextTable

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class TypedTable:
    """A table whose columns have types, its holes null.

    Attributes
    ----------
    shown : str
        The file's name, for messages.
    frame : polars.DataFrame
        The columns in their types, null in the holes.
    kinds : dict of str to str
        What each column holds (see `mixmend.files.kinds.KINDS`); "left" for a column that
        is to be left as it is.
    cells : polars.DataFrame or None
        Of a text file: every cell as it stands there, so that what is not filled can be
        written as it was.
    named : bool
        Whether the file names its columns; otherwise they are column_1, column_2, …
    """

    shown: str
    frame: pl.DataFrame
    kinds: dict[str, str]
    cells: pl.DataFrame | None
    named: bool = True


def read_table(
    path: str | os.PathLike[str],
    *,
    missing: Iterable[str] = (),
    leave: Sequence[str] = (),
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
) -> TypedTable:
    r"""Read a table and tell what each of its columns holds.

    Parameters
    ----------
    path : path-like
        CSV, TSV or other text (also compressed), Parquet or Arrow.
    missing : iterable of str, optional
        Further marks of holes. Always holes: null, NaN, and in text the cells that are
        empty or NA, N/A, NaN, null, ``?`` or ``-``, upper or lower case.
    leave : sequence of str, optional
        Names of columns to leave as they are, such as identifiers.
    separator : str, optional
        What separates fields of text; otherwise found out.
    header : bool, optional
        Whether the first line of text holds names; otherwise it does if none of its cells
        is a number, a date or the mark of a hole.
    encoding : str, default "utf-8"
        Of text.

    Returns
    -------
    TypedTable

    Raises
    ------
    FileFormatError
        If the file is no table; names the line and column of a cell that is no number or
        date where nearly all others of its column are.
    DataError
        If a name occurs twice, a number is infinite, or a column to leave is not there.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("id,when,n\nx,2024-01-01,3\ny,?,\n")
    >>> table = read_table(path)
    >>> table.kinds
    {'id': 'text', 'when': 'date', 'n': 'integer'}
    >>> table.frame["n"].to_list()
    [3, None]
    """
    import polars as pl

    source = open_source(path, encoding)
    if source.kind == "matrix-market":
        raise FileFormatError(
            f"{source.path} is a matrix, not a table of named columns. Fill it with "
            "mixmend.GaussianMixture (mixmend complete)."
        )
    table = open_table(source, encoding, separator, header)
    if header is None and isinstance(table, TextTable) and _starts_with_names(table):
        table = open_table(source, encoding, separator, True)
    if isinstance(table, TextTable) and table.n_columns == 1:  # an empty line would be no row
        raise FileFormatError(
            f"{table.shown} has only one column (separator: {table.dialect.spoken}): there is "
            "nothing to fill its holes from. Name the right separator (--separator), or add "
            "columns."
        )
    names = table.names or [f"column_{j + 1}" for j in range(table.n_columns)]
    _refuse_repeated(table, names)
    absent = [name for name in leave if name not in names]
    if absent:
        raise DataError(
            f"{table.shown} has no column {absent[0]!r} to leave as it is. Its columns: "
            f"{', '.join(map(repr, names[:20]))}."
        )
    columns = _columns(table, names)
    if not len(columns[0]):
        raise FileFormatError(f"{table.shown} has no rows. Give a table with at least one.")
    marks = {mark.strip().lower() for mark in missing}
    is_text = isinstance(table, TextTable)
    kinds: dict[str, str] = {}
    typed: list[pl.Series] = []
    bad: list[tuple[int, int, str]] = []
    for position, (name, column) in enumerate(zip(names, columns, strict=True)):
        if name in leave:
            told = Told("left", column)
        else:
            told = tell_text(column, marks) if is_text else tell_typed(column, marks)
        if told.bad is not None:
            bad.append((told.bad[0], position, told.bad[1]))
        kinds[name] = told.kind
        typed.append(told.values.alias(name))
    if bad:
        _complain(table, *min(bad))  # the first one as one reads the file
    cells = pl.DataFrame(columns) if is_text else None
    return TypedTable(table.shown, pl.DataFrame(typed), kinds, cells, table.names is not None)


def write_table(
    path: str | os.PathLike[str],
    frames: Iterable[pl.DataFrame],
    *,
    overwrite: bool = True,
) -> None:
    """Write frames of one schema below one another, whole or not at all.

    Parameters
    ----------
    path : path-like
        The output: .csv, .tsv (also .gz), .parquet or .arrow.
    frames : iterable of polars.DataFrame
        At least one.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing was left behind.
    """
    rest = iter(frames)
    first = next(rest)
    with table_sink(path, dict(first.schema), overwrite=overwrite) as put:
        put(first)
        for frame in rest:
            put(frame)


def _starts_with_names(table: TextTable) -> bool:
    """Tell names from data where no column is all numbers: a bad cell must not hide a header."""
    if table.names is not None or not table.sample:
        return False
    import polars as pl

    first = [cell.strip() for cell in table.sample[0]]
    kinds = {tell_text(pl.Series([cell]), ()).kind for cell in first}
    return kinds == {"text"} and len(set(first)) == len(first)


def _columns(table: Table, names: Sequence[str]) -> list[pl.Series]:
    import polars as pl

    batches = list(table.batches(range(table.n_columns)))
    if not batches:
        return [pl.Series(name, [], pl.String) for name in names]
    return [pl.concat([batch[j] for batch in batches]).alias(name) for j, name in enumerate(names)]


def _refuse_repeated(table: Table, names: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        other = seen.setdefault(name, position)
        if other != position:
            raise DataError(
                f"{table.shown}: columns {other + 1} and {position + 1} both have the name "
                f"{name!r}. Give each column its own name, or header=False (--no-header) if "
                "the first line holds data."
            )


def _complain(table: Table, record: int, position: int, wanted: str) -> None:
    place, cells = table.locate(record)
    cell = in_message(cells[position])
    where = f"{table.shown}, {place}, {column_name(table, position)}"
    if wanted == "a finite number":
        raise DataError(
            f"{where}: {cell!r} is not a finite number. Correct it, or empty the cell if it is a "
            "hole."
        )
    name = table.names[position] if table.names else f"column_{position + 1}"
    raise FileFormatError(
        f"{where}: {cell!r} is not {wanted}, as nearly all other cells of the column are. Correct "
        f"it; if it marks a hole, give missing={cell!r} (--missing); if the column holds text, "
        f"give leave={name!r} (--leave)."
    )
