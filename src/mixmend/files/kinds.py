"""What a column of a table holds: told from all of its cells, never from the first few."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from mixmend.files.dialect import HOLE_MARKS

if TYPE_CHECKING:
    import polars as pl

TABLE_HOLE_MARKS = HOLE_MARKS | {"?", "-"}
"""Cells of a text table that are holes (compared in lower case)."""

KINDS = ("integer", "float", "boolean", "date", "datetime", "text", "empty", "other")
"""What a column may hold; "other" is what no model is fitted to (times of day, durations)."""

_NEARLY_ALL = 0.9
_ENOUGH = 10

_WHOLE = r"^[+-]?\d+$"
_NUMBERED_NAME = r"^[+-]?0\d"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_DATETIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?$"
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"


class Told(NamedTuple):
    """What a column was found to hold.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    values : polars.Series
        The cells in the type of that kind, null in the holes.
    bad : tuple of (int, str) or None
        Position of a cell that does not fit where nearly all others do, and what it
        should have been; then kind and values mean nothing.
    """

    kind: str
    values: pl.Series
    bad: tuple[int, str] | None = None


def tell_text(cells: pl.Series, marks: Collection[str]) -> Told:
    """Tell what a column of texts holds.

    Parameters
    ----------
    cells : polars.Series of String
        The cells as they stand in the file.
    marks : collection of str
        Further marks of holes, in lower case.

    Returns
    -------
    Told
        A column is numeric, boolean or of dates if all of its cells are. Where at least 90 %
        of ten or more are numbers or dates, the first other one is called bad rather than
        the column text. Numbers with leading zeros (007) are names, hence text.

    Examples
    --------
    >>> import polars as pl
    >>> told = tell_text(pl.Series(["3", "NA", " 12"]), ())
    >>> told.kind, told.values.to_list()
    ('integer', [3, None, 12])
    >>> tell_text(pl.Series(["2024-02-29", "?"]), ()).kind
    'date'
    """
    import polars as pl

    bare = cells.str.strip_chars(" \t")
    hole = bare.str.to_lowercase().is_in([*TABLE_HOLE_MARKS, *marks]).fill_null(True)
    bare = bare.set(hole, None)
    filled = bare.drop_nulls()
    if filled.is_empty():
        return Told("empty", pl.Series(cells.name, [None] * len(cells), pl.Float64))
    numbers = bare.cast(pl.Float64, strict=False)
    odd = _odd_one(bare, numbers)
    if odd is None:
        if filled.str.contains(_NUMBERED_NAME).any() and filled.str.contains(_WHOLE).all():
            return Told("text", bare)
        whole = bare.cast(pl.Int64, strict=False)
        if filled.str.contains(_WHOLE).all() and whole.null_count() == bare.null_count():
            return Told("integer", whole)
        infinite = numbers.is_infinite().fill_null(False)
        if infinite.any():
            return Told("float", numbers, (int(infinite.arg_true()[0]), "a finite number"))
        return Told("float", numbers)
    if odd >= 0:
        return Told("float", numbers, (odd, "a number"))
    lowered = filled.str.to_lowercase()
    if lowered.is_in(["true", "false"]).all():
        return Told("boolean", bare.str.to_lowercase() == "true")
    for kind, pattern in (("date", _DATE), ("datetime", _DATETIME)):
        if filled.str.contains(pattern).mean() >= _NEARLY_ALL:  # type: ignore[operator]
            values = _dates(bare) if kind == "date" else _datetimes(bare)
            odd = _odd_one(bare, values)
            if odd is None:
                return Told(kind, values)
            if odd >= 0:
                return Told(kind, values, (odd, f"a {kind} (YYYY-MM-DD…)"))
    return Told("text", bare)


def tell_typed(values: pl.Series, marks: Collection[str]) -> Told:
    """Tell what a column of a file with types holds; marks and NaN become null.

    Parameters
    ----------
    values : polars.Series
        The column.
    marks : collection of str
        Marks of holes besides null and NaN: texts in lower case, or numbers as text.
    """
    import polars as pl

    dtype = values.dtype
    if dtype == pl.Null or values.null_count() == len(values):
        return Told("empty", values)
    if dtype.is_integer() or dtype.is_float() or dtype.is_decimal():
        numbers = [float(mark) for mark in marks if _is_number(mark)]
        if dtype.is_float():
            values = values.fill_nan(None)
            infinite = values.is_infinite().fill_null(False)
            if infinite.any():
                return Told("float", values, (int(infinite.arg_true()[0]), "a finite number"))
        if numbers:
            marked = values.cast(pl.Float64).is_in(numbers).fill_null(False)
            values = values.set(marked, None)
        return Told("integer" if dtype.is_integer() else "float", values)
    if dtype == pl.Boolean:
        return Told("boolean", values)
    if dtype == pl.Date:
        return Told("date", values)
    if isinstance(dtype, pl.Datetime):
        return Told("datetime", values)
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        if marks:
            marked = values.cast(pl.String).str.to_lowercase().is_in(list(marks)).fill_null(False)
            values = pl.select(pl.when(~marked).then(values)).to_series().alias(values.name)
        return Told("text", values)
    return Told("other", values)


def _odd_one(cells: pl.Series, values: pl.Series) -> int | None:
    """None if every cell has a value; the first that has none if few have none; else -1."""
    odd = values.is_null() & cells.is_not_null()
    if not odd.any():
        return None
    filled = len(cells) - cells.null_count()
    if filled >= _ENOUGH and int(odd.sum()) <= (1 - _NEARLY_ALL) * filled:
        return int(odd.arg_true()[0])
    return -1


def _dates(cells: pl.Series) -> pl.Series:
    return cells.str.to_date("%Y-%m-%d", strict=False)


def _datetimes(cells: pl.Series) -> pl.Series:
    """Microseconds; in UTC where the cells name a zone, which all or none must do."""
    import polars as pl

    texts = cells.str.replace("T", " ", literal=True)
    texts = texts.str.replace(r"(:\d{2}) ?(Z|[+-]\d{2}:?\d{2})$", "${1}${2}")
    texts = texts.str.replace(r"^(.{16})(Z|[+-]\d{2}:?\d{2})?$", "${1}:00${2}")
    texts = texts.str.replace("Z", "+00:00", literal=True)
    zoned = cells.str.contains(_ZONE).fill_null(False)
    form = "%Y-%m-%d %H:%M:%S%.f"
    if zoned.any():
        parsed = texts.str.to_datetime(form + "%#z", time_unit="us", strict=False)
        return parsed.dt.convert_time_zone("UTC") if parsed.dtype.time_zone else parsed  # type: ignore[attr-defined]
    return texts.str.to_datetime(form, time_unit="us", strict=False).cast(pl.Datetime("us"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
