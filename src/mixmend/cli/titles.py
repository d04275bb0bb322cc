"""Titles to show instead of identifiers: a small file with an id and a title in each line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from mixmend.errors import FileFormatError

_ID_NAMES = {"id", "item", "itemid", "movie", "movieid", "isbn", "product", "productid", "column"}
_TITLE_NAMES = {"title", "name", "label", "booktitle", "movietitle", "description"}


def read_titles(path: Path) -> dict[str, str]:
    """Read titles by identifier.

    Parameters
    ----------
    path : Path
        Lines of fields separated by ``::``, ``|``, a tab, ``;`` or a comma (quotes as in
        CSV). If the first line names an id column (id, item, movieId, …), the id and the
        title (title, name, …) are found by name; otherwise they are the first two fields.
        UTF-8, or Latin-1 where it is not.

    Returns
    -------
    dict of str to str

    Raises
    ------
    FileFormatError
        If the file is empty or a line has no title.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.splitlines()
    if not lines:
        raise FileFormatError(f"{path}: the file of titles is empty.")
    at_id, at_title, body = 0, 1, 0
    titles: dict[str, str] = {}
    for number, fields in _split(lines):
        if number == 1:
            names = [field.strip().lower().replace("_", "").replace(" ", "") for field in fields]
            if _ID_NAMES & set(names):
                at_id = next(j for j, name in enumerate(names) if name in _ID_NAMES)
                at_title = next((j for j, name in enumerate(names) if name in _TITLE_NAMES), 1)
                body = 1
        if number <= body or not fields:
            continue
        if len(fields) <= max(at_id, at_title):
            raise FileFormatError(
                f"{path}, line {number}: no title in {lines[number - 1]!r}. "
                "Each line needs an id and a title."
            )
        titles[fields[at_id].strip()] = fields[at_title].strip()
    return titles


def _split(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Give each line's number and fields, by the separator that the first line shows."""
    if "::" in lines[0]:
        yield from ((number, line.split("::")) for number, line in enumerate(lines, 1))
        return
    separator = next((mark for mark in lines[0] if mark in ",|\t;"), ",")
    reader = csv.reader(lines, delimiter=separator)
    for fields in reader:
        yield reader.line_num, fields
