"""Held-out entries: errors, likelihood, calibration, and the models that any other has to beat."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmend.evaluation.alignment import align_labels
    from mixmend.evaluation.baselines import ColumnMean, GlobalMean, RowColumnBiases
    from mixmend.evaluation.harness import evaluate_models
    from mixmend.evaluation.metrics import (
        calibration,
        interval_coverage,
        mae,
        mean_log_likelihood,
        rmse,
        sharpness,
    )
    from mixmend.evaluation.table import EvaluationTable, FoldResult

# the baselines are scikit-learn estimators: metrics alone shall not pay for that import
_HOMES = {
    "ColumnMean": "baselines",
    "EvaluationTable": "table",
    "FoldResult": "table",
    "GlobalMean": "baselines",
    "RowColumnBiases": "baselines",
    "align_labels": "alignment",
    "calibration": "metrics",
    "evaluate_models": "harness",
    "interval_coverage": "metrics",
    "mae": "metrics",
    "mean_log_likelihood": "metrics",
    "rmse": "metrics",
    "sharpness": "metrics",
}

__all__ = [
    "ColumnMean",
    "EvaluationTable",
    "FoldResult",
    "GlobalMean",
    "RowColumnBiases",
    "align_labels",
    "calibration",
    "evaluate_models",
    "interval_coverage",
    "mae",
    "mean_log_likelihood",
    "rmse",
    "sharpness",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
