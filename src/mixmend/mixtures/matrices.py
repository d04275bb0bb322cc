"""Covariance matrices kept away from singularity, and packed into vectors."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mixmend.mixtures.spherical_e_step import Array

Places = NDArray[np.int64]

_TINY = 1e-300


def floored(covariance: Array, floor: Array) -> Array:
    """The covariance with every variance, in whatever direction, at least that of ``floor``.

    Parameters
    ----------
    covariance : ndarray, shape (d, d) or (K, d, d)
        Symmetric; several are treated one by one.
    floor : ndarray, shape (d, d)
        Symmetric and positive definite.

    Returns
    -------
    ndarray, shape of ``covariance``
        Of all matrices S with ``S - floor`` positive semidefinite the one under which
        Gaussian data with this scatter are most probable: eigenvalues relative to
        ``floor`` that are below 1 become 1. EM with this step still never falls. NaN where
        the covariance is not finite.

    Examples
    --------
    >>> floored(np.diag([4.0, 0.0]), 0.25 * np.eye(2))
    array([[4.  , 0.  ],
           [0.  , 0.25]])
    """
    if _cholesky(covariance - floor) is not None:
        return covariance
    if covariance.ndim == 3:
        return np.stack([floored(one, floor) for one in covariance])
    factor = np.asarray(np.linalg.cholesky(floor), np.float64)
    relative = _relative(covariance, factor)
    if not np.isfinite(relative).all():
        return np.full_like(covariance, np.nan)
    values, vectors = np.linalg.eigh(relative)
    basis = factor @ vectors
    # what is left to add: exact where nothing is to be mended
    lifted = covariance + (basis * np.maximum(1.0 - values, 0.0)) @ basis.T
    return np.asarray(0.5 * (lifted + lifted.T))


def least_share(covariance: Array, reference: Array) -> float:
    """The least ratio of variances, over all directions, of a covariance to a reference.

    Examples
    --------
    >>> round(least_share(np.diag([1.0, 3.0]), np.diag([4.0, 3.0])), 6)
    0.25
    """
    factor = np.asarray(np.linalg.cholesky(reference), np.float64)
    return float(np.linalg.eigvalsh(_relative(covariance, factor))[0])


def _cholesky(matrix: Array) -> Array | None:
    try:
        return np.asarray(np.linalg.cholesky(matrix), np.float64)
    except np.linalg.LinAlgError:
        return None


def _relative(covariance: Array, factor: Array) -> Array:
    if not np.isfinite(covariance).all():
        return np.full_like(covariance, np.nan)
    half = np.linalg.solve(factor, covariance)
    out = np.linalg.solve(factor, half.T)
    return np.asarray(0.5 * (out + out.T))


def packed(covariance: Array) -> Array:
    """Covariances as unconstrained vectors: their Cholesky factors with log diagonals.

    (d, d) or (K, d, d) to (d (d + 1) / 2,) or (K, …). NaN where there is a matrix that has
    none: an extrapolation that went too far.

    Examples
    --------
    >>> packed(np.array([[4.0, 2.0], [2.0, 5.0]])).round(4)
    array([0.6931, 1.    , 0.6931])
    """
    factor, d = _cholesky(covariance), covariance.shape[-1]
    if factor is None:
        return np.full((*covariance.shape[:-2], d * (d + 1) // 2), np.nan)
    rows, columns, diagonal = _triangle(d)
    vector = factor[..., rows, columns]
    vector[..., diagonal] = np.log(np.maximum(vector[..., diagonal], _TINY))
    return np.asarray(vector)


def unpacked(vector: Array, d: int) -> Array:
    """The inverse of `packed`."""
    rows, columns, diagonal = _triangle(d)
    factor = np.zeros((*vector.shape[:-1], d, d))
    with np.errstate(over="ignore", invalid="ignore"):
        factor[..., rows, columns] = vector
        factor[..., rows[diagonal], rows[diagonal]] = np.exp(vector[..., diagonal])
        return np.asarray(factor @ factor.swapaxes(-1, -2))


@cache
def _triangle(d: int) -> tuple[Places, Places, Places]:
    """Rows and columns of a lower triangle, and which of its places are on the diagonal."""
    rows, columns = np.tril_indices(d)
    return rows, columns, np.flatnonzero(rows == columns)
