"""Mixtures put to work on pictures: palettes, priors of patches, and restoration.

The names below are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmend.imaging.deblurring import deblur
    from mixmend.imaging.denoising import denoise
    from mixmend.imaging.inpainting import inpaint
    from mixmend.imaging.palette import Quantized, quantize
    from mixmend.imaging.pictures import Picture, as_picture, write_picture
    from mixmend.imaging.prior import PatchPrior
    from mixmend.imaging.sampling import sample_image

_HOMES = {
    "PatchPrior": "mixmend.imaging.prior",
    "Picture": "mixmend.imaging.pictures",
    "Quantized": "mixmend.imaging.palette",
    "as_picture": "mixmend.imaging.pictures",
    "deblur": "mixmend.imaging.deblurring",
    "denoise": "mixmend.imaging.denoising",
    "inpaint": "mixmend.imaging.inpainting",
    "quantize": "mixmend.imaging.palette",
    "sample_image": "mixmend.imaging.sampling",
    "write_picture": "mixmend.imaging.pictures",
}

__all__ = [
    "PatchPrior",
    "Picture",
    "Quantized",
    "as_picture",
    "deblur",
    "denoise",
    "inpaint",
    "quantize",
    "sample_image",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixmend.imaging' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
