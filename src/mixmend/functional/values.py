"""What the handout's functions share: its mixture, its density, and checks of what is given."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.em import engine
from mixmend.em.block import Block
from mixmend.errors import DataError, LikelihoodDecreasedWarning
from mixmend.mixtures import spherical
from mixmend.observed.matrix import ObservedMatrix

Array: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-6
"""EM stops when the log-likelihood gains no more than this, relative to its size."""

KMEANS_TOLERANCE = 1e-4
"""K-means stops when the distortion falls by no more than this."""

_ALWAYS = 2**62  # the handout has no limit of steps
_TINY_WEIGHT = 1e-16  # what the handout adds to a weight before its logarithm is taken


class GaussianMixture(NamedTuple):
    """A mixture of K spherical Gaussians in d dimensions.

    Attributes
    ----------
    mu : ndarray, shape (K, d)
        Means.
    var : ndarray, shape (K,)
        Variance of each component, the same in every dimension.
    p : ndarray, shape (K,)
        Mixing weights; they sum to 1.
    """

    mu: Array
    var: Array
    p: Array


class HandoutDensity(spherical.SphericalDensity):
    """Maximum likelihood as in the handout, which keeps the logarithm of a weight finite."""

    def e_step(self, parameters: spherical.Parameters, block: Block) -> spherical.Statistics:
        """Expected statistics under weights that are kept from 0."""
        return spherical.e_step(kept_finite(parameters), block)


def run_em(
    density: spherical.SphericalDensity,
    start: spherical.Parameters,
    block: Block,
    update_last: bool,
) -> tuple[GaussianMixture, Array, float]:
    """EM from a start to its end; the last M-step, too, where that is asked for."""
    with warnings.catch_warnings():
        if (start.variances < density.min_variance).any():
            # lifting the start to the floor costs likelihood, once and rightly
            warnings.simplefilter("ignore", LikelihoodDecreasedWarning)
        fit = engine.run(density, start, [block], tol=TOLERANCE, max_iter=_ALWAYS)
    if fit.interrupted:
        raise KeyboardInterrupt
    at = kept_finite(fit.parameters) if isinstance(density, HandoutDensity) else fit.parameters
    post, log_likelihood = posterior_of(block, at)
    last = fit.parameters
    if update_last:
        last = density.m_step(density.e_step(last, block), last)
    return as_mixture(last), post, log_likelihood


def posterior_of(block: Block, parameters: spherical.Parameters) -> tuple[Array, float]:
    """Responsibilities (n, K) and log-likelihood."""
    result = spherical.posterior(parameters, block)
    return result.responsibilities, result.log_likelihood


def handout_density(min_variance: float) -> HandoutDensity:
    """The handout's floor of variances, and its rule of support."""
    if not (np.isfinite(min_variance) and min_variance >= 0):
        raise DataError(f"min_variance must be finite and not negative; got {min_variance}.")
    return HandoutDensity(min_variance=float(min_variance), min_support=1.0)


def kept_finite(parameters: spherical.Parameters) -> spherical.Parameters:
    """Weights whose logarithms are finite, as the handout has them."""
    return parameters._replace(weights=parameters.weights + _TINY_WEIGHT)


def as_mixture(parameters: spherical.Parameters) -> GaussianMixture:
    """Parameters in the handout's form."""
    return GaussianMixture(
        np.ascontiguousarray(parameters.means), parameters.variances, parameters.weights
    )


def with_holes(data: Array, mixture: GaussianMixture) -> Block:
    """Rows in which 0 means missing."""
    return _block(ObservedMatrix.from_dense(data, missing=0.0), mixture)


def without_holes(data: Array, mixture: GaussianMixture) -> Block:
    """Rows of which every cell was observed."""
    return _block(ObservedMatrix.from_dense(data), mixture)


def _block(observed: ObservedMatrix, mixture: GaussianMixture) -> Block:
    return Block(observed, spherical.row_bytes(len(mixture.p), 8, row_offsets=False))


def matrix_of(values: Any, name: str = "X") -> Array:
    """A finite matrix of doubles."""
    try:
        data = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be a matrix of numbers, shape (n, d).") from None
    if data.ndim != 2 or 0 in data.shape:
        raise DataError(
            f"{name} must be a matrix with rows and columns, shape (n, d); got shape {data.shape}."
        )
    if not np.isfinite(data).all():
        row, column = np.argwhere(~np.isfinite(data))[0]
        raise DataError(
            f"{name} must be finite; row {row}, column {column} is {data[row, column]}. Here 0 "
            f"marks what is missing; for NaN use mixmend.GaussianMixture."
        )
    return data


def parameters_of(
    mixture: GaussianMixture, data: Array, positive: bool = True
) -> spherical.Parameters:
    """The mixture as the kernels take it, once it is known to fit the data."""
    mu, var, p = (np.asarray(part, dtype=np.float64) for part in mixture)
    d = data.shape[1]
    K = p.shape[0] if p.ndim == 1 else 0
    if K == 0 or mu.shape != (K, d) or var.shape != (K,):
        raise DataError(
            f"the mixture must have mu of shape (K, {d}), as X has {d} columns, and var and p of "
            f"shape (K,); got {mu.shape}, {var.shape} and {p.shape}."
        )
    if not np.isfinite(mu).all():
        raise DataError("mixture.mu must be finite.")
    if not (np.isfinite(var).all() and ((var > 0) | (not positive) & (var == 0)).all()):
        k = int(np.flatnonzero(~(np.isfinite(var) & (var > 0)))[0])
        raise DataError(f"mixture.var must be finite and positive; component {k} has {var[k]}.")
    if not ((p >= 0).all() and abs(p.sum() - 1) <= 1e-6):
        raise DataError(f"mixture.p must be weights, not negative, with sum 1; got {p.tolist()}.")
    return spherical.Parameters(p, np.asfortranarray(mu), var)


def shares_of(post: Any, data: Array, mixture: GaussianMixture) -> Array:
    """Responsibilities, once they are known to be such."""
    shares = np.asarray(post, dtype=np.float64)
    wanted = (len(data), len(mixture.p))
    if shares.shape != wanted or wanted[1] == 0:
        raise DataError(
            f"post must have one row per row of X and one column per component, shape (n, K) = "
            f"({wanted[0]}, {wanted[1] or 'K'}); got {shares.shape}."
        )
    bad = ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= 1e-6))
    if bad.any():
        raise DataError(
            "rows of post must be responsibilities: not negative, with sum 1; row "
            f"{int(np.flatnonzero(bad)[0])} is not."
        )
    return shares
