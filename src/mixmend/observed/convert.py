"""Arrays, sparse matrices, data frames and triplets into observed matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import (
    cell_name,
    floats_of_cells,
    infinite_cell,
    mark_of_holes,
    require_cells,
    table_of_cells,
)
from mixmend.observed.compressed import Compressed, Labels, as_floats, index_dtype
from mixmend.observed.frames import from_frame, is_frame
from mixmend.observed.matrix import ObservedMatrix
from mixmend.observed.triplets import compress_triplets, from_triplets

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["as_observed", "from_dense", "from_frame", "from_sparse", "from_triplets"]


def as_observed(
    X: Any,
    *,
    missing: float | None = np.nan,
    row_weights: ArrayLike | None = None,
    copy: bool = True,
) -> ObservedMatrix:
    """Observed matrix from whatever a user may call data: what every estimator does first.

    Parameters
    ----------
    X : ObservedMatrix, array-like, masked array, sparse matrix or data frame
        - ObservedMatrix: returned as it is, unless it has no rows or no columns.
        - Array, nested lists: NaN and None are holes.
        - Masked array: masked cells are holes too.
        - scipy.sparse matrix or array: stored means observed, explicit zeros included.
        - Data frame of pandas, polars, Arrow or another that narwhals understands: null is a
          hole; names of columns (and a pandas index) become labels.
    missing : float or None, default NaN
        A further mark of holes (``missing=0``, ``missing=-999``). An ObservedMatrix has none.
    row_weights : array-like, shape (n,), optional
        How often each row counts; takes the place of those of an ObservedMatrix.
    copy : bool, default True
        Whether later changes to ``X`` must leave the result untouched. False saves a copy of a
        dense array for a caller that uses the result and drops it.

    Returns
    -------
    ObservedMatrix

    Raises
    ------
    DataError
        For anything that is not a matrix of finite real numbers with holes; the message names
        the first offending cell or column and what to do.

    Examples
    --------
    >>> as_observed([[1, None], [0, 2]])
    ObservedMatrix(2 × 2, 3 observed, 75.00%)
    >>> as_observed([[1, -9], [0, 2]], missing=-9).dense
    array([[ 1., nan],
           [ 0.,  2.]])
    """
    if isinstance(X, ObservedMatrix):
        require_cells(*X.shape)
        return X if row_weights is None else X.with_row_weights(row_weights)
    if _is_sparse(X):
        return _from_sparse(X, missing=missing, row_weights=row_weights)
    return from_dense(X, missing, row_weights=row_weights, copy=copy)


def from_dense(
    X: Any,
    missing: float | None = np.nan,
    *,
    row_labels: ArrayLike | None = None,
    column_labels: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    copy: bool = True,
) -> ObservedMatrix:
    """Observed matrix from a dense array (or a frame); see `ObservedMatrix.from_dense`.

    ``copy=False`` lets the matrix look into the caller's memory where no conversion is needed.
    """
    if _is_sparse(X):
        raise DataError(
            "from_dense got a sparse matrix: use from_sparse or from_dense(X.toarray())."
        )
    if isinstance(X, str | bytes | dict | None):
        raise DataError(_no_matrix(X))
    if is_frame(X):
        obs = from_frame(X, missing=missing).with_labels(row_labels, column_labels)
        return obs if row_weights is None else obs.with_row_weights(row_weights)
    cells = table_of_cells(X)
    return ObservedMatrix(
        (cells.shape[0], cells.shape[1]),
        dense=floats_of_cells(cells, missing, _array(row_labels), _array(column_labels), copy=copy),
        row_labels=row_labels,
        column_labels=column_labels,
        row_weights=row_weights,
    )


def from_sparse(
    S: Any,
    *,
    row_labels: ArrayLike | None = None,
    column_labels: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
) -> ObservedMatrix:
    """Observed matrix from scipy.sparse; see `ObservedMatrix.from_sparse`."""
    if not _is_sparse(S):
        raise DataError(f"from_sparse needs a scipy.sparse matrix; got {type(S).__name__}.")
    return _from_sparse(
        S, row_labels=row_labels, column_labels=column_labels, row_weights=row_weights
    )


# ---------------------------------------------------------------------- sparse matrices


def _is_sparse(X: Any) -> bool:
    if isinstance(X, np.ndarray | list | tuple):
        return False  # without the import
    from scipy import sparse

    return bool(sparse.issparse(X))


def _from_sparse(
    S: Any,
    *,
    missing: float | None = np.nan,
    row_labels: ArrayLike | None = None,
    column_labels: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
) -> ObservedMatrix:
    if len(S.shape) != 2:
        raise DataError(
            f"Expected 2D array, got a sparse array with shape {S.shape}. Reshape your data: "
            "S.reshape(1, -1) if it is a single row."
        )
    require_cells(S.shape[0], S.shape[1])
    if S.dtype.kind not in "fiub":
        said = "Complex data not supported" if S.dtype.kind == "c" else "Not a matrix of numbers"
        raise DataError(f"{said}: the sparse matrix holds {S.dtype}.")
    view = _marked_dropped(_rows_of_sparse(S), missing)
    _refuse_stored(view, _array(row_labels), _array(column_labels))
    return ObservedMatrix(
        (S.shape[0], S.shape[1]),
        by_row=view,
        row_labels=row_labels,
        column_labels=column_labels,
        row_weights=row_weights,
    )


def _rows_of_sparse(S: Any) -> Compressed:
    """Fresh arrays, by row, columns in order; equal pairs stay."""
    if S.format == "csr":
        lines = np.repeat(np.arange(S.shape[0], dtype=index_dtype(S.shape[0])), np.diff(S.indptr))
        return compress_triplets(lines, S.indices, _plain_floats(S.data), S.shape)
    if S.format == "csc":
        lines = np.repeat(np.arange(S.shape[1], dtype=index_dtype(S.shape[1])), np.diff(S.indptr))
        return compress_triplets(S.indices, lines, _plain_floats(S.data), S.shape)
    if S.format == "dia":
        return _rows_of_diagonals(S)
    coo = S.tocoo()
    return compress_triplets(coo.row, coo.col, _plain_floats(coo.data), S.shape)


def _rows_of_diagonals(S: sparse.dia_array) -> Compressed:
    """Every stored cell of the diagonals; scipy's own conversion would drop the zeros."""
    offsets, places = np.meshgrid(S.offsets, np.arange(S.data.shape[1]), indexing="ij")
    rows = places - offsets
    inside = (rows >= 0) & (rows < S.shape[0]) & (places < S.shape[1])
    values = _plain_floats(S.data[inside])
    return compress_triplets(rows[inside], places[inside], values, (S.shape[0], S.shape[1]))


def _plain_floats(values: NDArray[Any]) -> NDArray[Any]:
    return as_floats(values) if values.dtype.kind == "f" else values


def _marked_dropped(view: Compressed, missing: float | None) -> Compressed:
    mark = mark_of_holes(missing)
    if np.isnan(mark):
        return view
    from mixmend.kernels.compress import take_group

    return Compressed(*take_group(*view, (view.values == mark).view(np.uint8), 0))


def _refuse_stored(
    view: Compressed, row_labels: Labels | None, column_labels: Labels | None
) -> None:
    from mixmend.kernels.compress import first_repeat

    row, place = first_repeat(view.pointers, view.indices)
    if row >= 0:
        cell = cell_name(row, int(view.indices[place]), row_labels, column_labels)
        raise DataError(
            f"{cell} is stored more than once in the sparse matrix. Call its sum_duplicates() "
            "if they are to be added, or use from_triplets(..., duplicates='first')."
        )
    finite = np.isfinite(view.values)
    if finite.all():
        return
    place = int(np.flatnonzero(~finite)[0])
    row = int(np.searchsorted(view.pointers, place, side="right")) - 1
    column = int(view.indices[place])
    value = view.values[place]
    if np.isinf(value):
        raise DataError(infinite_cell(value, row, column, row_labels, column_labels))
    raise DataError(
        f"{cell_name(row, column, row_labels, column_labels)} is stored as NaN, but in a sparse "
        "matrix stored means observed. Remove the stored NaN, or use from_dense if NaN marks holes."
    )


def _array(labels: ArrayLike | None) -> Labels | None:
    return None if labels is None else np.asarray(labels)


def _no_matrix(X: Any) -> str:
    if isinstance(X, str | bytes):
        return (
            f"Expected a matrix, got the text {X!r}. Read a file first: mixmend.read_ratings(path)."
        )
    if isinstance(X, dict):
        return "Expected a matrix, got a dict. Make a data frame of it first: polars.DataFrame(X)."
    return "Expected a matrix, got None."
