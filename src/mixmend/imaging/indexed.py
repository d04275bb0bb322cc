"""Indexed picture files: a palette, and one small number for each pixel."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import OutputError
from mixmend.files.atomic import atomic_path, check_output

_FORMATS = {".png": "PNG", ".gif": "GIF"}


def check_indexed_output(path: str | os.PathLike[str], *, overwrite: bool = True) -> str:
    """Raise OutputError now if `write_indexed` is bound to fail; give Pillow's format."""
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise OutputError(
            f"Cannot write {os.fspath(path)}: palettes are kept by .png and .gif files. "
            "End the name in one of these."
        )
    check_output(path, overwrite=overwrite)
    return kind


def write_indexed(
    path: str | os.PathLike[str],
    indices: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    *,
    overwrite: bool = True,
) -> None:
    """Write a PNG or GIF with a palette (K, 3) and the opacity (K,) of its colours, if any."""
    from PIL import Image

    kind = check_indexed_output(path, overwrite=overwrite)
    options: dict[str, Any] = {}
    if alpha is not None and kind == "GIF":
        if ((alpha > 0) & (alpha < 255)).any():
            warnings.warn(
                f"{os.fspath(path)}: GIF files know no half-transparent colours; those less than "
                "half opaque are left out, the others made opaque. PNG files keep them.",
                UserWarning,
                stacklevel=3,
            )
        unseen = np.flatnonzero(alpha < 128)
        if len(unseen):
            # one entry stands for all that is not seen
            indices = np.where(alpha[indices] < 128, np.uint8(unseen[0]), indices)
            options["transparency"] = int(unseen[0])
    elif alpha is not None:
        options["transparency"] = alpha.tobytes()
    if kind == "PNG":
        options["bits"] = next(bits for bits in (1, 2, 4, 8) if len(palette) <= 1 << bits)
        options["optimize"] = True
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    with atomic_path(path, overwrite=overwrite) as temporary:
        image.save(temporary, kind, **options)
