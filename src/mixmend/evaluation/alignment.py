"""Two files, one set of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.matrix import ObservedMatrix


def align_labels(*matrices: ObservedMatrix) -> tuple[ObservedMatrix, ...]:
    """Put matrices on common rows and columns: all labels that occur in any of them.

    For a training and a test file, each read by itself: the result are matrices of the
    same shape in which equal labels stand in equal places.

    Parameters
    ----------
    *matrices : ObservedMatrix
        One or more. Where rows or columns carry no labels, their positions count as such.

    Returns
    -------
    tuple of ObservedMatrix
        As many as were given. The rows and columns of the first come first and in their
        order, then those that only the second has, and so on. Row weights are kept; a
        row that is new to a weighted matrix has weight 1, and nothing observed.

    Raises
    ------
    DataError
        If a label occurs twice in a matrix, or labels are numbers in one matrix and text
        in another (``1`` and ``"1"``: nobody can say whether they are the same).

    Examples
    --------
    >>> train = ObservedMatrix.from_triplets(["ann", "bob"], ["Alien", "Brazil"], [5.0, 3.0])
    >>> test = ObservedMatrix.from_triplets(["bob", "eve"], ["Alien", "Alien"], [4.0, 2.0])
    >>> train, test = align_labels(train, test)
    >>> test.row_labels, test.column_labels
    (array(['ann', 'bob', 'eve'], ...), array(['Alien', 'Brazil'], ...))
    >>> test.dense
    array([[nan, nan],
           [ 4., nan],
           [ 2., nan]])
    """
    rows, row_places = _united([matrix.row_labels for matrix in matrices], "row")
    columns, column_places = _united([matrix.column_labels for matrix in matrices], "column")
    out = []
    for matrix, at_rows, at_columns in zip(matrices, row_places, column_places, strict=True):
        u, i, values = matrix.entries()
        weights = None
        if matrix.row_weights is not None:
            weights = np.ones(len(rows))
            weights[at_rows] = matrix.row_weights
        moved = ObservedMatrix.from_triplets(
            at_rows[u],
            at_columns[i],
            values,
            (len(rows), len(columns)),
            row_labels=rows if any(part.has_row_labels for part in matrices) else None,
            column_labels=columns if any(part.has_column_labels for part in matrices) else None,
            row_weights=weights,
        )
        out.append(moved)
    return tuple(out)


def _united(labels: list[NDArray[Any]], axis: str) -> tuple[NDArray[Any], list[NDArray[np.int64]]]:
    """All labels, each once, in order of first appearance; and where each list finds its own."""
    kinds = {_kind(part): part for part in labels if len(part)}
    if len(kinds) > 1:
        (one, first), (other, second), *_ = kinds.items()
        raise DataError(
            f"the {axis} labels are {one} in one matrix (such as {first.flat[0]!s}) and {other} in "
            f"another ({second.flat[0]!s}); give both the same type before aligning."
        )
    together = np.concatenate([part for part in labels if len(part)] or labels[:1])
    _, first_place, code = np.unique(together, return_index=True, return_inverse=True)
    order = np.argsort(first_place)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    places = np.split(position[code], np.cumsum([len(part) for part in labels])[:-1])
    for part, place in zip(labels, places, strict=True):
        if len(np.unique(place)) < len(place):
            again = np.flatnonzero(np.bincount(place, minlength=len(order)) > 1)[0]
            raise DataError(
                f"{axis} label {part[place == again][0]!s} occurs more than once in a matrix; "
                "labels must differ to be aligned."
            )
    return together[first_place[order]], places


def _kind(labels: NDArray[Any]) -> str:
    if labels.dtype.kind in "iufb":
        return "numbers"
    if labels.dtype.kind in "US":
        return "text"
    if labels.dtype.kind == "O":
        return "text" if isinstance(labels.flat[0], str) else type(labels.flat[0]).__name__
    return str(labels.dtype)
