"""One E+M step of diagonal and spherical mixtures on complete data, beside scikit-learn.

python benchmarks/bench_diagonal.py            # 100 000 × 32, 16 components
python benchmarks/bench_diagonal.py --missing 0.1

Sides take turns, and the least time of a step counts: what other programs do to a machine
only ever adds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial

import numba
import numpy as np
from sklearn.mixture import GaussianMixture

from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.mixtures import diagonal, spherical
from mixmend.observed.matrix import ObservedMatrix


def seconds_per_step(density, parameters, block, steps: int) -> tuple[float, float]:
    """Least seconds of a step, and the log-likelihood that the steps reach."""
    ticks: list[float] = []
    fit = run(
        density,
        parameters,
        [block],
        tol=0,
        max_iter=steps,
        on_step=lambda _: ticks.append(time.perf_counter()),
    )
    return float(np.diff(ticks).min()), fit.log_likelihood


def sklearn_step(X, kind, start, steps: int) -> tuple[float, float]:
    """Least seconds of scikit-learn's own E-step and M-step from the same start."""
    weights, means, variances = start
    gm = GaussianMixture(len(weights), covariance_type=kind, reg_covar=0.0)
    gm.weights_, gm.means_ = weights, means
    gm.precisions_cholesky_ = 1.0 / np.sqrt(variances)
    took = []
    for _ in range(steps):
        began = time.perf_counter()
        _, log_resp = gm._e_step(X)
        gm._m_step(X, log_resp)
        took.append(time.perf_counter() - began)
    return min(took), float(gm._e_step(X)[0] * len(X))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    n, d, K = options.rows, options.columns, options.components
    centres = rng.normal(0, 2, (K, d))
    X = centres[rng.integers(0, K, n)] + rng.normal(size=(n, d))
    means = centres + rng.normal(0, 0.5, (K, d))
    holes = rng.random((n, d)) < options.missing
    weights = np.full(K, 1 / K)
    print(f"{n} × {d}, K = {K}, {options.missing:.0%} missing, {numba.get_num_threads()} threads\n")
    print("| covariance | side | a step | ratio |")
    print("| --- | --- | --- | --- |")
    for kind, module, shape in (("diag", diagonal, (K, d)), ("spherical", spherical, (K,))):
        start = (weights, means, np.ones(shape))
        sides = {}
        if not options.missing:
            sides["scikit-learn, float64"] = partial(sklearn_step, X, kind, start, options.steps)
        for dtype in (np.float64, np.float32):
            obs = ObservedMatrix.from_dense(np.where(holes, np.nan, X).astype(dtype))
            extra = () if kind == "diag" else (False,)
            block = Block(obs, module.row_bytes(K, obs.dtype.itemsize, *extra))
            named = {"diag": "DiagonalDensity", "spherical": "SphericalDensity"}[kind]
            density = getattr(module, named)()
            parameters = module.Parameters(weights, np.asfortranarray(means), np.ones(shape))
            seconds_per_step(density, parameters, block, 2)  # compile
            sides[f"mixmend, {np.dtype(dtype)}"] = partial(
                seconds_per_step, density, parameters, block, options.steps
            )
        turns = [{name: side() for name, side in sides.items()} for _ in range(options.turns)]
        least = {name: min(turn[name][0] for turn in turns) for name in sides}
        theirs = least.get("scikit-learn, float64")
        for name, took in least.items():
            gain = "" if theirs in (None, took) else f"{theirs / took:.1f} × scikit-learn's speed"
            print(f"| {kind} | {name} | {took * 1e3:.1f} ms | {gain} |")
        if theirs is not None:
            value, reached = (
                turns[0][f"{side}, float64"][1] for side in ("mixmend", "scikit-learn")
            )
            assert abs(value / reached - 1) < 1e-8, (value, reached)


if __name__ == "__main__":
    main()
