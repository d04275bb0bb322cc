"""Loops of palettes: counting colours, the nearest of few centres, error diffusion.

Points and centres have four coordinates (what is missing is 0 throughout), so that the
innermost loop has a fixed length. The nearest centre of a point is found from a guess: a
centre c can only be nearer than a if ``|a - c| <= 2 |x - a|`` (triangle inequality), so the
centres around a are gone through by their distance to a, until they are too far (Phillips
2002, "sort-means"). Exact; the first of equals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

WIDTH = 4
"""Coordinates of a point."""
_SAFE = 1.0 + 1e-9  # distances are rounded: look a little further than needed
_SLACK = 4.0 * _SAFE


class Neighbours(NamedTuple):
    """Centres by distance to each: ``order`` (K, K), and their squared distances ``gaps``."""

    order: Any
    gaps: Any


@numba.njit(cache=True, nogil=True)
def count_colours(pixels: Any, counts: Any) -> None:
    """Count pixels (n, 3) of uint8 by ``r << 16 | g << 8 | b``."""
    for i in range(len(pixels)):
        counts[(pixels[i, 0] << 16) | (pixels[i, 1] << 8) | pixels[i, 2]] += 1


@numba.njit(cache=True, nogil=True, parallel=True)
def look_up(pixels: Any, table: Any, out: Any) -> None:
    """``out[i] = table[r << 16 | g << 8 | b]`` of each pixel."""
    for i in prange(len(pixels)):
        out[i] = table[(pixels[i, 0] << 16) | (pixels[i, 1] << 8) | pixels[i, 2]]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _squared(points: Any, i: Any, centres: Any, k: Any) -> float:
    total = 0.0
    for j in range(WIDTH):
        gap = points[i, j] - centres[k, j]
        total += gap * gap
    return total


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def sort_neighbours(centres: Any, order: Any, gaps: Any) -> None:
    """Bring each line of ``order`` (a permutation, best nearly sorted) in order; fill ``gaps``."""
    n_centres = len(centres)
    for k in prange(n_centres):
        for t in range(n_centres):
            c = order[k, t]
            gap = -1.0 if c == k else _squared(centres, k, centres, c)
            place = t
            while place > 0 and gaps[k, place - 1] > gap:
                gaps[k, place] = gaps[k, place - 1]
                order[k, place] = order[k, place - 1]
                place -= 1
            gaps[k, place] = gap
            order[k, place] = c


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _closest(points: Any, i: Any, centres: Any, neighbours: Any, guess: Any) -> Any:
    """The nearest centre of point i, the squared distance to it, and a lower bound.

    The bound is on the distance, not squared, to every other centre.
    """
    order, gaps = neighbours
    n_centres = len(centres)
    best, least = guess, _squared(points, i, centres, guess)
    searching, second = True, np.inf
    while searching:
        searching, second = False, np.inf
        base = best
        for t in range(1, n_centres):
            if gaps[base, t] > _SLACK * least:
                second = min(np.sqrt(second), np.sqrt(gaps[base, t]) - np.sqrt(least))
                return best, least, second
            c = order[base, t]
            distance = _squared(points, i, centres, c)
            if distance < least or (distance == least and c < best):
                best, least = c, distance
                searching = True
                break
            second = min(second, distance)
    return best, least, np.sqrt(second)


class Rows(NamedTuple):
    """``points`` (n, 4), ``weights`` (n,), and what is carried from round to round.

    ``labels``, guesses that become nearest centres; ``smallest``, squared distances to them;
    ``bounds``, which no other centre is nearer than (0 where nothing is known).
    """

    points: Any
    weights: Any
    labels: Any
    smallest: Any
    bounds: Any


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def assign(rows: Any, centres: Any, neighbours: Any, drift: float, sums: Any) -> None:
    """Nearest centre of each point, and sums for new centres.

    ``drift`` is how far the centres have moved, at most, since the bounds were made: a point
    nearer to its centre than the bound less that keeps it (Hamerly 2010). ``sums`` (tasks, K,
    5) gets, for each cut of the points, weight × (x - centre) and the weight of each centre's
    points.
    """
    points, weights, labels, smallest, bounds = rows
    n, n_tasks = len(points), len(sums)
    for task in prange(n_tasks):
        for i in range(task * n // n_tasks, (task + 1) * n // n_tasks):
            k = labels[i]
            least, bound = _squared(points, i, centres, k), bounds[i] - drift
            if bound <= 0.0 or _SAFE * least >= bound * bound:
                k, least, bound = _closest(points, i, centres, neighbours, k)
                labels[i] = k
            bounds[i] = bound
            smallest[i] = least
            weight = weights[i]
            for j in range(WIDTH):
                sums[task, k, j] += weight * (points[i, j] - centres[k, j])
            sums[task, k, WIDTH] += weight


@numba.njit(cache=True, nogil=True, error_model="numpy")
def spread_seeds(points: Any, weights: Any, draws: Any, picked: Any, nearest: Any) -> None:
    """Greedy k-means++: of the points that ``draws`` (K, trials) chooses, the best is kept.

    ``draws`` are uniform in [0, 1); a point is drawn in proportion to weight × squared
    distance to the picked ones, and kept where it leaves the least of that in all.
    """
    n = len(points)
    n_seeds, n_trials = draws.shape
    nearest[:] = 1.0
    trial, best = np.empty(n), np.empty(n)
    for k in range(n_seeds):
        mass = 0.0
        for i in range(n):
            mass += weights[i] * nearest[i]
        least = np.inf
        for t in range(n_trials if k > 0 else 1):
            goal, chosen, passed = draws[k, t] * mass, n - 1, 0.0
            for i in range(n):
                passed += weights[i] * nearest[i]
                if passed > goal:
                    chosen = i
                    break
            total = 0.0
            for i in range(n):
                distance = _squared(points, i, points, chosen)
                trial[i] = distance if k == 0 else min(distance, nearest[i])
                total += weights[i] * trial[i]
            if total < least:
                least = total
                picked[k] = chosen
                trial, best = best, trial
        nearest[:] = best


@numba.njit(cache=True, nogil=True, error_model="numpy")
def squared_error(colours: Any, palette: Any, labels: Any, counts: Any) -> float:
    """Sum of squared differences between colours (n, 4), weighted by opacity, and the palette's.

    ``counts`` (n,) says how often each colour occurs; empty: once.
    """
    total = 0.0
    for i in range(len(colours)):
        k = labels[i]
        opacity, other = np.float64(colours[i, 3]), np.float64(palette[k, 3])
        squares = (opacity - other) ** 2
        for j in range(3):
            squares += ((colours[i, j] * opacity - palette[k, j] * other) / 255.0) ** 2
        total += squares * (counts[i] if len(counts) > 0 else 1)
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def diffuse(
    pixels: Any, centres: Any, neighbours: Any, bounds: Any, carried: Any, indices: Any
) -> None:
    """Floyd & Steinberg's (1976) error diffusion, line by line, always from the left.

    ``pixels`` (h, w, 4) are points; a pixel with the errors of those before it is brought
    inside ``bounds`` (2, 4), takes its nearest centre, and passes what is left on: 7/16 to the
    right, 3/16, 5/16 and 1/16 to the three below. Opacity, the last coordinate, is not passed
    on: holes in what is opaque would be seen. ``carried`` (w + 2, 4) are the errors for the
    first line, with a margin of a pixel at each side; on leaving, those for the next line.
    """
    height, width = indices.shape
    here, below = carried.copy(), np.zeros((width + 2, WIDTH))
    wanted = np.empty((1, WIDTH))
    for y in range(height):
        guess = 0 if y == 0 else np.int64(indices[y - 1, 0])
        for x in range(width):
            for j in range(WIDTH):
                value = pixels[y, x, j] + here[x + 1, j]
                wanted[0, j] = min(max(value, bounds[0, j]), bounds[1, j])
            guess, _, _ = _closest(wanted, 0, centres, neighbours, guess)
            indices[y, x] = guess
            for j in range(WIDTH - 1):
                error = wanted[0, j] - centres[guess, j]
                here[x + 2, j] += error * (7.0 / 16.0)
                below[x, j] += error * (3.0 / 16.0)
                below[x + 1, j] += error * (5.0 / 16.0)
                below[x + 2, j] += error * (1.0 / 16.0)
        here, below = below, here
        below[:] = 0.0
    carried[:] = here
