"""Rounds of Lloyd's algorithm on complete data, beside scikit-learn and faiss.

python benchmarks/bench_kmeans.py             # 100 000 × 32, 16 clusters

Same data, same start, same number of rounds, in one run. Each side is timed for its whole
``fit`` with few and with many rounds; a round is the difference. faiss is left out, with a
word, where it is not installed (``pip install faiss-cpu``).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

import numpy as np
from sklearn.cluster import KMeans as PeerKMeans

import mixmend as mm

try:
    import faiss
except ImportError:
    faiss = None

FEW, MANY = 2, 22


def mixmend_fit(X, start, rounds: int) -> float:
    found = mm.KMeans(len(start), init=start, n_init=1, max_iter=rounds, tol=0).fit(X)
    assert found.n_iter_ == rounds
    return found.inertia_


def sklearn_fit(X, start, rounds: int) -> float:
    # scikit-learn's distortion is that of the round before its last labels
    found = PeerKMeans(
        len(start), init=start.astype(X.dtype), n_init=1, max_iter=rounds, tol=0, algorithm="lloyd"
    ).fit(X)
    assert found.n_iter_ == rounds
    return found.inertia_


def faiss_fit(X, start, rounds: int) -> float:
    found = faiss.Kmeans(
        X.shape[1], len(start), niter=rounds, max_points_per_centroid=len(X), verbose=False
    )
    found.train(X, init_centroids=start.astype(np.float32))
    distances, _ = found.index.search(X, 1)
    return float(distances.sum(dtype=np.float64))


def _timed(fit, X, start, rounds: int) -> tuple[float, float]:
    began = time.perf_counter()
    inertia = fit(X, start, rounds)
    return time.perf_counter() - began, inertia


def rounds_of(sides, X, start, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Least seconds per round and per fit of MANY rounds, taken in turns; and the distortion."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    inertia: dict[str, float] = {}
    for _ in range(repeats):
        for name, fit in sides.items():
            few, _ = _timed(fit, X, start, FEW)
            many, inertia[name] = _timed(fit, X, start, MANY)
            times[name].append((few, many))
    out = {}
    for name, pairs in times.items():
        few, many = np.min(pairs, axis=0)
        out[name] = ((many - few) / (MANY - FEW), many, inertia[name])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    n, d, n_clusters = options.rows, options.columns, options.clusters
    # no clusters to speak of: every side has to go all its rounds
    X = rng.normal(size=(n, d))
    start = X[:n_clusters].copy()
    print(f"{n} × {d}, K = {n_clusters}, {os.cpu_count()} cores, {MANY} rounds\n")
    if faiss is None:
        print("faiss is not installed: left out\n")
    print("| values | side | a round | fit | distortion | mixmend is faster by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in (np.float64, np.float32):
        sides = {"mixmend": mixmend_fit, "scikit-learn": sklearn_fit}
        if faiss is not None and dtype is np.float32:  # it knows no other precision
            sides["faiss"] = faiss_fit
        values = X.astype(dtype)
        for fit in sides.values():
            fit(values[:1000], start, 1)  # compile, wake threads
        found = rounds_of(sides, values, start, options.repeats)
        mine = found["mixmend"]
        for name, (a_round, whole, inertia) in found.items():
            ratio = f"{a_round / mine[0]:.2f} × a round, {whole / mine[1]:.2f} × a fit"
            print(
                f"| {np.dtype(dtype)} | {name} | {a_round * 1e3:.2f} ms | {whole * 1e3:.1f} ms | "
                f"{inertia:.6g} | {'' if name == 'mixmend' else ratio} |"
            )
            assert abs(inertia / mine[2] - 1) < 1e-3, "the sides do not do the same"


if __name__ == "__main__":
    main()
