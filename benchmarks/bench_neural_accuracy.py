"""Held-out error of the neural factorisation on MovieLens 100K, by head and side information.

    python benchmarks/bench_neural_accuracy.py FOLDER [--splits u1 …]

FOLDER holds ``movielens_100k``. As in `bench_factors_accuracy`: for every split, the candidate and
the number of epochs that are best on 10 % of the *training* entries are fixed, and the network
is trained anew on all training entries with exactly those; its stated noise is the squared error
on the 10 %. Test entries are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from bench_factors_accuracy import THIN, splits

import mixmend as mm

CANDIDATES = [
    {"regularization": lam, "weight_decay": decay}
    for lam, decay in ((12.0, 3.0), (12.0, 5.0), (20.0, 3.0))
]
# name: options, whether there are tables of features
MODELS: dict[str, tuple[dict[str, Any], bool]] = {
    "products": ({"head": "dot"}, False),
    "both": ({}, False),
    "both, features": ({}, True),
    "both, features and implicit": ({"implicit": True}, True),
    "perceptron, features and implicit": ({"implicit": True, "head": "mlp"}, True),
    "products, features and implicit": ({"implicit": True, "head": "dot"}, True),
    "both, features and implicit, no embedding dropout": (
        {"implicit": True, "embedding_dropout": 0.0},
        True,
    ),
}


def measured(train: Any, test: Any, options: dict[str, Any], given: Any) -> str:
    part, held = mm.split_entries(train, 0.1, random_state=100)
    rows, columns = given or (None, None)
    features = {"row_features": rows, "column_features": columns}
    best, began = None, time.perf_counter()
    for candidate in CANDIDATES:
        model = mm.NeuralFactorization(16, random_state=0, **candidate, **options)
        model.fit(part, validation=held, **features)
        if best is None or model.noise_variance_ < best[0].noise_variance_:
            best = model, candidate
    tried, candidate = best
    searched = time.perf_counter()
    options = options | candidate | {"max_iter": tried.best_iteration_, "validation_share": 0}
    model = mm.NeuralFactorization(16, random_state=0, **options).fit(train, **features)
    seconds = time.perf_counter() - searched
    at, columns, values = test.entries()
    squares = (model.predict_entries(train, at, columns) - values) ** 2
    thin = train.column_counts[columns] < THIN
    inside = squares <= 1.6448536269514722**2 * tried.noise_variance_
    return (
        f"{np.sqrt(squares.mean()):.4f} | {np.sqrt(squares[thin].mean()):.3f} ({thin.sum()}) | "
        f"{inside.mean():.1%} | {np.sqrt(tried.noise_variance_):.4f} | {candidate} | "
        f"{tried.best_iteration_} | {searched - began:.0f} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", nargs="*", default=["u1"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| split | model | RMSE | thin films | 90 % coverage | validation | of | epochs | s | s |"
    )
    for _, split, train, test, tables in splits(options.folder, "100k"):
        for name, (own, described) in MODELS.items():
            if split in options.splits:
                found = measured(train, test, own, tables if described else None)
                print(f"| {split} | {name} | {found}", flush=True)


if __name__ == "__main__":
    main()
