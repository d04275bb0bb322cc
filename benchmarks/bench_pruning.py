"""How many components variational fits keep of those offered, beside scikit-learn's.

Rows around planted centres, 20 components offered, several seeds. For scikit-learn, which
keeps components without rows, those of at least one expected row are counted.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.mixture import BayesianGaussianMixture

import mixmend as mm


def planted(seed: int, n: int, d: int, clusters: int, holes: float) -> np.ndarray:
    """Rows of unit noise with correlations of their own around centres at least 6 apart."""
    rng = np.random.default_rng(seed)
    centres = np.empty((0, d))
    while len(centres) < clusters:
        centre = rng.uniform(-8, 8, d)
        if np.all(np.linalg.norm(centres - centre, axis=1) > 6):
            centres = np.vstack([centres, centre])
    owner = rng.integers(clusters, size=n)
    shapes = 0.8 * np.eye(d) + 0.3 * rng.normal(size=(clusters, d, d)) / np.sqrt(d)
    rows = centres[owner] + np.einsum("uij,uj->ui", shapes[owner], rng.normal(size=(n, d)))
    rows[rng.random(rows.shape) < holes] = np.nan
    return rows[~np.isnan(rows).all(axis=1)]


def ours(X: np.ndarray, kind: str, seed: int) -> int:
    model = mm.GaussianMixture(20, kind, inference="variational", random_state=seed)
    return int(model.fit(X).n_components_)


def theirs(X: np.ndarray, kind: str, seed: int) -> int:
    model = BayesianGaussianMixture(
        n_components=20, covariance_type=kind, max_iter=2000, random_state=seed
    ).fit(X)
    return int((model.predict_proba(X).sum(axis=0) >= 1).sum())


def main() -> None:
    """Print one line for each simulation, type and library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--types", nargs="+", default=["full"])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print("     n   d true holes      type                 right  seconds  kept")
    for n, d, clusters, holes in ((500, 2, 4, 0.0), (500, 2, 4, 0.3), (500, 10, 4, 0.0),
                                  (500, 10, 4, 0.3), (2000, 5, 10, 0.0)):  # fmt: skip
        for kind in args.types:
            fits = {"mixmend": ours} | ({} if holes else {"scikit-learn": theirs})
            for name, fit in fits.items():
                began = time.perf_counter()
                kept = [
                    fit(planted(seed, n, d, clusters, holes), kind, seed)
                    for seed in range(args.seeds)
                ]
                seconds = (time.perf_counter() - began) / args.seeds
                right = sum(k == clusters for k in kept)
                print(
                    f"{n:6} {d:3} {clusters:4} {holes:5} {kind:>9}  {name:12} "
                    f"{right:3} / {args.seeds:2}  {seconds:7.2f}  {min(kept)}-{max(kept)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
