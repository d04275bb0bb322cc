"""Gaussian mixtures whose components share one full covariance, on incomplete rows.

Complete rows need no second moments of each component: with m_u the expected mean of row u,
the scatter within components is that of the rows about m_u plus that of the means about
m_u, which K × K sums of products of responsibilities give (see `mixmend.kernels.tied`).
Tables with holes are worked on as full covariances that happen to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixmend.em.block import Block
from mixmend.mixtures import full_e_step
from mixmend.mixtures.full import (
    SINGULAR_SHARE,
    PriorScales,
    log_prior_of_weights,
    moved_means,
    new_weights,
    rounding,
)
from mixmend.mixtures.full_e_step import Statistics, whitener
from mixmend.mixtures.matrices import floored, least_share, packed, unpacked
from mixmend.mixtures.pattern_rows import patterned
from mixmend.mixtures.spherical_e_step import Array

_TINY = 1e-300


class Parameters(NamedTuple):
    """Parameters of a mixture with one covariance; K components, d columns.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Mixing weights.
    means : ndarray, shape (K, d)
        Component means.
    covariance : ndarray, shape (d, d)
        The covariance of every component.
    """

    weights: Array
    means: Array
    covariance: Array


def as_full(parameters: Parameters) -> full_e_step.Parameters:
    """The same mixture with the covariance repeated for each component."""
    shape = (len(parameters.weights), *parameters.covariance.shape)
    covariances = np.broadcast_to(parameters.covariance, shape)
    return full_e_step.Parameters(parameters.weights, parameters.means, covariances)


@dataclass(frozen=True, slots=True)
class TiedDensity:
    """The options of a mixture with tied covariances and the steps that EM takes with them.

    Parameters
    ----------
    floors : ndarray, shape (d,)
        The covariance C keeps ``C - diag(floors)`` positive semidefinite.
    prior : PriorScales or None
        Priors of means, covariance and weights.
    reference : ndarray, shape (d, d), or None
        Covariance of all rows, by which a collapse is measured; None: never.
    """

    floors: Array
    prior: PriorScales | None = None
    reference: Array | None = None

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows.

        Second moments are needed summed over the components only.
        """
        return full_e_step.e_step(as_full(parameters), patterned(block))

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The parameters under which the expected complete data are most probable."""
        prior = self.prior
        means, scatters = moved_means(statistics, parameters.means, prior)
        scatter = scatters.sum(axis=0)
        count = float(statistics.rows.sum())
        if prior is not None:
            n_components, d = means.shape
            scatter = scatter + np.diag(prior.scale)
            count += prior.degrees + d + 1.0 + n_components * (prior.strength > 0)
        covariance = parameters.covariance
        if count > 0:
            covariance = floored(scatter / count, np.diag(self.floors))
        return Parameters(new_weights(statistics.rows, prior), means, covariance)

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """Log-likelihood plus log prior density (up to a constant)."""
        return statistics.log_likelihood + log_prior(parameters, self.prior)

    def collapsed(self, parameters: Parameters) -> bool:
        """Whether the covariance is singular beside that of all rows."""
        if self.reference is None:
            return False
        return least_share(parameters.covariance, self.reference) < SINGULAR_SHARE

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the objective where values have relative ``precision``."""
        return rounding(statistics, as_full(parameters), self.floors, precision)

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        log_weights = np.log(np.maximum(parameters.weights, _TINY))
        return np.concatenate([parameters.means.ravel(), log_weights, packed(parameters[2])])

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for, within the floor."""
        n_components, d = like.means.shape
        means, weights, rest = np.split(vector, [n_components * d, n_components * (d + 1)])
        weights = np.exp(weights)
        covariance = floored(unpacked(rest, d), np.diag(self.floors))
        return Parameters(weights / weights.sum(), means.reshape(n_components, d), covariance)


def log_prior(parameters: Parameters, prior: PriorScales | None) -> float:
    """Log prior density of means, covariance and weights, up to a constant."""
    if prior is None:
        return 0.0
    n_components, d = parameters.means.shape
    w = whitener(parameters.covariance)
    exponent = prior.degrees + d + 1.0 + n_components * (prior.strength > 0)
    total = log_prior_of_weights(parameters.weights, prior)
    total += exponent * float(np.log(np.diagonal(w)).sum())
    total -= 0.5 * float(((w * w) @ prior.scale).sum())
    gaps = (parameters.means - prior.centre) @ w.T
    return float(total - 0.5 * prior.strength * (gaps * gaps).sum())
