"""Covariance matrices that may be singular: checks, factors, roots.

All decisions are taken on correlations, so that columns of any units are treated alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from mixmend.errors import MixmendError

Array = NDArray[np.float64]

_ROUNDING = 1e-8
"""How far below 0 an eigenvalue of a correlation matrix may be by rounding."""

_SINGULAR = 1e-13
"""Share of a column's variance that must be its own, given the columns before it."""


def log_normal(lower: Array, offsets: Array) -> Array:
    """Log densities of centred points (d, n) under N(0, L L^T)."""
    with np.errstate(over="ignore"):
        squares = np.square(solve_triangular(lower, offsets, lower=True)).sum(axis=0)
    determinant = np.log(np.diag(lower)).sum()
    return np.asarray(-0.5 * (len(lower) * np.log(2 * np.pi) + squares) - determinant)


def _scales(matrix: Array) -> Array:
    """Standard deviations, 1 in place of 0: what makes columns of any units comparable."""
    variances = np.diag(matrix)
    return np.sqrt(np.where(variances > 0, variances, 1.0))


def check_covariance(k: int, matrix: Array) -> None:
    """Raise unless covariances[k] is symmetric and positive semi-definite."""
    if not len(matrix):
        return
    scales = _scales(matrix)
    correlation = matrix / scales[:, None] / scales
    if np.abs(correlation - correlation.T).max() > _ROUNDING:
        i, j = np.unravel_index(np.abs(correlation - correlation.T).argmax(), matrix.shape)
        raise MixmendError(
            f"covariances[{k}] is not symmetric: element ({i}, {j}) is {matrix[i, j]:g}, "
            f"({j}, {i}) is {matrix[j, i]:g}."
        )
    least = float(np.linalg.eigvalsh(0.5 * (correlation + correlation.T))[0])
    if least < -_ROUNDING * len(matrix):
        raise MixmendError(
            f"covariances[{k}] is not positive semi-definite: the least eigenvalue of its "
            f"correlations is {least:.3g}. A covariance matrix has none below 0."
        )


def cholesky(k: int, block: Array, columns: NDArray[np.int64], purpose: str) -> Array:
    """Lower factor of a positive definite block; says which columns make it singular."""
    scales = _scales(block)
    try:
        lower = np.linalg.cholesky(block / scales[:, None] / scales)
        definite = bool(np.all(np.diag(lower) ** 2 > _SINGULAR))
    except np.linalg.LinAlgError:
        definite = False
    if not definite or np.any(np.diag(block) <= 0):
        rank = np.linalg.matrix_rank(block / scales[:, None] / scales, tol=1e-10, hermitian=True)
        shown = ", ".join(map(str, columns[:6])) + (", …" if len(columns) > 6 else "")
        raise MixmendError(
            f"The covariance of component {k} is not positive definite in the columns {shown} "
            f"(rank {min(int(rank), len(columns) - 1)} of {len(columns)}): there is no density to "
            f"{purpose} them. Leave out columns that are constant or follow from the others, "
            "or add noise to the diagonal."
        )
    return np.asarray(scales[:, None] * lower)


def root(matrix: Array) -> Array:
    """Some R with R R^T = matrix, of a matrix that may be singular."""
    scales = _scales(matrix)
    values, vectors = np.linalg.eigh(matrix / scales[:, None] / scales)
    noise = 4.0 * len(values) * np.finfo(float).eps * values.max(initial=0.0)
    # else a direction without variance would have the root of rounding, 1e-8
    return np.asarray(scales[:, None] * vectors * np.sqrt(np.where(values > noise, values, 0.0)))


def semi_definite(matrix: Array) -> Array:
    """The matrix without what rounding took below 0."""
    symmetric = 0.5 * (matrix + matrix.T)
    try:
        np.linalg.cholesky(symmetric)
    except np.linalg.LinAlgError:
        half = root(symmetric)
        symmetric = half @ half.T
    return np.asarray(symmetric)
