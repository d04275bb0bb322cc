"""One E+M step of a factor analyser on incomplete data, beside the matrix-product ceiling.

python benchmarks/bench_factor.py             # 100 000 × 500, rank 10, half the cells missing
"""

from __future__ import annotations

import argparse
import resource
import time

import numba
import numpy as np

from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.mixtures import factor
from mixmend.mixtures.factor_e_step import packed_length
from mixmend.observed.matrix import ObservedMatrix


def ceiling() -> float:
    """Double-precision GFLOP/s of this machine's matrix products."""
    a = np.random.default_rng(0).random((2000, 2000))
    a @ a
    took = []
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        took.append(time.perf_counter() - began)
    return 2 * 2000**3 / min(took) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--components", type=int, default=1)
    parser.add_argument("--missing", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n, d, r, K = options.rows, options.columns, options.factors, options.components
    loadings = rng.normal(size=(d, r))
    X = np.empty((n, d), np.float32)
    for first in range(0, n, 10_000):
        rows = X[first : first + 10_000]
        rows[:] = rng.normal(size=(len(rows), r)) @ loadings.T + rng.normal(size=rows.shape)
        rows[rng.random(rows.shape) < options.missing] = np.nan
    obs = ObservedMatrix.from_dense(X)
    block = Block(obs, factor.row_bytes(r))
    start = factor.Parameters(
        np.full(K, 1 / K),
        rng.normal(size=(K, d)),
        loadings + rng.normal(size=(K, d, r)),
        np.ones((K, d)),
    )
    density = factor.FactorDensity(r)
    before = ceiling()
    run(density, start, [block], tol=0, max_iter=1)  # compile, and derive the layouts
    ticks: list[float] = []
    fit = run(
        density,
        start,
        [block],
        tol=0,
        max_iter=options.steps,
        on_step=lambda _: ticks.append(time.perf_counter()),
    )
    seconds = float(np.diff(ticks).min())
    # the same sums as dense products over all cells: E by row and M by column
    length = 1 + r + r * (r + 1) // 2
    dense = 2 * 2 * n * d * K * (length + r)
    done = 2 * obs.n_observed * K * (packed_length(r) + r)  # multiply-adds
    gflops = max(before, ceiling())
    print(f"{n} × {d}, rank {r}, K = {K}, {options.missing:.0%} missing, float32 values")
    print(f"threads {numba.get_num_threads()}, matrix products {gflops:.0f} GFLOP/s in double\n")
    print("| what | figure |")
    print("| --- | --- |")
    print(
        f"| a step | {seconds:.3f} s ({seconds / obs.n_observed * 1e9:.1f} ns an observed cell) |"
    )
    print(f"| sums over observed cells | {2 * done / seconds / 1e9:.0f} GFLOP/s |")
    print(f"| … of the matrix-product ceiling | {200 * done / gflops / 1e9 / seconds:.0f} % |")
    print(
        f"| the same sums as dense products over all cells would, at that ceiling, take "
        f"| {dense / gflops / 1e9 / seconds:.2f} × a step |"
    )
    print(f"objective {fit.history[0]:.6g} -> {fit.history[-1]:.6g}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
