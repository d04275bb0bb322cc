"""Completed matrices and predictions into files, with their labels, a few rows at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.files.sinks import Put, check_table_output, output_format, table_sink
from mixmend.observed.matrix import ObservedMatrix

if TYPE_CHECKING:
    import polars as pl

_CELLS = 1 << 20  # cells turned into one frame: some tens of megabytes
_EXTRAS = ("std", "lower", "upper")


class CompletedRows(NamedTuple):
    """Some rows of a completed matrix, as models give them one after the other.

    Attributes
    ----------
    first_row : int
        Position of the first of these m rows.
    mean : ndarray of floats, shape (m, d)
        Expected value of each cell.
    std, lower, upper : ndarray of floats, shape (m, d), or None
        Standard deviation and ends of an interval for each cell, where asked for.
    """

    first_row: int
    mean: NDArray[np.floating[Any]]
    std: NDArray[np.floating[Any]] | None = None
    lower: NDArray[np.floating[Any]] | None = None
    upper: NDArray[np.floating[Any]] | None = None


class WrittenSummary(NamedTuple):
    """What was written.

    Attributes
    ----------
    path : Path
    format : {"parquet", "arrow", "csv", "tsv"}
    layout : {"long", "wide"}
    n_records : int
        Records of the table, its header not counted.
    columns : tuple of str
        Names of its columns.
    n_bytes : int
        Size of the file.
    """

    path: Path
    format: str
    layout: str
    n_records: int
    columns: tuple[str, ...]
    n_bytes: int


def write_completed(
    path: str | os.PathLike[str],
    obs: ObservedMatrix,
    chunks: Iterable[CompletedRows],
    *,
    layout: str = "long",
    holes_only: bool = True,
    row_name: str = "user",
    column_name: str = "item",
    value_name: str = "rating",
    decimals: int | None = None,
    overwrite: bool = True,
) -> WrittenSummary:
    """Write a completed matrix with its labels; memory is needed for a few rows only.

    Observed cells are written as they were observed, whatever the chunks say there.
    Numbers are float32, unless an observed value that is written needs float64.

    Parameters
    ----------
    path : path-like
        The file: ``.parquet``, ``.arrow`` or ``.feather``, ``.csv`` or ``.tsv`` (also
        ``.gz``).
    obs : ObservedMatrix, shape (n, d)
        What was observed, and the labels.
    chunks : iterable of CompletedRows
        All n rows, in order.
    layout : {"long", "wide"}, default "long"
        Long: one record per cell, with the columns ``row_name``, ``column_name``,
        ``value_name`` and, where the chunks have them, ``std``, ``lower``, ``upper``. Wide:
        one record per row, its label first, then a column for each column label, holding
        values only.
    holes_only : bool, default True
        In long form, leave observed cells out. Otherwise a column ``observed`` tells which
        cells they are. Wide tables always have all cells.
    row_name, column_name, value_name : str
        Names of the columns.
    decimals : int, optional
        Round what was computed to so many decimals; observed values stay.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Returns
    -------
    WrittenSummary

    Raises
    ------
    OutputError
        If the file cannot be written; nothing is left behind then.
    DataError
        If the chunks do not make up the matrix, or names clash.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> obs = ObservedMatrix.from_dense([[1.0, np.nan]], row_labels=["ann"], column_labels=[7, 9])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "out.csv"
    >>> chunk = CompletedRows(0, np.array([[1.0, 3.25]]), std=np.array([[0.0, 0.5]]))
    >>> write_completed(path, obs, [chunk]).n_records
    1
    >>> print(path.read_text(), end="")
    user,item,rating,std
    ann,9,3.25,0.5
    """
    if layout not in ("long", "wide"):
        raise DataError(f"layout must be long or wide; got {layout!r}.")
    check_table_output(path, overwrite=overwrite)
    coming = iter(_checked(chunks, obs))
    first = next(coming, None)
    dtype = _number_type(obs, with_observed=layout == "wide" or not holes_only)
    if layout == "wide":
        table: _Long | _Wide = _Wide(obs, row_name, dtype, decimals)
    else:
        names = (row_name, column_name, value_name)
        extras = [] if first is None else [e for e in _EXTRAS if getattr(first, e) is not None]
        table = _Long(obs, names, extras, holes_only, dtype, decimals)
    n_records = 0
    with table_sink(path, table.schema, overwrite=overwrite) as put:
        for chunk in coming if first is None else chain([first], coming):
            n_records += table.write(chunk, put)
    size = Path(path).stat().st_size
    columns = tuple(table.schema)
    return WrittenSummary(Path(path), output_format(path), layout, n_records, columns, size)


def write_predictions(
    path: str | os.PathLike[str],
    columns: Mapping[str, ArrayLike],
    *,
    decimals: int | None = None,
    overwrite: bool = True,
) -> WrittenSummary:
    r"""Write columns of equal length as a table.

    Parameters
    ----------
    path : path-like
        The file; formats as for `write_completed`.
    columns : mapping of str to array-like, shape (m,)
        Names and contents, in order.
    decimals : int, optional
        Round columns of floating-point numbers to so many decimals.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Returns
    -------
    WrittenSummary

    Raises
    ------
    OutputError
        If the file cannot be written; nothing is left behind then.
    DataError
        If the columns differ in length.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "out.tsv"
    >>> _ = write_predictions(path, {"user": ["ann", "bob"], "rating": [3.14159, 2.0]}, decimals=2)
    >>> path.read_text()
    'user\trating\nann\t3.14\nbob\t2.0\n'
    """
    import polars as pl

    lengths = {name: len(np.atleast_1d(np.asarray(column))) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DataError(f"The columns of a table must be equally long; got {told}.")
    series = [as_series(name, column) for name, column in columns.items()]
    if decimals is not None:
        series = [s.round(decimals) if s.dtype.is_float() else s for s in series]
    frame = pl.DataFrame(series)
    with table_sink(path, dict(frame.schema), overwrite=overwrite) as put:
        put(frame)
    size = Path(path).stat().st_size
    form = output_format(path)
    return WrittenSummary(Path(path), form, "long", frame.height, tuple(columns), size)


def as_series(name: str, values: ArrayLike) -> pl.Series:
    """Turn an array of labels or numbers into a polars series; mixed objects become text."""
    import polars as pl

    array = np.atleast_1d(np.asarray(values))
    if array.dtype.kind in "OTU":
        return pl.Series(name, [str(item) for item in array.tolist()], dtype=pl.String)
    return pl.Series(name, array)


# ---------------------------------------------------------------------- the two layouts


class _Long:
    """One record per cell."""

    def __init__(
        self,
        obs: ObservedMatrix,
        names: tuple[str, str, str],
        extras: Sequence[str],
        holes_only: bool,
        dtype: np.dtype[Any],
        decimals: int | None,
    ) -> None:
        import polars as pl

        self._obs, self._extras, self._holes_only = obs, extras, holes_only
        self._dtype, self._decimals = dtype, decimals
        self._rows = as_series(names[0], obs.row_labels)
        self._columns = as_series(names[1], obs.column_labels)
        number = pl.Float32 if dtype == np.float32 else pl.Float64
        own = [*names, *extras, *([] if holes_only else ["observed"])]
        types = [self._rows.dtype, self._columns.dtype, number, *(number for _ in extras)]
        _refuse_clash(own)
        self.schema = dict(zip(own, [*types, pl.Boolean], strict=False))

    def write(self, chunk: CompletedRows, put: Put) -> int:
        step = max(1, _CELLS // max(self._obs.shape[1], 1))
        written = 0
        for start in range(0, len(chunk.mean), step):
            part = slice(start, start + step)
            frame = self._frame(chunk, part)
            written += frame.height
            if frame.height:
                put(frame)
        return written

    def _frame(self, chunk: CompletedRows, part: slice) -> pl.DataFrame:
        import polars as pl

        mean = chunk.mean[part]
        first = chunk.first_row + part.start
        observed, values = _observed(self._obs, first, len(mean))
        if self._holes_only:
            rows, columns = np.nonzero(~observed)
            cells: Any = (rows, columns)
            filled = self._rounded(mean[cells])
        else:
            rows, columns = (side.ravel() for side in np.indices(mean.shape))
            cells = (slice(None), slice(None))
            filled = self._rounded(mean)
            filled[observed] = values
        series = [self._rows.gather(rows + first), self._columns.gather(columns)]
        series.append(pl.Series(list(self.schema)[2], filled.ravel()))
        series += [
            pl.Series(extra, self._rounded(getattr(chunk, extra)[part][cells]).ravel())
            for extra in self._extras
        ]
        if not self._holes_only:
            series.append(pl.Series("observed", observed.ravel()))
        return pl.DataFrame(series)

    def _rounded(self, numbers: NDArray[Any]) -> NDArray[Any]:
        return _rounded(numbers, self._decimals, self._dtype)


class _Wide:
    """One record per row, a column for each column."""

    def __init__(
        self, obs: ObservedMatrix, row_name: str, dtype: np.dtype[Any], decimals: int | None
    ) -> None:
        import polars as pl

        self._obs, self._dtype, self._decimals = obs, dtype, decimals
        self._rows = as_series(row_name, obs.row_labels)
        names = [row_name, *map(str, obs.column_labels.tolist())]
        _refuse_clash(names)
        number = pl.Float32 if dtype == np.float32 else pl.Float64
        self.schema: dict[str, Any] = dict.fromkeys(names, number)
        self.schema[row_name] = self._rows.dtype

    def write(self, chunk: CompletedRows, put: Put) -> int:
        import polars as pl

        step = max(1, _CELLS // max(self._obs.shape[1], 1))
        for start in range(0, len(chunk.mean), step):
            filled = _rounded(chunk.mean[start : start + step], self._decimals, self._dtype)
            first = chunk.first_row + start
            observed, values = _observed(self._obs, first, len(filled))
            filled[observed] = values
            # by column, each one contiguous, is how a frame keeps its numbers
            numbers = np.asfortranarray(filled)
            series = [self._rows.slice(first, len(filled))]
            names = list(self.schema)[1:]
            series += [pl.Series(name, numbers[:, j]) for j, name in enumerate(names)]
            put(pl.DataFrame(series))
        return len(chunk.mean)


# ---------------------------------------------------------------------- parts of both


def _observed(
    obs: ObservedMatrix, first: int, count: int
) -> tuple[NDArray[np.bool_], NDArray[np.floating[Any]]]:
    """Which cells of some rows were observed, and their values by row and column."""
    if obs.is_stored_dense:
        part = obs.dense[first : first + count]
        observed = ~np.isnan(part)
        return observed, part[observed]
    pointers, indices, values = obs.by_row
    spans = pointers[first : first + count + 1]
    observed = np.zeros((count, obs.shape[1]), bool)
    span = slice(int(spans[0]), int(spans[-1]))
    observed[np.repeat(np.arange(count), np.diff(spans)), indices[span]] = True
    return observed, values[span]


def _rounded(numbers: NDArray[Any], decimals: int | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round in full precision, and then narrow; always a copy."""
    return (numbers if decimals is None else np.round(numbers, decimals)).astype(dtype)


def _number_type(obs: ObservedMatrix, with_observed: bool) -> np.dtype[Any]:
    """float32, unless observed values would change by it."""
    if not with_observed or obs.dtype == np.float32:
        return np.dtype(np.float32)
    values = obs.dense if obs.is_stored_dense else obs.by_row.values
    step = max(1, _CELLS // max(values[:1].size, 1))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        with np.errstate(over="ignore"):
            if not np.array_equal(part, part.astype(np.float32), equal_nan=True):
                return np.dtype(np.float64)
    return np.dtype(np.float32)


def _checked(chunks: Iterable[CompletedRows], obs: ObservedMatrix) -> Iterator[CompletedRows]:
    """See to it that chunks make up the whole matrix, and all have the same parts."""
    n, d = obs.shape
    next_row = 0
    parts: list[str] | None = None
    for chunk in chunks:
        present = ["mean", *(name for name in _EXTRAS if getattr(chunk, name) is not None)]
        parts = present if parts is None else parts
        shape = chunk.mean.shape
        if chunk.first_row != next_row or next_row + shape[0] > n:
            raise DataError(
                f"The completed rows {chunk.first_row} to {chunk.first_row + shape[0] - 1} came "
                f"where row {next_row} of {n} was due. Give all rows in order, each once."
            )
        if present != parts or any(getattr(chunk, part).shape != (shape[0], d) for part in parts):
            shapes = ", ".join(f"{part} {getattr(chunk, part).shape}" for part in present)
            raise DataError(
                f"The completed rows from {next_row} have {shapes}; the matrix has {d} columns, "
                f"and the first rows had {', '.join(parts)}. Give the same parts for all rows."
            )
        next_row += shape[0]
        yield chunk
    if next_row != n:
        raise DataError(
            f"Only {next_row} of {n} rows were completed. Give all rows in order, each once."
        )


def _refuse_clash(names: Sequence[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"Two columns of the output would have the name {name!r}. Choose other names "
            "(row_name, column_name, value_name), or give the columns of the matrix other labels."
        )
