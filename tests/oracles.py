"""Slow, plain NumPy renderings of the published formulas, which the library is held against.

Nothing here is shared with the library: each function is the textbook formula written down
once, dense, in double precision. In the handout's incomplete functions a stored 0 means
missing; in the later ones NaN does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


class Mixture(NamedTuple):
    mu: Array
    var: Array
    p: Array


def init(X: Array, K: int, seed: int = 0) -> tuple[Mixture, Array]:
    np.random.seed(seed)
    n = len(X)
    mu = X[np.random.choice(n, K, replace=False)]
    var = np.array([((X - mean) ** 2).mean() for mean in mu])
    return Mixture(mu, var, np.full(K, 1 / K)), np.full((n, K), 1 / K)


def logsumexp(f: Array) -> Array:
    top = f.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(f - top).sum(axis=1, keepdims=True)))[:, 0]


# ---------------------------------------------------------------- K-means


def kmeans(X: Array, mixture: Mixture) -> tuple[Mixture, Array, float]:
    previous = np.inf
    while True:
        post = np.eye(len(mixture.p))[squared_distances(X, mixture.mu).argmin(axis=1)]
        size = post.sum(axis=0)
        mu = mixture.mu.copy()
        for k in np.flatnonzero(size):
            mu[k] = post[:, k] @ X / size[k]
        within = (post * squared_distances(X, mu)).sum(axis=0)
        distortion = within.sum()
        var = within / np.maximum(size, 1) / X.shape[1]
        mixture = Mixture(mu, var, size / len(X))
        if previous - distortion <= 1e-4:
            return mixture, post, distortion
        previous = distortion


def squared_distances(X: Array, mu: Array) -> Array:
    return np.stack([((X - mean) ** 2).sum(axis=1) for mean in mu], axis=1)


# ---------------------------------------------------------------- complete rows


def naive_estep(X: Array, mixture: Mixture) -> tuple[Array, float]:
    d = X.shape[1]
    f = (
        np.log(mixture.p)
        - d / 2 * np.log(2 * np.pi * mixture.var)
        - squared_distances(X, mixture.mu) / (2 * mixture.var)
    )
    row = logsumexp(f)
    return np.exp(f - row[:, None]), row.sum()


def naive_mstep(X: Array, post: Array) -> Mixture:
    n, d = X.shape
    size = post.sum(axis=0)
    mu = post.T @ X / size[:, None]
    var = (post * squared_distances(X, mu)).sum(axis=0) / (d * size)
    return Mixture(mu, var, size / n)


def naive_run(
    X: Array, mixture: Mixture, update_last: bool = False
) -> tuple[Mixture, Array, float]:
    return _run(
        lambda m: naive_estep(X, m), lambda post, m: naive_mstep(X, post), mixture, update_last
    )


def _run(
    e: Callable[[Mixture], tuple[Array, float]],
    m: Callable[[Array, Mixture], Mixture],
    mixture: Mixture,
    update_last: bool,
) -> tuple[Mixture, Array, float]:
    """Steps until the gain is small; the mixture returned is the one of the last E-step.

    With ``update_last`` one more M-step follows it, as in the course's printed solutions,
    whose parameters are therefore one step ahead of their log-likelihood.
    """
    old = -np.inf
    while True:
        post, new = e(mixture)
        if new - old <= 1e-6 * abs(new):
            return m(post, mixture) if update_last else mixture, post, new
        mixture, old = m(post, mixture), new


# ---------------------------------------------------------------- incomplete rows


def estep(X: Array, mixture: Mixture) -> tuple[Array, float]:
    mu, var, p = mixture
    seen = (X != 0).astype(float)
    count = seen.sum(axis=1)
    distance = (X**2 * seen).sum(axis=1)[:, None] - 2 * (X * seen) @ mu.T + seen @ (mu**2).T
    f = np.log(p + 1e-16) - count[:, None] / 2 * np.log(2 * np.pi * var) - distance / (2 * var)
    f = np.where(count[:, None] > 0, f, np.log(p))  # nothing seen: the weights, and 0 to l
    row = logsumexp(f)
    return np.exp(f - row[:, None]), row[count > 0].sum()


def mstep(X: Array, post: Array, mixture: Mixture, min_variance: float = 0.25) -> Mixture:
    seen = (X != 0).astype(float)
    support = post.T @ seen
    with np.errstate(invalid="ignore", divide="ignore"):
        mu = np.where(support >= 1, post.T @ (X * seen) / support, mixture.mu)
    distance = (X**2 * seen).sum(axis=1)[:, None] - 2 * (X * seen) @ mu.T + seen @ (mu**2).T
    with np.errstate(invalid="ignore"):
        var = (post * distance).sum(axis=0) / (post.T @ seen.sum(axis=1))
    return Mixture(mu, np.maximum(var, min_variance), post.sum(axis=0) / len(X))


def run(
    X: Array, mixture: Mixture, min_variance: float = 0.25, update_last: bool = False
) -> tuple[Mixture, Array, float]:
    return _run(
        lambda m: estep(X, m),
        lambda post, m: mstep(X, post, m, min_variance),
        mixture,
        update_last,
    )


def fill_matrix(X: Array, mixture: Mixture) -> Array:
    post, _ = estep(X, mixture)
    return np.where(X == 0, post @ mixture.mu, X)


def bic(X: Array, mixture: Mixture, log_likelihood: float) -> float:
    K, d = mixture.mu.shape
    return log_likelihood - 0.5 * (K * d + K + K - 1) * np.log(len(X))


def rmse(X: Array, Y: Array) -> float:
    return float(np.sqrt(np.mean((X - Y) ** 2)))


# ---------------------------------------------------------------- loops over observed cells


def cell_distances(X: Array, means: Array, spread: Array | None = None) -> tuple[Array, Array]:
    """Sums over each row's observed cells of (x - mean)^2 (+ spread) and of x - mean, (n, K)."""
    n, d = X.shape
    distances, sums = np.zeros((n, len(means))), np.zeros((n, len(means)))
    for u in range(n):
        for i in range(d):
            if np.isnan(X[u, i]):
                continue
            residual = float(X[u, i]) - means[:, i]
            distances[u] += residual**2
            sums[u] += residual
            if spread is not None:
                distances[u] += spread[:, i]
    return distances, sums


def cell_column_sums(
    X: Array, means: Array, post: Array, shift: Array | None = None
) -> tuple[Array, Array]:
    """Per column: sums of the posterior and of posterior * (x - mean) - shift, (d, K)."""
    n, d = X.shape
    s0, s1 = np.zeros((d, len(means))), np.zeros((d, len(means)))
    for u in range(n):
        for i in range(d):
            if np.isnan(X[u, i]):
                continue
            s0[i] += post[u]
            s1[i] += post[u].astype(float) * (float(X[u, i]) - means[:, i])
            if shift is not None:
                s1[i] -= shift[u]
    return s0, s1


# ---------------------------------------------------------------- spherical mixtures, NaN holes
#
# ``q`` has the attributes weights, means, variances, mean_variances, prior_variance and
# offset_variance of a spherical mixture; ``prior`` those of a SphericalPrior.


class SphericalRows(NamedTuple):
    """What a mixture says of each row and component, all (n, K)."""

    log_joint: Array
    post: Array
    offsets: Array
    offset_variances: Array

    def log_densities(self) -> Array:
        return np.logaddexp.reduce(self.log_joint, axis=1)


def spherical_rows(X: Array, q: Any) -> SphericalRows:
    """Bayes' rule with the covariance v I + tau 1 1^T of the observed coordinates written out.

    Under a Gaussian posterior N(m, w) of the means the expected log density takes the place
    of the log density: - sum w / (2 v).
    """
    tau = q.offset_variance
    shape = (len(X), len(q.weights))
    log_joint = np.tile(np.log(q.weights), (len(X), 1))
    offsets, offset_variances = np.zeros(shape), np.full(shape, tau)
    for u, k in np.ndindex(*shape):
        seen = ~np.isnan(X[u])
        m = int(seen.sum())
        if m == 0:
            continue
        x, mean = X[u, seen].astype(float), q.means[k, seen]
        covariance = q.variances[k] * np.eye(m) + tau * np.ones((m, m))
        log_joint[u, k] += stats.multivariate_normal.logpdf(x, mean, covariance)
        if q.mean_variances is not None:
            log_joint[u, k] -= q.mean_variances[k, seen].sum() / (2 * q.variances[k])
        gain = np.linalg.solve(covariance, np.full(m, tau))
        offsets[u, k] = gain @ (x - mean)
        offset_variances[u, k] = tau - tau * gain.sum()
    post = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=1)[:, None])
    return SphericalRows(log_joint, post, offsets, offset_variances)


def spherical_residuals(X: Array, rows: SphericalRows, means: Array, spread: Array | None) -> Array:
    """Expected squared residual E sum_i (x_i - mu_i - b)^2 of every row and component, (n, K)."""
    out = np.zeros(rows.post.shape)
    for u, k in np.ndindex(*out.shape):
        seen = ~np.isnan(X[u])
        out[u, k] = ((X[u, seen] - means[k, seen] - rows.offsets[u, k]) ** 2).sum()
        out[u, k] += seen.sum() * rows.offset_variances[u, k]
        if spread is not None:
            out[u, k] += spread[k, seen].sum()
    return out


def spherical_statistics(
    X: Array, q: Any, row_weights: Array | None = None, post: Array | None = None
) -> dict[str, Any]:
    """Sums that an E-step has to give, by the names of the library's statistics."""
    rows = spherical_rows(X, q)
    if post is not None:  # given from outside: offsets play no part
        zero = np.zeros(rows.post.shape)
        rows = SphericalRows(rows.log_joint, post, zero, zero)
    w = np.ones(len(X)) if row_weights is None else row_weights
    r = rows.post * w[:, None]
    counts = (~np.isnan(X)).sum(axis=1)
    squares = rows.offsets**2 + rows.offset_variances
    support, deviations = cell_column_sums(X, q.means, r, r * rows.offsets)
    residuals = spherical_residuals(X, rows, q.means, q.mean_variances)
    return {
        "log_likelihood": float((w * rows.log_densities())[counts > 0].sum()),
        "rows": r.sum(axis=0),
        "cells": counts @ r,
        "residuals": (r * residuals).sum(axis=0),
        "offset_squares": (r * squares).sum(axis=0),
        "support": support,
        "deviations": deviations,
    }


def concentration_of(prior: Any) -> float:
    """That of the weights' Dirichlet prior: flat where it is left open."""
    return 1.0 if prior.weight_concentration is None else float(prior.weight_concentration)


def spherical_m_step(
    X: Array,
    q: Any,
    *,
    prior: Any = None,
    centre: Array | None = None,
    row_offsets: bool = False,
    min_variance: float = 0.0,
    min_support: float = 0.0,
    row_weights: Array | None = None,
) -> Any:
    """One EM step from ``q``: every maximiser as a weighted average over cells."""
    rows = spherical_rows(X, q)
    w = np.ones(len(X)) if row_weights is None else row_weights
    r = rows.post * w[:, None]
    K, d = q.means.shape
    means, spread = q.means.copy(), None
    if q.mean_variances is not None:
        spread = np.empty((K, d))
    for k in range(K):
        for i in range(d):
            seen = ~np.isnan(X[:, i])
            support = r[seen, k].sum()
            total = (r[seen, k] * (X[seen, i] - rows.offsets[seen, k])).sum()
            if spread is None:
                if support > 0 and support >= min_support:
                    means[k, i] = total / support
            else:
                precision = support / q.variances[k] + 1 / q.prior_variance
                means[k, i] = (total / q.variances[k] + centre[i] / q.prior_variance) / precision
                spread[k, i] = 1 / precision
    residuals = (r * spherical_residuals(X, rows, means, spread)).sum(axis=0)
    cells = (~np.isnan(X)).sum(axis=1) @ r
    variances = np.empty(K)
    for k in range(K):
        top, bottom = residuals[k], cells[k]
        if prior is not None and prior.variance_shape > 0:
            top += 2 * prior.variance_scale
            bottom += 2 * (prior.variance_shape + 1)
        variances[k] = max(top / bottom if bottom > 0 else q.variances[k], min_variance)
    size = r.sum(axis=0) + (0.0 if prior is None else concentration_of(prior) - 1)
    out = q._replace(weights=size / size.sum(), means=means, variances=variances)
    if spread is not None:
        out = out._replace(mean_variances=spread)
        if prior.mean_variance == "learned":
            out = out._replace(prior_variance=float((spread + (means - centre) ** 2).mean()))
    if row_offsets:
        squares = r * (rows.offsets**2 + rows.offset_variances)
        out = out._replace(offset_variance=float(squares.sum() / r.sum()))
    return out


def spherical_objective(
    X: Array, q: Any, prior: Any = None, centre: Any = None, row_weights: Array | None = None
) -> float:
    """Log-likelihood (bound) plus log priors with all their constants."""
    rows = spherical_rows(X, q)
    w = np.ones(len(X)) if row_weights is None else row_weights
    seen = ~np.isnan(X).all(axis=1)
    total = float((w * rows.log_densities())[seen].sum())
    if prior is None:
        return total
    if len(q.weights) > 1:
        total += stats.dirichlet.logpdf(q.weights, np.full(len(q.weights), concentration_of(prior)))
    if prior.variance_shape > 0:
        law = stats.invgamma(prior.variance_shape, scale=prior.variance_scale)
        total += law.logpdf(q.variances).sum()
    if q.mean_variances is not None:
        s, w_means = q.prior_variance, q.mean_variances
        total += (stats.norm.logpdf(q.means, centre, np.sqrt(s)) - w_means / (2 * s)).sum()
        total += stats.norm.entropy(q.means, np.sqrt(w_means)).sum()
    return float(total)
