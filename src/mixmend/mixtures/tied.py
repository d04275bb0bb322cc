"""Gaussian mixtures whose components share one full covariance, on incomplete rows.

Complete rows need no second moments of each component: with m_u the expected mean of row u,
the scatter within components is that of the rows about m_u plus that of the means about
m_u, which K × K sums of products of responsibilities give (see `mixmend.kernels.tied`).
Tables with holes are worked on as full covariances that happen to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.kernels import full as kernels
from mixmend.kernels import tied as tied_kernels
from mixmend.kernels.products import vector_lanes, whole_vectors
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.mixtures import full_e_step
from mixmend.mixtures.full import (
    SINGULAR_SHARE,
    PriorScales,
    log_prior_of_weights,
    moved_means,
    new_weights,
    recentred,
    rounding,
)
from mixmend.mixtures.full_e_step import Statistics, whitener
from mixmend.mixtures.matrices import floored, least_share, packed, unpacked
from mixmend.mixtures.pattern_rows import PatternBlock, patterned
from mixmend.mixtures.spherical_e_step import Array

_TINY = 1e-300


_NO_WEIGHTS = np.zeros(0)


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


# ------------------------------------------------------------------------------ E-step


def e_step(parameters: Parameters, block: PatternBlock) -> Statistics:
    """Expected sufficient statistics; second moments (d, d) are summed over the components."""
    if block.has_holes:
        found = full_e_step.e_step(as_full(parameters), block)
        return replace(found, second=found.second.sum(axis=0))
    return _complete_e_step(parameters, block)


def _complete_e_step(parameters: Parameters, block: PatternBlock) -> Statistics:
    layout, (n_components, d) = block.common, parameters.means.shape
    vector = vector_lanes(d)
    height, width = whole_vectors(n_components, vector), whole_vectors(d, vector)
    centre = parameters.weights @ parameters.means
    means, white_means = np.zeros((height, width)), np.zeros((height, width))
    means[:n_components, :d] = parameters.means - centre
    w = np.zeros((width, width))
    w[:d, :d] = whitener(parameters.covariance)
    white_means[:] = means @ w.T
    log_scale = np.log(np.diagonal(w)[:d]).sum() - 0.5 * d * kernels.LOG_2PI
    with np.errstate(divide="ignore"):
        terms = np.log(parameters.weights) + log_scale
    tables = tied_kernels.Tables(centre, means, w, white_means, terms)
    n_tasks = len(layout.task_tiles) - 1
    sums = tied_kernels.Sums(
        np.zeros(n_tasks),
        np.zeros((n_tasks, height, width)),
        np.zeros((n_tasks, width, width)),
        np.zeros((n_tasks, height, height)),
    )
    weights = _NO_WEIGHTS if block.row_weights is None else block.row_weights
    with threads_for(2 * len(layout.order) * d * (d + 2 * n_components)):
        tied_kernels.e_step(tables, layout, weights, sums, vector, LANES[8])
    products = full_e_step.mirrored(sums.products.sum(axis=0)[:n_components, :n_components])
    mass = products.sum(axis=1)  # as the responsibilities of a row add up to 1
    relative = means[:n_components, :d]
    first = sums.first.sum(axis=0)[:n_components, :d] - mass[:, None] * relative
    second = full_e_step.mirrored(sums.scatter.sum(axis=0)[:d, :d])
    lower, upper = np.tril_indices(n_components, -1)
    gaps = relative[lower] - relative[upper]
    second += (gaps * products[lower, upper][:, None]).T @ gaps
    return Statistics(float(sums.log_likelihood.sum()), mass, first, second)


# ------------------------------------------------------------------------------ M-step


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
    fixed : ndarray of bool, shape (K,), or None
        Components whose means stay: the covariance is learned around them.
    """

    floors: Array
    prior: PriorScales | None = None
    reference: Array | None = None
    fixed: NDArray[np.bool_] | None = None

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows."""
        return e_step(parameters, patterned(block))

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The parameters under which the expected complete data are most probable."""
        prior = self.prior
        means, move = moved_means(statistics, parameters.means, prior)
        if self.fixed is not None:
            means[self.fixed], move[self.fixed] = parameters.means[self.fixed], 0.0
        sums = scatter(statistics, move)
        count = float(statistics.rows.sum())
        if prior is not None:
            n_components, d = means.shape
            gaps = means - prior.centre
            sums += prior.scale + prior.strength * gaps.T @ gaps
            count += prior.degrees + d + 1.0 + n_components * (prior.strength > 0)
        covariance = parameters.covariance
        if count > 0:
            covariance = floored(sums / count, np.diag(self.floors))
        return Parameters(new_weights(statistics.rows, prior), means, covariance)

    def recentred(self, statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led."""
        return recentred(statistics, old.means, new.means)

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
        ulp = precision * np.abs(parameters.means)
        slope = np.abs(statistics.first) + statistics.rows[:, None] * ulp
        moved = precision * np.abs(statistics.second) + ulp.T @ slope
        return rounding(moved, float(statistics.rows.sum()), parameters.covariance, self.floors)

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


def scatter(statistics: Statistics, move: Array) -> Array:
    """Expected sum of squares around means that are ``move`` (K, d) from the old, (d, d)."""
    cross = move.T @ statistics.first
    return np.asarray(statistics.second - cross - cross.T + (move.T * statistics.rows) @ move)


def log_prior(parameters: Parameters, prior: PriorScales | None) -> float:
    """Log prior density of means, covariance and weights, up to a constant."""
    if prior is None:
        return 0.0
    n_components, d = parameters.means.shape
    w = whitener(parameters.covariance)
    exponent = prior.degrees + d + 1.0 + n_components * (prior.strength > 0)
    total = log_prior_of_weights(parameters.weights, prior)
    total += exponent * float(np.log(np.diagonal(w)).sum())
    total -= 0.5 * float(((w @ prior.scale) * w).sum())
    gaps = (parameters.means - prior.centre) @ w.T
    return float(total - 0.5 * prior.strength * (gaps * gaps).sum())
