"""Pictures come in from files and arrays and go out to files; what is none is refused."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import mixmend as mm
from mixmend.errors import DataError, FileFormatError, OutputError
from mixmend.imaging.pictures import as_picture, write_picture


@pytest.fixture
def colours(rng) -> np.ndarray:
    return rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)


def saved(tmp_path, array, mode=None, name="picture.png", **options):
    path = tmp_path / name
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_files_give_their_bytes_and_alpha(tmp_path, colours, channels):
    picture = as_picture(saved(tmp_path, colours[:, :, :channels]))
    np.testing.assert_array_equal(picture.values, colours[:, :, :3])
    assert (picture.alpha is None) == (channels == 3)
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, colours[:, :, 3])
    np.testing.assert_array_equal(picture.from_unit(picture.to_unit()), colours[:, :, :channels])


def test_grey_files_of_8_and_16_bits(tmp_path, rng):
    deep = rng.integers(0, 65536, (4, 6), dtype=np.uint16)
    picture = as_picture(saved(tmp_path, deep))
    np.testing.assert_array_equal(picture.values[:, :, 0], deep)
    assert picture.peak == 65535
    np.testing.assert_array_equal(picture.to_bytes()[:, :, 0], np.rint(deep / 257))
    flat = (deep >> 8).astype(np.uint8)
    picture = as_picture(saved(tmp_path, flat))
    np.testing.assert_array_equal(picture.to_unit(), flat / 255)
    np.testing.assert_array_equal(picture.from_unit(picture.to_unit()), flat)


def test_palette_and_bilevel_files_give_their_colours(tmp_path, colours):
    image = Image.fromarray(colours[:, :, :3]).quantize(4)
    image.save(tmp_path / "p.png", transparency=0)
    picture = as_picture(tmp_path / "p.png")
    np.testing.assert_array_equal(picture.values, np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 0)
    path = saved(tmp_path, colours[:, :, 0] > 99, name="b.png")
    np.testing.assert_array_equal(as_picture(path).values[:, :, 0] == 255, colours[:, :, 0] > 99)


def test_cmyk_is_converted(tmp_path):
    inks = np.full((3, 4, 4), (255, 0, 0, 0), np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "inks.tif")
    np.testing.assert_array_equal(as_picture(tmp_path / "inks.tif").values[0, 0], [0, 255, 255])


def test_a_camera_held_upright_gives_an_upright_picture(tmp_path, colours):
    image = Image.fromarray(colours[:, :, :3])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        as_picture(tmp_path / "turned.png").values, np.rot90(colours[:, :, :3], -1)
    )


def test_arrays_of_every_accepted_type(colours):
    grey = colours[:, :, 0]
    assert as_picture(grey > 99).to_unit().max() == 1
    np.testing.assert_array_equal(as_picture(grey.astype(np.int64)).values[:, :, 0], grey)
    np.testing.assert_array_equal(as_picture(grey / 255).to_bytes()[:, :, 0], grey)
    assert as_picture(grey[:, :, None]).from_unit(grey / 255).shape == (5, 7, 1)
    assert as_picture(Image.fromarray(colours)).alpha is not None
    two = as_picture(colours[:, :, :2])
    assert two.is_grey
    np.testing.assert_array_equal(two.from_unit(two.to_unit()), colours[:, :, :2])


def test_light_of_noisy_floats_is_kept_where_it_may_leave_the_range():
    noisy = np.array([[-0.1, 0.5], [1.2, 1.0]])
    picture = as_picture(noisy, bounded=False)
    np.testing.assert_array_equal(picture.to_unit(), noisy)
    np.testing.assert_array_equal(picture.from_unit(noisy), noisy)
    np.testing.assert_array_equal(picture.to_bytes()[:, :, 0], [[0, 128], [255, 255]])


NAN = np.array([[0.5, np.nan], [0.1, np.inf]])
REFUSED = [
    (NAN, "The picture has 2 NaN or infinite values. Give every pixel a number."),
    (
        [[0.0, 255.0]],
        "A picture of floats must lie between 0 and 1; this one goes from 0 to 255. Scale it, "
        "or give whole numbers (uint8).",
    ),
    (
        [[-1, 300]],
        "A picture of type int64 must lie between 0 and 255; this one goes from -1 to 300. Give "
        "it as uint8 or uint16.",
    ),
    (
        np.zeros(5),
        "A picture must have shape (h, w) or (h, w, channels) with 1 to 4 channels; got (5,).",
    ),
    (
        np.zeros((2, 2, 5)),
        "A picture must have shape (h, w) or (h, w, channels) with 1 to 4 channels; "
        "got (2, 2, 5).",
    ),
    (np.zeros((0, 4)), "The picture has no pixels: its shape is (0, 4)."),
    ([[1], [1, 2]], "A picture must be an array of numbers; this is ragged."),
    ([["a"]], "A picture must be an array of numbers; got the type <U1."),
    (Image.new("LAB", (2, 2)), "The image has the colour model LAB, which is not read. Convert "
     "it to RGB."),
]  # fmt: skip


@pytest.mark.parametrize(("array", "text"), REFUSED, ids=[text[-25:] for _, text in REFUSED])
def test_what_is_no_picture_is_refused(array, text):
    with pytest.raises(DataError) as error:
        as_picture(array)
    assert str(error.value) == text


@pytest.mark.parametrize("kind", ["gif", "png", "tif", "webp"])
def test_animated_files_are_refused(tmp_path, colours, kind):
    frames = [Image.fromarray(colours[:, :, :3]), Image.fromarray(255 - colours[:, :, :3])]
    path = tmp_path / f"moving.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    text = f"{path} is animated: it has 2 frames. Save one of them as a picture of its own."
    with pytest.raises(FileFormatError, match=f"^{re.escape(text)}$"):
        as_picture(path)


def test_files_that_are_no_pictures_are_refused(tmp_path, colours):
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    with pytest.raises(FileFormatError, match=r"notes.png cannot be read: it is not a picture of"):
        as_picture(text)
    whole = saved(tmp_path, np.repeat(colours, 40, axis=0)).read_bytes()
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"cut.png is damaged: .* Get the file anew\.$"):
        as_picture(cut)
    with pytest.raises(FileNotFoundError):
        as_picture(tmp_path / "absent.png")


def test_16_bit_colours_of_which_half_is_read_are_told(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        sealed = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + sealed

    lines = b"".join(b"\0" + np.full(6, 0x1234, ">u2").tobytes() for _ in range(3))
    header = struct.pack(">IIBBBBB", 2, 3, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    with pytest.warns(UserWarning, match=r"deep.png has 16-bit colours, of which 8 bits are read"):
        assert (as_picture(path).values == 0x12).all()


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".bmp", ".jpg"])
def test_written_pictures_are_read_again(tmp_path, colours, ending):
    path = tmp_path / f"out{ending}"
    write_picture(path, np.full((9, 8, 3), (10, 200, 90), np.uint8))
    again = as_picture(path).values.astype(int)
    assert abs(again - (10, 200, 90)).max() <= (3 if ending == ".jpg" else 0)
    deep = np.linspace(0, 1, 12).reshape(3, 4)
    write_picture(path, deep)
    peak = 65535 if ending in (".png", ".tif") else 255
    atol = 4 / 255 if ending == ".jpg" else 0.5 / peak + 1e-12
    read = as_picture(path)
    unit = read.to_unit() if read.is_grey else read.to_unit()[:, :, 0]
    np.testing.assert_allclose(unit, deep, rtol=0, atol=atol)


def test_places_where_no_picture_can_go_are_refused(tmp_path, colours):
    with pytest.raises(OutputError, match=r"its ending says no known format\. End the name in one"):
        write_picture(tmp_path / "out.xyz", colours)
    with pytest.raises(OutputError, match=r"JPEG files hold no transparency\. Choose \.png\."):
        write_picture(tmp_path / "out.jpg", colours)
    write_picture(tmp_path / "out.png", colours)
    with pytest.raises(OutputError, match="the file exists and must not be overwritten"):
        write_picture(tmp_path / "out.png", colours, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_the_namespace_is_lazy_and_complete():
    assert sorted(mm.imaging.__all__) == dir(mm.imaging)
    assert all(hasattr(mm.imaging, name) for name in mm.imaging.__all__)
    with pytest.raises(AttributeError, match=r"module 'mixmend.imaging' has no attribute 'x'"):
        _ = mm.imaging.x
    heavy = "[name for name in ('PIL', 'numba', 'scipy') if name in sys.modules]"
    code = f"import sys; sys.path.insert(0, 'src'); import mixmend; mixmend.imaging; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
