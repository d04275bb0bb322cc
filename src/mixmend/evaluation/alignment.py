"""Two files, one set of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import plain
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
        If a label occurs twice in a matrix.

    Notes
    -----
    A file whose identifiers are all integers has integers as labels, one with a single
    ``x17`` among them has text. Where both kinds meet, all become text, so that 42 and
    "42" are the same.

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
    if len({_kind(part) for part in labels if len(part)}) > 1:
        labels = [np.array([str(plain(label)) for label in part], dtype=str) for part in labels]
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
    kind = labels.dtype.kind
    if kind == "O":
        return "text" if all(isinstance(label, str) for label in labels) else "objects"
    return {"U": "text", "S": "text", "i": "integers", "u": "integers"}.get(kind, str(labels.dtype))
