"""K-means on weighted colours: starts from variance cuts and k-means++, fast exact rounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.kernels import colours as kernels
from mixmend.kernels.threads import threads_for

Array = NDArray[np.float64]

_MOST_TASKS = 32
_POINTS_PER_TASK = 512
_STRIDE = 1.8
"""How far centres go towards their points' means, which are at 1; the distortion falls below 2."""
_MOST_BINS = 1 << 18
_LOOKED_AT = 16
"""Centres that a point is compared with in a usual round, roughly; it only sets threads."""


class Points(NamedTuple):
    """Weighted points: ``values`` (n, 4), unused coordinates 0, and ``weights`` (n,)."""

    values: Array
    weights: Array


class Round(NamedTuple):
    """Points given to their nearest centres.

    ``labels`` (n,), squared distances ``smallest`` (n,), ``bounds`` (n,) below the distances to
    all other centres, the weight of each centre's points ``sizes`` (K,), and ``following``
    (K, 4), their means: the centre itself where it has none.
    """

    labels: NDArray[np.int64]
    smallest: Array
    bounds: Array
    sizes: Array
    following: Array


def neighbours_of(centres: Array, earlier: kernels.Neighbours | None = None) -> kernels.Neighbours:
    """Centres by distance to each centre; an ``earlier`` order of like ones makes it quick."""
    n = len(centres)
    if earlier is None:
        gaps = ((centres[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
        order = gaps.argsort(axis=1, kind="stable")
    else:
        order = earlier.order
    gaps = np.empty((n, n))
    with threads_for(n * n * kernels.WIDTH):
        kernels.sort_neighbours(centres, order, gaps)
    return kernels.Neighbours(order, gaps)


def assign(
    points: Points,
    centres: Array,
    neighbours: kernels.Neighbours,
    guesses: NDArray[np.int64] | None = None,
    earlier: tuple[Round, float] | None = None,
) -> Round:
    """Give each point to its nearest centre, the first of equals.

    Good guesses make it quick, and so does the round before (``earlier``), if the centres
    have not moved by more than the distance that goes with it. Its arrays are used again.
    """
    n = len(points.values)
    if earlier is None:
        labels = np.zeros(n, np.int64) if guesses is None else guesses.copy()
        rows, drift = kernels.Rows(*points, labels, np.empty(n), np.zeros(n)), 0.0
    else:
        found, drift = earlier
        rows = kernels.Rows(*points, found.labels, found.smallest, found.bounds)
    sums = np.zeros((min(_MOST_TASKS, -(-n // _POINTS_PER_TASK)), len(centres), kernels.WIDTH + 1))
    with threads_for(n * kernels.WIDTH * min(len(centres), _LOOKED_AT)):
        kernels.assign(rows, centres, neighbours, drift, sums)
    total = sums.sum(axis=0)
    sizes = total[:, -1:]
    moves = np.divide(total[:, :-1], sizes, out=np.zeros_like(centres), where=sizes > 0)
    return Round(rows.labels, rows.smallest, rows.bounds, sizes[:, 0], centres + moves)


def lloyd(
    points: Points,
    centres: Array,
    *,
    tol: float,
    max_iter: int,
    guesses: NDArray[np.int64] | None = None,
) -> tuple[Array, NDArray[np.int64], float]:
    """Lloyd's algorithm with long strides; a centre without points goes to the worst served.

    With the points' labels as they are, the distortion is quadratic in the centres and least at
    the means: going on beyond these by less than once the way lowers it all the same, and the
    labels settle in about half the rounds.

    Parameters
    ----------
    points : Points
    centres : ndarray, shape (K, 4)
        To begin with.
    tol : float
        Stop when a round lowers the distortion by at most this share of it.
    max_iter : int
        Most rounds.
    guesses : ndarray of int, shape (n,), optional
        Centres near the points.

    Returns
    -------
    centres : ndarray, shape (K, 4)
    labels : ndarray of int, shape (n,)
        Nearest centre of each point.
    distortion : float
        Weighted sum of squared distances to these centres.
    """
    neighbours, before, earlier = None, np.inf, None
    for turn in range(max_iter + 1):
        neighbours = neighbours_of(centres, neighbours)
        found = assign(points, centres, neighbours, guesses, earlier)
        distortion = float(points.weights @ found.smallest)
        moved = refilled(points, found)
        if turn == max_iter or (moved is None and before - distortion <= tol * distortion):
            break
        before = distortion
        following = centres + _STRIDE * (found.following - centres) if moved is None else moved
        drift = float(np.sqrt(((following - centres) ** 2).sum(axis=1).max()))
        centres, earlier = following, (found, drift)
    return centres, found.labels, distortion


def refilled(points: Points, found: Round) -> Array | None:
    """The next centres, those without points moved to where they help; None if all have some."""
    empty = np.flatnonzero(found.sizes == 0)
    if len(empty) == 0:
        return None
    costs = points.weights * found.smallest
    centres = found.following.copy()
    worst = np.argsort(-costs, kind="stable")[: len(empty)]
    worst = worst[costs[worst] > 0]
    if len(worst) == 0:
        return None
    centres[empty[: len(worst)]] = points.values[worst]
    return centres


def variance_cuts(points: Points, n_clusters: int) -> Array:
    """Centres by cutting, again and again, the group with the largest sum of squares in two.

    The cut is across the group's principal axis, where the two sides' sums of squares along
    it are least (after Wu 1992, "Color quantization by dynamic programming and principal
    analysis"). Needs at least ``n_clusters`` distinct points.
    """
    groups = [np.arange(len(points.values))]
    statistics = [_spread(points, groups[0])]
    while len(groups) < n_clusters:
        widest = int(np.argmax([spread for spread, _, _ in statistics]))
        rows, (_, mean, axis) = groups[widest], statistics[widest]
        along = (points.values[rows] - mean) @ axis
        order = along.argsort(kind="stable")
        along, weights = along[order], points.weights[rows[order]]
        mass, moment = weights.cumsum()[:-1], (weights * along).cumsum()[:-1]
        rest, gain = weights.sum() - mass, (weights @ along) - moment
        between = moment**2 / mass + gain**2 / rest
        between[along[1:] == along[:-1]] = -np.inf  # equals stay together
        cut = int(between.argmax()) + 1
        groups[widest], right = rows[order[:cut]], rows[order[cut:]]
        statistics[widest] = _spread(points, groups[widest])
        groups.append(right)
        statistics.append(_spread(points, right))
    return np.array([mean for _, mean, _ in statistics])


def _spread(points: Points, rows: NDArray[np.int64]) -> tuple[float, Array, Array]:
    """Sum of squares of a group of points around its mean, the mean, and the principal axis."""
    values, weights = points.values[rows], points.weights[rows]
    mean = weights @ values / weights.sum()
    if len(rows) == 1:
        return -1.0, values[0], np.zeros(kernels.WIDTH)
    gaps = values - mean
    scatter = (gaps * weights[:, None]).T @ gaps
    _, axes = np.linalg.eigh(scatter)
    return float(np.trace(scatter)), mean, axes[:, -1]


def spread_seeds(points: Points, n_clusters: int, rng: np.random.Generator) -> Array:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): the best of a few points at each draw."""
    draws = rng.random((n_clusters, 2 + int(np.log(n_clusters))))
    picked, nearest = np.empty(n_clusters, np.int64), np.empty(len(points.values))
    kernels.spread_seeds(*points, draws, picked, nearest)
    return points.values[picked]


def merged(points: Points, keys: NDArray[Any]) -> tuple[Points, NDArray[np.int64]]:
    """Points of equal key put together in their mean; also each point's new position."""
    if int(keys.max()) < _MOST_BINS:  # counting is quicker than sorting
        is_there = np.zeros(_MOST_BINS, bool)
        is_there[keys] = True
        place = (is_there.cumsum() - 1)[keys]
    else:
        _, place = np.unique(keys, return_inverse=True)
    weights = np.bincount(place, points.weights).astype(np.float64)
    sums = [np.bincount(place, points.weights * column) for column in points.values.T]
    return Points(np.stack(sums, axis=1) / weights[:, None], weights), place
