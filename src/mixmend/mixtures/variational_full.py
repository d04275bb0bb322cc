"""Variational Gaussian mixtures with full covariances on incomplete rows.

Weights, means and precision matrices have posterior distributions in place of values: a
Dirichlet and K normal–Wishart ones, independent of the rows' components and holes (mean
field; Bishop 2006, section 10.2). Their prior is `NormalInverseWishart`.

Given all else, the best distribution of a row's component and holes is that of a mixture of
plain Gaussians with the means m_k, the covariances ``C_k = V_k / nu_k`` and the weights::

    exp(E log p_k + 1/2 E log|L_k| - 1/2 log|inv(C_k)| - d / (2 beta_k))

which need not sum to 1. So the E-step is that of maximum likelihood, exact for whatever a row
observes, and the M-step is conjugate updating with its statistics. The objective is the
evidence lower bound: the E-step's log-likelihood less the divergences of the posteriors from
their priors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.mixtures import conjugate, full_e_step
from mixmend.mixtures.full import FullDensity, PriorScales, moved_means, scatters
from mixmend.mixtures.full_e_step import Statistics, whitener
from mixmend.mixtures.matrices import packed, unpacked
from mixmend.mixtures.pattern_rows import patterned
from mixmend.mixtures.spherical_e_step import Array


class Parameters(NamedTuple):
    """Posterior of a mixture with full covariances; K components, d columns.

    Attributes
    ----------
    weight_concentration : ndarray, shape (K,)
        Dirichlet concentrations of the weights.
    means : ndarray, shape (K, d)
        m, centres of the means.
    mean_precision : ndarray, shape (K,)
        beta: given its precision matrix L, the mean of component k has precision ``beta_k L``.
    degrees_of_freedom : ndarray, shape (K,)
        nu, of the Wishart distributions of the precision matrices.
    scales : ndarray, shape (K, d, d)
        V, their scales as sums of squares: the expected precision is ``nu inv(V)``.
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
        """C, the inverses of the expected precision matrices, (K, d, d)."""
        return np.asarray(self.scales / self.degrees_of_freedom[:, None, None])

    def predictive(self) -> full_e_step.Parameters:
        """The mixture with the moments of what is predicted of a further row.

        Given its component such a row is Student's t, whose covariance is
        ``V (1 + 1 / beta) / (nu - d - 1)``: what is not known of mean and covariance is part
        of it. Where t has none (``nu - d - 1`` below 1), it is that of 1.
        """
        d = self.means.shape[1]
        spare = np.maximum(self.degrees_of_freedom - d - 1.0, 1.0)
        factor = (1.0 + 1.0 / self.mean_precision) / spare
        return full_e_step.Parameters(self.weights, self.means, self.scales * factor[:, None, None])

    def taken(self, kept: NDArray[np.intp]) -> Parameters:
        """The posterior of some of the components, in the order given."""
        return Parameters(*(part[kept] for part in self))


def tilted(log_weights: Array) -> tuple[Array, float]:
    """Weights of which the largest is 1, and the log of what they were divided by.

    Components without rows may have log weights of minus thousands, and all of them at once
    in many columns: what they have in common goes into the log-likelihood instead.
    """
    top = float(log_weights.max())
    return np.exp(log_weights - top), top


@dataclass(frozen=True, slots=True)
class VariationalFull(conjugate.HeldOpen):
    """Prior of a variational mixture with full covariances, and the steps under it.

    Parameters
    ----------
    point : FullDensity
        The same without posteriors, under proper priors: where starts are made, and what
        rounding moves.
    weight_concentration : float
        Dirichlet concentration of the weights' prior.
    rows : float
        Sum of the row weights.
    """

    point: FullDensity
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
        found = full_e_step.e_step(expected, patterned(block))
        return replace(found, log_likelihood=found.log_likelihood + offset * found.rows.sum())

    def _expected(self, parameters: Parameters) -> tuple[full_e_step.Parameters, float]:
        d = parameters.means.shape[1]
        gaps = 0.5 * conjugate.log_determinant_gap(parameters.degrees_of_freedom, d)
        gaps -= 0.5 * d / parameters.mean_precision
        log_weights = conjugate.expected_log_weights(parameters.weight_concentration)
        weights, offset = tilted(log_weights + gaps)
        return full_e_step.Parameters(weights, parameters.means, parameters.covariances), offset

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """The posteriors that raise the bound the most: conjugate updates."""
        prior, rows = self.prior, statistics.rows
        means, move = moved_means(statistics, parameters.means, prior)
        gaps = means - prior.centre
        outer = prior.strength * gaps[:, :, None] * gaps[:, None, :]
        return Parameters(
            prior.weight_concentration + rows,
            means,
            prior.strength + rows,
            prior.degrees + rows,
            prior.scale + scatters(statistics, move) + outer,
        )

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """The evidence lower bound."""
        of_weights = conjugate.dirichlet_divergence(
            parameters.weight_concentration, self.prior.weight_concentration
        )
        of_components = float(divergences(parameters, self.prior).sum())
        return statistics.log_likelihood - of_weights - of_components

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the bound where values have relative ``precision``."""
        return self.point.rounding(statistics, self._expected(parameters)[0], precision)

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        d = parameters.means.shape[1]
        parts = [
            np.log(parameters.weight_concentration),
            parameters.means.ravel(),
            np.log(parameters.mean_precision),
            np.log(parameters.degrees_of_freedom - (d - 1.0)),
        ]
        return np.concatenate(parts + [packed(scale) for scale in parameters.scales])

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for."""
        n_components, d = like.means.shape
        sizes = np.cumsum([n_components, n_components * d, n_components, n_components])
        concentration, means, precision, degrees, rest = np.split(vector, sizes)
        scales = [unpacked(part, d) for part in np.split(rest, n_components)]
        return Parameters(
            np.exp(concentration),
            means.reshape(n_components, d),
            np.exp(precision),
            np.exp(degrees) + (d - 1.0),
            np.stack(scales),
        )

    # ---------------------------------------------------------------------- starts and moves

    def lifted(self, start: full_e_step.Parameters) -> Parameters:
        """A posterior around point estimates, as sure of them as so many rows make it."""
        prior, rows = self.prior, self.rows * start.weights
        degrees = prior.degrees + rows
        return Parameters(
            prior.weight_concentration + rows,
            start.means,
            prior.strength + rows,
            degrees,
            start.covariances * degrees[:, None, None],
        )

    def merged(self, parameters: Parameters, j: int, k: int) -> Parameters:
        """The posterior if the rows of components j and k had come from one, now the last."""
        others = np.delete(np.arange(len(parameters.means)), [j, k])
        one = _together(parameters.taken(np.array([j, k])), self.prior)
        parts = zip(parameters.taken(others), one, strict=True)
        return Parameters(*(np.concatenate(pair) for pair in parts))

    def merge_gains(self, parameters: Parameters) -> Array:
        """What merging two components would gain were their rows as sure of them, (K, K)."""
        alone = _evidence(parameters, self.prior)

        def gain(j: int, k: int) -> float:
            one = _together(parameters.taken(np.array([j, k])), self.prior)
            return float(_evidence(one, self.prior)[0] - alone[j] - alone[k])

        concentration = parameters.weight_concentration
        return conjugate.merge_gains(concentration, self.prior.weight_concentration, gain)


def divergences(parameters: Parameters, prior: PriorScales) -> Array:
    """Divergences of means and precision matrices from their prior, (K,)."""
    d = parameters.means.shape[1]
    scale = prior.scale
    log_ratios, traces, squares = np.empty((3, len(parameters.means)))
    of_prior = np.linalg.slogdet(scale)[1]
    for k, covariance in enumerate(parameters.covariances):
        w = whitener(covariance)
        log_ratios[k] = -2.0 * np.log(np.diagonal(w)).sum() - of_prior
        traces[k] = ((w @ scale) * w).sum()
        squares[k] = np.square(w @ (parameters.means[k] - prior.centre)).sum()
    of_precisions = conjugate.wishart_divergence(
        parameters.degrees_of_freedom, prior.degrees, log_ratios, traces, d
    )
    of_means = conjugate.mean_divergence(parameters.mean_precision, prior.strength, squares, d)
    return np.asarray(of_precisions + of_means)


def _together(two: Parameters, prior: PriorScales) -> Parameters:
    """One component with the rows of two: their posteriors' natural parameters add up."""
    precision = two.mean_precision.sum(keepdims=True) - prior.strength
    pull = two.mean_precision @ two.means - prior.strength * prior.centre
    mean = pull / precision[0]
    gaps, gap = two.means - mean, prior.centre - mean
    between = (gaps.T * two.mean_precision) @ gaps - prior.strength * np.outer(gap, gap)
    return Parameters(
        two.weight_concentration.sum(keepdims=True) - prior.weight_concentration,
        mean[None],
        precision,
        two.degrees_of_freedom.sum(keepdims=True) - prior.degrees,
        (two.scales.sum(axis=0) - prior.scale + between)[None],
    )


def _evidence(parameters: Parameters, prior: PriorScales) -> Array:
    """Each component's part of the bound where its rows were its own beyond doubt, (K,).

    The log normalising constant of its posterior, without what all rows add alike.
    """
    d = parameters.means.shape[1]
    nu = parameters.degrees_of_freedom
    log_dets = np.linalg.slogdet(parameters.scales)[1]
    of_prior = prior.degrees * np.linalg.slogdet(prior.scale)[1]
    out = conjugate.log_gamma(nu, d) - conjugate.log_gamma(prior.degrees, d)
    out += 0.5 * (of_prior - nu * log_dets)
    out += 0.5 * d * np.log(prior.strength / parameters.mean_precision)
    return np.asarray(out)
