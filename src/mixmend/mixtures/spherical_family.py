"""Spherical covariances as the estimator uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.mixtures.columns import column_facts
from mixmend.mixtures.family import PooledInterrupted
from mixmend.mixtures.folded import FoldedSpherical
from mixmend.mixtures.options import Options, require_arrays
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import (
    SphericalDensity,
    m_step,
    posterior,
    rounding_floor,
    row_bytes,
    with_prior,
)
from mixmend.mixtures.spherical_e_step import Array, Parameters, statistics_of
from mixmend.mixtures.starts import grand_mean, pooled
from mixmend.observed.matrix import ObservedMatrix

_BASE_STEPS = 200

_HELD_STEPS = 5
"""Steps of a new start before the variance of the means' prior is learned."""

SINGULAR_SHARE = 1e-7
"""Below this share of one component's variance, a variance counts as collapsed."""


class SphericalFamily:
    """One variance per component; row offsets and a prior on the means where asked."""

    name = "spherical"

    def block(self, obs: ObservedMatrix, n_components: int) -> Block:
        """Tiles fit the cache with the row offsets' table beside the responsibilities."""
        return Block(obs, row_bytes(n_components, obs.dtype.itemsize, row_offsets=False))

    def density(self, options: Options, obs: ObservedMatrix) -> SphericalDensity:
        """The density with the grand mean as the prior's centre."""
        row_offsets = options.center in ("rows", "biases")
        noise = rounding_floor(obs, row_offsets)
        prior = _prior(options, obs)
        if prior is not None and prior.mean_variance is not None and _has_effects(options):
            # a given strength holds components to the columns' effects, not those to one number
            prior = replace(prior, mean_variance="learned")
        return SphericalDensity(
            max(options.min_variance, noise),
            options.min_support,
            prior,
            np.full(obs.shape[1], grand_mean(obs)),
            row_offsets,
            4.0 * noise,
        )

    def pooled(self, density: SphericalDensity, block: Block) -> Parameters:
        """One component: column effects, offset variance and overall variance."""
        assert density.prior_means is not None  # set by `density`
        start = pooled(block, density.prior_means)
        if density.row_offsets:
            start = start._replace(offset_variance=0.2 * float(start.variances[0]))
        start = with_prior(start, density.prior)
        # without offsets and prior one step lands on the column means, where the fit ends
        plain = not density.row_offsets and density.prior is None
        steps, tol = (1, 0.0) if plain else (_BASE_STEPS, 1e-7)
        fit = run(density, start, [block], tol=tol, max_iter=steps)
        if fit.interrupted:
            raise PooledInterrupted(fit)
        return fit.parameters

    def informed(
        self, density: SphericalDensity, base: Parameters, options: Options
    ) -> SphericalDensity:
        """Centre the prior on the column effects where those are wanted."""
        if options.n_components == 1:
            return density
        singular = max(SINGULAR_SHARE * float(base.variances[0]), density.singular_variance)
        density = replace(density, singular_variance=singular)
        if _has_effects(options):
            prior = density.prior
            if prior is not None and isinstance(options.prior, SphericalPrior):
                prior = replace(prior, mean_variance=options.prior.mean_variance)
            density = replace(density, prior=prior, prior_means=base.means[0])
        return density

    def from_responsibilities(
        self, shares: Array, base: Parameters, density: SphericalDensity, block: Block
    ) -> Parameters:
        """One M-step from the pooled fit, whose row offsets are taken out first."""
        copies = _copies(base, shares.shape[1], density.prior)
        if density.prior is not None and density.prior.mean_variance == "learned":
            copies = copies._replace(prior_variance=_room(copies))
        known = posterior(base, block).offsets[:, 0] if density.row_offsets else None
        statistics = statistics_of(shares, copies, block, known)
        stepped = m_step(statistics, copies, replace(density, row_offsets=False))
        # scattered seeds may give a component a single row: its variance begins near the
        # pooled one, so that the first E-step does not cement the draw
        variances = np.maximum(stepped.variances, 0.1 * base.variances)
        return _apart(stepped._replace(variances=variances), density, block)

    def given(
        self, weights: Array, means: Array, covariances: Array | None, base: Parameters
    ) -> Parameters:
        """A user's start; variances, offsets and the means' doubt from the pooled fit."""
        count = len(weights)
        variances = np.repeat(base.variances, count) if covariances is None else covariances
        out = _copies(base, count, None)._replace(
            weights=weights, means=np.asfortranarray(means), variances=variances
        )
        if base.mean_variances is None:
            return out
        # one component says little of how far several are apart: their means do
        apart = float(((means - base.means) ** 2).mean())
        return out._replace(prior_variance=max(base.prior_variance, apart))

    def continued(
        self, parameters: Parameters, density: SphericalDensity, base: Parameters
    ) -> Parameters:
        """The earlier fit may have had another prior, or offsets where now there are none."""
        out = parameters._replace(variances=np.maximum(parameters.variances, density.min_variance))
        if not density.row_offsets:
            out = out._replace(offset_variance=0.0)
        elif out.offset_variance == 0.0:
            out = out._replace(offset_variance=base.offset_variance)
        wanted = None if density.prior is None else density.prior.mean_variance
        if wanted is None:
            return out._replace(mean_variances=None, prior_variance=np.inf)
        if out.mean_variances is None:
            return with_prior(out, density.prior)
        return out if wanted == "learned" else out._replace(prior_variance=float(wanted))

    def fold(self, parameters: Parameters, obs: ObservedMatrix) -> FoldedSpherical:
        """Responsibilities and offsets of the rows."""
        block = self.block(obs, len(parameters.weights))
        return FoldedSpherical(parameters, posterior(parameters, block), obs)

    def sample(
        self, parameters: Parameters, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Array:
        """Mean, noise and a row's offset."""
        rows = rng.normal(size=(len(labels), parameters.means.shape[1]))
        rows *= np.sqrt(parameters.variances[labels])[:, None]
        rows += parameters.means[labels]
        if parameters.offset_variance > 0:
            scale = np.sqrt(parameters.offset_variance)
            rows += rng.normal(scale=scale, size=(len(labels), 1))
        return rows

    def covariances(self, parameters: Parameters) -> Array:
        """Variances, (K,)."""
        return parameters.variances

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """One number a component."""
        return (n_components,)

    def full_covariances(self, parameters: Parameters) -> Array:
        """V I + tau 1 1^T, and the doubt about the means on the diagonal."""
        n_components, d = parameters.means.shape
        out = np.full((n_components, d, d), parameters.offset_variance)
        diagonal = np.repeat(parameters.variances[:, None], d, axis=1)
        if parameters.mean_variances is not None:
            diagonal = diagonal + parameters.mean_variances
        out[:, np.arange(d), np.arange(d)] += diagonal
        return out

    def n_parameters(self, parameters: Parameters) -> int:
        """K d means, K variances, K - 1 weights (and the offset variance)."""
        n_components, d = parameters.means.shape
        return int(n_components * (d + 2) - 1 + (parameters.offset_variance > 0))

    def to_arrays(self, parameters: Parameters) -> dict[str, NDArray[Any]]:
        """Variances, the means' variances, and the scalars as arrays of one."""
        out: dict[str, NDArray[Any]] = {
            "variances": parameters.variances,
            "offset_variance": np.array([parameters.offset_variance]),
        }
        if parameters.mean_variances is not None:
            out["mean_variances"] = np.ascontiguousarray(parameters.mean_variances)
            out["prior_variance"] = np.array([parameters.prior_variance])
        return out

    def from_arrays(
        self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]
    ) -> Parameters:
        """The inverse; shapes, signs and finiteness are checked."""
        count = len(weights)
        require_arrays(arrays, {"variances": (count,), "offset_variance": (1,)}, positive=True)
        spread = arrays.get("mean_variances")
        if spread is not None:
            needed = {"mean_variances": means.shape, "prior_variance": (1,)}
            require_arrays(arrays, needed, positive=True)
            spread = np.asfortranarray(spread)
        return Parameters(
            weights,
            np.asfortranarray(means),
            arrays["variances"],
            spread,
            np.inf if spread is None else float(arrays["prior_variance"][0]),
            float(arrays["offset_variance"][0]),
        )


def _apart(start: Parameters, density: SphericalDensity, block: Block) -> Parameters:
    """New components after a few steps under a prior that leaves them room.

    Random ones begin all but equal, and a variance of the means learned from that would hold
    them together for good: it has to wait until they have gone their ways.
    """
    prior = density.prior
    if prior is None or prior.mean_variance != "learned":
        return start
    room = _room(start)
    held = replace(density, prior=replace(prior, mean_variance=room))
    given = start._replace(prior_variance=room)
    fit = run(held, given, [block], tol=0, max_iter=_HELD_STEPS)
    if fit.interrupted:
        raise KeyboardInterrupt
    return fit.parameters


def _room(start: Parameters) -> float:
    """A variance of the means' prior that does not hold new components together."""
    return max(start.prior_variance, float(start.variances.mean()))


def _prior(options: Options, obs: ObservedMatrix) -> SphericalPrior | None:
    """The prior in the units of the data."""
    prior = options.prior
    # the options' check lets no other kind of prior through
    assert prior is None or isinstance(prior, SphericalPrior)
    if prior is None or not isinstance(prior.variance_scale, str):
        return prior
    variance = float(column_facts(obs).variances.mean())
    shared = 3.0 * options.n_components ** (2.0 / obs.shape[1])
    return replace(prior, variance_scale=prior.variance_shape * variance / shared)


def _has_effects(options: Options) -> bool:
    return options.center in ("columns", "biases")


def _copies(base: Parameters, n_components: int, prior: SphericalPrior | None) -> Parameters:
    spread = base.mean_variances
    wanted = None if prior is None else prior.mean_variance
    strength = base.prior_variance if wanted in (None, "learned") else float(wanted)
    return base._replace(
        prior_variance=strength,
        weights=np.full(n_components, 1.0 / n_components),
        means=np.asfortranarray(np.repeat(base.means, n_components, axis=0)),
        variances=np.repeat(base.variances, n_components),
        mean_variances=None
        if spread is None
        else np.asfortranarray(np.repeat(spread, n_components, axis=0)),
    )


SPHERICAL = SphericalFamily()
