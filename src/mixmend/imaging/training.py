"""Patch priors learned from pictures: random patches in minibatches, stepwise EM over them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import CollapsedComponentWarning, DataError
from mixmend.imaging.channels import grey_plane
from mixmend.kernels.patches import cut_single_patches
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.progress import track

Array = NDArray[np.float64]

LEAST_VARIANCE = 1e-6
"""Floor of the variances, for pictures in [0, 1]: about what rounding to 8 bits leaves."""

_START_CELLS = 6
"""Cells of the first minibatch for each free parameter: from four on, parameters follow."""

_BATCHES = 50
"""Minibatches that the patches are dealt to, apart from the first, which is as large as a
start needs: enough steps to forget the start, each large enough to be worth one."""


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


def learn(
    pictures: list[Array],
    patch_size: int,
    n_components: int,
    n_patches: int,
    remove_mean: bool,
    random_state: Any,
    on_step: Callable[[GaussianMixture], None] | None = None,
) -> GaussianMixture:
    """A mixture with full covariances of ``n_patches`` random patches, by `partial_fit`."""
    rng = np.random.default_rng(random_state)
    d = patch_size**2
    parameters = n_components * (d * (d + 1) // 2 + d + 1)
    least = max(_START_CELLS * parameters // d, 10 * n_components)
    first = min(n_patches, least)
    rest = n_patches - first
    size = max(-(-rest // _BATCHES), min(least // 3, 20_000)) if rest else 1
    model = GaussianMixture(
        n_components,
        "full",
        prior=NormalInverseWishart(mean_strength=0.0, scale="pooled"),
        min_variance=LEAST_VARIANCE,
        random_state=int(rng.integers(2**31)),
    )
    batches = [first] + [size] * (rest // size) + ([rest % size] if rest % size else [])
    with track("learning patches", total=n_patches) as progress, warnings.catch_warnings():
        # a start may have an empty component, which the following minibatches fill
        warnings.simplefilter("ignore", CollapsedComponentWarning)
        for n in batches:
            model.partial_fit(draw_patches(pictures, patch_size, n, remove_mean, rng))
            progress.update(n, log_likelihood=model.history_[-1])
            if on_step is not None:
                on_step(model)
    return model
