"""Denoising, inpainting and deblurring: `restore` for pictures of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import number, one_of
from mixmend.errors import DataError, MixmendError
from mixmend.imaging.channels import (
    COLORS,
    from_planes,
    holed_picture,
    to_planes,
    variances_from_planes,
)
from mixmend.imaging.filling import filled
from mixmend.imaging.operators import Blur, Identity, Mask
from mixmend.imaging.pictures import Picture, as_picture
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.restore import Restored, Schedule, Stages, restore
from mixmend.imaging.uncertainty import pixel_variances

Array = NDArray[np.float64]
Mode = Literal["full", "fast"]
Color = Literal["opponent", "channels"]

DENOISING = Schedule((1.0, 4.0, 8.0, 16.0, 32.0, 64.0))
INPAINTING = Schedule([256.0 * 2**stage for stage in range(8)], "picture")
DEBLURRING = Schedule((50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0), "picture")

DEBLURRING_BETA = 0.5
"""Found on photographs under Gaussian blur of width 1.6: 0.2 dB above 1."""

DENOISING_BETA = 1.2
"""Found on photographs, together with the strides: 0.04 to 0.1 dB above 1."""

_DENOISING_STRIDES = {"full": 3, "fast": 4}
_DENOISING_RUNS = {"full": 3, "fast": 1}
_FAST_STRIDE = 3
_LEAST_SIGMA = 1e-3
"""Of known pixels in inpainting: a quarter of a step of 8 bits."""


def denoise(
    image: Any,
    sigma: float,
    prior: PatchPrior | None = None,
    *,
    mode: Mode = "full",
    schedule: Schedule | None = None,
    color: Color = "opponent",
    white: float | None = None,
    return_std: bool = False,
    random_state: Any = 0,
) -> Any:
    """Take white Gaussian noise off a picture.

    Parameters
    ----------
    image : array-like, path or PIL.Image.Image
        Grey or colour: uint8, uint16, or floats of which 1 is white; as `as_picture` reads
        it. An alpha channel is kept as it is.
    sigma : float
        Standard deviation of the noise in the picture's own units (25 for a uint8 picture
        is 25 / 255 for one of floats).
    prior : PatchPrior, optional
        What pictures look like; `PatchPrior.default` if not given.
    mode : {"full", "fast"}, default "full"
        "full" averages three runs, each of which takes every third patch in each
        direction, others in each stage; "fast" is one run with every fourth. Patches that
        move do better than all patches at once (docs/images.md); for these there is
        `mixmend.imaging.restore.restore`.
    schedule : Schedule, optional
        Other penalties than `DENOISING`.
    color : {"opponent", "channels"}, default "opponent"
        Whether a colour picture is restored as brightness and two colour differences, or
        channel by channel.
    white : float, optional
        For pictures of floats on another scale: the number that is white.
    return_std : bool, default False
        Whether to give a map of standard deviations too.
    random_state : int, default 0
        Where patches lie.

    Returns
    -------
    image : ndarray
        Of the shape and type of the input; floats may overshoot [0, white].
    std : ndarray, shape of the picture without alpha
        If asked for: how far a pixel may be off, one standard deviation, in the picture's
        units; docs/images.md says how it is calibrated.

    Raises
    ------
    DataError
        If it is no picture, smaller than a patch, or has NaN (see `inpaint`).
    MixmendError
        If an option is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.imaging import PatchPrior, denoise
    >>> rng = np.random.default_rng(0)
    >>> steps = np.kron(rng.random((12, 12)), np.ones((8, 8)))
    >>> prior = PatchPrior.fit([steps], patch_size=4, n_components=2, n_patches=2000)
    >>> noisy = steps + rng.normal(0, 0.1, steps.shape)
    >>> better = denoise(noisy, 0.1, prior)
    >>> bool(np.abs(better - steps).mean() < 0.5 * np.abs(noisy - steps).mean())
    True
    """
    picture = as_picture(image, bounded=False)
    scale = _white(picture, white)
    noise = _positive("sigma", sigma) / scale

    def one(plane: Array, share: float, stages: Stages, prior: PatchPrior) -> Restored:
        operator, variance = Identity(_shape(plane)), (noise * share) ** 2
        seeds = np.random.SeedSequence(random_state).generate_state(_DENOISING_RUNS[mode])
        runs = [
            restore(plane, operator, variance, prior, replace(stages, random_state=int(seed)))
            for seed in seeds
        ]
        mean = np.mean([run.image for run in runs], axis=0)
        return replace(runs[0], image=mean)

    stages = Stages(
        DENOISING if schedule is None else schedule,
        beta=DENOISING_BETA,
        stride=_DENOISING_STRIDES[one_of("mode", mode, ("full", "fast"))],
    )
    return _restored(picture, scale, one, stages, prior, color, noise if return_std else None)


def inpaint(
    image: Any,
    mask: ArrayLike | None = None,
    sigma: float = 0.0,
    prior: PatchPrior | None = None,
    *,
    mode: Mode = "full",
    schedule: Schedule | None = None,
    color: Color = "opponent",
    white: float | None = None,
    random_state: Any = 0,
) -> Any:
    """Fill the holes of a picture.

    Parameters
    ----------
    image : array-like, path or PIL.Image.Image
        As for `denoise`. NaN and masked pixels are holes.
    mask : array-like of bool, shape (height, width), optional
        True where a pixel shall be filled, too, as in scikit-image.
    sigma : float, default 0.0
        Standard deviation of the noise of the known pixels; with 0 they stay as they are.
    mode : {"full", "fast"}, default "full"
        "full" takes all patches, "fast" every third in each direction, others in each stage.
    prior, schedule, color, white, random_state
        As for `denoise`. The default schedule does not depend on the noise.

    Returns
    -------
    ndarray
        Of the shape and type of the input.

    Raises
    ------
    DataError
        If the mask has another shape, or nothing is known; else as `denoise`.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.imaging import PatchPrior, inpaint
    >>> slope = np.add.outer(np.arange(32.0), np.arange(32.0)) / 62
    >>> prior = PatchPrior.fit([slope], patch_size=4, n_components=1, n_patches=500)
    >>> holed = slope.copy()
    >>> holed[10:14, 10:14] = np.nan
    >>> bool(np.abs(inpaint(holed, prior=prior) - slope).max() < 0.01)
    True
    """
    picture, holes = holed_picture(image)
    if mask is not None:
        given = np.asarray(mask)
        if given.shape != holes.shape:
            raise DataError(
                f"The mask has shape {given.shape}, but the picture has {holes.shape[0]} × "
                f"{holes.shape[1]} pixels. Give one entry for each pixel."
            )
        holes = holes | given.astype(np.bool_)
    if holes.all():
        raise DataError("No pixel of the picture is known. Leave some out of the mask.")
    scale = _white(picture, white)
    noise = number("sigma", sigma) / scale

    def one(plane: Array, share: float, stages: Stages, prior: PatchPrior) -> Restored:
        variance = (max(noise, _LEAST_SIGMA) * share) ** 2
        start = filled(plane, ~holes)
        found = restore(plane, Mask(~holes), variance, prior, stages, start)
        if noise > 0:
            return found
        return replace(found, image=np.where(holes, found.image, plane))

    stages = _stages(mode, schedule or INPAINTING, random_state)
    return _restored(picture, scale, one, stages, prior, color, None)


def deblur(
    image: Any,
    kernel: ArrayLike,
    sigma: float,
    prior: PatchPrior | None = None,
    *,
    boundary: Literal["periodic", "reflect"] = "reflect",
    mode: Mode = "full",
    schedule: Schedule | None = None,
    color: Color = "opponent",
    white: float | None = None,
    random_state: Any = 0,
) -> Any:
    """Undo a known blur.

    Parameters
    ----------
    image : array-like, path or PIL.Image.Image
        The blurred picture, as for `denoise`.
    kernel : array-like, shape (a, b)
        What a point becomes; odd sides, by custom of sum 1.
    sigma : float
        Standard deviation of the noise, in the picture's own units; positive.
    prior : PatchPrior, optional
        As for `denoise`.
    boundary : {"reflect", "periodic"}, default "reflect"
        What lay beyond the picture's border when it was blurred. "periodic" has a closed
        form; the other takes conjugate gradients.
    mode : {"full", "fast"}, default "full"
        As for `inpaint`.
    schedule, color, white, random_state
        As for `denoise`. The default schedule does not depend on the noise.

    Returns
    -------
    ndarray
        Of the shape and type of the input.

    Raises
    ------
    DataError
        If the kernel has an even side or is larger than the picture; else as `denoise`.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.imaging import PatchPrior, deblur
    >>> from mixmend.imaging.operators import Blur
    >>> rng = np.random.default_rng(0)
    >>> steps = np.kron(rng.random((12, 12)), np.ones((8, 8)))
    >>> prior = PatchPrior.fit([steps], patch_size=4, n_components=2, n_patches=2000)
    >>> box = np.full((3, 3), 1 / 9)
    >>> blurred = Blur(box, steps.shape, "reflect").forward(steps)
    >>> better = deblur(blurred, box, 0.005, prior)
    >>> bool(np.abs(better - steps).mean() < 0.5 * np.abs(blurred - steps).mean())
    True
    """
    picture = as_picture(image, bounded=False)
    scale = _white(picture, white)
    noise = _positive("sigma", sigma) / scale

    def one(plane: Array, share: float, stages: Stages, prior: PatchPrior) -> Restored:
        operator = Blur(kernel, _shape(plane), boundary)
        return restore(plane, operator, (noise * share) ** 2, prior, stages, plane)

    stages = replace(_stages(mode, schedule or DEBLURRING, random_state), beta=DEBLURRING_BETA)
    return _restored(picture, scale, one, stages, prior, color, None)


# ------------------------------------------------------------------------------ in common


def _restored(
    picture: Picture,
    scale: float,
    one: Callable[[Array, float, Stages, PatchPrior], Restored],
    stages: Stages,
    prior: PatchPrior | None,
    color: str,
    noise_for_std: float | None,
) -> Any:
    """Restore the planes of a picture and put them together again."""
    one_of("color", color, COLORS)
    prior = PatchPrior.default() if prior is None else prior
    planes, share = to_planes(picture.to_unit() * (picture.peak / scale), color)
    found = [one(plane, share, stages, prior) for plane in planes]
    unit = from_planes([part.image for part in found], color)
    image = picture.from_unit(unit * (scale / picture.peak))
    if noise_for_std is None:
        return image
    noise = noise_for_std * share
    variances = [pixel_variances(prior, part.winners, part.grid, noise**2) for part in found]
    return image, scale * np.sqrt(variances_from_planes(variances, color))


def _stages(mode: str, schedule: Schedule, random_state: Any) -> Stages:
    one_of("mode", mode, ("full", "fast"))
    stride = _FAST_STRIDE if mode == "fast" else 1
    return Stages(schedule, stride=stride, random_state=random_state)


def _white(picture: Picture, white: float | None) -> float:
    return picture.peak if white is None else _positive("white", white)


def _positive(name: str, value: float) -> float:
    if number(name, value) == 0:
        raise MixmendError(f"{name} must be positive; got {value!r}.")
    return float(value)


def _shape(plane: Array) -> tuple[int, int]:
    return plane.shape[0], plane.shape[1]


__all__ = [
    "DEBLURRING",
    "DEBLURRING_BETA",
    "DENOISING",
    "DENOISING_BETA",
    "INPAINTING",
    "deblur",
    "denoise",
    "inpaint",
]
