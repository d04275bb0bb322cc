"""Ratings of restaurants completed by alternating least squares, from triplets to pictures.

    python examples/restaurants.py                        made triplets
    python examples/restaurants.py TRIPLETS.csv           user, restaurant, rating
    python examples/restaurants.py --factors 100 --out pictures

Users and restaurants with few ratings are left out until none is left; 200 ratings are held out
to decide when to stop and 200 more to measure what came of it. Both starts are shown: random
factors, and the truncated singular value decomposition.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

import mixmend as mm
from mixmend.evaluation import RowColumnBiases, rmse
from mixmend.observed.holdout import draw_entries, filter_min_entries
from mixmend.plots import plot_losses


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline; returns the exit code."""
    parser = argparse.ArgumentParser(description="Matrix factorisation, from triplets to pictures.")
    parser.add_argument("triplets", nargs="?", type=Path, help="user, restaurant, rating")
    parser.add_argument("--min-entries", type=int, default=20, help="leave out what has no more")
    parser.add_argument("--held-out", type=int, default=200, help="ratings of each held-out part")
    parser.add_argument("--factors", type=int, default=100)
    parser.add_argument("--regularization", type=float, default=20.0)
    parser.add_argument("--patience", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("restaurant-pictures"))
    options = parser.parse_args(arguments)
    try:
        ratings = made_ratings() if options.triplets is None else mm.read_ratings(options.triplets)
        kept = filter_min_entries(ratings, options.min_entries).matrix
        print(
            f"{ratings.n_observed} ratings of {ratings.shape[1]} restaurants by "
            f"{ratings.shape[0]} users; with more than {options.min_entries} each: "
            f"{kept.n_observed}, {kept.shape[0]} × {kept.shape[1]}"
        )
        parts = draw_entries(kept, [options.held_out] * 2, random_state=0)
        compare(parts, options)
    except mm.errors.MixmendError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"pictures are in {options.out.resolve()}")
    return 0


def made_ratings() -> mm.ObservedMatrix:
    """Triplets with known taste: 3 things that matter, and how kind and how good people are."""
    rng = np.random.default_rng(0)
    n, d = 1500, 300
    taste = rng.normal(size=(n, 3)) @ rng.normal(0, 0.45, (3, d))
    value = 3.4 + rng.normal(0, 0.4, (n, 1)) + rng.normal(0, 0.4, d) + taste
    popularity = rng.gamma(0.6, size=d)
    chance = np.clip(0.12 * rng.gamma(1.0, size=(n, 1)) * popularity / popularity.mean(), 0, 0.9)
    rows, columns = np.nonzero(rng.random((n, d)) < chance)
    stars = np.clip(np.round(value[rows, columns] + rng.normal(0, 0.6, len(rows))), 1, 5)
    return mm.ObservedMatrix.from_triplets(
        rows, columns, stars, shape=(n, d), column_labels=[f"restaurant {i}" for i in range(d)]
    )


def compare(parts: tuple[mm.ObservedMatrix, ...], options: argparse.Namespace) -> None:
    """Fit from both starts, and the variational form; print errors, draw losses."""
    train, validation, test = parts
    rank = min(options.factors, min(train.shape) - 1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows, columns, values = test.entries()
    least = RowColumnBiases().fit(train).predict_entries(train, rows, columns)
    print(f"row and column effects alone: held-out RMSE {rmse(values, least):.4f}")
    ridge = {"n_factors": rank, "regularization": options.regularization}
    for name, settings in {
        "random start": ridge | {"init": "random"},
        "svd start": ridge | {"init": "svd"},
        "variational": {
            "n_factors": min(rank, 20),
            "init": "svd",
            "inference": "variational",
            "center": "biases",
        },
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # users who lost all they had to the held-out parts
            model = mm.MatrixFactorization(
                patience=options.patience, random_state=0, **settings
            ).fit(train, validation=validation)
        cells = model.predictive(train, rows, columns)
        covered = mm.evaluation.interval_coverage(cells, values)
        print(
            f"{name}: best at step {model.best_iteration_} of {model.n_iter_}, held-out RMSE "
            f"{rmse(values, cells.means[:, 0]):.4f}, 90 % intervals cover {covered:.0%}"
        )
        picture = options.out / f"losses-{name.replace(' ', '-')}.png"
        plot_losses(model.history_, title=name).figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
