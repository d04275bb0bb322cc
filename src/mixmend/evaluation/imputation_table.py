"""What imputers made of hidden cells: by table, mechanism, rate and model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import MixmendError
from mixmend.evaluation.metrics import CalibrationTable
from mixmend.evaluation.table import METRICS, EvaluationTable, FoldResult, SplitFacts, Spread

HIGHER_IS_BETTER = frozenset({"mean_log_likelihood"})
"""The measures of which more is better; of the others less is."""

_COMPARED = ("rmse", "mae", "mean_log_likelihood")


class Scenario(NamedTuple):
    """What was hidden: in which table, by which mechanism, at which rate."""

    data: str
    mask: str
    rate: float


class ImputationResult(NamedTuple):
    """One model on one draw of one scenario.

    Attributes
    ----------
    scenario : Scenario
        What was hidden.
    measures : FoldResult
        Errors, likelihood, coverage (NaN for a model that gives no uncertainty) and
        times; its ``fold`` is the number of the draw.
    calibration : CalibrationTable or None
        Kept against promised coverage at several levels.
    warnings : tuple of str
        What the model warned of, each once.
    """

    scenario: Scenario
    measures: FoldResult
    calibration: CalibrationTable | None
    warnings: tuple[str, ...]


class Failure(NamedTuple):
    """A model that gave no usable answer to one draw of one scenario, and why."""

    model: str
    scenario: Scenario
    repeat: int
    message: str


class CoverageCurves(NamedTuple):
    """What `mixmend.plots.plot_calibration` draws: ``plot_calibration(*curves)``.

    Attributes
    ----------
    levels : ndarray, shape (L,)
        What the intervals promise.
    coverage : dict of str to ndarray, shape (L,)
        What those of each model kept.
    n_entries : int
        How many hidden cells were compared (those of the model with the fewest).
    """

    levels: NDArray[np.float64]
    coverage: dict[str, NDArray[np.float64]]
    n_entries: int


@dataclass(frozen=True)
class ImputationTable:
    """All results of `evaluate_imputers`.

    Attributes
    ----------
    models : tuple of str
        Names, in the order given.
    results : tuple of ImputationResult
        In the order in which they were computed.
    failures : tuple of Failure
        What gave no result.
    splits : dict of Scenario to tuple of SplitFacts
        How many cells were left and hidden in each draw.
    level : float
        What share of hidden cells the intervals promise to cover.
    """

    models: tuple[str, ...]
    results: tuple[ImputationResult, ...]
    failures: tuple[Failure, ...]
    splits: Mapping[Scenario, tuple[SplitFacts, ...]]
    level: float

    @property
    def scenarios(self) -> list[Scenario]:
        """What was hidden, in order."""
        return list(self.splits)

    def evaluation(self, data: str, mask: str, rate: float) -> EvaluationTable:
        """Return the results of one scenario as an `EvaluationTable`, one fold per draw.

        Models that failed there in every draw are not in it.
        """
        scenario = Scenario(data, mask, rate)
        if scenario not in self.splits:
            known = "; ".join(f"{s.data}, {s.mask}, {s.rate:g}" for s in self.scenarios)
            raise MixmendError(
                f"{data!r}, {mask!r}, {rate:g} was not evaluated; there are {known}."
            )
        return EvaluationTable(
            tuple(r.measures for r in self.results if r.scenario == scenario),
            self.splits[scenario],
            self.level,
        )

    def near_best(self, metric: str = "rmse") -> dict[str, float]:
        """Say of each model in which share of the scenarios it is, within chance, the best.

        A model counts where its mean is the best, or no further from it than one standard
        error of the best model's mean over draws. Where it failed in any draw it does not
        count.

        Parameters
        ----------
        metric : {"rmse", "mae", "mean_log_likelihood"}, default "rmse"
            By which measure.
        """
        _demand_metric(metric)
        sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
        hits = dict.fromkeys(self.models, 0)
        for scenario in self.scenarios:
            spreads = self._spreads(scenario, metric)
            if not spreads:
                continue
            best = min(spreads.values(), key=lambda spread: sign * spread.mean)
            limit = sign * best.mean + (best.standard_error or 0.0)
            for model, spread in spreads.items():
                hits[model] += sign * spread.mean <= limit
        return {model: count / max(len(self.scenarios), 1) for model, count in hits.items()}

    def calibration(
        self, data: str | None = None, mask: str | None = None, rate: float | None = None
    ) -> CoverageCurves:
        """Return promised and kept coverage of each model that says how sure it is.

        Parameters
        ----------
        data, mask, rate : optional
            Only scenarios with these; all by default. Draws count by their hidden cells.

        Raises
        ------
        MixmendError
            If no model gave uncertainties there.
        """
        wanted = (data, mask, rate)
        found: dict[str, list[CalibrationTable]] = {}
        for result in self.results:
            fits = all(
                w is None or w == has for w, has in zip(wanted, result.scenario, strict=True)
            )
            if fits and result.calibration is not None:
                found.setdefault(result.measures.model, []).append(result.calibration)
        if not found:
            raise MixmendError(
                "no model gave uncertainties there: calibration needs one that offers "
                "predictive(X, rows, columns) or complete(X, return_std=True)."
            )
        counts = {model: [part.n for part in parts] for model, parts in found.items()}
        coverage = {
            model: np.average([part.coverage for part in parts], axis=0, weights=counts[model])
            for model, parts in found.items()
        }
        levels = next(iter(found.values()))[0].levels
        return CoverageCurves(levels, coverage, min(map(sum, counts.values())))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers, ready for JSON."""
        scenarios = []
        for scenario in self.scenarios:
            of_it = [r for r in self.results if r.scenario == scenario]
            entry: dict[str, Any] = {
                **scenario._asdict(),
                **self.evaluation(*scenario).to_dict(),
                "calibration": {},
                "warnings": sorted({f"{r.measures.model}: {w}" for r in of_it for w in r.warnings}),
                "failures": [
                    {"model": f.model, "repeat": f.repeat, "message": f.message}
                    for f in self.failures
                    if f.scenario == scenario
                ],
            }
            if any(r.calibration is not None for r in of_it):
                curves = self.calibration(*scenario)
                entry["calibration"] = {
                    "levels": curves.levels.tolist(),
                    "coverage": {name: line.tolist() for name, line in curves.coverage.items()},
                    "n": curves.n_entries,
                }
            scenarios.append(entry)
        near = {metric: self.near_best(metric) for metric in _COMPARED}
        return {
            "level": self.level,
            "models": list(self.models),
            "scenarios": scenarios,
            "near_best": near,
        }

    def to_markdown(self, metric: str = "rmse") -> str:
        """Return a table with a line per scenario and a column per model.

        Each cell is mean ± standard error over draws; the best of a line, and what is no
        further from it than its standard error, is bold. Below: how often each model is
        that, and what failed.
        """
        _demand_metric(metric, tuple(METRICS))
        lines = [
            "| data | mask | rate | " + " | ".join(map(_cell, self.models)) + " |",
            "|---|---|--:" + "|--:" * len(self.models) + "|",
        ]
        sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
        for scenario in self.scenarios:
            spreads = self._spreads(scenario, metric)
            limit = -math.inf
            if spreads and metric in _COMPARED:
                best = min(spreads.values(), key=lambda spread: sign * spread.mean)
                limit = sign * best.mean + (best.standard_error or 0.0)
            failed = {f.model for f in self.failures if f.scenario == scenario}
            cells = []
            for model in self.models:
                spread = spreads.get(model)
                if spread is None:
                    cells.append("failed" if model in failed else "–")
                    continue
                text = f"{spread.mean:.3f}"
                if spread.standard_error is not None:
                    text += f" ± {spread.standard_error:.3f}"
                cells.append(f"**{text}**" if sign * spread.mean <= limit else text)
            head = [_cell(scenario.data), _cell(scenario.mask), f"{100 * scenario.rate:g} %"]
            lines.append("| " + " | ".join(head + cells) + " |")
        return "\n".join([*lines, "", self.note(metric)])

    def note(self, metric: str = "rmse") -> str:
        """Return a few sentences on what was compared, who was best and what failed."""
        draws = max((len(splits) for splits in self.splits.values()), default=0)
        cells = sum(split.n_test for splits in self.splits.values() for split in splits)
        text = (
            f"{METRICS[metric]} of {cells} hidden cells; {len(self.splits)} "
            f"scenario{'' if len(self.splits) == 1 else 's'}, each drawn "
            f"{draws} time{'' if draws == 1 else 's'}."
        )
        if metric in _COMPARED and len(self.models) > 1:
            shares = ", ".join(f"{m} {100 * s:.0f} %" for m, s in self.near_best(metric).items())
            text += f" Best or within one standard error of the best: {shares}."
        for model in self.models:
            own = [f for f in self.failures if f.model == model]
            if own:
                text += f"\n{model} failed in {len(own)} draws, first with: {own[0].message}"
        return text

    def _spreads(self, scenario: Scenario, metric: str) -> dict[str, Spread]:
        """Mean and standard error of each model that answered every draw with a number."""
        table = self.evaluation(*scenario)
        whole = [m for m in table.models if len(table.folds(m)) == len(self.splits[scenario])]
        spreads = {model: table.summary(model)[metric] for model in whole}
        return {model: spread for model, spread in spreads.items() if not math.isnan(spread.mean)}


def _demand_metric(metric: str, choices: tuple[str, ...] = _COMPARED) -> None:
    if metric not in choices:
        raise MixmendError(f"metric must be one of {', '.join(choices)}; got {metric!r}.")


def _cell(name: str) -> str:
    return name.replace("|", "\\|")
