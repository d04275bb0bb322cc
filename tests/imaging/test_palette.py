"""Pictures of few colours: exact small cases, the error, files, alpha, complaints."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from PIL import Image

import mixmend as mm
from mixmend.errors import MixmendError, OutputError
from mixmend.imaging import colours as spaces
from mixmend.imaging.pictures import as_picture


def error_of(image, found) -> float:
    return float(((image.astype(float) - found.astype(float)) ** 2).mean())


def with_alpha(rgb):
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:20], alpha[20:30] = 0, 100
    return np.dstack([rgb, alpha])


def test_k_means_palettes_are_nearest_colours_with_a_small_error(soft_picture):
    found = mm.imaging.quantize(soft_picture, 12)
    gaps = ((soft_picture[:, :, None].astype(float) - found.palette) ** 2).sum(axis=3)
    taken = np.take_along_axis(gaps, found.indices[:, :, None].astype(int), axis=2)[:, :, 0]
    np.testing.assert_array_equal(taken, gaps.min(axis=2))
    np.testing.assert_array_equal(found.image, found.palette[found.indices])
    assert found.mse == pytest.approx(error_of(soft_picture, found.image))
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / found.mse))
    np.testing.assert_array_equal(found.counts, np.bincount(found.indices.ravel()))
    assert found.n_distinct == len(np.unique(soft_picture.reshape(-1, 3), axis=0))
    known = mm.KMeans(12, n_init=5, random_state=0).fit(soft_picture.reshape(-1, 3).astype(float))
    assert found.mse <= 1.01 * known.inertia_ / soft_picture.size


@pytest.mark.parametrize("method", ["method_cut", "median_cut", "octree"])
def test_the_error_is_below_pillows(soft_picture, method):
    image = Image.fromarray(soft_picture)
    theirs = {
        "method_cut": lambda: image.quantize(64, method=0, kmeans=2, dither=0),
        "median_cut": lambda: image.quantize(64, method=0, dither=0),
        "octree": lambda: image.quantize(64, method=2, dither=0),
    }[method]()
    error = error_of(soft_picture, np.asarray(theirs.convert("RGB")))
    assert mm.imaging.quantize(soft_picture, 64).mse < error


def test_repeated_pixels_change_nothing(soft_picture):
    once = mm.imaging.quantize(soft_picture, 9)
    twice = mm.imaging.quantize(np.repeat(soft_picture, 3, axis=0), 9)
    np.testing.assert_array_equal(once.palette, twice.palette)
    np.testing.assert_array_equal(np.repeat(once.indices, 3, axis=0), twice.indices)
    assert once.mse == pytest.approx(twice.mse, rel=1e-12)


def test_many_colours_go_through_cells_and_large_pictures_through_a_table(
    soft_picture, monkeypatch
):
    grain = np.random.default_rng(1).integers(-9, 10, (240, 320, 3))
    big = np.clip(np.kron(soft_picture, np.ones((4, 4, 1), int)) + grain, 0, 255).astype(np.uint8)
    first = mm.imaging.quantize(big, 20)
    assert first.n_distinct > 8192  # distinct colours above which cells of them come first
    monkeypatch.setattr(spaces, "_SORTED", 0)
    again = mm.imaging.quantize(big, 20)
    np.testing.assert_array_equal(first.image, again.image)
    known = mm.KMeans(20, n_init=3, random_state=0).fit(big.reshape(-1, 3)[::7].astype(float))
    assert first.mse <= 1.02 * known.inertia_ / big[:, :, 0].reshape(-1)[::7].size / 3


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_the_same_seed_gives_the_same_picture(soft_picture, method, space):
    runs = [mm.imaging.quantize(soft_picture, 5, method, 7, space=space) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].image, runs[1].image)
    np.testing.assert_array_equal(runs[0].palette, runs[1].palette)


def test_seeds_differ_and_more_starts_are_better(rng):
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    costs = {mm.imaging.quantize(image, 30, random_state=seed, n_init=5).mse for seed in range(4)}
    assert len(costs) > 1
    one = mm.imaging.quantize(image, 30, n_init=1).mse
    assert mm.imaging.quantize(image, 30, n_init=20).mse < one


def test_a_picture_of_few_colours_is_kept_exactly_and_says_so():
    image = np.zeros((4, 6, 3), np.uint8)
    image[1:, 2:] = 10, 20, 30
    image[3] = 250, 0, 9
    text = "The picture has 3 colours, fewer than n_colors=16: all are kept exactly."
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        found = mm.imaging.quantize(image)
    np.testing.assert_array_equal(found.image, image)
    assert (found.mse, found.psnr, len(found.palette)) == (0.0, np.inf, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(mm.imaging.quantize(image, 3).image, image)


def test_one_pixel_is_a_picture():
    found = mm.imaging.quantize(np.array([[[3, 4, 5]]], np.uint8), 1)
    assert found.palette.tolist() == [[3, 4, 5]]
    assert found.indices.tolist() == [[0]]


def test_one_colour_is_the_mean(soft_picture):
    (colour,) = mm.imaging.quantize(soft_picture, 1).palette
    np.testing.assert_array_equal(colour, np.rint(soft_picture.mean(axis=(0, 1))))


def test_every_entry_is_taken_even_where_rounding_brings_centres_together():
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 3, (40, 40, 3)).astype(np.uint8)
    found = mm.imaging.quantize(dark, 20, space="linear")
    assert (len(found.palette), len(np.unique(found.palette, axis=0))) == (20, 20)
    assert found.counts.min() > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("space", ["srgb", "linear", "oklab"])
def test_grey_pictures_stay_grey(soft_picture, space):
    grey = soft_picture[:, :, 1]
    for method in ("kmeans", "gmm"):
        found = mm.imaging.quantize(grey, 6, method, space=space)
        assert found.image.shape == grey.shape
        assert (found.palette == found.palette[:, :1]).all()
        assert found.mse == pytest.approx(error_of(grey, found.image))
        assert found.mse < grey.var() / 4
    assert mm.imaging.quantize(grey[:, :, None], 6).image.shape == (60, 80, 1)


def test_deep_and_float_pictures_are_those_of_8_bits(soft_picture):
    expected = mm.imaging.quantize(soft_picture, 8)
    for same in (soft_picture.astype(np.uint16) * 257, soft_picture / 255):
        np.testing.assert_array_equal(mm.imaging.quantize(same, 8).image, expected.image)


@pytest.mark.parametrize("space", ["linear", "oklab"])
def test_spaces_lead_there_and_back(rng, space):
    colours = rng.integers(0, 256, (500, 4), dtype=np.uint8)
    colours[:250, 3] = 255
    back = spaces.to_colours(spaces.to_points(colours, space), space)
    seen = colours[:, 3] > 0
    np.testing.assert_array_equal(back[seen], colours[seen])


def test_distances_are_taken_in_the_space_that_is_named(soft_picture):
    white = spaces.to_points(np.full((1, 4), 255, np.uint8), "oklab")
    np.testing.assert_allclose(white, [[255, 0, 0, 0]], atol=1e-4)
    half = spaces.to_points(np.array([[188, 188, 188, 255]], np.uint8), "linear")
    assert half[0, 0] == pytest.approx(127.5, rel=0.01)
    plain = spaces.histogram(as_picture(soft_picture))
    found = {space: mm.imaging.quantize(soft_picture, 6, space=space) for space in spaces.SPACES}

    def cost(space, image):
        seen = spaces.histogram(as_picture(soft_picture)).pixels.reshape(-1, 3)
        both = [np.column_stack([v.reshape(-1, 3), np.full(len(seen), 255, np.uint8)])
                for v in (seen, image)]  # fmt: skip
        return ((spaces.to_points(both[0], space) - spaces.to_points(both[1], space)) ** 2).sum()

    for space in spaces.SPACES:
        costs = {other: cost(space, found[other].image) for other in spaces.SPACES}
        assert min(costs, key=costs.get) == space
    assert plain.counts.sum() == 4800


def test_dithering_keeps_the_mean_of_surfaces():
    ramp = np.repeat(np.linspace(0, 255, 96)[None], 64, axis=0)
    image = np.rint(np.stack([ramp] * 3, axis=2)).astype(np.uint8)
    plain, dithered = (mm.imaging.quantize(image, 3, dither=flag) for flag in (False, True))
    assert dithered.mse > plain.mse

    def blurred(picture):  # means of blocks of 8 × 8
        return picture[:, :, 0].astype(float).reshape(8, 8, 12, 8).mean(axis=(1, 3))[:, 2:-2]

    gap = np.abs(blurred(dithered.image) - blurred(image)).mean()
    assert gap < 0.4 * np.abs(blurred(plain.image) - blurred(image)).mean()
    assert dithered.mse == pytest.approx(error_of(image, dithered.image))


@pytest.mark.parametrize("dither", [False, True])
def test_alpha_is_kept_through_the_palette_and_the_file(soft_picture, tmp_path, dither):
    image = with_alpha(soft_picture)
    found = mm.imaging.quantize(image, 12, dither=dither)
    assert found.image.shape == image.shape
    np.testing.assert_array_equal(found.image[:20, :, 3], 0)
    np.testing.assert_allclose(found.image[20:30, :, 3], 100, atol=0)
    np.testing.assert_array_equal(found.image[40:, :, 3], 255)
    assert (found.alpha == 0).sum() == 1
    assert found.mse < 300
    found.save(tmp_path / "out.png")
    again = Image.open(tmp_path / "out.png")
    assert again.mode == "P"
    np.testing.assert_array_equal(np.asarray(again.convert("RGBA")), found.image)


def test_an_opaque_alpha_channel_stays_one(soft_picture):
    image = np.dstack([soft_picture, np.full((60, 80), 255, np.uint8)])
    found = mm.imaging.quantize(image, 4)
    assert found.alpha is None
    assert found.image.shape == image.shape
    np.testing.assert_array_equal(found.image[:, :, :3], mm.imaging.quantize(soft_picture, 4).image)


@pytest.mark.parametrize(("count", "bits"), [(2, 1), (4, 2), (16, 4), (40, 8)])
@pytest.mark.parametrize("ending", ["png", "gif"])
def test_files_hold_indices_and_are_smaller(soft_picture, tmp_path, count, bits, ending):
    found = mm.imaging.quantize(soft_picture, count)
    path = tmp_path / f"out.{ending}"
    found.save(path)
    with Image.open(path) as again:
        assert again.mode in ("P", "L")
        np.testing.assert_array_equal(np.asarray(again.convert("RGB")), found.image)
    Image.fromarray(soft_picture).save(tmp_path / "full.png", optimize=True)
    assert path.stat().st_size < 0.5 * (tmp_path / "full.png").stat().st_size
    if ending == "png":
        assert path.read_bytes()[24:26] == bytes([bits, 3])  # depth, and indexed colour


def test_gif_files_lose_half_transparency_and_say_so(soft_picture, tmp_path):
    found = mm.imaging.quantize(with_alpha(soft_picture), 12)
    with pytest.warns(UserWarning, match=r"out\.gif: GIF files know no half-transparent colours"):
        found.save(tmp_path / "out.gif")
    again = np.asarray(Image.open(tmp_path / "out.gif").convert("RGBA"))
    np.testing.assert_array_equal(again[:, :, 3] == 0, found.image[:, :, 3] < 128)
    seen = again[:, :, 3] > 0
    np.testing.assert_array_equal(again[seen][:, :3], found.image[seen][:, :3])


def test_files_are_not_replaced_where_that_is_not_wanted(soft_picture, tmp_path):
    found = mm.imaging.quantize(soft_picture, 2)
    with pytest.raises(OutputError, match=r"palettes are kept by \.png and \.gif files"):
        found.save(tmp_path / "out.jpg")
    found.save(tmp_path / "out.png")
    found.save(tmp_path / "out.png")
    with pytest.raises(OutputError, match="the file exists and must not be overwritten"):
        found.save(tmp_path / "out.png", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def three_clouds(rng) -> np.ndarray:
    """Two long clouds that cross the colours side by side, and a small round one."""
    long = (120 + 25 * rng.normal(size=(2, 900, 1))) * [1.0, 0.6, 0.1]
    long[1] += 0, 40, 40
    clouds = np.vstack([*long, np.tile([30.0, 60, 220], (600, 1))])
    return np.rint(clouds + rng.normal(0, 3, clouds.shape)).clip(0, 255).astype(np.uint8)


def test_mixture_palettes_follow_long_clouds(rng):
    image = three_clouds(rng).reshape(40, 60, 3)
    found = mm.imaging.quantize(image, 3, method="gmm")
    kinds = np.repeat([0, 1, 2], [900, 900, 600])
    table = np.array(
        [np.bincount(found.indices.ravel()[kinds == k], minlength=3) for k in range(3)]
    )
    assert table.max(axis=1).sum() > 0.98 * 2400  # a component each
    assert found.mse > mm.imaging.quantize(image, 3).mse  # K-means has the least error
    means = np.array([image.reshape(-1, 3)[kinds == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(found.palette[table.argmax(axis=1)], means, atol=4)


def test_bic_finds_the_number_of_clouds(rng):
    image = three_clouds(rng).reshape(40, 60, 3)
    assert len(mm.imaging.quantize(image, "auto", "gmm", n_init=3).palette) == 3


def test_mixtures_do_not_collapse_onto_frequent_colours(soft_picture):
    flat = soft_picture.copy()
    flat[:40] = 255, 255, 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mm.imaging.quantize(flat, 4, "gmm")
    assert np.isfinite(found.mse)
    assert (found.palette == 255).all(axis=1).any()
    wide = mm.imaging.quantize(soft_picture, 4, "gmm", min_variance=900.0)
    assert wide.mse != mm.imaging.quantize(soft_picture, 4, "gmm").mse


REFUSED = [
    ({"n_colors": 0}, "n_colors must be a whole number of at least 1; got 0."),
    ({"n_colors": 257}, "n_colors must be at most 256, which is all a palette has; got 257."),
    ({"n_colors": "many"}, "n_colors must be one of 'auto'; got 'many'."),
    (
        {"n_colors": "auto"},
        "n_colors='auto' is chosen by a likelihood, which K-means has not. Give a number, or "
        "method='gmm'.",
    ),
    ({"method": "cut"}, "method must be one of 'kmeans', 'gmm'; got 'cut'."),
    ({"space": "lab"}, "space must be one of 'srgb', 'linear', 'oklab'; got 'lab'."),
    ({"n_init": 0}, "n_init must be a whole number of at least 1; got 0."),
    (
        {"min_variance": -1},
        "min_variance must be a finite number that is not negative; got -1.",
    ),
]


@pytest.mark.parametrize(("options", "text"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_options_out_of_range_are_refused(soft_picture, options, text):
    with pytest.raises(MixmendError) as error:
        mm.imaging.quantize(soft_picture, **options)
    assert str(error.value) == text
