"""Mixtures as plain headers and arrays, for model files."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mixmend.em.engine import Fit
from mixmend.errors import ModelFileError
from mixmend.mixtures.family import family_of
from mixmend.mixtures.options import checked, remember_names, require_arrays
from mixmend.mixtures.priors import PRIORS
from mixmend.mixtures.spherical_e_step import Parameters
from mixmend.mixtures.stream_files import stream_from_saved, stream_to_saved

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
        if isinstance(value, tuple(PRIORS.values())):
            value = {type(value).__name__: asdict(cast(Any, value))}
        elif name == "random_state" and not isinstance(value, int | np.integer | None):
            value = None
        elif name == "fixed_components" and value is not None:
            value = np.asarray(value).tolist()
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
        kinds = {kind.__name__: kind for kind in PRIORS.values()}
        name, settings = next(iter(given["prior"].items()))
        if name not in kinds:
            raise ModelFileError(
                f"The model file has a prior of kind {name!r}, which this version does not know. "
                "Upgrade mixmend."
            )
        given["prior"] = kinds[name](**settings)
    return cls(**given)


def mixture_to_saved(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a fitted mixture."""
    header = {
        "parameters": parameters_to_header(model),
        "log_likelihood": _finite(model.log_likelihood_),
        "objective": _finite(model.objective_),
        "converged": bool(model.converged_),
        "collapsed": bool(model.collapsed_),
        "n_components": len(model.weights_),
        "n_features": int(model.n_features_in_),
        "row_mass": model._row_mass,
        "n_samples_seen": int(model.n_samples_seen_),
    }
    arrays: Arrays = {
        "weights": model.parameters_.weights,
        "means": model.means_,
        "history": np.asarray(model.history_),
    }
    arrays |= model._family.to_arrays(model.parameters_)
    if model._streaming:
        header["stream"], running = stream_to_saved(model._stream, model._density)
        arrays |= running
    if model.column_labels_ is not None:
        arrays["column_labels"] = model.column_labels_
    return header, arrays


def mixture_from_saved(cls: type[M], header: dict[str, Any], arrays: Arrays) -> M:
    """A fitted mixture from its header and arrays, whose shapes are checked."""
    model: Any = parameters_from_header(cls, header["parameters"])
    n_components, d = int(header["n_components"]), int(header["n_features"])
    require_arrays(arrays, {"weights": (n_components,)}, positive=True)
    require_arrays(arrays, {"means": (n_components, d)})
    labels = labels_of(arrays, d)
    options = checked(model)
    family = family_of(options.covariance_type, options.inference)
    parameters = family.from_arrays(arrays["weights"], arrays["means"], arrays)
    objective, log_likelihood = (
        np.nan if header[name] is None else float(header[name])
        for name in ("objective", "log_likelihood")
    )
    fit = Fit(
        parameters,
        objective,
        log_likelihood,
        tuple(arrays["history"].tolist()),
        bool(header["converged"]),
        collapsed=bool(header["collapsed"]),
    )
    model._adopt(family, fit, labels)
    model.n_samples_seen_ = int(header.get("n_samples_seen", 0))
    if "stream" in header:
        model._stream, model._density = stream_from_saved(
            header["stream"], arrays, parameters, family
        )
        model._streaming, model.n_iter_ = True, len(model.history_)
    mass = header.get("row_mass")  # files of earlier versions do not say
    model._row_mass = None if mass is None else float(mass)
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
    require_arrays(arrays, {"centers": (n_clusters, d)})
    shapes = {"weights": (n_clusters,), "variances": (n_clusters,)}
    require_arrays(arrays, shapes, positive=True)
    labels = labels_of(arrays, d)
    model.cluster_centers_ = arrays["centers"]
    model._block_parameters = Parameters(
        arrays["weights"], np.asfortranarray(arrays["centers"]), arrays["variances"]
    )
    model.inertia_ = float(header["inertia"])
    model.history_ = arrays["history"].tolist()
    model.n_iter_ = len(model.history_) - 1
    model.n_features_in_, model._n_features_out = d, n_clusters
    model.column_labels_ = labels
    remember_names(model)
    return model  # type: ignore[no-any-return]


def labels_of(arrays: Arrays, d: int) -> NDArray[Any] | None:
    """Column labels of a model file, of which there must be d; None where it has none."""
    labels = arrays.get("column_labels")
    if labels is not None and labels.shape != (d,):
        raise ModelFileError(
            f"The model file labels {labels.shape} columns, not {d}. Save the model again."
        )
    return labels
