"""What of the data can be drawn: columns chosen, holes found, too many points thinned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.matrix import ObservedMatrix
from mixmend.plots.numbers import grouped

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """The rows of a matrix as points of one or two chosen columns.

    Attributes
    ----------
    values : ndarray, shape (m, 1) or (m, 2)
        Coordinates of the rows that are drawn, NaN where missing.
    post : ndarray, shape (m, K)
        Their responsibilities.
    columns : tuple of int
        The columns chosen, by position.
    names : tuple of str
        What the axes are called.
    short_names : tuple of str
        The same without their places in the matrix.
    notes : list of str
        What was left out, in words.
    n_columns : int
        How many columns the matrix has.
    """

    values: Array
    post: Array
    columns: tuple[int, ...]
    names: tuple[str, ...]
    short_names: tuple[str, ...]
    notes: list[str]
    n_columns: int


def as_dense(X: Any) -> tuple[Array, Sequence[Any] | None]:
    """Return the matrix with NaN in the holes, and the columns' labels where it has any."""
    if isinstance(X, ObservedMatrix):
        labels = X.column_labels.tolist() if X.has_column_labels else None
        return np.asarray(X.dense, dtype=np.float64), labels
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.float64), np.nan)
    labels = list(X.columns) if hasattr(X, "columns") and hasattr(X, "to_numpy") else None
    try:
        dense = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            "X must hold numbers, with NaN where a value is missing; it could not be read as "
            f"such ({error})."
        ) from None
    if dense.ndim == 1:
        dense = dense[:, None]
    if dense.ndim != 2 or dense.shape[1] == 0:
        raise DataError(f"X must be a matrix of shape (n, d) with d ≥ 1; got shape {dense.shape}.")
    if np.isinf(dense).any():
        row, column = np.argwhere(np.isinf(dense))[0]
        raise DataError(f"X must be finite or NaN; row {row}, column {column} is infinite.")
    return dense, labels


def choose_points(
    X: Any,
    post: Any,
    K: int,
    columns: Sequence[int] | None,
    labels: Sequence[str] | None,
    max_points: int,
) -> Points:
    """Choose what is drawn and put into words what is not.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,), or ObservedMatrix
    post : array-like, shape (n, K), or None
        Responsibilities; None draws every point as belonging to nobody.
    K : int
    columns : sequence of one or two int, or None
        The columns to draw; the first two (or the only one) by default.
    labels : sequence of str, length d, or None
        Names of the columns.
    max_points : int
        More rows than this are thinned to so many, evenly.

    Returns
    -------
    Points
    """
    dense, own_labels = as_dense(X)
    n, d = dense.shape
    chosen = _checked_columns(columns, d)
    names, short_names = _names(chosen, d, labels if labels is not None else own_labels)
    shares = _checked_post(post, n, K)
    notes = []
    if n > max_points:
        rows = np.random.default_rng(0).permutation(n)[:max_points]
        rows.sort()
        dense, shares = dense[rows], shares[rows]
        notes.append(f"{grouped(max_points)} of {grouped(n)} rows drawn, chosen at random")
    values = dense[:, chosen]
    nowhere = np.isnan(values).all(axis=1)
    if nowhere.any():
        what = "without a value" if len(chosen) == 1 else "with neither value observed"
        rows_word = "row" if nowhere.sum() == 1 else "rows"
        notes.append(f"{grouped(int(nowhere.sum()))} {rows_word} {what}: not drawn")
    return Points(values[~nowhere], shares[~nowhere], tuple(chosen), names, short_names, notes, d)


def _checked_columns(columns: Sequence[int] | None, d: int) -> list[int]:
    if columns is None:
        return list(range(min(d, 2)))
    chosen = [int(column) for column in columns]
    if len(chosen) not in (1, 2) or len(set(chosen)) != len(chosen):
        raise DataError(f"columns must name one or two different columns; got {list(columns)}.")
    for column in chosen:
        if not 0 <= column < d:
            raise DataError(f"X has columns 0 to {d - 1}; columns asks for {column}.")
    return chosen


def _names(
    chosen: list[int], d: int, labels: Sequence[Any] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if labels is not None and len(labels) != d:
        raise DataError(f"labels must hold one name per column of X ({d}); got {len(labels)}.")
    short = tuple(f"column {c}" if labels is None else str(labels[c]) for c in chosen)
    if d == len(chosen):
        return short, short
    if labels is None:
        return tuple(f"{name} of {d}" for name in short), short
    return tuple(
        f"{name} (column {c} of {d})" for name, c in zip(short, chosen, strict=True)
    ), short


def _checked_post(post: Any, n: int, K: int) -> Array:
    if post is None:
        return np.ones((n, 1))
    shares = np.asarray(post, dtype=np.float64)
    if shares.shape != (n, K):
        raise DataError(
            f"post must have one row per row of X and one column per component, shape ({n}, {K}); "
            f"got {shares.shape}."
        )
    bad = ~(np.isfinite(shares).all(axis=1) & (shares >= -1e-9).all(axis=1))
    bad |= np.abs(shares.sum(axis=1) - 1) > 1e-6
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            "rows of post must be responsibilities: not negative, with sum 1; row "
            f"{row} is {np.array2string(shares[row], precision=4, threshold=6)}."
        )
    return np.clip(shares, 0.0, None)
