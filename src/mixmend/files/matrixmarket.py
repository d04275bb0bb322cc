"""Matrix Market files: stored means observed, explicit zeros included."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, FileFormatError
from mixmend.files.long import CURE_OF_REPEATED, first_repeated
from mixmend.files.sources import Source, open_plain
from mixmend.observed.matrix import ObservedMatrix

_SHORTEST_ENTRY = 4  # bytes of "1 1\n"
_MANY_LINES = 10_000_000


def read_matrix_market(
    source: Source, missing: float | None, duplicates: str, dtype: str
) -> ObservedMatrix:
    """Read a Matrix Market file.

    Of a coordinate file every stored entry was observed, a stored zero too, unless ``missing``
    says otherwise; of an array file every cell.

    Parameters
    ----------
    source : Source
        The file.
    missing : float or None
        The value that marks a hole.
    duplicates : {"error", "first", "last", "mean"}
        What to do where a cell is stored more than once.
    dtype : {"float64", "float32"}
        Type of the values.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds a pattern or complex numbers.
    DataError
        If it holds NaN or infinite values, or cells stored twice.
    """
    matrix = _parsed(source)
    if not hasattr(matrix, "tocoo"):
        cells = np.asarray(matrix).astype(dtype, copy=False)
        _refuse_not_finite(source, cells.ravel(), *np.indices(cells.shape).reshape(2, -1))
        return ObservedMatrix.from_dense(cells, np.nan if missing is None else missing)
    entries = matrix.tocoo()
    values = entries.data.astype(dtype, copy=False)
    row, column = (side.astype(np.int64, copy=False) for side in entries.coords)
    _refuse_not_finite(source, values, row, column)
    if missing is not None:
        kept = values != missing
        row, column, values = row[kept], column[kept], values[kept]
    try:
        return ObservedMatrix.from_triplets(
            row, column, values, matrix.shape, duplicates=duplicates
        )
    except DataError as error:
        pair = first_repeated(row, column) if duplicates == "error" else None
        if pair is None:
            raise DataError(f"{source.path}: {error}") from None
    one, other = pair
    raise DataError(
        f"{source.path}: the entry of row {row[one] + 1}, column {column[one] + 1} occurs twice "
        f"({values[one]:g} and {values[other]:g}). {CURE_OF_REPEATED}"
    )


def _refuse_not_finite(
    source: Source, values: NDArray[Any], row: NDArray[Any], column: NDArray[Any]
) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        k = int(np.argmin(finite))
        raise DataError(
            f"{source.path}: the entry of row {row[k] + 1}, column {column[k] + 1} is "
            f"{values[k]}, which is not a finite number. Correct the value or delete the entry."
        )


def _parsed(source: Source) -> Any:
    from scipy import io as scipy_io

    with open_plain(source) as stream:
        content = stream.read()
    try:
        rows, columns, entries, form, field, _ = scipy_io.mminfo(io.BytesIO(content))
        if field in ("pattern", "complex"):
            what = "only says where entries are" if field == "pattern" else "holds complex numbers"
            raise FileFormatError(
                f"{source.path} {what} (field: {field}). Give a Matrix Market file of real or "
                "integer values."
            )
        # what is declared must be there before memory is set aside for it
        least = entries * _SHORTEST_ENTRY if form == "coordinate" else 2 * rows * columns
        if least > len(content):
            raise FileFormatError(
                f"{source.path} is truncated: it declares {entries} entries in {len(content)} "
                "bytes. Copy it again from its source."
            )
        if form == "coordinate" and rows + columns > _MANY_LINES + 1000 * entries:
            raise FileFormatError(
                f"{source.path} declares {rows} × {columns} cells but stores {entries}: nearly "
                "all rows and columns would be empty. Number those that occur from 1 on."
            )
        return scipy_io.mmread(io.BytesIO(content), spmatrix=False)
    except FileFormatError:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise FileFormatError(
            f"{source.path} is not a valid Matrix Market file ({reason}). "
            "Correct it, or copy it again from its source."
        ) from error
