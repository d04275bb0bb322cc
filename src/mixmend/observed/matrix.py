"""The observed matrix: what was seen of an n × d table, and nothing about what was not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mixmend.errors import DataError
from mixmend.observed.compressed import (
    Compressed,
    Floats,
    Labels,
    as_floats,
    chosen_lines,
    keep_positions,
    select_lines,
    transposed,
)
from mixmend.observed.store import EntryStore

__all__ = ["Compressed", "Floats", "Labels", "ObservedMatrix", "as_floats", "transposed"]


class ObservedMatrix(EntryStore):
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
        chosen = chosen_lines(columns, self.shape[1])
        positions = np.arange(self.shape[1])[chosen]
        entries: dict[str, Any]
        if self._stored_dense is not None:
            entries = {"dense": np.ascontiguousarray(self._stored_dense[:, chosen])}
        elif np.all(positions[1:] > positions[:-1]):
            entries = {"by_row": keep_positions(self.by_row, positions, self.shape[1])}
        else:  # repeats or another order: line by line on the other axis, and back
            by_column = select_lines(self.by_column, positions)
            entries = {"by_row": transposed(by_column, self.shape[0])}
        return ObservedMatrix(
            (self.shape[0], len(positions)),
            row_labels=self._row_labels,
            column_labels=None if self._column_labels is None else self._column_labels[chosen],
            row_weights=self.row_weights,
            **entries,
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


def _as_choice(key: Any) -> slice | ArrayLike:
    if key is Ellipsis:
        return slice(None)
    return [int(key)] if isinstance(key, int | np.integer) else key
