"""Patches as rows with holes: what the known pixels of a picture say of the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.imaging.adapting import drawn_to
from mixmend.imaging.patches import BAND, PatchGrid, band_sums, joined_bands
from mixmend.imaging.prior import PatchPrior
from mixmend.kernels import holed_patches as kernels
from mixmend.kernels.products import whole_vectors
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]
Winners = NDArray[np.int32]

_BRIGHTNESS = 0.5
"""Standard deviation of a patch's brightness where the prior says nothing of it."""

_LEAST_VARIANCE = 1e-6
"""Added to the prior's variances: a quarter of a step of 8 bits, squared."""


PIXELS = 80.0
"""Pixels that each component counts for when the prior is adapted to a picture with holes."""


class Seen(NamedTuple):
    """What is known of a picture, less its mean brightness.

    Attributes
    ----------
    values : ndarray, shape (height, width)
    variances : ndarray, shape (height, width)
        Of their noise; infinite where nothing is known.
    """

    values: Array
    variances: Array


class Estimates(NamedTuple):
    """Patches' estimates of each pixel, weighted by the reciprocals of the roots of deviations.

    Attributes
    ----------
    means, variances : ndarray, shape (height, width)
        NaN where no patch with anything known reaches.
    winners : ndarray of int32, shape of the grid
        The most likely component of each patch; -1 where nothing is known.
    """

    means: Array
    variances: Array
    winners: Winners


@fixed_order()
def hole_tables(prior: PatchPrior) -> kernels.Tables:
    """A prior's components as the kernels read them, similar ones together.

    Where the prior takes means off, each component gets one of great variance: the known
    pixels then say how bright the patch is.
    """
    d = prior.patch_size**2
    covariances = prior.covariances + _LEAST_VARIANCE * np.eye(d)
    if prior.remove_mean:
        covariances = covariances + _BRIGHTNESS**2
    pivots = np.einsum("kii->ki", np.linalg.cholesky(covariances)) ** 2
    by_spread = np.argsort(np.log(pivots).sum(axis=1), kind="stable")
    by_spread = by_spread[prior.weights[by_spread] > 0]
    members = np.full(whole_vectors(len(by_spread), LANES[kernels.GROUP]), -1)
    members[: len(by_spread)] = by_spread
    lane_of = np.full(prior.n_components, -1)
    lane_of[by_spread] = np.arange(len(by_spread))
    filled = np.where(members < 0, by_spread[-1], members)

    def lanes(values: Array) -> Array:
        groups = values[filled].reshape(-1, kernels.GROUP, *values.shape[1:])
        return np.ascontiguousarray(np.moveaxis(groups, 1, -1)).ravel()

    return kernels.Tables(
        np.ascontiguousarray(prior.means),
        covariances,
        members,
        lane_of,
        lanes(prior.means),
        lanes(covariances),
        np.where(members < 0, np.inf, -2.0 * np.log(prior.weights[filled])),
        lanes(1.0 / np.einsum("kii->ki", np.linalg.inv(covariances))),
        lanes(pivots),
    )


def estimates(
    seen: Seen, grid: PatchGrid, tables: kernels.Tables, wanted: NDArray[np.bool_] | None = None
) -> Estimates:
    """Each patch's most likely component given its known pixels, and what it says of all.

    Parameters
    ----------
    seen : Seen
    grid : PatchGrid
    tables : Tables
        Of `hole_tables`.
    wanted : ndarray of bool, shape (rows, columns) of the grid, optional
        The patches that count; all, if not given.
    """
    shape = len(grid.rows), len(grid.columns)
    winners = np.full(shape, -1, np.int32)
    counted = np.ones(shape, np.bool_) if wanted is None else wanted
    parts = band_sums(grid, (3,))
    kernels.estimate_holed_patches(
        _sight(seen, grid), tables, winners, counted, BAND, parts, LANES[kernels.GROUP]
    )
    means, variances, weights = joined_bands(parts, grid)
    weights = np.where(weights > 0, weights, np.nan)
    return Estimates(means / weights, variances / weights, winners)


@fixed_order()
def adapted(
    prior: PatchPrior,
    seen: Seen,
    grid: PatchGrid,
    tables: kernels.Tables,
    winners: Winners,
    stride: int = 1,
) -> PatchPrior:
    """The prior, one step of EM nearer to the patches of a picture with holes.

    Patches belong to their most likely components; see `mixmend.imaging.adapting.drawn_to`.

    Parameters
    ----------
    prior : PatchPrior
    seen : Seen
    grid : PatchGrid
    tables : Tables
        The components that the holes' expectations are taken under.
    winners : ndarray of int32
        Each patch's component; -1 for those that do not count.
    stride : int, default 1
        Distance of the patches of the grid.
    """
    order = np.argsort(winners, axis=None, kind="stable")
    sorted_winners = winners.ravel()[order]
    starts = np.searchsorted(sorted_winners, np.arange(prior.n_components + 1))
    places = np.stack(
        [grid.rows[order // len(grid.columns)], grid.columns[order % len(grid.columns)]], axis=1
    )
    second = np.zeros_like(prior.covariances)
    kernels.second_moments(_sight(seen, grid), tables, starts, places, second)
    second += np.tril(second, -1).swapaxes(1, 2)
    return drawn_to(prior, second, np.diff(starts), stride, PIXELS)


def _sight(seen: Seen, grid: PatchGrid) -> kernels.Sight:
    return kernels.Sight(
        np.ascontiguousarray(seen.values, dtype=np.float64),
        np.ascontiguousarray(seen.variances, dtype=np.float64),
        grid.rows,
        grid.columns,
        grid.patch_size,
    )


__all__ = ["Estimates", "Seen", "adapted", "estimates", "hole_tables"]
