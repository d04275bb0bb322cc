"""Gaussian mixtures with full covariances on incomplete rows.

Maximum likelihood by the observed-data EM of Ghahramani & Jordan (1994): the expected
second moments hold the conditional covariance of what is missing, not only the outer
product of its conditional mean. With a `NormalInverseWishart` prior the steps climb to the
joint posterior mode instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixmend.em.block import Block
from mixmend.errors import MixmendError
from mixmend.mixtures.columns import ColumnFacts
from mixmend.mixtures.full_e_step import Parameters, Statistics, e_step, whitener
from mixmend.mixtures.matrices import floored, least_share, packed, unpacked
from mixmend.mixtures.pattern_rows import patterned
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.mixtures.spherical_e_step import Array

_TINY = 1e-300

SINGULAR_SHARE = 1e-7
"""Below this share of the pooled variance in the same direction a variance has collapsed."""

_LEAST_SHARE = 1e-10
"""Least variance in units of the columns' variances: what double precision can factor."""


def covariance_floors(facts: ColumnFacts, min_variance: float = 0.0) -> Array:
    """The least variance of each column, (d,), that a covariance may give it.

    ``min_variance``, or what rounding of the values and of the factorisation leaves
    distinguishable from 0 where that is more.

    Examples
    --------
    >>> facts = ColumnFacts(np.zeros(2), np.array([1.0, 4.0]), np.full(2, 1e-30))
    >>> covariance_floors(facts), covariance_floors(facts, 0.5)
    (array([1.e-10, 4.e-10]), array([0.5, 0.5]))
    """
    least = np.maximum(facts.floors, _LEAST_SHARE * facts.variances)
    return np.asarray(np.maximum(least, min_variance))


class PriorScales(NamedTuple):
    """A prior in the units of the data: centre (d,), strength, degrees, scale matrix (d, d)."""

    centre: Array
    strength: float
    degrees: float
    scale: Array
    weight_concentration: float


def prior_scales(
    prior: NormalInverseWishart | None, facts: ColumnFacts, n_components: int
) -> PriorScales | None:
    """What a prior means for columns with these means and variances.

    A prior whose scale is "pooled" begins as the weak one under which the pooled covariance
    is found; `borrowing` makes it what was asked for.

    Raises
    ------
    MixmendError
        If it has too few degrees of freedom for so many columns.
    """
    if prior is None:
        return None
    d = len(facts.means)
    degrees = d + 2.0 if prior.degrees is None else prior.degrees
    if degrees <= d - 1:
        raise MixmendError(
            f"An inverse Wishart prior over {d} columns needs degrees greater than {d - 1}; "
            f"got {degrees:g}."
        )
    if prior.scale == "pooled":
        weak = replace(prior, degrees=None, scale="columns")
        return prior_scales(weak, facts, 1)
    if prior.scale == "columns":
        scale = facts.variances / n_components ** (2.0 / d)
    else:
        scale = np.full(d, float(prior.scale))
    return PriorScales(
        facts.means, prior.mean_strength, degrees, np.diag(scale), prior.excess + 1.0
    )


def borrowing(
    scales: PriorScales | None, prior: NormalInverseWishart | None, pooled: Array
) -> PriorScales | None:
    """The scales with the pooled covariance (d, d) as the mode, where "pooled" asks for it.

    A component without any row then takes the pooled covariance itself.

    Examples
    --------
    >>> prior = NormalInverseWishart(mean_strength=0.0, degrees=4.0, scale="pooled")
    >>> facts = ColumnFacts(np.zeros(2), np.ones(2), np.zeros(2))
    >>> borrowing(prior_scales(prior, facts, 3), prior, np.array([[1.0, 0.5], [0.5, 2.0]])).scale
    array([[ 7. ,  3.5],
           [ 3.5, 14. ]])
    """
    if scales is None or prior is None or prior.scale != "pooled":
        return scales
    d = len(pooled)
    degrees = d + 2.0 if prior.degrees is None else prior.degrees
    rows = degrees + d + 1.0 + (scales.strength > 0)
    return scales._replace(degrees=degrees, scale=rows * pooled)


@dataclass(frozen=True, slots=True)
class FullDensity:
    """The options of a mixture with full covariances and the steps that EM takes with them.

    Parameters
    ----------
    floors : ndarray, shape (d,)
        Every covariance C keeps ``C - diag(floors)`` positive semidefinite: a ridge that
        only what is below it feels, as an eigenvalue floor in the units of the columns.
        Such a step maximises the objective under that constraint, so EM still never falls.
    prior : PriorScales or None
        Priors of means, covariances and weights.
    reference : ndarray, shape (d, d), or None
        Pooled covariance. A component has collapsed where its variance in some direction is
        below 1e-7 of this one's; None: never.
    """

    floors: Array
    prior: PriorScales | None = None
    reference: Array | None = None

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows."""
        return e_step(parameters, patterned(block))

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The parameters under which the expected complete data are most probable."""
        return m_step(statistics, parameters, self)

    def recentred(self, statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led."""
        return recentred(statistics, old.means, new.means)

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """Log-likelihood plus log prior density (up to a constant)."""
        return statistics.log_likelihood + log_prior(parameters, self.prior)

    def collapsed(self, parameters: Parameters) -> bool:
        """Whether a component's covariance is singular beside the pooled one."""
        if self.reference is None:
            return False
        return any(least_share(c, self.reference) < SINGULAR_SHARE for c in parameters.covariances)

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the objective where values have relative ``precision``."""
        total = 0.0
        for k, covariance in enumerate(parameters.covariances):
            ulp = precision * np.abs(parameters.means[k])
            slope = np.abs(statistics.first[k]) + statistics.rows[k] * ulp
            moved = precision * np.abs(statistics.second[k]) + np.outer(ulp, slope)
            total += rounding(moved, float(statistics.rows[k]), covariance, self.floors)
        return total

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        log_weights = np.log(np.maximum(parameters.weights, _TINY))
        covariances = packed(parameters.covariances)
        return np.concatenate([parameters.means.ravel(), log_weights, covariances.ravel()])

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for, within the floor."""
        n_components, d = like.means.shape
        means, weights, rest = np.split(vector, [n_components * d, n_components * (d + 1)])
        weights = np.exp(weights)
        raw = unpacked(rest.reshape(n_components, -1), d)
        covariances = floored(raw, np.diag(self.floors))
        return Parameters(weights / weights.sum(), means.reshape(n_components, d), covariances)


# ------------------------------------------------------------------------------ M-step


def m_step(statistics: Statistics, parameters: Parameters, density: FullDensity) -> Parameters:
    """New parameters from expected statistics taken at ``parameters``.

    A component without any row and without a prior keeps its mean and covariance.
    """
    prior = density.prior
    means, move = moved_means(statistics, parameters.means, prior)
    counts, squares = statistics.rows.copy(), scatters(statistics, move)
    if prior is not None:
        d = means.shape[1]
        gaps = means - prior.centre
        squares += prior.scale + prior.strength * gaps[:, :, None] * gaps[:, None, :]
        counts += prior.degrees + d + 1.0 + (prior.strength > 0)
    floor = np.diag(density.floors)
    covariances = parameters.covariances.copy()
    own = counts > 0
    covariances[own] = floored(squares[own] / counts[own, None, None], floor)
    return Parameters(new_weights(statistics.rows, prior), means, covariances)


def recentred(statistics: Statistics, old: Array, new: Array) -> Statistics:
    """Statistics around the means ``old`` (K, d), moved to ``new``: exact, without the rows.

    What is missing stays as it was expected in the E-step. Second moments that are summed
    over the components, as for tied covariances, are moved as a sum.
    """
    move, rows = new - old, statistics.rows[:, None]
    # (x - new)(x - new)' = (x - old)(x - old)' - move (x - mid)' - (x - mid) move'
    middle = statistics.first - 0.5 * rows * move
    if statistics.second.ndim == 2:
        cross = move.T @ middle
    else:
        cross = move[:, :, None] * middle[:, None, :]
    return replace(
        statistics,
        first=statistics.first - rows * move,
        second=statistics.second - (cross + cross.swapaxes(-1, -2)),
    )


def scatters(statistics: Statistics, move: Array) -> Array:
    """Expected sums of squares around means that are ``move`` (K, d) from the old, (K, d, d)."""
    cross = move[:, :, None] * statistics.first[:, None, :]
    outer = move[:, :, None] * move[:, None, :]
    inner = statistics.second - cross - cross.swapaxes(1, 2)
    return np.asarray(inner + statistics.rows[:, None, None] * outer)


def moved_means(
    statistics: Statistics, means: Array, prior: PriorScales | None
) -> tuple[Array, Array]:
    """The best means, (K, d), and how far they are from the old ones.

    A component without rows and prior keeps its mean.
    """
    rows, first = statistics.rows, statistics.first
    strength = 0.0 if prior is None else prior.strength
    pull = first if prior is None else first + strength * (prior.centre - means)
    mass = (rows + strength)[:, None]
    move = np.divide(pull, mass, out=np.zeros_like(first), where=mass > 0)
    return means + move, move


def new_weights(rows: Array, prior: PriorScales | None) -> Array:
    """The best mixing weights."""
    excess = 0.0 if prior is None else prior.weight_concentration - 1.0
    raised = np.maximum(rows + excess, 0.0)
    total = raised.sum()
    return np.asarray(raised / total) if total > 0 else np.full(len(rows), 1.0 / len(rows))


def log_prior(parameters: Parameters, prior: PriorScales | None) -> float:
    """Log prior density of means, covariances and weights, up to a constant."""
    if prior is None:
        return 0.0
    total: float = log_prior_of_weights(parameters.weights, prior)
    d = parameters.means.shape[1]
    w = whitener(parameters.covariances)
    exponent = prior.degrees + d + 1.0 + (prior.strength > 0)
    total += exponent * float(np.log(np.diagonal(w, axis1=1, axis2=2)).sum())
    total -= 0.5 * float(((w @ prior.scale) * w).sum())
    gaps = w @ (parameters.means - prior.centre)[:, :, None]
    total -= 0.5 * prior.strength * float(np.vdot(gaps, gaps))
    return total


def rounding(moved: Array, rows: float, covariance: Array, floors: Array) -> float:
    """How far the objective may be off where a component's scatter may be ``moved`` (d, d).

    Products are rounded relative to their size, and means where cells are compared with
    them; what correlated columns cancel is counted by its size before. A covariance that is
    held at the floor is held there to the accuracy of eigenvalues beside the largest.
    """
    w = whitener(covariance)
    total = float((np.abs(w.T @ w) * moved).sum())
    if least_share(covariance, np.diag(floors)) < 1.001:
        spread = float((np.diagonal(covariance) / floors).max())
        total += rows * len(w) * spread * float(np.finfo(float).eps)
    return total


def log_prior_of_weights(weights: Array, prior: PriorScales) -> float:
    """Log Dirichlet density of the weights, up to a constant."""
    if prior.weight_concentration == 1.0:
        return 0.0
    log_weights = np.log(np.maximum(weights, _TINY))
    return (prior.weight_concentration - 1.0) * float(log_weights.sum())
