"""Mixtures of every covariance type with parameters that a test knows."""

from __future__ import annotations

import warnings
from itertools import permutations
from typing import Any

import numpy as np

import mixmend as mm

Array = np.ndarray[Any, np.dtype[np.float64]]

TYPES = ("spherical", "diag", "tied", "full", "factor")


def options_of(covariance_type: str, n_factors: int = 1) -> dict[str, Any]:
    """What `GaussianMixture` needs to be told for a covariance type."""
    rank = {"n_factors": n_factors} if covariance_type == "factor" else {}
    return {"covariance_type": covariance_type} | rank


def known(covariance_type: str, n_components: int, d: int, gap: float, seed: int) -> Any:
    """A fitted estimator whose parameters were given, not learned."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(n_components, d))
    means = gap * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    loadings = rng.normal(0, 0.7, (n_components, d, 1))
    noise = rng.uniform(0.3, 1.2, (n_components, d))
    full = loadings @ np.swapaxes(loadings, 1, 2) + noise[:, :, None] * np.eye(d)
    covariances = {
        "spherical": noise[:, 0],
        "diag": noise,
        "tied": full[0],
        "full": full,
        "factor": full,
    }
    gm = mm.GaussianMixture(
        n_components,
        **options_of(covariance_type),
        weights_init=np.arange(2.0, n_components + 2) / np.arange(2.0, n_components + 2).sum(),
        means_init=means,
        covariances_init=covariances[covariance_type],
        max_iter=0,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return gm.fit(rng.normal(0, gap + 1, (50, d)))


def with_holes(X: Array, share: float, seed: int = 0) -> Array:
    """The same with cells removed at random; every row keeps one."""
    rng = np.random.default_rng(seed)
    holes = rng.random(X.shape) < share
    holes[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    return np.where(holes, np.nan, X)


def matched(means: Array, truth: Array) -> list[int]:
    """The order of components under which their means lie nearest to those of the truth."""
    orders = list(permutations(range(len(truth))))
    gaps = [np.abs(means[list(order)] - truth).sum() for order in orders]
    return list(orders[int(np.argmin(gaps))])


def matrices(gm: Any) -> Array:
    """The covariances of whatever type as matrices, (K, d, d)."""
    return np.asarray(gm.distribution().covariances)
