"""The patch step of half-quadratic splitting: likely components and Wiener estimates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from mixmend.imaging.patches import BAND, PatchGrid, band_sums, joined_bands
from mixmend.imaging.prior import PatchPrior
from mixmend.kernels import patch_search as kernels
from mixmend.kernels.products import wide_registers
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]
Winners = NDArray[np.int32]

ASSIGNMENTS = ("marginal", "joint", "prior")
"""Which density the most likely component is that of; see `stage_tables`."""

_BLOCK = 4


class Basis(NamedTuple):
    """A prior in orthonormal coordinates of patches, those that vary most first.

    Attributes
    ----------
    vectors : ndarray, shape (d, q)
        Eigenvectors of the covariance of all patches; without the constant one where
        patches have no mean.
    means, covariances : ndarray, shape (K, q) and (K, q, q)
        The components in these coordinates.
    prior : PatchPrior
    """

    vectors: Array
    means: Array
    covariances: Array
    prior: PatchPrior


@fixed_order()
def basis_of(prior: PatchPrior) -> Basis:
    """The coordinates that a prior's components are told apart in."""
    d = prior.patch_size**2
    centre = prior.weights @ prior.means
    gaps = prior.means - centre
    pooled = np.einsum("k,kij->ij", prior.weights, prior.covariances)
    pooled += (prior.weights * gaps.T) @ gaps
    if prior.remove_mean:  # brightness last, whatever its variance
        pooled = pooled - np.full((d, d), (1.0 + np.trace(pooled)) / d)
    vectors = np.linalg.eigh(pooled)[1]
    vectors = vectors[:, :0:-1] if prior.remove_mean else vectors[:, ::-1]
    covariances = np.stack([vectors.T @ c @ vectors for c in prior.covariances])
    return Basis(vectors, prior.means @ vectors, covariances, prior)


@fixed_order()
def stage_tables(basis: Basis, noise: float, assignment: str = "marginal") -> kernels.Tables:
    """Components as the kernel reads them, at one penalty.

    Parameters
    ----------
    basis : Basis
    noise : float
        ``1 / gamma``, the variance around patches at this penalty; 0 for `log_density`.
    assignment : {"marginal", "joint", "prior"}, default "marginal"
        The density of a patch y that its most likely component maximises: that of
        y = z + noise with z integrated out (Zoran & Weiss 2011), with z maximised, or that
        of z = y.
    """
    prior = basis.prior
    n_components, q = basis.means.shape
    d = len(basis.vectors)
    width = -(-q // _BLOCK) * _BLOCK
    with np.errstate(divide="ignore"):
        log_weights = np.log(prior.weights)
    ridges = np.array([_ridge(c) for c in basis.covariances])
    clean = basis.covariances + ridges[:, None, None] * np.eye(q)
    noisy = clean + noise * np.eye(q)
    of_noisy = np.linalg.cholesky(noisy)
    of_clean = of_noisy if assignment == "marginal" else np.linalg.cholesky(clean)
    inverses = _lower_inverses(of_noisy)
    w = inverses if assignment != "prior" else _lower_inverses(of_clean)
    whiteners = np.zeros((n_components, width + 1, width), np.float32)
    whiteners[:, 1 : q + 1, :q] = w.swapaxes(1, 2)
    whiteners[:, 0, :q] = -(w @ basis.means[:, :, None])[:, :, 0]
    log_dets = 2.0 * np.log(np.einsum("kii->ki", of_clean)).sum(axis=1)
    costs = log_dets + q * np.log(2.0 * np.pi) - 2.0 * log_weights
    # noisy^-1 covariance, the transposed gain, is 1 - (what noise and ridge add) noisy^-1
    gains = inverses.swapaxes(1, 2) @ (-(noise + ridges)[:, None, None] * inverses)
    np.einsum("kii->ki", gains)[:] += 1.0
    offsets = (basis.means - (basis.means[:, None, :] @ gains)[:, 0]) @ basis.vectors.T
    vectors = np.zeros((d, width), np.float32)
    vectors[:, :q] = basis.vectors
    return kernels.Tables(
        vectors,
        whiteners,
        costs.astype(np.float32),
        (gains @ basis.vectors.T).astype(np.float32),
        offsets.astype(np.float32),
        int(prior.remove_mean),
    )


def patch_sums(
    picture: Array, grid: PatchGrid, tables: kernels.Tables, winners: Winners
) -> tuple[Array, Winners]:
    """The sum over patches of their estimates, and their components.

    Parameters
    ----------
    picture : ndarray, shape (height, width)
    grid : PatchGrid
    tables : Tables
        Of `stage_tables`.
    winners : ndarray of int32, shape (rows, columns) of the grid
        Components to try first, -1 for none.

    Returns
    -------
    sums : ndarray, shape (height, width)
    winners : ndarray of int32
    """
    found = winners.copy()
    parts = band_sums(grid, dtype=np.float32)
    values = np.ascontiguousarray(picture, dtype=np.float32)
    kernels.estimate_patches(values, _plain(grid), tables, found, BAND, parts, *_tokens())
    return joined_bands(parts, grid), found


def log_density(picture: Array, grid: PatchGrid, tables: kernels.Tables, winners: Winners) -> float:
    """``sum_n log p(P_n x)`` over the patches of a grid, ``tables`` being those without noise."""
    out = np.empty(len(grid.rows))
    values = np.ascontiguousarray(picture, dtype=np.float32)
    kernels.log_densities(values, _plain(grid), tables, winners, out, *_tokens())
    return float(out.sum())


def no_winners(grid: PatchGrid) -> Winners:
    """Nothing to try first."""
    return np.full((len(grid.rows), len(grid.columns)), -1, np.int32)


def _lower_inverses(factors: NDArray[Any]) -> Array:
    """The inverses of lower triangles, shape (K, q, q)."""
    return np.stack([dtrtri(factor.T)[0].T for factor in factors])


def _ridge(covariance: Array) -> float:
    """What makes a singular covariance one that can be factored."""
    return 1e-9 * float(np.trace(covariance)) + 1e-12


def _plain(grid: PatchGrid) -> kernels.Grid:
    return kernels.Grid(grid.rows, grid.columns, grid.patch_size)


def _tokens() -> tuple[tuple[int, ...], tuple[int, ...]]:
    return LANES[_BLOCK], LANES[64 if wide_registers() else 16]
