"""Checks of what users set and give: one clear sentence each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError, MixmendError
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical_e_step import Parameters
from mixmend.observed.matrix import ObservedMatrix

CENTERS = ("none", "columns", "rows", "biases")
COVARIANCE_TYPES = ("spherical",)
INITS = ("k-means++", "random")


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a mixture fit."""

    n_components: int
    n_init: int
    init_params: str
    tol: float
    max_iter: int
    min_variance: float
    min_support: float
    prior: SphericalPrior | None
    center: str
    accelerate: bool
    screen: int


def checked(estimator: Any) -> Options:
    """The options of a mixture estimator, each of the right type and in its range."""
    _one_of("covariance_type", estimator.covariance_type, COVARIANCE_TYPES)
    return Options(
        n_components=whole("n_components", estimator.n_components, 1),
        n_init=whole("n_init", estimator.n_init, 1),
        init_params=_one_of("init_params", estimator.init_params, INITS),
        tol=number("tol", estimator.tol),
        max_iter=whole("max_iter", estimator.max_iter, 1),
        min_variance=number("min_variance", estimator.min_variance),
        min_support=number("min_support", estimator.min_support),
        prior=_prior(estimator.prior),
        center=_one_of("center", estimator.center, CENTERS),
        accelerate=bool(estimator.accelerate),
        screen=whole("screen", estimator.screen, 0),
    )


def bad_option(name: str, value: Any, choices: tuple[str, ...]) -> MixmendError:
    """The error for a value that is none of the choices."""
    return MixmendError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def out_of_range(name: str, value: Any, wanted: str) -> MixmendError:
    """The error for a number out of its range."""
    return MixmendError(f"{name} must be {wanted}; got {value!r}.")


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < least:
        raise out_of_range(name, value, f"a whole number of at least {least}")
    return int(value)


def number(name: str, value: Any) -> float:
    """A finite number that is not negative."""
    plain = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not plain or not 0 <= float(value) < np.inf:
        raise out_of_range(name, value, "a finite number that is not negative")
    return float(value)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise bad_option(name, value, choices)
    return value


def _prior(prior: Any) -> SphericalPrior | None:
    if prior is None or isinstance(prior, SphericalPrior):
        return prior
    if isinstance(prior, str) and prior == "default":
        return SphericalPrior()
    raise MixmendError(f"prior must be None, 'default' or a SphericalPrior; got {prior!r}.")


def given_start(estimator: Any, d: int) -> Parameters | None:
    """Start parameters that the user gave, NaN variances where those are left open."""
    if estimator.means_init is None:
        for name in ("weights_init", "covariances_init"):
            if getattr(estimator, name) is not None:
                raise MixmendError(f"{name} needs means_init beside it: give both or neither.")
        return None
    n_components = estimator.n_components
    means = finite_array("means_init", estimator.means_init, (n_components, d))
    if estimator.weights_init is None:
        weights = np.full(n_components, 1.0 / n_components)
    else:
        weights = finite_array("weights_init", estimator.weights_init, (n_components,))
        if np.any(weights < 0) or not np.isclose(weights.sum(), 1.0):
            raise MixmendError(
                f"weights_init must be non-negative and sum to 1; its sum is {weights.sum():g}."
            )
    if estimator.covariances_init is None:
        variances = np.full(n_components, np.nan)
    else:
        variances = finite_array("covariances_init", estimator.covariances_init, (n_components,))
        if np.any(variances <= 0):
            raise MixmendError(f"covariances_init must be positive; got {variances.min():g}.")
    return Parameters(weights, np.asfortranarray(means), variances)


def continued_start(parameters: Parameters, options: Options) -> Parameters:
    """The parameters of an earlier fit as a start, if they have as many components."""
    fitted = len(parameters.weights)
    if fitted != options.n_components:
        raise MixmendError(
            f"warm_start goes on from the {fitted} components of the last fit, but n_components "
            f"is {options.n_components}. Set warm_start=False to begin anew."
        )
    return parameters


def finite_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of finite numbers of a given shape."""
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise MixmendError(f"{name} must have shape {shape}; got {array.shape}.")
    if not np.all(np.isfinite(array)):
        raise MixmendError(f"{name} must be finite; it holds {array[~np.isfinite(array)][0]}.")
    return array


def require_rows(name: str, wanted: int, obs: ObservedMatrix) -> None:
    """Refuse data with fewer rows than components, or with nothing that counts."""
    n = obs.shape[0]
    if wanted > n:
        what = name.removeprefix("n_")
        raise DataError(
            f"{name}={wanted} is more than the {n} rows of X (n_samples={n}). "
            f"Ask for at most {n} {what} or give more rows."
        )
    if obs.n_observed == 0:
        raise DataError("X has no observed cell: there is nothing to fit.")
    weights = obs.row_weights
    if weights is not None and not np.any(weights[obs.row_counts > 0] > 0):
        raise DataError(
            "All row weights are zero where a cell is observed: nothing is left to fit."
        )


def warn_of_empty(obs: ObservedMatrix, category: type[Warning], stacklevel: int) -> None:
    """Say which rows or columns have nothing observed, and what becomes of them."""
    for axis, counts, labels in (
        ("row", obs.row_counts, obs.row_labels),
        ("column", obs.column_counts, obs.column_labels),
    ):
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            names = ", ".join(str(label) for label in labels[empty[:3]])
            more = ", …" if len(empty) > 3 else ""
            many = f"{len(empty)} {axis}s have" if len(empty) > 1 else f"1 {axis} has"
            warnings.warn(
                f"{many} nothing observed ({names}{more}): kept, and predicted from the prior.",
                category,
                stacklevel=stacklevel,
            )


def warn_of_collapse(
    parameters: Parameters,
    obs: ObservedMatrix,
    singular_variance: float,
    category: type[Warning],
    stacklevel: int,
) -> None:
    """Say which components have lost their rows or their variance."""
    # what counts is shares of rows: weights may be given in any unit
    counted = obs.shape[0] if obs.row_weights is None else np.count_nonzero(obs.row_weights)
    rows = parameters.weights * counted
    for k, (weight, variance) in enumerate(zip(rows, parameters.variances, strict=True)):
        if weight < 1e-3:
            warnings.warn(
                f"Component {k} has lost its rows (weight {parameters.weights[k]:.2g}). "
                "Ask for fewer components, or try other starts (n_init).",
                category,
                stacklevel=stacklevel,
            )
        elif variance < singular_variance:
            warnings.warn(
                f"Component {k} has collapsed onto single points (variance {variance:.2g}). "
                "Set min_variance, give a prior, or ask for fewer components.",
                category,
                stacklevel=stacklevel,
            )


def remember_names(estimator: Any) -> None:
    """Set scikit-learn's ``feature_names_in_`` from string column labels, or remove it."""
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    labels = estimator.column_labels_
    if labels is not None and all(isinstance(label, str) for label in labels.tolist()):
        estimator.feature_names_in_ = np.asarray(labels, dtype=object)
