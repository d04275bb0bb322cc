"""Slow, plain NumPy renderings of the published formulas, which the library is held against.

Nothing here is shared with the library: each function is the textbook formula written down
once, dense, in double precision. In the incomplete functions a stored 0 means missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
