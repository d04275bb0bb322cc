"""Text cut into columns by polars, in parallel: taken only where it is sure to be exact."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixmend.files.dialect import Dialect

if TYPE_CHECKING:
    import polars as pl

_CUT = b"\x1f"  # stands for separators of several characters: a control sign no table uses
_RUNS_OF_BLANKS = re.compile(rb" {2,}")
_BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+")
_BLANK_LINES_OF_TABS = re.compile(rb"\n(?: *\n)+")  # a line of tabs is one of empty fields


def cut_quickly(text: bytes, dialect: Dialect, columns: Sequence[int]) -> list[pl.Series] | None:
    """Cut lines into columns of text; None where the result might not be the exact one.

    Parameters
    ----------
    text : bytes
        Whole records in UTF-8, their lines ended by newline characters.
    dialect : Dialect
        How they are written.
    columns : sequence of int
        Positions of the wanted columns.

    Returns
    -------
    list of polars.Series or None
        Empty cells are null or "".
    """
    import polars as pl

    quoted = dialect.quoting and b'"' in text
    prepared = _prepared(text, dialect, quoted)
    if prepared is None:
        return None
    text, separator = prepared
    # Where all columns are read, polars refuses long lines, and the even count leaves no room
    # for short ones. Otherwise the last column is read too: a short line leaves it null.
    last = dialect.n_columns - 1
    wanted = sorted({*columns, last})
    everything = len(wanted) == dialect.n_columns
    try:
        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            separator=separator.decode(),
            quote_char='"' if quoted else None,
            infer_schema=False,
            columns=None if everything else wanted,
        )
    except (pl.exceptions.PolarsError, ValueError):
        return None
    if frame.height != count_byte(text, b"\n") or frame.width != len(wanted):
        return None  # a quoted field over several lines, for one
    if (quoted or not everything) and frame.to_series(-1).null_count():
        return None
    place = {column: k for k, column in enumerate(wanted)}
    return [frame.to_series(place[column]) for column in columns]


def cells_quickly(text: bytes, dialect: Dialect) -> pl.Series | None:
    """Cut lines into one long column of all their cells, line by line; None if not sure.

    For a matrix of many columns this is several times faster than cutting by column.

    Parameters
    ----------
    text, dialect
        As for `cut_quickly`.

    Returns
    -------
    polars.Series or None
        As many cells as there are lines times columns; empty ones are null or "".
    """
    import polars as pl

    if (dialect.quoting and b'"' in text) or _CUT in text:
        return None
    prepared = _prepared(text, dialect, quoted=False)
    if prepared is None:
        return None
    text, separator = prepared
    signs = np.frombuffer(text, np.uint8)
    edges = signs[(signs == separator[0]) | (signs == ord("\n"))]
    ends = edges[dialect.n_columns - 1 :: dialect.n_columns]
    if not (ends == ord("\n")).all():
        return None  # the count of separators is right, but not in each line
    try:
        frame = pl.read_csv(
            io.BytesIO(text.replace(separator, b"\n")),
            has_header=False,
            separator=_CUT.decode(),
            quote_char=None,
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, ValueError):
        return None
    return frame.to_series(0) if frame.shape == (len(edges), 1) else None


def count_byte(text: bytes, byte: bytes) -> int:
    """Count a byte that is frequent, for which NumPy is several times faster than ``count``."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == byte[0]))


def blank_lines(separator: str) -> re.Pattern[bytes]:
    """Pattern of a line's end and the blank lines after it."""
    return _BLANK_LINES_OF_TABS if separator == "\t" else _BLANK_LINES


def _prepared(text: bytes, dialect: Dialect, quoted: bool) -> tuple[bytes, bytes] | None:
    """Text with a separator of one byte and no blank lines; None if lines differ in length."""
    separator = dialect.separator.encode()
    if quoted:
        return (text, separator) if _plainly_quoted(text, separator) else None
    if separator == b" ":
        text = _single_blanks(text)
    elif len(separator) > 1:
        if _CUT in text:
            return None
        text, separator = text.replace(separator, _CUT), _CUT
    if not _evenly_cut(text, separator, dialect.n_columns):
        text = blank_lines(dialect.separator).sub(b"\n", b"\n" + text)[1:]
        if not text or not _evenly_cut(text, separator, dialect.n_columns):
            return None
    return text, separator


def _evenly_cut(text: bytes, separator: bytes, n_columns: int) -> bool:
    """Whether there are as many separators as lines of so many columns have."""
    if n_columns == 1:  # then blank lines do not show in the count
        starts = (b"\n\n", b"\n ", b"\n\t")
        return text[:1] not in b" \t\n" and not any(start in text for start in starts)
    return count_byte(text, separator) == count_byte(text, b"\n") * (n_columns - 1)


def _plainly_quoted(text: bytes, separator: bytes) -> bool:
    """Whether every other quote opens a field and the ones between close it.

    Then no quote stands inside a field, and every reader of CSV means the same.
    """
    signs = np.frombuffer(b"\n" + text + b"\n", np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    if len(quotes) % 2:
        return False
    before, after = signs[quotes[::2] - 1], signs[quotes[1::2] + 1]
    edges = (ord("\n"), separator[0])
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())


def _single_blanks(text: bytes) -> bytes:
    text = _RUNS_OF_BLANKS.sub(b" ", text.replace(b"\t", b" "))
    return text.replace(b" \n", b"\n").replace(b"\n ", b"\n").removeprefix(b" ")
