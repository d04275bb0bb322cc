"""Palettes of pictures, beside scikit-learn, Pillow and libimagequant.

python benchmarks/bench_palette.py             # quality on small pictures, time at 6 megapixels

Mean squared error (levels of 255, no dithering) of 16 and 256 colours on the pictures of
scikit-learn, and of scikit-image where it is installed; scikit-learn's K-means is the best of
five on the same weighted distinct colours. Then time on a picture of 6 megapixels, made by
enlarging and grain, on which scikit-learn gets the pixels, as its users give them. libimagequant
(``pip install imagequant``) is left out, with a word, where it is not installed. Times are
of the processor, the least of the repeats, with one thread each.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.datasets import load_sample_images
from threadpoolctl import threadpool_limits

import mixmend as mm

try:
    import imagequant
except ImportError:
    imagequant = None
try:
    from skimage import data as skimage_data
except ImportError:
    skimage_data = None

MEGAPIXELS = (2000, 3000)


def pictures() -> dict[str, np.ndarray]:
    found = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    if skimage_data is not None:
        for name in ("astronaut", "chelsea", "coffee"):
            found[name] = getattr(skimage_data, name)()
    return found


def large_picture() -> np.ndarray:
    """The enlarged picture of scikit-learn with grain, 6 megapixels."""
    small = Image.fromarray(load_sample_images().images[0])
    large = np.asarray(small.resize(MEGAPIXELS[::-1], Image.Resampling.LANCZOS), np.float64)
    grain = np.random.default_rng(0).normal(0, 1.0, large.shape)
    return np.rint(np.clip(large + grain, 0, 255)).astype(np.uint8)


def error(image: np.ndarray, other: np.ndarray) -> float:
    total = sum(
        float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(image, other, strict=True)
    )
    return total / image.size


def mixmend_error(image: np.ndarray, count: int) -> float:
    return mm.imaging.quantize(image, count).mse


def weighted_peer_error(image: np.ndarray, count: int) -> float:
    """scikit-learn's best of five on the weighted distinct colours, its centres rounded."""
    colours, weights = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    peer = PeerKMeans(count, n_init=5, random_state=0).fit(colours * 1.0, sample_weight=weights)
    return _rounded(peer, image)


def peer_error(image: np.ndarray, count: int, rounds: int) -> float:
    peer = PeerKMeans(count, n_init=1, max_iter=rounds, random_state=0)
    return _rounded(peer.fit(image.reshape(-1, 3) * 1.0), image)


def _rounded(peer: PeerKMeans, image: np.ndarray) -> float:
    peer.cluster_centers_ = np.rint(peer.cluster_centers_)
    labels = peer.predict(image.reshape(-1, 3) * 1.0)
    return error(image, peer.cluster_centers_[labels].reshape(image.shape))


def pillow(method: int, image: np.ndarray, count: int) -> float:
    found = Image.fromarray(image).quantize(count, method=method, dither=Image.Dither.NONE)
    return error(image, np.asarray(found.convert("RGB")))


def imagequant_error(image: np.ndarray, count: int) -> float:
    found = imagequant.quantize_pil_image(
        Image.fromarray(image), dithering_level=0.0, max_colors=count
    )
    return error(image, np.asarray(found.convert("RGB")))


def sides() -> dict[str, Callable[[np.ndarray, int], float]]:
    found = {
        "mixmend": mixmend_error,
        "median cut": lambda image, count: pillow(Image.Quantize.MEDIANCUT, image, count),
        "fast octree": lambda image, count: pillow(Image.Quantize.FASTOCTREE, image, count),
    }
    if imagequant is not None:
        found["libimagequant"] = imagequant_error
    return found


def timed(side: Callable[..., float], *arguments: object) -> tuple[float, float]:
    began = time.process_time()
    value = side(*arguments)
    return time.process_time() - began, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-quality", action="store_true")
    parser.add_argument("--peer-rounds", type=int, default=300, help="scikit-learn's max_iter")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if imagequant is None:
        print("imagequant is not installed: left out\n")
    found = sides()
    for count in (16, 256):
        mixmend_error(large_picture()[:200, :200], count)  # compile
    if not options.without_quality:
        names = [*found, "scikit-learn, best of 5"]
        print("| picture | colours | " + " | ".join(names) + " | against scikit-learn |")
        print("| --- " * (len(names) + 3) + "|")
        for name, image in pictures().items():
            for count in (16, 256):
                errors = [side(image, count) for side in found.values()]
                errors.append(weighted_peer_error(image, count))
                shown = " | ".join(f"{value:.2f}" for value in errors)
                ratio = f"{errors[0] / errors[-1] - 1:+.1%}"
                print(f"| {name} | {count} | {shown} | {ratio} |", flush=True)
    image = large_picture()
    print(f"\n{MEGAPIXELS[1]} × {MEGAPIXELS[0]} pixels, one thread, seconds of the processor\n")
    print("| colours | side | seconds | mean squared error | mixmend is faster by |")
    print("| --- | --- | --- | --- | --- |")
    with threadpool_limits(1):
        for count in (16, 256):
            best: dict[str, tuple[float, float]] = {}
            for _ in range(options.repeats):
                for name, side in found.items():
                    best[name] = min(timed(side, image, count), best.get(name, (np.inf, 0.0)))
            mine = best["mixmend"][0]
            for name, (seconds, value) in best.items():
                show(count, name, seconds, value, mine)
            name = f"scikit-learn, one start, at most {options.peer_rounds} rounds"
            show(count, name, *timed(peer_error, image, count, options.peer_rounds), mine)


def show(count: int, name: str, seconds: float, value: float, mine: float) -> None:
    ratio = "" if name == "mixmend" else f"{seconds / mine:.1f} ×"
    print(f"| {count} | {name} | {seconds:.2f} | {value:.2f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
