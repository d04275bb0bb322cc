"""``mixmend evaluate --table``: imputers side by side on a table's own cells."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from mixmend.cli import show
from mixmend.cli.choices import Center
from mixmend.cli.learning import common_settings
from mixmend.cli.options import Modelling, Reading
from mixmend.cli.places import describe, describe_in_words
from mixmend.cli.session import Session
from mixmend.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mixmend.completion.predictive import Predictive
    from mixmend.evaluation import EvaluationTable


_NUMERIC = {"integer", "float", "boolean", "date", "datetime"}


class Mechanism(StrEnum):
    """By what the cells to hide are chosen."""

    mcar = "mcar"
    mar = "mar"
    mar_threshold = "mar-threshold"
    mnar = "mnar"
    mnar_logistic = "mnar-logistic"


class ChosenImputer:
    """A mixture of one covariance type; its number of components is chosen when fitted."""

    def __init__(self, covariance_type: str, options: Modelling) -> None:
        self.covariance_type = covariance_type
        self.options = options

    def fit(self, X: Any) -> Self:
        """Choose and fit; as many components as there are rows at the most."""
        from mixmend.mixtures.selection import select_components

        options, counts = self.options, self.options.counts()
        selection = select_components(
            X,
            [count for count in counts if count <= len(X)] or counts,
            options.select.value,
            covariance_type=self.covariance_type,
            center="none" if options.center is Center.auto else options.center.value,
            random_state=options.random_state,
            **common_settings(options),
        )
        self.model = selection.best_estimator
        return self

    def predictive(self, X: Any, rows: ArrayLike, columns: ArrayLike) -> Predictive:
        """Predict as the chosen mixture does."""
        return self.model.predictive(X, rows, columns)


def evaluate_table(
    run: Session,
    path: Path,
    reading: Reading,
    modelling: Modelling,
    names: str | None,
    mechanism: Mechanism,
    rate: float,
    repeats: int,
    as_json: bool,
) -> None:
    """Hide cells of a table, let models fill them, and show how well they did.

    Parameters
    ----------
    run : Session
        Keeps times and notes.
    path : Path
        The table: one record a row.
    reading, modelling
        How to read it, and which mixtures to try.
    names : str or None
        Models, separated by commas; None for all.
    mechanism, rate, repeats
        What to hide, how much of it, and how often.
    as_json : bool
        Whether to write the report as JSON.
    """
    from mixmend.evaluation import evaluate_imputers
    from mixmend.files.numbered import to_numbers
    from mixmend.files.tables import read_table
    from mixmend.observed.convert import as_observed

    models = _models(names, modelling)
    with run.stage(f"reading {path}"):
        read = read_table(
            path,
            missing=[] if reading.missing is None else [reading.missing],
            leave=[] if reading.row_name is None else [reading.row_name],
            **reading.for_description(),
        )
        if _NUMERIC.isdisjoint(read.kinds.values()):
            raise DataError(
                f"{read.shown} has no column of numbers, booleans or dates, so there is nothing "
                "to hide and to fill."
            )
        obs = as_observed(to_numbers(read).matrix)
    with run.stage("evaluating"):
        table = evaluate_imputers(
            models,
            {"table": obs},
            mechanism.value,
            rate,
            repeats,
            random_state=modelling.random_state,
        )
    if as_json:
        report = table.to_dict()
        (scenario,) = report.pop("scenarios")
        show.as_json("evaluate", {"table": describe(path, obs), **report, **scenario}, run)
        return
    _show(table.evaluation(*table.scenarios[0]), describe_in_words(obs))
    print(
        f"{show.count(repeats, 'draw')} of {rate:.0%} of the cells, {mechanism.value}; "
        "errors in standard deviations of a column."
    )
    for failure in {f.model: f for f in table.failures}.values():
        run.note(f"{failure.model} failed: {failure.message}")


def _show(table: EvaluationTable, title: str) -> None:
    from mixmend.cli.evaluate import COLUMNS, rows_of

    if table.models:
        show.table(rows_of(table), COLUMNS, title=title)


def _models(names: str | None, modelling: Modelling) -> dict[str, Callable[[], Any]]:
    from sklearn.impute import KNNImputer, SimpleImputer

    from mixmend.mixtures.options import COVARIANCE_TYPES

    known: dict[str, Callable[[], Any]] = {
        "mean": lambda: SimpleImputer(keep_empty_features=True),
        "knn": lambda: KNNImputer(keep_empty_features=True),
    }
    for kind in COVARIANCE_TYPES:
        if kind == "factor":  # needs a rank, which nothing here chooses
            continue
        known[f"mixture-{kind}"] = lambda kind=kind: ChosenImputer(kind, modelling)  # type: ignore[misc]
    if names is None:
        return known
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise typer.BadParameter(
            f"'{', '.join(unknown) or names}' is no model for a table; "
            f"choose from {', '.join(known)}",
            param_hint="'--models'",
        )
    return {name: known[name] for name in wanted}
