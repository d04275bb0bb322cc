"""How well held-out entries are put in order, and for whom predictions are good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError, MixmendError
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

RANKED = 10
"""Places of a list that count, unless said."""

COUNT_EDGES = (0, 1, 5, 20, 100)
"""Where groups of rows and columns by their number of training entries begin, unless said."""


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
    k: int = RANKED,
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
    relevant = (value > value.mean() if threshold is None else value >= threshold).astype(float)
    gains = value - value.min()
    line = np.unique(who, return_inverse=True)[1]
    weights, places = _discounts(line, guess, k)
    found = np.bincount(line, gains * weights)
    best = np.bincount(line, gains * _discounts(line, gains, k)[0])
    several = np.bincount(line) > 1
    wanted = np.bincount(line, relevant)
    ratios = np.divide(found, best, out=np.ones_like(found), where=best > 0)[several]
    shares = np.divide(np.bincount(line, relevant * places), np.maximum(wanted, 1.0))
    shares = shares[several & (wanted > 0)]
    return Ranking(
        float(ratios.mean()) if len(ratios) else float("nan"),
        float(shares.mean()) if len(shares) else float("nan"),
        len(ratios),
        len(shares),
    )


def _discounts(line: NDArray[np.intp], scores: Array, k: int) -> tuple[Array, Array]:
    """What the place of each entry in its line counts, and how probably it is one of the first k.

    Entries of a line that have the same score share what their places would count.
    """
    order = np.lexsort((-scores, line))
    sizes = np.bincount(line)
    place = np.arange(len(scores)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    counts = np.where(place < k, 1.0 / np.log2(place + 2.0), 0.0)
    first = (place < k).astype(np.float64)
    ties = np.cumsum((place == 0) | np.r_[True, np.diff(scores[order]) != 0]) - 1
    shared = np.bincount(ties)
    out, chance = np.empty(len(scores)), np.empty(len(scores))
    out[order] = (np.bincount(ties, counts) / shared)[ties]
    chance[order] = (np.bincount(ties, first) / shared)[ties]
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
    edges: Sequence[int] = COUNT_EDGES,
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


def pooled(folds: Sequence[Sequence[CountGroup]]) -> list[CountGroup]:
    """Errors over all the entries of several folds, group by group.

    Parameters
    ----------
    folds : sequence of sequences of CountGroup
        Of each fold, by the same edges.

    Examples
    --------
    >>> pooled([[CountGroup(0, None, 1, 2.0, 2.0)], [CountGroup(0, None, 3, 1.0, 1.0)]])
    [CountGroup(least=0, most=None, n=4, rmse=1.3228756555322954, mae=1.25)]
    """
    out = []
    for groups in zip(*folds, strict=True):
        filled = [group for group in groups if group.n]
        n = sum(group.n for group in filled)
        square = sum(group.n * group.rmse**2 for group in filled)
        distance = sum(group.n * group.mae for group in filled)
        rmse, mae = (np.sqrt(square / n), distance / n) if n else (np.nan, np.nan)
        out.append(CountGroup(groups[0].least, groups[0].most, n, float(rmse), float(mae)))
    return out
