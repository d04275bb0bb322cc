"""A prior drawn towards the patches of one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixmend.imaging import patch_step
from mixmend.imaging.patches import patch_chunks, patch_grid
from mixmend.imaging.prior import PatchPrior
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

PIXELS = 200.0
"""Pixels that each component's covariance counts for; half and twice do about as well."""

ALL_PIXELS = 20_000.0
"""Pixels that the weights of the components count for."""

LEFT = 0.006
"""Variance that is left in a denoised picture's patches when their components are chosen, in
units of the noise's standard deviation: what a denoiser leaves grows about as that does, and is a
smaller share of stronger noise."""


def drawn_to(
    prior: PatchPrior,
    second: Array,
    counts: NDArray[np.int64],
    stride: int = 1,
    pixels: float = PIXELS,
) -> PatchPrior:
    """The prior after one step of maximum a posteriori EM on the patches of a picture.

    With n_k of N pixels in component k, and S_k the sum of the outer products of their patches
    about mu_k, where every s-th patch in each direction stands for s^2 pixels::

        C_k = (a C_k + S_k) / (a + n_k)        p_k = (20000 p_k + n_k) / (20000 + N)

    so that components that the picture has much of take their shape from it, and others
    stay (after Luo, Chan & Nguyen 2016, *Adaptive image denoising by mixture adaptation*).
    The means stay.

    Parameters
    ----------
    prior : PatchPrior
    second : ndarray, shape (K, d, d)
        S / s^2: sums over the patches there are.
    counts : ndarray of int64, shape (K,)
        n / s^2.
    stride : int, default 1
        s.
    pixels : float, default 200.0
        What each component of the prior counts for, a.

    Examples
    --------
    >>> prior = PatchPrior.from_mixture([1.0], np.zeros((1, 1)), np.ones((1, 1, 1)), 1, False)
    >>> drawn_to(prior, np.full((1, 1, 1), 600.0), np.array([200])).covariances
    array([[[2.]]])
    """
    own, overall = pixels / stride**2, ALL_PIXELS / stride**2
    covariances = (own * prior.covariances + second) / (own + counts)[:, None, None]
    weights = (overall * prior.weights + counts) / (overall + counts.sum())
    return PatchPrior.from_mixture(
        weights, prior.means, covariances, prior.patch_size, prior.remove_mean, prior.n_patches
    )


@fixed_order()
def adapted(
    prior: PatchPrior,
    image: Array,
    noise: float,
    stride: int = 2,
    rank: int | None = None,
    beam: int | None = None,
) -> PatchPrior:
    """The prior drawn towards the patches of a denoised picture.

    Parameters
    ----------
    prior : PatchPrior
    image : ndarray, shape (height, width)
        A first estimate of the picture.
    noise : float
        Variance of the noise that was taken off.
    stride : int, default 2
        Distance of the patches that are looked at.
    rank, beam : int, optional
        As those of `mixmend.imaging.restore.Stages`.

    Returns
    -------
    PatchPrior

    Examples
    --------
    >>> flat = PatchPrior.from_mixture([1.0], np.zeros((1, 4)), 1e-4 * np.eye(4)[None], 2)
    >>> stripes = np.tile([0.0, 1.0], (20, 10))
    >>> covariance = adapted(flat, stripes, 0.01).covariances[0]
    >>> bool(covariance[0, 2] > 0 > covariance[0, 1])
    True
    """
    grid = patch_grid((image.shape[0], image.shape[1]), prior.patch_size, stride)
    left, basis = LEFT * np.sqrt(noise), patch_step.basis_of(prior)
    tables = patch_step.stage_tables(basis, left, rank=rank)
    nodes = patch_step.node_tables(patch_step.tree_over(basis, beam), left, rank=rank)
    _, found = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid), nodes)
    winners = found.ravel()
    counts = np.bincount(winners, minlength=prior.n_components)
    second, first = np.zeros_like(prior.covariances), 0
    for patches in patch_chunks(image, grid):
        own = winners[first : first + len(patches)]
        first += len(patches)
        if prior.remove_mean:
            patches -= patches.mean(axis=1, keepdims=True)
        for k in np.unique(own):
            gaps = patches[own == k] - prior.means[k]
            second[k] += gaps.T @ gaps
    return drawn_to(prior, second, counts, stride)


__all__ = ["adapted", "drawn_to"]
