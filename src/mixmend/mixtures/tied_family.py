"""Tied covariances as the estimator uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.mixtures import full_e_step, full_family
from mixmend.mixtures.columns import column_facts
from mixmend.mixtures.folded_full import FoldedFull
from mixmend.mixtures.full import FullDensity, borrowing, covariance_floors, prior_scales
from mixmend.mixtures.matrices import floored
from mixmend.mixtures.options import Options, require_arrays
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.mixtures.spherical_e_step import Array
from mixmend.mixtures.tied import Parameters, TiedDensity, as_full
from mixmend.observed.matrix import ObservedMatrix


class TiedFamily:
    """One covariance matrix for all components."""

    name = "tied"

    def block(self, obs: ObservedMatrix, n_components: int) -> PatternBlock:
        """The rows by pattern of observed columns."""
        return PatternBlock(obs, n_components)

    def density(self, options: Options, obs: ObservedMatrix) -> TiedDensity:
        """The density with its floor and its prior in the units of the columns."""
        facts = column_facts(obs)
        floors = covariance_floors(facts, options.min_variance)
        prior = full_family.wishart(options)
        # one covariance is shared out among no components
        return TiedDensity(floors, prior_scales(prior, facts, 1))

    def pooled(self, density: TiedDensity, block: PatternBlock) -> Parameters:
        """One component fitted to all rows."""
        full = full_family.pooled(FullDensity(density.floors, density.prior), block)
        return Parameters(full.weights, full.means, full.covariances[0])

    def informed(self, density: TiedDensity, base: Parameters, options: Options) -> TiedDensity:
        """Take the pooled covariance as the measure of a collapse, and what is borrowed."""
        if options.n_components == 1:
            return density
        prior = borrowing(density.prior, full_family.wishart(options), base.covariance)
        return replace(density, prior=prior, reference=base.covariance)

    def from_responsibilities(
        self, shares: Array, base: Parameters, density: TiedDensity, block: PatternBlock
    ) -> Parameters:
        """One M-step with the holes as the pooled fit expects them."""
        copies = full_family.copied(as_full(base), shares.shape[1])
        found = full_e_step.statistics_of(shares, copies, block)
        statistics = replace(found, second=found.second.sum(axis=0))
        start = Parameters(copies.weights, copies.means, base.covariance)
        stepped = density.m_step(statistics, start)
        floor = full_family.START_SHARE * base.covariance
        return stepped._replace(covariance=floored(stepped.covariance, floor))

    def given(
        self, weights: Array, means: Array, covariances: Array | None, base: Parameters
    ) -> Parameters:
        """A user's start; the pooled covariance where none is given."""
        covariance = base.covariance if covariances is None else covariances
        return Parameters(weights, np.ascontiguousarray(means), covariance)

    def continued(
        self, parameters: Parameters, density: TiedDensity, base: Parameters
    ) -> Parameters:
        """An earlier fit, or a user's start, as it is."""
        return parameters

    def fold(self, parameters: Parameters, rows: ObservedMatrix | PatternBlock) -> FoldedFull:
        """Responsibilities of the rows, and what conditionals need."""
        return full_family.folded(as_full(parameters), rows)

    def sample(
        self, parameters: Parameters, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Array:
        """Mean and correlated noise."""
        return full_family.FULL.sample(as_full(parameters), labels, rng)

    def covariances(self, parameters: Parameters) -> Array:
        """The matrix, (d, d)."""
        return parameters.covariance

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """A single matrix."""
        return (d, d)

    def full_covariances(self, parameters: Parameters) -> Array:
        """The matrix for each component."""
        return np.ascontiguousarray(as_full(parameters).covariances)

    def n_parameters(self, parameters: Parameters) -> int:
        """K d means, d (d + 1) / 2 covariances, K - 1 weights."""
        n_components, d = parameters.means.shape
        return int(n_components * (d + 1) + d * (d + 1) // 2 - 1)

    def to_arrays(self, parameters: Parameters) -> dict[str, NDArray[Any]]:
        """The covariance."""
        return {"covariance": parameters.covariance}

    def from_arrays(
        self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]
    ) -> Parameters:
        """The inverse; shape and finiteness are checked."""
        d = means.shape[1]
        require_arrays(arrays, {"covariance": (d, d)})
        return Parameters(weights, means, arrays["covariance"])


TIED = TiedFamily()
