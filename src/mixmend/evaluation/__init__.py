"""Held-out entries: errors, likelihood, calibration, and the models that any other has to beat."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmend.evaluation.alignment import align_labels
    from mixmend.evaluation.baselines import ColumnMean, GlobalMean, RowColumnBiases
    from mixmend.evaluation.harness import evaluate_models
    from mixmend.evaluation.imputation import evaluate_imputers
    from mixmend.evaluation.imputation_table import (
        CoverageCurves,
        Failure,
        ImputationResult,
        ImputationTable,
        Scenario,
    )
    from mixmend.evaluation.masking import MASKS, Masked, mask_mar, mask_mcar, mask_mnar
    from mixmend.evaluation.metrics import (
        calibration,
        interval_coverage,
        mae,
        mean_log_likelihood,
        rmse,
        sharpness,
    )
    from mixmend.evaluation.ordering import CountGroup, Ranking, errors_by_count, ranking
    from mixmend.evaluation.table import EvaluationTable, FoldResult

# the baselines are scikit-learn estimators: metrics alone shall not pay for that import
_HOMES = {
    "ColumnMean": "baselines",
    "CountGroup": "ordering",
    "CoverageCurves": "imputation_table",
    "EvaluationTable": "table",
    "Failure": "imputation_table",
    "FoldResult": "table",
    "GlobalMean": "baselines",
    "ImputationResult": "imputation_table",
    "ImputationTable": "imputation_table",
    "MASKS": "masking",
    "Masked": "masking",
    "Ranking": "ordering",
    "RowColumnBiases": "baselines",
    "Scenario": "imputation_table",
    "align_labels": "alignment",
    "calibration": "metrics",
    "errors_by_count": "ordering",
    "evaluate_imputers": "imputation",
    "evaluate_models": "harness",
    "interval_coverage": "metrics",
    "mae": "metrics",
    "mask_mar": "masking",
    "mask_mcar": "masking",
    "mask_mnar": "masking",
    "mean_log_likelihood": "metrics",
    "ranking": "ordering",
    "rmse": "metrics",
    "sharpness": "metrics",
}

__all__ = [
    "MASKS",
    "ColumnMean",
    "CountGroup",
    "CoverageCurves",
    "EvaluationTable",
    "Failure",
    "FoldResult",
    "GlobalMean",
    "ImputationResult",
    "ImputationTable",
    "Masked",
    "Ranking",
    "RowColumnBiases",
    "Scenario",
    "align_labels",
    "calibration",
    "errors_by_count",
    "evaluate_imputers",
    "evaluate_models",
    "interval_coverage",
    "mae",
    "mask_mar",
    "mask_mcar",
    "mask_mnar",
    "mean_log_likelihood",
    "ranking",
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
