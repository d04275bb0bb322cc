"""Ratings made up by a known mixture, as large and as unevenly spread as real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import MixmendError
from mixmend.observed.compressed import Compressed, pointers_from
from mixmend.observed.holdout import RandomState, as_generator
from mixmend.observed.matrix import ObservedMatrix

STARS = (1.0, 2.0, 3.0, 4.0, 5.0)

# As in MovieLens 100K and 1M: films seen more often are liked better, and people who rate
# more are harder to please (correlations of log count with mean rating).
_POPULAR_IS_LIKED = 0.4
_ACTIVE_IS_SEVERE = -0.15
# Popularity by rank r in (0, 1] is r^-s exp(-k r): fitted to the counts of MovieLens 1M
# (s = 0.21, k = 4.1) it is within 0.006 nats of them, a pure power law far off.
_RANK_POWER, _RANK_DECAY = 0.25, 4.2

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RatingsTruth:
    """What the ratings were made from.

    The value of cell (u, i), before it was moved to the nearest level, is normal with
    mean ``mean + row_effects[u] + column_effects[i] + component_means[components[u], i]``
    and standard deviation ``noise``.

    Attributes
    ----------
    components : ndarray of int64, shape (n,)
        The component of each row.
    weights : ndarray, shape (K,)
        Probability of each component.
    component_means : ndarray, shape (K, d)
        Deviation of each component's mean in each column.
    row_effects, column_effects : ndarray, shape (n,) and (d,)
        Offsets of rows and columns.
    popularity : ndarray, shape (d,)
        Relative probability of each column to be observed, summing to one.
    mean, noise : float
        Overall mean, standard deviation of a single rating.
    levels : ndarray or None
        The values that a rating can take, increasing; None for any.
    """

    components: NDArray[np.int64]
    weights: Array
    component_means: Array
    row_effects: Array
    column_effects: Array
    popularity: Array
    mean: float
    noise: float
    levels: Array | None

    def latent_means(self, rows: slice | ArrayLike = slice(None)) -> Array:
        """Return the means before rounding of the chosen rows, shape (m, d).

        Ask for a chunk of rows at a time where n × d numbers are too many.
        """
        at = rows if isinstance(rows, slice) else np.asarray(rows)
        table = self.mean + self.column_effects + self.component_means
        return np.asarray(table[self.components[at]] + self.row_effects[at, None])

    def expected(self, rows: slice | ArrayLike = slice(None)) -> Array:
        """Return the expected ratings, rounding to levels included, shape (m, d).

        No prediction from other entries can have a smaller mean squared error.
        """
        from scipy.special import ndtr

        means = self.latent_means(rows)
        if self.levels is None:
            return means
        out = np.full(means.shape, self.levels[0])
        for lower, upper in zip(self.levels[:-1], self.levels[1:], strict=True):
            above = means - 0.5 * (lower + upper)
            share = ndtr(above / self.noise) if self.noise > 0 else (above > 0)
            out += (upper - lower) * share
        return out


@overload
def make_ratings(
    n_rows: int,
    n_columns: int,
    n_ratings: int | None = ...,
    *,
    density: float | None = ...,
    n_components: int = ...,
    noise: float = ...,
    row_effect: float = ...,
    column_effect: float = ...,
    component_effect: float = ...,
    mean: float = ...,
    levels: Sequence[float] | None = ...,
    popularity: str | float = ...,
    activity: float = ...,
    random_state: RandomState = ...,
    return_truth: Literal[False] = ...,
) -> ObservedMatrix: ...


@overload
def make_ratings(
    n_rows: int,
    n_columns: int,
    n_ratings: int | None = ...,
    *,
    density: float | None = ...,
    n_components: int = ...,
    noise: float = ...,
    row_effect: float = ...,
    column_effect: float = ...,
    component_effect: float = ...,
    mean: float = ...,
    levels: Sequence[float] | None = ...,
    popularity: str | float = ...,
    activity: float = ...,
    random_state: RandomState = ...,
    return_truth: Literal[True],
) -> tuple[ObservedMatrix, RatingsTruth]: ...


def make_ratings(
    n_rows: int,
    n_columns: int,
    n_ratings: int | None = None,
    *,
    density: float | None = None,
    n_components: int = 4,
    noise: float = 0.85,
    row_effect: float = 0.45,
    column_effect: float = 0.5,
    component_effect: float = 0.35,
    mean: float = 3.6,
    levels: Sequence[float] | None = STARS,
    popularity: str | float = "movielens",
    activity: float = 1.0,
    random_state: RandomState = 0,
    return_truth: bool = False,
) -> ObservedMatrix | tuple[ObservedMatrix, RatingsTruth]:
    """Make ratings of films by people, with long tails and a truth that is known.

    Rows belong to components of a mixture whose means differ in every column; rows and
    columns have offsets; which columns a row observes depends on their popularity and on
    nothing else that is hidden (ratings are missing at random). The defaults give a
    histogram like MovieLens's. Up to 100 million ratings are made in place, at 8 bytes
    each.

    Parameters
    ----------
    n_rows, n_columns : int
        People and films.
    n_ratings : int, optional
        How many cells are observed, exactly.
    density : float, optional
        Their share instead; 0.05 if neither is given.
    n_components : int, default 4
        K, kinds of people; their shares are drawn.
    noise, row_effect, column_effect, component_effect : float
        Standard deviations: of a rating around its mean, of row and column offsets, and
        of the components' deviations.
    mean : float, default 3.6
        Expected value of an observed rating before it is moved to a level.
    levels : sequence of float or None, default (1, 2, 3, 4, 5)
        The ratings that can be given; None leaves real numbers.
    popularity : {"movielens", "zipf", "uniform"} or float
        How often columns are observed: as in MovieLens; in proportion to 1 / rank; all
        alike; or ``rank ** -popularity``. Ranks are scattered over the columns.
    activity : float, default 1.0
        Standard deviation of the logarithm of the number of ratings in a row.
    random_state : int, Generator, RandomState or None, default 0
        The same number gives the same matrix to the bit, with any number of threads.
    return_truth : bool, default False
        Whether to return what the ratings were made from, too.

    Returns
    -------
    ObservedMatrix
        float32 values; no cell twice; columns in order within each row.
    RatingsTruth
        Only if ``return_truth``.

    Raises
    ------
    MixmendError
        If an option is out of its range.

    Examples
    --------
    >>> X = make_ratings(1000, 200, 20_000)
    >>> X
    ObservedMatrix(1000 × 200, 20000 observed, 10.00%)
    >>> X, truth = make_ratings(1000, 200, 20_000, return_truth=True)
    >>> truth.expected(slice(0, 10)).shape
    (10, 200)
    """
    total = _number_of_ratings(n_rows, n_columns, n_ratings, density)
    _check_options(n_components, noise, row_effect, column_effect, component_effect, activity)
    rng = as_generator(random_state)
    shares = popularity_shares(n_columns, popularity)[rng.permutation(n_columns)]
    wishes = np.exp(activity * rng.standard_normal(n_rows))
    counts = allotted(wishes, total, n_columns)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    # less the popular columns' usual excess, so that the ratings' mean is the one asked for
    columns = column_effect * _correlated(rng, np.log(shares), _POPULAR_IS_LIKED)
    rows = row_effect * _correlated(rng, np.log(wishes), _ACTIVE_IS_SEVERE)
    deviations = component_effect * rng.standard_normal((n_components, n_columns))
    truth = RatingsTruth(
        components=rng.choice(n_components, n_rows, p=weights).astype(np.int64),
        weights=weights,
        component_means=deviations - (weights @ deviations @ shares),
        row_effects=rows - (rows @ counts) / max(counts.sum(), 1),
        column_effects=columns - columns @ shares,
        popularity=shares,
        mean=float(mean),
        noise=float(noise),
        levels=_checked_levels(levels),
    )
    observed = draw_ratings(truth, counts, rng)
    return (observed, truth) if return_truth else observed


def draw_ratings(
    truth: RatingsTruth, counts: NDArray[np.int64], rng: np.random.Generator
) -> ObservedMatrix:
    """Draw ``counts[u]`` distinct cells of each row u, and their ratings, from a truth."""
    from mixmend.kernels.synthetic import draw_columns, draw_values

    n, d = len(truth.row_effects), len(truth.column_effects)
    seeds = rng.integers(0, 2**63, 2)
    pointers = pointers_from(counts)
    indices = np.empty(pointers[-1], np.int32)
    draw_columns(pointers, truth.popularity, *_alias_table(truth.popularity), seeds[0], indices)
    values = np.empty(pointers[-1], np.float32)
    draw_values(
        pointers,
        indices,
        truth.mean + truth.row_effects,
        truth.components,
        truth.column_effects + truth.component_means,
        truth.noise,
        np.empty(0) if truth.levels is None else truth.levels,
        seeds[1],
        values,
    )
    return ObservedMatrix((n, d), by_row=Compressed(pointers, indices, values))


def _number_of_ratings(n: int, d: int, n_ratings: int | None, density: float | None) -> int:
    for name, count in (("n_rows", n), ("n_columns", d)):
        if count < 1:
            raise MixmendError(f"{name} must be at least 1; got {count}.")
    if n_ratings is not None and density is not None:
        raise MixmendError("give n_ratings or density, not both.")
    if n_ratings is not None:
        if not 0 <= n_ratings <= n * d:
            raise MixmendError(
                f"n_ratings must lie between 0 and the number of cells, {n * d}; got {n_ratings}."
            )
        return int(n_ratings)
    share = 0.05 if density is None else density
    if not 0 <= share <= 1:
        raise MixmendError(f"density must lie between 0 and 1; got {share}.")
    return round(share * n * d)


def _check_options(
    n_components: int, noise: float, row: float, column: float, component: float, activity: float
) -> None:
    if n_components < 1:
        raise MixmendError(f"n_components must be at least 1; got {n_components}.")
    for name, value in (
        ("noise", noise),
        ("row_effect", row),
        ("column_effect", column),
        ("component_effect", component),
        ("activity", activity),
    ):
        if not 0 <= value < np.inf:
            raise MixmendError(f"{name} must be finite and not negative; got {value}.")
    if activity > 10:
        raise MixmendError(f"activity must be at most 10 (a spread of e^10); got {activity}.")


def _checked_levels(levels: Sequence[float] | None) -> Array | None:
    if levels is None:
        return None
    array = np.asarray(levels, np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.all(np.diff(array) > 0):
        raise MixmendError(f"levels must be one or more increasing numbers; got {levels!r}.")
    return array


def popularity_shares(d: int, kind: str | float) -> Array:
    """Compute how d columns, the most popular first, share the ratings; see `make_ratings`."""
    rank = np.arange(1, d + 1)
    if kind == "movielens":
        relative = (rank - 0.5) / d
        shares = relative**-_RANK_POWER * np.exp(-_RANK_DECAY * relative)
    else:
        exponent = {"zipf": 1.0, "uniform": 0.0}.get(kind) if isinstance(kind, str) else kind
        if exponent is None or not 0 <= exponent < np.inf:
            raise MixmendError(
                f"popularity must be 'movielens', 'zipf', 'uniform' or an exponent >= 0; "
                f"got {kind!r}."
            )
        shares = np.asarray(rank ** -float(exponent), np.float64)
    return np.asarray(shares / shares.sum())


def _correlated(rng: np.random.Generator, known: Array, correlation: float) -> Array:
    """Draw standard normal numbers correlated with ``known``."""
    fresh = rng.standard_normal(len(known))
    spread = known.std()
    if spread == 0:
        return fresh
    score = (known - known.mean()) / spread
    return np.asarray(correlation * score + np.sqrt(1 - correlation**2) * fresh)


def allotted(wishes: Array, total: int, most: int) -> NDArray[np.int64]:
    """Share out ``total`` in whole numbers, in proportion to wishes, none above ``most``.

    Nobody goes without as long as there is one for each.
    """
    least = 1 if total >= len(wishes) else 0
    low, high = 0.0, most / wishes.min()
    for _ in range(200):  # the factor at which the bounded shares add up
        middle = 0.5 * (low + high)
        if np.clip(middle * wishes, least, most).sum() < total:
            low = middle
        else:
            high = middle
    shares = np.clip(high * wishes, least, most)
    counts: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    rest = total - int(counts.sum())
    order = np.argsort(counts - shares, kind="stable")  # largest remainders first
    while rest > 0:
        room = order[counts[order] < most][:rest]
        counts[room] += 1
        rest -= len(room)
    return counts


def _alias_table(shares: Array) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Walker's alias table in Vose's form, thresholds as 32-bit fractions."""
    d = len(shares)
    scaled = shares * d / shares.sum()
    thresholds = np.full(d, 2**32, np.uint64)
    aliases = np.arange(d, dtype=np.int32)
    small = [i for i in range(d) if scaled[i] < 1]
    large = [i for i in range(d) if scaled[i] >= 1]
    while small and large:
        poor, rich = small.pop(), large[-1]
        thresholds[poor] = int(scaled[poor] * 2**32)
        aliases[poor] = rich
        scaled[rich] -= 1 - scaled[poor]
        if scaled[rich] < 1:
            small.append(large.pop())
    return thresholds, aliases
