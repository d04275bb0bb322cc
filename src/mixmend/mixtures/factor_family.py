"""Low rank plus diagonal covariances as the estimator uses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.errors import MixmendError
from mixmend.mixtures.columns import ColumnFacts, column_facts, constant_columns
from mixmend.mixtures.diagonal_family import SINGULAR_SHARE, draw_components
from mixmend.mixtures.factor import (
    FactorDensity,
    Parameters,
    Posterior,
    PriorScales,
    m_step,
    posterior,
    row_bytes,
    row_factors,
    statistics_of,
)
from mixmend.mixtures.family import PooledInterrupted
from mixmend.mixtures.options import Options, require_arrays, whole
from mixmend.mixtures.priors import FactorPrior
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix

NOISE_SHARE = 1e-8
"""Least share of its column's variance that a noise variance may have. Maximum likelihood
may explain a column wholly by the factors (a Heywood case); below this, rounding does."""

_BASE_STEPS = 20
_SWEEPS = 4
_CHUNK = 1 << 16
"""Row factors held at once while predictions are made."""


class FoldedFactor(NamedTuple):
    """A mixture of factor analysers conditioned on the observed cells of some rows.

    Given the component, the row's cells speak through the posterior N(m, S) of its
    factors: a hole of column i is N(mu_i + w_i . m, psi_i + w_i^T S w_i), and the holes of
    a row depend on each other through what is left open of the factors.
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
        rows, columns = np.asarray(rows), np.asarray(columns)
        p = self.parameters
        asked, place = np.unique(rows, return_inverse=True)
        order = np.argsort(place, kind="stable")
        means = p.means.T[columns]
        variances = p.noise.T[columns]
        for first, z, spread in self._factors(asked):
            begin, end = np.searchsorted(place[order], [first, first + len(z)])
            chosen = order[begin:end]
            at = place[chosen] - first
            for k in range(len(p.weights)):
                w = p.loadings[k, columns[chosen]]
                means[chosen, k] += np.einsum("jr,jr->j", w, z[at, k])
                variances[chosen, k] += np.einsum("jr,jrs,js->j", w, spread[at, k], w)
        return Predictive(self.responsibilities[rows], means, variances)

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, as matrix products."""
        p = self.parameters
        positions = np.arange(self.observed.shape[0])[rows]
        shares = self.responsibilities[positions]
        mean = np.zeros((len(positions), p.means.shape[1]))
        spread = np.zeros_like(mean) if variance else None
        for first, z, covariance in self._factors(positions):
            part = slice(first, first + len(z))
            for k in range(len(p.weights)):
                mean[part] += shares[part, k, None] * _fitted(p, k, z)
            if spread is None:
                continue
            for k in range(len(p.weights)):
                pairs = p.loadings[k, :, :, None] * p.loadings[k, :, None, :]
                flat = covariance[:, k].reshape(len(z), -1)
                within = p.noise[k] + flat @ pairs.reshape(len(pairs), -1).T
                between = _fitted(p, k, z) - mean[part]
                spread[part] += shares[part, k, None] * (within + between * between)
        return mean, spread

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all rows' holes: component, then factors, then noise."""
        p, (n, d) = self.parameters, self.observed.shape
        picked = draw_components(self.responsibilities, rng)
        out = np.empty((n, d))
        for first, z, covariance in self._factors(np.arange(n)):
            here = np.arange(len(z))
            k = picked[first + here]
            root = np.linalg.cholesky(covariance[here, k])
            steps = rng.normal(size=(len(z), z.shape[2]))
            drawn = z[here, k] + np.einsum("urs,us->ur", root, steps)
            for component in range(len(p.weights)):
                chosen = np.flatnonzero(k == component)
                rows = p.means[component] + drawn[chosen] @ p.loadings[component].T
                rows += np.sqrt(p.noise[component]) * rng.normal(size=rows.shape)
                out[first + chosen] = rows
        out[self.observed.entry_rows, self.observed.by_row.indices] = self.observed.by_row.values
        return out

    def _factors(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, Array, Array]]:
        """Means and covariances of the factors of rows, by chunks: (first, z, S)."""
        n_components, _, r = self.parameters.loadings.shape
        size = max(1, _CHUNK // (n_components * r * r))
        for first in range(0, len(rows), size):
            part = Block(self.observed.select_rows(rows[first : first + size]))
            yield first, *row_factors(self.parameters, part)


def _fitted(p: Parameters, k: int, z: Array) -> Array:
    return np.asarray(p.means[k] + z[:, k] @ p.loadings[k].T)


@dataclass(frozen=True, slots=True)
class FactorFamily:
    """Covariances W W^T + diag(psi) of rank r beside their diagonal.

    Parameters
    ----------
    n_factors : int or None
        r; None takes ``n_factors`` of the options.
    isotropic : bool
        One noise variance per component: probabilistic principal components.
    """

    n_factors: int | None = None
    isotropic: bool = False
    name: str = "factor"

    def block(self, obs: ObservedMatrix, n_components: int) -> Block:
        """Tiles whose moments of the factors fit the cache."""
        return Block(obs, row_bytes(self.n_factors or 10))

    def density(self, options: Options, obs: ObservedMatrix) -> FactorDensity:
        """The density with floors and collapse in the units of each column."""
        rank = self._rank(options, obs.shape[1])
        facts = column_facts(obs)
        singular = 4.0 * facts.floors
        if options.n_components > 1:
            singular = np.maximum(singular, SINGULAR_SHARE * facts.variances)
        constant = constant_columns(obs, facts)
        share = np.where(constant, 0.0, NOISE_SHARE * facts.variances)
        lowest = np.maximum(facts.floors, share)
        return FactorDensity(
            rank,
            self.isotropic,
            np.maximum(options.min_variance, lowest),
            options.min_support,
            np.where(constant, 0.0, singular),
            prior_scales(options.prior, facts, options.n_components),
        )

    def _rank(self, options: Options, d: int) -> int:
        rank: Any = self.n_factors
        if rank is None:
            rank = options.n_factors
        if rank is None:
            raise MixmendError(
                "covariance_type='factor' needs n_factors, the rank of the covariances beside "
                "their diagonal: for example n_factors=5."
            )
        number = whole("n_factors", rank, 1)
        if number >= d:
            raise MixmendError(
                f"n_factors={number} must be less than the {d} columns of X (n_features={d}); "
                "with as many, use covariance_type='full'."
            )
        return number

    def pooled(self, density: FactorDensity, block: Block) -> Parameters:
        """One component, from principal directions of the filled matrix and a few EM steps."""
        start = spectral_start(block.observed, density)
        fit = run(density, start, [block], tol=1e-6, max_iter=_BASE_STEPS)
        if fit.interrupted:
            raise PooledInterrupted(fit)
        return fit.parameters

    def informed(self, density: FactorDensity, base: Parameters, options: Options) -> FactorDensity:
        """Everything was known before."""
        return density

    def from_responsibilities(
        self, shares: Array, base: Parameters, density: FactorDensity, block: Block
    ) -> Parameters:
        """One M-step from the pooled fit, whose factors the rows keep."""
        copies = _copies(base, shares.shape[1])
        stepped = m_step(statistics_of(shares, copies, block), copies, density)
        # scattered seeds may give a component few rows: its noise begins near the pooled
        # one, so that the first E-step does not cement the draw
        return stepped._replace(noise=np.maximum(stepped.noise, 0.1 * base.noise))

    def given(
        self, weights: Array, means: Array, covariances: Array | None, base: Parameters
    ) -> Parameters:
        """A user's start; given covariances (K, d, d) are cut to the base's rank."""
        out = _copies(base, len(weights))._replace(weights=weights, means=means)
        if covariances is None:
            return out
        rank = base.loadings.shape[2]
        parts = [principal_factors(c, rank, self.isotropic) for c in covariances]
        loadings, noise = (np.stack(part) for part in zip(*parts, strict=True))
        return out._replace(loadings=loadings, noise=noise)

    def continued(
        self, parameters: Parameters, density: FactorDensity, base: Parameters
    ) -> Parameters:
        """An earlier fit as it is, above the floors of today."""
        return parameters._replace(noise=np.maximum(parameters.noise, density.min_variance))

    def fold(self, parameters: Parameters, obs: ObservedMatrix) -> FoldedFactor:
        """Responsibilities and densities of the rows; factors are found when they are asked for."""
        block = Block(obs, row_bytes(parameters.loadings.shape[2]))
        return FoldedFactor(parameters, posterior(parameters, block), obs)

    def sample(
        self, parameters: Parameters, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Array:
        """One row from each of the components named, (len(labels), d)."""
        _, d, r = parameters.loadings.shape
        out = np.sqrt(parameters.noise[labels]) * rng.normal(size=(len(labels), d))
        out += parameters.means[labels]
        z = rng.normal(size=(len(labels), r))
        for k, loadings in enumerate(parameters.loadings):
            chosen = np.flatnonzero(labels == k)
            out[chosen] += z[chosen] @ loadings.T
        return np.asarray(out)

    def covariances(self, parameters: Parameters) -> Array:
        """Full matrices, (K, d, d): made when asked for, never while fitting."""
        return self.full_covariances(parameters)

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """That of full matrices."""
        return (n_components, d, d)

    def full_covariances(self, parameters: Parameters) -> Array:
        """W W^T + diag(psi), (K, d, d)."""
        out = parameters.loadings @ parameters.loadings.swapaxes(1, 2)
        at = np.arange(out.shape[1])
        out[:, at, at] += parameters.noise
        return np.asarray(out)

    def n_parameters(self, parameters: Parameters, density: FactorDensity | None = None) -> int:
        """Means, loadings up to a rotation of the factors, noise, and K - 1 weights."""
        n_components, d, r = parameters.loadings.shape
        noise = 1 if self.isotropic else d
        return int(n_components * (d + d * r - r * (r - 1) // 2 + noise) + n_components - 1)

    def to_arrays(self, parameters: Parameters) -> dict[str, NDArray[Any]]:
        """Loadings and noise."""
        return {"loadings": parameters.loadings, "noise": parameters.noise}

    def from_arrays(
        self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]
    ) -> Parameters:
        """The inverse; shapes, sign and finiteness are checked."""
        stored = arrays.get("loadings")
        rank = stored.shape[-1] if stored is not None and stored.ndim else 1
        require_arrays(arrays, {"loadings": (*means.shape, rank)})
        require_arrays(arrays, {"noise": means.shape}, positive=True)
        return Parameters(weights, means, arrays["loadings"], np.maximum(arrays["noise"], 1e-300))


def prior_scales(prior: Any, facts: ColumnFacts, n_components: int) -> PriorScales | None:
    """A prior in the units of the data."""
    if prior is None:
        return None
    if not isinstance(prior, FactorPrior):
        raise MixmendError(
            f"prior must be None, 'default' or a FactorPrior with covariance_type='factor'; "
            f"got {prior!r}."
        )
    d, variances = len(facts.means), facts.variances
    if isinstance(prior.noise_scale, str):
        scale = prior.noise_shape * variances / (3.0 * n_components ** (2.0 / d))
    else:
        scale = np.full(d, float(prior.noise_scale))
    return PriorScales(
        facts.means,
        prior.mean_strength / variances,
        1.0 / (prior.loading_variance * variances),
        prior.noise_shape,
        scale,
        prior.excess,
    )


def factor_family(n_factors: int | None = None, isotropic: bool = False) -> FactorFamily:
    """The family of a rank; ``isotropic`` noise makes it probabilistic principal components."""
    return FactorFamily(n_factors, isotropic)


def spectral_start(obs: ObservedMatrix, density: FactorDensity) -> Parameters:
    """One component from the leading directions of the standardised matrix, holes at 0.

    Subspace iteration with matrix products over observed entries; a hole's 0 shrinks every
    covariance by about the share of observed cells, which is put back.
    """
    from scipy import sparse

    facts, rank, d = column_facts(obs), density.n_factors, obs.shape[1]
    view = obs.by_row
    values = (view.values - facts.means[view.indices]) / np.sqrt(facts.variances)[view.indices]
    weights = np.ones(obs.shape[0]) if obs.row_weights is None else obs.row_weights
    mass = max(float(weights.sum()), 1e-300)
    share = float(weights @ obs.row_counts) / (mass * d)
    values = values * np.repeat(np.sqrt(weights), obs.row_counts)
    rows = sparse.csr_array((values, view.indices, view.pointers), shape=obs.shape)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(d, rank)))[0]
    for _ in range(_SWEEPS):
        basis = np.linalg.qr(rows.T @ (rows @ basis))[0]
    scores = rows @ basis
    values, vectors = np.linalg.eigh(scores.T @ scores / mass)
    values = values / max(share, 1e-12) ** 2
    loadings = (basis @ vectors) * np.sqrt(np.maximum(values - 1.0, 0.1))
    explained = np.minimum((loadings**2).sum(axis=1), 0.9)
    loadings *= np.sqrt(explained / np.maximum((loadings**2).sum(axis=1), 1e-300))[:, None]
    return _scaled_start(facts, loadings, 1.0 - explained, density)


def _scaled_start(
    facts: ColumnFacts, loadings: Array, noise: Array, density: FactorDensity
) -> Parameters:
    variances = noise * facts.variances
    if density.isotropic:
        variances = np.full_like(variances, variances.mean())
    start = Parameters(
        np.ones(1),
        facts.means[None, :].copy(),
        (loadings * np.sqrt(facts.variances)[:, None])[None],
        variances[None, :],
    )
    return start._replace(noise=np.maximum(start.noise, density.floors(start)))


def principal_factors(covariance: Array, rank: int, isotropic: bool) -> tuple[Array, Array]:
    """Loadings (d, r) and noise (d,) whose covariance is near a full one.

    Principal components of the correlations (of the covariance itself for isotropic
    noise, where this is the maximum-likelihood solution of Tipping & Bishop 1999).
    """
    diagonal = np.diagonal(covariance)
    scale = np.ones(len(diagonal)) if isotropic else np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    rest = values[:-rank].mean()
    lengths = np.sqrt(np.maximum(values[-rank:] - rest, 0.0))
    loadings = scale[:, None] * vectors[:, -rank:] * lengths
    if isotropic:
        return loadings, np.full(len(diagonal), rest)
    noise = np.maximum(diagonal - (loadings**2).sum(axis=1), 1e-3 * diagonal)
    return loadings, noise


def _copies(base: Parameters, n_components: int) -> Parameters:
    return Parameters(
        np.full(n_components, 1.0 / n_components),
        np.repeat(base.means, n_components, axis=0),
        np.repeat(base.loadings, n_components, axis=0),
        np.repeat(base.noise, n_components, axis=0),
    )


FACTOR = FactorFamily()
