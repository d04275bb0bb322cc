"""Rows and columns by name: looking labels up, and lining a new matrix up with a model's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.cells import plain
from mixmend.observed.compressed import Labels, label_array
from mixmend.observed.matrix import ObservedMatrix

_SHOWN = 5  # how many unknown labels an error names


def positions(labels: ArrayLike, wanted: ArrayLike, what: str = "row") -> NDArray[np.int64]:
    """Look labels up and return where they stand.

    A label is found as it is, or else by its text: ``"42"`` finds the integer 42 and the other
    way about, ``"2024-05-01"`` finds that date.

    Parameters
    ----------
    labels : array-like, shape (n,)
        The labels of a matrix or model; where one occurs twice it cannot be looked up.
    wanted : array-like, shape (m,), or a single label
        The labels to look up.
    what : {"row", "column"}, default "row"
        For messages.

    Returns
    -------
    ndarray of int64, shape (m,)

    Raises
    ------
    DataError
        If some are unknown (the first few are named, with their count) or ambiguous.

    Examples
    --------
    >>> positions([10, 42, 7], ["42", 7])
    array([1, 2])
    """
    found = look_up(labels, wanted, what)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        names = _as_list(wanted)
        raise DataError(_unknown(labels, [names[k] for k in unknown], what))
    return found


def align_columns(
    obs: ObservedMatrix, column_labels: ArrayLike | None, *, unknown: str = "error"
) -> ObservedMatrix:
    """Put the columns of a new matrix into the order of a model's columns.

    Parameters
    ----------
    obs : ObservedMatrix
        New rows, with columns in any order; those of the model that it lacks become columns in
        which nothing is observed. Without column labels it must have the model's columns as
        they stand.
    column_labels : array-like, shape (d,), or None
        Labels of the model's columns; None for a model without, to which any matrix fits as it is.
    unknown : {"error", "drop"}, default "error"
        What to do with columns that the model does not know.

    Returns
    -------
    ObservedMatrix, shape (n, d)
        ``obs`` itself where its columns are in order already.

    Raises
    ------
    DataError
        For unknown columns (unless dropped), for repeated labels, and for a matrix without labels
        whose number of columns is another.

    Examples
    --------
    >>> new = ObservedMatrix.from_dense([[1.0, 2.0]], column_labels=["c", "a"])
    >>> align_columns(new, ["a", "b", "c"]).dense
    array([[ 2., nan,  1.]])
    """
    if unknown not in ("error", "drop"):
        raise DataError(f"unknown must be 'error' or 'drop'; got {unknown!r}.")
    if column_labels is None:
        return obs
    model = label_array(column_labels)
    if not obs.has_column_labels:
        if obs.shape[1] != len(model):
            raise DataError(
                f"The matrix has {obs.shape[1]} columns without labels, the model {len(model)}. "
                "Label the columns (with_labels(column_labels=...)) so that they can be matched."
            )
        return obs
    mine = obs.column_labels
    places = look_up(model, mine, "column")
    strange = np.flatnonzero(places < 0)
    if len(strange) and unknown == "error":
        message = _unknown(model, [mine[k] for k in strange], "column")
        raise DataError(f"{message} Pass unknown='drop' to leave such columns out.")
    known = np.flatnonzero(places >= 0)
    targets = places[known]
    if len(np.unique(targets)) < len(targets):
        repeated = model[np.flatnonzero(np.bincount(targets) > 1)[0]]
        raise DataError(f"Column {plain(repeated)!r} occurs more than once in the new matrix.")
    if len(strange) == 0 and np.array_equal(targets, np.arange(len(model))):
        return obs
    return _scatter_columns(obs.select_columns(known), targets, model)


def _scatter_columns(
    obs: ObservedMatrix, targets: NDArray[np.int64], model: Labels
) -> ObservedMatrix:
    """Column j of ``obs`` becomes column ``targets[j]`` of a matrix with the model's columns."""
    from mixmend.observed.triplets import compress_triplets

    shape = (obs.shape[0], len(model))
    parts: dict[str, Any]
    if obs.is_stored_dense:
        dense = np.full(shape, np.nan, obs.dtype)
        dense[:, targets] = obs.dense
        parts = {"dense": dense}
    else:
        rows, columns, values = obs.entries()
        parts = {"by_row": compress_triplets(rows, targets[columns], values, shape)}
    return ObservedMatrix(
        shape,
        row_labels=obs.row_labels if obs.has_row_labels else None,
        column_labels=model,
        row_weights=obs.row_weights,
        **parts,
    )


def look_up(labels: ArrayLike, wanted: ArrayLike, what: str) -> NDArray[np.int64]:
    """Position of each wanted label, as `positions` finds it; -1 where unknown."""
    known = label_array(labels)
    exact = _table(list(known), what)
    names = _as_list(wanted)
    found = np.array([exact.get(name, -1) for name in names], np.int64)
    missed = np.flatnonzero(found < 0)
    if len(missed):
        by_text = _table([label_text(label) for label in known], what, ambiguous=True)
        for k in missed:
            text = label_text(names[k])
            at = by_text.get(text, -1)
            if at == -2:
                raise DataError(f"{what} label {text!r} fits more than one label: give its type.")
            found[k] = at
    return found


def _table(labels: list[Any], what: str, ambiguous: bool = False) -> dict[Any, int]:
    table: dict[Any, int] = {}
    for position, label in enumerate(labels):
        if label in table:
            if not ambiguous:
                raise DataError(
                    f"{what} label {plain(label)!r} occurs more than once: rows and columns can "
                    "only be looked up by labels that are distinct."
                )
            position = -2
        table[label] = position
    return table


def label_text(label: Any) -> str:
    """A label as text, by which labels of other types are found."""
    whole = isinstance(label, float) and label.is_integer()  # identifiers that met a NaN once
    return str(int(label)) if whole else str(label)


def _as_list(wanted: ArrayLike) -> list[Any]:
    if isinstance(wanted, str | bytes) or np.ndim(wanted) == 0:
        return [wanted]
    return list(wanted)  # type: ignore[arg-type]


def _unknown(labels: ArrayLike, unknown: list[Any], what: str) -> str:
    shown = ", ".join(repr(plain(label)) for label in unknown[:_SHOWN])
    more = ", …" if len(unknown) > _SHOWN else ""
    known = [plain(label) for label in label_array(labels)[:3]]
    examples = ", ".join(repr(label) for label in known)
    count = "1 unknown" if len(unknown) == 1 else f"{len(unknown)} unknown"
    return (
        f"{count} {what} label{'s' if len(unknown) > 1 else ''}: {shown}{more}. "
        f"Known are such as {examples}."
    )
