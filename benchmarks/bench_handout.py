"""Five seeds to convergence on a 1200 × 1200 matrix, K = 12, against a per-row Python loop.

    python benchmarks/bench_handout.py [netflix_incomplete.txt]

Both take the handout's steps. The loop is timed on one step and scaled by the number of
steps, since it would run for the better part of an hour.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import mixmend as mm
from mixmend import functional

sys.path.insert(0, str(Path(__file__).parent))
from peers import python_loop_step

K = 12


def matrix() -> np.ndarray:
    if len(sys.argv) > 1:
        return np.loadtxt(sys.argv[1])
    obs = mm.datasets.make_ratings(1200, 1200, 1_111_768, n_components=6, random_state=0)
    return obs.to_dense(missing=0)


def main() -> None:
    X = matrix()
    functional.run(X, *functional.init(X, K, 0))  # compile
    double = mm.ObservedMatrix.from_dense(X, missing=0)
    single = mm.ObservedMatrix.from_dense(X.astype(np.float32), missing=0)
    began = time.perf_counter()
    fits = [functional.run(X, *functional.init(X, K, seed)) for seed in range(5)]
    through_functional = time.perf_counter() - began

    # the same five starts through the estimator, on a matrix that was converted once
    def through_estimator(obs, tolerance):
        steps, began = 0, time.perf_counter()
        for (mixture, _), fit in zip(starts, fits, strict=True):
            gm = mm.GaussianMixture(
                K,
                means_init=mixture.mu,
                covariances_init=mixture.var,
                min_variance=0.25,
                min_support=1.0,
            ).fit(obs)
            steps += gm.n_iter_ + 1
            assert abs(gm.log_likelihood_ / fit[2] - 1) < tolerance
        return time.perf_counter() - began, steps

    starts = [functional.init(X, K, seed) for seed in range(5)]
    for obs, tolerance in ((double, 1e-12), (single, 1e-5)):
        through_estimator(obs, tolerance)  # compile
    in_double, steps = through_estimator(double, 1e-12)
    in_single, _ = through_estimator(single, 1e-5)

    mixture, _ = functional.init(X, K, 0)
    began = time.perf_counter()
    loop = python_loop_step(X, mixture.p, mixture.mu, mixture.var)
    one = time.perf_counter() - began
    _, mine = functional.estep(X, mixture)
    assert abs(loop[3] / mine - 1) < 1e-10
    print("| way | seconds, 5 seeds | × the loop |")
    print("| --- | --- | --- |")
    print(f"| Python loop over rows ({steps} steps of {one:.2f} s) | {steps * one:.0f} | 1 |")
    for name, seconds in (
        ("functional.run", through_functional),
        ("GaussianMixture.fit, float64", in_double),
        ("GaussianMixture.fit, float32", in_single),
    ):
        print(f"| {name} | {seconds:.2f} | {steps * one / seconds:.0f} |")


if __name__ == "__main__":
    main()
