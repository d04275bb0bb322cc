"""Quantiles of many small Gaussian mixtures, one per line of plain arrays."""

from __future__ import annotations

import math
from typing import Any

import numba

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_MAX_STEPS = 200  # bisection alone needs some 60; the rest is for point masses far from zero


@numba.njit(cache=True, nogil=True, parallel=True)
def mixture_quantiles(
    weights: Any, means: Any, stds: Any, tail: float, tail_score: float, sign: float, out: Any
) -> None:
    """Write the quantile of every line's mixture to ``out``.

    ``tail`` is a lower-tail probability in (0, 1/2] and ``tail_score`` the standard
    normal quantile there. ``sign`` -1 reflects the mixture, which is how upper quantiles
    keep the relative accuracy of the lower tail.
    """
    for j in numba.prange(len(out)):
        out[j] = sign * _lower_quantile(weights[j], means[j], stds[j], tail, tail_score, sign)


@numba.njit(cache=True, nogil=True)
def _lower_quantile(
    weights: Any, means: Any, stds: Any, tail: float, tail_score: float, sign: float
) -> float:
    """Root of F(x) - tail by Halley's step, kept inside a bracket that always shrinks."""
    # what weighs less is lost in the rounding of the others
    least = 1e-15 * tail
    total, first, second = 0.0, 0.0, 0.0
    low, high, narrowest = math.inf, -math.inf, math.inf
    for k in range(len(weights)):
        if weights[k] > least:
            mean = sign * means[k]
            quantile = mean + stds[k] * tail_score
            if math.isnan(quantile):
                return math.nan
            # the quantile of a mixture lies between those of its components
            low, high = min(low, quantile), max(high, quantile)
            total += weights[k]
            first += weights[k] * mean
            second += weights[k] * (mean * mean + stds[k] * stds[k])
            if stds[k] > 0.0:
                narrowest = min(narrowest, stds[k])
    if total <= 0.0:
        return math.nan
    if low == high:
        return low
    rounding = 4e-16 * max(abs(low), abs(high))
    small = 0.0 if narrowest == math.inf else 1e-5 * narrowest
    tolerance = rounding + 1e-6 * small
    target = tail * total
    first /= total
    x = first + tail_score * math.sqrt(max(second / total - first * first, 0.0))
    if not low < x < high:
        x = 0.5 * (low + high)
    last_move = high - low
    for _ in range(_MAX_STEPS):
        excess, density, slope = _excess(weights, means, stds, sign, target, x, least)
        if excess == 0.0:
            return x
        if excess < 0.0:
            low = x
        else:
            high = x
        new = 0.5 * (low + high)
        if density > 0.0:
            step = excess / density
            bend = 1.0 - 0.5 * step * slope / density
            if bend > 0.5:
                step /= bend
            if abs(step) <= tolerance:  # at a root the bracket's end is x itself
                return x - step
            # a step that leaves the bracket or does not settle is replaced by bisection
            if low < x - step < high and abs(step) < 0.5 * last_move:
                new = x - step
                if abs(step) < small:  # convergence is cubic: what is left is far smaller
                    return new
        last_move = abs(new - x)
        x = new
        if last_move <= tolerance:
            break
    return x


@numba.njit(cache=True, nogil=True)
def _excess(
    weights: Any, means: Any, stds: Any, sign: float, target: float, x: float, least: float
) -> tuple[float, float, float]:
    """F(x) - target, the density and its slope.

    Whole weights of components to the left are summed apart from the tails, so that on
    a plateau between far components the tiny tails still say where the root lies.
    """
    whole, tails, density, slope = -target, 0.0, 0.0, 0.0
    for k in range(len(weights)):
        if weights[k] > least:
            distance = x - sign * means[k]
            if stds[k] == 0.0:
                if distance >= 0.0:
                    whole += weights[k]
                continue
            score = distance / stds[k]
            tail = 0.5 * weights[k] * math.erfc(abs(score) * _ROOT_HALF)
            if score > 0.0:
                whole += weights[k]
                tails -= tail
            else:
                tails += tail
            height = weights[k] * _DENSITY * math.exp(-0.5 * score * score) / stds[k]
            density += height
            slope -= height * score / stds[k]
    return whole + tails, density, slope
