"""``mixmend evaluate``: models side by side on entries that were held out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.choices import FACTORS, Center, Model, Prior, Select
from mixmend.cli.evaluate_table import Mechanism, evaluate_table
from mixmend.cli.features import read_features
from mixmend.cli.learning import ChosenModel
from mixmend.cli.options import Json, Modelling, OptionalRatingsFile, Reading
from mixmend.cli.places import describe, describe_in_words
from mixmend.cli.session import session
from mixmend.errors import EmptyEntityWarning

if TYPE_CHECKING:
    from mixmend.evaluation import EvaluationTable

USUAL_MODELS = ("mixture", "mixture-ml", "biases", "column-mean", "global-mean")
MODELS = (*USUAL_MODELS, "kmeans", "als", "neural", "autoencoder")

_TABLE = "Tables"
_ONLY_TABLES = ("mechanism", "rate", "repeats")
_ONLY_RATINGS = (
    *("ratings", "folds", "test", "cold_start", "column_name", "value_name", "timestamp_name"),
    *("input_layout", "duplicates", "row_features", "column_features"),
)

COLUMNS = (
    show.Column("model", "model"),
    show.Column("rmse", "RMSE", ".4f"),
    show.Column("rmse_error", "± s.e.", ".4f"),
    show.Column("mae", "MAE", ".4f"),
    show.Column("mean_log_likelihood", "log-likelihood", ".4f"),
    show.Column("coverage", "90 % coverage", ".1%"),
    show.Column("ndcg", "NDCG@10", ".4f"),
    show.Column("recall", "recall@10", ".4f"),
    show.Column("fit_seconds", "fit s", ".2f"),
    show.Column("predict_seconds", "predict s", ".2f"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(evaluate))


def evaluate(
    context: typer.Context,
    reading: Reading,
    modelling: Modelling,
    ratings: OptionalRatingsFile = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME…]",
            help=f"Which models: {', '.join(MODELS)}; with --table: mean, knn, "
            "mixture-COVARIANCE. All of the usual ones unless said.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, max=255, help="Into how many folds the entries are divided.")
    ] = 5,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Held-out entries in a file of their own, instead of folds."
        ),
    ] = None,
    cold_start: Annotated[
        bool,
        typer.Option(
            "--cold-start",
            help="Show RMSE by how many training entries a row or column has, too.",
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table, one record a row, instead of RATINGS: hide some cells and fill them.",
            rich_help_panel=_TABLE,
        ),
    ] = None,
    mechanism: Annotated[
        Mechanism,
        typer.Option(
            help="What decides which cells are hidden: nothing (mcar), other columns (mar), the "
            "cells themselves (mnar).",
            rich_help_panel=_TABLE,
        ),
    ] = Mechanism.mcar,
    rate: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.001,
            max=0.999,
            help="Share of the observed cells to hide.",
            rich_help_panel=_TABLE,
        ),
    ] = 0.2,
    repeats: Annotated[
        int,
        typer.Option(min=1, max=1000, help="How often to hide anew.", rich_help_panel=_TABLE),
    ] = 5,
    as_json: Json = False,
) -> None:
    """Measure models on held-out entries of RATINGS: errors, likelihood, honesty, time.

    Everything that a mixture chooses (number of components, centring) it chooses inside
    the training entries of each fold. With --table, cells of a table are hidden by a
    mechanism, and imputers compared by what they fill in.
    """
    if table is not None:
        _refuse(context, _ONLY_RATINGS, "with --table")
        if "prior" not in _given(context):  # on standardised columns it draws too hard
            modelling = replace(modelling, prior=Prior.none)
        with session() as run:
            evaluate_table(
                *(run, table, reading, modelling, models, mechanism, rate, repeats, as_json)
            )
        return
    if ratings is None:
        raise typer.BadParameter("give RATINGS, or a table by --table", param_hint="RATINGS")
    _refuse(context, _ONLY_TABLES, "without --table")
    with session() as run:
        from mixmend.evaluation import align_labels, evaluate_models
        from mixmend.observed.holdout import fold_entries

        names = _names(models)
        with run.stage(f"reading {ratings}"):
            obs = reading.read(ratings)
        splits: Any
        if test is None:
            splits = fold_entries(obs, folds, random_state=modelling.random_state)
        else:
            with run.stage(f"reading {test}"):
                splits = align_labels(obs, reading.read(test))
        used = any(name in FACTORS for name in names)
        features = read_features(modelling, reading, obs, run, used=used)
        chosen = {name: _factory(name, modelling, features) for name in names}
        with run.stage("evaluating"), warnings.catch_warnings():
            # what is empty in one fold is no fault of the data; the note below counts it
            warnings.simplefilter("ignore", EmptyEntityWarning)
            results = evaluate_models(chosen, splits)
        if as_json:
            report = {
                "ratings": describe(ratings, obs),
                "test": test,
                **results.to_dict(),
            }
            show.as_json("evaluate", report, run)
            return
        show.table(rows_of(results), COLUMNS, title=describe_in_words(obs))
        print(results.note())
        for axis in ("row", "column") if cold_start else ():
            _show_by_count(results, axis)


def _given(context: typer.Context) -> dict[str, str]:
    """Name the parameters that stand on the command line, and how they are spelled."""
    spelled = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is not None and source.name == "COMMANDLINE":
            option = parameter.param_type_name == "option"
            spelled[str(parameter.name)] = parameter.opts[0] if option else "RATINGS"
    return spelled


def _refuse(context: typer.Context, parameters: tuple[str, ...], where: str) -> None:
    """Complain of what was given where nothing would read it."""
    given = _given(context)
    for parameter in parameters:
        if parameter in given:
            raise typer.BadParameter(
                f"has no meaning {where}; leave it out", param_hint=f"'{given[parameter]}'"
            )


def _names(text: str | None) -> list[str]:
    if text is None:
        return list(USUAL_MODELS)
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in MODELS]
    if unknown or not names:
        raise typer.BadParameter(
            f"'{', '.join(unknown) or text}' is no model; choose from {', '.join(MODELS)}",
            param_hint="'--models'",
        )
    return names


def _factory(name: str, modelling: Modelling, features: dict[str, Any]) -> Callable[[], Any]:
    from mixmend.evaluation import ColumnMean, GlobalMean, RowColumnBiases

    simple = {"biases": RowColumnBiases, "column-mean": ColumnMean, "global-mean": GlobalMean}
    if name in simple:
        return simple[name]
    changes: dict[str, dict[str, Any]] = {
        "mixture": {"model": Model.mixture},
        "mixture-ml": {"model": Model.mixture, "prior": Prior.none},
        "kmeans": {"model": Model.kmeans, "center": Center.none, "select": Select.heldout},
    }
    for factors in (*FACTORS, Model.autoencoder):
        changes[factors.value] = {
            "model": factors,
            "center": Center.auto,
            "select": Select.heldout,
        }
    options = replace(modelling, **changes[name])
    return lambda: ChosenModel(options, features)


def _show_by_count(results: EvaluationTable, axis: str) -> None:
    """Show a table of errors by how much was known of the rows (columns)."""
    from mixmend.evaluation.table import span

    by_model = {name: results.by_count(name, axis) for name in results.models}
    groups = next(iter(by_model.values()))
    rows = [
        {"group": span(group), "n": group.n}
        | {name: own[position].rmse for name, own in by_model.items() if group.n}
        for position, group in enumerate(groups)
    ]
    columns = [
        show.Column("group", f"entries of the {axis}"),
        show.Column("n", "held-out entries"),
        *(show.Column(name, name, ".4f") for name in by_model),
    ]
    print()
    show.table(rows, columns, title="")


def rows_of(table: EvaluationTable) -> list[dict[str, Any]]:
    """One row for each model: means over folds, and the standard error of the RMSE."""
    rows = []
    for name in table.models:
        summary = table.summary(name)
        row: dict[str, Any] = {"model": name} | {
            key: None if math.isnan(s.mean) else s.mean for key, s in summary.items()
        }
        row["rmse_error"] = summary["rmse"].standard_error
        rows.append(row)
    return rows
