"""`mixmend quantize`: what is written, what is said, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import mixmend as mm


@pytest.fixture
def picture(rng) -> np.ndarray:
    y, x = np.mgrid[0:40, 0:50] / 50.0
    light = np.stack([x, y, 1 - x * y], axis=2) + rng.normal(0, 0.03, (40, 50, 3))
    return np.rint(255 * np.clip(light, 0, 1)).astype(np.uint8)


@pytest.fixture
def source(tmp_path, picture):
    path = tmp_path / "in.png"
    Image.fromarray(picture).save(path)
    return path


def pixels_of(path, mode="RGB") -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def test_the_file_and_the_report_are_the_librarys(mixmend, source, picture, tmp_path):
    out = tmp_path / "out.png"
    done = mixmend("quantize", source, "-c", 12, "-o", out, "--json")
    assert (done.code, done.err) == (0, "")
    expected = mm.imaging.quantize(picture, 12)
    np.testing.assert_array_equal(pixels_of(out), expected.image)
    report = done.json
    assert report["psnr"] == pytest.approx(expected.psnr)
    assert report["mse"] == pytest.approx(expected.mse)
    assert (report["width"], report["height"], report["colors"]) == (50, 40, 12)
    assert report["distinct"] == expected.n_distinct
    assert report["input"] == {"path": str(source), "bytes": source.stat().st_size}
    assert report["output"] == {"path": str(out), "bytes": out.stat().st_size}
    assert report["output"]["bytes"] < report["input"]["bytes"]
    assert [entry["pixels"] for entry in report["palette"]] == expected.counts.tolist()
    codes = [tuple(bytes.fromhex(entry["color"][1:])) for entry in report["palette"]]
    assert codes == [tuple(colour) for colour in expected.palette.tolist()]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--method", "gmm", "-c", "5"], {"method": "gmm", "n_colors": 5}),
        (["--space", "oklab"], {"space": "oklab"}),
        (["--dither"], {"dither": True}),
        (["--random-state", "3", "-c", "30"], {"random_state": 3, "n_colors": 30}),
        (["--method", "gmm", "--colors", "auto"], {"method": "gmm", "n_colors": "auto"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_reach_the_library(
    mixmend, source, picture, tmp_path, monkeypatch, arguments, options
):
    monkeypatch.setattr("mixmend.imaging.mixed.CANDIDATES", (1, 2, 3))  # "auto" in less time
    done = mixmend("quantize", source, "-o", tmp_path / "out.gif", *arguments)
    assert done.code == 0, done.err
    expected = mm.imaging.quantize(picture, **options)
    np.testing.assert_array_equal(pixels_of(tmp_path / "out.gif"), expected.image)


def test_what_is_said_in_a_pipe(mixmend, source, picture, tmp_path):
    out = tmp_path / "out.png"
    done = mixmend("quantize", source, "-c", 9, "-o", out)
    expected = mm.imaging.quantize(picture, 9)
    lines = done.out.splitlines()
    assert lines[0] == "picture  50 × 40 pixels"
    assert lines[1] == f"colours  9 of {expected.n_distinct}"
    assert lines[2] == f"PSNR     {expected.psnr:.2f} dB"
    assert re.match(r"before   [\d.]+ k?B  .*in\.png$", lines[3])
    assert re.match(r"after    [\d.]+ k?B  .*out\.png  \(\d+%\)$", lines[4])
    codes = done.out.split("\n\n")[1].split()
    assert codes == ["#" + bytes(colour).hex() for colour in expected.palette.tolist()]


def test_a_terminal_shows_swatches(mixmend, source, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    out = tmp_path / "out.png"
    done = mixmend("quantize", source, "-c", 3, "-o", out)
    red, green, blue = np.unique(pixels_of(out).reshape(-1, 3), axis=0)[0]
    assert f"48;2;{red};{green};{blue}m    " in done.out


def test_before_and_after_side_by_side(mixmend, source, picture, tmp_path):
    both, out = tmp_path / "both.png", tmp_path / "out.png"
    assert mixmend("quantize", source, "-o", out, "--compare", both).code == 0
    shown = pixels_of(both)
    assert shown.shape == (40, 108, 3)
    np.testing.assert_array_equal(shown[:, :50], picture)
    np.testing.assert_array_equal(shown[:, 58:], pixels_of(out))
    alpha = np.dstack([picture, np.full((40, 50), 255, np.uint8)])
    alpha[:9, :, 3] = 0
    Image.fromarray(alpha).save(source)
    assert mixmend("quantize", source, "-o", out, "--compare", both, "--force").code == 0
    shown = pixels_of(both, "RGBA")
    np.testing.assert_array_equal(shown[:, :50], alpha)
    np.testing.assert_array_equal(shown[:, 58:], pixels_of(out, "RGBA"))


def test_nothing_is_replaced_without_force(mixmend, source, tmp_path):
    out, both = tmp_path / "out.png", tmp_path / "both.png"
    out.write_text("precious")
    done = mixmend("quantize", source, "-o", out)
    assert done == (
        2,
        "",
        f"mixmend: error: Cannot write {out}: the file exists. Give --force to replace it, or "
        "choose another name.\n",
    )
    both.write_text("precious")
    assert mixmend("quantize", source, "-o", tmp_path / "new.png", "--compare", both).code == 2
    assert (out.read_text(), both.read_text()) == ("precious", "precious")
    assert not (tmp_path / "new.png").exists()
    assert mixmend("quantize", source, "-o", out, "--force").code == 0
    assert pixels_of(out).shape == (40, 50, 3)
    done = mixmend("quantize", source, "-o", source, "--force")
    assert done.code == 2
    assert f"Cannot write {source}: it is the input." in done.err


def test_one_pixel_and_few_colours_are_kept_exactly(mixmend, tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    done = mixmend("quantize", tmp_path / "dot.png", "-o", tmp_path / "out.png", "--json")
    assert done.code == 0
    assert done.err == (
        "mixmend: note: The picture has 1 colour, fewer than n_colors=16: all are kept exactly.\n"
    )
    assert (done.json["psnr"], done.json["mse"], done.json["colors"]) == (None, 0, 1)
    assert pixels_of(tmp_path / "out.png").tolist() == [[[1, 2, 3]]]


def bad_files(tmp_path, picture):
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("no picture")
    light = np.full((3, 3), np.nan, np.float32)
    Image.fromarray(light).save(tmp_path / "nan.tif")
    (tmp_path / "folder.png").mkdir()


BAD = [
    ("absent.png", [], r"absent.png: No such file or directory. Check the path."),
    ("moving.gif", [], r"moving.gif is animated: it has 2 frames. Save one of them as a picture"),
    ("text.png", [], r"text.png cannot be read: it is not a picture of a known format."),
    ("nan.tif", [], r"The picture has 9 NaN or infinite values. Give every pixel a number."),
    ("folder.png", [], r"folder.png: Is a directory. Name a file in it."),
    ("in.png", ["-c", "0"], "n_colors must be a whole number of at least 1; got 0."),
    ("in.png", ["-c", "many"], "'many' is neither a whole number nor auto. See 'mixmend quantize"),
    ("in.png", ["-c", "auto"], "n_colors='auto' is chosen by a likelihood, which K-means has not."),
    ("in.png", ["--compare", "x.txt"], "Cannot write x.txt: its ending says no known format."),
    ("in.png", ["--compare", "out.png"], "Cannot write out.png: it is the output as well."),
    ("in.png", ["-o", "out.jpg"], "Cannot write out.jpg: palettes are kept by .png and .gif"),
]


@pytest.mark.parametrize(("name", "options", "text"), BAD, ids=[text[-30:] for *_, text in BAD])
def test_bad_input_is_one_line_and_writes_nothing(
    mixmend, source, picture, tmp_path, monkeypatch, name, options, text
):
    monkeypatch.chdir(tmp_path)
    bad_files(tmp_path, picture)
    before = sorted(tmp_path.iterdir())
    done = mixmend("quantize", name, *(["-o", "out.png"] if "-o" not in options else []), *options)
    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
