"""Deblurring: `restore` for blurred pictures of any kind."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import one_of
from mixmend.imaging.operators import Blur
from mixmend.imaging.pictures import as_picture
from mixmend.imaging.planes import (
    MODES,
    Color,
    Mode,
    Plane,
    positive,
    restored_picture,
    shape_of,
    white_of,
)
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.restore import Schedule, Stages, restore

Array = NDArray[np.float64]

DEBLURRING = Schedule([50.0 * 1.3**stage for stage in range(20)], "picture")

DEBLURRING_BETA = 0.35
"""Found on photographs under Gaussian blur of width 1.6, together with the schedule."""

_STRIDES = {"full": 3, "fast": 4}


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
        "full" takes every third patch in each direction, "fast" every fourth, others in each
        stage.
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
    scale = white_of(picture, white)
    noise = positive("sigma", sigma) / scale
    stages = Stages(
        DEBLURRING if schedule is None else schedule,
        beta=DEBLURRING_BETA,
        stride=_STRIDES[one_of("mode", mode, MODES)],
        random_state=random_state,
    )

    def restored(plane: Array, share: float, prior: PatchPrior) -> Plane:
        operator = Blur(kernel, shape_of(plane), boundary)
        found = restore(plane, operator, (noise * share) ** 2, prior, stages, plane)
        return Plane(found.image, None)

    return restored_picture(picture, scale, prior, color, restored, False)


__all__ = ["DEBLURRING", "DEBLURRING_BETA", "deblur"]
