"""Patches with holes: the component that their known pixels prefer, and what it says of all.

A patch whose pixels o are known, up to noise of variances R, is told apart by the density of
these pixels alone; the component preferred has the least

    cost_k + log det(C_oo + R) + (y_o - mu_o)' (C_oo + R)^-1 (y_o - mu_o),

summed pixel by pixel as a Cholesky factor is found, for 8 components side by side in vector
lanes, since the same pixels are known to all. A pixel's variance given the known ones before
it is at least that given all others, plus its noise. With this bound for the pixels to come,
components are given up as soon as none of the 8 can win: the search is exact. The surest
pixels come first, as they tell components apart; to the first ones of equal noise, which are
in the patch's order, the tighter bound given all pixels before applies.

The estimate under the winner changes mean and variances of all pixels by one known pixel
after the other, as a Kalman filter does.

Bands of rows are worked on side by side; each adds into sums of its own, because patches of
neighbouring bands overlap.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.simd import fma, load, minus, mul, scale, store

TILE = 64
"""Patches that a group of components is tried on in turn, while its table is in the cache."""

GROUP = 8
"""Components side by side."""

LEAST_VARIANCE = 1e-9
"""Below this a pixel counts as known, and weighs no more."""

_CHECKED = 4
"""A group is given up, if it can be, after every so many pixels."""

_FOLDED = 16
"""So many variances are multiplied before a logarithm is taken."""


class Tables(NamedTuple):
    """Components as the kernel reads them; d pixels, G groups of 8.

    Attributes
    ----------
    means, covariances : ndarray, shape (K, d) and (K, d, d)
    members, lane_of : ndarray of int64, shape (8 G,) and (K,)
        Which component each lane holds, -1 for none; the lane of each component.
    lane_means, lane_covariances : ndarray, shape (8 G d,) and (8 G d d,)
        The same in groups, lanes last, flat.
    costs : ndarray, shape (8 G,)
        What the distance is added to, infinite where there is no component.
    least, ordered : ndarray, shape (8 G d,)
        Variances of a pixel given all others, and given all before it.
    """

    means: Any
    covariances: Any
    members: Any
    lane_of: Any
    lane_means: Any
    lane_covariances: Any
    costs: Any
    least: Any
    ordered: Any


class Sight(NamedTuple):
    """What is known: ``values`` and ``variances`` of the noise, infinite where nothing is.

    Both (height, width). Patches lie at ``rows`` × ``columns``; ``size`` is their side.
    """

    values: Any
    variances: Any
    rows: Any
    columns: Any
    size: int


class _Work(NamedTuple):
    """One thread's arrays."""

    factor: Any  # (4 d (d + 1),) unit lower triangle, lanes last
    line: Any  # (8 d,) minus the line of L D that is being found
    inverses: Any  # (8 d,) 1 / pivots
    solved: Any  # (8 d,)
    lanes: Any  # (32,): distances, products, pivots, gaps, least variances
    columns: Any  # (d, d) of the winner's covariance given the pixels before
    pivots: Any  # (d,)
    mean: Any  # (d,)
    variance: Any  # (d,)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _work_for(d: int) -> Any:
    lines = GROUP * d
    return _Work(
        np.empty(GROUP * (d * (d + 1) // 2)),
        np.empty(lines),
        np.empty(lines),
        np.empty(lines),
        np.empty(4 * GROUP),
        np.empty((d, d)),
        np.empty(d),
        np.empty(d),
        np.empty(d),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _known(sight: Any, place: Any, pixels: Any, values: Any, noise: Any) -> int:
    """A patch's known pixels, the surest first, their values and noise; returns their count."""
    size, m = sight.size, 0
    for pixel in range(size * size):
        i, j = place[0] + pixel // size, place[1] + pixel % size
        variance = sight.variances[i, j]
        if variance < np.inf:
            at = m
            while at > 0 and noise[at - 1] > variance:
                pixels[at], noise[at] = pixels[at - 1], noise[at - 1]
                at -= 1
            pixels[at], noise[at] = pixel, variance
            m += 1
    for t in range(m):
        values[t] = sight.values[place[0] + pixels[t] // size, place[1] + pixels[t] % size]
    return m


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _condition(tables: Any, k: int, known: Any, m: int, work: Any) -> float:
    """Mean and variances of all pixels under component k; returns the distance."""
    pixels, values, noise = known
    columns, pivots, mean, variance = work.columns, work.pivots, work.mean, work.variance
    d = len(mean)
    for j in range(d):
        mean[j] = tables.means[k, j]
        variance[j] = tables.covariances[k, j, j]
    distance = 0.0
    for i in range(m):
        pixel = pixels[i]
        for j in range(uint64(d)):
            columns[i, j] = tables.covariances[k, pixel, j]
        for t in range(i):
            factor = columns[t, pixel] / pivots[t]
            for j in range(uint64(d)):
                columns[i, j] -= factor * columns[t, j]
        pivots[i] = columns[i, pixel] + noise[i]
        gap = values[i] - mean[pixel]
        gain, shrinking = gap / pivots[i], 1.0 / pivots[i]
        for j in range(uint64(d)):
            mean[j] += gain * columns[i, j]
            variance[j] -= shrinking * columns[i, j] * columns[i, j]
        distance += gap * gain + math.log(pivots[i])
    return distance


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fold(lanes: Any) -> float:
    """Logarithms of the products to the distances; returns the least of these."""
    least = np.inf
    for k in range(GROUP):
        lanes[k] += math.log(lanes[GROUP + k])
        lanes[GROUP + k] = 1.0
        least = min(least, lanes[k])
    return least


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _surest(noise: Any, m: int) -> Any:
    """How many of m pixels, the surest first, are as sure as the first."""
    count: Any = np.int64(0)
    while count < m and noise[count] == noise[0]:
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _group_distances(
    tables: Any, group: int, known: Any, counts: Any, best: float, work: Any, token: Any
) -> bool:
    """Costs plus distances of a group into the first lanes; False where it was given up.

    ``counts`` are how many pixels are known, and how many of them `_surest`: what precedes
    those among all pixels precedes them in the patch, too.
    """
    (pixels, values, noise), (m, n_ordered) = known, counts
    factor, line, inverses, solved, lanes = work[:5]
    d = tables.means.shape[1]
    first = group * GROUP
    means, covariances = tables.lane_means, tables.lane_covariances
    for k in range(GROUP):
        lanes[k] = tables.costs[first + k]
        lanes[GROUP + k] = 1.0
    for i in range(m):
        least = tables.ordered if i < n_ordered else tables.least
        at = first * d + GROUP * pixels[i]
        for k in range(GROUP):
            lanes[GROUP + k] *= least[at + k] + noise[i]
        if i % _FOLDED == _FOLDED - 1:
            _fold(lanes)
    if not _fold(lanes) < best:
        return False
    for i in range(m):
        own = uint64((i * (i + 1) // 2) * GROUP)
        table = uint64((first * d + GROUP * pixels[i]) * d)
        for j in range(0, i, 2):  # two columns at once share what they load
            low, high = uint64(j * (j + 1) // 2 * GROUP), uint64((j + 1) * (j + 2) // 2 * GROUP)
            both = j + 1 < i
            high = high if both else low
            even = load(covariances, table + uint64(GROUP * pixels[j]), token)
            odd = load(covariances, table + uint64(GROUP * pixels[j + both]), token)
            for t in range(uint64(j)):
                at = t * uint64(GROUP)
                step = load(line, at, token)
                even = fma(step, load(factor, low + at, token), even)
                odd = fma(step, load(factor, high + at, token), odd)
            at = uint64(j * GROUP)
            store(line, at, scale(-1.0, even))
            store(factor, own + at, mul(even, load(inverses, at, token)))
            if both:
                odd = fma(load(line, at, token), load(factor, high + at, token), odd)
                at += uint64(GROUP)
                store(line, at, scale(-1.0, odd))
                store(factor, own + at, mul(odd, load(inverses, at, token)))
        here = uint64(GROUP * pixels[i])
        pivot = load(covariances, table + here, token)
        gap = minus(values[i], load(means, uint64(first * d) + here, token))
        for t in range(uint64(i)):
            at = t * uint64(GROUP)
            pivot = fma(load(line, at, token), load(factor, own + at, token), pivot)
            gap = fma(load(line, at, token), load(solved, at, token), gap)
        store(lanes, uint64(2 * GROUP), pivot)
        store(lanes, uint64(3 * GROUP), gap)
        least = tables.ordered if i < n_ordered else tables.least
        for k in range(GROUP):
            p, g = lanes[2 * GROUP + k] + noise[i], lanes[3 * GROUP + k]
            inverses[i * GROUP + k] = 1.0 / p
            solved[i * GROUP + k] = g / p
            lanes[k] += g * g / p
            lanes[GROUP + k] *= p / (least[first * d + GROUP * pixels[i] + k] + noise[i])
        if (i % _CHECKED == _CHECKED - 1 or i == m - 1) and not _fold(lanes) < best:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(tables: Any, tile: Any, found: Any, work: Any, token: Any) -> None:
    """Winners of a tile's patches, from the components in ``found[0]`` (-1: none) on.

    The groups are gone through outside, so that each table is read from the cache.
    """
    pixels, values, noise, counts = tile
    winner, best = found
    surest = np.empty_like(counts)
    for n in range(len(counts)):
        best[n] = np.inf
        surest[n] = _surest(noise[n], counts[n])
        if winner[n] >= 0 and counts[n] > 0:
            known = pixels[n], values[n], noise[n]
            distance = _condition(tables, winner[n], known, counts[n], work)
            best[n] = tables.costs[tables.lane_of[winner[n]]] + distance
    for group in range(len(tables.members) // GROUP):
        for n in range(len(counts)):
            if counts[n] == 0:
                continue
            known, both = (pixels[n], values[n], noise[n]), (counts[n], surest[n])
            if _group_distances(tables, group, known, both, best[n], work, token):
                for k in range(GROUP):
                    if work.lanes[k] < best[n]:
                        best[n] = work.lanes[k]
                        winner[n] = tables.members[group * GROUP + k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(sums: Any, row: int, column: int, size: int, mean: Any, variance: Any) -> None:
    """Add a patch's estimates, weighted by the reciprocals of the roots of their deviations."""
    for i in range(size):
        for j in range(size):
            spread = max(variance[i * size + j], LEAST_VARIANCE)
            weight = 1.0 / math.sqrt(math.sqrt(spread))
            sums[0, row + i, column + j] += weight * mean[i * size + j]
            sums[1, row + i, column + j] += weight * spread
            sums[2, row + i, column + j] += weight


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def estimate_holed_patches(
    sight: Any, tables: Any, winners: Any, wanted: Any, band: int, sums: Any, token: Any
) -> None:
    """Estimates of all wanted patches of which something is known, per band of the grid's rows.

    ``winners`` (rows, columns) holds guesses, -1 for none, and afterwards the most likely
    components; ``wanted`` says which patches count. ``sums`` (bands, 3, height, width) are
    those of weighted means, of weighted variances and of weights; each band begins at its
    first row.
    """
    n_rows, n_columns = winners.shape
    d = sight.size * sight.size
    for b in prange(sums.shape[0]):
        work = _work_for(d)
        pixels = np.empty((TILE, d), np.int64)
        values, noise = np.empty((TILE, d)), np.empty((TILE, d))
        counts = np.empty(TILE, np.int64)
        winner, best = np.empty(TILE, np.int32), np.empty(TILE)
        top = sight.rows[b * band]
        for a in range(b * band, min(n_rows, (b + 1) * band)):
            row = sight.rows[a]
            for first in range(0, n_columns, TILE):
                counts[:] = 0
                winner[:] = -1
                for n in range(min(TILE, n_columns - first)):
                    column = first + n
                    if wanted[a, column]:
                        place = row, sight.columns[column]
                        counts[n] = _known(sight, place, pixels[n], values[n], noise[n])
                    winner[n] = winners[a, column]
                    if winner[n] < 0 and a > b * band:
                        winner[n] = winners[a - 1, column]
                _search(tables, (pixels, values, noise, counts), (winner, best), work, token)
                for n in range(min(TILE, n_columns - first)):
                    if counts[n] > 0:
                        winners[a, first + n] = winner[n]
                        known = pixels[n], values[n], noise[n]
                        _condition(tables, winner[n], known, counts[n], work)
                        column = sight.columns[first + n]
                        _add(sums[b], row - top, column, sight.size, work.mean, work.variance)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _second_moment(sight: Any, tables: Any, k: int, places: Any, second: Any) -> None:
    """The same of one component; a function, as Numba mistakes its loops for parallel ones."""
    d = len(second)
    work = _work_for(d)
    pixels, values, noise = np.empty(d, np.int64), np.empty(d), np.empty(d)
    gaps = work.mean
    for n in range(len(places)):
        m = _known(sight, (places[n, 0], places[n, 1]), pixels, values, noise)
        _condition(tables, k, (pixels, values, noise), m, work)
        for i in range(d):
            gaps[i] -= tables.means[k, i]
        for i in range(d):
            for j in range(uint64(i + 1)):
                second[i, j] += gaps[i] * gaps[j] + tables.covariances[k, i, j]
        for t in range(m):
            for i in range(d):
                factor = work.columns[t, i] / work.pivots[t]
                for j in range(uint64(i + 1)):
                    second[i, j] -= factor * work.columns[t, j]


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def second_moments(sight: Any, tables: Any, starts: Any, places: Any, second: Any) -> None:
    """Expected products of deviations from the components' means, summed over patches.

    Patches ``starts[k]`` … of ``places`` (n, 2), their corners, belong to component k. The
    lower triangles of ``second`` (K, d, d), zeros before, are filled.
    """
    for k in prange(len(second)):
        _second_moment(sight, tables, k, places[starts[k] : starts[k + 1]], second[k])
