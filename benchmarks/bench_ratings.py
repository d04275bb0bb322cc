"""Held-out error over the number of components, on real ratings.

    python benchmarks/bench_ratings.py FOLDER

FOLDER holds ``movielens_100k`` (u1.base … u5.test) and, if present, ``mitx686x``
(netflix_incomplete.txt) and ``movielens_1m`` (ratings.csv.gz). Everything that is chosen
(effects, number of components, all strengths) is chosen inside the training entries.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import mixmend as mm
from mixmend.completion import predictive as predictive_of
from mixmend.evaluation import RowColumnBiases
from mixmend.evaluation.alignment import align_labels

KS = (1, 2, 4, 6, 8, 12)
Split = tuple[mm.ObservedMatrix, mm.ObservedMatrix]


def folds_100k(folder: Path) -> list[Split]:
    return [
        align_labels(
            mm.read_ratings(folder / f"u{k}.base"), mm.read_ratings(folder / f"u{k}.test")
        )[:2]
        for k in range(1, 6)
    ]


def random_splits(obs: mm.ObservedMatrix, seeds: range) -> list[Split]:
    return [mm.split_entries(obs, 0.1, random_state=seed) for seed in seeds]


def models(n_init: int) -> Iterator[tuple[str, object]]:
    yield "row + column biases", lambda train: RowColumnBiases().fit(train)
    for k in KS:
        yield (
            f"maximum likelihood, K = {k}",
            lambda train, k=k: mm.GaussianMixture(
                k, n_init=n_init, min_variance=0.25, min_support=1.0, random_state=0
            ).fit(train),
        )
    for k in KS:
        yield (
            f"MAP with row offsets, K = {k}",
            lambda train, k=k: mm.GaussianMixture(
                k,
                n_init=n_init,
                prior="default",
                center="biases",
                init_params="random",
                random_state=0,
            ).fit(train),
        )
    yield (
        "chosen on training entries",
        lambda train: (
            mm.select_components(
                train,
                KS,
                criterion="heldout",
                centers=("none", "columns", "rows", "biases"),
                prior="default",
                init_params="random",
                n_init=n_init,
                random_state=0,
            ).best_estimator
        ),
    )


def scores(model, train, test) -> tuple[float, float, float]:
    rows, columns, values = test.entries()
    cells = model.predictive(train, rows, columns)
    error = predictive_of.mean(cells) - values
    lower, upper = predictive_of.interval(cells, 0.9)
    return (
        float(np.sqrt(np.mean(error**2))),
        float(np.mean(predictive_of.log_density(cells, values))),
        float(np.mean((values >= lower) & (values <= upper))),
    )


def table(title: str, splits: list[Split], n_init: int) -> None:
    print(f"\n{title}\n")
    print("| model | RMSE | each split | log-likelihood | 90 % coverage | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, fit in models(n_init):
        rows, chosen, began = [], [], time.perf_counter()
        for train, test in splits:
            model = fit(train)
            rows.append(scores(model, train, test))
            if hasattr(model, "n_components"):
                chosen.append(f"{model.n_components}")
        rmse, likelihood, coverage = np.mean(rows, axis=0)
        each = " ".join(f"{row[0]:.4f}" for row in rows)
        if name.startswith("chosen"):
            name = f"{name}: K = {', '.join(chosen)}"
        print(
            f"| {name} | {rmse:.4f} | {each} | {likelihood:.3f} | {coverage:.1%} | "
            f"{(time.perf_counter() - began) / len(splits):.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-init", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder, n_init = options.folder, options.n_init
    table("MovieLens 100K, folds u1–u5", folds_100k(folder / "movielens_100k"), n_init)
    netflix = folder / "mitx686x" / "netflix_incomplete.txt"
    if netflix.exists():
        obs = mm.read_ratings(netflix, layout="wide", missing=0)
        table("1200 × 1200 ratings, random 10 %, 5 seeds", random_splits(obs, range(5)), n_init)
    million = folder / "movielens_1m" / "ratings.csv.gz"
    if million.exists():
        obs = mm.read_ratings(million)
        table("MovieLens 1M, random 10 %, 3 seeds", random_splits(obs, range(3)), n_init)


if __name__ == "__main__":
    main()
