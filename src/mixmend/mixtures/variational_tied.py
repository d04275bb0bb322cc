"""Variational Gaussian mixtures whose components share one full covariance.

As `mixmend.mixtures.variational_full`, with one Wishart distribution for the precision
matrix of all components: given it, the means have normal posteriors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.mixtures import conjugate, tied
from mixmend.mixtures.full import PriorScales, moved_means
from mixmend.mixtures.full_e_step import Statistics, whitener
from mixmend.mixtures.matrices import packed, unpacked
from mixmend.mixtures.pattern_rows import patterned
from mixmend.mixtures.spherical_e_step import Array
from mixmend.mixtures.tied import TiedDensity
from mixmend.mixtures.variational_full import tilted


class Parameters(NamedTuple):
    """Posterior of a mixture with one covariance; K components, d columns.

    Attributes
    ----------
    weight_concentration : ndarray, shape (K,)
        Dirichlet concentrations of the weights.
    means : ndarray, shape (K, d)
        m, centres of the means.
    mean_precision : ndarray, shape (K,)
        beta: given the precision matrix L, the mean of component k has precision ``beta_k L``.
    degrees_of_freedom : float
        nu, of the Wishart distribution of the precision matrix.
    scale : ndarray, shape (d, d)
        V, its scale as a sum of squares: the expected precision is ``nu inv(V)``.
    """

    weight_concentration: Array
    means: Array
    mean_precision: Array
    degrees_of_freedom: float
    scale: Array

    @property
    def weights(self) -> Array:
        """Expected mixing weights, (K,)."""
        return np.asarray(self.weight_concentration / self.weight_concentration.sum())

    @property
    def covariances(self) -> Array:
        """C, the inverse of the expected precision matrix, (d, d)."""
        return self.scale / self.degrees_of_freedom

    def predictive(self) -> tied.Parameters:
        """The mixture with the moments of what is predicted of a further row.

        Its covariance is ``V (1 + p . (1 / beta)) / (nu - d - 1)``: one for all components, what
        is not known of their means averaged by their weights p.
        """
        spare = max(self.degrees_of_freedom - self.means.shape[1] - 1.0, 1.0)
        factor = (1.0 + float(self.weights @ (1.0 / self.mean_precision))) / spare
        return tied.Parameters(self.weights, self.means, self.scale * factor)

    def taken(self, kept: NDArray[np.intp]) -> Parameters:
        """The posterior with only some of the components, in the order given."""
        return self._replace(
            weight_concentration=self.weight_concentration[kept],
            means=self.means[kept],
            mean_precision=self.mean_precision[kept],
        )


@dataclass(frozen=True, slots=True)
class VariationalTied(conjugate.HeldOpen):
    """Prior of a variational mixture with tied covariances, and the steps under it.

    Parameters
    ----------
    point : TiedDensity
        The same without posteriors, under proper priors: where starts are made, and what
        rounding moves.
    weight_concentration : float
        Dirichlet concentration of the weights' prior.
    rows : float
        Sum of the row weights.
    """

    point: TiedDensity
    weight_concentration: float
    rows: float

    @property
    def prior(self) -> PriorScales:
        """Priors of means, covariances and weights."""
        assert self.point.prior is not None  # the options' check sees to that
        return self.point.prior._replace(weight_concentration=self.weight_concentration)

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics, and the first part of the bound."""
        expected, offset = self._expected(parameters)
        found = tied.e_step(expected, patterned(block))
        return replace(found, log_likelihood=found.log_likelihood + offset * found.rows.sum())

    def _expected(self, parameters: Parameters) -> tuple[tied.Parameters, float]:
        d = parameters.means.shape[1]
        gaps = -0.5 * d / parameters.mean_precision
        gaps += 0.5 * conjugate.log_determinant_gap(parameters.degrees_of_freedom, d)
        log_weights = conjugate.expected_log_weights(parameters.weight_concentration)
        weights, offset = tilted(log_weights + gaps)
        return tied.Parameters(weights, parameters.means, parameters.covariances), offset

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The posteriors that raise the bound the most: conjugate updates."""
        prior, rows = self.prior, statistics.rows
        means, move = moved_means(statistics, parameters.means, prior)
        gaps = means - prior.centre
        return Parameters(
            prior.weight_concentration + rows,
            means,
            prior.strength + rows,
            prior.degrees + float(rows.sum()),
            prior.scale + tied.scatter(statistics, move) + prior.strength * gaps.T @ gaps,
        )

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """The evidence lower bound."""
        prior, d = self.prior, parameters.means.shape[1]
        w = whitener(parameters.covariances)
        scale = prior.scale
        of_prior = np.linalg.slogdet(scale)[1]
        log_ratio = -2.0 * np.log(np.diagonal(w)).sum() - of_prior
        total = statistics.log_likelihood - conjugate.dirichlet_divergence(
            parameters.weight_concentration, prior.weight_concentration
        )
        total -= conjugate.wishart_divergence(
            parameters.degrees_of_freedom, prior.degrees, log_ratio, ((w @ scale) * w).sum(), d
        )
        squares = np.square((parameters.means - prior.centre) @ w.T).sum(axis=1)
        of_means = conjugate.mean_divergence(parameters.mean_precision, prior.strength, squares, d)
        return float(total - of_means.sum())

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the bound where values have relative ``precision``."""
        return self.point.rounding(statistics, self._expected(parameters)[0], precision)

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        least = parameters.means.shape[1] - 1.0
        parts = [
            np.log(parameters.weight_concentration),
            parameters.means.ravel(),
            np.log(parameters.mean_precision),
            np.log([parameters.degrees_of_freedom - least]),
            packed(parameters.scale),
        ]
        return np.concatenate(parts)

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for."""
        n_components, d = like.means.shape
        sizes = np.cumsum([n_components, n_components * d, n_components, 1])
        concentration, means, precision, degrees, rest = np.split(vector, sizes)
        return Parameters(
            np.exp(concentration),
            means.reshape(n_components, d),
            np.exp(precision),
            float(np.exp(degrees[0])) + (d - 1.0),
            unpacked(rest, d),
        )

    # ---------------------------------------------------------------------- starts and moves

    def lifted(self, start: tied.Parameters) -> Parameters:
        """A posterior around point estimates, as sure of them as so many rows make it."""
        prior, rows = self.prior, self.rows * start.weights
        degrees = prior.degrees + self.rows
        return Parameters(
            prior.weight_concentration + rows,
            start.means,
            prior.strength + rows,
            degrees,
            start.covariance * degrees,
        )

    def merged(self, parameters: Parameters, j: int, k: int) -> Parameters:
        """The posterior if the rows of components j and k had come from one, now the last."""
        others = self.without(parameters, np.array([j, k]))
        mean, precision, between = self._together(parameters, j, k)
        concentration = self.counts(parameters)[[j, k]].sum() + self.prior.weight_concentration
        return Parameters(
            np.append(others.weight_concentration, concentration),
            np.vstack([others.means, mean]),
            np.append(others.mean_precision, precision),
            parameters.degrees_of_freedom,
            parameters.scale + between,
        )

    def _together(self, parameters: Parameters, j: int, k: int) -> tuple[Array, float, Array]:
        """Mean and precision of two components' rows taken as one, and what the scale gains."""
        prior, betas = self.prior, parameters.mean_precision[[j, k]]
        means = parameters.means[[j, k]]
        precision = float(betas.sum()) - prior.strength
        mean = (betas @ means - prior.strength * prior.centre) / precision
        gaps, gap = means - mean, prior.centre - mean
        return mean, precision, (gaps.T * betas) @ gaps - prior.strength * np.outer(gap, gap)

    def merge_gains(self, parameters: Parameters) -> Array:
        """What merging two components would gain were their rows as sure of them, (K, K)."""
        d, nu, beta = parameters.means.shape[1], parameters.degrees_of_freedom, self.prior.strength
        before = float(np.linalg.slogdet(parameters.scale)[1])

        def gain(j: int, k: int) -> float:
            _, precision, between = self._together(parameters, j, k)
            after = float(np.linalg.slogdet(parameters.scale + between)[1])
            both = float(np.prod(parameters.mean_precision[[j, k]]))
            return 0.5 * float(nu * (before - after) + d * np.log(both / (precision * beta)))

        concentration = parameters.weight_concentration
        return conjugate.merge_gains(concentration, self.prior.weight_concentration, gain)
