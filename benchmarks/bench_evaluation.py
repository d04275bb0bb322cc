"""All models side by side on the fixed folds of MovieLens 100K, with order and cold starts.

    python benchmarks/bench_evaluation.py FOLDER [--folds 5] [--models NAME,…]

FOLDER holds u1.base … u5.test, u.user and u.item. Each model is chosen and fitted as the command
line does it, inside the training file. Prints the Markdown tables of docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench_factors_accuracy import tables_100k

import mixmend as mm
from mixmend.cli.choices import Center, Model
from mixmend.cli.learning import ChosenModel
from mixmend.cli.options import Modelling
from mixmend.evaluation import ColumnMean, GlobalMean, RowColumnBiases, evaluate_models
from mixmend.evaluation.alignment import align_labels


def folds(folder: Path, count: int) -> Iterator[tuple[mm.ObservedMatrix, mm.ObservedMatrix]]:
    for k in range(1, count + 1):
        train, test = (mm.read_ratings(folder / f"u{k}.{part}") for part in ("base", "test"))
        yield align_labels(train, test)[:2]


def models(folder: Path) -> dict[str, Any]:
    people, films = tables_100k(folder)
    features = {"row_features": people, "column_features": films}
    by_command: dict[str, tuple[Modelling, dict[str, Any] | None]] = {
        "mixture": (Modelling(), None),
        "autoencoder": (Modelling(model=Model.autoencoder, center=Center.auto), None),
        "als": (Modelling(model=Model.als), None),
        "als, features": (Modelling(model=Model.als), features),
        "neural": (Modelling(model=Model.neural), None),
        "neural, features": (Modelling(model=Model.neural), features),
    }
    return {
        "global mean": GlobalMean,
        "column mean": ColumnMean,
        "biases": RowColumnBiases,
    } | {name: partial(ChosenModel, *how) for name, how in by_command.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--models", default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = models(options.folder)
    if options.models is not None:
        chosen = {name: chosen[name] for name in options.models.split(",")}
    table = evaluate_models(
        chosen,
        folds(options.folder, options.folds),
        progress=lambda r: print(f"fold {r.fold} {r.model}: {r.rmse:.4f}", flush=True),
    )
    print(table.to_markdown(), table.cold_start_markdown("row"), sep="\n\n")
    print("", table.cold_start_markdown("column"), sep="\n")


if __name__ == "__main__":
    main()
