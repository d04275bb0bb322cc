from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
import patch_oracle as oracle
from mixmend.errors import DataError, MixmendError, ModelFileError
from mixmend.imaging import PatchPrior
from mixmend.imaging.training import draw_patches, grey_plane


@pytest.fixture
def pictures(rng):
    return [oracle.picture(rng, (60, 60)).clip(0, 1) for _ in range(2)]


def fitted(pictures, **options):
    given = {"patch_size": 3, "n_components": 3, "n_patches": 3000} | options
    return PatchPrior.fit(pictures, **given)


def mean_log_density(prior, picture):
    grid_patches = draw_patches([picture], 3, 2000, prior.remove_mean, np.random.default_rng(1))
    return oracle.log_density(grid_patches, prior) / len(grid_patches)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("remove_mean", [False, True])
def test_a_saved_prior_is_loaded_equal(pictures, tmp_path, half, remove_mean):
    prior = fitted(pictures, remove_mean=remove_mean)
    prior = prior.rounded() if half else prior
    prior.save(tmp_path / "prior.mixmend", provenance={"from": "steps"})
    again = PatchPrior.load(tmp_path / "prior.mixmend")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prior, name))
    assert (again.patch_size, again.remove_mean) == (3, remove_mean)
    assert (again.n_patches, again.half_precision) == (3000, half)
    again.save(tmp_path / "again.mixmend", provenance={"from": "steps"})
    last = mm.load(tmp_path / "again.mixmend")
    np.testing.assert_array_equal(last.covariances, prior.covariances)


def test_half_precision_changes_little(pictures):
    prior = fitted(pictures)
    gaps = np.abs(prior.rounded().covariances - prior.covariances).max(axis=(1, 2))
    assert (gaps < 2e-3 * np.einsum("kii->ki", prior.covariances).max(axis=1)).all()
    assert (gaps > 0).all()


def test_the_same_state_gives_the_same_prior_and_another_another(pictures):
    one, same = fitted(pictures, random_state=3), fitted(pictures, random_state=3)
    np.testing.assert_array_equal(one.covariances, same.covariances)
    assert np.abs(fitted(pictures, random_state=4).covariances - one.covariances).max() > 1e-6


def test_without_means_patches_have_none(pictures):
    prior = fitted(pictures)
    np.testing.assert_allclose(prior.means.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(prior.covariances.sum(axis=1), 0.0, atol=1e-12)
    kept = fitted(pictures, remove_mean=False)
    assert (kept.means.mean(axis=1) > 0.1).all()


def test_bad_pixels_are_no_obstacle(pictures, rng):
    """Half of all patches have a hole; dark zeros in their place would ruin the prior."""
    holed = [np.where(rng.random(p.shape) < 0.08, np.nan, p) for p in pictures]
    whole = mean_log_density(fitted(pictures), pictures[0])
    with_holes = mean_log_density(fitted(holed), pictures[0])
    zeros = mean_log_density(fitted([np.nan_to_num(p) for p in holed]), pictures[0])
    assert with_holes > whole - 0.6
    assert zeros < whole - 2.0


def test_masked_pixels_are_holes():
    values = np.ma.masked_array(np.full((4, 4), 102, np.uint8), np.eye(4, dtype=bool))
    plane = grey_plane(values, "It")
    np.testing.assert_array_equal(np.isnan(plane), np.eye(4, dtype=bool))
    assert plane[0, 1] == pytest.approx(0.4)


def test_colours_are_taken_by_their_luma(pictures):
    colour = np.stack([pictures[0]] * 3, axis=2)
    np.testing.assert_allclose(grey_plane(colour, "It"), pictures[0], atol=1e-12)


def test_a_prior_cannot_be_changed(pictures):
    with pytest.raises(ValueError, match="read-only"):
        fitted(pictures).weights[0] = 1.0


@pytest.mark.parametrize(
    ("images", "options", "text"),
    [
        ([], {}, "There is no picture to learn from. Give at least one."),
        (
            [np.zeros((2, 9))],
            {},
            "Training picture 0 has 2 × 9 pixels, less than a patch of 3 × 3. Leave it out.",
        ),
        (
            [np.full((9, 9), np.nan)],
            {},
            "Training picture 0 has no pixel that is known. Leave it out.",
        ),
        (
            [np.zeros((9, 9)), np.full((9, 9), np.inf)],
            {},
            "Training picture 1: The picture has 81 NaN or infinite values. "
            "Give every pixel a number.",
        ),
        (
            [np.zeros((9, 9))],
            {"n_patches": 20},
            "20 patches are too few for 3 components. Raise n_patches to at least 30, "
            "better a hundred times that, or ask for fewer components.",
        ),
        (
            [np.zeros((9, 9))],
            {"patch_size": 1},
            "patch_size must be a whole number of at least 2; got 1.",
        ),
    ],
)
def test_bad_pictures_and_options_are_named(images, options, text):
    with pytest.raises(MixmendError) as caught:
        fitted(images, **options)
    assert str(caught.value) == text
    assert isinstance(caught.value, DataError) or options


def test_another_model_is_no_prior(tmp_path):
    mm.save(mm.KMeans(1).fit(np.eye(3)), tmp_path / "k.mixmend")
    with pytest.raises(ModelFileError) as caught:
        PatchPrior.load(tmp_path / "k.mixmend")
    assert str(caught.value) == (
        f"{tmp_path / 'k.mixmend'} holds a KMeans, not a prior of patches. "
        "Make one with PatchPrior.fit(images) and its save."
    )


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(MixmendError) as caught:
        PatchPrior.from_mixture([1.0], np.zeros((1, 4)), np.zeros((1, 9, 9)), 3)
    assert str(caught.value) == (
        "A prior of 1 components of 3 × 3 pixels needs means of shape (1, 9) and covariances of "
        "shape (1, 9, 9); got (1, 4) and (1, 9, 9)."
    )
    with pytest.raises(MixmendError, match="is not positive semidefinite"):
        PatchPrior.from_mixture([1.0], np.zeros((1, 4)), -np.eye(4)[None], 2)


def test_the_prior_that_comes_along_says_where_it_is_from():
    from importlib import resources

    from mixmend.files.models import read_model_header

    prior = PatchPrior.default()
    assert prior is PatchPrior.default()
    assert repr(prior) == "PatchPrior(200 components of 8 × 8, learned from 2000000 patches)"
    assert prior.weights.sum() == pytest.approx(1.0)
    place = resources.files("mixmend.imaging") / "data" / "prior.mixmend"
    with resources.as_file(place) as path:
        header = read_model_header(path)
    terms = header["provenance"]["pictures"]
    assert len(terms) == 12
    assert terms["scikit-learn china.jpg"] == "CC BY 2.0"
