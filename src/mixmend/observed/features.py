"""Tables of features beside a matrix: read from what users have, lined up by labels.

A table of features describes rows (or columns) of a matrix, one line each: age and occupation
of users, genres and year of films. It holds what it holds: numbers, texts, lists; how models
take them in is `mixmend.factors.features`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import plain
from mixmend.observed.compressed import Labels, label_array
from mixmend.observed.frames import eager, is_frame, pandas_index, unless_counting
from mixmend.observed.labels import label_text, look_up
from mixmend.observed.matrix import ObservedMatrix

_SHOWN = 3  # labels that an error names

LISTS = (list, tuple, set, frozenset, np.ndarray)
"""What a cell that holds several tags may be."""


class FeatureTable(NamedTuple):
    """Lines of features as they were given.

    Attributes
    ----------
    columns : dict of str to ndarray, each of shape (n,)
        float64 with NaN where numbers are missing; otherwise objects, None where missing.
    labels : ndarray or None
        Labels of the lines, where the table came with an index.
    n_lines : int
    named : bool
        Whether the columns have names of their own (an array's do not).
    """

    columns: dict[str, NDArray[Any]]
    labels: Labels | None
    n_lines: int
    named: bool


def read_features(table: Any, name: str) -> FeatureTable:
    """Read a data frame, a dict of columns or a two-dimensional array.

    Parameters
    ----------
    table : data frame, mapping of column names to sequences, or array-like of shape (n, m)
        Columns of an array are called x0, x1, ….
    name : str
        What errors call it, such as "row_features".

    Raises
    ------
    DataError
        If it is none of these, is ragged or empty, or a number is infinite.

    Examples
    --------
    >>> table = read_features({"age": [31, None], "genres": ["Comedy|War", "War"]}, "row_features")
    >>> table.columns["age"]
    array([31., nan])
    """
    index, named = None, True
    columns: dict[str, NDArray[Any]]
    if isinstance(table, Mapping):
        columns = {str(key): _of_objects(values, key, name) for key, values in table.items()}
    elif is_frame(table):
        frame = eager(table)
        index = unless_counting(pandas_index(frame.to_native()))
        columns = {str(key): _of_series(frame.get_column(key)) for key in frame.columns}
    else:
        columns, named = _of_array(table, name), False
    if not columns:
        raise DataError(f"{name} has no columns.")
    lengths = {key: len(values) for key, values in columns.items()}
    n = next(iter(lengths.values()))
    for key, length in lengths.items():
        if length != n:
            first = next(iter(lengths))
            raise DataError(
                f"The columns of {name} differ in length: {first!r} has {n} lines, "
                f"{key!r} has {length}."
            )
    if n == 0:
        raise DataError(f"{name} has no lines.")
    for key, values in columns.items():
        if values.dtype.kind == "f" and np.isinf(values).any():
            line = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(
                f"{name} holds an infinite number in column {key!r}, line {line}: replace it, "
                "or leave the cell empty."
            )
    return FeatureTable(columns, index, n, named)


def align_features(
    table: FeatureTable,
    obs: ObservedMatrix,
    axis: str,
    *,
    missing: str = "error",
    label_column: str | None = None,
    known: Sequence[str] = (),
) -> tuple[NDArray[np.int64], str | None]:
    """Find the line of each row (or column) of a matrix.

    Lines are matched by labels where both sides have some: the table's are its (pandas) index,
    unless that merely counts from 0, and otherwise its first column. Lines of which the
    matrix knows nothing are left aside. Arrays, and tables beside a matrix without
    labels, are matched by position.

    Parameters
    ----------
    table : FeatureTable
    obs : ObservedMatrix
    axis : {"row", "column"}
    missing : {"error", "unknown"}, default "error"
        What to do with rows that have no line.
    label_column : str, optional
        The column that holds the labels, where it is known.
    known : sequence of str
        Columns that are features, whatever stands first.

    Returns
    -------
    lines : ndarray of int64, shape (n,) or (d,)
        -1 where there is none.
    label_column : str or None
        The column in which labels were found.

    Raises
    ------
    DataError
        For rows without a line, lines with one label, and a wrong number of lines.
    """
    name, count = f"{axis}_features", obs.shape[axis == "column"]
    wanted = getattr(obs, f"{axis}_labels") if getattr(obs, f"has_{axis}_labels") else None
    labels: Labels | None = None
    found: str | None = None
    if wanted is not None and table.named:
        first = next(iter(table.columns))
        if label_column is not None and label_column in table.columns:
            found = label_column
        elif table.labels is not None:
            labels = table.labels
        elif first not in known:
            found = first
        if found is not None:
            labels = _labels(table.columns[found], found, name)
    if labels is None or wanted is None:
        if table.n_lines != count:
            raise DataError(
                f"{name} has {table.n_lines} lines, the matrix {count} {axis}s: without labels "
                "on both sides they are matched by position and must be equally many."
            )
        return np.arange(count), None
    lines = look_up(labels, wanted, f"{name}: {axis}")
    lost = np.flatnonzero(lines < 0)
    lenient = missing == "unknown" and known  # a fit must find something, a few new rows need not
    if len(lost) == count and not lenient:
        place = "index" if found is None else f"first column, {found!r}"
        raise DataError(
            f"No {axis} label of the matrix, such as {_some(wanted)}, is among those of {name}, "
            f"such as {_some(labels)} (from its {place}). Give the labels there, or features as "
            "an array in the order of the matrix."
        )
    if len(lost) and missing == "error":
        what = f"{axis}s have" if len(lost) > 1 else f"{axis} has"
        raise DataError(
            f"{len(lost)} {what} no line in {name}: {_some(wanted[lost])}. Add "
            f"{'them' if len(lost) > 1 else 'it'}, or pass missing_features='unknown' to fit as "
            f"though nothing were known of such {axis}s."
        )
    return lines, found


def _some(labels: Labels) -> str:
    shown = ", ".join(repr(plain(label)) for label in labels[:_SHOWN])
    return shown + (", …" if len(labels) > _SHOWN else "")


def _labels(values: NDArray[Any], column: str, name: str) -> Labels:
    lacking = np.isnan(values) if values.dtype.kind == "f" else values == None  # noqa: E711
    if np.any(lacking):
        raise DataError(
            f"{name} has no label in line {int(np.flatnonzero(lacking)[0])} of column {column!r}, "
            "its first, from which labels are taken."
        )
    if values.dtype.kind == "f" and np.all(values == np.round(values)):
        return values.astype(np.int64)
    return label_array(values.tolist())


def _of_series(series: Any) -> NDArray[Any]:
    import narwhals as nw

    dtype = series.dtype
    if dtype.is_numeric() and dtype != nw.Boolean:
        return np.asarray(series.cast(nw.Float64).to_numpy(), np.float64)
    if dtype in (nw.Date, nw.Datetime):  # in days
        days = np.asarray(series.to_numpy(), "datetime64[s]")
        return np.where(np.isnat(days), np.nan, days.astype(np.int64) / 86400.0)
    nulls = np.asarray(series.is_null().to_numpy(), bool)
    values = [None if null else value for value, null in zip(series.to_list(), nulls, strict=True)]
    if dtype in (
        nw.Categorical,
        nw.Enum,
    ):  # categories are names, even where they look like numbers
        values = [None if value is None else label_text(value) for value in values]
    return _objects(values)


def _of_objects(values: Any, column: Any, name: str) -> NDArray[Any]:
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise DataError(f"Column {str(column)!r} of {name} must be a sequence; got {values!r}.")
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu" and values.ndim == 1:
        return values.astype(np.float64)
    return _objects(list(values))


def _of_array(table: Any, name: str) -> dict[str, NDArray[Any]]:
    wrong = f"{name} must be a data frame, a dict of columns or a two-dimensional array"
    try:
        array = np.asarray(table)
        if array.dtype.kind in "US" and not hasattr(table, "dtype"):
            array = np.asarray(table, dtype=object)  # numbers among text stay numbers
    except ValueError as error:
        raise DataError(f"{wrong}; its lines differ in length.") from error
    if array.ndim != 2:
        raise DataError(f"{wrong}; got {type(table).__name__} of {array.ndim} dimensions.")
    if array.dtype.kind in "fiub":
        return {f"x{j}": array[:, j].astype(np.float64) for j in range(array.shape[1])}
    return {f"x{j}": _objects(array[:, j].tolist()) for j in range(array.shape[1])}


def _objects(values: list[Any]) -> NDArray[Any]:
    """Numbers where all that is there are numbers, objects with None for holes otherwise."""
    known = [None if _is_missing(value) else value for value in values]
    numbers = [
        v is None or (isinstance(v, Real) and not isinstance(v, bool | np.bool_)) for v in known
    ]
    if all(numbers) and any(value is not None for value in known):
        return np.array([np.nan if v is None else float(v) for v in known])
    out = np.empty(len(known), object)
    for line, value in enumerate(known):  # one by one: lists would unfold
        out[line] = value
    return out


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return type(value).__name__ in ("NAType", "NaTType")
