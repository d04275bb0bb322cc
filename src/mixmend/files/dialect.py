"""How a text table is written: its separator, its header, its number of columns."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from mixmend.errors import FileFormatError
from mixmend.files.roles import is_usual_name

HOLE_MARKS = frozenset({"", "nan", "na", "n/a", "null"})
"""Cells of a wide table that are holes (compared in lower case); ``missing`` adds another."""

_SINGLE = "\t;,|"
_BLANK = " "
_SPOKEN = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", _BLANK: "blanks"}
_GIVEN = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "blank": " "}
_GIVEN |= {"blanks": " ", "space": " ", "whitespace": " "}


class Dialect(NamedTuple):
    """How the lines of a text table are to be cut.

    Attributes
    ----------
    separator : str
        One or more characters; a blank stands for any run of blanks and tabs.
    n_columns : int
    header : list of str or None
        The names in the first line, None where the data start there.
    """

    separator: str
    n_columns: int
    header: list[str] | None

    @property
    def quoting(self) -> bool:
        """Whether fields may stand in double quotes."""
        return allows_quotes(self.separator)

    @property
    def spoken(self) -> str:
        """The separator in words."""
        return _SPOKEN.get(self.separator, repr(self.separator))


class Record(NamedTuple):
    """One record of a text table: the line where it starts (from 1) and its fields."""

    line: int
    fields: list[str]


class BrokenQuotes(Exception):  # noqa: N818 -- not for users: the reader says where and what
    """Quotes that do not close or are followed by more text; carries the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def allows_quotes(separator: str) -> bool:
    """Tell whether fields between such separators may be quoted."""
    return len(separator) == 1 and separator != _BLANK


def records(text: str, separator: str, first_line: int = 1) -> Iterator[Record]:
    r"""Cut text into records, exactly; lines with nothing but blanks are left out.

    This is the reference for what a file means. The fast way in ``text`` is taken only
    where it is sure to agree.

    Parameters
    ----------
    text : str
        Whole records, their lines ended by newline characters.
    separator : str
        As in `Dialect`.
    first_line : int, default 1
        The number of the text's first line.

    Yields
    ------
    Record

    Raises
    ------
    BrokenQuotes
        Where quotes do not close.

    Examples
    --------
    >>> list(records('a,"b,c"\n\n1,2\n', ","))
    [Record(line=1, fields=['a', 'b,c']), Record(line=3, fields=['1', '2'])]
    >>> list(records("1::Heat (1995)::5", "::"))
    [Record(line=1, fields=['1', 'Heat (1995)', '5'])]
    """
    if separator == _BLANK:
        cut = (line.replace("\t", " ").split(" ") for line in text.split("\n"))
        for number, fields in enumerate(cut, first_line):
            kept = [field for field in fields if field]
            if kept:
                yield Record(number, kept)
        return
    if not allows_quotes(separator) or '"' not in text:
        blank = " " if separator == "\t" else " \t"
        for number, line in enumerate(text.split("\n"), first_line):
            if line.strip(blank):
                yield Record(number, line.split(separator))
        return
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    start = 0
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip(" \t")):
                yield Record(first_line + start, fields)
            start = reader.line_num
    except csv.Error as error:
        raise BrokenQuotes(first_line + start, str(error)) from None


def sniff(
    shown: str, sample: str, separator: str | None = None, header: bool | None = None
) -> tuple[Dialect, list[Record]]:
    """Find out how a text table is written from its first lines.

    Parameters
    ----------
    shown : str
        The file's name, for messages.
    sample : str
        Whole lines from the start of the file.
    separator : str, optional
        Take this one; by default the one that cuts all lines alike.
    header : bool, optional
        Whether the first line holds names; by default judged by what it holds.

    Returns
    -------
    dialect : Dialect
    data : list of Record
        The sample's records below the header.

    Raises
    ------
    FileFormatError
        If no separator can be told.
    """
    if not sample.strip(" \t\n"):
        raise FileFormatError(
            f"{shown} has only blank lines. Give a file with at least one rating."
        )
    if separator is None:
        separator = _sniffed_separator(shown, sample)
    else:
        separator = _GIVEN.get(separator, separator)
        if not separator or '"' in separator or "\n" in separator:
            raise FileFormatError(
                f"{separator!r} cannot be a separator. Give the characters between two columns, "
                "or one of tab, comma, semicolon, bar, blank."
            )
    found = _lenient(sample, separator)
    if not found:
        raise FileFormatError(
            f"{shown} has nothing but blanks and quotes. Give a file with at least one rating."
        )
    first = [field.strip(" \t") for field in found[0].fields]
    named = looks_like_header(first, [r.fields for r in found[1:]]) if header is None else header
    if named is None:
        raise FileFormatError(
            f"{shown}: the first line may hold names of columns, or numbers after an empty cell. "
            "Say which: header=True or header=False (--header, --no-header)."
        )
    data = found[1:] if named else found
    return Dialect(separator, len(first), first if named else None), data


def is_number(cell: str) -> bool:
    """Whether the text is a number (NaN and infinities included)."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def is_numeric_cell(cell: str) -> bool:
    """Whether the text may stand in a column of numbers: a number or the mark of a hole."""
    return is_number(cell) or cell.strip().lower() in HOLE_MARKS


def looks_like_header(first: list[str], others: list[list[str]]) -> bool | None:
    """Judge whether the first line holds names; None where it cannot be told.

    Text above a column of numbers is a name, unless other cells of the line are numbers
    and none is a usual name: then it is more likely a bad value. A line of numbers after
    an empty cell may be a header (as pandas writes one) or a row whose first cell is a hole.

    Examples
    --------
    >>> looks_like_header(["user", "item"], [["ann", "heat"]])
    True
    >>> looks_like_header(["ann", "heat", "5"], [["bob", "heat", "3"]])
    False
    >>> looks_like_header(["user", "1", "2"], [["17", "5", "3"]])
    True
    >>> looks_like_header(["", "1", "2"], [["0", "5", "3"]]) is None
    True
    """
    if is_usual_name(first[0]):
        return True
    number = [is_number(cell) and math.isfinite(float(cell)) for cell in first]
    usual = any(map(is_usual_name, first))
    columns = list(zip(*(row for row in others if len(row) == len(first)), strict=True))
    below = [[cell for cell in column if cell.strip()] for column in columns]
    numeric = [bool(cells) and all(map(is_numeric_cell, cells)) for cells in below]
    if not first[0] and len(first) > 1 and all(number[1:]):
        return None if not below or numeric[0] else True
    if any(number) and not usual:
        return False
    above = (not is_numeric_cell(cell) for cell in first)
    if any(name and under for name, under in zip(above, numeric, strict=False)):
        return True
    return not any(number) and (not others or usual or not first[0])


def _lenient(sample: str, separator: str) -> list[Record]:
    """Cut the sample; where quotes are broken, what comes before (the reader will complain)."""
    found: list[Record] = []
    try:
        found.extend(records(sample, separator))
    except BrokenQuotes:
        if not found:
            found = list(records(sample.replace('"', ""), separator))
    return found


def _sniffed_separator(shown: str, sample: str) -> str:
    """Take the separator that cuts the most lines into equally many columns, two at least."""
    best: str | None = None
    best_share = 0.0
    for candidate in ("::", *_SINGLE, _BLANK):
        counts = Counter(len(record.fields) for record in _lenient(sample, candidate))
        if not counts:
            continue
        fields, lines = counts.most_common(1)[0]
        share = lines / counts.total()
        # ties go to the one named first; a blank inside names must not beat real separators
        if fields >= 2 and share > best_share + (0.2 if best else 0.0):
            best, best_share = candidate, share
    if best is not None:
        return best
    words = sample.split()
    if words and all(map(is_number, words[1:])) and (len(words) > 1 or is_number(words[0])):
        return ","  # one column of numbers: any separator will do
    first = sample.strip("\n").split("\n", 1)[0][:60]
    raise FileFormatError(
        f"{shown} has only one column: its first line {first!r} has none of the usual "
        'separators. Name the right one with separator="…" (--separator).'
    )
