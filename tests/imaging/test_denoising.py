from __future__ import annotations

import numpy as np
import pytest

from mixmend.errors import DataError, MixmendError
from mixmend.imaging import PatchPrior, deblur, denoise, inpaint, inpainting
from mixmend.imaging.operators import Blur
from mixmend.imaging.restore import Schedule

SIGMA = 0.1


def steps(seed, shape=(48, 50)):
    rng = np.random.default_rng(seed)
    return np.kron(rng.uniform(0.2, 0.8, (10, 10)), np.ones((6, 6)))[: shape[0], : shape[1]]


@pytest.fixture(scope="module")
def prior():
    return PatchPrior.fit([steps(s) for s in range(4)], 4, 6, n_patches=4000)


@pytest.fixture
def clean():
    return steps(100)


@pytest.fixture
def noisy(clean, rng):
    return clean + rng.normal(0, SIGMA, clean.shape)


def rmse(a, b):
    return float(np.sqrt(((a - b) ** 2).mean()))


def test_noise_is_taken_off(clean, noisy, prior):
    assert rmse(denoise(noisy, SIGMA, prior), clean) < 0.4 * SIGMA


def test_fast_mode_comes_close_and_repeats(clean, noisy, prior):
    fast = denoise(noisy, SIGMA, prior, mode="fast")
    assert rmse(fast, clean) < 1.35 * rmse(denoise(noisy, SIGMA, prior), clean)
    np.testing.assert_array_equal(fast, denoise(noisy, SIGMA, prior, mode="fast"))
    other = denoise(noisy, SIGMA, prior, mode="fast", random_state=1)
    assert np.abs(other - fast).max() > 1e-4


def test_scaling_picture_and_noise_together_scales_the_result(noisy, prior):
    found = denoise(noisy, SIGMA, prior)
    scaled = denoise(255 * noisy, 255 * SIGMA, prior, white=255.0)
    np.testing.assert_allclose(scaled, 255 * found, rtol=1e-4, atol=1e-3)


def test_whole_numbers_come_back_as_they_came(noisy, prior):
    eight = np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)
    found = denoise(eight, 255 * SIGMA, prior)
    assert found.dtype == np.uint8
    expected = 255 * denoise(eight / 255, SIGMA, prior).clip(0, 1)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_channels_of_one_texture_gain_from_each_other_and_alpha_stays(rng):
    clean = np.kron(rng.uniform(0.2, 0.8, (4, 4)), np.ones((12, 12)))
    prior = PatchPrior.fit([clean], 4, 6, n_patches=4000)
    colour = np.stack([clean] * 3, axis=2)
    seen = colour + rng.normal(0, SIGMA, colour.shape)
    alpha = rng.random((*clean.shape, 1))
    together = denoise(np.concatenate([seen, alpha], axis=2), SIGMA, prior)
    apart = denoise(seen, SIGMA, prior, color="channels")
    np.testing.assert_array_equal(together[:, :, 3:], alpha)
    assert rmse(together[:, :, :3], colour) < rmse(apart, colour)
    alone = denoise(seen[:, :, 1], SIGMA, prior)
    np.testing.assert_allclose(apart[:, :, 1], alone, atol=1e-12)


def test_other_penalties_are_heeded(noisy, prior):
    once = denoise(noisy, SIGMA, prior, schedule=Schedule((1.0,)))
    assert np.abs(once - denoise(noisy, SIGMA, prior)).max() > 0.01


def test_deviations_grow_where_there_is_more_to_know(noisy, prior):
    found, std = denoise(noisy, SIGMA, prior, return_std=True)
    np.testing.assert_array_equal(found, denoise(noisy, SIGMA, prior))
    assert std.shape == noisy.shape
    edges = np.abs(np.subtract.outer(np.arange(48) % 6, [2.5])) > 2
    assert std[edges[:, 0]].mean() > std[~edges[:, 0]].mean()
    assert (std > 0).all()
    assert (std <= SIGMA * (1 + 1e-12)).all()
    colour = np.stack([noisy] * 3, axis=2)
    _, scaled = denoise(255 * colour, 255 * SIGMA, prior, return_std=True, white=255.0)
    assert scaled.shape == colour.shape
    assert (scaled < 255 * SIGMA).all()


# ------------------------------------------------------------------------------ holes, blur


@pytest.mark.parametrize("form", ["mask", "nan", "masked"])
def test_holes_are_filled_and_known_pixels_kept(clean, prior, rng, form):
    holes = rng.random(clean.shape) < 0.5
    if form == "mask":
        found = inpaint(np.where(holes, 9.0, clean), holes, prior=prior)
    elif form == "nan":
        found = inpaint(np.where(holes, np.nan, clean), prior=prior)
    else:
        found = inpaint(np.ma.masked_array(clean, holes), prior=prior)
    np.testing.assert_allclose(found[~holes], clean[~holes], atol=1e-12)
    assert rmse(found[holes], clean[holes]) < 0.05
    assert rmse(np.full(holes.sum(), clean.mean()), clean[holes]) > 0.15


def test_noisy_known_pixels_are_denoised(clean, noisy, prior, rng):
    holes = rng.random(clean.shape) < 0.3
    found = inpaint(noisy, holes, SIGMA, prior)
    assert rmse(found[~holes], clean[~holes]) < 0.6 * SIGMA


def test_holes_wider_than_a_patch_are_filled_from_their_rim(clean, prior):
    slope = np.add.outer(np.arange(48.0), np.arange(50.0)) / 120 + 0.1
    holes = np.zeros(slope.shape, np.bool_)
    holes[10:34, 12:40] = True
    found, std = inpaint(np.where(holes, np.nan, slope), prior=prior, return_std=True)
    assert rmse(found[holes], slope[holes]) < 0.5 * rmse(slope[holes].mean(), slope[holes])
    assert std[22, 26] > 1.5 * std[10, 26] > 0


def test_deviations_of_holes_tell_how_wrong_they_are(clean, prior, rng):
    holes = rng.random(clean.shape) < 0.6
    found, std = inpaint(np.where(holes, np.nan, clean), prior=prior, return_std=True)
    np.testing.assert_array_equal(found, inpaint(np.where(holes, np.nan, clean), prior=prior))
    np.testing.assert_array_equal(std[~holes], 0.0)
    within = np.abs(found - clean)[holes] < 1.645 * std[holes]
    assert 0.8 < within.mean() < 0.99
    wrong = np.abs(found - clean)[holes]
    unsure = std[holes] > np.median(std[holes])
    assert wrong[unsure].mean() > 1.2 * wrong[~unsure].mean()
    noisy = clean + rng.normal(0, SIGMA, clean.shape)
    _, std = inpaint(255 * noisy, holes, 255 * SIGMA, prior, white=255.0, return_std=True)
    assert (std > 0).all()
    assert std[holes].mean() > std[~holes].mean()


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_inpainting_looks_everywhere_before_it_comes_back(rng, stride):
    places = inpainting._places(stride, rng)
    assert sorted(places) == [(i, j) for i in range(stride) for j in range(stride)]
    if stride > 2:
        steps = np.diff(places, axis=0)
        assert (steps != 0).all()


def test_inpainting_heeds_mode_places_and_schedule(clean, prior, rng):
    holed = np.where(rng.random(clean.shape) < 0.6, np.nan, clean)
    found = inpaint(holed, prior=prior)
    np.testing.assert_array_equal(found, inpaint(holed, prior=prior))
    fast = inpaint(holed, prior=prior, mode="fast")
    assert rmse(fast, clean) < 1.35 * rmse(found, clean)
    assert np.abs(fast - found).max() > 1e-4
    elsewhere = inpaint(holed, prior=prior, random_state=1)
    assert np.abs(elsewhere - found).max() > 1e-4
    split = inpaint(holed, prior=prior, schedule=Schedule((256.0, 1024.0), "picture"))
    assert np.abs(split - found).max() > 1e-4


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_blur_is_undone(clean, prior, rng, boundary):
    kernel = np.full((5, 5), 1 / 25)
    blurred = Blur(kernel, clean.shape, boundary).forward(clean)
    seen = blurred + rng.normal(0, 0.005, clean.shape)
    found = deblur(seen, kernel, 0.005, prior, boundary=boundary)
    assert rmse(found, clean) < 0.5 * rmse(seen, clean)
    wrong = deblur(seen, kernel, 0.005, prior, boundary="reflect")
    if boundary == "periodic":
        assert rmse(found, clean) < rmse(wrong, clean)


def test_deviations_of_deblurred_pixels_tell_how_wrong_they_are(clean, prior, rng):
    kernel = np.full((5, 5), 1 / 25)
    seen = Blur(kernel, clean.shape, "reflect").forward(clean) + rng.normal(0, 0.01, clean.shape)
    for mode in ("full", "fast"):
        found, std = deblur(seen, kernel, 0.01, prior, mode=mode, return_std=True)
        np.testing.assert_array_equal(found, deblur(seen, kernel, 0.01, prior, mode=mode))
        assert std.shape == clean.shape
        wrong = np.abs(found - clean)
        assert (wrong < 1.645 * std).mean() > 0.8
        # it is calibrated on photographs; steps are sharper, but this is still far from no idea
        assert rmse(std, 0) < 0.6 * clean.std()
        unsure = std > np.median(std)
        assert wrong[unsure].mean() > 1.2 * wrong[~unsure].mean()


def test_deviations_of_blur_have_the_pictures_units_and_no_alpha(clean, prior, rng):
    kernel = np.full((3, 3), 1 / 9)
    colour = np.stack([clean, clean[::-1], clean[:, ::-1]], axis=2)
    alpha = rng.random((*clean.shape, 1))
    seen = colour + rng.normal(0, 0.01, colour.shape)
    given = np.concatenate([seen, alpha], axis=2)
    found, std = deblur(given, kernel, 0.01, prior, mode="fast", return_std=True)
    assert std.shape == colour.shape
    np.testing.assert_array_equal(found[:, :, 3:], alpha)
    _, scaled = deblur(255 * seen, kernel, 2.55, prior, mode="fast", white=255.0, return_std=True)
    np.testing.assert_allclose(scaled, 255 * std, rtol=1e-3)


def test_deblurring_heeds_mode_places_and_schedule(clean, prior, rng):
    kernel = np.full((5, 5), 1 / 25)
    seen = Blur(kernel, clean.shape, "reflect").forward(clean) + rng.normal(0, 0.005, clean.shape)
    found = deblur(seen, kernel, 0.005, prior)
    np.testing.assert_array_equal(found, deblur(seen, kernel, 0.005, prior))
    fast = deblur(seen, kernel, 0.005, prior, mode="fast")
    assert np.abs(fast - found).max() > 1e-4
    elsewhere = deblur(seen, kernel, 0.005, prior, random_state=1)
    assert np.abs(elsewhere - found).max() > 1e-4
    short = deblur(seen, kernel, 0.005, prior, schedule=Schedule((50.0, 400.0), "picture"))
    assert np.abs(short - found).max() > 1e-4


# ------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda prior: denoise(np.zeros((1, 1)), 0.1, prior),
            "The picture has 1 × 1 pixels and the prior's patches 4 × 4. "
            "Give a larger picture, or a prior of smaller patches.",
        ),
        (
            lambda prior: denoise(np.full((9, 9), np.nan), 0.1, prior),
            "The picture has 81 NaN or infinite values. Give every pixel a number.",
        ),
        (lambda prior: denoise(np.zeros((9, 9)), 0, prior), "sigma must be positive; got 0."),
        (
            lambda prior: denoise(np.zeros((9, 9)), -1.0, prior),
            "sigma must be a finite number that is not negative; got -1.0.",
        ),
        (
            lambda prior: denoise(np.zeros((9, 9)), 1.0, prior, mode="slow"),
            "mode must be one of 'full', 'fast'; got 'slow'.",
        ),
        (
            lambda prior: denoise(np.zeros((9, 9, 3)), 1.0, prior, color="rgb"),
            "color must be one of 'opponent', 'channels'; got 'rgb'.",
        ),
        (
            lambda prior: inpaint(np.zeros((9, 9)), np.zeros((9, 8)), prior=prior),
            "The mask has shape (9, 8), but the picture has 9 × 9 pixels. "
            "Give one entry for each pixel.",
        ),
        (
            lambda prior: inpaint(np.zeros((9, 9)), np.ones((9, 9)), prior=prior),
            "No pixel of the picture is known. Leave some out of the mask.",
        ),
    ],
)
def test_what_cannot_be_restored_is_named(prior, call, text):
    with pytest.raises(MixmendError) as caught:
        call(prior)
    assert str(caught.value) == text
    assert isinstance(caught.value, DataError) or "must be" in text
