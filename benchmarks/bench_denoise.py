"""Denoising, inpainting and deblurring of grey pictures: PSNR and seconds, beside peers.

    python benchmarks/bench_denoise.py PICTURES [--prior FILE] [--sigmas 15 25 50] [--count 68]
        [--cut 128] [--fast] [--tasks denoise inpaint deblur time] [--peers] [--deepinv]
        [--coverage]

PICTURES is a folder of grey pictures (BSD68). Noise is drawn with the picture's position as
seed and not clipped; results are clipped to [0, 1]. ``--cut`` takes the middle of each picture
only. ``--peers`` adds scikit-image's methods and bm3d, ``--deepinv`` its denoiser by expected
patch log-likelihoods, given the same prior. ``--coverage`` adds the share of pixels within 1.645
stated deviations, of denoising and deblurring.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mixmend.imaging import PatchPrior, deblur, denoise, inpaint
from mixmend.imaging.operators import Blur

Array = np.ndarray[Any, Any]
DEBLUR_SIGMA = 2.0**0.5 / 255


def gaussian(width: float, reach: int) -> Array:
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


KERNELS = {"gaussian 1.6": gaussian(1.6, 7), "box 9": np.full((9, 9), 1 / 81)}


def middle(image: Array, side: int) -> Array:
    top, left = (max(0, (length - side) // 2) for length in image.shape)
    return image[top : top + side, left : left + side]


def psnr(found: Array, truth: Array) -> float:
    return float(-10 * np.log10(((found.clip(0, 1) - truth) ** 2).mean()))


def measured(
    name: str, methods: dict[str, Callable[[Array], Array]], cases: list[tuple[Array, Array]]
) -> None:
    for method, restore in methods.items():
        scores, start = [], time.perf_counter()
        for seen, truth in cases:
            scores.append(psnr(restore(seen), truth))
        seconds = (time.perf_counter() - start) / len(cases)
        row = {"task": name, "method": method, "psnr": round(float(np.mean(scores)), 3)}
        print(json.dumps(row | {"n": len(cases), "seconds": round(seconds, 2)}), flush=True)


def covered(
    name: str,
    restore: Callable[[Array], tuple[Array, Array]],
    cases: list[tuple[Array, Array]],
) -> None:
    """The share of pixels within 1.645 deviations, over pictures."""
    shares = []
    for seen, truth in cases:
        found, std = restore(seen)
        shares.append(float((np.abs(found - truth) < 1.645 * std).mean()))
    row = {"task": name, "within": round(float(np.mean(shares)), 4), "n": len(cases)}
    print(json.dumps(row | {"of": [round(min(shares), 3), round(max(shares), 3)]}), flush=True)


def by_deepinv(prior: PatchPrior) -> Callable[[Array, float], Array]:
    """Deepinv's `EPLLDenoiser` with the components of a prior that knows no brightness."""
    import torch
    from deepinv.models import EPLLDenoiser
    from deepinv.optim.utils import GaussianMixtureModel

    n_components, d = prior.means.shape
    mixture = GaussianMixtureModel(n_components, d)
    mixture.set_weights(torch.tensor(prior.weights))
    mixture.mu.data = torch.full_like(mixture.mu, 0.5)
    covariances = prior.covariances + 1e-6 * np.eye(d) + 0.5**2  # any brightness
    mixture.set_cov(torch.tensor(covariances, dtype=torch.float32))
    denoiser = EPLLDenoiser(mixture, n_components, None, prior.patch_size)

    def restored(y: Array, sigma: float) -> Array:
        seen = torch.tensor(y[None, None], dtype=torch.float32)
        return denoiser(seen, sigma, batch_size=4000).detach().numpy()[0, 0].astype(float)

    return restored


def of_denoising(pictures: list[Array], given: argparse.Namespace, prior: PatchPrior) -> None:
    for sigma in given.sigmas:
        noise = sigma / 255
        methods = {"mixmend": lambda y, s=noise: denoise(y, s, prior)}
        if given.fast:
            methods["mixmend fast"] = lambda y, s=noise: denoise(y, s, prior, mode="fast")
        if given.peers:
            import bm3d

            methods["bm3d"] = lambda y, s=noise: bm3d.bm3d(y, s)
        if given.deepinv:
            other = by_deepinv(prior)
            methods["deepinv"] = lambda y, s=noise, other=other: other(y, s)
        cases = [
            (x + noise * np.random.default_rng(i).standard_normal(x.shape), x)
            for i, x in enumerate(pictures)
        ]
        measured(f"denoise, sigma {sigma:g}", methods, cases)
        if given.coverage:
            covered(
                f"denoise, sigma {sigma:g}",
                lambda y, s=noise: denoise(y, s, prior, return_std=True),
                cases,
            )


def of_inpainting(pictures: list[Array], given: argparse.Namespace, prior: PatchPrior) -> None:
    for share in (0.5, 0.8):
        methods = {"mixmend": lambda y: inpaint(y, prior=prior)}
        if given.fast:
            methods["mixmend fast"] = lambda y: inpaint(y, prior=prior, mode="fast")
        if given.peers:
            from skimage.restoration import denoise_tv_chambolle, inpaint_biharmonic

            def total_variation(y: Array) -> Array:
                """Least total variation given the known pixels: denoised and put back in turn."""
                x = np.where(np.isnan(y), np.nanmean(y), y)
                for weight in np.geomspace(0.2, 0.01, 60):
                    smooth = denoise_tv_chambolle(x, weight, max_num_iter=20)
                    x = np.where(np.isnan(y), smooth, y)
                return x

            methods["biharmonic"] = lambda y: inpaint_biharmonic(np.nan_to_num(y), np.isnan(y))
            methods["total variation"] = total_variation
        cases = [
            (np.where(np.random.default_rng(i).random(x.shape) < share, np.nan, x), x)
            for i, x in enumerate(pictures)
        ]
        measured(f"inpaint, {share:.0%} gone", methods, cases)


def of_deblurring(pictures: list[Array], given: argparse.Namespace, prior: PatchPrior) -> None:
    for name, kernel in KERNELS.items():
        methods = {
            "mixmend": lambda y, k=kernel: deblur(y, k, DEBLUR_SIGMA, prior, boundary="periodic")
        }
        if given.fast:
            methods["mixmend fast"] = lambda y, k=kernel: deblur(
                y, k, DEBLUR_SIGMA, prior, boundary="periodic", mode="fast"
            )
        if given.peers:
            from skimage.restoration import denoise_tv_chambolle, unsupervised_wiener, wiener

            # balance and weight: the best of grids on six cuts of BSDS500's training pictures
            methods["unsupervised Wiener"] = lambda y, k=kernel: unsupervised_wiener(y, k, rng=0)[0]
            methods["unsupervised Wiener, then TV"] = lambda y, k=kernel: denoise_tv_chambolle(
                unsupervised_wiener(y, k, rng=0)[0], 0.02
            )
            methods["Wiener, then TV"] = lambda y, k=kernel: denoise_tv_chambolle(
                wiener(y, k, 3e-4), 0.02
            )
        cases = []
        for i, x in enumerate(pictures):
            noise = np.random.default_rng(i).standard_normal(x.shape)
            cases.append((Blur(kernel, x.shape).forward(x) + DEBLUR_SIGMA * noise, x))
        measured(f"deblur, {name}", methods, cases)
        if given.coverage:
            covered(
                f"deblur, {name}",
                lambda y, k=kernel: deblur(
                    y, k, DEBLUR_SIGMA, prior, boundary="periodic", return_std=True
                ),
                cases,
            )


def of_time(pictures: list[Array], given: argparse.Namespace, prior: PatchPrior) -> None:
    """512 × 512 pixels, sigma 25: the least of three runs."""
    tiled = np.tile(pictures[0], (2, 2))[:512, :512]
    noisy = tiled + 25 / 255 * np.random.default_rng(0).standard_normal(tiled.shape)
    for mode in ("full", "fast"):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            denoise(noisy, 25 / 255, prior, mode=mode)
            seconds.append(time.perf_counter() - start)
        row = {"task": "512 × 512", "mode": mode, "seconds": round(min(seconds), 2)}
        print(json.dumps(row), flush=True)


TASKS = {
    "denoise": of_denoising,
    "inpaint": of_inpainting,
    "deblur": of_deblurring,
    "time": of_time,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--sigmas", type=float, nargs="+", default=[15.0, 25.0, 50.0])
    parser.add_argument("--count", type=int, default=68)
    parser.add_argument("--cut", type=int, help="side of the middle that is taken")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--deepinv", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    given = parser.parse_args()
    files = sorted(given.pictures.glob("*.png"))
    step = max(1, len(files) // given.count)
    pictures = [np.asarray(Image.open(f).convert("L")) / 255.0 for f in files[::step]]
    if given.cut is not None:
        pictures = [middle(x, given.cut) for x in pictures]
    prior = PatchPrior.default() if given.prior is None else PatchPrior.load(given.prior)
    for task in given.tasks:
        TASKS[task](pictures[: given.count], given, prior)


if __name__ == "__main__":
    main()
