"""Mixtures with full covariances on incomplete rows, written down row by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import multivariate_normal


class OracleSums(NamedTuple):
    log_joint: np.ndarray
    log_likelihood: float
    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray


def conditional(x, mean, covariance):
    """Mean and covariance of all cells given the observed ones of one row."""
    seen = ~np.isnan(x)
    filled, spread = np.where(seen, x, mean), np.zeros_like(covariance)
    holes = np.flatnonzero(~seen)
    if not seen.any():
        return filled, covariance
    if len(holes):
        weights = covariance[np.ix_(holes, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        filled[holes] = mean[holes] + weights @ (x[seen] - mean[seen])
        left = covariance[np.ix_(holes, holes)] - weights @ covariance[np.ix_(seen, holes)]
        spread[np.ix_(holes, holes)] = left
    return filled, spread


def sums(X, weights, means, covariances, row_weights=None, shares=None) -> OracleSums:
    n, d = X.shape
    count = len(weights)
    row_weights = np.ones(n) if row_weights is None else row_weights
    log_joint = np.tile(np.log(weights), (n, 1))
    rows, first, second = np.zeros(count), np.zeros((count, d)), np.zeros((count, d, d))
    total = 0.0
    for u, x in enumerate(X):
        seen = ~np.isnan(x)
        if not seen.any():
            continue
        for k in range(count):
            log_joint[u, k] += multivariate_normal.logpdf(
                x[seen], means[k][seen], covariances[k][np.ix_(seen, seen)]
            )
        evidence = np.logaddexp.reduce(log_joint[u])
        total += row_weights[u] * evidence
        share = np.exp(log_joint[u] - evidence) if shares is None else shares[u]
        for k in range(count):
            filled, spread = conditional(x, means[k], covariances[k])
            r = row_weights[u] * share[k]
            rows[k] += r
            first[k] += r * (filled - means[k])
            second[k] += r * (np.outer(filled - means[k], filled - means[k]) + spread)
    return OracleSums(log_joint, total, rows, first, second)


def random_mixture(rng, n_components, d):
    """Weights, means and well-conditioned covariances."""
    half = rng.normal(size=(n_components, d, d + 2))
    covariances = half @ half.swapaxes(1, 2) / d
    return (
        rng.dirichlet(np.full(n_components, 3.0)),
        rng.normal(size=(n_components, d)),
        covariances,
    )


def with_holes(rng, X, share):
    out = X.copy()
    out[rng.random(X.shape) < share] = np.nan
    return out
