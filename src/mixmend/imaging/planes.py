"""What `denoise`, `inpaint` and `deblur` have in common: pictures of any kind, plane by plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import number, one_of
from mixmend.errors import MixmendError
from mixmend.imaging.channels import COLORS, from_planes, to_planes, variances_from_planes
from mixmend.imaging.pictures import Picture
from mixmend.imaging.prior import PatchPrior

Array = NDArray[np.float64]
Mode = Literal["full", "fast"]
Color = Literal["opponent", "channels"]

MODES = ("full", "fast")


class Plane(NamedTuple):
    """A restored plane, and the variances of its pixels where they were asked for."""

    image: Array
    variances: Array | None


def restored_picture(
    picture: Picture,
    scale: float,
    prior: PatchPrior | None,
    color: str,
    restored: Callable[[Array, float, PatchPrior], Plane],
    return_std: bool,
) -> Any:
    """Restore the planes of a picture and put them together again.

    Parameters
    ----------
    picture : Picture
    scale : float
        The number that is white.
    prior : PatchPrior or None
        `PatchPrior.default` if None.
    color : {"opponent", "channels"}
    restored : callable
        Of a plane in [0, 1], of what its noise is multiplied with, and of the prior.
    return_std : bool

    Returns
    -------
    image : ndarray
        Of the shape and type of the input.
    std : ndarray
        If asked for.
    """
    one_of("color", color, COLORS)
    prior = PatchPrior.default() if prior is None else prior
    planes, share = to_planes(picture.to_unit() * (picture.peak / scale), color)
    found = [restored(plane, share, prior) for plane in planes]
    unit = from_planes([plane.image for plane in found], color)
    image = picture.from_unit(unit * (scale / picture.peak))
    if not return_std:
        return image
    variances = [plane.variances for plane in found if plane.variances is not None]
    return image, scale * np.sqrt(variances_from_planes(variances, color))


def white_of(picture: Picture, white: float | None) -> float:
    """The number that is white: the given one, or that of the picture's type."""
    return picture.peak if white is None else positive("white", white)


def positive(name: str, value: float) -> float:
    """A number above 0."""
    if number(name, value) == 0:
        raise MixmendError(f"{name} must be positive; got {value!r}.")
    return float(value)


def shape_of(plane: Array) -> tuple[int, int]:
    """Height and width."""
    return plane.shape[0], plane.shape[1]
