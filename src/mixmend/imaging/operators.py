"""How a picture is seen: linear operators, and the precision of their noise.

Each maps a picture x (height, width) to data F x and has an adjoint; where F' R^-1 F is
diagonal, or diagonal in frequencies, it says so, and restoration has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import one_of
from mixmend.errors import DataError

Array = NDArray[np.float64]


class LinearOperator(Protocol):
    """What restoration asks of an operator F.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the picture.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture."""

    def forward(self, picture: Array) -> Array:
        """F x."""

    def adjoint(self, data: Array) -> Array:
        """F' y, shape (height, width)."""

    def column_squares(self, precision: Array) -> Array | None:
        """The diagonal of F' diag(precision) F if that is all there is of it, else None."""

    def spectrum(self) -> NDArray[np.complex128] | None:
        """Factors of the frequencies (`scipy.fft.rfft2`) where F is periodic, else None."""

    def power(self) -> Array | None:
        """About F' F in frequencies, real factors, to precondition by; None if not known."""


@dataclass(frozen=True)
class Identity:
    """The picture itself: denoising.

    Examples
    --------
    >>> Identity((2, 2)).forward(np.eye(2))
    array([[1., 0.], [0., 1.]])
    """

    shape: tuple[int, int]

    def forward(self, picture: Array) -> Array:
        """X itself."""
        return picture

    def adjoint(self, data: Array) -> Array:
        """Y itself."""
        return data

    def column_squares(self, precision: Array) -> Array:
        """The precisions."""
        return np.broadcast_to(precision, self.shape)

    def spectrum(self) -> None:
        """Nothing: the diagonal form is simpler."""

    def power(self) -> None:
        """Nothing: the diagonal form is simpler."""


@dataclass(frozen=True)
class Mask:
    """Pixels that are known, and zeros for the others: inpainting.

    Parameters
    ----------
    known : ndarray of bool, shape (height, width)

    Examples
    --------
    >>> Mask(np.array([[True, False]])).forward(np.array([[3.0, 4.0]]))
    array([[3., 0.]])
    """

    known: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.known.shape[0], self.known.shape[1]

    def forward(self, picture: Array) -> Array:
        """The known pixels; 0 elsewhere."""
        return np.where(self.known, picture, 0.0)

    adjoint = forward

    def column_squares(self, precision: Array) -> Array:
        """The precisions of the known pixels; 0 elsewhere."""
        return np.where(self.known, np.broadcast_to(precision, self.shape), 0.0)

    def spectrum(self) -> None:
        """Nothing: the diagonal form is simpler."""

    def power(self) -> None:
        """Nothing: the diagonal form is simpler."""


@dataclass(frozen=True)
class Blur:
    """Convolution with a kernel.

    Parameters
    ----------
    kernel : array-like, shape (a, b)
        Odd in both directions, its middle the pixel itself.
    shape : tuple of int
        Height and width of the picture.
    boundary : {"periodic", "reflect"}, default "periodic"
        What lies beyond the border: the other side, or the picture's reflection (with the
        border pixel twice, as `scipy.ndimage` has it).

    Raises
    ------
    DataError
        If the kernel is even-sided, larger than the picture or not finite.

    Examples
    --------
    >>> Blur([[0.5, 0.0, 0.5]], (1, 4)).forward(np.array([[1.0, 0.0, 0.0, 0.0]])).round(12) + 0.0
    array([[0. , 0.5, 0. , 0.5]])
    """

    kernel: ArrayLike
    shape: tuple[int, int]
    boundary: Literal["periodic", "reflect"] = "periodic"
    _factors: NDArray[np.complex128] = field(init=False, repr=False, compare=False)
    _power: Array = field(init=False, repr=False, compare=False)
    _lines: tuple[NDArray[np.intp], NDArray[np.intp]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("boundary", self.boundary, ("periodic", "reflect"))
        kernel = np.asarray(self.kernel, dtype=np.float64)
        if kernel.ndim != 2 or any(side % 2 == 0 for side in kernel.shape):
            raise DataError(
                f"A blur kernel must have two odd sides, so that it has a middle; got shape "
                f"{kernel.shape}. Pad it with zeros."
            )
        if any(k > n for k, n in zip(kernel.shape, self.shape, strict=True)):
            raise DataError(
                f"The kernel of {kernel.shape[0]} × {kernel.shape[1]} is larger than the picture "
                f"of {self.shape[0]} × {self.shape[1]} pixels. Crop one or give more of the other."
            )
        if not np.isfinite(kernel).all():
            raise DataError("The blur kernel holds NaN or infinity.")
        reach = (kernel.shape[0] // 2, kernel.shape[1] // 2)
        reach_out = (0, 0) if self.boundary == "periodic" else reach
        lines = tuple(
            np.pad(np.arange(n), r, mode="symmetric")
            for n, r in zip(self.shape, reach_out, strict=True)
        )
        object.__setattr__(self, "_factors", self._transfer((len(lines[0]), len(lines[1]))))
        object.__setattr__(self, "_power", np.abs(self._transfer(self.shape)) ** 2)
        object.__setattr__(self, "_lines", lines)

    def forward(self, picture: Array) -> Array:
        """The blurred picture."""
        wide = picture[np.ix_(*self._lines)]
        return self._cropped(self._filtered(wide, self._factors))

    def adjoint(self, data: Array) -> Array:
        """Correlation with the kernel; what lies beyond the border is added where it is from."""
        if self.boundary == "periodic":
            return self._filtered(data, self._factors.conj())
        rows, columns = self._lines
        top, left = (len(rows) - self.shape[0]) // 2, (len(columns) - self.shape[1]) // 2
        wide = np.zeros((len(rows), len(columns)))
        wide[top : top + self.shape[0], left : left + self.shape[1]] = data
        wide = self._filtered(wide, self._factors.conj())
        half = np.zeros((self.shape[0], len(columns)))
        np.add.at(half, rows, wide)
        total = np.zeros((self.shape[1], self.shape[0]))
        np.add.at(total, columns, half.T)
        return np.ascontiguousarray(total.T)

    def column_squares(self, precision: Array) -> None:
        """Nothing: F' F is not diagonal."""

    def spectrum(self) -> NDArray[np.complex128] | None:
        """The kernel's transform, if periodic."""
        return self._factors if self.boundary == "periodic" else None

    def power(self) -> Array:
        """Squares of the kernel's transform: away from the border any blur is periodic."""
        return self._power

    def _transfer(self, shape: tuple[int, int]) -> NDArray[np.complex128]:
        """The kernel's transform on a periodic picture of this shape."""
        kernel = np.asarray(self.kernel, dtype=np.float64)
        around = np.zeros(shape)
        around[: kernel.shape[0], : kernel.shape[1]] = kernel
        around = np.roll(around, tuple(-(side // 2) for side in kernel.shape), axis=(0, 1))
        return np.asarray(scipy.fft.rfft2(around))

    def _filtered(self, picture: Array, factors: NDArray[np.complex128]) -> Array:
        turned = scipy.fft.rfft2(picture) * factors
        return np.asarray(scipy.fft.irfft2(turned, s=picture.shape))

    def _cropped(self, wide: Array) -> Array:
        top = (wide.shape[0] - self.shape[0]) // 2
        left = (wide.shape[1] - self.shape[1]) // 2
        return wide[top : top + self.shape[0], left : left + self.shape[1]]


@dataclass(frozen=True)
class LinearMap:
    """Any linear map, given as two functions.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the picture.
    apply : callable
        F x of a picture (height, width), an array of real numbers of any shape.
    transpose : callable
        Its adjoint F' y, shape (height, width).

    Examples
    --------
    >>> rows = LinearMap((2, 3), lambda x: x.sum(axis=1), lambda y: np.repeat(y[:, None], 3, 1))
    >>> rows.forward(np.ones((2, 3)))
    array([3., 3.])
    """

    shape: tuple[int, int]
    apply: Callable[[Array], Array]
    transpose: Callable[[Array], Array]

    def forward(self, picture: Array) -> Array:
        """F x."""
        return np.asarray(self.apply(picture), dtype=np.float64)

    def adjoint(self, data: Array) -> Array:
        """F' y."""
        return np.asarray(self.transpose(data), dtype=np.float64)

    def column_squares(self, precision: Array) -> None:
        """Nothing is known of it."""

    def spectrum(self) -> None:
        """Nothing is known of it."""

    def power(self) -> None:
        """Nothing is known of it."""


class Precision(NamedTuple):
    """R^-1 of the noise covariance R.

    Attributes
    ----------
    diagonal : ndarray or None
        Precisions, a number () or one of each datum; None where R is not diagonal.
    apply : callable
        R^-1 y.
    typical : float
        Variance that schedules of penalties refer to.
    """

    diagonal: Array | None
    apply: Callable[[Array], Array]
    typical: float


def precision_of(noise: Any, data: Array) -> Precision:
    """R^-1 from a variance, an array of variances, or a function that applies R^-1.

    Parameters
    ----------
    noise : float, ndarray of the data's shape, or callable
        A variance of infinity says nothing of its datum. Of a function, the reciprocal of
        the mean precision (over the data, by R^-1 of a random vector of signs) is typical.
    data : ndarray
        y, for its shape.

    Raises
    ------
    DataError
        If variances are not positive or of another shape.

    Examples
    --------
    >>> precision_of(0.25, np.zeros(3)).apply(np.ones(3))
    array([4., 4., 4.])
    """
    if callable(noise):
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=data.shape)
        mean = float((signs * noise(signs)).mean())
        return Precision(None, noise, 1.0 / mean)
    variances = np.asarray(noise, dtype=np.float64)
    if variances.shape not in ((), data.shape):
        raise DataError(
            f"The noise variances have shape {variances.shape} and the data {data.shape}. "
            "Give one number, or one for each datum."
        )
    if not (variances > 0).all():
        raise DataError(
            f"Noise variances must be positive; one is {variances[~(variances > 0)].flat[0]:g}."
        )
    precisions = 1.0 / variances
    finite = variances[np.isfinite(variances)]
    typical = float(np.median(finite)) if finite.size else 1.0
    return Precision(precisions, lambda y: precisions * y, typical)
