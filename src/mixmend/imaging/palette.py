"""Palettes: pictures of few colours, by K-means or by a mixture of Gaussians."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixmend import checks
from mixmend.errors import MixmendError
from mixmend.imaging import clusters, mixed
from mixmend.imaging.colours import (
    SPACES,
    Histogram,
    Space,
    cells,
    histogram,
    packed,
    points_of,
    to_colours,
    to_points,
)
from mixmend.imaging.indexed import write_indexed
from mixmend.imaging.pictures import Picture, as_picture
from mixmend.kernels import colours as kernels
from mixmend.observed.holdout import as_generator

_MOST_COLOURS = 256
_TOL, _MOST_ROUNDS = 1e-4, 100
_LAST_ROUNDS, _LAST_VISITS = 8, 1 << 22
"""Rounds over all colours, after those over cells of them have settled: at most so many, or as
many as visit no more colours than that."""
_START_TOL, _GO_ON = 1e-3, 2
"""Starts are compared when they have about settled; so many go on to finer cells."""
_OPACITY_COUNTS = 8.0
"""How much more opacity counts than colour under error diffusion: holes would be seen."""
_CHUNK = 1 << 20
_FEW = 8192
"""Distinct colours that are worked on as they are, from the first start on."""


@dataclass(frozen=True)
class Quantized:
    """A picture of few colours.

    Attributes
    ----------
    palette : ndarray of uint8, shape (K, 3)
        Red, green and blue of the colours, the transparent and the dark ones first.
    indices : ndarray of uint8, shape (h, w)
        Each pixel's colour.
    image : ndarray of uint8, shape (h, w), (h, w, 3) or (h, w, 4)
        The picture in these colours, with the channels of the one that was given.
    mse : float
        Mean squared error over pixels and channels, in levels of 255; where there is
        opacity it counts as a channel, and colours are weighted by it.
    psnr : float
        Peak signal-to-noise ratio in decibels: ``10 log10(255² / mse)``.
    alpha : ndarray of uint8, shape (K,), or None
        Opacity of the colours, where the picture has any transparency.
    counts : ndarray of int64, shape (K,)
        Pixels of each colour.
    n_distinct : int
        Colours that the picture had, at 8 bits a channel.
    """

    palette: NDArray[np.uint8]
    indices: NDArray[np.uint8]
    image: NDArray[np.uint8]
    mse: float
    psnr: float
    alpha: NDArray[np.uint8] | None
    counts: NDArray[np.int64]
    n_distinct: int

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write an indexed picture file, whole or not at all.

        Parameters
        ----------
        path : path-like
            .png (opacity is kept) or .gif (a colour is seen or not: those less than half
            opaque are not).
        overwrite : bool, default True
            Whether a file that is already there may be replaced.

        Raises
        ------
        OutputError
            If the ending is another, or nothing can be written there.

        Warns
        -----
        UserWarning
            If a GIF cannot keep the opacity of some colours.
        """
        write_indexed(path, self.indices, self.palette, self.alpha, overwrite=overwrite)


def quantize(
    image: Any,
    n_colors: int | Literal["auto"] = 16,
    method: Literal["kmeans", "gmm"] = "kmeans",
    random_state: Any = 0,
    *,
    space: Space = "srgb",
    dither: bool = False,
    n_init: int = 8,
    min_variance: float = 1.0,
) -> Quantized:
    """Reduce a picture to few colours that are chosen for it.

    Parameters
    ----------
    image : path, PIL.Image.Image or array-like
        The picture, as `as_picture` reads it; 16 bits are rounded to 8.
    n_colors : int or "auto", default 16
        Colours of the palette, 1 to 256. "auto", for ``method="gmm"``, takes what the Bayesian
        information criterion prefers, pixels being taken as independent; 32 at most.
    method : {"kmeans", "gmm"}, default "kmeans"
        "kmeans" has the least squared error: each pixel takes its nearest colour, and the
        colours are the means of their pixels. "gmm" fits a mixture of Gaussians with full
        covariances: each pixel takes the mean of its most likely component, which follows
        elongated and overlapping clouds of colours instead of cutting them evenly.
    random_state : int, Generator, RandomState or None, default 0
        Makes starts reproducible.
    space : {"srgb", "linear", "oklab"}, default "srgb"
        Where distances are taken: in the numbers of the file, in amounts of light, or in a
        space where equal distances look alike (Ottosson 2020). ``mse`` is in "srgb" always.
    dither : bool, default False
        Whether the error of each pixel is passed on to its neighbours (Floyd & Steinberg
        1976): the error is larger, but smooth surfaces have no bands.
    n_init : int, default 8
        Starts: one by cutting the colours in two where they vary most (after Wu 1992), the
        others by k-means++. The best is kept.
    min_variance : float, default 1.0
        Floor of the variances of ``method="gmm"``, in squared levels of 255, so that no
        component collapses onto one colour.

    Returns
    -------
    Quantized

    Raises
    ------
    MixmendError
        For an option out of its range, or data that are no picture.

    Warns
    -----
    UserWarning
        If the picture has fewer colours than asked for: all are kept exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> image = np.zeros((8, 8, 3), np.uint8)
    >>> image[:, 4:] = 200, 100, 50
    >>> image[0, 0] = 4, 4, 4
    >>> small = mm.imaging.quantize(image, n_colors=2)
    >>> small.palette
    array([[  0,   0,   0],
           [200, 100,  50]], dtype=uint8)
    >>> small.indices[0], round(small.psnr, 1)
    (array([0, 0, 0, 0, 1, 1, 1, 1], dtype=uint8), 54.2)
    """
    checks.one_of("method", method, ("kmeans", "gmm"))
    checks.one_of("space", space, SPACES)
    checks.whole("n_init", n_init, 1)
    wanted = _wanted(n_colors, method)
    floor = checks.number("min_variance", min_variance)
    rng = as_generator(random_state)
    picture = as_picture(image)
    colours = histogram(picture)
    points = points_of(colours, space)
    if wanted is not None and len(colours.counts) <= wanted:
        if len(colours.counts) < wanted:
            warnings.warn(
                f"The picture has {_so_many(len(colours.counts))}, fewer than n_colors={wanted}: "
                "all are kept exactly.",
                UserWarning,
                stacklevel=2,
            )
        return _finished(picture, colours, colours.colours, np.arange(len(colours.counts)))
    if method == "gmm":
        coarse = cells(colours, points, mixed.MOST_POINTS)
        options = mixed.Options(n_init, floor, picture.is_grey)
        centres, labels = mixed.mixture_palette(points, coarse, wanted, options, rng)
        palette = _as_palette(centres, space, picture)
    else:
        assert wanted is not None
        centres, labels = _settled(colours, points, wanted, n_init, rng)
        palette = _as_palette(centres, space, picture)
        palette, labels = _distinct(colours, points, palette, labels, space)
    if dither:
        indices = _dithered(colours, palette, space)
        return _finished(picture, colours, palette, None, indices)
    return _finished(picture, colours, palette, labels)


def _so_many(count: int) -> str:
    return f"{count} colour{'' if count == 1 else 's'}"


def _wanted(n_colors: Any, method: str) -> int | None:
    if isinstance(n_colors, str):
        checks.one_of("n_colors", n_colors, ("auto",))
        if method != "gmm":
            raise MixmendError(
                "n_colors='auto' is chosen by a likelihood, which K-means has not. "
                "Give a number, or method='gmm'."
            )
        return None
    if checks.whole("n_colors", n_colors, 1) > _MOST_COLOURS:
        raise checks.out_of_range("n_colors", n_colors, "at most 256, which is all a palette has")
    return int(n_colors)


def _settled(
    colours: Histogram, points: clusters.Points, wanted: int, n_init: int, rng: np.random.Generator
) -> tuple[clusters.Array, NDArray[np.int64]]:
    """K-means: starts on cells of 5 bits, the best goes on with cells of 6 and all colours."""
    levels: list[tuple[clusters.Points, NDArray[np.int64]]] = []
    if len(points.weights) > _FEW:
        keys = colours.channels
        levels = [clusters.merged(points, packed(keys, bits)) for bits in (5, 6)]
        levels = [level for level in levels if len(level[0].weights) > 4 * wanted]
    levels.append((points, np.arange(len(points.weights))))
    start = levels[0][0]
    runs = []
    for turn in range(n_init):
        first = (
            clusters.variance_cuts(start, wanted)
            if turn == 0
            else clusters.spread_seeds(start, wanted, rng)
        )
        runs.append(clusters.lloyd(start, first, tol=_START_TOL, max_iter=_MOST_ROUNDS))
    runs.sort(key=lambda run: run[2])
    runs = [(centres, labels[levels[0][1]], cost) for centres, labels, cost in runs[:_GO_ON]]
    for finer_cells, place in levels[1:]:
        last = finer_cells is points
        rounds = _last_rounds(finer_cells) if last else _MOST_ROUNDS
        finer = []
        for centres, labels, _ in runs[:1] if last else runs:
            guesses = np.empty(len(finer_cells.weights), np.int64)
            guesses[place] = labels
            centres, labels, cost = clusters.lloyd(
                finer_cells, centres, tol=_TOL, max_iter=rounds, guesses=guesses
            )
            finer.append((centres, labels[place], cost))
        runs = sorted(finer, key=lambda run: run[2])
    centres, labels, _ = runs[0]
    return centres, labels


def _last_rounds(points: clusters.Points) -> int:
    return max(_LAST_ROUNDS, _LAST_VISITS // len(points.weights))


def _as_palette(centres: clusters.Array, space: Space, picture: Picture) -> NDArray[np.uint8]:
    palette = to_colours(centres, space)
    if picture.is_grey:  # rounding must not tint it
        palette[:, :3] = palette[:, 1:2]
    return palette


def _distinct(
    colours: Histogram,
    points: clusters.Points,
    palette: NDArray[np.uint8],
    labels: NDArray[np.int64],
    space: Space,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give colours to the rounded palette; an entry that no colour takes gets the worst served."""
    for _ in range(len(palette)):
        centres = to_points(palette, space)
        found = clusters.assign(points, centres, clusters.neighbours_of(centres), labels)
        labels = found.labels
        empty = np.flatnonzero(found.sizes == 0)
        costs = points.weights * found.smallest
        worst = np.argsort(-costs, kind="stable")[: len(empty)]
        worst = worst[costs[worst] > 0]
        if len(worst) == 0:
            break
        palette = palette.copy()
        palette[empty[: len(worst)]] = colours.colours[worst]
    return palette, labels


def _dithered(colours: Histogram, palette: NDArray[np.uint8], space: Space) -> NDArray[np.uint8]:
    """Indices by error diffusion in the space."""
    height, width = colours.pixels.shape[:2]
    scale = np.array([1.0, 1.0, 1.0, _OPACITY_COUNTS])
    centres = to_points(palette, space) * scale
    neighbours = clusters.neighbours_of(centres)
    known = to_points(colours.colours, space) * scale
    bounds = np.stack([known.min(axis=0), known.max(axis=0)])
    indices = np.empty((height, width), np.uint8)
    carried = np.zeros((width + 2, kernels.WIDTH))
    for part, found in _chunks(colours, indices):
        wanted = (to_points(part, space) * scale).reshape(-1, width, kernels.WIDTH)
        kernels.diffuse(wanted, centres, neighbours, bounds, carried, found.reshape(-1, width))
    return indices


def _chunks(
    colours: Histogram, indices: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Whole lines of pixels as colours (n, 4), with a view of their indices (n,)."""
    height, width, channels = colours.pixels.shape
    lines = max(1, _CHUNK // width)
    for begin in range(0, height, lines):
        part = colours.pixels[begin : begin + lines].reshape(-1, channels)
        if channels == 3:
            part = np.concatenate([part, np.full((len(part), 1), 255, np.uint8)], axis=1)
        yield part, indices[begin : begin + lines].reshape(-1)


def _finished(
    picture: Picture,
    colours: Histogram,
    palette: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    indices: NDArray[np.uint8] | None = None,
) -> Quantized:
    """Put the palette in order, drop what no pixel takes, and measure."""
    if indices is None:
        assert labels is not None
        counts = np.bincount(labels, colours.counts, len(palette)).astype(np.int64)
    else:
        counts = np.bincount(indices.reshape(-1), minlength=len(palette))
    luminance = palette[:, :3] @ np.array([299, 587, 114])
    order = np.lexsort((luminance, palette[:, 3]))
    order = order[counts[order] > 0]
    place = np.zeros(len(palette), np.uint8)
    place[order] = np.arange(len(order))
    if indices is None:
        assert labels is not None
        error = kernels.squared_error(colours.colours, palette, labels, colours.counts)
        indices = colours.spread(place[labels])
    else:
        once = np.zeros(0, np.int64)
        error = sum(
            kernels.squared_error(part, palette, found, once)
            for part, found in _chunks(colours, indices)
        )
        indices = place[indices]
    palette = palette[order]
    channels = 1 if picture.is_grey else 3
    mse = float(error) / (indices.size * (4 if colours.has_alpha else 3))
    alpha = palette[:, 3].copy() if colours.has_alpha else None
    image = palette[indices][:, :, :channels]
    if picture.alpha is not None:
        image = np.concatenate([image, palette[indices][:, :, 3:]], axis=2)
    elif picture.is_grey and picture.is_flat:
        image = image[:, :, 0]
    psnr = 10.0 * float(np.log10(255.0**2 / mse)) if mse > 0 else np.inf
    return Quantized(
        palette[:, :3].copy(),
        indices,
        np.ascontiguousarray(image),
        mse,
        psnr,
        alpha,
        counts[order],
        len(colours.counts),
    )
