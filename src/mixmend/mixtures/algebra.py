"""Mixtures of Gaussians as things to compute with: moments, parts, conditionals, maps, sums.

Pure functions over one immutable value, `Mixture`. Covariances may be singular (a column
that is a linear function of others, a constant): moments, marginals, affine maps, sums and
samples are as well defined then as ever. A density is not, and what needs one
(`log_density`, `condition` on such columns) says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import logsumexp

from mixmend.errors import MixmendError
from mixmend.mixtures.semidefinite import (
    check_covariance,
    cholesky,
    log_normal,
    root,
    semi_definite,
)

Array = NDArray[np.float64]


class Mixture(NamedTuple):
    """A mixture of K Gaussians in d dimensions.

    Built by `mixture`, which checks it. ``X + Y`` is the distribution of the sum of two
    independent vectors (see `add`), not the concatenation of tuples.

    Attributes
    ----------
    weights : ndarray of float64, shape (K,)
        Mixing weights, not negative, summing to 1.
    means : ndarray of float64, shape (K, d)
        Component means.
    covariances : ndarray of float64, shape (K, d, d)
        Component covariances, symmetric and positive semi-definite.
    """

    weights: Array
    means: Array
    covariances: Array

    def __add__(self, other: object) -> Mixture:
        return add(self, other) if isinstance(other, Mixture) else NotImplemented


def mixture(weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> Mixture:
    """Make a `Mixture` of arrays that are checked, copied and made read-only.

    Parameters
    ----------
    weights : array-like, shape (K,)
        Mixing weights, not negative, summing to 1 (to 1e-8; then scaled to do so exactly).
    means : array-like, shape (K, d)
        Component means.
    covariances : array-like, shape (K, d, d)
        Component covariances: symmetric, positive semi-definite.

    Returns
    -------
    Mixture

    Raises
    ------
    MixmendError
        If shapes do not fit, a number is not finite, weights are negative or do not sum
        to 1, or a covariance is not symmetric and positive semi-definite.

    Examples
    --------
    >>> mixture([0.5, 0.4], [[0.0], [1.0]], [[[1.0]], [[1.0]]])
    Traceback (most recent call last):
    mixmend.errors.MixmendError: weights must sum to 1; their sum is 0.9. Divide them by it.
    """
    w, m, c = (np.array(part, np.float64) for part in (weights, means, covariances))
    if w.ndim != 1 or not len(w) or m.ndim != 2 or c.ndim != 3:
        raise _shapes(w, m, c)
    if len(m) != len(w) or c.shape != (len(w), m.shape[1], m.shape[1]):
        raise _shapes(w, m, c)
    for name, part in (("weights", w), ("means", m), ("covariances", c)):
        if not np.isfinite(part).all():
            wrong = part[~np.isfinite(part)][0]
            raise MixmendError(f"{name} of a mixture must be finite; one is {wrong}.")
    if w.min() < 0:
        k = int(w.argmin())
        raise MixmendError(f"weights must not be negative; weights[{k}] is {w[k]:g}.")
    if abs(w.sum() - 1.0) > 1e-8:
        raise MixmendError(f"weights must sum to 1; their sum is {w.sum():g}. Divide them by it.")
    for k, matrix in enumerate(c):
        check_covariance(k, matrix)
    return _mixture(w / w.sum(), m, 0.5 * (c + np.swapaxes(c, 1, 2)))


def mean(X: Mixture) -> Array:
    """Expected value, shape (d,): ``sum_k w_k mu_k``.

    Examples
    --------
    >>> X = mixture([0.5, 0.5], [[0.0], [4.0]], [[[1.0]], [[1.0]]])
    >>> mean(X), covariance(X)
    (array([2.]), array([[5.]]))
    """
    return np.asarray(X.weights @ X.means)


def covariance(X: Mixture) -> Array:
    """Covariance, shape (d, d): within components plus between them.

    ``sum_k w_k (Sigma_k + (mu_k - mu)(mu_k - mu)^T)``, which equals
    ``sum_k w_k (Sigma_k + mu_k mu_k^T) - mu mu^T`` and does not cancel.
    """
    centred = X.means - mean(X)
    between = (X.weights * centred.T) @ centred
    return np.asarray(np.einsum("k,kij->ij", X.weights, X.covariances) + between)


def marginal(X: Mixture, columns: ArrayLike) -> Mixture:
    """Distribution of some of the columns, in the order given.

    Parameters
    ----------
    X : Mixture
        In d dimensions.
    columns : array-like of int, shape (m,)
        Positions, each at most once; negative ones count from the end.

    Raises
    ------
    MixmendError
        If a position is no whole number, does not exist, or is given twice.
    """
    d = X.means.shape[1]
    given = np.atleast_1d(np.asarray(columns))
    if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
        raise MixmendError(f"columns must be whole-number positions; got {columns!r}.")
    outside = (given < -d) | (given >= d)
    if outside.any():
        raise MixmendError(
            f"column {given[outside][0]} does not exist: the mixture has {d} columns, 0 to {d - 1}."
        )
    chosen = np.where(given < 0, given + d, given).astype(np.int64)
    if len(np.unique(chosen)) < len(chosen):
        raise MixmendError(f"columns must be distinct; got {chosen.tolist()}.")
    return _mixture(X.weights, X.means[:, chosen], X.covariances[:, chosen[:, None], chosen])


def condition(X: Mixture, x: ArrayLike) -> Mixture:
    """Distribution of the unobserved columns given the observed ones.

    Parameters
    ----------
    X : Mixture
        In d dimensions.
    x : array-like, shape (d,)
        A point; NaN marks the columns that are not observed.

    Returns
    -------
    Mixture
        Of the columns that are NaN in ``x``, in their order. Its weights are the
        responsibilities of the components for what was observed; with nothing observed
        it is ``X``, with everything observed a mixture in no dimensions.

    Raises
    ------
    MixmendError
        If ``x`` has another length or an infinite value; if the observed columns of a
        component have a singular covariance (there is no density to condition by); or if
        ``x`` is so far off that no component has a density there.

    Notes
    -----
    Weights are computed in the log domain, and the conditionals by a Cholesky
    factorisation of the observed block. Components of weight 0 keep weight 0.

    Examples
    --------
    >>> X = mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> Y = condition(X, [2.0, np.nan])
    >>> mean(Y), covariance(Y).round(12)
    (array([1.6]), array([[0.36]]))
    """
    d = X.means.shape[1]
    point = np.asarray(x, np.float64)
    if point.shape != (d,):
        raise MixmendError(f"x must have shape ({d},), NaN where unobserved; got {point.shape}.")
    if np.isinf(point).any():
        column = int(np.flatnonzero(np.isinf(point))[0])
        raise MixmendError(f"x must be finite where observed; column {column} is {point[column]}.")
    seen = ~np.isnan(point)
    if not seen.any():
        return X
    hidden = ~seen
    log_weights = _log(X.weights)
    means = X.means[:, hidden].copy()
    covariances = X.covariances[:, hidden][:, :, hidden].copy()
    for k in range(len(log_weights)):
        block = X.covariances[k][np.ix_(seen, seen)]
        across = X.covariances[k][np.ix_(seen, hidden)]
        lower = cholesky(k, block, np.flatnonzero(seen), "condition on")
        offset = point[seen] - X.means[k, seen]
        log_weights[k] += log_normal(lower, offset[:, None])[0]
        means[k] += across.T @ cho_solve((lower, True), offset)
        half = solve_triangular(lower, across, lower=True)
        covariances[k] = semi_definite(covariances[k] - half.T @ half)
    total = logsumexp(log_weights)
    if not np.isfinite(total):
        raise MixmendError(
            "x is too far from every component to have a density in double precision. "
            "Check its units."
        )
    return _mixture(np.exp(log_weights - total), means, covariances)


def affine(X: Mixture, A: ArrayLike, b: ArrayLike = 0.0) -> Mixture:
    """Distribution of ``A x + b``.

    Parameters
    ----------
    X : Mixture
        In d dimensions.
    A : array-like, shape (m, d)
        A matrix; with ``m > d``, or rows that depend on each other, the result's
        covariances are singular: it can be added to, mapped and sampled, but has no
        density.
    b : array-like, shape (m,), or float, default 0
        What is added.

    Examples
    --------
    >>> X = mixture([1.0], [[1.0, 2.0]], [[[1.0, 0.0], [0.0, 3.0]]])
    >>> Y = affine(X, [[1.0, 1.0], [2.0, 2.0]])
    >>> Y.means, Y.covariances.round(12)
    (array([[3., 6.]]), array([[[ 4.,  8.],
            [ 8., 16.]]]))
    """
    d = X.means.shape[1]
    matrix, shift = np.asarray(A, np.float64), np.asarray(b, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != d:
        raise MixmendError(f"A must have shape (m, {d}); got {matrix.shape}.")
    if shift.shape not in ((), (len(matrix),)):
        raise MixmendError(f"b must be a number or have shape ({len(matrix)},); got {shift.shape}.")
    if not (np.isfinite(matrix).all() and np.isfinite(shift).all()):
        raise MixmendError("A and b must be finite.")
    # through a root, so that rounding cannot make a variance negative
    roots = matrix @ np.stack([root(part) for part in X.covariances])
    return _mixture(X.weights, X.means @ matrix.T + shift, roots @ np.swapaxes(roots, 1, 2))


def add(X: Mixture, Y: Mixture) -> Mixture:
    """Distribution of the sum of two independent vectors.

    Returns
    -------
    Mixture
        K_x K_y components, those of ``Y`` running fastest: weights multiplied, means and
        covariances added.

    Raises
    ------
    MixmendError
        If the two have different dimensions.
    """
    d = X.means.shape[1]
    if Y.means.shape[1] != d:
        raise MixmendError(
            f"only vectors of one length can be added; these have {d} and {Y.means.shape[1]} "
            "columns. Take marginals of the columns that belong together first."
        )
    pairs = len(X.weights) * len(Y.weights)
    return _mixture(
        np.outer(X.weights, Y.weights).ravel(),
        (X.means[:, None] + Y.means).reshape(pairs, d),
        (X.covariances[:, None] + Y.covariances).reshape(pairs, d, d),
    )


def sample(X: Mixture, n: int, rng: np.random.Generator | int | None = None) -> Array:
    """Draw ``n`` independent rows, shape (n, d).

    Parameters
    ----------
    X : Mixture
        May be singular.
    n : int
        How many.
    rng : numpy.random.Generator, int or None
        Source of randomness, or the seed of one.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise MixmendError(f"the number of draws must be a whole number >= 0; got {n!r}.")
    generator = np.random.default_rng(rng)
    labels = generator.choice(len(X.weights), size=n, p=X.weights)
    noise = generator.standard_normal((n, X.means.shape[1]))
    rows = X.means[labels]
    for k in np.unique(labels):
        own = labels == k
        rows[own] += noise[own] @ root(X.covariances[k]).T
    return np.asarray(rows)


def log_density(X: Mixture, points: ArrayLike) -> Array:
    """Natural log of the density, shape (n,).

    Parameters
    ----------
    X : Mixture
        In d dimensions.
    points : array-like, shape (n, d)
        NaN marks columns that are not observed: a row's density is the marginal one of
        what it observes, and 0 in the log where that is nothing.

    Raises
    ------
    MixmendError
        If the shape does not fit or a component with weight is singular in the columns
        that a row observes.
    """
    d = X.means.shape[1]
    rows = np.asarray(points, np.float64)
    if rows.ndim != 2 or rows.shape[1] != d:
        raise MixmendError(f"points must have shape (n, {d}); got {rows.shape}.")
    seen = ~np.isnan(rows)
    out = np.zeros(len(rows))
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        own = np.flatnonzero(which.ravel() == number)
        columns = np.flatnonzero(pattern)
        if not len(columns):
            continue
        terms = np.full((len(X.weights), len(own)), -np.inf)
        for k in np.flatnonzero(X.weights > 0):
            block = X.covariances[k][np.ix_(columns, columns)]
            lower = cholesky(int(k), block, columns, "give a density of")
            offsets = rows[np.ix_(own, columns)] - X.means[k, columns]
            terms[k] = np.log(X.weights[k]) + log_normal(lower, offsets.T)
        out[own] = logsumexp(terms, axis=0)
    return out


def _mixture(weights: Array, means: Array, covariances: Array) -> Mixture:
    """Make a mixture of fresh arrays that need no check."""
    for array in (weights, means, covariances):
        array.flags.writeable = False
    return Mixture(weights, means, covariances)


def _log(weights: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights))


def _shapes(weights: Array, means: Array, covariances: Array) -> MixmendError:
    return MixmendError(
        "weights, means and covariances must have shapes (K,), (K, d) and (K, d, d); got "
        f"{weights.shape}, {means.shape} and {covariances.shape}."
    )
