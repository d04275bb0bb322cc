"""Components of a mixture in a plane: outlines at so many standard deviations."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError

Array = NDArray[np.float64]

_TYPES = ("spherical", "diag", "tied", "full")


def full_covariances(
    covariances: ArrayLike, K: int, d: int, kind: str | None
) -> tuple[Array, bool]:
    """Variances or covariances in any of their usual shapes as K full matrices.

    Parameters
    ----------
    covariances : array-like
        Shape (K,): one variance per component, or one for all where it is a number;
        (K, d): diagonals; (K, d, d): full; (d, d): one matrix for all.
    K, d : int
        Components and columns.
    kind : {"spherical", "diag", "tied", "full"} or None
        Which of these is meant. By default the shape says it; (d, d) with K = d is taken
        for diagonals.

    Returns
    -------
    full : ndarray, shape (K, d, d)
    spherical : bool
        Whether each component has one variance for all columns.

    Raises
    ------
    DataError
        Where the shape fits no kind, or a variance is negative or not finite.
    """
    given = np.asarray(covariances, dtype=np.float64)
    shapes = {"spherical": (K,), "diag": (K, d), "full": (K, d, d), "tied": (d, d)}
    if given.ndim == 0:
        given = np.full(K, given)
    if kind is not None and kind not in _TYPES:
        raise DataError(f"covariance_type must be one of {', '.join(_TYPES)}; got {kind!r}.")
    if kind is None:
        kind = next((name for name, shape in shapes.items() if given.shape == shape), None)
    if kind is None or given.shape != shapes[kind]:
        wanted = ", ".join(
            f"{shape} for {name}" for name, shape in shapes.items() if kind in (None, name)
        )
        raise DataError(
            f"covariances have shape {given.shape}, but {K} components in {d} columns need "
            f"{wanted}."
        )
    if kind == "spherical":
        full = given[:, None, None] * np.eye(d)
    elif kind == "diag":
        full = given[:, :, None] * np.eye(d)
    elif kind == "tied":
        full = np.broadcast_to(given, (K, d, d))
    else:
        full = given
    variances = np.diagonal(full, axis1=1, axis2=2)
    if not (np.isfinite(full).all() and (variances >= 0).all()):
        k = int(np.flatnonzero(~(np.isfinite(full).all((1, 2)) & (variances >= 0).all(1)))[0])
        raise DataError(
            f"variances must be finite and not negative; those of component {k} are "
            f"{variances[k].tolist()}."
        )
    return full, kind == "spherical"


def outline(mean: Array, covariance: Array, n_deviations: float) -> Path:
    """Return the ellipse at so many standard deviations, in the units of the data.

    The unit circle is mapped by a triangular root of the covariance, taken through the
    correlation: an eigendecomposition would lose the narrow axis where the two columns
    differ by many orders of magnitude.

    Parameters
    ----------
    mean : ndarray, shape (2,)
    covariance : ndarray, shape (2, 2)
    n_deviations : float

    Returns
    -------
    Path
    """
    circle = Path.unit_circle()
    vertices = mean + n_deviations * np.asarray(circle.vertices) @ root(covariance).T
    return Path(vertices, circle.codes)


def points_along(mean: Array, covariance: Array, n_deviations: float) -> Array:
    """Return 72 points along the same ellipse, shape (72, 2)."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    ellipse: Array = mean + n_deviations * circle @ root(covariance).T
    return ellipse


def root(covariance: Array) -> Array:
    """Lower triangular L, shape (2, 2), with L Lᵀ the covariance."""
    first, second = np.sqrt(np.diagonal(covariance))
    rho = correlation(covariance)
    return np.array([[first, 0.0], [rho * second, np.sqrt(1 - rho**2) * second]])


def correlation(covariance: Array) -> float:
    """Correlation of the two columns, within [-1, 1]; 0 where one has no spread."""
    first, second = np.sqrt(np.diagonal(covariance))
    if first == 0 or second == 0:
        return 0.0
    return float(np.clip(covariance[0, 1] / first / second, -1.0, 1.0))
