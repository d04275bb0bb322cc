"""Rounds of Lloyd's algorithm over complete rows that look at a row only where they must.

A row keeps its centre as long as the centres' drift cannot have closed the gap between its
two nearest (Hamerly 2010, "Making k-means even faster"). The others are gathered into tiles
and scored against all centres as a matrix product, in the data's precision: the nearest has
the largest ``y b - |b|^2 / 2`` with y and b relative to a common point. Where rounding could
have swapped two scores the distances themselves decide, in double precision, and what
rounding can do is taken off a gap, so that the labels are those of plain distances.

What is summed over a cluster's rows is about a point of reference, in double precision, and
follows the rows that change clusters.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.scores import fetch, fold_scores, turn
from mixmend.kernels.simd import (
    LANES,
    accumulate,
    add,
    fma,
    load,
    load_wide,
    scale,
    store,
    sub,
    sum_lanes,
    zeros,
)

_COLUMN_LANES = LANES[8]


class Tables(NamedTuple):
    """Centres in the forms that the search reads; Kp is K padded to whole panels.

    ``centers`` (K, d) and ``drift`` (K,), see `search`. In the data's precision: ``centre``
    (d,), taken off the data, ``panels`` (Kp / m, d, m), the centers relative to it, m at a
    time, ``terms`` (Kp,), minus half their squares, minus infinity beyond K, and ``doubt``
    (4,). With L the squared length of a row and s its second score, ``doubt[0] L - doubt[1] s +
    doubt[2]`` is more than the difference that rounding can make between the best score and
    that of a center no farther away; ``doubt[3]`` is what gaps are multiplied with, just below 1.
    """

    centers: Any
    drift: Any
    centre: Any
    panels: Any
    terms: Any
    doubt: Any


class Rows(NamedTuple):
    """What is known of the rows, each (n,); ``weights`` may be empty.

    Changed in place: ``labels``, -1 before the first search, and ``until``, the drift of its
    centre up to which a row stays there for certain.
    """

    weights: Any
    labels: Any
    until: Any


class Sums(NamedTuple):
    """Sums over the rows of each cluster, per task, about ``references`` (K, d).

    ``moves`` (tasks, K, d): weight × (x - reference). ``totals`` (tasks, K, 4): weights, weight
    × squared distance to the reference, and both once more with what was taken away added as
    well, so that they bound the rounding.
    """

    references: Any
    moves: Any
    totals: Any


class _Tile(NamedTuple):
    """Flat buffers of one task for tiles of T rows, L of which are worked on side by side.

    ``values`` (T / L, d, L) and ``scores`` (T / L, Kp, L); the rest (T,).
    """

    rows: Any
    values: Any
    scores: Any
    lengths: Any
    leaders: Any
    gaps: Any
    floors: Any


# These are called for every row. They take flat arrays, as a view counts its references, and
# count in while loops, as an unsigned range divides: either costs more than the arithmetic.


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _distance(X: Any, row: Any, centers: Any, center: Any, d: Any) -> Any:
    """Squared distance of the d numbers from ``X[row]`` on to those from ``centers[center]`` on."""
    step = uint64(len(_COLUMN_LANES))
    whole = d - d % step
    sums = zeros(centers, _COLUMN_LANES)
    j = uint64(0)
    while j < whole:
        x = load_wide(X, row + j, _COLUMN_LANES)
        gap = sub(x, load(centers, center + j, _COLUMN_LANES))
        sums = fma(gap, gap, sums)
        j += step
    total = sum_lanes(sums)
    while j < d:
        rest = np.float64(X[row + j]) - centers[center + j]
        total += rest * rest
        j += uint64(1)
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _add(X: Any, row: Any, references: Any, place: Any, d: Any, weight: float, moves: Any) -> Any:
    """``moves += weight * (x - reference)``, from ``place`` on; the squared distance."""
    step = uint64(len(_COLUMN_LANES))
    whole = d - d % step
    squares = zeros(references, _COLUMN_LANES)
    j = uint64(0)
    while j < whole:
        x = load_wide(X, row + j, _COLUMN_LANES)
        gap = sub(x, load(references, place + j, _COLUMN_LANES))
        accumulate(moves, place + j, scale(weight, gap))
        squares = fma(gap, gap, squares)
        j += step
    total = sum_lanes(squares)
    while j < d:
        rest = np.float64(X[row + j]) - references[place + j]
        moves[place + j] += weight * rest
        total += rest * rest
        j += uint64(1)
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _enter(
    X: Any, row: Any, d: Any, label: Any, weight: float, references: Any, moves: Any, totals: Any
) -> None:
    """Add a row to the sums of a cluster, or take it away where its weight is negative."""
    k = uint64(label)
    square = weight * _add(X, row, references, k * d, d, weight, moves)
    k *= uint64(4)
    totals[k] += weight
    totals[k + uint64(1)] += square
    totals[k + uint64(2)] += abs(weight)
    totals[k + uint64(3)] += abs(square)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather(X: Any, d: Any, centre: Any, tile: Any, n_rows: Any, tokens: Any) -> None:
    """The tile's rows, relative to the common point and turned, and their squared lengths."""
    rows, values, lengths = tile.rows, tile.values, tile.lengths
    lanes, square = tokens[1], tokens[2]
    many, side = uint64(len(lanes)), uint64(len(square))
    whole, r = d - d % side, uint64(0)
    while r < n_rows:
        at, j = r // many * many * d + r % many, uint64(0)
        following = min(r + side, n_rows - side)
        while j < whole:
            i = uint64(0)
            while i < side and j % (side + side) == uint64(0):  # half a cache line is turned
                fetch(X, uint64(rows[following + i]) * d + j)
                i += uint64(1)
            turn(X, d, rows, r, j, centre, values, at, many, square)
            at += side * many
            j += side
        while j < d:
            i, common = uint64(0), centre[j]
            while i < side:
                values[at + i] = X[uint64(rows[r + i]) * d + j] - common
                i += uint64(1)
            at += many
            j += uint64(1)
        r += side
    q, at = uint64(0), uint64(0)
    while q < n_rows:
        even, odd, j = zeros(values, lanes), zeros(values, lanes), uint64(0)
        while j + uint64(1) < d:  # two chains hide the latency of the fma
            y, z = load(values, at, lanes), load(values, at + many, lanes)
            even, odd = fma(y, y, even), fma(z, z, odd)
            at += many + many
            j += uint64(2)
        if j < d:
            y = load(values, at, lanes)
            even = fma(y, y, even)
            at += many
        store(lengths, q, add(even, odd))
        q += many


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lead(d: Any, tables: Any, tile: Any, n_rows: Any, tokens: Any) -> None:
    """Scores of the tile's rows, the leaders among them, and how far these lead for certain."""
    centres, lanes = tokens[0], tokens[1]
    best, second, chosen = tile.leaders
    lengths, gaps, floors, doubt = tile.lengths, tile.gaps, tile.floors, tables.doubt
    for i in range(n_rows):
        best[i], second[i], chosen[i] = -np.inf, -np.inf, 0
    panels, terms, n_terms = tables.panels.reshape(-1), tables.terms, uint64(len(tables.terms))
    values, scores, height, many = tile.values, tile.scores, len(centres), len(lanes)
    q = uint64(0)
    while q < uint64(n_rows):
        k = uint64(0)
        while k < n_terms:
            fold_scores(
                panels, k * d, values, q * d, d, terms, k, scores, q * n_terms + k * uint64(many),
                tile.leaders, q, centres, lanes,
            )  # fmt: skip
            k += uint64(height)
        q += uint64(many)
    of_length, of_second, least, shrink = doubt[0], doubt[1], doubt[2], doubt[3]
    nothing = least - least
    for i in range(n_rows):
        unsure = of_length * lengths[i] - of_second * second[i] + least
        near = max(lengths[i] - best[i] - best[i], nothing) + unsure
        far = max(lengths[i] - second[i] - second[i], nothing) + unsure
        lead = best[i] - second[i] - unsure
        gaps[i] = shrink * (lead + lead) / (math.sqrt(near) + math.sqrt(far))
        floors[i] = best[i] - unsure


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _decide(X: Any, row: Any, tables: Any, tile: Any, i: Any, d: Any, many: Any) -> Any:
    """The nearest centre of the tile's row i by distances, of those whose scores allow it."""
    centers, scores, floor = tables.centers.reshape(-1), tile.scores, tile.floors[i]
    at = i // many * many * uint64(len(tables.terms)) + i % many
    label, least = np.int64(tile.leaders[2][i]), np.inf
    for k in range(len(tables.centers)):
        if not scores[at + uint64(k) * many] < floor:  # nor where it is not a number
            distance = _distance(X, row, centers, uint64(k) * d, d)
            if distance < least:
                least, label = distance, np.int64(k)
    return label


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _label_tile(
    X: Any, rows: Any, tables: Any, sums: Any, tile: Any, count: Any, tokens: Any
) -> None:
    """Find the centres of the first ``count`` rows of a tile, and follow them in the sums."""
    d, lanes, places = uint64(X.shape[1]), len(tokens[1]), tile.rows
    padded = -(-count // lanes) * lanes
    for spare in range(count, padded):
        places[spare] = places[count - 1]
    flat = X.reshape(-1)
    _gather(flat, d, tables.centre, tile, uint64(padded), tokens)
    _lead(d, tables, tile, padded, tokens)
    chosen, gaps, drift = tile.leaders[2], tile.gaps, tables.drift
    weights, labels, until = rows.weights, rows.labels, rows.until
    references, moves, totals = sums
    summing, shrink = len(moves) > 0, 1.0 - 4.0 * 2.0**-52
    i = uint64(0)
    while i < uint64(count):
        u, label, gap = uint64(places[i]), np.int64(chosen[i]), np.float64(gaps[i])
        certain = gap > 0.0
        if not certain:
            label = _decide(flat, u * d, tables, tile, i, d, uint64(lanes))
        before = labels[u]
        if label != before:
            labels[u] = label
            if summing:
                weight = weights[u] if len(weights) > 0 else 1.0
                _enter(flat, u * d, d, label, weight, references, moves, totals)
                if before >= 0:
                    _enter(flat, u * d, d, before, -weight, references, moves, totals)
        until[u] = shrink * (drift[uint64(label)] + gap) if certain else -np.inf
        i += uint64(1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find(until: Any, labels: Any, drift: Any, first: int, end: int, places: Any) -> Any:
    """The next rows that may have a new centre, until ``places`` is full.

    Their number, and the row to go on from.
    """
    count, most = np.int64(0), len(places)
    for u in range(first, end):
        places[count] = u  # without a branch: the next row overwrites what is passed over
        count += np.int64(not until[u] > drift[labels[u]])
        if count == most:
            return count, u + 1
    return count, end


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search_share(
    X: Any, rows: Any, tables: Any, sums: Any, tile_rows: int, tokens: Any, ends: Any, task: Any
) -> None:
    dtype, d = tables.centre.dtype, X.shape[1]
    leaders = (np.zeros(tile_rows, dtype), np.zeros(tile_rows, dtype), np.zeros(tile_rows, dtype))
    tile = _Tile(
        np.zeros(tile_rows, np.int64),
        np.zeros(tile_rows * d, dtype),
        np.zeros(tile_rows * len(tables.terms), dtype),
        np.zeros(tile_rows, dtype),
        leaders,
        np.zeros(tile_rows, dtype),
        np.zeros(tile_rows, dtype),
    )
    own = (sums.references.reshape(-1), sums.moves[task].reshape(-1), sums.totals[task].reshape(-1))
    u, end = ends
    while u < end:
        count, u = _find(rows.until, rows.labels, tables.drift, u, end, tile.rows)
        if count > 0:
            _label_tile(X, rows, tables, own, tile, count, tokens)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def search(
    X: Any, rows: Any, tables: Any, sums: Any, tile_rows: int, centres: Any, lanes: Any, square: Any
) -> None:  # fmt: skip
    """Nearest centers of the rows that may have a new one; sums follow where there are any.

    ``tables.drift`` (K,) adds up, for each center, how far it and any other have moved since
    the first search. ``centres`` and ``lanes`` are `mixmend.kernels.scores.score_shape`'s,
    ``square`` is `turned_lanes`'s, all for the data's precision.
    """
    n, n_tasks = len(X), len(sums.moves)
    for task in prange(n_tasks):
        ends, tokens = (task * n // n_tasks, (task + 1) * n // n_tasks), (centres, lanes, square)
        _search_share(X, rows, tables, sums, tile_rows, tokens, ends, np.int64(task))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sum_share(X: Any, rows: Any, sums: Any, task: Any) -> None:
    n, d, n_tasks = len(X), uint64(X.shape[1]), len(sums.moves)
    references, moves = sums.references.reshape(-1), sums.moves[task].reshape(-1)
    totals, flat = sums.totals[task].reshape(-1), X.reshape(-1)
    weights, labels, weighted = rows.weights, rows.labels, len(rows.weights) > 0
    for u in range(task * n // n_tasks, (task + 1) * n // n_tasks):
        weight = weights[u] if weighted else 1.0
        _enter(flat, uint64(u) * d, d, labels[u], weight, references, moves, totals)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def sum_up(X: Any, rows: Any, sums: Any) -> None:
    """Sums over the rows of each cluster, afresh."""
    for task in prange(len(sums.moves)):
        _sum_share(X, rows, sums, np.int64(task))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def merge(sums: Any, moves: Any, totals: Any) -> None:
    """Add what the tasks summed, in their order, to (K, d) and (K, 4) sums, and clear it."""
    n_tasks, n_clusters, d = sums.moves.shape
    for task in range(n_tasks):
        for k in range(n_clusters):
            if sums.totals[task, k, 2] == 0.0:
                continue
            for j in range(d):
                moves[k, j] += sums.moves[task, k, j]
                sums.moves[task, k, j] = 0.0
            for j in range(4):
                totals[k, j] += sums.totals[task, k, j]
                sums.totals[task, k, j] = 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _measure_share(X: Any, labels: Any, centers: Any, out: Any, first: Any, end: Any) -> None:
    flat, flat_centers, d = X.reshape(-1), centers.reshape(-1), uint64(X.shape[1])
    for u in range(first, end):
        out[u] = _distance(flat, uint64(u) * d, flat_centers, uint64(labels[u]) * d, d)


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def distances(X: Any, labels: Any, centers: Any, n_tasks: int, out: Any) -> None:
    """Squared distance of each row to the center that it is labelled with."""
    n = len(X)
    for task in prange(n_tasks):
        _measure_share(X, labels, centers, out, task * n // n_tasks, (task + 1) * n // n_tasks)
