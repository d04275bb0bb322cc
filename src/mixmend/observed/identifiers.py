"""Identifiers of any type (strings, dates, …) numbered in sorted order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.compressed import Labels, label_array, refuse_nul


def as_positions(
    wanted: ArrayLike, labels: ArrayLike | None, axis: str
) -> tuple[NDArray[Any], Labels | None]:
    """Positions of rows or columns, and the labels that go with them.

    Parameters
    ----------
    wanted : array-like, shape (m,)
        Integers are positions and are returned as they are; anything else is an identifier.
    labels : array-like or None
        Where given, identifiers are looked up here instead of being numbered.
    axis : {"row", "column"}
        For messages.

    Returns
    -------
    positions : ndarray of integers, shape (m,)
    labels : ndarray or None

    Raises
    ------
    DataError
        For missing, floating-point, unknown or not comparable identifiers.
    """
    codes, names = number_identifiers(wanted, axis)
    if labels is None:
        return codes, names
    given = label_array(labels)
    if names is None:
        return codes, given
    from mixmend.observed.labels import positions

    return positions(given, names, axis)[codes], given


def number_identifiers(values: ArrayLike, axis: str) -> tuple[NDArray[Any], Labels | None]:
    """Give each identifier its number in sorted order.

    Strings go through polars' hashing on all cores; a hundred million of them are a matter of
    seconds. Integers are positions already: they come back untouched, with None for the labels.

    Parameters
    ----------
    values : array-like, shape (m,)
        Integers, strings, dates, or anything that can be sorted; also a pandas, polars or Arrow
        series (a categorical one counts as its strings).
    axis : {"row", "column"}
        For messages.

    Returns
    -------
    codes : ndarray of integers, shape (m,)
        ``labels[codes]`` are the identifiers.
    labels : ndarray, shape (n_distinct,), or None
        The distinct identifiers in sorted order; None where ``values`` are positions.

    Examples
    --------
    >>> number_identifiers(["b", "a", "b"], "row")
    (array([1, 0, 1], dtype=...), array(['a', 'b'], dtype='<U1'))
    """
    array = _vector(values, axis)
    if not isinstance(array, np.ndarray):
        return _number_strings(array, axis)
    kind = array.dtype.kind
    if kind in "iu":
        return (array if array.dtype.isnative else array.astype(np.int64)), None
    if kind == "O" and all(isinstance(value, int | np.integer) for value in array):
        return array.astype(np.int64), None
    if kind in "fcb":
        raise DataError(
            f"{axis}s must be integers (positions) or identifiers such as strings; got "
            f"{array.dtype}. Convert them: .astype(int) for positions, .astype(str) for names."
        )
    if kind in "UT" or (kind == "O" and all(isinstance(value, str) for value in array)):
        return _number_strings(array, axis)
    _refuse_missing(array, axis)
    try:
        labels, codes = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise DataError(
            f"{axis} identifiers of different types cannot be put in order ({error}). "
            "Convert them all to strings."
        ) from error
    return codes, labels


def _vector(values: Any, axis: str) -> Any:
    """Make a one-dimensional array, or a polars series where the values are text."""
    if not isinstance(values, np.ndarray | list | tuple):
        import narwhals as nw

        series = nw.from_native(values, series_only=True, pass_through=True)
        if isinstance(series, nw.Series):
            if series.null_count():
                entry = int(np.flatnonzero(series.is_null().to_numpy())[0])
                raise DataError(_missing_identifier(axis, entry))
            if series.dtype in (nw.String, nw.Categorical, nw.Enum):
                return series.cast(nw.String).to_polars()
            values = series.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{axis}s must be one-dimensional ({error}).") from error
    if array.ndim != 1:
        raise DataError(f"{axis}s must be one-dimensional; got shape {array.shape}.")
    if len(array) == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        refuse_nul(values)  # before they are compared: "a" and "a\0" look the same in the array
    return array


def _number_strings(values: Any, axis: str) -> tuple[NDArray[Any], Labels]:
    import polars as pl

    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.String)
    ordered = series.unique().sort()
    refuse_nul(ordered)
    codes = series.cast(pl.Enum(ordered)).to_physical().to_numpy()
    return codes, np.asarray(ordered.to_list(), dtype=np.str_)


def _refuse_missing(array: NDArray[Any], axis: str) -> None:
    missing = np.array([value is None or value != value for value in array], bool)
    if missing.any():
        raise DataError(_missing_identifier(axis, int(np.flatnonzero(missing)[0])))


def _missing_identifier(axis: str, entry: int) -> str:
    return f"Entry {entry} has no {axis} identifier. Leave such entries out or name the {axis}."
