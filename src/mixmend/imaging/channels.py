"""Pictures as grey planes in [0, 1]: holes set aside, colours turned and turned back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.imaging.pictures import Picture, as_picture

Array = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue (ITU-R BT.601)."""

_OPPONENT = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
_OPPONENT /= np.sqrt(3.0 * (_OPPONENT**2).sum(axis=1, keepdims=True))

COLORS = ("opponent", "channels")


def holed_picture(image: Any) -> tuple[Picture, NDArray[np.bool_]]:
    """A picture and where it has holes (height, width): NaN or masked, in any channel.

    Holes are 0 in the picture.

    Examples
    --------
    >>> holed_picture(np.array([[0.5, np.nan]]))[1]
    array([[False,  True]])
    """
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        picture = as_picture(image, bounded=False)
        return picture, np.zeros(picture.values.shape[:2], np.bool_)
    values: NDArray[Any] = np.ma.getdata(image)
    holes: NDArray[np.bool_] = np.array(np.ma.getmaskarray(image))
    if values.dtype.kind == "f":
        holes |= np.isnan(values)
    picture = as_picture(np.where(holes, values.dtype.type(0), values), bounded=False)
    return picture, holes if holes.ndim == 2 else np.asarray(holes.any(axis=2))


def grey_plane(image: Any, name: str) -> Array:
    """The luma of a picture, NaN in its holes; an error begins with the picture's name."""
    try:
        picture, holes = holed_picture(image)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    unit = picture.to_unit()
    plane = unit @ LUMA if unit.ndim == 3 else unit
    return np.where(holes, np.nan, plane)


def to_planes(unit: Array, color: str) -> tuple[list[Array], float]:
    """Planes to restore one by one, and what the noise of a channel is multiplied with.

    "opponent" takes the mean of the channels and two differences, all of independent noise:
    texture stands in the mean, where there is less noise.

    Examples
    --------
    >>> planes, scale = to_planes(np.full((1, 1, 3), 0.5), "opponent")
    >>> [float(abs(plane[0, 0]).round(3)) for plane in planes], round(scale**2, 3)
    ([0.5, 0.0, 0.0], 0.333)
    """
    if unit.ndim == 2:
        return [unit], 1.0
    if color == "channels":
        return [unit[:, :, c] for c in range(3)], 1.0
    turned = unit @ _OPPONENT.T
    return [np.ascontiguousarray(turned[:, :, c]) for c in range(3)], 3.0**-0.5


def from_planes(planes: list[Array], color: str) -> Array:
    """The picture of some planes: the inverse of `to_planes`."""
    if len(planes) == 1:
        return planes[0]
    stacked = np.stack(planes, axis=2)
    return stacked if color == "channels" else stacked @ (3.0 * _OPPONENT)


def variances_from_planes(variances: list[Array], color: str) -> Array:
    """Variances of the picture's channels from those of its planes."""
    if len(variances) == 1:
        return variances[0]
    stacked = np.stack(variances, axis=2)
    return stacked if color == "channels" else stacked @ (3.0 * _OPPONENT) ** 2
