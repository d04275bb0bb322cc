"""The observed matrix: what was seen of an n × d table, and nothing about what was not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError

if TYPE_CHECKING:
    from scipy import sparse

Floats: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[Any]


class Compressed(NamedTuple):
    """Entries compressed along one axis (CSR by rows, CSC by columns).

    Attributes
    ----------
    pointers : ndarray of int64, shape (m + 1,)
        Entries of line j lie in ``pointers[j]:pointers[j + 1]``. 64 bits: more than
        2^31 entries are legal.
    indices : ndarray of int32 (int64 beyond 2^31 lines), shape (n_observed,)
        Position on the other axis, increasing within a line.
    values : ndarray of float32 or float64, shape (n_observed,)
        The observed values.
    """

    pointers: NDArray[np.int64]
    indices: NDArray[np.signedinteger[Any]]
    values: Floats


class ObservedMatrix:
    """An immutable n × d matrix of which some cells were observed.

    Make one with `from_dense`, `from_sparse`, `from_triplets`, `from_frame` or
    `mixmend.read_ratings`; every estimator accepts it, and turns whatever else it is
    given into one.

    The matrix keeps what it was made from (a dense array with NaN for the holes, or the
    observed entries by row) and derives the other views when they are first asked for.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns, (n, d).
    row_labels, column_labels : ndarray, shape (n,) and (d,)
        Names that travel to every output; positions 0, 1, … where none were given.
    row_weights : ndarray of float64, shape (n,), or None
        How often each row counts; None means once.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> obs = mm.ObservedMatrix.from_dense([[1.0, np.nan], [2.0, 5.0]])
    >>> obs.shape, obs.n_observed, obs.density
    ((2, 2), 3, 0.75)
    >>> rows, columns, values = obs.entries()
    >>> values
    array([1., 2., 5.])
    """

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
        """Wrap arrays that are already in order; the ``from_*`` constructors check theirs."""
        if (by_row is None) == (dense is None):
            raise TypeError("give exactly one of by_row and dense")
        self.shape = (int(shape[0]), int(shape[1]))
        self._row_labels = _checked_labels(row_labels, self.shape[0], "row")
        self._column_labels = _checked_labels(column_labels, self.shape[1], "column")
        self.row_weights = _checked_weights(row_weights, self.shape[0])
        if by_row is not None:
            self.__dict__["by_row"] = Compressed(*(_frozen(part) for part in by_row))
        if dense is not None:
            self._stored_dense: Floats | None = _frozen(dense)
        else:
            self._stored_dense = None

    # ------------------------------------------------------------------ constructors

    @classmethod
    def from_dense(
        cls,
        X: ArrayLike,
        missing: float = np.nan,
        *,
        row_labels: ArrayLike | None = None,
        column_labels: ArrayLike | None = None,
        row_weights: ArrayLike | None = None,
    ) -> ObservedMatrix:
        """From a dense array in which ``missing`` (NaN unless named) marks the holes.

        A masked array's mask marks holes too. NaN is always a hole; an infinite value is
        an error.
        """
        from mixmend.observed.convert import from_dense

        return from_dense(
            X,
            missing=missing,
            row_labels=row_labels,
            column_labels=column_labels,
            row_weights=row_weights,
        )

    @classmethod
    def from_sparse(
        cls,
        S: Any,
        *,
        row_labels: ArrayLike | None = None,
        column_labels: ArrayLike | None = None,
        row_weights: ArrayLike | None = None,
    ) -> ObservedMatrix:
        """From a scipy.sparse matrix or array: stored means observed, explicit zeros included."""
        from mixmend.observed.convert import from_sparse

        return from_sparse(
            S, row_labels=row_labels, column_labels=column_labels, row_weights=row_weights
        )

    @classmethod
    def from_triplets(
        cls,
        rows: ArrayLike,
        columns: ArrayLike,
        values: ArrayLike,
        shape: tuple[int, int] | None = None,
        *,
        duplicates: str = "error",
        row_labels: ArrayLike | None = None,
        column_labels: ArrayLike | None = None,
        row_weights: ArrayLike | None = None,
    ) -> ObservedMatrix:
        """From (row, column, value) triplets.

        Integer rows and columns are positions; anything else (strings, dates) is an
        identifier: it is numbered in sorted order and kept as the label.

        Parameters
        ----------
        rows, columns, values : array-like, shape (n_observed,)
            The observed entries, in any order.
        shape : (n, d), optional
            By default just large enough for the largest positions.
        duplicates : {"error", "first", "last", "mean"}
            What to do where a (row, column) pair occurs more than once.
        row_labels, column_labels, row_weights : array-like, optional
            As for the class.
        """
        from mixmend.observed.convert import from_triplets

        return from_triplets(
            rows,
            columns,
            values,
            shape,
            duplicates=duplicates,
            row_labels=row_labels,
            column_labels=column_labels,
            row_weights=row_weights,
        )

    @classmethod
    def from_frame(cls, frame: Any, *, missing: float | None = None) -> ObservedMatrix:
        """From a wide data frame (pandas, polars, Arrow): null and NaN are holes.

        Column names become column labels; a pandas index that is not the default one
        becomes the row labels. A column that is not numeric is an error that names it.
        """
        from mixmend.observed.convert import from_frame

        return from_frame(frame, missing=missing)

    # ------------------------------------------------------------------ the views

    @cached_property
    def by_row(self) -> Compressed:
        """The observed entries compressed by row."""
        dense = self._stored_dense
        assert dense is not None  # the constructor guarantees one of the two
        observed = ~np.isnan(dense)
        pointers = np.zeros(self.shape[0] + 1, np.int64)
        np.cumsum(observed.sum(axis=1), out=pointers[1:])
        indices = np.nonzero(observed)[1].astype(_index_dtype(self.shape[1]), copy=False)
        return Compressed(_frozen(pointers), _frozen(indices), _frozen(dense[observed]))

    @cached_property
    def by_column(self) -> Compressed:
        """The observed entries compressed by column, rows increasing within each."""
        return transposed(self.by_row, self.shape[1])

    @cached_property
    def dense(self) -> Floats:
        """The matrix as a dense array with NaN in the holes, shape (n, d); read-only."""
        if self._stored_dense is not None:
            return self._stored_dense
        out = np.full(self.shape, np.nan, dtype=self.by_row.values.dtype)
        out[self.entry_rows, self.by_row.indices] = self.by_row.values
        return _frozen(out)

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

    def row(self, u: int) -> tuple[NDArray[np.signedinteger[Any]], Floats]:
        """Observed columns of row u (by position) and the values there."""
        return _line(self.by_row, u)

    def column(self, i: int) -> tuple[NDArray[np.signedinteger[Any]], Floats]:
        """Rows that observe column i (by position) and their values."""
        return _line(self.by_column, i)

    def to_dense(self, missing: float = np.nan) -> Floats:
        """A fresh dense copy with ``missing`` in the holes."""
        out = self.dense.copy()
        if not np.isnan(missing):
            out[np.isnan(out)] = missing
        return out

    def to_sparse(self) -> sparse.csr_array:
        """A scipy.sparse CSR copy in which stored means observed."""
        from scipy import sparse

        view = self.by_row
        return sparse.csr_array(
            (view.values.copy(), view.indices.astype(np.int64), view.pointers.copy()),
            shape=self.shape,
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
        if self._stored_dense is not None:
            return np.count_nonzero(~np.isnan(self._stored_dense), axis=1).astype(np.int64)
        return np.diff(self.by_row.pointers)

    @cached_property
    def column_counts(self) -> NDArray[np.int64]:
        """Observed cells of each column, shape (d,)."""
        if self._stored_dense is not None:
            return np.count_nonzero(~np.isnan(self._stored_dense), axis=0).astype(np.int64)
        return np.bincount(self.by_row.indices, minlength=self.shape[1]).astype(np.int64)

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

    # ------------------------------------------------------------------ derived matrices

    def select_rows(self, rows: slice | ArrayLike) -> ObservedMatrix:
        """The matrix of the chosen rows: a slice, positions (repeats allowed) or a mask."""
        chosen = np.arange(self.shape[0])[rows if isinstance(rows, slice) else np.asarray(rows)]
        labels = None if self._row_labels is None else self._row_labels[chosen]
        weights = None if self.row_weights is None else self.row_weights[chosen]
        shape = (len(chosen), self.shape[1])
        if self._stored_dense is not None:
            return ObservedMatrix(
                shape,
                dense=self._stored_dense[chosen],
                row_labels=labels,
                column_labels=self._column_labels,
                row_weights=weights,
            )
        return ObservedMatrix(
            shape,
            by_row=_select_lines(self.by_row, chosen),
            row_labels=labels,
            column_labels=self._column_labels,
            row_weights=weights,
        )

    def select_columns(self, columns: slice | Sequence[int] | NDArray[Any]) -> ObservedMatrix:
        """The matrix of the chosen columns, in the order given."""
        return self.T.select_rows(columns).T._with(row_weights=self.row_weights)

    def __getitem__(self, key: Any) -> ObservedMatrix:
        """``obs[rows]`` or ``obs[rows, columns]`` by position, as an ObservedMatrix."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        out = self.select_rows([rows] if isinstance(rows, int | np.integer) else rows)
        if isinstance(columns, slice) and columns == slice(None):
            return out
        return out.select_columns([columns] if isinstance(columns, int | np.integer) else columns)

    @property
    def T(self) -> ObservedMatrix:
        """The transpose; row weights do not travel to the columns."""
        shape = (self.shape[1], self.shape[0])
        if self._stored_dense is not None:
            out = ObservedMatrix(
                shape,
                dense=np.ascontiguousarray(self._stored_dense.T),
                row_labels=self._column_labels,
                column_labels=self._row_labels,
            )
        else:
            out = ObservedMatrix(
                shape,
                by_row=self.by_column,
                row_labels=self._column_labels,
                column_labels=self._row_labels,
            )
        return out

    def with_values(self, values: ArrayLike) -> ObservedMatrix:
        """The same cells observed with other values, given in the order of ``entries()``."""
        new = np.asarray(values)
        if new.shape != self.by_row.values.shape:
            raise DataError(
                f"with_values needs one value per observed entry ({self.n_observed}); "
                f"got an array of shape {new.shape}."
            )
        view = self.by_row
        return self._with(by_row=Compressed(view.pointers, view.indices, as_floats(new)))

    def with_row_weights(self, weights: ArrayLike | None) -> ObservedMatrix:
        """The same matrix with other row weights."""
        return self._with(row_weights=weights)

    def with_labels(
        self, row_labels: ArrayLike | None = None, column_labels: ArrayLike | None = None
    ) -> ObservedMatrix:
        """The same matrix with other labels; None keeps the present ones."""
        return self._with(
            row_labels=self._row_labels if row_labels is None else row_labels,
            column_labels=self._column_labels if column_labels is None else column_labels,
        )

    def _with(self, **changes: Any) -> ObservedMatrix:
        parts: dict[str, Any] = {
            "row_labels": self._row_labels,
            "column_labels": self._column_labels,
            "row_weights": self.row_weights,
        }
        if "by_row" not in changes:
            if self._stored_dense is not None:
                parts["dense"] = self._stored_dense
            else:
                parts["by_row"] = self.by_row
        out = ObservedMatrix(self.shape, **(parts | changes))
        if "by_row" not in changes:  # the entries are the same: so are views already derived
            for view in ("by_row", "by_column", "row_counts", "column_counts"):
                if view in self.__dict__:
                    out.__dict__[view] = self.__dict__[view]
        return out

    def __repr__(self) -> str:
        n, d = self.shape
        return f"ObservedMatrix({n} × {d}, {self.n_observed} observed, {self.density:.2%})"


# ---------------------------------------------------------------------- plain functions


def transposed(view: Compressed, n_lines: int) -> Compressed:
    """The same entries compressed along the other axis, which has ``n_lines`` lines."""
    from mixmend.kernels.compress import transpose_compressed

    n_here = len(view.pointers) - 1
    dtype = _index_dtype(n_here)
    parts = transpose_compressed(
        view.pointers, view.indices, view.values, n_lines, np.empty(0, dtype)
    )
    return Compressed(*(_frozen(part) for part in parts))


def as_floats(values: NDArray[Any]) -> Floats:
    """float32 stays, everything else becomes float64; a copy only where needed."""
    return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)


def _index_dtype(n_lines: int) -> type[np.signedinteger[Any]]:
    return np.int32 if n_lines <= np.iinfo(np.int32).max else np.int64


def _frozen(array: Any) -> Any:
    """A read-only view: the matrix cannot change, the caller's own array still can be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def _line(view: Compressed, j: int) -> tuple[NDArray[np.signedinteger[Any]], Floats]:
    position = range(len(view.pointers) - 1)[j]  # negative positions and IndexError as usual
    span = slice(int(view.pointers[position]), int(view.pointers[position + 1]))
    return view.indices[span], view.values[span]


def _select_lines(view: Compressed, chosen: NDArray[np.int64]) -> Compressed:
    counts = view.pointers[chosen + 1] - view.pointers[chosen]
    pointers = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(counts, out=pointers[1:])
    take = np.repeat(view.pointers[chosen] - pointers[:-1], counts) + np.arange(pointers[-1])
    return Compressed(pointers, view.indices[take], view.values[take])


def _checked_labels(labels: ArrayLike | None, count: int, axis: str) -> Labels | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.shape != (count,):
        raise DataError(
            f"{axis}_labels must hold one label per {axis} ({count}); got shape {array.shape}."
        )
    return _frozen(array)


def _checked_weights(weights: ArrayLike | None, count: int) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (count,):
        raise DataError(
            f"row weights must hold one number per row ({count}); got shape {array.shape}."
        )
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        where = int(np.flatnonzero(~(np.isfinite(array) & (array >= 0)))[0])
        raise DataError(
            f"row weights must be finite and not negative; row {where} has {array[where]}."
        )
    return _frozen(array)
