"""What variational fits need to know of Dirichlet, normal and Wishart distributions.

Posterior and prior are of one kind, so that expectations and Kullback–Leibler divergences
have closed forms (Bishop 2006, *Pattern Recognition and Machine Learning*, ch. 10 and
appendix B). A Wishart distribution of a precision matrix is written with its degrees of
freedom and a scale V, the inverse of the usual scale matrix: the sum of squares that it
stands for. Its expected precision is the inverse of ``C = V / degrees``. With d = 1 it is
the gamma distribution of shape ``degrees / 2`` and rate ``V / 2``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, multigammaln

from mixmend.mixtures.spherical_e_step import Array


class HeldOpen:
    """What variational densities of every covariance type have in common.

    Their parameters have Dirichlet concentrations, and give those of some components.
    """

    __slots__ = ()

    weight_concentration: float

    def collapsed(self, parameters: Any) -> bool:
        """Never: a proper prior holds every component open."""
        return False

    def counts(self, parameters: Any) -> Array:
        """Expected rows of each component, (K,)."""
        return np.asarray(parameters.weight_concentration - self.weight_concentration)

    def without(self, parameters: Any, left_out: NDArray[np.intp]) -> Any:
        """The posterior with some components left out."""
        return parameters.taken(np.delete(np.arange(len(parameters.means)), left_out))


def expected_log_weights(concentration: Array) -> Array:
    """``E[log p]`` of weights p under a Dirichlet distribution, (K,).

    Examples
    --------
    >>> expected_log_weights(np.array([1.0, 1.0]))
    array([-1., -1.])
    """
    return np.asarray(digamma(concentration) - digamma(concentration.sum()))


def dirichlet_divergence(concentration: Array, prior: float) -> float:
    """Divergence of a Dirichlet distribution from the symmetric one of concentration ``prior``.

    Examples
    --------
    >>> dirichlet_divergence(np.full(3, 0.5), 0.5)
    0.0
    """
    total, count = concentration.sum(), len(concentration)
    gained = (concentration - prior) @ expected_log_weights(concentration)
    constants = gammaln(total) - gammaln(count * prior)
    constants += count * gammaln(prior) - gammaln(concentration).sum()
    return float(constants + gained)


def log_determinant_gap(degrees: Any, d: int) -> Any:
    """``E[log |L|] - log |E[L]|`` of a Wishart precision L over d columns: at most 0.

    Examples
    --------
    >>> float(round(log_determinant_gap(2.0, 1), 6))
    -0.577216
    """
    degrees = np.asarray(degrees, np.float64)
    steps = (degrees[..., None] - np.arange(d)) / 2.0
    return digamma(steps).sum(axis=-1) - d * np.log(degrees / 2.0)


def wishart_divergence(
    degrees: Any, prior_degrees: float, log_ratio: Any, trace: Any, d: int
) -> Any:
    """Divergence of a Wishart distribution from its prior.

    Parameters
    ----------
    degrees, prior_degrees : array-like and float
        Degrees of freedom of both, more than d - 1.
    log_ratio : array-like
        ``log |C| - log |S|``, C being ``V / degrees`` and S the prior's scale.
    trace : array-like
        ``trace(S inv(C))``.
    d : int
        Columns.

    Examples
    --------
    >>> float(wishart_divergence(3.0, 3.0, -2 * np.log(3.0), 3.0 * 2, 2))
    0.0
    """
    degrees = np.asarray(degrees, np.float64)
    steps = (degrees[..., None] - np.arange(d)) / 2.0
    of_scales = prior_degrees * (log_ratio + d * np.log(degrees)) + trace - degrees * d
    constants = log_gamma(prior_degrees, d) - log_gamma(degrees, d)
    return 0.5 * of_scales + constants + 0.5 * (degrees - prior_degrees) * digamma(steps).sum(-1)


def log_gamma(degrees: Any, d: int) -> Any:
    """Log of the multivariate gamma function of half the degrees of freedom."""
    return gammaln(degrees / 2.0) if d == 1 else multigammaln(degrees / 2.0, d)


def mean_divergence(precision: Any, prior_precision: float, squares: Any, d: int) -> Any:
    """Divergence of a mean's normal distribution from its prior, given the precision matrix.

    Parameters
    ----------
    precision, prior_precision : array-like and float
        How many rows both count for.
    squares : array-like
        Squared distance of the two centres in units of C, ``gap' inv(C) gap``.
    d : int
        Columns.
    """
    ratio = prior_precision / np.asarray(precision, np.float64)
    return 0.5 * (d * (ratio - 1.0 - np.log(ratio)) + prior_precision * squares)


def merge_gains(concentration: Array, prior: float, gain: Callable[[int, int], float]) -> Array:
    """What merging components j < k gains in the bound were their rows as sure of the one.

    Parameters
    ----------
    concentration, prior
        Dirichlet concentrations of the weights.
    gain : callable
        What components j and k gain by sharing a mean and a covariance.

    Returns
    -------
    ndarray, shape (K, K)
        Minus infinity but for j < k.
    """
    single = gammaln(concentration)
    together = gammaln(concentration[:, None] + concentration - prior)
    gains = together - single[:, None] - single + gammaln(prior)
    out = np.full_like(gains, -np.inf)
    for j, k in zip(*np.triu_indices(len(concentration), 1), strict=True):
        out[j, k] = gains[j, k] + gain(int(j), int(k))
    return out
