"""Deblurring: `restore` and then the exact `Posterior`, for blurred pictures of any kind."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import one_of
from mixmend.imaging.operators import Blur
from mixmend.imaging.patch_step import basis_of
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
from mixmend.imaging.posterior import Components, Posterior, components_of
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.restore import Schedule, Stages, restore
from mixmend.imaging.uncertainty import calibration_of_blur

Array = NDArray[np.float64]

DEBLURRING = Schedule([50.0 * 1.3**stage for stage in range(20)], "picture")

DEBLURRING_BETA = 0.35
"""Found on photographs under Gaussian blur of width 1.6, together with the schedule."""

SPREAD = 3.5e-4
"""Variance of what may be wrong with an estimate when the components for the exact solution are
chosen. Gaussian blur of width 1.6 would have twice as much, a box of 9 × 9 half."""

STRENGTH = 0.15
"""How much the prior counts in the exact solution."""

_STRIDES = {"full": 3, "fast": 4}
_ROUNDS, _AVERAGED = 5, 3
_DRAWS = {"full": 3, "fast": 2}


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
    return_std: bool = False,
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
        What lay beyond the picture's border when it was blurred. The stages of splitting
        have a closed form for "periodic", and take conjugate gradients for the other.
    mode : {"full", "fast"}, default "full"
        "full" takes every third patch in each direction, others in each stage, and after
        the stages solves five times exactly for the picture, given the components of its
        patches (`mixmend.imaging.posterior.Posterior`), other patches each time; the last
        three, on average, count for half, and what the stages gave for the other half.
        "fast" takes every fourth, and leaves it at the stages.
    schedule : Schedule, optional
        Other penalties for the stages than `DEBLURRING`, which does not depend on the noise.
    color, white, random_state
        As for `denoise`.
    return_std : bool, default False
        Whether to give a map of standard deviations too.

    Returns
    -------
    image : ndarray
        Of the shape and type of the input.
    std : ndarray, shape of the picture without alpha
        If asked for: how far a pixel may be off, one standard deviation, in the picture's
        units; docs/images.md says how it is calibrated.

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
    given = PatchPrior.default() if prior is None else prior
    needs_posterior = mode == "full" or return_std
    components = components_of(basis_of(given)) if needs_posterior else None

    def restored(plane: Array, share: float, prior: PatchPrior) -> Plane:
        operator, variance = Blur(kernel, shape_of(plane), boundary), (noise * share) ** 2
        found = restore(plane, operator, variance, prior, stages, plane).image
        if components is None:
            return Plane(found, None)
        rounds = _ROUNDS if mode == "full" else 0
        rng = np.random.default_rng(random_state)
        blurred = _Blurred(plane, operator, variance, components, stages.stride)
        image, last = blurred.solved(found, rounds, rng)
        if not return_std:
            return Plane(image, None)
        spread = blurred.posterior(last, rng).variances(_DRAWS[mode], rng)
        return Plane(image, calibration_of_blur(variance) * spread)

    return restored_picture(picture, scale, given, color, restored, return_std)


class _Blurred(NamedTuple):
    """A blurred plane, and what its posterior takes."""

    data: Array
    operator: Blur
    variance: float
    components: Components
    stride: int

    def posterior(self, picture: Array, rng: np.random.Generator) -> Posterior:
        """Given the components of an estimate's patches, somewhere."""
        offset = rng.integers(0, self.stride, 2)
        return Posterior(
            self.operator,
            self.variance,
            self.components,
            picture,
            spread=SPREAD,
            strength=STRENGTH,
            stride=self.stride,
            offset=(int(offset[0]), int(offset[1])),
        )

    def solved(self, first: Array, rounds: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Halfway between a first estimate and the mean of the last rounds; and the last."""
        if not rounds:
            return first, first
        x, kept = first, list[Array]()
        for done in range(rounds):
            x = self.posterior(x, rng).mean(self.data, x)
            if rounds - done <= _AVERAGED:
                kept.append(x)
        return 0.5 * (first + np.mean(kept, axis=0)), x


__all__ = ["DEBLURRING", "DEBLURRING_BETA", "SPREAD", "STRENGTH", "deblur"]
