"""Inpainting: holes of pictures filled from the known pixels of the patches around them.

Each patch is a row with holes: its component is that of which its known pixels are most
likely, and its estimate their conditional mean under it, exactly. Between passes the prior is
adapted to the picture. The last passes take what those before said of the holes as data, too,
as noisy as they were unsure, so that patches hear of what lies beyond their border.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import number, one_of
from mixmend.errors import DataError
from mixmend.imaging.channels import holed_picture
from mixmend.imaging.holes import Estimates, Seen, adapted, estimates, hole_tables
from mixmend.imaging.operators import Mask
from mixmend.imaging.patches import PatchGrid, patch_grid
from mixmend.imaging.planes import (
    MODES,
    Color,
    Mode,
    Plane,
    restored_picture,
    shape_of,
    white_of,
)
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.restore import Schedule, Stages, restore
from mixmend.kernels.holed_patches import Tables
from mixmend.progress import track

Array = NDArray[np.float64]


class Pass(NamedTuple):
    """One time over the picture.

    Attributes
    ----------
    stride : int
        Distance of the patches; other ones each time.
    with_holes : bool, default False
        Whether holes count as data, of which the pass before was unsure.
    adapts : bool, default False
        Whether the prior takes a step of EM towards the picture afterwards.
    """

    stride: int
    with_holes: bool = False
    adapts: bool = False


PASSES = {
    "full": (
        *9 * (Pass(3, adapts=True),),
        Pass(1),
        Pass(3, with_holes=True, adapts=True),
        Pass(3, with_holes=True),
    ),
    "fast": (Pass(3, adapts=True), Pass(1)),
}
"""Passes of each mode."""

_DOUBT = 0.4
"""What variances of holes are multiplied by when they count as data: 1 loses 0.02 dB."""

_LEAST_SIGMA = 1e-3
"""Of known pixels: a quarter of a step of 8 bits."""


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
    return_std: bool = False,
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
        "full" goes over the picture twelve times, "fast" twice (`PASSES`).
    schedule : Schedule, optional
        Penalties of half-quadratic splitting (`mixmend.imaging.restore.restore`) to end with;
        none by default, as they help with nothing but holes much wider than a patch.
    prior, color, white, random_state
        As for `denoise`.
    return_std : bool, default False
        Whether to give a map of standard deviations too.

    Returns
    -------
    image : ndarray
        Of the shape and type of the input.
    std : ndarray, shape of the picture without alpha
        If asked for: how far a pixel may be off, one standard deviation, in the picture's
        units; 0 for known pixels without noise.

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
    scale = white_of(picture, white)
    noise = number("sigma", sigma) / scale
    passes = PASSES[one_of("mode", mode, MODES)]

    def restored(plane: Array, share: float, prior: PatchPrior) -> Plane:
        variance = (max(noise, _LEAST_SIGMA) * share) ** 2
        filled, variances = _filled(plane, holes, variance, prior, passes, random_state)
        if schedule is not None:
            stride = _stride(passes[0].stride, prior)
            stages = Stages(schedule, stride=stride, random_state=random_state)
            filled = restore(plane, Mask(~holes), variance, prior, stages, filled).image
        if noise == 0:
            filled, variances = np.where(holes, filled, plane), np.where(holes, variances, 0.0)
        return Plane(filled, variances)

    return restored_picture(picture, scale, prior, color, restored, return_std)


def _filled(
    plane: Array,
    holes: NDArray[np.bool_],
    noise: float,
    prior: PatchPrior,
    passes: tuple[Pass, ...],
    random_state: Any,
) -> tuple[Array, Array]:
    """A plane estimated from its known pixels: all pixels, and their variances."""
    centre = plane[~holes].mean()
    known = Seen(np.where(holes, 0.0, plane - centre), np.where(holes, np.inf, noise))
    rng = np.random.default_rng(random_state)
    strides = dict.fromkeys(_stride(step.stride, prior) for step in passes)
    places = {stride: _places(stride, rng) for stride in strides}
    here, tables = prior, hole_tables(prior)
    image, variances = known.values, np.zeros_like(plane)
    with track("filling holes", total=len(passes)) as progress:
        for at, step in enumerate(passes):
            stride = _stride(step.stride, prior)
            first = places[stride][at % stride**2]
            grid = patch_grid(shape_of(plane), prior.patch_size, stride, first)
            seen = known
            if step.with_holes:
                doubts = np.where(holes, _DOUBT * variances, noise)
                seen = Seen(np.where(holes, image, known.values), doubts)
            found = estimates(seen, grid, tables)
            if at == 0:
                found = _grown(found, known, grid, tables)
            last, image = image, np.where(np.isnan(found.means), image, found.means)
            if not step.with_holes:
                variances = np.where(np.isnan(found.variances), variances, found.variances)
            if step.adapts:
                here = adapted(prior, known, grid, tables, found.winners, stride)
                tables = hole_tables(here)
            progress.update()
    if all(step.with_holes for step in passes[-2:]):  # each has seen other patches
        image = 0.5 * (last + image)
    return image + centre, variances


def _places(stride: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """All places of a grid's first patch in random order.

    From a stride of 3 on neither row nor column comes twice running: two passes that are
    averaged look at patches that lie as far apart as can be.
    """
    rows, columns = rng.permutation(stride).tolist(), rng.permutation(stride).tolist()
    return [(rows[t % stride], columns[(t + t // stride) % stride]) for t in range(stride**2)]


def _stride(wanted: int, prior: PatchPrior) -> int:
    """Distance of patches that still overlap."""
    return min(wanted, prior.patch_size - 1)


def _grown(found: Estimates, known: Seen, grid: PatchGrid, tables: Tables) -> Estimates:
    """Estimates of all pixels, those too far from known ones from what was estimated before."""
    means, variances = found.means, found.variances
    size = grid.patch_size
    data = np.isfinite(known.variances)
    while (unreached := np.isnan(means)).any():
        seen = Seen(
            np.where(data, known.values, np.where(unreached, 0.0, means)),
            np.where(data, known.variances, np.where(unreached, np.inf, variances)),
        )
        corners = np.pad(unreached.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        top, left = grid.rows[:, None], grid.columns
        wanted = (
            corners[top + size, left + size] - corners[top, left + size]
            - corners[top + size, left] + corners[top, left]
        ) > 0  # fmt: skip
        more = estimates(seen, grid, tables, wanted)
        means = np.where(unreached, more.means, means)
        variances = np.where(unreached, more.variances, variances)
    return found._replace(means=means, variances=variances)


__all__ = ["inpaint"]
