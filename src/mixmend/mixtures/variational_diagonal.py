"""Variational diagonal Gaussian mixtures on incomplete rows.

Mean and variance of every component and column have a normal–gamma posterior (the normal–Wishart
one of a single column), the weights a Dirichlet one. Given the component, columns are
independent: unlike with full covariances a hole says nothing and costs nothing, and a
posterior counts the rows that observe its column. In log densities an observed cell has::

    -1/2 (log(V / 2) - digamma(nu / 2) + 1 / beta + (x - m)^2 nu / V + log 2 pi)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.mixtures import conjugate, diagonal_e_step
from mixmend.mixtures.diagonal import DiagonalDensity, PriorScales
from mixmend.mixtures.diagonal_e_step import Statistics
from mixmend.mixtures.spherical_e_step import Array


class Parameters(NamedTuple):
    """Posterior of a diagonal mixture; K components, d columns.

    Attributes
    ----------
    weight_concentration : ndarray, shape (K,)
        Dirichlet concentrations of the weights.
    means : ndarray, shape (K, d)
        m, centres of the means.
    mean_precision : ndarray, shape (K, d)
        beta: how many rows each mean rests on, the prior's included.
    degrees_of_freedom : ndarray, shape (K, d)
        nu, of the variances' inverses: twice the shape of their gamma distributions.
    scales : ndarray, shape (K, d)
        V, sums of squares: twice the rates of the gamma distributions.
    """

    weight_concentration: Array
    means: Array
    mean_precision: Array
    degrees_of_freedom: Array
    scales: Array

    @property
    def weights(self) -> Array:
        """Expected mixing weights, (K,)."""
        return np.asarray(self.weight_concentration / self.weight_concentration.sum())

    @property
    def covariances(self) -> Array:
        """The inverses of the expected precisions, (K, d)."""
        return np.asarray(self.scales / self.degrees_of_freedom)

    def expected(self) -> diagonal_e_step.Parameters:
        """The parameters whose densities the E-step takes, but for `log_scales`."""
        log_weights = conjugate.expected_log_weights(self.weight_concentration)
        return diagonal_e_step.Parameters(np.exp(log_weights), self.means, self.covariances)

    def log_scales(self) -> Array:
        """What stands for the log variances in log densities, (K, d)."""
        gaps = conjugate.log_determinant_gap(self.degrees_of_freedom, 1)
        return np.asarray(np.log(self.covariances) - gaps + 1.0 / self.mean_precision)

    def predictive(self) -> diagonal_e_step.Parameters:
        """The mixture with the moments of what is predicted of a further row.

        Given its component a cell is Student's t, whose variance is
        ``V (1 + 1 / beta) / (nu - 2)``: what is not known of mean and variance is part of it.
        Where t has none (``nu - 2`` below 1), it is that of 1.
        """
        spare = np.maximum(self.degrees_of_freedom - 2.0, 1.0)
        variances = self.scales * (1.0 + 1.0 / self.mean_precision) / spare
        return diagonal_e_step.Parameters(self.weights, self.means, variances)

    def taken(self, kept: NDArray[np.intp]) -> Parameters:
        """The posterior of some of the components, in the order given."""
        return Parameters(*(part[kept] for part in self))


@dataclass(frozen=True, slots=True)
class VariationalDiagonal(conjugate.HeldOpen):
    """Prior of a variational diagonal mixture, and the steps under it.

    Parameters
    ----------
    point : DiagonalDensity
        The same without posteriors, under proper priors: where starts are made, and what
        rounding moves.
    weight_concentration : float
        Dirichlet concentration of the weights' prior.
    rows : float
        Sum of the row weights.
    column_rows : ndarray, shape (d,)
        The same over the rows that observe each column.
    """

    point: DiagonalDensity
    weight_concentration: float
    rows: float
    column_rows: Array

    @property
    def prior(self) -> PriorScales:
        """Priors of means and variances."""
        assert self.point.prior is not None  # the options' check sees to that
        return self.point.prior

    @property
    def _degrees(self) -> float:
        return 2.0 * self.prior.prior.variance_shape

    @property
    def _strength(self) -> float:
        return self.prior.prior.mean_strength

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics, and the first part of the bound."""
        expected = parameters.expected()
        found = diagonal_e_step.e_step(expected, block, parameters.log_scales())
        return replace(found, rows=observing_rows(found.rows, expected.weights, block))

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The posteriors that raise the bound the most: conjugate updates."""
        strength, gap = self._strength, self.prior.centre - parameters.means
        support = statistics.support.T
        pulled = statistics.deviations.T + strength * gap
        precision = strength + support
        move = pulled / precision
        # sum of post (x - mean)^2 around the new mean, and of the prior's own term
        squares = statistics.squares.T + strength * gap * gap - move * pulled
        return Parameters(
            self.weight_concentration + statistics.rows,
            parameters.means + move,
            precision,
            self._degrees + support,
            2.0 * self.prior.scale + np.maximum(squares, 0.0),
        )

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """The evidence lower bound."""
        variances, prior_scale = parameters.covariances, 2.0 * self.prior.scale
        of_variances = conjugate.wishart_divergence(
            parameters.degrees_of_freedom,
            self._degrees,
            np.log(variances) - np.log(prior_scale),
            prior_scale / variances,
            1,
        )
        squares = (parameters.means - self.prior.centre) ** 2 / variances
        of_means = conjugate.mean_divergence(parameters.mean_precision, self._strength, squares, 1)
        of_weights = conjugate.dirichlet_divergence(
            parameters.weight_concentration, self.weight_concentration
        )
        total = statistics.log_likelihood - of_weights
        return float(total - (of_variances + of_means).sum())

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the bound where values have relative ``precision``."""
        return self.point.rounding(statistics, parameters.expected(), precision)

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        positive = [np.log(part).ravel() for part in (parameters[0], *parameters[2:])]
        return np.concatenate([parameters.means.ravel(), *positive])

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for."""
        shape = like.means.shape
        sizes = np.cumsum([like.means.size, shape[0], like.means.size, like.means.size])
        means, concentration, *rest = np.split(vector, sizes)
        positive = (np.exp(part).reshape(shape) for part in rest)
        return Parameters(np.exp(concentration), means.reshape(shape), *positive)

    # ---------------------------------------------------------------------- starts and moves

    def lifted(self, start: diagonal_e_step.Parameters) -> Parameters:
        """A posterior around point estimates, as sure of them as so many rows make it."""
        support = start.weights[:, None] * self.column_rows
        degrees = self._degrees + support
        return Parameters(
            self.weight_concentration + self.rows * start.weights,
            start.means,
            self._strength + support,
            degrees,
            start.variances * degrees,
        )

    def merged(self, parameters: Parameters, j: int, k: int) -> Parameters:
        """The posterior if the rows of components j and k had come from one, now the last."""
        others = self.without(parameters, np.array([j, k]))
        one = self._together(parameters.taken(np.array([j, k])))
        return Parameters(*(np.concatenate(pair) for pair in zip(others, one, strict=True)))

    def _together(self, two: Parameters) -> Parameters:
        """One component with the rows of two: their posteriors' natural parameters add up."""
        strength, centre = self._strength, self.prior.centre
        precision = two.mean_precision.sum(axis=0) - strength
        mean = ((two.mean_precision * two.means).sum(axis=0) - strength * centre) / precision
        between = (two.mean_precision * (two.means - mean) ** 2).sum(axis=0)
        between -= strength * (centre - mean) ** 2
        return Parameters(
            two.weight_concentration.sum(keepdims=True) - self.weight_concentration,
            mean[None],
            precision[None],
            two.degrees_of_freedom.sum(axis=0, keepdims=True) - self._degrees,
            (two.scales.sum(axis=0) - 2.0 * self.prior.scale + between)[None],
        )

    def _evidence(self, parameters: Parameters) -> Array:
        """Log normalising constants of the components' posteriors beside the prior's, (K,)."""
        nu, nu0 = parameters.degrees_of_freedom, self._degrees
        terms = conjugate.log_gamma(nu, 1) - conjugate.log_gamma(nu0, 1)
        terms += 0.5 * (nu0 * np.log(2.0 * self.prior.scale) - nu * np.log(parameters.scales))
        terms += 0.5 * np.log(self._strength / parameters.mean_precision)
        return np.asarray(terms.sum(axis=1))

    def merge_gains(self, parameters: Parameters) -> Array:
        """What merging two components would gain were their rows as sure of them, (K, K)."""
        alone = self._evidence(parameters)

        def gain(j: int, k: int) -> float:
            one = self._together(parameters.taken(np.array([j, k])))
            return float(self._evidence(one)[0] - alone[j] - alone[k])

        concentration = parameters.weight_concentration
        return conjugate.merge_gains(concentration, self.weight_concentration, gain)


def observing_rows(rows: Array, weights: Array, block: Block) -> Array:
    """Sums of the posterior over rows that observe anything: the others count for nobody.

    ``rows`` are those over all rows, of which empty ones are shared out by ``weights``.
    """
    empty = block.counts == 0
    if not empty.any():
        return rows
    many = float(empty.sum() if block.row_weights is None else block.row_weights[empty].sum())
    return np.asarray(np.maximum(rows - many * weights / weights.sum(), 0.0))
