"""Ratings files of every usual kind into an observed matrix."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, FileFormatError
from mixmend.files.ids import IdColumn
from mixmend.files.layout import (
    ColumnChoice,
    open_source,
    open_table,
    plan_either,
    plan_long,
    plan_wide,
)
from mixmend.files.long import read_long, take_all
from mixmend.files.matrixmarket import read_matrix_market
from mixmend.files.wide import read_wide
from mixmend.observed.matrix import ObservedMatrix

_LAYOUTS = ("auto", "long", "wide")
_DUPLICATES = ("error", "first", "last", "mean")


def read_ratings(
    path: str | os.PathLike[str],
    *,
    row: ColumnChoice = None,
    column: ColumnChoice = None,
    value: ColumnChoice = None,
    timestamp: ColumnChoice = None,
    separator: str | None = None,
    header: bool | None = None,
    layout: str = "auto",
    missing: float | str | None = None,
    duplicates: str = "error",
    encoding: str | None = None,
    dtype: str = "float64",
) -> ObservedMatrix:
    r"""Read a file of ratings, or any table with holes, into an observed matrix.

    CSV and other text (compressed or not), Parquet, Arrow and Matrix Market files are told
    apart by their contents. A *long* table has one line per rating; its columns are found by
    their usual names (``userId``, ``movie_id``, ``stars``, …) or, without a header, by their
    order: user, item, rating, timestamp. A *wide* table has one line per row of the matrix.

    Parameters
    ----------
    path : path-like
        The file. Text may be compressed by gzip, bzip2, xz or zstd.
    row, column, value, timestamp : str or int, optional
        Names of the columns (or their numbers, counted from 1) that hold users, items, ratings
        and times. In a wide table ``row`` names the column of row labels.
    separator : str, optional
        What stands between the columns: one or more characters, or "blanks" for any run of
        blanks and tabs. By default judged from the first lines.
    header : bool, optional
        Whether the first line holds names; by default judged from the first lines.
    layout : {"auto", "long", "wide"}, default "auto"
        With "auto", a file that could be either is an error that says so.
    missing : float or str, optional
        A rating that marks a hole, besides empty cells (and NaN, NA, null) of a wide table. A
        zero is a rating like any other unless ``missing=0`` says that it is not.
    duplicates : {"error", "first", "last", "mean"}, default "error"
        What to do where a pair is rated more than once. First and last are meant in time where
        there is a timestamp, otherwise in the order of the file.
    encoding : str, optional
        Of text files, by any name that Python knows; UTF-8 unless given.
    dtype : {"float64", "float32"}, default "float64"
        Type of the values.

    Returns
    -------
    ObservedMatrix
        Its labels are the identifiers: integers, in increasing order, where all of them are
        integers; otherwise text just as it stands in the file (007 remains 007), in sorted
        order. Rows and columns of a wide table keep the order of the file.

    Raises
    ------
    FileFormatError
        If the file cannot be read; names the file, line, column and value, and the cure.
    DataError
        If it can be read but holds NaN or infinite ratings, or pairs rated twice.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import mixmend as mm
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.csv"
    >>> _ = path.write_text("userId,movieId,rating\nann,7,4.5\nbob,7,3\nann,12,0\n")
    >>> obs = mm.read_ratings(path)
    >>> obs.row_labels, obs.column_labels
    (array(['ann', 'bob'], dtype='<U3'), array([ 7, 12]))
    >>> obs.dense
    array([[4.5, 0. ],
           [3. , nan]])
    """
    _check_choice("layout", layout, _LAYOUTS)
    _check_choice("duplicates", duplicates, _DUPLICATES)
    _check_choice("dtype", dtype, ("float64", "float32"))
    mark, number = _hole_marks(missing)
    encoding = encoding or "utf-8"
    source = open_source(path, encoding)
    if source.kind == "matrix-market":
        return read_matrix_market(source, number, duplicates, dtype)
    table = open_table(source, encoding, separator, header)
    given: dict[str, ColumnChoice] = {
        "row": row,
        "column": column,
        "value": value,
        "timestamp": timestamp,
    }
    if layout == "wide":
        for option in ("column", "value", "timestamp"):
            if given[option] is not None:
                raise DataError(
                    f"A wide table has no single {option} column: leave out {option} "
                    'or layout="wide".'
                )
        plan = plan_wide(table, row)
    elif layout == "long":
        plan = plan_long(table, given, ("row", "column", "value"))
    else:
        plan = plan_either(table, given)
    if plan.layout == "wide":
        return read_wide(table, plan.roles.get("row"), mark, number, dtype)
    return read_long(table, plan.roles, mark, number, duplicates, dtype)


def read_pairs(
    path: str | os.PathLike[str],
    *,
    row: ColumnChoice = None,
    column: ColumnChoice = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""Read the (row, column) pairs that are to be predicted.

    The file is as for `read_ratings` in long form; it needs no ratings.

    Parameters
    ----------
    path, row, column, separator, header, encoding
        As for `read_ratings`.

    Returns
    -------
    rows, columns : ndarray, shape (n_pairs,)
        The identifiers of each pair, in the order of the file; pairs may recur.

    Raises
    ------
    FileFormatError
        As for `read_ratings`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.tsv"
    >>> _ = path.write_text("user\titem\n3\tHeat\n1\tHeat\n")
    >>> read_pairs(path)
    (array([3, 1]), array(['Heat', 'Heat'], dtype='<U4'))
    """
    encoding = encoding or "utf-8"
    source = open_source(path, encoding)
    if source.kind == "matrix-market":
        raise FileFormatError(
            f"{source.path} is a Matrix Market file, which holds a matrix, not pairs. "
            "Give a table with a column of rows and one of columns."
        )
    table = open_table(source, encoding, separator, header)
    plan = plan_long(table, {"row": row, "column": column}, ("row", "column"))
    rows, columns = IdColumn(), IdColumn()
    sinks = {"row": rows, "column": columns}
    take_all(table, {role: plan.roles[role] for role in sinks}, sinks)
    found_rows, found_columns = rows.finish(), columns.finish()
    return found_rows.labels[found_rows.codes], found_columns.labels[found_columns.codes]


# ---------------------------------------------------------------------- options


def _check_choice(option: str, choice: str, choices: tuple[str, ...]) -> None:
    if choice not in choices:
        raise DataError(f"{option} must be one of {', '.join(choices)}; got {choice!r}.")


def _hole_marks(missing: float | str | None) -> tuple[str | None, float | None]:
    """Split ``missing`` into the text and the number that mark a hole."""
    if missing is None:
        return None, None
    try:
        number = float(missing)
    except ValueError:
        return str(missing).strip(), None
    return (str(missing), None) if np.isnan(number) or np.isinf(number) else (None, number)
