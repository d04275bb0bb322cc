"""Columns of a table as columns of a matrix, and what fills its holes as cells again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.files.tables import TypedTable

if TYPE_CHECKING:
    import polars as pl

Array = NDArray[np.float64]

MOST_CATEGORIES = 50
"""Text columns with more different texts than this are not spread over columns of 0 and 1."""

_EXACT = 2**53


class Part(NamedTuple):
    """A column of the table and where it stands in the matrix.

    Attributes
    ----------
    name : str
    kind : str
        As in the table.
    columns : slice
        Its columns of the matrix; of a text column one for each text but the last.
    categories : tuple of str
        The texts of a text column, in order; empty for others.
    """

    name: str
    kind: str
    columns: slice
    categories: tuple[str, ...] = ()


class ColumnReport(NamedTuple):
    """What became of a column.

    Attributes
    ----------
    name : str
    kind : str
    holes : int
        How many it had (of a column left as it is: 0 unless cells are null).
    filled : int
        How many were filled.
    method : str
        How, in words.
    note : str
        What else should be known: changes of type, why holes stay. Empty if nothing.
    """

    name: str
    kind: str
    holes: int
    filled: int
    method: str
    note: str


@dataclass(frozen=True)
class NumberedTable:
    """A table and the matrix of its columns that can be filled.

    Attributes
    ----------
    table : TypedTable
    matrix : ndarray of float64, shape (n, m)
        NaN in the holes. Dates are days, times microseconds since 1970.
    parts : tuple of Part
        Which columns of the matrix are which column of the table.
    left : dict of str to str
        Why each other column of the table is left as it is.
    """

    table: TypedTable
    matrix: Array
    parts: tuple[Part, ...]
    left: dict[str, str]


def to_numbers(table: TypedTable, *, one_hot: bool = False) -> NumberedTable:
    """Make a matrix of the columns that a model can be fitted to.

    Parameters
    ----------
    table : TypedTable
        The table.
    one_hot : bool, default False
        Whether text columns take part, as columns of 0 and 1, one for each different text
        but the last (which the others determine). Otherwise they are left as they are, as
        those with more than 50 different texts, or none that occurs twice, are always.

    Returns
    -------
    NumberedTable

    Raises
    ------
    DataError
        If no column can be used.
    """
    parts: list[Part] = []
    blocks: list[Array] = []
    left: dict[str, str] = {}
    at = 0
    for name, kind in table.kinds.items():
        column = table.frame.get_column(name)
        categories: tuple[str, ...] = ()
        if kind == "text" and one_hot:
            categories = tuple(column.drop_nulls().cast(str).unique().sort().to_list())
            if reason := _why_not_spread(len(categories), len(column) - column.null_count()):
                left[name] = reason
                continue
            block = _one_hot(column, categories)
        elif reason := _why_left(kind):
            left[name] = reason
            continue
        else:
            block = _numbers(column, kind)[:, None]
        parts.append(Part(name, kind, slice(at, at + block.shape[1]), categories))
        blocks.append(block)
        at += block.shape[1]
    if not at:
        cure = "" if one_hot else " Text columns take part with --one-hot (one_hot=True)."
        raise DataError(f"{table.shown} has no column with numbers to learn from.{cure}")
    return NumberedTable(table, np.hstack(blocks), tuple(parts), left)


def from_numbers(
    numbered: NumberedTable,
    filled: Array,
    *,
    round_integers: bool = False,
    decimals: int | None = None,
    std: Array | None = None,
    as_text: bool = False,
) -> pl.DataFrame:
    """Fill the holes of a table with numbers, each column in its type.

    Parameters
    ----------
    numbered : NumberedTable
        What `to_numbers` made of the table.
    filled : ndarray, shape (n, m)
        The matrix without holes.
    round_integers : bool, default False
        Whether integer columns are rounded and stay so; otherwise those with holes become
        floats.
    decimals : int, optional
        Round filled floats.
    std : ndarray, shape (n, m), optional
        Standard deviations; adds a column ``NAME_std`` after each column of numbers, dates
        (in days) or times (in seconds) with holes, 0 where the cell was observed.
    as_text : bool, default False
        Of a table from text: whether to give texts, observed cells exactly as they were,
        for an output that is text too.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    DataError
        If a column ``NAME_std`` is there already.
    """
    import polars as pl

    table = numbered.table
    cells = table.cells if as_text else None
    source = table.frame if cells is None else cells
    by_name = {part.name: part for part in numbered.parts}
    out: list[pl.Series] = []
    for name in table.kinds:
        column, part = table.frame.get_column(name), by_name.get(name)
        if part is None or not column.null_count():
            out.append(source.get_column(name))
            continue
        block = filled[:, part.columns]
        rounded = round_integers and part.kind == "integer"
        values = _cells(column, part, block, rounded, decimals)
        hole = column.is_null()
        if cells is None:
            whole = pl.select(pl.when(hole).then(values).otherwise(column.cast(values.dtype)))
        else:
            raw = cells.get_column(name)
            whole = pl.select(pl.when(hole).then(_texts(values, raw, column)).otherwise(raw))
        out.append(whole.to_series().alias(name))
        if std is not None and part.kind != "text":
            if f"{name}_std" in table.kinds:
                raise DataError(
                    f"{table.shown} has a column {name + '_std'!r} already: there is no place for "
                    f"the deviations of {name!r}. Rename the column, or do without --std-columns."
                )
            spread = std[:, part.columns.start] * (1e-6 if part.kind == "datetime" else 1.0)
            deviations = pl.Series(f"{name}_std", spread)
            out.append(deviations if decimals is None else deviations.round(decimals))
    return pl.DataFrame(out)


def report(
    numbered: NumberedTable,
    *,
    round_integers: bool = False,
    as_text: bool = False,
    drawn: bool = False,
) -> list[ColumnReport]:
    """Say what becomes of each column when the table is filled.

    Parameters
    ----------
    numbered : NumberedTable
        The table and its matrix.
    round_integers, as_text : bool, default False
        As given to `from_numbers`.
    drawn : bool, default False
        Whether draws fill the holes, not what is expected there.
    """
    reports = []
    parts = {part.name: part for part in numbered.parts}
    for name, kind in numbered.table.kinds.items():
        column = numbered.table.frame.get_column(name)
        holes = column.null_count()
        part = parts.get(name)
        if part is None:
            why = numbered.left[name]
            reports.append(ColumnReport(name, kind, holes, 0, "left as it is", why))
        elif not holes:
            reports.append(ColumnReport(name, kind, 0, 0, "no holes", ""))
        else:
            how, note = _how(column, part, round_integers)
            how = _DRAWN[how] if drawn else how
            if column.n_unique() == 2:  # one value, and null
                how = "its only value"
            typed = numbered.table.cells is None or not as_text
            if typed and part.kind in ("integer", "float"):
                note = _note_of_type(column, part.kind, round_integers) or note
            reports.append(ColumnReport(name, kind, holes, holes, how, note))
    return reports


# ---------------------------------------------------------------------- to numbers


def _why_left(kind: str) -> str:
    return {
        "text": "text",
        "left": "as asked",
        "empty": "nothing observed",
        "other": "times of day, durations and the like are not filled",
    }.get(kind, "")


def _why_not_spread(categories: int, filled: int) -> str:
    if categories > MOST_CATEGORIES:
        return f"{categories} different texts, more than {MOST_CATEGORIES}"
    return "text, each occurs once" if categories == filled > 1 else ""


def _numbers(column: pl.Series, kind: str) -> Array:
    import polars as pl

    if kind == "date":
        column = column.to_physical()
    elif kind == "datetime":
        column = column.dt.epoch("us")
    return np.asarray(column.cast(pl.Float64).to_numpy(), np.float64)


def _one_hot(column: pl.Series, categories: tuple[str, ...]) -> Array:
    texts = column.cast(str)
    hole = texts.is_null().to_numpy()
    block = np.empty((len(texts), max(len(categories) - 1, 0)))
    for j in range(block.shape[1]):
        block[:, j] = (texts == categories[j]).fill_null(False).to_numpy()
    block[hole] = np.nan
    return block


# ---------------------------------------------------------------------- and back


def _cells(
    column: pl.Series, part: Part, block: Array, rounded: bool, decimals: int | None
) -> pl.Series:
    """What to put into the holes, in the type that the column will have."""
    import polars as pl

    dtype = column.dtype
    if part.kind == "text":
        last = 1.0 - block.sum(axis=1, keepdims=True)
        best = np.hstack([block, last]).argmax(axis=1)
        return pl.Series(part.categories).gather(best).cast(dtype)
    numbers = block[:, 0]
    if part.kind == "boolean":
        return pl.Series(numbers >= 0.5)
    if part.kind == "date":
        return pl.Series(np.rint(numbers).astype(np.int32)).cast(pl.Date)
    if part.kind == "datetime":
        assert isinstance(dtype, pl.Datetime)
        moments = pl.Series(np.rint(numbers).astype(np.int64)).cast(pl.Datetime("us"))
        if column.drop_nulls().dt.truncate("1s").eq(column.drop_nulls()).all():
            moments = moments.dt.round("1s")
        moments = moments.dt.cast_time_unit(dtype.time_unit)
        if dtype.time_zone:
            moments = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
        return moments
    if rounded:
        lowest, highest = _range(dtype)
        within = np.clip(np.rint(numbers), lowest, highest)
        return pl.Series([int(value) for value in within], dtype=dtype)
    values = pl.Series(numbers)
    if decimals is not None:
        values = values.round(decimals)
    return values.cast(dtype) if dtype.is_float() else values


def _texts(values: pl.Series, raw: pl.Series, column: pl.Series) -> pl.Series:
    """Write filled cells as the observed ones of the column are written."""
    import polars as pl

    first = raw.filter(column.is_not_null()).str.strip_chars(" \t")[0]
    if values.dtype == pl.Boolean:
        yes, no = ("True", "False") if first[0] in "TF" else ("true", "false")
        if first.isupper():
            yes, no = "TRUE", "FALSE"
        return pl.select(pl.when(values).then(pl.lit(yes)).otherwise(pl.lit(no))).to_series()
    if isinstance(values.dtype, pl.Datetime):
        form = f"%Y-%m-%d{first[10]}%H:%M:%S"
        fraction = "%.6f" if raw.str.contains(".", literal=True).any() else ""
        zone = "" if values.dtype.time_zone is None else ("Z" if first.endswith("Z") else "+00:00")
        return values.dt.strftime(form + fraction + zone)
    return values.cast(pl.String)


def _range(dtype: Any) -> tuple[float, float]:
    """The least and the greatest float that an integer type can hold."""
    import polars as pl

    lowest, highest = pl.select(dtype.min()).item(), pl.select(dtype.max()).item()
    return float(lowest), float(np.nextafter(highest, 0) if highest > _EXACT else highest)


_DRAWN = {
    "expected value": "draw",
    "expected value, rounded": "draw, rounded",
    "most probable text": "draw among its texts",
    "more probable of true and false": "draw of true or false",
}


def _how(column: pl.Series, part: Part, round_integers: bool) -> tuple[str, str]:
    if part.kind == "integer":
        if round_integers:
            return "expected value, rounded", "rounded to whole numbers"
        return "expected value", "filled cells have decimals; --round-integers keeps it whole"
    return {
        "text": ("most probable text", ""),
        "boolean": ("more probable of true and false", ""),
        "date": ("expected value", "by way of days since 1970, rounded to whole days"),
        "datetime": ("expected value", "by way of the time since 1970"),
        "float": ("expected value", ""),
    }[part.kind]


def _note_of_type(column: pl.Series, kind: str, round_integers: bool) -> str:
    """How the type of a column changes in a file with types."""
    dtype = column.dtype
    if dtype.is_float() or (kind == "integer" and round_integers):
        return ""
    note = f"{dtype} becomes Float64"
    if kind == "integer":
        note += "; --round-integers keeps it whole"
        if np.abs(_numbers(column.drop_nulls(), kind)).max() > _EXACT:
            note += "; numbers beyond 2^53 lose their last digits"
    return note
