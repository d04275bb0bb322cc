"""The likely component of every patch of a picture, by way of the nodes of a tree.

Each node stands for some of the components, its leaves, and each patch tries the leaves of
the few nodes that are most likely themselves. Patches of a band are put in the order of
their best nodes first, so that the 64 that lie side by side (`mixmend.kernels.patch_search`)
ask for the same leaves; each tries those that any of its 64 asks for.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange, uint64

from mixmend.kernels.patch_search import (
    TILE,
    distances,
    gather,
    search_among,
    square_rest,
    take_mean,
    turn,
)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _best_nodes(nodes: Any, y: Any, least: Any, best: Any, distance: Any, tokens: Any) -> None:
    """The ``beam`` most likely nodes of each patch of a tile, ``best`` (beam, 64), in order."""
    beam = len(best)
    least[:] = np.inf
    best[:] = 0
    for g in range(len(nodes.costs)):
        if distances(nodes, g, y, least[beam - 1], distance, tokens):
            for lane in range(uint64(TILE)):
                if distance[lane] < least[beam - 1, lane]:
                    place = beam - 1
                    while place > 0 and distance[lane] < least[place - 1, lane]:
                        least[place, lane] = least[place - 1, lane]
                        best[place, lane] = best[place - 1, lane]
                        place -= 1
                    least[place, lane] = distance[lane]
                    best[place, lane] = g


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _in_order(keys: Any, n_keys: int, order: Any) -> None:
    """Where the keys stand when sorted, those that are equal as they came."""
    ends = np.zeros(n_keys + 1, np.int64)
    for key in keys:
        ends[key + 1] += 1
    for key in range(n_keys):
        ends[key + 1] += ends[key]
    for i in range(len(keys)):
        order[ends[keys[i]]] = i
        ends[keys[i]] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _keep(tables: Any, y: Any, count: int, held: Any) -> None:
    """What a tile's distances are computed from, patch by patch: ``held`` (count, height)."""
    near, rest = len(tables.whiteners[0]), len(tables.centre)
    below = 1 + tables.basis.shape[1]
    for lane in range(count):
        for t in range(near):
            held[lane, t] = y[t, lane]
        for t in range(rest):
            held[lane, near + t] = y[below + t, lane]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _bring(tables: Any, held: Any, chosen: Any, y: Any) -> None:
    """The same back, of 64 patches of any places; the last is repeated where they are fewer."""
    near, rest = len(tables.whiteners[0]), len(tables.centre)
    below = 1 + tables.basis.shape[1]
    for lane in range(TILE):
        patch = chosen[min(lane, len(chosen) - 1)]
        for t in range(near):
            y[t, lane] = held[patch, t]
        for t in range(rest):
            y[below + t, lane] = held[patch, near + t]


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def choose_components(
    picture: Any,
    grid: Any,
    tables: Any,
    nodes: Any,
    node_of: Any,
    asked: Any,
    winners: Any,
    rows: Any,
    lanes: Any,
) -> None:
    """Write the likely component of each patch to ``winners`` (rows, columns) of the grid.

    ``nodes`` are `Tables` of the nodes, as if they were components; ``node_of`` (K,) is the node
    of each component. ``asked`` (bands, rows of a band × columns, beam) is room for the nodes
    that each patch asks for: the patches of a band are sorted together.
    """
    n_rows, n_columns = winners.shape
    beam, band = asked.shape[2], asked.shape[1] // n_columns
    n_components, n_nodes = len(tables.costs), len(nodes.costs)
    d, kind, rest = grid.size * grid.size, picture.dtype, len(tables.centre)
    for b in prange(len(asked)):
        tokens = rows, lanes
        top, bottom = b * band, min(n_rows, (b + 1) * band)
        count = (bottom - top) * n_columns
        raw, mean = np.empty((d, TILE), kind), np.zeros(TILE, kind)
        height = 1 + tables.basis.shape[1] + max(rest, len(nodes.centre))
        y = np.empty((height, TILE), kind)
        distance, least = np.empty(TILE, kind), np.empty((beam, TILE), kind)
        best = np.empty((beam, TILE), np.int32)
        held = np.empty((count, tables.whiteners.shape[1] + rest), kind)
        mine = asked[b, :count]
        for a in range(top, bottom):
            for first in range(0, n_columns, TILE):
                width = min(TILE, n_columns - first)
                at = (a - top) * n_columns + first
                gather(picture, grid.rows[a], grid.columns, first, grid.size, raw)
                if tables.remove_mean:
                    take_mean(raw, mean)
                turn(tables.basis, raw, y, tokens)
                square_rest(nodes, y)
                _best_nodes(nodes, y, least, best, distance, tokens)
                square_rest(tables, y)
                _keep(tables, y, width, held[at : at + width])
                mine[at : at + width] = best[:, :width].T
        order = np.empty(count, np.int64)
        _in_order(mine[:, 0], n_nodes, order)
        guess, winner = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
        wanted, done = np.empty(n_nodes, np.bool_), np.empty(n_components, np.bool_)
        for first in range(0, count, TILE):
            chosen = order[first : first + TILE]
            _bring(tables, held, chosen, y)
            wanted[:] = False
            for patch in chosen:
                for place in range(beam):
                    wanted[mine[patch, place]] = True
            guess[:] = -1
            common, n_common = mine[chosen[len(chosen) // 2], 0], 0
            for k in range(n_components):
                done[k] = not wanted[node_of[k]]
                if node_of[k] == common and n_common < TILE:
                    guess[n_common] = k
                    n_common += 1
            search_among(tables, y, guess, least[0], winner, distance, done, tokens)
            for lane in range(len(chosen)):
                patch = chosen[lane]
                winners[top + patch // n_columns, patch % n_columns] = winner[lane]
