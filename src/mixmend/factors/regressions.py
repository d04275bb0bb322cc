"""What is known of a row before any of its cells: its prior mean, a regression on features.

The unknowns of a row with features f are N(W' f, diag s) beforehand, and so are those of a
column; W, F × q, has the prior N(0, t_k) in each coordinate k. In a variational fit W has a
Gaussian posterior (as item and user features have in Rendle's factorisation machines and in
the regression-based latent factor models of Agarwal & Chen 2009); the variances s and t are
those that make the posteriors most probable. In a ridge fit W minimises
``sum_u c_u |q_u - W' f_u|^2 + gamma |W|^2``, the c_u being what lambda is multiplied with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.factors.sweeps import Side, diagonal_of
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

LEAST = 1e-12
"""Least variance of noise and priors, in units of the entries' variance."""

_ROUNDS = 3
"""Rounds of weights and variances per half-step: each costs next to nothing."""


class Regression(NamedTuple):
    """Regression of one side's unknowns on features.

    Attributes
    ----------
    weights : ndarray, shape (F, q)
        W, or its posterior mean.
    basis : ndarray, shape (F, F)
        Orthonormal directions in which the posteriors of W are independent.
    spread : ndarray, shape (F, q) or (0, q)
        Their variances, direction by direction; nothing for ridge.
    strengths : ndarray, shape (q,)
        Prior variances t of the weights.
    """

    weights: Array
    basis: Array
    spread: Array
    strengths: Array


class Known(NamedTuple):
    """What a side's posteriors say of its prior.

    Attributes
    ----------
    variances : ndarray, shape (q,)
        s.
    regression : Regression or None
    seconds : ndarray, shape (n, q)
        Expected squares of the unknowns around their prior means.
    """

    variances: Array
    regression: Regression | None
    seconds: Array

    @property
    def divergence(self) -> float:
        """Kullback–Leibler divergence of the posterior of W from its prior."""
        if self.regression is None:
            return 0.0
        weights, _, spread, strengths = self.regression
        own = (weights**2).sum(axis=0) + spread.sum(axis=0)
        own = own / strengths + len(spread) * (np.log(strengths) - 1.0)
        return 0.5 * float(own.sum() - np.log(spread).sum())


def prior_means(features: Array | None, regression: Regression | None) -> Array | None:
    """Prior means (n, q) of lines with features (n, F); None where they are all 0."""
    if features is None or regression is None:
        return None
    with fixed_order():
        return np.asarray(features @ regression.weights)


def doubt(features: Array | None, regression: Regression | None) -> Array | float:
    """Variances (n, q) of the prior means under the posterior of W."""
    if features is None or regression is None or len(regression.spread) == 0:
        return 0.0
    with fixed_order():
        return np.asarray((features @ regression.basis) ** 2 @ regression.spread)


def learn(
    side: Side,
    lines: Array,
    variances: Array,
    features: Array | None,
    before: Regression | None,
) -> Known:
    """Posterior of W and the prior variances, given the posteriors of a side.

    Parameters
    ----------
    side : Side
        With covariances.
    lines : ndarray, shape (n,)
        How often each line counts; 0 for lines without entries, which say nothing.
    variances : ndarray, shape (q,)
        s so far.
    features : ndarray, shape (n, F), or None
    before : Regression or None
        The one so far.
    """
    assert side.covariances is not None  # only variational fits learn these
    q = side.values.shape[1]
    own = diagonal_of(side.covariances, q)
    count = lines.sum()
    if features is None:
        seconds = side.values**2 + own
        return Known(np.maximum(lines @ seconds / count, LEAST), None, seconds)
    width = features.shape[1]
    strengths = variances / width if before is None else before.strengths
    with fixed_order():
        sizes, basis = _directions(features, lines)
        turned = features @ basis
        right = turned.T @ (lines[:, None] * side.values)
        for _ in range(_ROUNDS):
            spread = 1.0 / (sizes[:, None] / variances + 1.0 / strengths)
            along = spread * right / variances
            seconds = (side.values - turned @ along) ** 2 + own + turned**2 @ spread
            variances = np.maximum(lines @ seconds / count, LEAST)
            strengths = np.maximum((along**2 + spread).sum(axis=0) / width, LEAST)
        return Known(variances, Regression(basis @ along, basis, spread, strengths), seconds)


def ridge_regression(
    values: Array, scales: Array, features: Array | None, penalty: float
) -> Regression | None:
    """Weights that minimise ``sum_u scales_u |values_u - W' f_u|^2 + penalty |W|^2``."""
    if features is None:
        return None
    q = values.shape[1]
    with fixed_order():
        sizes, basis = _directions(features, scales)
        right = (features @ basis).T @ (scales[:, None] * values)
        weights = basis @ (right / (sizes + penalty)[:, None])
    return Regression(weights, basis, np.zeros((0, q)), np.full(q, 1.0 / penalty))


def _directions(features: Array, lines: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of the features' moment matrix."""
    sizes, basis = np.linalg.eigh((features * lines[:, None]).T @ features)
    return np.maximum(sizes, 0.0), basis
