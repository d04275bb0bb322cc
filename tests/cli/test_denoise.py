"""``mixmend denoise``: a picture in, a better one out, and nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import mixmend as mm
from mixmend.imaging import PatchPrior, denoise

SIGMA = 25.0


@pytest.fixture(scope="module")
def prior_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.random((12, 12)), np.ones((6, 6)))
    prior = PatchPrior.fit([blocks], 4, 4, n_patches=2000)
    path = tmp_path_factory.mktemp("prior") / "blocks.mixmend"
    prior.save(path)
    return path


@pytest.fixture
def noisy(tmp_path, rng):
    blocks = np.kron(rng.uniform(60, 200, (6, 7)), np.ones((6, 6)))
    values = np.rint((blocks + rng.normal(0, SIGMA, blocks.shape)).clip(0, 255))
    path = tmp_path / "noisy.png"
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_the_picture_is_what_the_library_makes_of_it(mixmend, tmp_path, noisy, prior_file):
    out, std = tmp_path / "out.png", tmp_path / "std.png"
    done = mixmend("denoise", noisy, "--sigma", 25, "-o", out, "--prior", prior_file, "--std", std)
    assert (done.code, done.err) == (0, "")
    assert "42 × 36, grey" in done.out
    assert "4 components of 4 × 4" in done.out
    expected, deviations = denoise(noisy, 25, PatchPrior.load(prior_file), return_std=True)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)
    shades = np.asarray(Image.open(std)).astype(float)
    shades *= deviations.max() / shades.max()
    np.testing.assert_allclose(shades, deviations, atol=deviations.max() / 200)


def test_the_report_and_the_fast_mode(mixmend, tmp_path, noisy, prior_file):
    said = []
    for extra in ([], ["--fast"]):
        out = tmp_path / f"out{len(extra)}.png"
        done = mixmend(
            "denoise", noisy, "--sigma", 25, "-o", out, "--prior", prior_file, "--json", *extra
        )
        assert done.code == 0
        said.append(done.json)
    assert [report["mode"] for report in said] == ["full", "fast"]
    assert said[0]["output"] == str(tmp_path / "out0.png")
    assert (said[0]["height"], said[0]["width"], said[0]["channels"]) == (36, 42, 1)
    assert (said[0]["components"], said[0]["patch_size"]) == (4, 4)
    assert 0 < said[0]["std"] < said[0]["largest_std"] <= 25  # the noise bounds it
    assert said[0]["std_map"] is None
    both = [np.asarray(Image.open(report["output"])).astype(int) for report in said]
    assert 0 < np.abs(both[0] - both[1]).max() < 40


def test_nothing_is_replaced_without_force(mixmend, tmp_path, noisy, prior_file):
    out = tmp_path / "out.png"
    out.write_text("mine")
    arguments = ["denoise", noisy, "--sigma", 25, "-o", out, "--prior", prior_file]
    refused = mixmend(*arguments)
    assert refused.code == 2
    assert refused.err.startswith(f"mixmend: error: Cannot write {out}: ")
    assert out.read_text() == "mine"
    assert mixmend(*arguments, "--force").code == 0
    assert Image.open(out).size == (42, 36)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["{noisy}", "--sigma", "0", "-o", "{folder}/out.png"],
            "--sigma must be a positive number; got 0.",
        ),
        (
            ["{noisy}", "--sigma", "25", "-o", "{noisy}", "--force"],
            "Cannot write {noisy}: it is the input. Choose another name for the output.",
        ),
        (
            ["{noisy}", "--sigma", "25", "-o", "{folder}/a.png", "--std", "{folder}/a.png"],
            "--std and --output both name {folder}/a.png. Choose another for one.",
        ),
        (
            ["{prior}", "--sigma", "25", "-o", "{folder}/out.png"],
            "{prior} cannot be read: it is not a picture of a known format. "
            "Give a PNG, JPEG, TIFF, WebP or GIF file.",
        ),
        (
            ["{noisy}", "--sigma", "25", "-o", "{folder}/out.png", "--prior", "{means}"],
            "{means} holds a KMeans, not a prior of patches. "
            "Make one with PatchPrior.fit(images) and its save.",
        ),
        (
            ["{dot}", "--sigma", "25", "-o", "{folder}/out.png", "--prior", "{prior}"],
            "The picture has 1 × 1 pixels and the prior's patches 4 × 4. "
            "Give a larger picture, or a prior of smaller patches.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(mixmend, tmp_path, noisy, prior_file, arguments, text):
    places = {"noisy": noisy, "folder": tmp_path, "prior": prior_file}
    places |= {"means": tmp_path / "means.mixmend", "dot": tmp_path / "dot.png"}
    mm.save(mm.KMeans(1).fit(np.eye(3)), places["means"])
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(places["dot"])
    given = ["denoise", *(argument.format(**places) for argument in arguments)]
    if "--prior" not in given:
        given += ["--prior", str(prior_file)]
    done = mixmend(*given)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"mixmend: error: {text.format(**places)}\n"
    assert not (tmp_path / "out.png").exists()
