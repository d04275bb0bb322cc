"""Draw an exact number of cells with given chances, and leave no line empty."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def calibrated(scores: Array, rate: float) -> Array:
    """Logistic chances of mean ``rate``: ``1 / (1 + exp(-(a + score)))`` with the a that does it.

    Examples
    --------
    >>> round(float(calibrated(np.array([-2.0, 0.0, 5.0]), 0.3).mean()), 12)
    0.3
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    centre = float(logit(rate))
    low, high = centre - float(scores.max()) - 1.0, centre - float(scores.min()) + 1.0
    intercept = brentq(lambda a: float(expit(a + scores).mean()) - rate, low, high, xtol=1e-13)
    return np.asarray(expit(intercept + scores))


def highest(scores: Array, seen: Mask, rate: float, rng: np.random.Generator) -> Array:
    """Chance 1 for the share ``rate`` of each column's seen cells with the highest scores.

    The cell at the edge gets what is left of the share, so that the mean is the rate;
    among equal scores chance decides.
    """
    chance = np.zeros(scores.shape)
    for j in range(scores.shape[1]):
        at = np.flatnonzero(seen[:, j])
        order = at[np.lexsort((rng.random(len(at)), -scores[at, j]))]
        chance[order, j] = np.clip(rate * len(at) - np.arange(len(at)), 0.0, 1.0)
    return chance


def drawn(chance: Array, rng: np.random.Generator) -> Mask:
    """Draw cells, each with its chance, and exactly as many as the chances add up to.

    Systematic sampling in random order (Madow 1949): every cell's chance is kept exactly,
    and the number of cells is the rounded sum of all chances (at least one).
    """
    chances = chance.ravel()
    count = max(1, round(float(chances.sum())))
    mask = np.zeros(chance.size, bool)
    order = rng.permutation(np.flatnonzero(chances))
    # the sum is made a whole number, by less than half a cell in all; what thereby becomes
    # certain is taken beforehand
    while count > 0:
        widths = chances[order] * (count / chances[order].sum())
        sure = widths >= 1 - 1e-12
        if not sure.any():
            ends = np.cumsum(widths)
            ends[-1] = count
            points = rng.random() + np.arange(count)
            mask[order[np.searchsorted(ends, points, side="right")]] = True
            break
        taken = order[sure][:count]
        mask[taken] = True
        count -= len(taken)
        order = order[~sure]
    return mask.reshape(chance.shape)


def without_empty_lines(
    mask: Mask, seen: Mask, eligible: Mask, chance: Array, rng: np.random.Generator
) -> Mask:
    """Give a cell back to each row and column that lost all, and hide others in their place.

    Which cells are given back or taken depends on their chances and on the pattern, never
    on further values: what was missing at random stays so.

    Parameters
    ----------
    mask, seen, eligible : ndarray of bool, shape (n, d)
        What was drawn, what is observed, and what of it may be hidden.
    chance : ndarray of float64, shape (n, d)
        What each cell was drawn with.
    rng : numpy.random.Generator

    Raises
    ------
    DataError
        If that many cells cannot be hidden so.
    """
    mask = mask.copy()
    count = int(mask.sum())
    # cells are ordered by exponential draws at rates that are their odds: a cell of no chance
    # comes last, but it comes
    odds = np.maximum(chance, 1e-9) / np.maximum(1 - chance, 1e-9)
    reluctance = rng.exponential(size=mask.shape) * odds
    left = seen & ~mask
    for axis in (1, 0):
        for line in np.flatnonzero(seen.any(axis=axis) & ~left.any(axis=axis)):
            cells = np.flatnonzero(seen[line] if axis == 1 else seen[:, line])
            cost = reluctance[line, cells] if axis == 1 else reluctance[cells, line]
            best = cells[np.argmin(cost)]
            at = (line, best) if axis == 1 else (best, line)
            mask[at], left[at] = False, True
    lacking = count - int(mask.sum())
    if lacking:
        able = int(eligible.sum())
        taken = _taken(left, eligible & left, rng.exponential(size=mask.shape) / odds, lacking)
        if len(taken) < lacking:
            raise DataError(
                f"{count} of {able} cells cannot be hidden without leaving a row or a column "
                f"empty; {count - lacking + len(taken)} can. Give a lower rate or allow_empty=True."
            )
        mask[tuple(np.transpose(taken))] = True
    return mask


def _taken(left: Mask, free: Mask, cost: Array, wanted: int) -> list[tuple[int, int]]:
    """Up to ``wanted`` free cells, the cheapest first, that are not the last of their lines."""
    rows, columns = left.sum(axis=1), left.sum(axis=0)
    at = np.argwhere(free)
    taken: list[tuple[int, int]] = []
    for u, i in at[np.argsort(cost[free])]:
        if rows[u] > 1 and columns[i] > 1:
            taken.append((int(u), int(i)))
            rows[u] -= 1
            columns[i] -= 1
            if len(taken) == wanted:
                break
    return taken
