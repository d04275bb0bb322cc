"""Train the prior of patches that comes with mixmend: src/mixmend/imaging/data/prior.mixmend.

The pictures are free to use: two photographs of scikit-learn (CC BY 2.0, danielbuechele and
vultilion) and ten of scikit-image (CC0 or public domain, listed below), which must be
installed beside mixmend (``pip install scikit-image``). Each counts at its own size and at
half of it.

    python scripts/train_prior.py -o src/mixmend/imaging/data/prior.mixmend
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from mixmend.imaging import PatchPrior
from mixmend.progress import reporting

OF_SCIKIT_LEARN = ("china.jpg", "flower.jpg")
OF_SCIKIT_IMAGE = {
    "astronaut.png": "public domain, NASA",
    "brick.png": "CC0, CC0Textures",
    "camera.png": "CC0, Lav Varshney",
    "chelsea.png": "CC0, Stefan van der Walt",
    "coffee.png": "CC0, Rachel Michetti",
    "coins.png": "no known copyright restrictions, Brooklyn Museum",
    "grass.png": "CC0",
    "gravel.png": "CC0, CC0Textures",
    "hubble_deep_field.jpg": "public domain, NASA",
    "rocket.jpg": "public domain, SpaceX",
}


def pictures() -> list[np.ndarray[Any, Any]]:
    """Grey pictures, each at its own size and at half of it."""
    found = [Image.fromarray(load_sample_image(name)) for name in OF_SCIKIT_LEARN]
    spec = importlib.util.find_spec("skimage.data")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is not installed: pip install scikit-image")
    folder = Path(spec.origin).parent
    found += [Image.open(folder / name) for name in OF_SCIKIT_IMAGE]
    out = []
    for image in found:
        grey = image.convert("L")
        half = grey.resize((grey.width // 2, grey.height // 2), Image.Resampling.LANCZOS)
        out += [np.asarray(grey), np.asarray(half)]
    return out


def main() -> None:
    """Read the arguments, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--components", type=int, default=200)
    parser.add_argument("--patches", type=int, default=2_000_000)
    given = parser.parse_args()
    with reporting():
        prior = PatchPrior.fit(
            pictures(), 8, given.components, n_patches=given.patches, random_state=0
        )
    sources = {f"scikit-learn {name}": "CC BY 2.0" for name in OF_SCIKIT_LEARN}
    sources |= {f"scikit-image {name}": terms for name, terms in OF_SCIKIT_IMAGE.items()}
    prior.rounded().save(given.output, provenance={"pictures": sources})
    print(f"{given.output}: {given.output.stat().st_size} bytes, {prior}")


if __name__ == "__main__":
    main()
