"""Patch priors learned from pictures: random patches in minibatches, stepwise EM over them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import CollapsedComponentWarning, DataError
from mixmend.imaging.channels import grey_plane
from mixmend.kernels.patches import cut_single_patches
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.progress import track

Array = NDArray[np.float64]
Start: TypeAlias = tuple[Array, Array, Array]

LEAST_VARIANCE = 1e-6
"""Floor of the variances, for pictures in [0, 1]: about what rounding to 8 bits leaves."""

_STEPS = 50
"""Minibatches that patches are dealt to, where each is then large enough."""

_BATCH = (100, 300)
"""Least and most patches of a minibatch for each component. With fewer, components of small
weight lose their covariances to single minibatches and die; more are not worth waiting for."""

_FIRST_TOL = 1e-2
"""The first minibatch is learned from until a step brings less: it is soon worn out."""

_SCARCE = 8
"""Patches for each component and pixel below which covariances are drawn to the pooled one.
With more that does harm: flat patches have a thousandth of the pooled variance."""

_START_STRENGTH = 100.0
"""Patches that the pooled covariance counts for where a start has cut patches into groups."""


def pictures_to_learn_from(images: Iterable[Any], patch_size: int) -> list[Array]:
    """Pictures as grey values in [0, 1] with NaN for bad pixels.

    Raises
    ------
    DataError
        If there is none, or one is smaller than a patch or has no good pixel.
    """
    pictures = []
    for position, image in enumerate(images):
        values = grey_plane(image, f"Training picture {position}")
        if min(values.shape) < patch_size:
            raise DataError(
                f"Training picture {position} has {values.shape[0]} × {values.shape[1]} pixels, "
                f"less than a patch of {patch_size} × {patch_size}. Leave it out."
            )
        if np.isnan(values).all():
            raise DataError(
                f"Training picture {position} has no pixel that is known. Leave it out."
            )
        pictures.append(values)
    if not pictures:
        raise DataError("There is no picture to learn from. Give at least one.")
    return pictures


def draw_patches(
    pictures: list[Array], patch_size: int, n: int, remove_mean: bool, rng: np.random.Generator
) -> Array:
    """Random patches, evenly from all places of all pictures, shape (n, p^2).

    A patch's mean is that of its known pixels. A patch without any is drawn, too: it
    teaches nothing.
    """
    reach = patch_size - 1
    sizes = np.array([(p.shape[0] - reach) * (p.shape[1] - reach) for p in pictures])
    places = rng.choice(len(pictures), size=n, p=sizes / sizes.sum())
    out = np.empty((n, patch_size**2))
    for position in np.unique(places):
        picture, chosen = pictures[position], np.flatnonzero(places == position)
        rows = rng.integers(0, picture.shape[0] - patch_size + 1, len(chosen))
        columns = rng.integers(0, picture.shape[1] - patch_size + 1, len(chosen))
        found = np.empty((len(chosen), patch_size**2))
        cut_single_patches(picture, rows, columns, patch_size, found)
        out[chosen] = found
    if remove_mean:
        known = ~np.isnan(out)
        sums = np.where(known, out, 0.0).sum(axis=1, keepdims=True)
        out -= sums / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return out


def grouped_start(patches: Array, n_components: int, rng: np.random.Generator) -> Start | None:
    """Parameters from groups of patches that are nearest to some that are drawn.

    A component gets the second moments of its group about 0, where patches without their
    means lie, drawn to the pooled ones at its own contrast. Patches with holes are left out;
    None where fewer than ten for each component are whole.

    Parameters
    ----------
    patches : ndarray, shape (n, d)
    n_components : int
    rng : Generator

    Returns
    -------
    tuple of ndarray, or None
        Weights (K,), means (K, d) and covariances (K, d, d).
    """
    whole = patches[~np.isnan(patches).any(axis=1)]
    if len(whole) < 10 * n_components:
        return None
    d = whole.shape[1]
    centre = whole.mean(axis=0)
    whole = whole - centre
    drawn = whole[rng.choice(len(whole), n_components, replace=False)]
    nearest = np.argmax(whole @ drawn.T - 0.5 * (drawn**2).sum(axis=1), axis=1)
    pooled = whole.T @ whole / len(whole) + LEAST_VARIANCE * np.eye(d)
    shape = pooled / np.trace(pooled)
    counts = np.bincount(nearest, minlength=n_components)
    covariances = np.empty((n_components, d, d))
    for k in range(n_components):
        group = whole[nearest == k]
        scatter = group.T @ group
        contrast = np.trace(scatter) / max(len(group), 1)
        covariances[k] = scatter + _START_STRENGTH * contrast * shape
        covariances[k] /= len(group) + _START_STRENGTH
        covariances[k] += LEAST_VARIANCE * np.eye(d)
    weights = np.maximum(counts, 1.0)
    return weights / weights.sum(), np.tile(centre, (n_components, 1)), covariances


def minibatches(n_patches: int, n_components: int) -> list[int]:
    """Sizes of the minibatches that patches are dealt to; the last takes what is left over."""
    least, most = (share * n_components for share in _BATCH)
    size = min(max(n_patches // _STEPS, least), most)
    n_batches = max(n_patches // size, 1)
    return [size] * (n_batches - 1) + [n_patches - size * (n_batches - 1)]


def learn(
    pictures: list[Array],
    patch_size: int,
    n_components: int,
    n_patches: int,
    remove_mean: bool,
    random_state: Any,
) -> GaussianMixture:
    """A mixture with full covariances of ``n_patches`` random patches, by `partial_fit`."""
    rng = np.random.default_rng(random_state)
    scarce = n_patches < _SCARCE * n_components * patch_size**2
    batches = (
        draw_patches(pictures, patch_size, n, remove_mean, rng)
        for n in minibatches(n_patches, n_components)
    )
    first = next(batches)
    model = _unfitted(first, n_components, scarce, rng)
    with track("learning patches", total=n_patches) as progress, warnings.catch_warnings():
        # components that lose all their patches are no use, and no harm
        warnings.simplefilter("ignore", CollapsedComponentWarning)
        for patches in chain((first,), batches):
            model.partial_fit(patches)
            progress.update(len(patches), log_likelihood=model.history_[-1])
    return model


def _unfitted(
    patches: Array, n_components: int, scarce: bool, rng: np.random.Generator
) -> GaussianMixture:
    """A mixture that will start from groups of these patches."""
    weights, means, covariances = grouped_start(patches, n_components, rng) or (None,) * 3
    return GaussianMixture(
        n_components,
        "full",
        prior=NormalInverseWishart(mean_strength=0.0, scale="pooled") if scarce else None,
        min_variance=LEAST_VARIANCE,
        tol=_FIRST_TOL,
        weights_init=weights,
        means_init=means,
        covariances_init=covariances,
        random_state=int(rng.integers(2**31)),
    )
