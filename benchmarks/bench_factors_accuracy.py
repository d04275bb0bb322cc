"""Held-out error of matrix factorisation with and without side information, on MovieLens.

    python benchmarks/bench_factors_accuracy.py FOLDER [--store FILE] [--only 100k|1m]

FOLDER holds ``movielens_100k`` (u1.base … u5.test, u.user, u.item) and, if present,
``movielens_1m`` (ratings.csv.gz, users.dat, movies.dat). For every split, 10 % of the *training*
entries are set aside; the candidate and the number of steps that are best on them are fixed, and
the model is fitted anew to all training entries with exactly those. Test entries are looked at
once, at the end. Results are kept in the store as they come, and a broken-off run goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mixmend as mm
from mixmend.completion import predictive as predictive_of
from mixmend.evaluation.alignment import align_labels

THIN = 5  # an item with fewer training ratings than this has a cold start
MOST = {"MovieLens 100K": 40, "MovieLens 1M": 20}  # steps
BASE = {"center": "biases", "init": "svd", "random_state": 0}
RIDGE = [
    {"n_factors": 10, "regularization": lam, "bias_regularization": 5.0}
    for lam in (8.0, 12.0, 16.0)
]
RIDGE_FEATURES = [
    {"n_factors": 20, "regularization": lam, "bias_regularization": 5.0} | more
    for lam in (16.0, 20.0, 24.0)
    for more in ({"feature_regularization": 10.0}, {"feature_regularization": 100.0})
]
VARIATIONAL = [{"n_factors": r, "inference": "variational"} for r in (20, 30)]
IMPLICIT = {"implicit": True}
# name: candidates, whether there are tables of features
MODELS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "ridge": (RIDGE, False),
    "ridge, implicit": ([c | IMPLICIT for c in RIDGE_FEATURES], False),
    "ridge, features and implicit": ([c | IMPLICIT for c in RIDGE_FEATURES], True),
    "variational": (VARIATIONAL, False),
    "variational, features": (VARIATIONAL, True),
    "variational, implicit": ([c | IMPLICIT for c in VARIATIONAL], False),
    "variational, features and implicit": ([c | IMPLICIT for c in VARIATIONAL], True),
}

_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def _lines(path: Path, separator: str) -> list[list[str]]:
    text = path.read_text(encoding="latin-1")
    return [line.split(separator) for line in text.split("\n") if line.strip()]


def _period(title: str) -> tuple[float | None, str | None]:
    """The year in a title, and the five (before 1990, ten) years that it lies in."""
    found = re.search(r"\((\d{4})\)", title)
    if found is None:
        return None, None
    year = int(found.group(1))
    return float(year), str(year // 5 * 5 if year >= 1990 else year // 10 * 10)


def _films(lines: list[tuple[str, str, list[str]]]) -> dict[str, list[Any]]:
    periods = [_period(title) for _, title, _ in lines]
    return {
        "film": [key for key, _, _ in lines],
        "year": [year for year, _ in periods],
        "period": [period for _, period in periods],
        "genres": [genres for _, _, genres in lines],
    }


def tables_100k(folder: Path) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    users = _lines(folder / "u.user", "|")
    people = {
        "user": [line[0] for line in users],
        "age": [float(line[1]) for line in users],
        "decade": [str(int(line[1]) // 10) for line in users],
        "sex": [line[2] for line in users],
        "occupation": [line[3] for line in users],
        "region": [line[4][:2] for line in users],
    }
    films = [
        (line[0], line[1], [g for g, flag in zip(_GENRES, line[5:], strict=True) if flag == "1"])
        for line in _lines(folder / "u.item", "|")
    ]
    return people, _films(films)


def tables_1m(folder: Path) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    users = _lines(folder / "users.dat", "::")
    names = ("user", "sex", "age", "occupation", "region")
    people: dict[str, list[Any]] = {
        name: [line[k] for line in users] for k, name in enumerate(names)
    }
    people["region"] = [code[:2] for code in people["region"]]
    # these ages and occupations are codes of groups: names, not numbers
    people["age"] = [f"from {age}" for age in people["age"]]
    people["occupation"] = [f"no. {code}" for code in people["occupation"]]
    films = [(line[0], line[1], line[2].split("|")) for line in _lines(folder / "movies.dat", "::")]
    return people, _films(films)


def splits(folder: Path, only: str | None) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Yield data, split, training and test entries, tables."""
    small, large = folder / "movielens_100k", folder / "movielens_1m"
    if only != "1m":
        tables = tables_100k(small)
        for k in range(1, 6):
            parts = (mm.read_ratings(small / f"u{k}.{part}") for part in ("base", "test"))
            train, test = align_labels(*parts)[:2]
            yield "MovieLens 100K", f"u{k}", train, test, tables
    if only != "100k" and (large / "ratings.csv.gz").exists():
        tables, obs = tables_1m(large), mm.read_ratings(large / "ratings.csv.gz")
        for seed in range(3):
            train, test = mm.split_entries(obs, 0.1, random_state=seed)
            yield "MovieLens 1M", f"seed {seed}", train, test, tables


def chosen(train, candidates, tables, most: int) -> tuple[dict[str, Any], int]:
    """The candidate and the number of steps that are best on 10 % of the training entries."""
    part, held = mm.split_entries(train, 0.1, random_state=100)
    best: tuple[float, dict[str, Any], int] = (np.inf, {}, 0)
    for options in candidates:
        rows, columns = tables or (None, None)
        model = mm.MatrixFactorization(**(BASE | options), max_iter=most, patience=3)
        model.fit(part, validation=held, row_features=rows, column_features=columns)
        error = min(row["validation_rmse"] for row in model.history_)
        if error < best[0]:
            best = (error, options, model.best_iteration_)
    return best[1], best[2]


def measured(train, test, candidates, tables, most: int) -> dict[str, Any]:
    began = time.perf_counter()
    options, steps = chosen(train, candidates, tables, most)
    searched = time.perf_counter()
    at, columns, values = test.entries()
    people, films = tables or (None, None)
    model = mm.MatrixFactorization(**(BASE | options), max_iter=steps, tol=0)
    model.fit(train, row_features=people, column_features=films)
    fitted = time.perf_counter()
    cells = model.predictive(train, at, columns)
    mean, std = predictive_of.mean(cells), predictive_of.std(cells)
    squares = (mean - values) ** 2
    thin = train.column_counts[columns] < THIN
    return {
        "rmse": float(np.sqrt(squares.mean())),
        "covered": float(np.mean(np.sqrt(squares) <= 1.6448536269514722 * std)),
        "thin_squares": float(squares[thin].sum()),
        "thin_entries": int(thin.sum()),
        "options": {k: v for k, v in options.items() if k not in ("inference", "implicit")},
        "steps": steps,
        "search_seconds": searched - began,
        "fit_seconds": fitted - searched,
    }


def table(data: str, store: dict[str, Any]) -> None:
    print(f"\n{data}\n")
    print(
        "| model | RMSE | each split | films with fewer than 5 ratings | 90 % coverage | fit, s |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name in MODELS:
        found = [row for key, row in store.items() if key.startswith(f"{data}; {name}; ")]
        if not found:
            continue
        entries = sum(row["thin_entries"] for row in found)
        thin = np.sqrt(sum(row["thin_squares"] for row in found) / max(entries, 1))
        each = " ".join(f"{row['rmse']:.4f}" for row in found)
        rmse, covered, seconds = (
            np.mean([row[what] for row in found]) for what in ("rmse", "covered", "fit_seconds")
        )
        print(f"| {name} | {rmse:.4f} | {each} | {thin:.3f} | {covered:.1%} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("factors_accuracy.json"))
    parser.add_argument("--only", choices=["100k", "1m"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    store = json.loads(options.store.read_text()) if options.store.exists() else {}
    for data, split, train, test, tables in splits(options.folder, options.only):
        for name, (candidates, described) in MODELS.items():
            key = f"{data}; {name}; {split}"
            if key not in store:
                given = tables if described else None
                store[key] = measured(train, test, candidates, given, MOST[data])
                options.store.write_text(json.dumps(store, indent=1))
                print(key, store[key], flush=True)
    for data in ("MovieLens 100K", "MovieLens 1M"):
        if any(key.startswith(data) for key in store):
            table(data, store)


if __name__ == "__main__":
    main()
