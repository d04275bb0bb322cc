"""How well held-out entries are put in order, and for whom predictions are good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError, MixmendError
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class Ranking(NamedTuple):
    """Measures of order, each a mean over rows.

    Attributes
    ----------
    ndcg : float
        Normalised discounted cumulative gain of the first k: 1 where they are in the best
        order. NaN where no row has something to order.
    recall : float
        Share of a row's relevant entries that are among its first k. NaN where no row has
        a relevant entry.
    n_rows, n_rows_with_relevant : int
        Rows that the two are means over.
    """

    ndcg: float
    recall: float
    n_rows: int
    n_rows_with_relevant: int


def ranking(
    rows: ArrayLike,
    truth: ArrayLike,
    estimate: ArrayLike,
    k: int = 10,
    threshold: float | None = None,
) -> Ranking:
    """Order each row's held-out entries by what was predicted, and see what stands first.

    Only entries that were held out are ordered: nothing is assumed of cells that nobody
    rated. Entries of equal predictions share their places' discounts.

    Parameters
    ----------
    rows : array-like of int, shape (m,)
        Row of each entry.
    truth, estimate : array-like, shape (m,)
        Held-out values and predictions. The gain of an entry is its value less the least of
        all values.
    k : int, default 10
        How many places count.
    threshold : float, optional
        Entries of at least this value are relevant; by default, those above the mean of all.

    Returns
    -------
    Ranking
        Rows with a single entry have nothing to order and are left out.

    References
    ----------
    Järvelin & Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques;
    McSherry & Najork (2008), Computing information retrieval performance measures
    efficiently in the presence of tied scores.

    Examples
    --------
    >>> ranking([0, 0, 0, 1, 1], [5, 1, 3, 4, 2], [4.5, 2, 3, 1, 2], k=1)
    Ranking(ndcg=0.6666666666666666, recall=0.5, n_rows=2, n_rows_with_relevant=2)
    """
    who = np.asarray(rows)
    value, guess = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    if not (who.shape == value.shape == guess.shape) or who.ndim != 1:
        raise DataError(
            "rows, truth and estimate must be of one length; got shapes "
            f"{who.shape}, {value.shape} and {guess.shape}."
        )
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise MixmendError(f"k must be a whole number of at least 1; got {k!r}.")
    if len(value) == 0:
        raise DataError("there are no values to compare; hold out at least one entry.")
    relevant = value > value.mean() if threshold is None else value >= threshold
    gains = value - value.min()
    order = np.argsort(who, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(who[order]) != 0])
    found, best, shares = [], [], []
    for line in np.split(order, starts[1:]):
        if len(line) < 2:
            continue
        weights, places = _discounts(guess[line], k)
        found.append(float(gains[line] @ weights))
        best.append(float(gains[line] @ _discounts(gains[line], k)[0]))
        if relevant[line].any():
            shares.append(float(places[relevant[line]].mean()))
    ratios = [1.0 if top == 0 else own / top for own, top in zip(found, best, strict=True)]
    return Ranking(
        float(np.mean(ratios)) if ratios else float("nan"),
        float(np.mean(shares)) if shares else float("nan"),
        len(ratios),
        len(shares),
    )


def _discounts(scores: Array, k: int) -> tuple[Array, Array]:
    """What the place of each entry counts, and how probably it is one of the first k.

    Entries of equal score share what their places would count.
    """
    order = np.argsort(-scores, kind="stable")
    place = np.arange(len(scores))
    counts = np.where(place < k, 1.0 / np.log2(place + 2.0), 0.0)
    first = (place < k).astype(np.float64)
    ties = np.cumsum(np.r_[0, np.diff(scores[order]) != 0])
    sizes = np.bincount(ties)
    out, chance = np.empty(len(scores)), np.empty(len(scores))
    out[order] = (np.bincount(ties, counts) / sizes)[ties]
    chance[order] = (np.bincount(ties, first) / sizes)[ties]
    return out, chance


class CountGroup(NamedTuple):
    """Held-out entries whose rows (or columns) had a like number of training entries.

    Attributes
    ----------
    least, most : int or None
        Training entries; None: no upper end.
    n : int
        Held-out entries.
    rmse, mae : float
        Errors; NaN where n is 0.
    """

    least: int
    most: int | None
    n: int
    rmse: float
    mae: float


def errors_by_count(
    train: ObservedMatrix,
    test: ObservedMatrix,
    estimate: ArrayLike,
    axis: str = "row",
    edges: Sequence[int] = (0, 1, 5, 20, 100),
) -> list[CountGroup]:
    """Errors by how much was known of an entry's row or column: the cold start, in numbers.

    Parameters
    ----------
    train, test : ObservedMatrix
        Of the same shape.
    estimate : array-like, shape (m,)
        Predictions of the test entries, in the order of ``test.entries()``.
    axis : {"row", "column"}, default "row"
        Whose training entries are counted.
    edges : sequence of int
        Increasing; each group goes from an edge up to the next less one.

    Returns
    -------
    list of CountGroup

    Examples
    --------
    >>> import mixmend as mm
    >>> train = mm.ObservedMatrix.from_triplets([0, 0, 1], [0, 1, 0], [1, 2, 3], (3, 2))
    >>> test = mm.ObservedMatrix.from_triplets([1, 2], [1, 0], [4, 5], (3, 2))
    >>> [(g.least, g.n, g.rmse) for g in errors_by_count(train, test, [4.0, 3.0], edges=(0, 1))]
    [(0, 1, 2.0), (1, 1, 0.0)]
    """
    if axis not in ("row", "column"):
        raise MixmendError(f"axis must be 'row' or 'column'; got {axis!r}.")
    if train.shape != test.shape:
        raise DataError(
            f"train and test must have the same shape; got {train.shape} and {test.shape}."
        )
    if list(edges) != sorted(set(edges)) or not edges:
        raise MixmendError(f"edges must be increasing numbers; got {list(edges)}.")
    rows, columns, values = test.entries()
    guess = np.asarray(estimate, np.float64)
    if guess.shape != values.shape:
        raise DataError(
            f"estimate must hold one value per test entry ({len(values)}); got {guess.shape}."
        )
    counts = train.row_counts[rows] if axis == "row" else train.column_counts[columns]
    groups = []
    for position, least in enumerate(edges):
        end = edges[position + 1] if position + 1 < len(edges) else None
        mine = counts >= least
        if end is not None:
            mine &= counts < end
        error = (values - guess)[mine]
        n = len(error)
        groups.append(
            CountGroup(
                least,
                None if end is None else end - 1,
                n,
                float(np.sqrt(np.mean(error**2))) if n else float("nan"),
                float(np.mean(np.abs(error))) if n else float("nan"),
            )
        )
    return groups
