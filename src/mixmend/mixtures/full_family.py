"""Full covariances as the estimator uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.em.engine import run
from mixmend.errors import MixmendError
from mixmend.mixtures.columns import column_facts
from mixmend.mixtures.family import PooledInterrupted
from mixmend.mixtures.folded_full import FoldedFull, lane_tables
from mixmend.mixtures.full import FullDensity, borrowing, covariance_floors, prior_scales
from mixmend.mixtures.full_e_step import Parameters, posterior, statistics_of
from mixmend.mixtures.matrices import floored
from mixmend.mixtures.options import Options, require_arrays
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix

_BASE = {"tol": 1e-6, "max_iter": 50}
"""How far the pooled fit goes where it is the answer, or where `fit` goes on from it."""

_ROUGH_BASE = {"tol": 1e-4, "max_iter": 20}
"""How far it goes where several components only begin with it."""

START_SHARE = 0.1
"""Least part of the pooled covariance that a component starts with: scattered seeds may give
it a single row, and the first E-step must not cement the draw."""


class FullFamily:
    """A covariance matrix of its own for every component."""

    name = "full"

    def block(self, obs: ObservedMatrix, n_components: int) -> PatternBlock:
        """The rows by pattern of observed columns."""
        return PatternBlock(obs, n_components)

    def density(self, options: Options, obs: ObservedMatrix) -> FullDensity:
        """The density with its floor and its prior in the units of the columns."""
        facts = column_facts(obs)
        floors = covariance_floors(facts, options.min_variance)
        prior = prior_scales(wishart(options), facts, options.n_components)
        return FullDensity(floors, prior)

    def pooled(self, density: FullDensity, block: PatternBlock) -> Parameters:
        """One component fitted to all rows: EM from independent columns."""
        return pooled(density, block)

    def informed(self, density: FullDensity, base: Parameters, options: Options) -> FullDensity:
        """Take the pooled covariance as the measure of a collapse, and what is borrowed."""
        if options.n_components == 1:
            return density
        pooled = base.covariances[0]
        prior = borrowing(density.prior, wishart(options), pooled)
        return replace(density, prior=prior, reference=pooled)

    def from_responsibilities(
        self, shares: Array, base: Parameters, density: FullDensity, block: PatternBlock
    ) -> Parameters:
        """One M-step with the holes as the pooled fit expects them."""
        copies = copied(base, shares.shape[1])
        stepped = density.m_step(statistics_of(shares, copies, block), copies)
        floor = START_SHARE * base.covariances[0]
        return stepped._replace(covariances=floored(stepped.covariances, floor))

    def given(
        self, weights: Array, means: Array, covariances: Array | None, base: Parameters
    ) -> Parameters:
        """A user's start; the pooled covariance where none is given."""
        if covariances is None:
            covariances = copied(base, len(weights)).covariances
        return Parameters(weights, np.ascontiguousarray(means), covariances)

    def continued(
        self, parameters: Parameters, density: FullDensity, base: Parameters
    ) -> Parameters:
        """An earlier fit, or a user's start, as it is."""
        return parameters

    def fold(self, parameters: Parameters, rows: ObservedMatrix | PatternBlock) -> FoldedFull:
        """Responsibilities of the rows, and what conditionals need."""
        return folded(parameters, rows)

    def sample(
        self, parameters: Parameters, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Array:
        """Mean and correlated noise."""
        noise = rng.standard_normal((len(labels), parameters.means.shape[1]))
        for k, covariance in enumerate(parameters.covariances):
            mine = labels == k
            noise[mine] = noise[mine] @ np.linalg.cholesky(covariance).T
        return np.asarray(noise + parameters.means[labels])

    def covariances(self, parameters: Parameters) -> Array:
        """Matrices, (K, d, d)."""
        return parameters.covariances

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """A matrix for each component."""
        return (n_components, d, d)

    def full_covariances(self, parameters: Parameters) -> Array:
        """The same matrices."""
        return parameters.covariances

    def n_parameters(self, parameters: Parameters) -> int:
        """K d means, K d (d + 1) / 2 covariances, K - 1 weights."""
        n_components, d = parameters.means.shape
        return int(n_components * (d + d * (d + 1) // 2 + 1) - 1)

    def to_arrays(self, parameters: Parameters) -> dict[str, NDArray[Any]]:
        """The covariances."""
        return {"covariances": parameters.covariances}

    def from_arrays(
        self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]
    ) -> Parameters:
        """The inverse; shape and finiteness are checked."""
        d = means.shape[1]
        require_arrays(arrays, {"covariances": (len(weights), d, d)})
        return Parameters(weights, means, arrays["covariances"])


def wishart(options: Options) -> NormalInverseWishart | None:
    """The prior that was asked for, which must be of the kind that full covariances have."""
    prior: Any = options.prior
    if prior is None or isinstance(prior, NormalInverseWishart):
        return prior
    raise MixmendError(
        f"covariance_type={options.covariance_type!r} needs prior=None, 'default' or a "
        f"NormalInverseWishart; got {prior!r}."
    )


def copied(base: Parameters, n_components: int) -> Parameters:
    """The one component of a pooled fit, K times."""
    return Parameters(
        np.full(n_components, 1.0 / n_components),
        np.repeat(base.means, n_components, axis=0),
        np.repeat(base.covariances, n_components, axis=0),
    )


def pooled(density: FullDensity, block: PatternBlock) -> Parameters:
    """One component fitted to all rows: a step when complete, accelerated EM with holes."""
    facts = column_facts(block.observed)
    variances = np.maximum(facts.variances, density.floors)
    start = Parameters(np.ones(1), facts.means[None, :], np.diag(variances)[None, :, :])
    if not block.has_holes:
        return run(density, start, [block], tol=0.0, max_iter=1).parameters
    limits: Any = _BASE if block.n_components == 1 else _ROUGH_BASE
    fit = run(density, start, [block], accelerate=True, **limits)
    if fit.interrupted:
        raise PooledInterrupted(fit)
    return fit.parameters


def folded(parameters: Parameters, rows: ObservedMatrix | PatternBlock) -> FoldedFull:
    """Rows conditioned on what they observe; they may have been laid out for another fold."""
    many = len(parameters.weights)
    block = rows if isinstance(rows, PatternBlock) else PatternBlock(rows, many)
    return FoldedFull(parameters, posterior(parameters, block), block, lane_tables(parameters))


FULL = FullFamily()
