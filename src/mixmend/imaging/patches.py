"""Overlapping patches of a picture: where they lie, cut out, and averaged back together.

Never all patches of a large picture at once: they are p^2 times as many numbers. What works
on them takes them in chunks (`patch_chunks`), or cuts and adds them inside a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import whole
from mixmend.errors import DataError
from mixmend.kernels.patches import add_patches, cut_patches

Array = NDArray[np.float64]

BAND = 16
"""Rows of a grid that a kernel works on side by side with others, into sums of their own."""

CHUNK = 1 << 14
"""Patches taken at a time: 8 MB of 8 × 8 patches in double precision."""


class PatchGrid(NamedTuple):
    """Patches at all crossings of some rows and columns of a picture.

    Attributes
    ----------
    rows, columns : ndarray of int64
        Where the upper left corners lie, ascending.
    patch_size : int
        Side of the square patches, p.
    shape : tuple of int
        Height and width of the picture.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    patch_size: int
    shape: tuple[int, int]

    @property
    def n_patches(self) -> int:
        """How many patches there are."""
        return len(self.rows) * len(self.columns)

    @property
    def counts(self) -> Array:
        """How many patches each pixel is part of, shape (height, width)."""
        per_axis = (
            _covered(starts, self.patch_size, length)
            for starts, length in zip((self.rows, self.columns), self.shape, strict=True)
        )
        return np.multiply.outer(*per_axis)


def patch_grid(
    shape: tuple[int, int], patch_size: int, stride: int = 1, offset: tuple[int, int] = (0, 0)
) -> PatchGrid:
    """Patches every ``stride`` pixels, and at the borders, so that each pixel is in one.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the picture.
    patch_size : int
        Side of the patches, p.
    stride : int, default 1
        Distance of neighbouring patches, 1 to p; 1 takes all there are.
    offset : tuple of int, default (0, 0)
        Row and column of the first patch beside those at the border, each below ``stride``.

    Returns
    -------
    PatchGrid

    Raises
    ------
    DataError
        If the picture is smaller than a patch.
    MixmendError
        If ``stride`` is not in its range.

    Examples
    --------
    >>> patch_grid((8, 20), 8, stride=5).columns
    array([ 0,  5, 10, 12])
    """
    _require_fit(shape, patch_size, stride)
    axes = []
    for length, first in zip(shape, offset, strict=True):
        last = length - patch_size
        between = np.arange(first % stride, last + 1, stride, dtype=np.int64)
        axes.append(np.union1d(between, np.array([0, last], dtype=np.int64)))
    return PatchGrid(axes[0], axes[1], patch_size, (int(shape[0]), int(shape[1])))


def _require_fit(shape: tuple[int, int], patch_size: int, stride: int) -> None:
    whole("stride", stride, 1)
    if min(shape) < patch_size:
        raise DataError(
            f"The picture has {shape[0]} × {shape[1]} pixels and the prior's patches "
            f"{patch_size} × {patch_size}. Give a larger picture, or a prior of smaller patches."
        )
    if stride > patch_size:
        raise DataError(
            f"With a stride of {stride} patches of {patch_size} × {patch_size} would leave gaps. "
            f"Use a stride of at most {patch_size}."
        )


def evening(shape: tuple[int, int], size: int, stride: int) -> Array:
    """What makes up for the patches that pixels near the border lack, an array of that shape.

    A pixel is part of p^2 / stride^2 patches inside, and of fewer near the border. This is how
    many times fewer, on average over the offsets of `patch_grid`, and 1 where they are not.

    Examples
    --------
    >>> evening((3, 7), 3, 1)[1]
    array([9. , 4.5, 3. , 3. , 3. , 4.5, 9. ])
    """
    _require_fit(shape, size, stride)
    factors = []
    for length in shape:
        last, here = length - size, np.arange(length)
        first_start, last_start = np.maximum(here - size + 1, 0), np.minimum(here, last)
        # the two at the borders are always there, of those between one in so many
        at_borders = 1.0 * (first_start == 0) + 1.0 * ((last_start == last) & (last > 0))
        between = last_start - first_start + 1 - at_borders
        factors.append(np.maximum(size / stride / (at_borders + between / stride), 1.0))
    return np.asarray(np.multiply.outer(*factors))


def patch_chunks(image: Array, grid: PatchGrid, size: int = CHUNK) -> Iterator[Array]:
    """All patches of a grid in the order of its rows, at most about ``size`` at a time.

    Parameters
    ----------
    image : ndarray, shape (height, width)
    grid : PatchGrid
    size : int, default 16384
        Most patches of a chunk, rounded up to a whole row of the grid.

    Yields
    ------
    ndarray, shape (m, p^2)
        Patches, each flattened row by row.
    """
    at_once = max(1, size // len(grid.columns))
    values = np.ascontiguousarray(image, dtype=np.float64)
    for first in range(0, len(grid.rows), at_once):
        rows = grid.rows[first : first + at_once]
        yield cut_patches(values, rows, grid.columns, grid.patch_size)


def extract_patches(image: Array, grid: PatchGrid) -> Array:
    """All patches of a grid as one array, shape (n, p^2): for small pictures.

    Examples
    --------
    >>> image = np.arange(12.0).reshape(3, 4)
    >>> extract_patches(image, patch_grid((3, 4), 2, stride=2))[:2]
    array([[0., 1., 4., 5.],
           [2., 3., 6., 7.]])
    """
    return np.concatenate(list(patch_chunks(image, grid, grid.n_patches)))


def sum_patches(patches: Array, grid: PatchGrid) -> Array:
    """Add patches where they lie: the adjoint of `extract_patches`, shape (height, width)."""
    total = np.zeros(grid.shape)
    values = np.ascontiguousarray(patches, dtype=np.float64)
    add_patches(values, grid.rows, grid.columns, grid.patch_size, total)
    return total


def band_sums(
    grid: PatchGrid, planes: tuple[int, ...] = (), dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    """Zeros to sum the patches of each band in: (bands, *planes, height of a band, width).

    A band begins at its first row of the picture; neighbours overlap.
    """
    starts = grid.rows[::BAND]
    ends = grid.rows[np.minimum(np.arange(len(starts)) * BAND + BAND, len(grid.rows)) - 1]
    height = int((ends - starts).max()) + grid.patch_size
    return np.zeros((len(starts), *planes, height, grid.shape[1]), dtype)


def joined_bands(parts: NDArray[Any], grid: PatchGrid) -> Array:
    """The sums of all bands of `band_sums` as one picture for each plane: (*planes, height, width).

    Examples
    --------
    >>> grid = patch_grid((20, 3), 2)
    >>> parts = band_sums(grid)
    >>> parts[:] = 1.0  # the second band begins at row 16, and both have 17 rows
    >>> joined_bands(parts, grid)[[0, 15, 16, 17], 0]
    array([1., 1., 2., 1.])
    """
    height = parts.shape[-2]
    total = np.zeros((*parts.shape[1:-2], grid.shape[0] + height, grid.shape[1]))
    for top, part in zip(grid.rows[::BAND], parts, strict=True):
        total[..., top : top + height, :] += part
    return total[..., : grid.shape[0], :]


def average_patches(patches: Array, grid: PatchGrid) -> Array:
    """The picture whose pixels are the averages over the patches that they are part of.

    Examples
    --------
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> grid = patch_grid((4, 5), 3)
    >>> bool(np.allclose(average_patches(extract_patches(image, grid), grid), image))
    True
    """
    return np.asarray(sum_patches(patches, grid) / grid.counts)


def _covered(starts: NDArray[np.int64], patch_size: int, length: int) -> Array:
    """How many intervals of ``patch_size`` from these starts hold each place."""
    steps = np.zeros(length + 1)
    np.add.at(steps, starts, 1.0)
    np.add.at(steps, starts + patch_size, -1.0)
    return np.cumsum(steps)[:-1]
