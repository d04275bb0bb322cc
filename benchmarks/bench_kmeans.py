"""Rounds of Lloyd's algorithm on complete data, beside scikit-learn and faiss.

python benchmarks/bench_kmeans.py                       # noise, 100 000 × 32, 16 clusters
python benchmarks/bench_kmeans.py noise clusters uniform --columns 2 --clusters 256

Same data, same start, same number of rounds, in one run. Each side is timed for its whole
``fit`` with few and with many rounds; a round is the difference. faiss is left out, with a
word, where it is not installed (``pip install faiss-cpu``). Set NUMBA_NUM_THREADS and
OMP_NUM_THREADS to the same number. The kinds of data:

noise     normal, without clusters: centres move for long, bounds keep few rows
clusters  as many normal clusters as are looked for, which overlap a little
uniform   in a cube
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans as PeerKMeans

import mixmend as mm

try:
    import faiss
except ImportError:
    faiss = None

FEW, MANY = 2, 22


class Found(NamedTuple):
    """What a side found, and in how many rounds; fewer than it may take where it converged."""

    centers: np.ndarray
    distortion: float
    rounds: int


def data_of(kind: str, n: int, d: int, n_clusters: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "uniform":
        return rng.random((n, d))
    X = rng.normal(size=(n, d))
    if kind == "clusters":
        X += 2 * rng.normal(size=(n_clusters, d))[rng.integers(0, n_clusters, n)]
    return X


def mixmend_fit(X, start, rounds: int) -> Found:
    found = mm.KMeans(len(start), init=start, n_init=1, max_iter=rounds, tol=0).fit(X)
    return Found(found.cluster_centers_, found.inertia_, found.n_iter_)


def sklearn_fit(X, start, rounds: int) -> Found:
    # scikit-learn's distortion is that of the round before its last labels
    found = PeerKMeans(
        len(start), init=start.astype(X.dtype), n_init=1, max_iter=rounds, tol=0, algorithm="lloyd"
    ).fit(X)
    return Found(found.cluster_centers_, found.inertia_, found.n_iter_)


def faiss_fit(X, start, rounds: int) -> Found:
    found = faiss.Kmeans(
        X.shape[1], len(start), niter=rounds, max_points_per_centroid=len(X), verbose=False
    )
    found.train(X, init_centroids=start.astype(np.float32))
    distances, _ = found.index.search(X, 1)
    return Found(found.centroids, float(distances.sum(dtype=np.float64)), rounds)


def _timed(fit, X, start, rounds: int) -> tuple[float, Found]:
    began = time.perf_counter()
    found = fit(X, start, rounds)
    return time.perf_counter() - began, found


def rounds_of(sides, X, start, repeats: int) -> dict[str, tuple[float, float, Found]]:
    """Least seconds per round and per fit of MANY rounds, taken in turns; and what was found."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    results: dict[str, Found] = {}
    for _ in range(repeats):
        for name, fit in sides.items():
            few, _ = _timed(fit, X, start, FEW)
            many, results[name] = _timed(fit, X, start, MANY)
            times[name].append((few, many))
    out = {}
    for name, pairs in times.items():
        few, many = np.min(pairs, axis=0)
        out[name] = ((many - few) / max(1, results[name].rounds - FEW), many, results[name])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["noise"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    n, d, n_clusters = options.rows, options.columns, options.clusters
    threads = os.environ.get("NUMBA_NUM_THREADS", os.cpu_count())
    print(f"{n} × {d}, K = {n_clusters}, {threads} threads, up to {MANY} rounds\n")
    if faiss is None:
        print("faiss is not installed: left out\n")
    print("| data | values | side | a round | fit | rounds | distortion | mixmend is faster by |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in options.kinds:
        X = data_of(kind, n, d, n_clusters)
        start = X[:n_clusters].copy()
        for dtype in (np.float64, np.float32):
            sides = {"mixmend": mixmend_fit, "scikit-learn": sklearn_fit}
            if faiss is not None and dtype is np.float32:  # it knows no other precision
                sides["faiss"] = faiss_fit
            values = X.astype(dtype)
            for fit in sides.values():
                fit(values[:1000], start, 1)  # compile, wake threads
            found = rounds_of(sides, values, start, options.repeats)
            mine = found["mixmend"]
            for name, (a_round, whole, result) in found.items():
                ratio = f"{a_round / mine[0]:.2f} × a round, {whole / mine[1]:.2f} × a fit"
                print(
                    f"| {kind} | {np.dtype(dtype)} | {name} | {a_round * 1e3:.2f} ms | "
                    f"{whole * 1e3:.1f} ms | {result.rounds} | {result.distortion:.6g} | "
                    f"{'' if name == 'mixmend' else ratio} |",
                    flush=True,
                )
                # faiss splits large clusters where others run empty
                alike = abs(result.distortion / mine[2].distortion - 1) < 2e-3
                assert alike or name == "faiss", "not the same work"
            theirs = found["scikit-learn"][2]
            if dtype is np.float64 and theirs.rounds == mine[2].rounds == MANY:
                gap = np.abs(theirs.centers - mine[2].centers).max()
                assert gap < 1e-9 * np.ptp(X), "not the same centres"


if __name__ == "__main__":
    main()
