"""New pictures drawn from mixtures that were fitted to one: of single pixels, or of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend import checks
from mixmend.errors import DataError
from mixmend.imaging import mixed
from mixmend.imaging.colours import cells, histogram, points_of, to_colours
from mixmend.imaging.pictures import Picture, as_picture
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.observed.holdout import as_generator

_BLOCK = 1 << 20
_MOST_PATCHES = 10_000
_MIN_VARIANCE = 1.0
"""Floor of variances in squared levels of 255: about what rounding to levels leaves open."""


def sample_image(
    image: Any,
    n_components: int = 5,
    random_state: Any = 0,
    patch_size: int | None = None,
) -> NDArray[np.uint8]:
    """Draw a new picture from a mixture with full covariances fitted to a picture.

    Parameters
    ----------
    image : path, PIL.Image.Image or array-like
        The picture to learn from, as `as_picture` reads it; 16 bits are rounded to 8.
    n_components : int, default 5
        Components of the mixture.
    random_state : int, Generator, RandomState or None, default 0
        Makes fit and draws reproducible.
    patch_size : int, optional
        None: the mixture is one of colours, and each pixel is drawn by itself. Otherwise an
        even number, such as 8: the mixture is one of patches of so many pixels a side, and
        each patch is drawn given the halves that its neighbours to the left and above have
        already drawn, so that there are no seams.

    Returns
    -------
    ndarray of uint8
        In the shape of the picture. Draws beyond 0 or 255 are brought to the nearer end.

    Raises
    ------
    DataError
        If the picture is smaller than a patch, or patches are asked for of one with
        transparency.
    MixmendError
        For an option out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> image = np.zeros((40, 60, 3), np.uint8)
    >>> image[:, 30:] = 200, 100, 50
    >>> drawn = mm.imaging.sample_image(image, n_components=2)
    >>> drawn.shape, bool(abs(drawn.mean(axis=(0, 1)) - (100, 50, 25)).max() < 5)
    ((40, 60, 3), True)
    """
    count = checks.whole("n_components", n_components, 1)
    if patch_size is not None:
        checks.whole("patch_size", patch_size, 2)
        if patch_size % 2:
            raise checks.out_of_range("patch_size", patch_size, "an even number")
    rng = as_generator(random_state)
    picture = as_picture(image)
    if patch_size is None:
        return _pixels(picture, count, rng)
    shorter = min(picture.values.shape[:2])
    if patch_size > shorter:
        raise DataError(
            f"The picture's shorter side has {shorter} pixel{'' if shorter == 1 else 's'}, fewer "
            f"than a patch of {patch_size}. Give a smaller patch_size."
        )
    if picture.alpha is not None:
        raise DataError(
            "Patches are drawn for opaque pictures; this one has transparency. Remove it, or "
            "draw pixels (patch_size=None)."
        )
    drawn = _patches(picture.to_bytes().astype(np.float64), count, patch_size, rng)
    return picture.shaped(np.rint(drawn).astype(np.uint8), None)


def _pixels(picture: Picture, n_components: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each pixel drawn by itself from a mixture of colours."""
    colours = histogram(picture)
    points = points_of(colours, "srgb")
    few = min(n_components, len(points.weights))
    columns = mixed.used_columns(points, picture.is_grey)
    options = mixed.Options(1, _MIN_VARIANCE, picture.is_grey)
    coarse = cells(colours, points, mixed.MOST_POINTS)
    mixture = mixed.fit_mixture(coarse, columns, few, options, rng)
    mixture.random_state = rng  # so that every block has draws of its own
    height, width = picture.values.shape[:2]
    out = np.empty((height * width, 4), np.uint8)
    for begin in range(0, len(out), _BLOCK):
        part = out[begin : begin + _BLOCK]
        rows, _ = mixture.sample(len(part))
        rows = rows[rng.permutation(len(rows))]  # they come ordered by component
        part[:] = to_colours(mixed.completed(rows, points, columns), "srgb")
    drawn = out.reshape(height, width, 4)
    channels = picture.values.shape[2]
    alpha = None if picture.alpha is None else drawn[:, :, 3]
    return np.ascontiguousarray(picture.shaped(drawn[:, :, :channels], alpha))


def _patches(
    values: NDArray[np.float64], n_components: int, size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Patches drawn given what their neighbours to the left and above have drawn.

    Patches of one turn, ``2 * line + column``, do not touch and depend on earlier turns only.
    """
    height, width, channels = values.shape
    mixture = _patch_mixture(values, n_components, size, rng)
    mixture.random_state = rng
    stride = size // 2
    lines, columns = -(-(height - size) // stride) + 1, -(-(width - size) // stride) + 1
    canvas = np.full((lines * stride + stride, columns * stride + stride, channels), np.nan)
    for turn in range(2 * (lines - 1) + columns):
        places = [
            (stride * line, stride * (turn - 2 * line))
            for line in range(lines)
            if 0 <= turn - 2 * line < columns
        ]
        rows = np.stack([canvas[y : y + size, x : x + size].reshape(-1) for y, x in places])
        drawn = np.clip(mixture.impute_samples(rows, 1)[0], 0.0, 255.0)
        for (y, x), patch in zip(places, drawn, strict=True):
            canvas[y : y + size, x : x + size] = patch.reshape(size, size, channels)
    return canvas[:height, :width]


def _patch_mixture(
    values: NDArray[np.float64], n_components: int, size: int, rng: np.random.Generator
) -> GaussianMixture:
    """A mixture with full covariances of (at most 10 000 of) the picture's patches."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (size, size), axis=(0, 1))
    high, wide = windows.shape[:2]
    picked = rng.permutation(high * wide)[:_MOST_PATCHES]
    patches = windows[picked // wide, picked % wide].transpose(0, 2, 3, 1)
    rows = np.ascontiguousarray(patches.reshape(len(picked), -1))
    return GaussianMixture(
        min(n_components, len(np.unique(rows, axis=0))),
        "full",
        init_params="kmeans",
        min_variance=_MIN_VARIANCE,
        tol=1e-4,
        random_state=rng,
    ).fit(rows)
