"""An EM step of 200 full covariances on patches of pictures, beside scikit-learn.

    python benchmarks/bench_prior.py [PICTURES] [--patches 500000] [--components 200] [--no-peer]

PICTURES is a folder of photographs; without it patches are of those of scikit-learn. Both
sides make the same two steps from the same start, in turn, and must come to the same
log-likelihood; the ceiling is what NumPy's matrix product reaches in double precision here,
and the share counts the multiplications that triangles and symmetry leave to be done.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from bench_factor import ceiling
from bench_full import seconds_per_step
from PIL import Image
from scipy.linalg import helmert
from sklearn.datasets import load_sample_image
from sklearn.mixture import GaussianMixture

from mixmend.imaging.training import draw_patches, grouped_start
from mixmend.mixtures.full_family import FULL

Array = np.ndarray[Any, Any]


def grey(images: list[Image.Image]) -> list[Array]:
    return [np.asarray(image.convert("L")) / 255.0 for image in images]


def pictures(folder: Path | None) -> list[Array]:
    if folder is None:
        names = ("china.jpg", "flower.jpg")
        return grey([Image.fromarray(load_sample_image(name)) for name in names])
    kinds = (".jpg", ".png")
    return grey([Image.open(f) for f in sorted(folder.iterdir()) if f.suffix in kinds])


def peer_step(X: Array, start: tuple[Array, Array, Array]) -> tuple[float, float]:
    """Seconds of one step of scikit-learn, and its mean log-likelihood after two."""
    weights, means, covariances = start
    peer = GaussianMixture(len(weights), reg_covar=0.0, max_iter=1)
    peer.weights_, peer.means_, peer.covariances_ = weights, means, covariances
    factors = np.linalg.cholesky(covariances)
    peer.precisions_cholesky_ = np.stack([np.linalg.inv(f).T for f in factors])
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        _, log_resp = peer._e_step(X)
        peer._m_step(X, log_resp)
        seconds.append(time.perf_counter() - begun)
    return min(seconds), float(peer.score(X))


def main() -> None:
    """Read the arguments, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("--patches", type=int, default=500_000)
    parser.add_argument("--components", type=int, default=200)
    parser.add_argument("--no-peer", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    # coordinates without the mean, which would have no variance
    X = draw_patches(pictures(given.pictures), 8, given.patches, True, rng) @ helmert(64).T
    start = grouped_start(X[: 300 * given.components], given.components, rng)
    assert start is not None
    d = X.shape[1]
    ours, score = seconds_per_step(FULL, X, start, steps=2)
    work = len(X) * given.components * d * (d + 1)  # distances and moments, halves of d^2 each
    best = ceiling()
    print(f"mixmend {ours:.2f} s a step, {score:.4f} a patch; {2e-9 * work / ours / best:.0%} of")
    print(f"the ceiling of {best:.0f} GFLOP/s, counting rows without a share, too")
    if not given.no_peer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, other = peer_step(X, start)
        print(f"scikit-learn {theirs:.2f} s a step, {other:.4f} a patch: {theirs / ours:.1f} times")


if __name__ == "__main__":
    main()
