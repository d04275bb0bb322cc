"""Diagonal covariances as the estimator uses them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.em.block import Block
from mixmend.errors import MixmendError
from mixmend.mixtures.columns import ColumnFacts, column_facts, constant_columns
from mixmend.mixtures.diagonal import (
    DiagonalDensity,
    Parameters,
    Posterior,
    PriorScales,
    m_step,
    posterior,
    row_bytes,
    statistics_of,
)
from mixmend.mixtures.options import Options, require_arrays
from mixmend.mixtures.priors import DiagonalPrior
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix

_TINY = 1e-300

SINGULAR_SHARE = 1e-7
"""Below this share of its column's variance, a variance counts as collapsed."""


class FoldedDiagonal(NamedTuple):
    """A diagonal mixture conditioned on the observed cells of some rows.

    Given the component a hole is N(mu_ki, v_ki) whatever else the row holds; the row's
    other cells speak through the responsibilities.
    """

    parameters: Parameters
    posterior: Posterior
    observed: ObservedMatrix

    @property
    def responsibilities(self) -> Array:
        """Posterior probability of each component, (n, K); the weights for an empty row."""
        return self.posterior.responsibilities

    @property
    def log_densities(self) -> Array:
        """Log density of each row's observed cells, (n,); 0 for an empty row."""
        return self.posterior.log_densities

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        p = self.parameters
        return Predictive(self.responsibilities[rows], p.means.T[columns], p.variances.T[columns])

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, as matrix products."""
        p, weights = self.parameters, self.responsibilities[rows]
        # around the mixture's own mean, so that E[x^2] - E[x]^2 does not cancel
        centre = p.weights @ p.means
        means = p.means - centre
        mean = weights @ means
        if not variance:
            return mean + centre, None
        within = weights @ p.variances
        spread = within + np.maximum(weights @ (means * means) - mean * mean, 0.0)
        return mean + centre, spread

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all rows' holes: component, then noise."""
        p, (n, d) = self.parameters, self.observed.shape
        picked = draw_components(self.responsibilities, rng)
        out = p.means[picked] + np.sqrt(p.variances[picked]) * rng.normal(size=(n, d))
        out[self.observed.entry_rows, self.observed.by_row.indices] = self.observed.by_row.values
        return np.asarray(out)


def draw_components(responsibilities: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """One component for each row, by one uniform number a row on the cumulated shares."""
    levels = np.cumsum(responsibilities, axis=1)
    uniform = rng.random((len(levels), 1)) * levels[:, -1:]
    return np.asarray((uniform >= levels[:, :-1]).sum(axis=1), np.int64)


class DiagonalFamily:
    """One variance per component and column."""

    name = "diag"

    def block(self, obs: ObservedMatrix, n_components: int) -> Block:
        """Tiles whose responsibilities fit the cache."""
        return Block(obs, row_bytes(n_components, obs.dtype.itemsize))

    def density(self, options: Options, obs: ObservedMatrix) -> DiagonalDensity:
        """The density with floors, prior and collapse in the units of each column."""
        facts = column_facts(obs)
        given: Any = options.prior
        scales = None
        if given is not None:
            if not isinstance(given, DiagonalPrior):
                raise MixmendError(
                    f"prior must be None, 'default' or a DiagonalPrior with "
                    f"covariance_type='diag'; got {given!r}."
                )
            scales = prior_scales(given, facts, options.n_components)
        singular = 4.0 * facts.floors
        if options.n_components > 1:
            singular = np.maximum(singular, SINGULAR_SHARE * facts.variances)
        # where the whole column is constant, a component's variance says nothing of points
        constant = constant_columns(obs, facts)
        return DiagonalDensity(
            np.maximum(options.min_variance, facts.floors),
            options.min_support,
            scales,
            np.where(constant, 0.0, singular),
        )

    def pooled(self, density: DiagonalDensity, block: Block) -> Parameters:
        """One component: means and variances of the columns, in closed form."""
        facts = column_facts(block.observed)
        start = Parameters(np.ones(1), facts.means[None, :], facts.variances[None, :])
        return m_step(statistics_of(np.ones((len(block.counts), 1)), start, block), start, density)

    def informed(
        self, density: DiagonalDensity, base: Parameters, options: Options
    ) -> DiagonalDensity:
        """Everything was known before."""
        return density

    def from_responsibilities(
        self, shares: Array, base: Parameters, density: DiagonalDensity, block: Block
    ) -> Parameters:
        """One M-step from the pooled fit."""
        copies = _copies(base, shares.shape[1])
        stepped = m_step(statistics_of(shares, copies, block), copies, density)
        # scattered seeds may give a component few rows: its variances begin near the pooled
        # ones, so that the first E-step does not cement the draw
        return stepped._replace(variances=np.maximum(stepped.variances, 0.1 * base.variances))

    def given(
        self, weights: Array, means: Array, covariances: Array | None, base: Parameters
    ) -> Parameters:
        """A user's start; variances from the pooled fit where none are given."""
        if covariances is None:
            covariances = np.repeat(base.variances, len(weights), axis=0)
        return Parameters(weights, means, covariances)

    def continued(
        self, parameters: Parameters, density: DiagonalDensity, base: Parameters
    ) -> Parameters:
        """An earlier fit as it is, above the floors of today."""
        floored = np.maximum(parameters.variances, density.min_variance)
        return parameters._replace(variances=floored)

    def fold(self, parameters: Parameters, obs: ObservedMatrix) -> FoldedDiagonal:
        """Responsibilities and densities of the rows."""
        block = self.block(obs, len(parameters.weights))
        return FoldedDiagonal(parameters, posterior(parameters, block), obs)

    def sample(
        self, parameters: Parameters, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Array:
        """One row from each of the components named, (len(labels), d)."""
        noise = rng.normal(size=(len(labels), parameters.means.shape[1]))
        return np.asarray(parameters.means[labels] + np.sqrt(parameters.variances[labels]) * noise)

    def covariances(self, parameters: Parameters) -> Array:
        """Variances, (K, d)."""
        return parameters.variances

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """One number a component and column."""
        return (n_components, d)

    def full_covariances(self, parameters: Parameters) -> Array:
        """The variances on the diagonals, (K, d, d)."""
        return np.asarray(parameters.variances[:, :, None] * np.eye(parameters.means.shape[1]))

    def n_parameters(self, parameters: Parameters, density: DiagonalDensity | None = None) -> int:
        """K d means, K d variances, K - 1 weights."""
        n_components, d = parameters.means.shape
        return int(n_components * (2 * d + 1) - 1)

    def to_arrays(self, parameters: Parameters) -> dict[str, NDArray[Any]]:
        """The variances."""
        return {"variances": np.ascontiguousarray(parameters.variances)}

    def from_arrays(
        self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]
    ) -> Parameters:
        """The inverse; shape, sign and finiteness are checked."""
        require_arrays(arrays, {"variances": means.shape}, positive=True)
        return Parameters(weights, means, np.maximum(arrays["variances"], _TINY))


def prior_scales(prior: DiagonalPrior, facts: ColumnFacts, n_components: int) -> PriorScales:
    """A prior in the units of the data."""
    d = len(facts.means)
    if isinstance(prior.variance_scale, str):
        scale = prior.variance_shape * facts.variances / (3.0 * n_components ** (2.0 / d))
    else:
        scale = np.full(d, float(prior.variance_scale))
    return PriorScales(prior, facts.means, scale)


def _copies(base: Parameters, n_components: int) -> Parameters:
    return Parameters(
        np.full(n_components, 1.0 / n_components),
        np.repeat(base.means, n_components, axis=0),
        np.repeat(base.variances, n_components, axis=0),
    )


DIAGONAL = DiagonalFamily()
