"""Slow, plain versions of what is done with patches, and small priors to do it with."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mixmend.imaging.patches import PatchGrid
from mixmend.imaging.prior import PatchPrior


def random_prior(rng, n_components=4, patch_size=3, remove_mean=False, spread=0.1):
    """A prior of random covariances, whose means are not zero."""
    d = patch_size**2
    factors = spread * rng.normal(size=(n_components, d, d)) / np.sqrt(d)
    scales = rng.uniform(0.2, 2.0, (n_components, 1, 1))
    covariances = scales * (factors @ factors.swapaxes(1, 2) + 1e-3 * spread**2 * np.eye(d))
    means = 0.5 * (not remove_mean) + spread * rng.normal(size=(n_components, d))
    weights = rng.dirichlet(np.full(n_components, 3.0))
    return PatchPrior.from_mixture(weights, means, covariances, patch_size, remove_mean)


def patch_matrix(grid: PatchGrid) -> np.ndarray:
    """All P_n, one under the other: (n p^2, pixels)."""
    height, width = grid.shape
    lines = []
    for row in grid.rows:
        for column in grid.columns:
            for i in range(grid.patch_size):
                for j in range(grid.patch_size):
                    line = np.zeros((height, width))
                    line[row + i, column + j] = 1.0
                    lines.append(line.ravel())
    return np.array(lines)


def coordinates(prior: PatchPrior) -> np.ndarray:
    """Orthonormal coordinates of patches that the prior speaks of, (d, q)."""
    d = prior.patch_size**2
    if not prior.remove_mean:
        return np.eye(d)
    constant = np.full((d, 1), d**-0.5)
    return np.linalg.svd(np.eye(d) - constant @ constant.T)[0][:, : d - 1]


def log_joint(patches, prior, noise):
    """log weight + log density of patches plus noise, (n, K)."""
    basis = coordinates(prior)
    y = patches @ basis
    out = np.empty((len(patches), prior.n_components))
    for k in range(prior.n_components):
        cov = basis.T @ prior.covariances[k] @ basis + noise * np.eye(basis.shape[1])
        normal = multivariate_normal(prior.means[k] @ basis, cov)
        out[:, k] = np.log(prior.weights[k]) + normal.logpdf(y)
    return out


def estimates(patches, prior, gamma, winners):
    """z = mu + C (I / gamma + C)^-1 (y - mu), with the mean kept where the prior has none."""
    d = patches.shape[1]
    means = patches.mean(axis=1, keepdims=True) if prior.remove_mean else 0.0
    y = patches - means
    out = np.empty_like(y)
    for n, k in enumerate(winners):
        cov = prior.covariances[k]
        gain = cov @ np.linalg.inv(np.eye(d) / gamma + cov)
        out[n] = prior.means[k] + gain @ (y[n] - prior.means[k])
    return out + means


def log_density(patches, prior):
    """The sum of log p over patches."""
    return float(logsumexp(log_joint(patches, prior, 0.0), axis=1).sum())


def picture(rng, shape=(14, 75)):
    """Blurred steps: smooth parts, edges, a little texture."""
    steps = np.kron(rng.random((shape[0] // 5 + 1, shape[1] // 5 + 1)), np.ones((5, 5)))
    return steps[: shape[0], : shape[1]] + 0.02 * rng.normal(size=shape)
