"""Variational spherical Gaussian mixtures on incomplete rows, row offsets included.

`mixmend.mixtures.spherical` has posteriors of the component means already; here the
components' variances have inverse-gamma ones as well and the weights a Dirichlet one, all
independent of each other. The variance of the means' prior and that of the row offsets stay
numbers that are learned by maximising the bound. In log densities an observed cell has::

    -1/2 (log(V / 2) - digamma(nu / 2) + ((x - m)^2 + w) nu / V + log 2 pi)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.mixtures import conjugate, spherical, spherical_e_step
from mixmend.mixtures.spherical import SphericalDensity
from mixmend.mixtures.spherical_e_step import Array, Statistics
from mixmend.mixtures.variational_diagonal import observing_rows

_TINY = 1e-300


class Parameters(NamedTuple):
    """Posterior of a spherical mixture; K components, d columns.

    Attributes
    ----------
    weight_concentration : ndarray, shape (K,)
        Dirichlet concentrations of the weights.
    means, mean_variances : ndarray, shape (K, d)
        Centres and variances of the means.
    degrees_of_freedom : ndarray, shape (K,)
        nu, of the variances' inverses: twice the shape of their gamma distributions.
    scales : ndarray, shape (K,)
        V, sums of squares: twice the rates of the gamma distributions.
    prior_variance : float
        s, the prior variance of the means around the prior centre.
    offset_variance : float
        tau, the variance of the row offsets; 0 without offsets.
    """

    weight_concentration: Array
    means: Array
    mean_variances: Array
    degrees_of_freedom: Array
    scales: Array
    prior_variance: float
    offset_variance: float

    @property
    def weights(self) -> Array:
        """Expected mixing weights, (K,)."""
        return np.asarray(self.weight_concentration / self.weight_concentration.sum())

    @property
    def covariances(self) -> Array:
        """The inverses of the expected precisions, (K,)."""
        return np.asarray(self.scales / self.degrees_of_freedom)

    def expected(self) -> spherical_e_step.Parameters:
        """The parameters whose densities the E-step takes, but for `log_scales`."""
        log_weights = conjugate.expected_log_weights(self.weight_concentration)
        return self._with(np.exp(log_weights), self.covariances)

    def log_scales(self) -> Array:
        """What stands for the log variances in log densities, (K,)."""
        gaps = conjugate.log_determinant_gap(self.degrees_of_freedom, 1)
        return np.asarray(np.log(self.covariances) - gaps)

    def predictive(self) -> spherical_e_step.Parameters:
        """The mixture with the moments of what is predicted of a further row.

        The variance of a cell given component, mean and offset is that of Student's t,
        ``V / (nu - 2)`` (where it has none, ``nu - 2`` below 1, that of 1).
        """
        spare = np.maximum(self.degrees_of_freedom - 2.0, 1.0)
        return self._with(self.weights, self.scales / spare)

    def _with(self, weights: Array, variances: Array) -> spherical_e_step.Parameters:
        return spherical_e_step.Parameters(
            weights,
            self.means,
            variances,
            self.mean_variances,
            self.prior_variance,
            self.offset_variance,
        )

    def taken(self, kept: NDArray[np.intp]) -> Parameters:
        """The posterior of some of the components, in the order given."""
        return Parameters(
            self.weight_concentration[kept],
            np.asfortranarray(self.means[kept]),
            np.asfortranarray(self.mean_variances[kept]),
            self.degrees_of_freedom[kept],
            self.scales[kept],
            self.prior_variance,
            self.offset_variance,
        )


@dataclass(frozen=True, slots=True)
class VariationalSpherical(conjugate.HeldOpen):
    """Prior of a variational spherical mixture, and the steps under it.

    Parameters
    ----------
    point : SphericalDensity
        The same with values in place of the posteriors of variances and weights: it has
        the prior, makes starts, and does what concerns means and offsets.
    weight_concentration : float
        Dirichlet concentration of the weights' prior.
    rows, cells : float
        Sums of the row weights, and of row weights times observed cells.
    """

    point: SphericalDensity
    weight_concentration: float
    rows: float
    cells: float

    @property
    def _degrees(self) -> float:
        assert self.point.prior is not None
        return 2.0 * self.point.prior.variance_shape

    @property
    def _scale(self) -> float:
        assert self.point.prior is not None
        return 2.0 * float(self.point.prior.variance_scale)

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics, and the first part of the bound."""
        expected = parameters.expected()
        found = spherical_e_step.e_step(expected, block, parameters.log_scales())
        rows = observing_rows(found.rows, expected.weights, block)
        # of a row without cells the offset is as far from 0 as its prior has it
        squares = found.offset_squares - (found.rows - rows) * expected.offset_variance
        return replace(found, rows=rows, offset_squares=np.maximum(squares, 0.0))

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """Posteriors that raise the bound: of the means, then of variances and weights."""
        moved, residuals = spherical.moved(statistics, parameters.expected(), self.point)
        assert moved.mean_variances is not None
        return Parameters(
            self.weight_concentration + statistics.rows,
            moved.means,
            moved.mean_variances,
            self._degrees + statistics.cells,
            self._scale + np.maximum(residuals, 0.0),
            moved.prior_variance,
            moved.offset_variance,
        )

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """The evidence lower bound."""
        variances = parameters.covariances
        of_variances = conjugate.wishart_divergence(
            parameters.degrees_of_freedom,
            self._degrees,
            np.log(variances) - np.log(self._scale),
            self._scale / variances,
            1,
        )
        of_weights = conjugate.dirichlet_divergence(
            parameters.weight_concentration, self.weight_concentration
        )
        of_means = spherical.mean_divergences(parameters.expected(), self.point)
        of_components = float((of_variances + of_means).sum())
        return statistics.log_likelihood - of_weights - of_components

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the bound where values have relative ``precision``."""
        return self.point.rounding(statistics, parameters.expected(), precision)

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        p = parameters
        scalars = [p.prior_variance, max(p.offset_variance, _TINY)]
        positive = (
            p.weight_concentration, p.degrees_of_freedom, p.scales, p.mean_variances, scalars
        )  # fmt: skip
        return np.concatenate([p.means.ravel(), *(np.log(part).ravel() for part in positive)])

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for."""
        shape, count = like.means.shape, len(like.means)
        sizes = np.cumsum([like.means.size, count, count, count, like.means.size])
        means, *rest = np.split(vector, sizes)
        concentration, degrees, scales, spread, scalars = (np.exp(part) for part in rest)
        return Parameters(
            concentration,
            np.asfortranarray(means.reshape(shape)),
            np.asfortranarray(spread.reshape(shape)),
            degrees,
            scales,
            float(scalars[0]),
            float(scalars[1]) if self.point.row_offsets else 0.0,
        )

    # ---------------------------------------------------------------------- starts and moves

    def lifted(self, start: spherical_e_step.Parameters) -> Parameters:
        """A posterior around point estimates, as sure of them as so many rows make it."""
        assert start.mean_variances is not None
        degrees = self._degrees + self.cells * start.weights
        return Parameters(
            self.weight_concentration + self.rows * start.weights,
            start.means,
            start.mean_variances,
            degrees,
            start.variances * degrees,
            start.prior_variance,
            start.offset_variance,
        )

    def merged(self, parameters: Parameters, j: int, k: int) -> Parameters:
        """The posterior if the rows of components j and k had come from one, now the last."""
        others = self.without(parameters, np.array([j, k]))
        one = self._together(parameters.taken(np.array([j, k])))
        each: dict[str, Any] = {
            name: np.concatenate([getattr(others, name), getattr(one, name)])
            for name in Parameters._fields[:5]
        }
        out = parameters._replace(**each)
        return out.taken(np.arange(len(out.means)))

    def _together(self, two: Parameters) -> Parameters:
        """One component with the rows of two, nearly: variances and means are independent."""
        assert self.point.prior_means is not None  # the family gives a prior its centre
        centre, s = self.point.prior_means, two.prior_variance
        variances, spread = two.covariances[:, None], two.mean_variances
        support = np.maximum(1.0 / spread - 1.0 / s, 0.0) * variances
        # what the rows alone say of the means, in units of cells
        sums = two.means * (support + variances / s) - centre * variances / s
        noise = float(variances.mean())
        precision = support.sum(axis=0) / noise + 1.0 / s
        mean = (sums.sum(axis=0) / noise + centre / s) / precision
        squares = float((support * ((two.means - mean) ** 2 + 1.0 / precision - spread)).sum())
        scale = two.scales.sum() - self._scale + max(squares, 0.0)
        return Parameters(
            two.weight_concentration.sum(keepdims=True) - self.weight_concentration,
            mean[None],
            1.0 / precision[None],
            two.degrees_of_freedom.sum(keepdims=True) - self._degrees,
            np.array([scale]),
            s,
            two.offset_variance,
        )

    def _evidence(self, parameters: Parameters) -> Array:
        """Each component's part of the bound where its rows were its own beyond doubt, (K,)."""
        nu, nu0 = parameters.degrees_of_freedom, self._degrees
        out = conjugate.log_gamma(nu, 1) - conjugate.log_gamma(nu0, 1)
        out += 0.5 * (nu0 * np.log(self._scale) - nu * np.log(parameters.scales))
        return np.asarray(out - spherical.mean_divergences(parameters.expected(), self.point))

    def merge_gains(self, parameters: Parameters) -> Array:
        """What merging two components would gain were their rows as sure of them, (K, K)."""
        alone = self._evidence(parameters)

        def gain(j: int, k: int) -> float:
            one = self._together(parameters.taken(np.array([j, k])))
            return float(self._evidence(one)[0] - alone[j] - alone[k])

        concentration = parameters.weight_concentration
        return conjugate.merge_gains(concentration, self.weight_concentration, gain)
