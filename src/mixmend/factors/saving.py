"""Factor models as plain headers and arrays, for model files."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

from mixmend.checks import require_arrays
from mixmend.factors.description import RowDescription
from mixmend.factors.problem import checked
from mixmend.factors.regressions import Regression
from mixmend.factors.steps import State
from mixmend.factors.sweeps import Side, triangle
from mixmend.mixtures.saving import labels_of, parameters_from_header, parameters_to_header

M = TypeVar("M")
Arrays = dict[str, NDArray[Any]]

SIDES = ("row", "column")


def to_saved(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a fitted factorisation, its training rows included."""
    state: State = model._state
    header = {
        "parameters": parameters_to_header(model),
        "n_rows": len(state.rows.values),
        "n_features": int(model.n_features_in_),
        "mean": model.mean_,
        "noise_variance": model.noise_variance_,
        "noise": state.noise,
        "objective": state.objective,
        "squares": state.squares,
        "n_iter": model.n_iter_,
        "best_iteration": model.best_iteration_,
        "converged": bool(model.converged_),
        "history": model.history_,
        "column_feature_names": list(model.column_feature_names_),
    }
    arrays: Arrays = {
        "rows": state.rows.values,
        "columns": state.columns.values,
        "row_variances": state.row_variances,
        "column_variances": state.column_variances,
    }
    # the rows' covariances are found again wherever they are needed
    if state.columns.covariances is not None:
        arrays["column_covariances"] = state.columns.covariances
    if model.column_labels_ is not None:
        arrays["column_labels"] = model.column_labels_
    header["row_encoder"], own = model._described.to_saved()
    arrays |= own
    for side in SIDES:
        regression: Regression | None = getattr(state, f"{side}_regression")
        if regression is not None:
            for name, array in regression._asdict().items():
                arrays[f"{side}_regression_{name}"] = array
    return header, arrays


def from_saved(cls: type[M], header: dict[str, Any], arrays: Arrays) -> M:
    """A fitted factorisation from its header and arrays, whose shapes are checked."""
    model: Any = parameters_from_header(cls, header["parameters"])
    options = checked(model)
    n, d, q = int(header["n_rows"]), int(header["n_features"]), options.unknowns
    require_arrays(arrays, {"rows": (n, q), "columns": (d, q)})
    require_arrays(arrays, {"row_variances": (q,), "column_variances": (q,)}, positive=True)
    covariances = None
    if options.inference == "variational":
        require_arrays(arrays, {"column_covariances": (d, triangle(q))})
        covariances = arrays["column_covariances"]
    labels = labels_of(arrays, d)
    state = State(
        Side(arrays["rows"]),
        Side(arrays["columns"], covariances),
        float(header["noise"]),
        arrays["row_variances"],
        arrays["column_variances"],
        float(header["objective"]),
        float(header["squares"]),
        *(_regression(arrays, side, q) for side in SIDES),
    )
    model._adopt(options, state, float(header["mean"]), float(header["noise_variance"]), labels)
    rows = RowDescription.from_saved(header.get("row_encoder"), arrays, n, d)
    model._adopt_features(rows, tuple(header.get("column_feature_names", ())))
    model.history_, model.n_iter_ = list(header["history"]), int(header["n_iter"])
    model.best_iteration_, model.converged_ = int(header["best_iteration"]), header["converged"]
    model.interrupted_ = False
    return model  # type: ignore[no-any-return]


def _regression(arrays: Arrays, side: str, q: int) -> Regression | None:
    found = [arrays.get(f"{side}_regression_{name}") for name in Regression._fields]
    if all(array is None for array in found):
        return None
    weights = arrays.get(f"{side}_regression_weights")
    spread = arrays.get(f"{side}_regression_spread")
    width = 0 if weights is None else len(weights)
    shapes = {"weights": (width, q), "basis": (width, width), "strengths": (q,)}
    shapes["spread"] = (0 if spread is None else len(spread), q)
    names = {f"{side}_regression_{name}": shape for name, shape in shapes.items()}
    require_arrays(arrays, names)
    return Regression(*(arrays[f"{side}_regression_{name}"] for name in Regression._fields))
