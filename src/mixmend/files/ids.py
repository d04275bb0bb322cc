"""Columns that arrive in batches: identifiers of any type to codes, ratings to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

_BLANKS = " \t"
# a fixed-width NumPy array takes as much room for each label as for the longest one
_LARGEST_FIXED_WIDTH = 1 << 28


class Identifiers(NamedTuple):
    """Numbered identifiers.

    Attributes
    ----------
    codes : ndarray of int64, shape (n_entries,)
        Position of each entry's identifier in ``labels``.
    labels : ndarray, shape (n_labels,)
        The distinct identifiers in sorted order: integers where all of them are.
    """

    codes: NDArray[np.int64]
    labels: NDArray[Any]


class IdColumn:
    """Gathers identifiers batch by batch; integers as integers, all else as text.

    Text such as ``007`` or ``+1`` is not an integer: it would not come back as it was.
    One such identifier makes the whole column text.
    """

    def __init__(self) -> None:
        self._integers: list[NDArray[np.int64]] = []
        self._index: dict[str, int] | None = None
        self._codes: list[NDArray[np.int64]] = []

    def add(self, series: pl.Series) -> int | None:
        """Take a batch; the position of its first empty cell if there is one, else None."""
        import polars as pl

        if not series.dtype.is_integer() and series.dtype != pl.String:
            series = _as_text_or_integers(series)
        if series.null_count():
            return int(series.is_null().arg_max() or 0)
        if self._index is None:
            integers = _as_integers(series)
            if integers is not None:
                self._integers.append(integers)
                return None
            self._become_text()
        text = series.cast(pl.String).str.strip_chars(_BLANKS)
        empty = text == ""
        if empty.any():
            return int(empty.arg_max() or 0)
        self._codes.append(self._numbered(text))
        return None

    def finish(self) -> Identifiers:
        """Number everything that was taken in sorted order; the column is then used up."""
        if self._index is None:
            integers = _joined(self._integers)
            self._integers = []
            return _numbered_integers(integers)
        seen = list(self._index)
        order = sorted(range(len(seen)), key=seen.__getitem__)
        place = np.empty(len(seen), np.int64)
        place[order] = np.arange(len(seen))
        codes = _joined(self._codes)
        self._codes, self._index = [], None
        return Identifiers(place[codes], text_labels([seen[position] for position in order]))

    def _become_text(self) -> None:
        import polars as pl

        self._index = {}
        for integers in self._integers:
            self._codes.append(self._numbered(pl.Series(integers).cast(pl.String)))
        self._integers = []

    def _numbered(self, text: pl.Series) -> NDArray[np.int64]:
        import polars as pl

        index = self._index
        assert index is not None  # the callers have made it
        distinct = text.unique(maintain_order=True)
        local = text.cast(pl.Enum(distinct)).to_physical().to_numpy()
        table = np.fromiter(
            (index.setdefault(name, len(index)) for name in distinct.to_list()),
            np.int64,
            len(distinct),
        )
        return np.take(table, local)


class NumberColumn:
    """Gathers ratings batch by batch.

    Parameters
    ----------
    dtype : {"float64", "float32"}
        Type to keep them in.
    mark : str or None
        Text that stands for a hole, in upper or lower case.
    """

    def __init__(self, dtype: str, mark: str | None = None) -> None:
        self._dtype = np.dtype(dtype)
        self._mark = mark
        self._parts: list[NDArray[np.floating[Any]]] = []

    def add(self, series: pl.Series) -> int | None:
        """Take a batch; the position of its first cell that is no finite number, else None."""
        numbers, bad = numbers_of(series, self._mark)
        if bad is None:
            with np.errstate(over="ignore"):
                kept = numbers.astype(self._dtype, copy=False)
            if kept.dtype != numbers.dtype and not np.array_equal(
                np.isinf(kept), np.isinf(numbers)
            ):
                return int(np.argmax(np.isinf(kept)))
            self._parts.append(kept)
        return bad

    def finish(self) -> NDArray[np.floating[Any]]:
        """Give all numbers that were taken, NaN for marked holes; the column is then used up."""
        parts, self._parts = self._parts, []
        return _joined(parts, self._dtype)


def numbers_of(series: pl.Series, mark: str | None) -> tuple[NDArray[np.float64], int | None]:
    """Turn cells into numbers, NaN where they are ``mark``; and find the first that is neither.

    Parameters
    ----------
    series : polars.Series
        Text or numbers.
    mark : str or None
        The text of a hole.

    Returns
    -------
    numbers : ndarray of float64
    bad : int or None
        Position of the first cell that is neither a finite number nor the mark.
    """
    import polars as pl

    marked = None
    numbers = series.cast(pl.Float64, strict=False)
    if mark is not None and series.dtype.is_float() and mark.lower() == "nan":
        marked = series.is_nan()
    if series.dtype == pl.String:
        if mark is not None:
            marked = series.str.strip_chars(_BLANKS).str.to_lowercase() == mark.lower()
        if numbers.null_count():
            numbers = series.str.strip_chars(_BLANKS).cast(pl.Float64, strict=False)
    out = numbers.to_numpy()  # null becomes NaN
    good = np.isfinite(out)
    if marked is not None:
        hole = marked.fill_null(False).to_numpy()
        out = np.where(hole, np.nan, out)
        good |= hole
    return out, None if good.all() else int(np.argmin(good))


def text_labels(names: list[str]) -> NDArray[Any]:
    """Make an array of text labels: fixed width where that is lean, objects otherwise."""
    longest = max(map(len, names), default=0)
    # NumPy's fixed-width text drops trailing null characters; none can come from a text file
    if 4 * longest * len(names) <= _LARGEST_FIXED_WIDTH and not any(
        name.endswith("\0") for name in names
    ):
        return np.array(names, dtype=f"<U{max(longest, 1)}")
    return np.array(names, dtype=object)


def integer_labels(names: list[str]) -> NDArray[np.int64] | None:
    """Turn labels into integers if every one is an integer written in the usual way."""
    import polars as pl

    return _as_integers(pl.Series(names, dtype=pl.String))


def _as_integers(series: pl.Series) -> NDArray[np.int64] | None:
    import polars as pl

    if series.dtype.is_integer():
        if series.dtype == pl.UInt64 and (series > np.iinfo(np.int64).max).any():
            return None
        return series.cast(pl.Int64).to_numpy()
    integers = series.cast(pl.Int64, strict=False)
    if integers.null_count():
        series = series.str.strip_chars(_BLANKS)
        integers = series.cast(pl.Int64, strict=False)
        if integers.null_count():
            return None
    # what does not come back as it was written is a name, not a number
    odd = series.str.starts_with("+") | series.str.starts_with("-0")
    odd |= series.str.starts_with("0") & (series != "0")
    return None if odd.any() else integers.to_numpy()


def _as_text_or_integers(series: pl.Series) -> pl.Series:
    """Other types of a binary table: whole floats are integers that met a null on the way."""
    import polars as pl

    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.cast(pl.Int64, strict=False)
        if bool((whole.cast(series.dtype) == series).fill_null(True).all()):
            return whole
    return series.cast(pl.String)


def _numbered_integers(integers: NDArray[np.int64]) -> Identifiers:
    if len(integers) == 0:
        return Identifiers(integers, integers)
    low, high = int(integers.min()), int(integers.max())
    if high - low < 4 * len(integers) + 1_000_000:  # a table beats a sort by far
        shifted = integers - low
        present = np.zeros(high - low + 1, bool)
        present[shifted] = True
        labels = np.flatnonzero(present) + low
        return Identifiers((np.cumsum(present) - 1)[shifted], labels)
    labels, codes = np.unique(integers, return_inverse=True)
    return Identifiers(codes.astype(np.int64, copy=False), labels)


def _joined(parts: list[NDArray[Any]], dtype: Any = np.int64) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
