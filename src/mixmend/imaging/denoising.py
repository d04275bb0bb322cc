"""Denoising: `restore` for noisy pictures of any kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import one_of
from mixmend.imaging.adapting import adapted
from mixmend.imaging.operators import Identity
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
from mixmend.imaging.restore import Restored, Schedule, Stages, restore
from mixmend.imaging.uncertainty import pixel_variances

Array = NDArray[np.float64]

DENOISING = Schedule((1.0, 4.0, 8.0, 16.0, 32.0, 64.0))

DENOISING_BETA = 1.2
"""Found on photographs, together with the strides: 0.04 to 0.1 dB above 1."""

ADAPTED_BETA = 1.0
"""The same with a prior that is drawn to the picture: 0.04 dB above 1.2."""

FIRST_LOOK = Schedule((1.0, 4.0, 16.0, 64.0))
"""Of the run that fast mode adapts to, with `FIRST_LOOK_BETA`: that it is worse matters little."""

FIRST_LOOK_BETA = 1.6

_RANK = 0.75
"""Share of a patch's coordinates whose correlations fast mode looks at to choose components."""

_BEAM = 3
"""Nodes of the tree over components whose leaves fast mode tries for each patch."""

_STRIDES = {"full": 3, "fast": 4}
_RUNS = {"full": 2, "fast": 1}
_ADAPTATIONS = {"full": 2, "fast": 1}
_ADAPTING_STRIDES = {"full": 2, "fast": 4}


def denoise(
    image: Any,
    sigma: float,
    prior: PatchPrior | None = None,
    *,
    mode: Mode = "full",
    adapt: bool = True,
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
        "full" takes every third patch in each direction, others in each stage, in four
        runs, and averages the last three; "fast" takes every fourth, in two runs, the first
        of which is short, and looks less closely which components are likely. Patches that
        move do better than all patches at once (docs/images.md); for these there is
        `mixmend.imaging.restore.restore`.
    adapt : bool, default True
        Whether the prior is drawn towards what the first run has found, in "full" mode
        again towards what the second has (`mixmend.imaging.adapting.adapted`): what a
        picture has much of, such as the texture of one cloth, is learned from itself.
        Without it "full" averages two runs, and "fast" is one.
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
    >>> bool(np.abs(better - steps).mean() < 0.6 * np.abs(noisy - steps).mean())
    True
    """
    picture = as_picture(image, bounded=False)
    scale = white_of(picture, white)
    noise = positive("sigma", sigma) / scale
    stride = _STRIDES[one_of("mode", mode, MODES)]
    adaptations = _ADAPTATIONS[mode] if adapt else 0
    stages = Stages(
        DENOISING if schedule is None else schedule,
        beta=ADAPTED_BETA if adapt else DENOISING_BETA,
        stride=stride,
    )
    first = stages
    if adaptations and mode == "fast" and schedule is None:
        first = Stages(FIRST_LOOK, beta=FIRST_LOOK_BETA, stride=stride)

    def restored(plane: Array, share: float, prior: PatchPrior) -> Plane:
        operator, variance = Identity(shape_of(plane)), (noise * share) ** 2
        seeds = np.random.SeedSequence(random_state).generate_state(adaptations + _RUNS[mode])
        nearer, runs = prior, list[Restored]()
        rank, beam = None, None
        if mode == "fast":
            rank, beam = round(_RANK * prior.patch_size**2), _BEAM
        for done, seed in enumerate(seeds):
            given = replace(stages if runs else first, rank=rank, beam=beam, random_state=int(seed))
            runs.append(restore(plane, operator, variance, nearer, given))
            if done < adaptations:
                nearer = adapted(
                    nearer, runs[-1].image, variance, _ADAPTING_STRIDES[mode], rank, beam
                )
        # how sure it is, is what the prior says as it came: the other has been told by the noise
        sure = runs[0]
        mean = np.mean([run.image for run in runs[min(adaptations, 1) :]], axis=0)
        spread = pixel_variances(prior, sure.winners, sure.grid, variance) if return_std else None
        return Plane(mean, spread)

    return restored_picture(picture, scale, prior, color, restored, return_std)


__all__ = ["ADAPTED_BETA", "DENOISING", "DENOISING_BETA", "denoise"]
