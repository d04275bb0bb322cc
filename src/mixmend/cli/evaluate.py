"""``mixmend evaluate``: models side by side on entries that were held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.learning import ChosenModel
from mixmend.cli.options import Center, Json, Model, Modelling, Prior, RatingsFile, Reading, Select
from mixmend.cli.places import describe, describe_in_words
from mixmend.cli.session import session
from mixmend.errors import EmptyEntityWarning

if TYPE_CHECKING:
    from mixmend.evaluation import EvaluationTable

USUAL_MODELS = ("mixture", "mixture-ml", "biases", "column-mean", "global-mean")
MODELS = (*USUAL_MODELS, "kmeans")

COLUMNS = (
    show.Column("model", "model"),
    show.Column("rmse", "RMSE", ".4f"),
    show.Column("rmse_error", "± s.e.", ".4f"),
    show.Column("mae", "MAE", ".4f"),
    show.Column("mean_log_likelihood", "log-likelihood", ".4f"),
    show.Column("coverage", "90 % coverage", ".1%"),
    show.Column("fit_seconds", "fit s", ".2f"),
    show.Column("predict_seconds", "predict s", ".2f"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(evaluate))


def evaluate(
    ratings: RatingsFile,
    reading: Reading,
    modelling: Modelling,
    models: Annotated[
        str, typer.Option(metavar="NAME[,NAME…]", help=f"Which models: {', '.join(MODELS)}.")
    ] = ",".join(USUAL_MODELS),
    folds: Annotated[
        int, typer.Option(min=2, max=255, help="Into how many folds the entries are divided.")
    ] = 5,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Held-out entries in a file of their own, instead of folds."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure models on held-out entries of RATINGS: errors, likelihood, honesty, time.

    Everything that a mixture chooses (number of components, centring) it chooses inside
    the training entries of each fold.
    """
    with session() as run:
        from mixmend.evaluation import align_labels, evaluate_models
        from mixmend.observed.holdout import fold_entries

        chosen = {name: _factory(name, modelling) for name in _names(models)}
        with run.stage(f"reading {ratings}"):
            obs = reading.read(ratings)
        splits: Any
        if test is None:
            splits = fold_entries(obs, folds, random_state=modelling.random_state)
        else:
            with run.stage(f"reading {test}"):
                splits = align_labels(obs, reading.read(test))
        with run.stage("evaluating"), warnings.catch_warnings():
            # what is empty in one fold is no fault of the data; the note below counts it
            warnings.simplefilter("ignore", EmptyEntityWarning)
            table = evaluate_models(chosen, splits)
        if as_json:
            report = {
                "ratings": describe(ratings, obs),
                "test": test,
                **table.to_dict(),
            }
            show.as_json("evaluate", report, run)
            return
        show.table(_rows(table), COLUMNS, title=describe_in_words(obs))
        print(table.note())


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in MODELS]
    if unknown or not names:
        raise typer.BadParameter(
            f"'{', '.join(unknown) or text}' is no model; choose from {', '.join(MODELS)}",
            param_hint="'--models'",
        )
    return names


def _factory(name: str, modelling: Modelling) -> Callable[[], Any]:
    from mixmend.evaluation import ColumnMean, GlobalMean, RowColumnBiases

    simple = {"biases": RowColumnBiases, "column-mean": ColumnMean, "global-mean": GlobalMean}
    if name in simple:
        return simple[name]
    changes: dict[str, dict[str, Any]] = {
        "mixture": {"model": Model.mixture},
        "mixture-ml": {"model": Model.mixture, "prior": Prior.none},
        "kmeans": {"model": Model.kmeans, "center": Center.none, "select": Select.heldout},
    }
    options = replace(modelling, **changes[name])
    return lambda: ChosenModel(options)


def _rows(table: EvaluationTable) -> list[dict[str, Any]]:
    rows = []
    for name in table.models:
        summary = table.summary(name)
        row: dict[str, Any] = {"model": name} | {key: s.mean for key, s in summary.items()}
        row["rmse_error"] = summary["rmse"].standard_error
        rows.append(row)
    return rows
