"""Recommendation: the columns with the best scores that a row has not observed yet."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import MixmendError
from mixmend.observed.matrix import ObservedMatrix

_LOOK = 4
"""Multiply-adds that looking at a score takes as long as."""


class TopN(NamedTuple):
    """The best columns of each row, best first.

    Attributes
    ----------
    columns : ndarray of int64, shape (m, n)
        Column positions; -1 where a row has fewer than n candidates.
    scores : ndarray of float32 or float64, shape (m, n)
        Their scores; NaN where the column is -1.
    """

    columns: NDArray[np.int64]
    scores: NDArray[np.floating[Any]]


def top_n(scores: ArrayLike, n: int, exclude: ObservedMatrix | ArrayLike | None = None) -> TopN:
    """Pick each row's n best columns among those not excluded.

    Parameters
    ----------
    scores : array-like of float, shape (m, d)
        The score of every column for a chunk of rows; higher is better. NaN is never
        picked. Not copied if it is a float32 or float64 array.
    n : int
        How many columns to pick, at least 1.
    exclude : ObservedMatrix or boolean array, shape (m, d), optional
        Cells not to pick: those observed in the matrix, or True in the array. None
        leaves nothing out.

    Returns
    -------
    TopN
        ``columns`` and ``scores``, each (m, n). Of equal scores the column further left
        comes first. Rows with fewer than n candidates end in column -1, score NaN.

    Raises
    ------
    MixmendError
        If n is not a positive whole number or the shapes do not fit.

    Examples
    --------
    >>> scores = [[3.0, 5.0, 4.0, 5.0]]
    >>> top_n(scores, 2, exclude=[[False, True, False, False]])
    TopN(columns=array([[3, 2]]), scores=array([[5., 4.]]))
    """
    from mixmend.kernels.threads import threads_for
    from mixmend.kernels.topn import best_columns

    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise MixmendError(f"the number of columns to pick must be a whole number >= 1; got {n!r}.")
    table = np.asarray(scores)
    if table.dtype not in (np.float32, np.float64):
        table = table.astype(np.float64)
    if table.ndim != 2:
        raise MixmendError(f"scores must have two axes, (rows, columns); got shape {table.shape}.")
    pointers, indices = _excluded(exclude, (table.shape[0], table.shape[1]))
    columns = np.full((len(table), int(n)), -1, np.int64)
    values = np.full((len(table), int(n)), np.nan, table.dtype)
    with threads_for(_LOOK * table.size):
        best_columns(table, pointers, indices, columns, values)
    return TopN(columns, values)


def _excluded(
    exclude: ObservedMatrix | ArrayLike | None, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.signedinteger[Any]]]:
    if exclude is None:
        return _read_only(np.zeros(shape[0] + 1, np.int64)), _read_only(np.empty(0, np.int32))
    given = exclude if isinstance(exclude, ObservedMatrix) else np.asarray(exclude)
    if given.shape != shape:
        raise MixmendError(
            f"exclude must have the shape of the scores, {shape}; got {given.shape}."
        )
    if isinstance(given, ObservedMatrix):
        return given.by_row.pointers, given.by_row.indices
    if given.dtype != np.bool_:
        raise MixmendError(
            f"exclude must be an ObservedMatrix or an array of True and False; "
            f"got an array of {given.dtype}."
        )
    pointers = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.count_nonzero(given, axis=1), out=pointers[1:])
    return _read_only(pointers), _read_only(np.nonzero(given)[1].astype(np.int32))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """As the views of an `ObservedMatrix` are: one type of array compiles one kernel."""
    array.flags.writeable = False
    return array
