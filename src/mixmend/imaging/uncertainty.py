"""How far a restored pixel may be off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixmend.imaging.patches import PatchGrid
from mixmend.imaging.prior import PatchPrior
from mixmend.kernels.patch_search import Grid, add_of_winners
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

_AT_25, _GROWTH = 1.5, 0.3
"""Found on cuts of photographs; see `calibration`."""

_AT_ROOT_2, _GROWTH_OF_BLUR = 1.44, 0.45
"""The same under blur; see `calibration_of_blur`."""


def calibration(noise: float) -> float:
    """What patches' posterior variances are multiplied with under noise of this variance.

    On photographs it makes about 90 % of pixels lie within 1.645 standard deviations, where
    the noise has standard deviations of 15, 25 and 50 / 255: more noise leaves more of a
    patch's structure to the choice of its component, of which its posterior knows nothing.

    Examples
    --------
    >>> round(calibration((25 / 255) ** 2), 3), round(calibration((50 / 255) ** 2), 3)
    (1.5, 1.847)
    """
    return float(_AT_25 * (np.sqrt(noise) * 255.0 / 25.0) ** _GROWTH)


def calibration_of_blur(noise: float) -> float:
    """What the variances of `Posterior` are multiplied with under noise of this variance.

    Found as `calibration` was, where the noise had standard deviations of sqrt(2) / 255 and
    5 / 255, under Gaussian blur of width 1.6 and a box of 9 × 9.

    Examples
    --------
    >>> round(calibration_of_blur(2 / 255**2), 3), round(calibration_of_blur((5 / 255) ** 2), 3)
    (1.44, 2.542)
    """
    return float(_AT_ROOT_2 * (255.0 * np.sqrt(noise / 2.0)) ** _GROWTH_OF_BLUR)


@fixed_order()
def pixel_variances(
    prior: PatchPrior, winners: NDArray[np.int32], grid: PatchGrid, noise: float
) -> Array:
    """Variances of the pixels of a denoised picture, shape (height, width).

    Each patch's posterior variance, given its component and its noisy pixels, is averaged
    over the patches that a pixel is part of and multiplied with `calibration`; the noise bounds
    it, since a pixel itself is known as well as that.

    Parameters
    ----------
    prior : PatchPrior
    winners : ndarray of int32
        Components of the patches of ``grid``.
    grid : PatchGrid
    noise : float
        Variance of the noise.
    """
    d = prior.patch_size**2
    values = np.empty((prior.n_components, d))
    for k, covariance in enumerate(prior.covariances):
        noisy = covariance + noise * np.eye(d)
        values[k] = noise * np.diagonal(np.linalg.solve(noisy, covariance))
    if prior.remove_mean:  # nothing but the noise tells a patch's brightness
        values += noise / d
    total = np.zeros(grid.shape)
    add_of_winners(values, Grid(grid.rows, grid.columns, grid.patch_size), winners, total)
    return np.minimum(calibration(noise) * total / grid.counts, noise)
