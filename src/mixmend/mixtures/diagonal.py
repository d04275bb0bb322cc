"""Diagonal Gaussian mixtures on incomplete rows: a variance per component and column.

The model of row u, whose observed columns are C_u::

    z_u ~ Categorical(p)
    x_ui | z_u = k ~ N(mu_ki, v_ki)        for i in C_u

Given the component, columns are independent: a row's marginal over what it observes is the
product over those columns, and the observed-data EM of Ghahramani & Jordan (1994) needs
only sums over observed cells. Under `DiagonalPrior` the same steps find the joint mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mixmend.em.block import Block
from mixmend.mixtures.diagonal_e_step import (
    Parameters,
    Posterior,
    Statistics,
    e_step,
    posterior,
    row_bytes,
    statistics_of,
)
from mixmend.mixtures.priors import DiagonalPrior
from mixmend.mixtures.spherical_e_step import Array

_TINY = 1e-300

INDEPENDENCE_WARNING = (
    "covariance_type={name!r} assumes that columns do not depend on each other given the "
    "component. Where a cell's being missing depends on other cells (MAR), the estimated means "
    "may be biased, and holes borrow nothing from the row's other cells but the component. "
    "Use more components, or another covariance type, where columns are correlated."
)
"""What the estimator says of types without dependence between columns; format with ``name``."""


@dataclass(frozen=True, slots=True)
class PriorScales:
    """A `DiagonalPrior` in the units of the data.

    Parameters
    ----------
    prior : DiagonalPrior
        The prior's numbers.
    centre : ndarray, shape (d,)
        c, the centre of the means' prior.
    scale : ndarray, shape (d,)
        b, the scale of the variances' prior.
    """

    prior: DiagonalPrior
    centre: Array
    scale: Array


def _none() -> Array:
    return np.zeros(1)


@dataclass(frozen=True, slots=True)
class DiagonalDensity:
    """The options of a diagonal mixture and the steps that EM takes with them.

    Parameters
    ----------
    min_variance : ndarray, shape (d,) or (1,)
        Floor of the variances of each column.
    min_support : float
        A mean and a variance are updated only where the posterior weight of the column's
        observed cells reaches this; elsewhere they keep their values. Ignored under a prior.
    prior : PriorScales or None
        Priors of means, variances and weights.
    singular_variance : ndarray, shape (d,) or (1,)
        A component with a variance below this has collapsed onto points: its likelihood has
        no bound and says nothing.
    """

    min_variance: Array = field(default_factory=_none)
    min_support: float = 0.0
    prior: PriorScales | None = None
    singular_variance: Array = field(default_factory=_none)

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows."""
        return e_step(parameters, block)

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """Parameters that raise the objective the most."""
        return m_step(statistics, parameters, self)

    def recentred(self, statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led."""
        return recentred(statistics, old, new)

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """Log-likelihood plus log prior density at the parameters of the E-step."""
        return statistics.log_likelihood + log_prior(parameters, self.prior)

    def collapsed(self, parameters: Parameters) -> bool:
        """Whether a variance has fallen below ``singular_variance``."""
        return bool(np.any(parameters.variances < self.singular_variance))

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the objective where values have relative ``precision``.

        Squares are rounded relative to their size, and means where cells are compared with
        them, which moves the objective along its slope and curvature there.
        """
        ulp = precision * np.abs(parameters.means.T)
        slope = np.abs(statistics.deviations) + statistics.support * ulp
        total = precision * statistics.squares + ulp * slope
        return float((total / parameters.variances.T).sum())

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        return np.concatenate(
            [
                np.log(np.maximum(parameters.weights, _TINY)),
                parameters.means.ravel(),
                np.log(np.maximum(parameters.variances, _TINY)).ravel(),
            ]
        )

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for; weights are normalised again."""
        n_components, d = like.means.shape
        log_weights, means, log_variances = np.split(vector, [n_components, n_components * (d + 1)])
        weights = np.exp(log_weights - log_weights.max())
        variances = np.exp(log_variances).reshape(n_components, d)
        return Parameters(
            weights / weights.sum(),
            means.reshape(n_components, d),
            np.maximum(variances, np.maximum(self.min_variance, _TINY)),
        )


def m_step(statistics: Statistics, parameters: Parameters, density: DiagonalDensity) -> Parameters:
    """New parameters from expected statistics taken at ``parameters``.

    Each column of each component has a closed form: the mode of its normal–inverse-gamma
    posterior, which without a prior is the weighted mean and variance of its observed cells.
    """
    prior = density.prior
    support, deviations = statistics.support.T, statistics.deviations.T
    squares = statistics.squares.T
    if prior is None:
        known = support >= max(density.min_support, _TINY)
        move = np.divide(deviations, support, out=np.zeros_like(support), where=known)
        residuals = squares - move * deviations
        variances = np.divide(residuals, support, out=parameters.variances.copy(), where=known)
        weights = statistics.rows / statistics.rows.sum()
    else:
        strength, shape = prior.prior.mean_strength, prior.prior.variance_shape
        gap = prior.centre - parameters.means
        total = support + strength
        known = total > 0
        pulled = deviations + strength * gap
        move = np.divide(pulled, total, out=np.zeros_like(total), where=known)
        # sum of post (x - mean)^2 around the new mean, and of the prior's own term
        residuals = squares + strength * gap * gap - move * pulled
        if shape > 0:
            residuals = residuals + 2.0 * prior.scale
        counted = support + _exponent(prior.prior)
        variances = np.divide(
            residuals, counted, out=parameters.variances.copy(), where=counted > 0
        )
        raised = np.maximum(statistics.rows + prior.prior.excess, 0.0)
        weights = raised / raised.sum()
    floor = np.maximum(density.min_variance, _TINY)
    return Parameters(weights, parameters.means + move, np.maximum(variances, floor))


def recentred(statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
    """Statistics around ``old``'s means, moved to ``new``'s: exact, without the rows."""
    move = (new.means - old.means).T
    support, deviations = statistics.support, statistics.deviations
    return replace(
        statistics,
        deviations=deviations - support * move,
        squares=statistics.squares + move * (support * move - 2.0 * deviations),
    )


def _exponent(prior: DiagonalPrior) -> float:
    """Twice the power of 1 / v in the prior density."""
    of_means = 1.0 if prior.mean_strength > 0 else 0.0
    return of_means + (2.0 * (prior.variance_shape + 1.0) if prior.variance_shape > 0 else 0.0)


def log_prior(parameters: Parameters, scales: PriorScales | None) -> float:
    """Log prior density of the parameters, without the constants."""
    if scales is None:
        return 0.0
    prior, v = scales.prior, parameters.variances
    total = -0.5 * _exponent(prior) * float(np.log(v).sum())
    if prior.variance_shape > 0:
        total -= float((scales.scale / v).sum())
    gap = parameters.means - scales.centre
    total -= 0.5 * prior.mean_strength * float((gap * gap / v).sum())
    if prior.excess != 0.0:
        log_weights = np.log(np.maximum(parameters.weights, _TINY))
        total += prior.excess * float(log_weights.sum())
    return total


__all__ = [
    "INDEPENDENCE_WARNING",
    "DiagonalDensity",
    "Parameters",
    "Posterior",
    "PriorScales",
    "Statistics",
    "e_step",
    "log_prior",
    "m_step",
    "posterior",
    "recentred",
    "row_bytes",
    "statistics_of",
]
