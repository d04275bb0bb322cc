"""Mixtures as plain headers and arrays, for model files."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixmend.em.engine import Fit
from mixmend.errors import ModelFileError
from mixmend.mixtures.options import remember_names
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import Parameters, SphericalDensity

M = TypeVar("M")
Arrays = dict[str, NDArray[Any]]

_NOT_KEPT = ("weights_init", "means_init", "covariances_init")
"""Starts are arrays of past use: a loaded model does not start anew from them."""


def parameters_to_header(estimator: Any) -> dict[str, Any]:
    """Constructor parameters as JSON; a random generator becomes None (its state is spent)."""
    out: dict[str, Any] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in _NOT_KEPT:
            continue
        if isinstance(value, SphericalPrior):
            value = {"SphericalPrior": asdict(value)}
        elif name == "random_state" and not isinstance(value, int | np.integer | None):
            value = None
        out[name] = value.item() if isinstance(value, np.generic) else value
    return out


def parameters_from_header(cls: type[M], header: dict[str, Any]) -> M:
    """An unfitted estimator with the parameters of a header; unknown ones are refused."""
    given = dict(header)
    known = inspect.signature(cls).parameters
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ModelFileError(
            f"The model file sets {', '.join(unknown)}, which {cls.__name__} does not know. "
            "Upgrade mixmend, or fit the model anew."
        )
    if isinstance(given.get("prior"), dict):
        given["prior"] = SphericalPrior(**given["prior"]["SphericalPrior"])
    return cls(**given)


def mixture_to_saved(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a fitted mixture."""
    p: Parameters = model.parameters_
    header = {
        "parameters": parameters_to_header(model),
        "prior_variance": p.prior_variance if np.isfinite(p.prior_variance) else None,
        "offset_variance": p.offset_variance,
        "log_likelihood": _finite(model.log_likelihood_),
        "objective": _finite(model.objective_),
        "converged": bool(model.converged_),
        "collapsed": bool(model.collapsed_),
        "n_components": len(p.weights),
        "n_features": int(model.n_features_in_),
    }
    arrays: Arrays = {
        "weights": p.weights,
        "means": np.ascontiguousarray(p.means),
        "variances": p.variances,
        "column_effects": model.column_effects_,
        "history": np.asarray(model.history_),
    }
    if p.mean_variances is not None:
        arrays["mean_variances"] = np.ascontiguousarray(p.mean_variances)
    if model.column_labels_ is not None:
        arrays["column_labels"] = model.column_labels_
    return header, arrays


def mixture_from_saved(cls: type[M], header: dict[str, Any], arrays: Arrays) -> M:
    """A fitted mixture from its header and arrays, whose shapes are checked."""
    model: Any = parameters_from_header(cls, header["parameters"])
    n_components, d = int(header["n_components"]), int(header["n_features"])
    needed = {
        "weights": (n_components,),
        "means": (n_components, d),
        "variances": (n_components,),
        "column_effects": (d,),
    }
    _check_shapes(arrays, needed, {"mean_variances": (n_components, d), "column_labels": (d,)})
    prior_variance = header["prior_variance"]
    spread = arrays.get("mean_variances")
    parameters = Parameters(
        arrays["weights"],
        np.asfortranarray(arrays["means"]),
        arrays["variances"],
        None if spread is None else np.asfortranarray(spread),
        np.inf if prior_variance is None else float(prior_variance),
        float(header["offset_variance"]),
    )
    log_likelihood, objective = (
        np.nan if header[name] is None else float(header[name])
        for name in ("log_likelihood", "objective")
    )
    fit = Fit(
        parameters,
        objective,
        log_likelihood,
        tuple(arrays["history"].tolist()),
        bool(header["converged"]),
        collapsed=bool(header["collapsed"]),
    )
    density = SphericalDensity(row_offsets=parameters.offset_variance > 0)
    model._adopt(fit, density, d, arrays.get("column_labels"))
    model.column_effects_ = arrays["column_effects"]
    return model  # type: ignore[no-any-return]


def _finite(number: float) -> float | None:
    """As JSON has it: clusters turned into a mixture have no likelihood yet."""
    return float(number) if np.isfinite(number) else None


def kmeans_to_saved(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of fitted clusters; the labels of past rows are not kept."""
    parameters = parameters_to_header(model)
    if not isinstance(parameters["init"], str):
        parameters["init"] = "k-means++"
    p: Parameters = model._block_parameters
    header = {
        "parameters": parameters,
        "inertia": model.inertia_,
        "n_clusters": len(model.cluster_centers_),
        "n_features": int(model.n_features_in_),
    }
    arrays: Arrays = {
        "centers": model.cluster_centers_,
        "weights": p.weights,
        "variances": p.variances,
        "history": np.asarray(model.history_),
    }
    if model.column_labels_ is not None:
        arrays["column_labels"] = model.column_labels_
    return header, arrays


def kmeans_from_saved(cls: type[M], header: dict[str, Any], arrays: Arrays) -> M:
    """Fitted clusters from their header and arrays, whose shapes are checked."""
    model: Any = parameters_from_header(cls, header["parameters"])
    n_clusters, d = int(header["n_clusters"]), int(header["n_features"])
    shapes = {"centers": (n_clusters, d), "weights": (n_clusters,), "variances": (n_clusters,)}
    _check_shapes(arrays, shapes, {"column_labels": (d,)})
    model.cluster_centers_ = arrays["centers"]
    model._block_parameters = Parameters(
        arrays["weights"], np.asfortranarray(arrays["centers"]), arrays["variances"]
    )
    model.inertia_ = float(header["inertia"])
    model.history_ = arrays["history"].tolist()
    model.n_iter_ = len(model.history_) - 1
    model.n_features_in_, model._n_features_out = d, n_clusters
    model.column_labels_ = arrays.get("column_labels")
    remember_names(model)
    return model  # type: ignore[no-any-return]


def _check_shapes(
    arrays: Arrays, needed: dict[str, tuple[int, ...]], optional: dict[str, tuple[int, ...]]
) -> None:
    """Refuse arrays that are missing, of another shape or not of finite numbers."""
    for name, shape in needed.items() | optional.items():
        if name not in arrays:
            if name in needed:
                raise ModelFileError(
                    f"The model file lacks the array {name!r}. Save the model again."
                )
            continue
        array = arrays[name]
        if array.shape != shape:
            raise ModelFileError(
                f"The model file's array {name!r} has shape {array.shape}, not {shape}. "
                "Save the model again."
            )
        if name != "column_labels" and (array.dtype.kind != "f" or not np.all(np.isfinite(array))):
            raise ModelFileError(
                f"The model file's array {name!r} must hold finite numbers. Save the model again."
            )
