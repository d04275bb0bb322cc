"""One E+M step of a spherical mixture inside ``fit``, against scipy.sparse and NumPy.

python benchmarks/bench_em_step.py             # 10 million ratings, 69 878 × 10 677
python benchmarks/bench_em_step.py --large     # and 100 million, 480 189 × 17 770
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import warnings
from pathlib import Path

import numba
import numpy as np

import mixmend as mm
from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.mixtures import spherical

sys.path.insert(0, str(Path(__file__).parent))
from peers import SparseProductsStep

K = 16


def ceilings() -> tuple[float, float]:
    """What this machine does at best: GB/s read by all threads, float32 GFLOP/s in products."""

    @numba.njit(parallel=True, fastmath=True)
    def total(a):
        s = np.float32(0)
        for i in numba.prange(len(a)):
            s += a[i]
        return s

    a = np.ones(200_000_000, np.float32)
    total(a)
    seconds = min(_timed(lambda: total(a)) for _ in range(5))
    b = np.random.default_rng(0).random((3000, 3000), dtype=np.float32)
    products = min(_timed(lambda: b @ b) for _ in range(5))
    return a.nbytes / seconds / 1e9, 2 * 3000**3 / products / 1e9


def _timed(action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def start(obs, rng):
    values = obs.by_row.values
    means = rng.normal(values.mean(dtype=float), 1.0, (K, obs.shape[1]))
    return np.full(K, 1 / K), means, np.ones(K)


def seconds_per_step(obs, initial, steps: int = 8) -> float:
    """Median seconds per step of the run that ``fit`` makes, M-step and all."""
    weights, means, variances = initial
    block = Block(obs, spherical.row_bytes(K, obs.dtype.itemsize, False))
    parameters = spherical.Parameters(weights, np.asfortranarray(means), variances)
    density = spherical.SphericalDensity(min_variance=0.25)
    ticks: list[float] = []
    run(
        density,
        parameters,
        [block],
        tol=0,
        max_iter=steps,
        on_step=lambda _: ticks.append(time.perf_counter()),
    )
    return float(np.median(np.diff(ticks)))


def bytes_and_flops(obs, itemsize: int) -> tuple[float, float]:
    """Bytes streamed from memory (entries twice) and operations (3 a rating, K and half)."""
    n = obs.n_observed
    return n * 2 * (4 + itemsize), n * K * (3 + 4)


def report(name, obs, seconds, peak) -> None:
    n_bytes, flops = bytes_and_flops(obs, obs.dtype.itemsize)
    gathered = obs.n_observed * K * obs.dtype.itemsize * 2
    print(
        f"| {name} | {seconds * 1e3:.1f} ms | {seconds / obs.n_observed * 1e9:.2f} ns | "
        f"{n_bytes / seconds / 1e9:.1f} + {gathered / seconds / 1e9:.0f} GB/s | "
        f"{flops / seconds / 1e9:.0f} GFLOP/s | {peak} |"
    )


def check_same_numbers(obs, peer, initial) -> None:
    """The peer and mixmend take the same step: otherwise the comparison means nothing."""
    weights, means, variances = initial
    block = Block(obs, spherical.row_bytes(K, obs.dtype.itemsize, False))
    parameters = spherical.Parameters(weights, np.asfortranarray(means), variances)
    statistics = spherical.e_step(parameters, block)
    mine = spherical.m_step(statistics, parameters, spherical.SphericalDensity(0.25))
    theirs = peer.step(*initial)
    assert abs(statistics.log_likelihood / theirs[3] - 1) < 1e-4
    assert np.abs(mine.weights - theirs[0]).max() < 1e-3
    assert np.abs(mine.variances - theirs[2]).max() < 1e-2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="100 million ratings as well")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    gbs, gflops = ceilings()
    print(
        f"threads {numba.get_num_threads()}; reads {gbs:.1f} GB/s, products {gflops:.0f} GFLOP/s\n"
    )

    obs = mm.datasets.make_ratings(69_878, 10_677, 10_000_000, random_state=0)
    obs = obs.with_values(obs.by_row.values.astype(np.float32))
    double = obs.with_values(obs.by_row.values.astype(np.float64))
    initial = start(obs, rng)
    view = obs.by_row
    peers = {
        f"scipy.sparse + NumPy, float32, {t} thread{'s' * (t > 1)}": SparseProductsStep(
            *view, obs.shape, t
        )
        for t in (1, 2)
    }
    for peer in peers.values():
        check_same_numbers(obs, peer, initial)
    seconds_per_step(obs, initial, 3), seconds_per_step(double, initial, 3)  # compile
    times: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        times.setdefault("mixmend, float32", []).append(seconds_per_step(obs, initial))
        times.setdefault("mixmend, float64", []).append(seconds_per_step(double, initial))
        for name, peer in peers.items():
            times.setdefault(name, []).append(_timed(lambda p=peer: p.step(*initial)))
    print("| step | time | per rating | streamed + gathered | arithmetic | × the peer |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = np.median(times[next(iter(peers))])
    for name, seconds in times.items():
        matrix = double if name.endswith("64") else obs
        report(name, matrix, np.median(seconds), f"{base / np.median(seconds):.1f}")
    small = np.median(times["mixmend, float32"]) / obs.n_observed
    if options.large:
        del double, peers
        large = mm.datasets.make_ratings(480_189, 17_770, 100_000_000, random_state=0)
        large = large.with_values(large.by_row.values.astype(np.float32, copy=False))
        matrix = sum(part.nbytes for part in large.by_row)
        initial = start(large, rng)
        seconds = np.median([seconds_per_step(large, initial, 6) for _ in range(2)])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        report(
            "mixmend, float32, 100 million",
            large,
            seconds,
            f"{seconds / large.n_observed / small:.2f} × (a) per rating",
        )
        print(f"\npeak memory {peak / matrix:.2f} × the matrix's {matrix / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
