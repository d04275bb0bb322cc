"""The distinct colours of a picture, how often each occurs, and the spaces they lie in.

A picture has far fewer colours than pixels, and everything that palettes need of the pixels
is how many have each colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixmend.imaging.clusters import Array, Points, merged
from mixmend.imaging.pictures import Picture
from mixmend.kernels import colours as kernels

Space = Literal["srgb", "linear", "oklab"]
SPACES: tuple[Space, ...] = ("srgb", "linear", "oklab")

_CHUNK = 1 << 20
_SORTED = 1 << 19
"""Pixels up to which sorting them is quicker than a table of all colours there are."""

# Ottosson (2020), "A perceptual color space for image processing"
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Histogram:
    """The distinct colours of a picture.

    Attributes
    ----------
    colours : ndarray of uint8, shape (n, 4)
        Red, green, blue and opacity, in increasing order; grey has three equal ones.
    counts : ndarray of int64, shape (n,)
        Pixels of each.
    pixels : ndarray of uint8, shape (h, w, 3 or 4)
        The picture itself, with opacity where any pixel is not opaque.
    """

    colours: NDArray[np.uint8]
    counts: NDArray[np.int64]
    pixels: NDArray[np.uint8]

    @property
    def has_alpha(self) -> bool:
        """Whether any pixel is not wholly opaque."""
        return bool(self.pixels.shape[2] == 4)

    @property
    def channels(self) -> NDArray[np.uint8]:
        """The distinct colours in the channels that differ: (n, 3), or (n, 4) with opacity."""
        return self.colours if self.has_alpha else self.colours[:, :3]

    def spread(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A number of each colour given to its pixels, shape (h, w)."""
        flat = self.pixels.reshape(-1, self.pixels.shape[2])
        out = np.empty(len(flat), np.uint8)
        if self.has_alpha:
            keys = packed(self.colours)
            for begin in range(0, len(flat), _CHUNK):
                part = slice(begin, begin + _CHUNK)
                out[part] = values[np.searchsorted(keys, packed(flat[part]))]
        else:
            table = np.zeros(1 << 24, np.uint8)
            table[packed(self.colours[:, :3])] = values
            kernels.look_up(flat, table, out)
        return out.reshape(self.pixels.shape[:2])


def histogram(picture: Picture) -> Histogram:
    """Count a picture's colours, of 8 bits a channel; colours that cannot be seen are one."""
    values, alpha = picture.to_bytes(), picture.alpha_bytes()
    if picture.is_grey:
        values = np.repeat(values, 3, axis=2)
    if alpha is None or bool((alpha == 255).all()):
        pixels = np.ascontiguousarray(values)
        keys, counts = _counted(pixels.reshape(-1, 3))
        colours = unpacked(keys, 3)
    else:
        pixels = np.concatenate([values, alpha[:, :, None]], axis=2)
        pixels[alpha == 0] = 0
        keys, counts = _counted(pixels.reshape(-1, 4))
        colours = unpacked(keys, 4)
    return Histogram(colours, counts, pixels)


def packed(pixels: NDArray[np.uint8], bits: int = 8) -> NDArray[np.uint32]:
    """The leading bits of each channel in one number, shape (n,)."""
    out = np.zeros(len(pixels), np.uint32)
    for channel in range(pixels.shape[1]):
        out = (out << np.uint32(bits)) | (pixels[:, channel] >> np.uint8(8 - bits))
    return out


def unpacked(keys: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Colours of packed numbers, shape (n, 4): opaque if there are three channels."""
    out = np.full((len(keys), 4), 255, np.uint8)
    for channel in range(channels):
        out[:, channel] = (keys >> (8 * (channels - 1 - channel))) & 255
    return out


def _counted(flat: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Distinct packed pixels in increasing order, and how many of each."""
    if flat.shape[1] == 3 and len(flat) > _SORTED:
        table = np.zeros(1 << 24, np.uint32)
        kernels.count_colours(flat, table)
        keys = np.flatnonzero(table)
        return keys, table[keys].astype(np.int64)
    parts = [
        np.unique(packed(flat[begin : begin + _CHUNK]), return_counts=True)
        for begin in range(0, len(flat), _CHUNK)
    ]
    keys, place = np.unique(np.concatenate([part for part, _ in parts]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([count for _, count in parts]))
    return keys, counts.astype(np.int64)


def to_points(colours: NDArray[np.uint8], space: Space) -> Array:
    """Coordinates of colours (n, 4) in a space, shape (n, 4), on a scale of 255.

    The first three are weighted by opacity, which is the fourth less 255: a colour that is
    hardly seen hardly counts, and the fourth is 0 where all is opaque.
    """
    light = np.arange(256) / 255.0
    if space != "srgb":
        light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    out = np.empty(colours.shape)
    for channel in range(3):
        out[:, channel] = light[colours[:, channel]]
    if space == "oklab":
        out[:, :3] = np.cbrt(out[:, :3] @ _TO_CONES.T) @ _TO_LAB.T
    opacity = colours[:, 3].astype(np.float64)
    out[:, :3] *= opacity[:, None]
    out[:, 3] = opacity - 255.0
    return out


def to_colours(points: Array, space: Space) -> NDArray[np.uint8]:
    """The nearest colours of 8 bits to points, shape (n, 4); clipped to what there is."""
    opacity = np.clip(points[:, 3:] + 255.0, 0.0, 255.0)
    rgb = np.divide(points[:, :3], opacity, out=np.zeros((len(points), 3)), where=opacity >= 0.5)
    if space == "oklab":
        rgb = (rgb @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T
    if space != "srgb":
        rgb = np.clip(rgb, 0.0, 1.0)
        rgb = np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb ** (1.0 / 2.4) - 0.055)
    out = np.concatenate([np.clip(rgb, 0.0, 1.0) * 255.0, opacity], axis=1)
    rounded: NDArray[np.uint8] = np.rint(out).astype(np.uint8)
    return rounded


def points_of(colours: Histogram, space: Space) -> Points:
    """The distinct colours as weighted points."""
    return Points(to_points(colours.colours, space), colours.counts.astype(np.float64))


def cells(colours: Histogram, points: Points, most: int) -> Points:
    """Colours put together by their leading bits until at most ``most`` are left."""
    found = points
    for bits in (7, 6, 5, 4):
        if len(found.weights) <= most:
            break
        found, _ = merged(points, packed(colours.channels, bits))
    return found
