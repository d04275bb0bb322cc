"""Where an observed matrix keeps its entries, and the views derived from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.compressed import (
    Compressed,
    Floats,
    Labels,
    Positions,
    compress_dense,
    count_cells,
    count_positions,
    expand,
    frozen,
    label_array,
    line,
    sealed,
    transposed,
)

if TYPE_CHECKING:
    from scipy import sparse


class EntryStore:
    """The immutable store under `ObservedMatrix`: entries, labels, weights, and their views."""

    shape: tuple[int, int]
    row_weights: NDArray[np.float64] | None
    _stored_dense: Floats | None
    _row_labels: Labels | None
    _column_labels: Labels | None

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        by_row: Compressed | None = None,
        dense: Floats | None = None,
        row_labels: ArrayLike | None = None,
        column_labels: ArrayLike | None = None,
        row_weights: ArrayLike | None = None,
    ) -> None:
        """Wrap checked entries without copying: only for arrays that nobody else will write.

        ``by_row`` must be in order and finite, ``dense`` C-ordered with NaN for holes; the
        ``from_*`` constructors check and copy. Labels and weights are always copied.
        """
        if (by_row is None) == (dense is None):
            raise TypeError("give exactly one of by_row and dense")
        n, d = int(shape[0]), int(shape[1])
        self.__dict__.update(
            shape=(n, d),
            row_weights=_checked_weights(row_weights, n),
            _row_labels=_checked_labels(row_labels, n, "row"),
            _column_labels=_checked_labels(column_labels, d, "column"),
            _stored_dense=None if dense is None else frozen(dense),
        )
        if by_row is not None:
            self.__dict__["by_row"] = sealed(by_row)

    # ------------------------------------------------------------------ the views

    @cached_property
    def by_row(self) -> Compressed:
        """The observed entries compressed by row."""
        assert self._stored_dense is not None  # the constructor guarantees one of the two
        return sealed(compress_dense(self._stored_dense))

    @cached_property
    def by_column(self) -> Compressed:
        """The observed entries compressed by column, rows increasing within each."""
        return transposed(self.by_row, self.shape[1])

    @cached_property
    def dense(self) -> Floats:
        """The matrix as a dense array with NaN in the holes, shape (n, d); read-only."""
        if self._stored_dense is not None:
            return self._stored_dense
        return frozen(expand(self.by_row, self.shape))

    @property
    def is_stored_dense(self) -> bool:
        """Whether the matrix was made from a dense array (which costs no copy to use)."""
        return self._stored_dense is not None

    @property
    def entry_rows(self) -> NDArray[np.int64]:
        """The row of every observed entry, in the order of ``by_row``; made anew at each use."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int64), self.row_counts)

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Rows, columns and values of the observed entries, by row and then by column."""
        return self.entry_rows, self.by_row.indices.astype(np.int64), self.by_row.values

    def row(self, u: int) -> tuple[Positions, Floats]:
        """Observed columns of row u (by position) and the values there."""
        return line(self.by_row, u)

    def column(self, i: int) -> tuple[Positions, Floats]:
        """Rows that observe column i (by position) and their values."""
        return line(self.by_column, i)

    def to_dense(self, missing: float = np.nan) -> Floats:
        """Return a fresh dense copy with ``missing`` in the holes."""
        out = self.dense.copy()
        if not np.isnan(missing):
            out[np.isnan(out)] = missing
        return out

    def to_sparse(self) -> sparse.csr_array:
        """Return a scipy.sparse CSR copy in which stored means observed."""
        from scipy import sparse

        view = self.by_row
        return sparse.csr_array(
            (view.values.copy(), view.indices.copy(), view.pointers.copy()), shape=self.shape
        )

    # ------------------------------------------------------------------ what is known

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values: float32 or float64."""
        return self._stored_dense.dtype if self._stored_dense is not None else self.by_row[2].dtype

    @cached_property
    def n_observed(self) -> int:
        """How many cells were observed."""
        return int(self.row_counts.sum())

    @property
    def density(self) -> float:
        """The observed share of all cells; 0 for a matrix without cells."""
        cells = self.shape[0] * self.shape[1]
        return self.n_observed / cells if cells else 0.0

    @property
    def is_complete(self) -> bool:
        """Whether every cell was observed."""
        return self.n_observed == self.shape[0] * self.shape[1]

    @cached_property
    def row_counts(self) -> NDArray[np.int64]:
        """Observed cells of each row, shape (n,)."""
        if self._stored_dense is None or "by_row" in self.__dict__:
            return frozen(np.diff(self.by_row.pointers))
        return frozen(count_cells(self._stored_dense, axis=1))

    @cached_property
    def column_counts(self) -> NDArray[np.int64]:
        """Observed cells of each column, shape (d,)."""
        if "by_column" in self.__dict__:
            return frozen(np.diff(self.by_column.pointers))
        if self._stored_dense is None:
            return frozen(count_positions(self.by_row.indices, self.shape[1]))
        return frozen(count_cells(self._stored_dense, axis=0))

    @property
    def row_labels(self) -> Labels:
        """Label of each row; its position where none was given."""
        return np.arange(self.shape[0]) if self._row_labels is None else self._row_labels

    @property
    def column_labels(self) -> Labels:
        """Label of each column; its position where none was given."""
        return np.arange(self.shape[1]) if self._column_labels is None else self._column_labels

    @property
    def has_row_labels(self) -> bool:
        """Whether the rows were given labels."""
        return self._row_labels is not None

    @property
    def has_column_labels(self) -> bool:
        """Whether the columns were given labels."""
        return self._column_labels is not None

    # ------------------------------------------------------------------ as a Python object

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"an ObservedMatrix cannot be changed (setting {name!r}); make another with "
            "with_values, with_labels or with_row_weights"
        )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the dense array with NaN in the holes, for NumPy's functions."""
        return np.array(self.dense, dtype=dtype, copy=copy)

    def __getstate__(self) -> dict[str, Any]:
        stored_dense = self._stored_dense is not None
        return {
            "shape": self.shape,
            "dense": self._stored_dense,
            "by_row": None if stored_dense else self.by_row,
            "row_labels": self._row_labels,
            "column_labels": self._column_labels,
            "row_weights": self.row_weights,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        EntryStore.__init__(self, **state)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        n, d = self.shape
        return f"ObservedMatrix({n} × {d}, {self.n_observed} observed, {self.density:.2%})"


def _checked_labels(labels: ArrayLike | None, count: int, axis: str) -> Labels | None:
    if labels is None:
        return None
    array = label_array(labels)
    if array.shape != (count,):
        raise DataError(
            f"{axis}_labels must hold one label per {axis} ({count}); got shape {array.shape}."
        )
    return frozen(array)


def _checked_weights(weights: ArrayLike | None, count: int) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    array = np.array(weights, dtype=np.float64)
    if array.shape != (count,):
        raise DataError(
            f"row weights must hold one number per row ({count}); got shape {array.shape}."
        )
    fine = np.isfinite(array) & (array >= 0)
    if not fine.all():
        where = int(np.flatnonzero(~fine)[0])
        raise DataError(
            f"row weights must be finite and not negative; row {where} has {array[where]}."
        )
    return frozen(array)
