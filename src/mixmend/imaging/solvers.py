"""The picture step of half-quadratic splitting: ``(F' R^-1 F + diag(w)) x = b``.

In closed form where there is one, else by conjugate gradients; the dense forms are for
small problems and for tests.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

from mixmend.errors import MixmendError
from mixmend.imaging.operators import LinearOperator, Precision
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

METHODS = ("auto", "diagonal", "fourier", "cholesky", "dual", "cg")

MOST_PIXELS = 4096
"""Of the dense forms: a matrix of 128 MB."""

_MOST_STEPS = 200


@fixed_order()
def solve(
    operator: LinearOperator,
    precision: Precision,
    weights: Array,
    right: Array,
    *,
    method: str = "auto",
    start: Array | None = None,
    tol: float = 1e-6,
) -> Array:
    """The picture x of ``(F' R^-1 F + diag(weights)) x = right``.

    Parameters
    ----------
    operator : LinearOperator
        F.
    precision : Precision
        R^-1.
    weights : ndarray, shape (height, width)
        Positive.
    right : ndarray, shape (height, width)
    method : {"auto", "diagonal", "fourier", "cholesky", "dual", "cg"}, default "auto"
        "diagonal" where F' R^-1 F is; "fourier" for periodic operators with one variance
        and even weights; "cholesky" factors the matrix, "dual" the smaller one of the data,
        R + F diag(1 / weights) F'; "cg" takes preconditioned conjugate gradients.
    start : ndarray, optional
        Where conjugate gradients begin.
    tol : float, default 1e-6
        They end where the residual is this share of the right side.

    Raises
    ------
    MixmendError
        If the method does not suit the operator, or the problem is too large for it.
    """
    diagonal = None
    if precision.diagonal is not None:
        diagonal = operator.column_squares(precision.diagonal)
    spectrum, single = operator.spectrum(), None
    if precision.diagonal is not None and precision.diagonal.ndim == 0:
        single = float(precision.diagonal)
    even = float(np.ptp(weights)) <= 1e-9 * float(weights.max())
    in_frequencies = spectrum is not None and single is not None and even
    if method == "auto":
        method = "diagonal" if diagonal is not None else "fourier" if in_frequencies else "cg"
    if method == "diagonal" and diagonal is not None:
        return right / (diagonal + weights)
    if method == "fourier" and even and spectrum is not None and single is not None:
        return over_frequencies(right, single * np.abs(spectrum) ** 2 + float(weights.mean()))
    if method in ("cholesky", "dual"):
        return _dense(operator, precision, weights, right, method == "dual")
    if method == "cg":
        condition = _preconditioner(operator.power(), diagonal, precision, weights)
        return conjugate_gradients(
            lambda x: operator.adjoint(precision.apply(operator.forward(x))) + weights * x,
            right,
            condition,
            np.zeros_like(right) if start is None else start,
            tol,
        )
    raise MixmendError(
        f"The picture step has no {method!r} form here: 'diagonal' needs a mask or the picture "
        "itself with noise of independent pixels, 'fourier' a periodic blur with one variance "
        "and patches that wrap around. Use method='auto'."
    )


def conjugate_gradients(
    apply: Callable[[Array], Array],
    right: Array,
    condition: Callable[[Array], Array],
    start: Array,
    tol: float,
) -> Array:
    """Solve ``A x = right`` for a positive definite A, given as a function.

    ``condition`` applies an approximate inverse of A.
    """
    x = start.copy()
    residual = right - apply(x)
    limit = tol * float(np.linalg.norm(right))
    direction = z = condition(residual)
    inner = float((residual * z).sum())
    for _ in range(_MOST_STEPS):
        if np.linalg.norm(residual) <= limit:
            break
        turned = apply(direction)
        step = inner / float((direction * turned).sum())
        x += step * direction
        residual = residual - step * turned
        z = condition(residual)
        inner, before = float((residual * z).sum()), inner
        direction = z + inner / before * direction
    return x


def over_frequencies(picture: Array, factors: Array) -> Array:
    """A picture, each of its frequencies (`scipy.fft.rfft2`) divided by its factor.

    Examples
    --------
    >>> over_frequencies(np.array([[1.0, 3.0]]), np.array([[2.0, 1.0]]))
    array([[0., 2.]])
    """
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(picture) / factors, s=picture.shape))


def _preconditioner(
    power: Array | None,
    diagonal: Array | None,
    precision: Precision,
    weights: Array,
) -> Callable[[Array], Array]:
    """Frequencies for blurs, else the diagonal as far as it is known."""
    if power is not None:
        factors = power / precision.typical + float(weights.mean())
        return lambda r: over_frequencies(r, factors)
    known = weights if diagonal is None else diagonal + weights
    return lambda r: r / known


def _dense(
    operator: LinearOperator, precision: Precision, weights: Array, right: Array, dual: bool
) -> Array:
    n = weights.size
    if n > MOST_PIXELS:
        raise MixmendError(
            f"The dense forms take pictures of at most {MOST_PIXELS} pixels; this one has {n}. "
            "Use method='cg'."
        )
    units = np.eye(n).reshape(n, *operator.shape)
    seen = [operator.forward(unit) for unit in units]
    matrix = np.stack([column.ravel() for column in seen], axis=1)  # F
    b = right.ravel()
    if not dual:
        weighed = np.stack([precision.apply(column).ravel() for column in seen], axis=1)
        normal = matrix.T @ weighed + np.diag(weights.ravel())
        x = scipy.linalg.cho_solve(scipy.linalg.cho_factor(normal), b)
        return np.asarray(x).reshape(operator.shape)
    data_shape, m = seen[0].shape, seen[0].size
    precisions = np.stack(
        [precision.apply(unit.reshape(data_shape)).ravel() for unit in np.eye(m)], axis=1
    )
    least = b / weights.ravel()
    spread = matrix / weights.ravel()  # F diag(1 / w)
    gram = spread @ matrix.T
    # (R + G)^-1 = P (I + G P)^-1 with P = R^-1: R itself is not asked for
    inner = np.linalg.solve(np.eye(m) + gram @ precisions, matrix @ least)
    return np.asarray(least - spread.T @ (precisions @ inner)).reshape(operator.shape)


__all__ = ["METHODS", "MOST_PIXELS", "conjugate_gradients", "over_frequencies", "solve"]
