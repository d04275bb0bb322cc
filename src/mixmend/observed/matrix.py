"""The observed matrix: what was seen of an n × d table, and nothing about what was not."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.compressed import (
    BLOCK_CELLS,
    Compressed,
    Floats,
    Labels,
    Positions,
    as_floats,
    chosen_lines,
    compress_dense,
    expand,
    frozen,
    line,
    row_blocks,
    sealed,
    select_lines,
    transposed,
)

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["Compressed", "Floats", "Labels", "ObservedMatrix", "as_floats", "transposed"]


class ObservedMatrix:
    """An immutable n × d matrix of which some cells were observed.

    Make one with `from_dense`, `from_sparse`, `from_triplets`, `from_frame` or
    `mixmend.read_ratings`; every estimator accepts it, and turns whatever else it is
    given into one.

    The matrix keeps what it was made from (a dense array with NaN for the holes, or the
    observed entries by row) and derives the other views when they are first asked for. It
    cannot be changed: its arrays are read-only, its attributes cannot be set, and the
    ``from_*`` constructors copy what they are given.

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
            return np.diff(self.by_row.pointers)
        counts = np.empty(self.shape[0], np.int64)
        for block in row_blocks(self.shape):
            counts[block] = np.count_nonzero(~np.isnan(self._stored_dense[block]), axis=1)
        return counts

    @cached_property
    def column_counts(self) -> NDArray[np.int64]:
        """Observed cells of each column, shape (d,)."""
        if "by_column" in self.__dict__:
            return np.diff(self.by_column.pointers)
        counts = np.zeros(self.shape[1], np.int64)
        if self._stored_dense is None:
            indices = self.by_row.indices
            for start in range(0, len(indices), BLOCK_CELLS):
                counts += np.bincount(indices[start : start + BLOCK_CELLS], minlength=len(counts))
        else:
            for block in row_blocks(self.shape):
                counts += np.count_nonzero(~np.isnan(self._stored_dense[block]), axis=0)
        return counts

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
        """Take the chosen rows: a slice, positions (repeats allowed) or a mask."""
        chosen = chosen_lines(rows, self.shape[0])
        labels = None if self._row_labels is None else self._row_labels[chosen]
        weights = None if self.row_weights is None else self.row_weights[chosen]
        entries: dict[str, Any]
        if self._stored_dense is not None:
            entries = {"dense": self._stored_dense[chosen]}
            n_chosen = len(entries["dense"])
        else:
            entries = {"by_row": select_lines(self.by_row, chosen)}
            n_chosen = len(entries["by_row"].pointers) - 1
        return ObservedMatrix(
            (n_chosen, self.shape[1]),
            row_labels=labels,
            column_labels=self._column_labels,
            row_weights=weights,
            **entries,
        )

    def select_columns(self, columns: slice | ArrayLike) -> ObservedMatrix:
        """Take the chosen columns, in the order given: a slice, positions or a mask."""
        if self._stored_dense is None:
            return self.T.select_rows(columns).T._with(row_weights=self.row_weights)
        chosen = chosen_lines(columns, self.shape[1])
        dense = np.ascontiguousarray(self._stored_dense[:, chosen])
        return ObservedMatrix(
            (self.shape[0], dense.shape[1]),
            dense=dense,
            row_labels=self._row_labels,
            column_labels=None if self._column_labels is None else self._column_labels[chosen],
            row_weights=self.row_weights,
        )

    def __getitem__(self, key: Any) -> ObservedMatrix:
        """``obs[rows]`` or ``obs[rows, columns]`` by position, as an ObservedMatrix."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        rows, columns = (_as_choice(part) for part in (rows, columns))
        out = self.select_rows(rows)
        every = isinstance(columns, slice) and columns == slice(None)
        return out if every else out.select_columns(columns)

    @property
    def T(self) -> ObservedMatrix:  # noqa: N802 (NumPy's name)
        """The transpose; row weights do not travel to the columns."""
        entries: dict[str, Any] = (
            {"by_row": self.by_column}
            if self._stored_dense is None
            else {"dense": np.ascontiguousarray(self._stored_dense.T)}
        )
        out = ObservedMatrix(
            (self.shape[1], self.shape[0]),
            row_labels=self._column_labels,
            column_labels=self._row_labels,
            **entries,
        )
        for mine, other in (("by_row", "by_column"), ("by_column", "by_row")):
            if mine in self.__dict__:  # what was derived once serves both
                out.__dict__[other] = self.__dict__[mine]
        return out

    def with_values(self, values: ArrayLike) -> ObservedMatrix:
        """Keep the cells and give them other values, given in the order of ``entries()``."""
        new = np.asarray(values)
        if new.shape != self.by_row.values.shape:
            raise DataError(
                f"with_values needs one value per observed entry ({self.n_observed}); "
                f"got an array of shape {new.shape}."
            )
        if new.dtype.kind not in "fiub" or not np.isfinite(new).all():
            raise DataError("with_values needs finite real numbers: every entry stays observed.")
        view = self.by_row
        floats = as_floats(new)
        owned = floats.copy() if np.may_share_memory(floats, new) else floats
        return self._with(by_row=Compressed(view.pointers, view.indices, owned))

    def with_row_weights(self, weights: ArrayLike | None) -> ObservedMatrix:
        """Return the same matrix with other row weights."""
        return self._with(row_weights=weights)

    def with_labels(
        self, row_labels: ArrayLike | None = None, column_labels: ArrayLike | None = None
    ) -> ObservedMatrix:
        """Return the same matrix with other labels; None keeps the present ones."""
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
        ObservedMatrix.__init__(self, **state)

    def __copy__(self) -> ObservedMatrix:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ObservedMatrix:
        return self

    def __repr__(self) -> str:
        n, d = self.shape
        return f"ObservedMatrix({n} × {d}, {self.n_observed} observed, {self.density:.2%})"


def _as_choice(key: Any) -> slice | ArrayLike:
    if key is Ellipsis:
        return slice(None)
    return [key] if isinstance(key, int | np.integer) else key


def _checked_labels(labels: ArrayLike | None, count: int, axis: str) -> Labels | None:
    if labels is None:
        return None
    array = np.array(labels)
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
