"""Results of models on folds: numbers first, a page to read second."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mixmend.errors import MixmendError
from mixmend.evaluation.ordering import RANKED, CountGroup, pooled

METRICS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "mean_log_likelihood": "log-likelihood",
    "coverage": "coverage",
    "fit_seconds": "fit s",
    "predict_seconds": "predict s",
}
"""Names of the measures of every table and how they are headed in one."""

ORDER_METRICS = {"ndcg": f"NDCG@{RANKED}", "recall": f"recall@{RANKED}"}
"""The same for how well each row's held-out entries were put in order."""


class FoldResult(NamedTuple):
    """One model on one fold.

    Attributes
    ----------
    model : str
        Name of the model.
    fold : int
        Number of the fold, from 1.
    rmse, mae : float
        Errors of the expected values at the held-out entries.
    mean_log_likelihood : float
        Mean natural log of the predictive density there.
    coverage : float
        Share of them inside their central intervals.
    fit_seconds, predict_seconds : float
        Wall-clock times; the first of a process may contain compilation.
    ndcg, recall : float
        How well each row's held-out entries are put in order by their expected values, as
        `mixmend.evaluation.ranking` measures it at 10 places; NaN where not measured.
    by_row_count, by_column_count : tuple of CountGroup
        Errors by how many training entries the row (column) had; empty where not measured.
    """

    model: str
    fold: int
    rmse: float
    mae: float
    mean_log_likelihood: float
    coverage: float
    fit_seconds: float
    predict_seconds: float
    ndcg: float = math.nan
    recall: float = math.nan
    by_row_count: tuple[CountGroup, ...] = ()
    by_column_count: tuple[CountGroup, ...] = ()


class SplitFacts(NamedTuple):
    """What a fold consists of, and how much of it has to be predicted from the prior.

    Attributes
    ----------
    fold : int
        Number of the fold, from 1.
    n_train, n_test : int
        Observed entries on each side.
    cold_rows, cold_columns : int
        Rows and columns with held-out entries but none to learn from.
    cold_entries : int
        Held-out entries in such a row or column.
    """

    fold: int
    n_train: int
    n_test: int
    cold_rows: int
    cold_columns: int
    cold_entries: int


class Spread(NamedTuple):
    """A mean over folds and its standard error (None for a single fold)."""

    mean: float
    standard_error: float | None


@dataclass(frozen=True)
class EvaluationTable:
    """All results of an evaluation.

    Attributes
    ----------
    results : tuple of FoldResult
        In the order in which they were computed.
    splits : tuple of SplitFacts
        One per fold.
    level : float
        What share of held-out entries the intervals promise to cover.

    Examples
    --------
    >>> table = EvaluationTable(
    ...     (FoldResult("mean", 1, 1.0, 0.8, -1.5, 0.9, 0.1, 0.1),),
    ...     (SplitFacts(1, 90, 10, 0, 1, 2),),
    ...     level=0.9,
    ... )
    >>> print(table.to_markdown())
    | model | RMSE | MAE | log-likelihood | 90 % coverage | fit s | predict s |
    |---|--:|--:|--:|--:|--:|--:|
    | mean | 1.0000 | 0.8000 | -1.5000 | 90.0 % | 0.10 | 0.10 |
    <BLANKLINE>
    1 fold, 10 held-out entries. 0 held-out rows and 1 column had no training
    entries: 2 held-out entries are predicted from what the others have in common.
    """

    results: tuple[FoldResult, ...]
    splits: tuple[SplitFacts, ...]
    level: float

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(result.model for result in self.results))

    @property
    def metrics(self) -> dict[str, str]:
        """Names of the measures that were taken, and how they are headed in a table."""
        out = {**METRICS, "coverage": f"{100 * self.level:g} % coverage"}
        if all(math.isnan(r.ndcg) and math.isnan(r.recall) for r in self.results):
            return out
        times = {name: out.pop(name) for name in ("fit_seconds", "predict_seconds")}
        return out | ORDER_METRICS | times

    def folds(self, model: str) -> list[FoldResult]:
        """Return the results of one model, fold by fold."""
        found = [result for result in self.results if result.model == model]
        if not found:
            raise MixmendError(
                f"no model is called {model!r}; there are {', '.join(map(repr, self.models))}."
            )
        return found

    def summary(self, model: str) -> Mapping[str, Spread]:
        """Return mean and standard error over folds of each measure of a model."""
        folds = self.folds(model)
        return {name: _spread([getattr(fold, name) for fold in folds]) for name in self.metrics}

    def difference(self, model: str, reference: str, metric: str = "rmse") -> Spread:
        """Return how much a measure of ``model`` exceeds that of ``reference``, fold by fold.

        The standard error of such paired differences is free of what makes one fold
        harder than another, so it tells small advantages from chance.
        """
        if metric not in self.metrics:
            raise MixmendError(
                f"no measure is called {metric!r}; there are {', '.join(self.metrics)}."
            )
        ours = {fold.fold: getattr(fold, metric) for fold in self.folds(model)}
        theirs = {fold.fold: getattr(fold, metric) for fold in self.folds(reference)}
        return _spread([ours[fold] - theirs[fold] for fold in ours if fold in theirs])

    def by_count(self, model: str, axis: str = "row") -> list[CountGroup]:
        """Return a model's errors by how much was known of an entry's row or column.

        Parameters
        ----------
        model : str
            Its name.
        axis : {"row", "column"}, default "row"
            Whose training entries are counted.

        Returns
        -------
        list of CountGroup
            Over the entries of all folds; empty where it was not measured.
        """
        if axis not in ("row", "column"):
            raise MixmendError(f"axis must be 'row' or 'column'; got {axis!r}.")
        return pooled([getattr(fold, f"by_{axis}_count") for fold in self.folds(model)])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers, ready for JSON.

        A number that JSON cannot hold (an infinite log-likelihood) becomes None.
        """
        models: list[dict[str, Any]] = []
        for name in self.models:
            spreads = self.summary(name)
            models.append(
                {
                    "model": name,
                    "mean": {key: _plain(spread.mean) for key, spread in spreads.items()},
                    "standard_error": {
                        key: _plain(spread.standard_error) for key, spread in spreads.items()
                    },
                    "folds": [
                        {key: _plain(getattr(fold, key)) for key in ("fold", *self.metrics)}
                        for fold in self.folds(name)
                    ],
                }
            )
            for axis in ("row", "column"):
                if groups := self.by_count(name, axis):
                    models[-1][f"by_{axis}_count"] = [
                        {key: _plain(value) for key, value in group._asdict().items()}
                        for group in groups
                    ]
        return {
            "level": self.level,
            "splits": [split._asdict() for split in self.splits],
            "models": models,
        }

    def to_markdown(self) -> str:
        """Return a table with one line per model (mean ± standard error) and a note below."""
        titles = self.metrics
        lines = [
            "| model | " + " | ".join(titles.values()) + " |",
            "|---" + "|--:" * len(titles) + "|",
        ]
        for name in self.models:
            cells = [_shown(key, spread) for key, spread in self.summary(name).items()]
            label = name.replace("|", "\\|")
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", self.note()])

    def cold_start_markdown(self, axis: str = "row") -> str:
        """Return RMSE by how many training entries a row (column) had: a line per group.

        Parameters
        ----------
        axis : {"row", "column"}, default "row"
            Whose training entries are counted.
        """
        lines = [
            f"| entries of the {axis} | held-out entries | " + " | ".join(self.models) + " |",
            "|---|--:" + "|--:" * len(self.models) + "|",
        ]
        for groups in zip(*(self.by_count(name, axis) for name in self.models), strict=True):
            errors = ["–" if math.isnan(group.rmse) else f"{group.rmse:.4f}" for group in groups]
            cells = [span(groups[0]), str(groups[0].n), *errors]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def note(self) -> str:
        """Return a sentence or two on the folds and on what had nothing to learn from."""
        held_out = sum(split.n_test for split in self.splits)
        rows, columns, entries = (
            sum(getattr(split, name) for split in self.splits)
            for name in ("cold_rows", "cold_columns", "cold_entries")
        )
        text = f"{_count(len(self.splits), 'fold')}, {_count(held_out, 'held-out entry')}."
        if entries:
            text += (
                f" {_count(rows, 'held-out row')} and {_count(columns, 'column')} had no training "
                f"entries: {_count(entries, 'held-out entry')} are predicted from what the others "
                "have in common."
            )
        return text


def span(group: CountGroup) -> str:
    """Say which counts a group has: ``0``, ``1–4`` or ``100 and more``."""
    if group.most is None:
        return f"{group.least} and more"
    return str(group.least) if group.least == group.most else f"{group.least}–{group.most}"


def _spread(values: list[float]) -> Spread:
    if len(values) < 2:
        return Spread(float(values[0]) if values else math.nan, None)
    with np.errstate(invalid="ignore"):  # infinite values have no spread
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Spread(float(np.mean(values)), error)


def _plain(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def _shown(metric: str, spread: Spread) -> str:
    if math.isnan(spread.mean):  # not measured: a model that does not say how sure it is
        return "–"
    factor, digits, unit = 1.0, 4, ""
    if metric == "coverage":
        factor, digits, unit = 100.0, 1, " %"
    elif metric.endswith("seconds"):
        digits = 2
    text = f"{factor * spread.mean:.{digits}f}"
    if spread.standard_error is not None:
        text += f" ± {factor * spread.standard_error:.{digits}f}"
    return text + unit


def _count(number: int, thing: str) -> str:
    plural = thing[:-1] + "ies" if thing.endswith("y") else thing + "s"
    return f"{number} {thing if number == 1 else plural}"
