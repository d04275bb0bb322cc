"""Pictures as arrays: from files and arrays in, to files out."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, FileFormatError, OutputError
from mixmend.files.atomic import atomic_path, check_output

_PEAKS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float64): 1.0}
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
_FORMATS |= {".webp": "WEBP", ".bmp": "BMP"}
_WRITTEN_WITH: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
_CONVERTED = ("RGBX", "CMYK", "YCbCr", "HSV")
"""Modes of files whose colours Pillow turns into RGB by formula, without colour profiles."""


@dataclass(frozen=True)
class Picture:
    """A picture's numbers, as they were given.

    Attributes
    ----------
    values : ndarray, shape (h, w, 1) or (h, w, 3)
        Grey or red, green and blue: uint8, uint16, or float64 from 0 to 1.
    alpha : ndarray, shape (h, w), or None
        Opacity on the same scale; None where the picture has none.
    is_flat : bool
        Whether a grey picture came as (h, w), without an axis for its one channel.
    """

    values: NDArray[Any]
    alpha: NDArray[Any] | None = None
    is_flat: bool = True

    @property
    def peak(self) -> float:
        """The number that means full light: 255, 65535 or 1."""
        return _PEAKS[self.values.dtype]

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel."""
        return bool(self.values.shape[2] == 1)

    def to_unit(self) -> NDArray[np.float64]:
        """Light from 0 to 1 as float64, without alpha: (h, w) if grey, else (h, w, 3)."""
        unit = self.values / self.peak
        return unit[:, :, 0] if self.is_grey else unit

    def to_bytes(self) -> NDArray[np.uint8]:
        """The values rounded to 0 to 255, shape (h, w, 1 or 3)."""
        return _bytes(self.values)

    def alpha_bytes(self) -> NDArray[np.uint8] | None:
        """Opacity rounded to 0 to 255, shape (h, w), or None."""
        return None if self.alpha is None else _bytes(self.alpha)

    def from_unit(self, unit: NDArray[np.float64]) -> NDArray[Any]:
        """Another picture's light, in this one's form: shape, type and alpha.

        Parameters
        ----------
        unit : ndarray, shape (h, w) or (h, w, C)
            Light from 0 to 1; what lies outside is brought to the nearer end, except where
            the picture is of floats.
        """
        values = np.asarray(unit, np.float64).reshape(self.values.shape)
        if self.values.dtype != np.float64:
            values = np.rint(np.clip(values, 0.0, 1.0) * self.peak).astype(self.values.dtype)
        return self.shaped(values, self.alpha)

    def shaped(self, values: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
        """Channels and alpha (if any) as one array of this picture's shape."""
        if alpha is not None:
            return np.concatenate([values, alpha[:, :, None]], axis=2)
        return values[:, :, 0] if self.is_grey and self.is_flat else values


def as_picture(image: Any, *, bounded: bool = True) -> Picture:
    """Read a picture from a file, a Pillow image or an array.

    Parameters
    ----------
    image : path, PIL.Image.Image or array-like
        A file that Pillow reads: grey, RGB, either with alpha, palettes, 16-bit grey. CMYK
        and other colour models are converted by formula, without colour profiles. A camera's
        note of how it was held is heeded. Or an array of shape (h, w), (h, w, 1), (h, w, 2)
        (grey and alpha), (h, w, 3) or (h, w, 4) (RGB and alpha): bool, uint8, uint16, other
        whole numbers from 0 to 255, or floats from 0 to 1.
    bounded : bool, default True
        Whether floats outside [0, 1] are refused; noisy pictures may well have them.

    Raises
    ------
    DataError
        For an array or image that is no such picture.
    FileFormatError
        For a file that cannot be read as one picture: damaged, animated, not a picture.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    UserWarning
        If Pillow reads a file's 16-bit colours with 8 bits.

    Examples
    --------
    >>> import numpy as np
    >>> picture = as_picture(np.array([[0, 51], [102, 255]], np.uint8))
    >>> picture.to_unit()
    array([[0. , 0.2],
           [0.4, 1. ]])
    """
    from PIL import Image

    if isinstance(image, str | os.PathLike):
        return _from_file(Path(image))
    if isinstance(image, Image.Image):
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise DataError(f"The image is animated: {_frames(image)}")
        return _from_pillow(image, "The image")
    return _from_array(image, bounded)


def write_picture(
    path: str | os.PathLike[str], values: NDArray[Any], *, overwrite: bool = True
) -> None:
    """Write an array as a picture file, whole or not at all.

    Parameters
    ----------
    path : path-like
        .png, .jpg, .tif, .webp or .bmp. 16 bits and floats are kept by .png and .tif of grey
        pictures (floats as 16 bits); elsewhere they are rounded to 8 bits.
    values : ndarray
        As `as_picture` reads it; floats are clipped to [0, 1].
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Raises
    ------
    OutputError
        If the ending is not known, the format cannot hold alpha, or nothing can be written
        there.
    DataError
        If ``values`` are no picture.
    """
    kind = check_picture_output(path, overwrite=overwrite)
    picture = as_picture(values, bounded=False)
    if picture.alpha is not None and kind in ("JPEG", "BMP"):
        raise OutputError(
            f"Cannot write {os.fspath(path)}: {kind} files hold no transparency. Choose .png."
        )
    options = _WRITTEN_WITH.get(kind, {})
    with atomic_path(path, overwrite=overwrite) as temporary:
        _to_pillow(picture, deep=kind in ("PNG", "TIFF")).save(temporary, kind, **options)


def check_picture_output(path: str | os.PathLike[str], *, overwrite: bool = True) -> str:
    """Raise OutputError now if `write_picture` is bound to fail; give Pillow's format."""
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise OutputError(
            f"Cannot write {os.fspath(path)}: its ending says no known format. "
            f"End the name in one of {', '.join(_FORMATS)}."
        )
    check_output(path, overwrite=overwrite)
    return kind


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) + 128) // 257
    else:
        values = np.rint(np.clip(values, 0.0, 1.0) * 255.0)
    out: NDArray[np.uint8] = values.astype(np.uint8)
    return out


def _frames(image: Any) -> str:
    return f"it has {image.n_frames} frames. Save one of them as a picture of its own."


def _from_file(path: Path) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            # a camera's MPO is one photograph with previews behind it
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise FileFormatError(f"{path} is animated: {_frames(image)}")
            deep = any(";16" in str(tile[3]) for tile in image.tile) and image.mode != "I;16"
            image.load()
            picture = _from_pillow(image, str(path))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        reason = "it has too many pixels" if bomb else "it is not a picture of a known format"
        raise FileFormatError(
            f"{path} cannot be read: {reason}. Give a PNG, JPEG, TIFF, WebP or GIF file."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, DataError | FileFormatError) or getattr(error, "errno", None):
            raise
        raise FileFormatError(
            f"{path} is damaged: {str(error).rstrip('.') or type(error).__name__}. "
            "Get the file anew."
        ) from error
    if deep and picture.values.dtype == np.uint8:
        warnings.warn(
            f"{path} has 16-bit colours, of which 8 bits are read.", UserWarning, stacklevel=3
        )
    return picture


def _from_pillow(image: Any, name: str) -> Picture:
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.width == 0 or image.height == 0:
        raise DataError(f"{name} has no pixels.")
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{name} has grey values beyond 16 bits. Convert it to 8 or 16 bits.")
        return Picture(values.astype(np.uint16)[:, :, None])
    if image.mode == "F":
        return _from_array(np.asarray(image), True)
    transparent = bool(image.has_transparency_data)
    if image.mode in ("1", "L", "LA"):
        image = image.convert("LA" if transparent else "L")
    elif image.mode in ("P", "PA", "RGB", "RGBA", "RGBa", *_CONVERTED):
        image = image.convert("RGBA" if transparent else "RGB")
    else:
        raise DataError(
            f"{name} has the colour model {image.mode}, which is not read. Convert it to RGB."
        )
    values = np.asarray(image)
    values = values[:, :, None] if values.ndim == 2 else values
    if transparent:
        return Picture(values[:, :, :-1], values[:, :, -1])
    return Picture(values)


def _from_array(image: Any, bounded: bool) -> Picture:
    try:
        values = np.asarray(image)
    except ValueError as error:
        raise DataError("A picture must be an array of numbers; this is ragged.") from error
    if values.dtype.kind not in "buif":
        raise DataError(f"A picture must be an array of numbers; got the type {values.dtype}.")
    flat = values.ndim == 2
    if not flat and (values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4)):
        raise DataError(
            "A picture must have shape (h, w) or (h, w, channels) with 1 to 4 channels; "
            f"got {values.shape}."
        )
    if values.size == 0:
        raise DataError(f"The picture has no pixels: its shape is {values.shape}.")
    values = _on_a_scale(values[:, :, None] if flat else values, bounded)
    if values.shape[2] in (2, 4):
        return Picture(values[:, :, :-1], values[:, :, -1], flat)
    return Picture(values, None, flat)


def _on_a_scale(values: NDArray[Any], bounded: bool) -> NDArray[Any]:
    """Numbers as uint8, uint16 or float64, by their type; complain of those out of range."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype in (np.uint8, np.uint16):
        return values
    least, most = values.min(), values.max()
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            count = int(values.size - np.isfinite(values).sum())
            raise DataError(
                f"The picture has {count} NaN or infinite value{'' if count == 1 else 's'}. "
                "Give every pixel a number."
            )
        if bounded and (least < 0 or most > 1):
            raise DataError(
                "A picture of floats must lie between 0 and 1; this one goes from "
                f"{least:g} to {most:g}. Scale it, or give whole numbers (uint8)."
            )
        return values.astype(np.float64)
    if least < 0 or most > 255:
        raise DataError(
            f"A picture of type {values.dtype} must lie between 0 and 255; this one goes from "
            f"{least} to {most}. Give it as uint8 or uint16."
        )
    return values.astype(np.uint8)


def _to_pillow(picture: Picture, deep: bool) -> Any:
    from PIL import Image

    values, alpha = picture.values, picture.alpha
    if deep and alpha is None and picture.is_grey and values.dtype != np.uint8:
        if values.dtype == np.float64:
            values = np.rint(np.clip(values, 0.0, 1.0) * 65535.0).astype(np.uint16)
        return Image.fromarray(values[:, :, 0])
    whole = Picture(picture.to_bytes()).shaped(picture.to_bytes(), picture.alpha_bytes())
    return Image.fromarray(np.ascontiguousarray(whole))
