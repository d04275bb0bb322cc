"""What a model believes about cells it has not seen: one Gaussian mixture per cell.

Every model that completes matrices gives its answer in this form; expectation, spread,
intervals, densities and draws all follow from it by the functions below.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import MixmendError

Array: TypeAlias = NDArray[np.float64]


class Predictive(NamedTuple):
    """Predictive distribution of m cells, each a mixture of K Gaussians.

    Attributes
    ----------
    weights : ndarray of float64, shape (m, K)
        Mixing weights, not negative, summing to one over K.
    means : ndarray of float64, shape (m, K)
        Component means, in the units of the data.
    variances : ndarray of float64, shape (m, K)
        Component variances, in squared units; 0 is a point mass.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.completion import predictive
    >>> p = predictive.Predictive(
    ...     np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]), np.array([[1.0, 1.0]])
    ... )
    >>> predictive.mean(p), predictive.variance(p)
    (array([3.]), array([2.]))
    >>> lower, upper = predictive.interval(p, level=0.9)
    >>> lower.round(4), upper.round(4)
    (array([0.7155]), array([5.2845]))
    """

    weights: Array
    means: Array
    variances: Array


class Interval(NamedTuple):
    """Lower and upper ends of a central predictive interval, each of shape (m,)."""

    lower: Array
    upper: Array


def gaussian(mean: ArrayLike, variance: ArrayLike) -> Predictive:
    """Make one Gaussian per cell (K = 1); mean and variance broadcast to a common (m,).

    Examples
    --------
    >>> gaussian([1.0, 2.0], 0.25).variances
    array([[0.25],
           [0.25]])
    """
    means, variances = np.broadcast_arrays(
        np.atleast_1d(np.asarray(mean, np.float64)), np.asarray(variance, np.float64)
    )
    return checked(np.ones((len(means), 1)), means[:, None], variances[:, None])


def checked(weights: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Predictive:
    """Make a `Predictive` from arrays that broadcast to (m, K); weights are scaled to sum to one.

    Raises
    ------
    MixmendError
        Where shapes do not fit, a number is not finite, a weight or a variance is
        negative, or all weights of a cell are zero.

    Examples
    --------
    >>> checked([2.0, 2.0], [[0.0, 1.0], [5.0, 6.0]], 1.0).weights
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    parts = [np.asarray(part, np.float64) for part in (weights, means, variances)]
    try:
        shape = np.broadcast_shapes(*(part.shape for part in parts))
    except ValueError:
        shape = ()
    if len(shape) != 2:
        raise MixmendError(
            "weights, means and variances must broadcast to (cells, components); got shapes "
            + ", ".join(str(part.shape) for part in parts)
            + "."
        )
    w, m, v = (np.ascontiguousarray(np.broadcast_to(part, shape)) for part in parts)
    for name, part, lowest in (("weight", w, 0.0), ("mean", m, -np.inf), ("variance", v, 0.0)):
        wrong = ~(np.isfinite(part) & (part >= lowest))
        if wrong.any():
            cell, k = (int(at) for at in np.argwhere(wrong)[0])
            demand = "finite" if lowest == -np.inf else "finite and not negative"
            raise MixmendError(
                f"each {name} of a predictive distribution must be {demand}; "
                f"cell {cell}, component {k} has {part[cell, k]}."
            )
    totals = w.sum(axis=1, keepdims=True)
    if np.any(totals == 0):
        raise MixmendError(
            f"the weights of cell {int(np.flatnonzero(totals == 0)[0])} are all zero; "
            "at least one component must have weight."
        )
    return Predictive(w / totals, m, v)


def mean(p: Predictive) -> Array:
    """Return the expected value of each cell, shape (m,): ``sum_k w_k m_k``."""
    return np.asarray(np.einsum("jk,jk->j", p.weights, p.means))


def variance(p: Predictive) -> Array:
    """Return the variance of each cell, shape (m,): within components plus between them."""
    centred = p.means - mean(p)[:, None]
    return np.asarray(np.einsum("jk,jk->j", p.weights, p.variances + centred * centred))


def std(p: Predictive) -> Array:
    """Return the standard deviation of each cell, shape (m,)."""
    return np.sqrt(variance(p))


def cdf(p: Predictive, x: ArrayLike) -> Array:
    """Return the probability of a value at most ``x``; x has shape (..., m) or broadcasts to it.

    Examples
    --------
    >>> cdf(gaussian([0.0, 1.0], 1.0), 0.0).round(4)
    array([0.5   , 0.1587])
    """
    from scipy.special import ndtr

    distance = np.asarray(x, np.float64)[..., None] - p.means
    spread = np.sqrt(p.variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = ndtr(distance / spread)
    below = np.where(spread > 0, below, distance >= 0)
    return np.asarray(np.einsum("jk,...jk->...j", p.weights, below))


def log_density(p: Predictive, x: ArrayLike) -> Array:
    """Return the natural log of the density at ``x``, shape (..., m); never under- or overflows.

    At a point mass (variance 0) the density is infinite, elsewhere it adds nothing.

    Examples
    --------
    >>> log_density(gaussian([0.0, 0.0], 1.0), [0.0, 2.0]).round(4)
    array([-0.9189, -2.9189])
    """
    distance = np.asarray(x, np.float64)[..., None] - p.means
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(distance == 0, 0.0, distance * distance / p.variances)
        terms = np.log(p.weights) - 0.5 * (np.log(2 * np.pi * p.variances) + squares)
        # a point mass that is missed: inf - inf above
        terms[np.isnan(terms) & (p.variances == 0)] = -np.inf
        top = terms.max(axis=-1)
        shift = np.where(np.isfinite(top), top, 0.0)
        return np.asarray(shift + np.log(np.exp(terms - shift[..., None]).sum(axis=-1)))


def quantile(p: Predictive, q: ArrayLike) -> Array:
    """Return exact quantiles of each cell's mixture.

    Parameters
    ----------
    p : Predictive
        The distributions of m cells.
    q : float or array-like
        Probabilities from 0 to 1; 0 and 1 give the ends of the support (infinite unless
        a cell is a point mass).

    Returns
    -------
    ndarray of float64, shape ``q.shape + (m,)``
        As `numpy.quantile` lays it out: the axes of q come first.

    Raises
    ------
    MixmendError
        If a probability is outside [0, 1].

    Notes
    -----
    Halley's iteration inside the bracket that the components' own quantiles give,
    replaced by bisection where it does not settle; relative accuracy holds in both
    tails. Between components that lie many standard deviations apart the distribution
    function is all but flat: there any number between them is a quantile to within
    rounding, and the one returned is the root in exact arithmetic where doubles can
    tell it.

    Examples
    --------
    >>> quantile(gaussian([0.0, 10.0], 4.0), [0.5, 0.975]).round(4)
    array([[ 0.    , 10.    ],
           [ 3.9199, 13.9199]])
    """
    from mixmend.kernels.quantiles import mixture_quantiles

    levels = np.asarray(q, np.float64)
    wrong = ~((levels >= 0) & (levels <= 1))
    if wrong.any():
        raise MixmendError(
            f"a quantile needs a probability from 0 to 1; got {levels[wrong].flat[0]}."
        )
    spread = np.sqrt(p.variances)
    out = np.empty((levels.size, len(p.means)))
    for line, level in zip(out, levels.flat, strict=True):
        if level in (0.0, 1.0):
            line[:] = _support_end(p, spread, -1.0 if level == 0.0 else 1.0)
            continue
        upper = level > 0.5
        tail = 1.0 - level if upper else float(level)
        mixture_quantiles(
            p.weights, p.means, spread, tail, _normal_quantile(tail), -1.0 if upper else 1.0, line
        )
    return out.reshape((*levels.shape, len(p.means)))


def interval(p: Predictive, level: float = 0.9) -> Interval:
    """Return the central interval that holds each cell's value with probability ``level``.

    Examples
    --------
    >>> interval(gaussian(3.0, 1.0), level=0.95)
    Interval(lower=array([1.040036...]), upper=array([4.959963...]))
    """
    if not 0 < level < 1:
        raise MixmendError(f"the level of an interval must lie between 0 and 1; got {level}.")
    lower, upper = quantile(p, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    return Interval(lower, upper)


def sample(p: Predictive, n: int, rng: np.random.Generator | int | None = None) -> Array:
    """Return ``n`` independent draws of every cell, shape (n, m).

    Parameters
    ----------
    p : Predictive
        The distributions of m cells.
    n : int
        How many draws.
    rng : numpy.random.Generator, int or None
        Source of randomness, or the seed of one.

    Examples
    --------
    >>> sample(gaussian([0.0, 50.0], 1.0), 3, rng=0).shape
    (3, 2)
    """
    generator = np.random.default_rng(rng)
    cumulative = np.cumsum(p.weights, axis=1)
    cumulative /= cumulative[:, -1:]
    draws = generator.random((n, len(p.means)))
    chosen = np.zeros(draws.shape, np.intp)
    for k in range(p.weights.shape[1] - 1):  # a component without weight is never passed into
        chosen += draws >= cumulative[:, k]
    cells = np.arange(len(p.means))
    spread = np.sqrt(p.variances)[cells, chosen]
    return np.asarray(p.means[cells, chosen] + spread * generator.standard_normal(draws.shape))


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(level))


def _support_end(p: Predictive, spread: Array, sign: float) -> Array:
    ends = np.where(spread > 0, sign * np.inf, p.means)
    ends = np.where(p.weights > 0, ends, -sign * np.inf)
    return np.asarray(ends.max(axis=1) if sign > 0 else ends.min(axis=1))
