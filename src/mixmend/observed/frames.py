"""Wide data frames (pandas, polars, Arrow, …) into an observed matrix, by way of narwhals."""

from __future__ import annotations

import reprlib
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import cell_name, floats_of_cells, number_or_nan, require_cells
from mixmend.observed.compressed import Labels, label_array
from mixmend.observed.matrix import ObservedMatrix


def is_frame(X: Any) -> bool:
    """Whether ``X`` is a data frame, eager or lazy, of any library narwhals knows."""
    if isinstance(X, np.ndarray | list | tuple):
        return False  # without the import
    import narwhals as nw

    return isinstance(_wrapped(X), nw.DataFrame | nw.LazyFrame) or _is_foreign_frame(X)


def from_frame(frame: Any, *, missing: float | None = None) -> ObservedMatrix:
    """Observed matrix from a wide data frame: one row per row, one column per column.

    Parameters
    ----------
    frame : DataFrame of pandas, polars (lazy too), Arrow or another that narwhals understands
        Columns must be numeric or boolean. Null, None and NaN are holes.
    missing : float, optional
        A further mark of holes, such as -999.

    Returns
    -------
    ObservedMatrix
        float32 if every column is float32 or float16, else float64. The column names are its
        column labels, and a pandas index its row labels, unless they merely count from 0.

    Raises
    ------
    DataError
        For a column that is not numeric, and for infinite values; the column is named.

    Examples
    --------
    >>> import polars as pl
    >>> from mixmend import ObservedMatrix
    >>> obs = ObservedMatrix.from_frame(pl.DataFrame({"a": [1, None], "b": [2.5, 0.0]}))
    >>> obs.column_labels
    array(['a', 'b'], dtype='<U1')
    >>> obs.dense
    array([[1. , 2.5],
           [nan, 0. ]])
    """
    table = eager(frame)
    names = list(table.columns)
    require_cells(len(table), len(names))
    row_labels = unless_counting(pandas_index(table.to_native()))
    column_labels = unless_counting(label_array(names))
    columns = [_numbers(table.get_column(name), name) for name in names]
    typed = any(dtype.is_numeric() for dtype in table.schema.values())
    narrow = typed and all(column.dtype in (np.float32, np.float16) for column in columns)
    cells: NDArray[Any] = np.empty((len(table), len(names)), np.float32 if narrow else np.float64)
    for j, column in enumerate(columns):
        if column.dtype == object:
            for row, value in enumerate(column):
                name = partial(cell_name, row, j, row_labels, column_labels)
                cells[row, j] = number_or_nan(value, name)
        else:
            cells[:, j] = column
    return ObservedMatrix(
        (len(table), len(names)),
        dense=floats_of_cells(cells, missing, row_labels, column_labels, copy=False),
        row_labels=row_labels,
        column_labels=column_labels,
    )


def eager(frame: Any) -> Any:
    """A data frame of any library, wrapped by narwhals and collected."""
    import narwhals as nw

    table = _wrapped(frame)
    if isinstance(table, nw.LazyFrame):
        return table.collect()
    if isinstance(table, nw.DataFrame):
        return table
    if _is_foreign_frame(frame):
        return nw.DataFrame.from_arrow(frame, backend="polars")
    raise DataError(
        f"from_frame needs a data frame (pandas, polars, Arrow, …); got {type(frame).__name__}."
    )


def _wrapped(frame: Any) -> Any:
    """Let narwhals wrap what it knows; all else comes back as it is."""
    import narwhals as nw

    try:
        return nw.from_native(frame, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        names = list(frame.columns)
        repeated = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"Column {repeated!r} occurs more than once: give columns distinct names."
        ) from error


def _is_foreign_frame(X: Any) -> bool:
    """Recognise tables of other libraries that hand their data over in Arrow's form."""
    return hasattr(X, "__arrow_c_stream__") and hasattr(X, "columns")


def _numbers(series: Any, name: Any) -> NDArray[Any]:
    import narwhals as nw

    dtype = series.dtype
    if dtype == nw.Boolean or isinstance(dtype, nw.Decimal):
        series = series.cast(nw.Float64)
    elif not dtype.is_numeric() and series.null_count() == len(series):
        return np.full(len(series), np.nan, np.float32)  # says nothing, widens nothing
    elif dtype == nw.Object:
        return np.asarray(series.to_numpy(), dtype=object)
    elif not dtype.is_numeric():
        filled = series.drop_nulls()
        shown = f", e.g. {reprlib.repr(filled[0])}" if len(filled) else ""
        raise DataError(
            f"Column {name!r} is not numeric ({dtype}{shown}). Leave it out, or convert it to "
            "numbers first."
        )
    array = series.to_numpy()
    return np.asarray(array, np.float64) if array.dtype.kind != "f" else array


def pandas_index(native: Any) -> Labels | None:
    """The index of a pandas frame; None for other frames."""
    index = getattr(native, "index", None)
    if index is None or not hasattr(native, "iloc"):
        return None
    return label_array(list(index) if getattr(index, "nlevels", 1) > 1 else np.asarray(index))


def unless_counting(labels: Labels | None) -> Labels | None:
    """No labels where they are 0, 1, 2, …: that is what a table without labels has."""
    if labels is None or (
        labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(len(labels)))
    ):
        return None
    return labels
