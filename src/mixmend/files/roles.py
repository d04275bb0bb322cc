"""Which column of a file is what: by usual names, by order, or as told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixmend.errors import FileFormatError

ROLES = ("row", "column", "value", "timestamp")

# In order of preference where several are present. Compared without case and punctuation:
# "User-ID", "userId" and "user_id" are one name.
_USUAL = {
    "row": (
        *("userid", "user", "uid", "rowid", "row", "customerid", "customer", "reviewerid"),
        *("reviewer", "raterid", "rater", "personid", "person", "subjectid", "subject"),
        *("memberid", "member", "respondent", "patientid", "patient", "username"),
    ),
    "column": (
        *("itemid", "item", "iid", "movieid", "movie", "filmid", "film", "productid", "product"),
        *("columnid", "column", "col", "asin", "isbn", "bookid", "book", "songid", "song"),
        *("trackid", "track", "artistid", "artist", "businessid", "business", "jokeid", "joke"),
        *("questionid", "question", "animeid", "sku", "parentasin"),
    ),
    "value": (
        *("rating", "ratings", "score", "scores", "stars", "star", "value", "values", "grade"),
        *("bookrating", "overall", "preference"),
    ),
    "timestamp": ("timestamp", "time", "date", "datetime", "unixreviewtime", "ts", "createdat"),
}
_LABELS_OF_WIDE = {*_USUAL["row"], "id", "index", "", "indexlevel0", "unnamed0"}
_OF_NAME = {name: role for role, names in _USUAL.items() for name in names}
_WHAT = {"row": "rows (users)", "column": "columns (items)", "value": "ratings"}
_WHAT["timestamp"] = "times"


def is_usual_name(name: str) -> bool:
    """Whether this is one of the usual names for a column of users, items, ratings or times."""
    return _plain(name) in _OF_NAME


def holds_row_labels(name: str) -> bool:
    """Whether a wide table's first column with this name holds the rows' labels."""
    return _plain(name) in _LABELS_OF_WIDE


def by_usual_names(names: Sequence[str]) -> dict[str, int]:
    """Give the position of the column for each role that a usual name is found for.

    Examples
    --------
    >>> by_usual_names(["User-ID", "ISBN", "Book-Rating", "shop"])
    {'row': 0, 'column': 1, 'value': 2}
    """
    plain = [_plain(name) for name in names]
    found = {}
    for role in ROLES:
        position = next((plain.index(usual) for usual in _USUAL[role] if usual in plain), None)
        if position is not None:
            found[role] = position
    return found


def position_of(
    shown: str, option: str, wanted: str | int, names: Sequence[str] | None, n_columns: int
) -> int:
    """Position of a column that the user named, or numbered from 1.

    Parameters
    ----------
    shown : str
        The file's name, for messages.
    option : str
        The option by which the column was named, for messages.
    wanted : str or int
        A name, or a number from 1 (as an integer or in digits).
    names : sequence of str or None
        The header.
    n_columns : int
        How many columns the file has.

    Raises
    ------
    FileFormatError
        If there is no such column, or more than one of that name.

    Examples
    --------
    >>> position_of("f.csv", "row", "who", ["who", "what"], 2), position_of(
    ...     "f.dat", "row", 2, None, 3
    ... )
    (0, 1)
    """
    if isinstance(wanted, str) and names is not None and wanted in names:
        position = names.index(wanted)
        refuse_repeated(shown, option, names, position)
        return position
    number = int(wanted) if re.fullmatch(r"[0-9]{1,9}", str(wanted)) else 0
    if 1 <= number <= n_columns:
        return number - 1
    if names is None:
        raise FileFormatError(
            f"{shown} has no column {wanted!r}: it has {n_columns} columns without names. "
            f"Give {option} a number from 1 to {n_columns}, or header=True if its first line "
            "holds names."
        )
    raise FileFormatError(
        f"{shown} has no column {wanted!r}. It has: {listed(names)}. Name one of them."
    )


def refuse_repeated(shown: str, option: str, names: Sequence[str], position: int) -> None:
    """Raise the error for a name that more than one column has."""
    name = names[position]
    if list(names).count(name) > 1:
        raise FileFormatError(
            f"{shown} has more than one column {name!r}. "
            f"Choose one by its number, counted from 1: {option}={position + 1}."
        )


def missing_roles(shown: str, absent: Sequence[str], names: Sequence[str], layouts: bool) -> str:
    """Word the complaint about columns that were found neither by name nor by option.

    Parameters
    ----------
    shown : str
        The file's name.
    absent : sequence of str
        The roles without a column.
    names : sequence of str
        The header.
    layouts : bool
        Whether a wide table would be possible instead.
    """
    what = in_words(absent)
    options = ", ".join(f'{role}="…"' for role in absent)
    command = ", ".join(f"--{role}-name" for role in absent)
    wide = (
        ' If it is a wide table, one column per item, give layout="wide" (--input-layout wide).'
        if layouts
        else ""
    )
    return (
        f"{shown} has no column that is known to hold the {what}. It has: {listed(names)}. "
        f"Name the right one with {options} ({command}).{wide}"
    )


def in_words(roles: Sequence[str]) -> str:
    """Name roles in a sentence.

    Examples
    --------
    >>> in_words(["row", "column", "value"])
    'rows (users), columns (items) and ratings'
    """
    *most, last = [_WHAT[role] for role in roles]
    return f"{', '.join(most)} and {last}" if most else last


def listed(names: Sequence[str], most: int = 12) -> str:
    """List names in quotes, the first few if there are many."""
    shown = ", ".join(repr(str(name)[:40]) for name in names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in all)"


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "", name.lower()) if name.isascii() else name.lower()
