"""Hide observed cells on purpose: completely at random, by what is seen, by what is not.

Each function hides an exact share of the cells that a table does have, so that what a
model puts there can be compared with what was there. The three mechanisms are Rubin's
(1976, Inference and missing data, Biometrika 63); the logistic forms follow Muzellec et
al. (2020, Missing data imputation using optimal transport, ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import drawing
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import RandomState, as_generator
from mixmend.observed.labels import positions
from mixmend.observed.matrix import ObservedMatrix

Array: TypeAlias = NDArray[np.float64]


class Masked(NamedTuple):
    """A table of which some cells were hidden.

    Attributes
    ----------
    values : ndarray of float64, shape (n, d)
        A copy of the table, NaN where a cell was missing before or is hidden now.
    mask : ndarray of bool, shape (n, d)
        True where a cell was observed and is hidden now.
    """

    values: Array
    mask: NDArray[np.bool_]


def mask_mcar(
    X: Any, rate: float, *, allow_empty: bool = False, random_state: RandomState = 0
) -> Masked:
    """Hide cells completely at random (MCAR): nothing in the table has a say.

    Parameters
    ----------
    X : array, data frame or ObservedMatrix, shape (n, d)
        The table; it may have holes already.
    rate : float
        Share of the observed cells to hide, between 0 and 1. Exactly
        ``round(rate * observed)`` are.
    allow_empty : bool, default False
        Whether rows and columns may lose their last cell. If not, a cell is given back to
        each that did and another is hidden in its place, so the share stays exact.
    random_state : int, Generator, RandomState or None, default 0
        The same number hides the same cells.

    Returns
    -------
    Masked
        ``values`` and ``mask``.

    Raises
    ------
    DataError
        If nothing is observed where cells are to be hidden, or so much is to be hidden
        that rows or columns had to stay empty.
    MixmendError
        If ``rate`` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> values, mask = mask_mcar(np.arange(12.0).reshape(4, 3), 0.25)
    >>> int(mask.sum()), bool(np.isnan(values[mask]).all())
    (3, True)
    """
    table = _table(X, rate)
    chance = np.where(np.isnan(table), 0.0, rate)
    losing = np.arange(table.shape[1])
    return _hidden(table, chance, losing, allow_empty, as_generator(random_state))


def mask_mar(
    X: Any,
    rate: float,
    *,
    drivers: ArrayLike | None = None,
    columns: ArrayLike | None = None,
    mechanism: str = "logistic",
    weights: ArrayLike | None = None,
    strength: float = 2.0,
    allow_empty: bool = False,
    random_state: RandomState = 0,
) -> Masked:
    """Hide cells at random given what stays observed (MAR).

    Some columns, the drivers, lose nothing. A weighted sum of a row's drivers decides how
    likely the row's other cells are to be hidden; their own values have no say beyond
    that.

    Parameters
    ----------
    X, allow_empty, random_state
        As for `mask_mcar`. A driver that is missing in a row counts as average there.
    rate : float
        Share of the observed cells of ``columns`` to hide; the same in each column up to
        chance, and exact over all of them.
    drivers : array-like of int or label, optional
        The columns that decide, by position or label (integers are labels where the table
        has integer labels); by default a third of all columns, those with the fewest
        holes, drawn among equals.
    columns : array-like of int or label, optional
        The columns that lose cells; by default all but the drivers.
    mechanism : {"logistic", "threshold"}, default "logistic"
        "logistic": ``P(hidden) = 1 / (1 + exp(-(a_j + strength * s_j)))`` with the score
        s_j, a weighted sum of the standardised drivers, itself of variance 1, and a_j set
        so that the expected share is ``rate``. "threshold": the rows whose s_j is
        highest lose the cell (nothing of them is left to compare with: harder), and no
        others, except in place of a line's last cell.
    weights : array-like, broadcast to shape (drivers, columns), optional
        What each driver weighs for each column; by default standard normal draws.
    strength : float, default 2.0
        For "logistic": log-odds per standard deviation of the score; 0 is MCAR.

    Returns
    -------
    Masked

    Raises
    ------
    DataError
        For columns that do not exist, that are drivers too, for weights that do not fit,
        and as `mask_mcar`.
    MixmendError
        For options out of range.

    Examples
    --------
    The second column is hidden wherever the first is high:

    >>> import numpy as np
    >>> X = np.array([[0.1, 5.0], [0.9, 6.0], [0.3, 7.0], [0.7, 8.0]])
    >>> mask_mar(X, 0.5, drivers=[0], weights=1.0, mechanism="threshold").values
    array([[0.1, 5. ],
           [0.9, nan],
           [0.3, 7. ],
           [0.7, nan]])
    """
    _demand_choice(mechanism, ("logistic", "threshold"))
    table = _table(X, rate)
    rng = as_generator(random_state)
    labels = _labels(X)
    deciding, losing = _divided(table, labels, drivers, columns, rng)
    chance = _driven(table, rate, deciding, losing, mechanism, weights, strength, rng)
    return _hidden(table, chance, losing, allow_empty, rng)


def mask_mnar(
    X: Any,
    rate: float,
    *,
    columns: ArrayLike | None = None,
    mechanism: str = "self",
    strength: float = 2.0,
    allow_empty: bool = False,
    random_state: RandomState = 0,
) -> Masked:
    """Hide cells depending on what is hidden (MNAR): no model can make good for it unaided.

    Parameters
    ----------
    X, allow_empty, random_state
        As for `mask_mcar`.
    rate : float
        Share of the observed cells of ``columns`` to hide; the same in each column up to
        chance, and exact over all of them.
    columns : array-like of int or label, optional
        The columns that lose cells; by default all.
    mechanism : {"self", "logistic"}, default "self"
        "self": the log-odds of being hidden rise by ``strength`` for each standard
        deviation of the value itself (high incomes are not told). "logistic": a random
        third of the columns drives the others as in `mask_mar`, but then loses as many of
        its own cells, completely at random: what decided is often not to be seen.
    strength : float, default 2.0
        Log-odds per standard deviation; negative hides low values.

    Returns
    -------
    Masked

    Raises
    ------
    DataError, MixmendError
        As `mask_mar`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> values, mask = mask_mnar(X, 0.3)
    >>> float(mask.mean()), bool(np.nanmean(values) < -0.2)
    (0.3, True)
    """
    _demand_choice(mechanism, ("self", "logistic"))
    table = _table(X, rate)
    rng = as_generator(random_state)
    losing = _found(columns, table.shape[1], _labels(X), "columns")
    losing = np.arange(table.shape[1]) if losing is None else losing
    _demand_strength(strength)
    chance = np.zeros(table.shape)
    if mechanism == "self":
        scores = strength * _standardised(table[:, losing])
        chance[:, losing] = _columns_chance(scores, ~np.isnan(table[:, losing]), rate)
    else:
        part = table[:, losing]
        deciding, rest = _divided(part, None, None, None, rng)
        moved = _driven(part, rate, deciding, rest, "logistic", None, strength, rng)
        moved[:, deciding] = np.where(np.isnan(part[:, deciding]), 0.0, rate)
        chance[:, losing] = moved
    return _hidden(table, chance, losing, allow_empty, rng)


MASKS: Mapping[str, Callable[..., Masked]] = MappingProxyType(
    {
        "mcar": mask_mcar,
        "mar": mask_mar,
        "mar-threshold": partial(mask_mar, mechanism="threshold"),
        "mnar": mask_mnar,
        "mnar-logistic": partial(mask_mnar, mechanism="logistic"),
    }
)
"""The mechanisms by name, each called as ``mask(X, rate, random_state=seed)``."""


def _table(X: Any, rate: float) -> Array:
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0 < rate < 1:
        raise MixmendError(f"rate must lie between 0 and 1; got {rate!r}.")
    obs = as_observed(X)
    if obs.n_observed == 0:
        raise DataError(
            f"nothing is observed in the {obs.shape[0]} × {obs.shape[1]} table, "
            "so nothing can be hidden."
        )
    return np.array(obs.dense, np.float64)


def _labels(X: Any) -> NDArray[Any] | None:
    obs = X if isinstance(X, ObservedMatrix) else as_observed(X, copy=False)
    return obs.column_labels if obs.has_column_labels else None


def _found(
    wanted: ArrayLike | None, d: int, labels: NDArray[Any] | None, name: str
) -> NDArray[np.int64] | None:
    """Positions of columns given by position or, where the table has labels, by label."""
    if wanted is None:
        return None
    given = np.atleast_1d(np.asarray(wanted)).ravel()
    if given.size == 0:
        raise DataError(f"{name} names no column; give at least one, or leave it out.")
    if given.dtype.kind in "iu" and (labels is None or labels.dtype.kind not in "iu"):
        outside = (given < 0) | (given >= d)
        if outside.any():
            raise DataError(
                f"{name} names column {given[outside][0]}, but the table has {d} columns, "
                f"0 to {d - 1}."
            )
        found = given.astype(np.int64)
    elif labels is None:
        raise DataError(
            f"{name} must be positions of columns, since the table has no labels; "
            f"got {given[0].item()!r}."
        )
    else:
        found = positions(labels, given, "column")
    return np.unique(found)


def _divided(
    table: Array,
    labels: NDArray[Any] | None,
    drivers: ArrayLike | None,
    columns: ArrayLike | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say which columns decide and which lose cells."""
    d = table.shape[1]
    deciding = _found(drivers, d, labels, "drivers")
    losing = _found(columns, d, labels, "columns")
    if deciding is None:
        free = np.setdiff1d(np.arange(d), [] if losing is None else losing)
        if d < 2 or len(free) == 0:
            raise DataError(
                "missingness that depends on other columns needs a column that stays observed; "
                f"the table has {d} and all of them are to lose cells."
            )
        holes = np.isnan(table[:, free]).sum(axis=0)
        order = np.lexsort((rng.random(len(free)), holes))
        deciding = np.sort(free[order[: min(len(free), max(1, d // 3))]])
    if losing is None:
        losing = np.setdiff1d(np.arange(d), deciding)
    both = np.intersect1d(deciding, losing)
    if len(both) or len(losing) == 0:
        raise DataError(
            f"column {both[0]} is both a driver, which stays observed, and to lose cells."
            if len(both)
            else "every column is a driver, so none is left to lose cells."
        )
    return deciding, losing


def _driven(
    table: Array,
    rate: float,
    deciding: NDArray[np.int64],
    losing: NDArray[np.int64],
    mechanism: str,
    weights: ArrayLike | None,
    strength: float,
    rng: np.random.Generator,
) -> Array:
    """Chance of each cell to be hidden, by a weighted sum of other columns; shape (n, d)."""
    _demand_strength(strength)
    shape = (len(deciding), len(losing))
    given = rng.normal(size=shape) if weights is None else np.asarray(weights, np.float64)
    try:
        loads = np.broadcast_to(given, shape)
    except ValueError:
        raise DataError(
            f"weights must fit {shape[0]} drivers × {shape[1]} columns; got shape {given.shape}."
        ) from None
    if not np.isfinite(loads).all():
        raise DataError("weights must be finite numbers.")
    # an unknown driver counts as average: otherwise its value, unseen, would decide
    known = np.nan_to_num(_standardised(table[:, deciding]))
    scores = _standardised(known @ loads)
    seen = ~np.isnan(table[:, losing])
    chance = np.zeros(table.shape)
    if mechanism == "threshold":
        chance[:, losing] = drawing.highest(scores, seen, rate, rng)
    else:
        chance[:, losing] = _columns_chance(strength * scores, seen, rate)
    return chance


def _columns_chance(scores: Array, seen: NDArray[np.bool_], rate: float) -> Array:
    """Logistic chances whose mean over the seen cells of each column is the rate."""
    chance = np.zeros(scores.shape)
    for j in range(scores.shape[1]):
        at = seen[:, j]
        if at.any():
            chance[at, j] = drawing.calibrated(scores[at, j], rate)
    return chance


def _standardised(columns: Array) -> Array:
    """Mean 0 and variance 1 over what is seen of each column; constant columns become 0."""
    seen = ~np.isnan(columns)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, columns, 0.0).sum(axis=0) / count
    centred = columns - mean
    spread = np.sqrt(np.where(seen, centred * centred, 0.0).sum(axis=0) / count)
    constant = spread <= 1e-12 * np.abs(mean)
    return np.asarray(np.where(constant, 0.0 * columns, centred / np.where(constant, 1, spread)))


def _hidden(
    table: Array,
    chance: Array,
    losing: NDArray[np.int64],
    allow_empty: bool,
    rng: np.random.Generator,
) -> Masked:
    seen = ~np.isnan(table)
    if not chance.any():
        raise DataError(
            f"nothing is observed in the {len(losing)} of {table.shape[1]} columns that are to "
            "lose cells; name others (columns=)."
        )
    mask = drawing.drawn(chance, rng)
    if not allow_empty:
        eligible = np.zeros(table.shape, bool)
        eligible[:, losing] = seen[:, losing]
        mask = drawing.without_empty_lines(mask, seen, eligible, chance, rng)
    values = table.copy()
    values[mask] = np.nan
    return Masked(values, mask)


def _demand_choice(mechanism: str, choices: tuple[str, ...]) -> None:
    if mechanism not in choices:
        names = " or ".join(f'"{choice}"' for choice in choices)
        raise MixmendError(f"mechanism must be {names}; got {mechanism!r}.")


def _demand_strength(strength: float) -> None:
    if not np.isfinite(strength):
        raise MixmendError(f"strength must be a finite number; got {strength!r}.")
