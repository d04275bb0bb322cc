"""Neural factorisations as plain headers and arrays, for model files."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import require_arrays
from mixmend.factors.description import RowDescription
from mixmend.factors.network import Layer, Network
from mixmend.factors.neural_problem import NeuralOptions, checked
from mixmend.mixtures.saving import labels_of, parameters_from_header, parameters_to_header

M = TypeVar("M")
Arrays = dict[str, NDArray[Any]]


def to_saved(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a fitted network, its training rows included."""
    network: Network = model._network
    parameters = parameters_to_header(model)
    header = {
        "parameters": parameters | {"hidden": list(model._options.hidden)},
        "n_rows": len(model._rows),
        "n_features": int(model.n_features_in_),
        "n_row_features": len(network.row_map),
        "mean": model.mean_,
        "scale": model.scale_,
        "noise_variance": model.noise_variance_,
        "n_iter": model.n_iter_,
        "best_iteration": model.best_iteration_,
        "converged": bool(model.converged_),
        "history": model.history_,
    }
    arrays: Arrays = {
        "rows": model._rows,
        "columns": network.columns,
        "column_effects": network.column_effects,
        "row_map": network.row_map,
        "row_effect_map": network.row_effect_map,
    }
    for k, layer in enumerate(network.layers):
        arrays[f"weights_{k}"], arrays[f"bias_{k}"] = layer
    if model.column_labels_ is not None:
        arrays["column_labels"] = model.column_labels_
    header["row_encoder"], own = model._described.to_saved()
    arrays |= own
    return header, arrays


def from_saved(cls: type[M], header: dict[str, Any], arrays: Arrays) -> M:
    """A fitted network from its header and arrays, whose shapes are checked."""
    parameters = dict(header["parameters"])
    parameters["hidden"] = tuple(parameters["hidden"])
    model: Any = parameters_from_header(cls, parameters)
    options = checked(model)
    n, d, f = (int(header[key]) for key in ("n_rows", "n_features", "n_row_features"))
    rank = options.n_factors
    require_arrays(
        arrays,
        {
            "rows": (n, rank + 1),
            "columns": (d, rank),
            "column_effects": (d,),
            "row_map": (f, rank),
            "row_effect_map": (f,),
        },
    )
    network = Network(
        arrays["columns"],
        arrays["column_effects"],
        options.head != "mlp",
        _layers(options, arrays),
        arrays["row_map"],
        arrays["row_effect_map"],
    )
    units = tuple(float(header[key]) for key in ("mean", "scale", "noise_variance"))
    model._adopt(options, network, units, labels_of(arrays, d))
    described = RowDescription.from_saved(header["row_encoder"], arrays, n, d)
    model._adopt_rows(arrays["rows"], described)
    model.history_, model.n_iter_ = list(header["history"]), int(header["n_iter"])
    model.best_iteration_, model.converged_ = int(header["best_iteration"]), header["converged"]
    model.interrupted_ = False
    return model  # type: ignore[no-any-return]


def _layers(options: NeuralOptions, arrays: Arrays) -> tuple[Layer, ...]:
    if options.head == "dot":
        return ()
    layers, width = [], 2 * options.n_factors
    for k, size in enumerate((*options.hidden, 1)):
        require_arrays(arrays, {f"weights_{k}": (size, width), f"bias_{k}": (size,)})
        layers.append(Layer(*(np.asarray(arrays[f"{name}_{k}"]) for name in ("weights", "bias"))))
        width = size
    return tuple(layers)
