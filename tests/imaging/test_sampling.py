"""New pictures have the colours, and where patches are drawn the texture, of the one given."""

from __future__ import annotations

import re

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import DataError, MixmendError


def woven(rng) -> np.ndarray:
    """40 × 48 pixels of threads, two wide, across: neighbours in a line are alike, lines differ."""
    threads = np.repeat(60 + 130 * (np.arange(20) % 2), 2)[:, None, None]
    noise = 25 * np.repeat(rng.normal(size=(40, 6, 1)), 8, axis=1)
    return np.rint(np.clip(threads + noise + [0, 10, 20], 0, 255)).astype(np.uint8)


def covariance(image) -> np.ndarray:
    return np.cov(image.reshape(-1, image.shape[2]).astype(float).T)


def step(image, axis: int) -> float:
    """Mean squared difference of neighbours along an axis."""
    return float((np.diff(image.astype(float), axis=axis) ** 2).mean())


def test_drawn_pixels_have_mean_and_covariance_of_the_picture(soft_picture):
    drawn = mm.imaging.sample_image(soft_picture)
    assert (drawn.shape, drawn.dtype) == (soft_picture.shape, np.uint8)
    gap = drawn.mean(axis=(0, 1)) - soft_picture.mean(axis=(0, 1))
    assert np.abs(gap).max() < 4
    expected = covariance(soft_picture)
    assert np.abs(covariance(drawn) - expected).max() < 0.1 * np.abs(expected).max()
    # but not their places: neighbours are no more alike than any two pixels
    assert step(drawn, 1) == pytest.approx(2 * np.diag(covariance(drawn)).mean(), rel=0.1)
    assert step(soft_picture, 1) < 0.1 * step(drawn, 1)


def test_components_count(soft_picture):
    two, five = (mm.imaging.sample_image(soft_picture, count) for count in (1, 5))
    assert (two != five).any()


def test_drawn_patches_have_the_texture_of_the_picture(rng):
    image = woven(rng)
    drawn = mm.imaging.sample_image(image, 4, patch_size=8)
    pixels = mm.imaging.sample_image(image, 2)
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    for axis in (0, 1):
        assert step(drawn, axis) == pytest.approx(step(image, axis), rel=0.35)
    assert step(pixels, 1) > 5 * step(image, 1)
    # no seams: steps at the borders of patches are like those elsewhere
    steps = (np.diff(drawn.astype(float), axis=1) ** 2).mean(axis=(0, 2))
    border = np.arange(1, 48) % 4 == 0
    assert steps[border].mean() < 2 * steps[~border].mean() + 50


def test_draws_are_reproducible_and_differ_by_seed(rng):
    image = woven(rng)[:, :, :1]
    for size in (None, 4):
        first, again, other = (
            mm.imaging.sample_image(image, 2, seed, patch_size=size) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        assert first.shape == image.shape


def test_blocks_of_pixels_are_not_repeated(soft_picture, monkeypatch):
    monkeypatch.setattr("mixmend.imaging.sampling._BLOCK", 1600)
    drawn = mm.imaging.sample_image(soft_picture).reshape(3, 1600, 3)
    assert (drawn[0] != drawn[1]).any(axis=1).mean() > 0.9


def test_grey_and_transparent_pictures_keep_their_channels(soft_picture):
    grey = mm.imaging.sample_image(soft_picture[:, :, 0])
    assert grey.shape == (60, 80)
    assert grey.mean() == pytest.approx(soft_picture[:, :, 0].mean(), abs=4)
    image = np.dstack([soft_picture, np.full((60, 80), 255, np.uint8)])
    image[:30, :, 3] = 0
    drawn = mm.imaging.sample_image(image)
    assert drawn.shape == image.shape
    assert (drawn[:, :, 3] > 128).mean() == pytest.approx(0.5, abs=0.05)
    opaque = mm.imaging.sample_image(np.dstack([soft_picture, np.full((60, 80), 255, np.uint8)]))
    assert (opaque[:, :, 3] == 255).all()


@pytest.mark.filterwarnings("error")
def test_pictures_of_one_colour_and_of_one_pixel():
    flat = np.full((9, 9, 3), 77, np.uint8)
    for size in (None, 4):
        assert np.abs(mm.imaging.sample_image(flat, patch_size=size).astype(int) - 77).max() < 8
    assert mm.imaging.sample_image(np.full((1, 1), 5, np.uint8)).shape == (1, 1)


REFUSED = [
    ({"patch_size": 3}, MixmendError, "patch_size must be an even number; got 3."),
    ({"patch_size": 0}, MixmendError, "patch_size must be a whole number of at least 2; got 0."),
    (
        {"patch_size": 62},
        DataError,
        "The picture's shorter side has 60 pixels, fewer than a patch of 62. Give a smaller "
        "patch_size.",
    ),
    (
        {"n_components": 0},
        MixmendError,
        "n_components must be a whole number of at least 1; got 0.",
    ),
]


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED, ids=[t[:30] for *_, t in REFUSED])
def test_what_cannot_be_drawn_is_refused(soft_picture, options, kind, text):
    with pytest.raises(kind, match=f"^{re.escape(text)}$"):
        mm.imaging.sample_image(soft_picture, **options)


def test_patches_of_transparent_pictures_are_refused(soft_picture):
    image = np.dstack([soft_picture, soft_picture[:, :, 0]])
    with pytest.raises(DataError, match=r"^Patches are drawn for opaque pictures; this one has"):
        mm.imaging.sample_image(image, patch_size=8)
