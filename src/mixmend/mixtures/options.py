"""Checks of what users set and give: one clear sentence each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import (
    bad_option,
    finite_array,
    number,
    one_of,
    out_of_range,
    remember_names,
    require_arrays,
    whole,
)
from mixmend.errors import DataError, MixmendError
from mixmend.mixtures.diagonal import INDEPENDENCE_WARNING
from mixmend.mixtures.fixed import fixed_mask
from mixmend.mixtures.priors import PRIORS, VARIATIONAL_DEFAULTS, Prior, settled
from mixmend.observed.matrix import ObservedMatrix

CENTERS = ("none", "columns", "rows", "biases")
COVARIANCE_TYPES = ("spherical", "diag", "tied", "full", "factor")
INITS = ("k-means++", "kmeans", "random", "random_from_data")
INFERENCES = ("em", "variational")


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a mixture fit."""

    covariance_type: str
    n_components: int
    n_init: int
    init_params: str
    tol: float
    max_iter: int
    min_variance: float
    min_support: float
    prior: Prior | None
    center: str
    accelerate: bool
    screen: int
    n_factors: int | None
    fixed: NDArray[np.bool_] | None = None
    learning_decay: float = 0.7
    learning_offset: float = 1.0
    inference: str = "em"


def checked(estimator: Any) -> Options:
    """The options of a mixture estimator, each of the right type and in its range."""
    covariance_type = one_of("covariance_type", estimator.covariance_type, COVARIANCE_TYPES)
    center = one_of("center", estimator.center, CENTERS)
    if covariance_type != "spherical" and center != "none":
        raise MixmendError(
            f"center={center!r} needs covariance_type='spherical'; with {covariance_type!r} the "
            "components have column means of their own, and rows no offsets."
        )
    inference = one_of("inference", estimator.inference, INFERENCES)
    if inference == "variational":
        _check_variational(estimator)
    n_components = whole("n_components", estimator.n_components, 1)
    prior = _prior(estimator.prior, covariance_type, inference, n_components)
    fixed = fixed_mask(estimator.fixed_components, n_components)
    if fixed is not None and getattr(prior, "mean_variance", None) is not None:
        raise MixmendError(
            "fixed_components have means that are known, but this prior learns how sure all means "
            "are. Set prior=None, or SphericalPrior(mean_variance=None)."
        )
    return Options(
        covariance_type=covariance_type,
        n_components=n_components,
        n_init=whole("n_init", estimator.n_init, 1),
        init_params=one_of("init_params", estimator.init_params, INITS),
        tol=number("tol", estimator.tol),
        max_iter=whole("max_iter", estimator.max_iter, 0),
        min_variance=number("min_variance", estimator.min_variance),
        min_support=number("min_support", estimator.min_support),
        prior=prior,
        center=center,
        accelerate=bool(estimator.accelerate),
        screen=whole("screen", estimator.screen, 0),
        n_factors=_rank(estimator.n_factors, covariance_type),
        fixed=fixed,
        learning_decay=_decay(estimator.learning_decay),
        learning_offset=number("learning_offset", estimator.learning_offset),
        inference=inference,
    )


def _check_variational(estimator: Any) -> None:
    """Refuse what variational fits do not know."""
    if estimator.covariance_type == "factor":
        raise MixmendError(
            "inference='variational' knows the covariance types 'spherical', 'diag', 'tied' and "
            "'full', not 'factor'. Choose one of them, or inference='em' with a prior."
        )
    if estimator.fixed_components is not None:
        raise MixmendError(
            "fixed_components are values, but inference='variational' finds distributions. "
            "Leave one of them out."
        )
    for name in ("min_variance", "min_support"):
        if number(name, getattr(estimator, name)) > 0:
            raise MixmendError(
                f"{name}={getattr(estimator, name)!r} has no meaning where "
                "inference='variational': priors hold what it would. Set it to 0."
            )


def _decay(value: Any) -> float:
    if not 0.5 < number("learning_decay", value) <= 1.0:
        raise out_of_range("learning_decay", value, "greater than 0.5 and at most 1")
    return float(value)


def _prior(prior: Any, covariance_type: str, inference: str, n_components: int) -> Prior | None:
    variational = inference == "variational"
    if prior is None and not variational:
        return None
    kind = PRIORS[covariance_type]
    if prior is None or (isinstance(prior, str) and prior == "default"):
        prior = kind(**(VARIATIONAL_DEFAULTS.get(covariance_type, {}) if variational else {}))
    if isinstance(prior, kind):
        given: Prior = settled(prior, variational, n_components)
        return given
    where = "" if covariance_type == "spherical" else f" with covariance_type={covariance_type!r}"
    raise MixmendError(f"prior must be None, 'default' or a {kind.__name__}{where}; got {prior!r}.")


class GivenStart(NamedTuple):
    """What the user gave of a start; the rest (None) is found as without it."""

    weights: NDArray[np.float64] | None
    means: NDArray[np.float64] | None
    covariances: NDArray[np.float64] | None


def _rank(n_factors: Any, covariance_type: str) -> int | None:
    if covariance_type != "factor":
        if n_factors is not None:
            raise MixmendError(
                f"n_factors={n_factors!r} needs covariance_type='factor'; "
                f"it is {covariance_type!r}."
            )
        return None
    if n_factors is None:
        raise MixmendError(
            "covariance_type='factor' needs n_factors, the rank of the covariances beside their "
            "diagonal: for example n_factors=5."
        )
    return whole("n_factors", n_factors, 1)


def given_start(estimator: Any, d: int, covariance_shape: tuple[int, ...]) -> GivenStart | None:
    """Start parameters that the user gave, checked; None where there are none."""
    if estimator.means_init is None and estimator.fixed_components is not None:
        raise MixmendError(
            "fixed_components keep the values that they start with: give means_init (and "
            "covariances_init), or fit once and go on with warm_start=True."
        )
    weights = means = covariances = None
    n_components = estimator.n_components
    if estimator.means_init is not None:
        means = finite_array("means_init", estimator.means_init, (n_components, d))
    if estimator.weights_init is not None:
        weights = finite_array("weights_init", estimator.weights_init, (n_components,))
        if np.any(weights < 0) or not np.isclose(weights.sum(), 1.0):
            raise MixmendError(
                f"weights_init must be non-negative and sum to 1; its sum is {weights.sum():g}."
            )
    if estimator.covariances_init is not None:
        covariances = finite_array("covariances_init", estimator.covariances_init, covariance_shape)
        matrices = estimator.covariance_type in ("full", "tied", "factor")
        smallest = np.linalg.eigvalsh(covariances).min() if matrices else covariances.min()
        if smallest <= 0:
            raise MixmendError(f"covariances_init must be positive (definite); got {smallest:g}.")
    given = GivenStart(weights, means, covariances)
    return None if all(part is None for part in given) else given


def continued_start(parameters: Any, options: Options) -> Any:
    """The parameters of an earlier fit as a start, if they have as many components.

    Variational fits end with fewer than they begin with, and go on from those; EM goes on
    from what they predict.
    """
    fitted, variational = len(parameters.weights), options.inference == "variational"
    if fitted > options.n_components or (fitted < options.n_components and not variational):
        raise MixmendError(
            f"warm_start goes on from the {fitted} components of the last fit, but n_components "
            f"is {options.n_components}. Set warm_start=False to begin anew."
        )
    return (
        parameters.predictive()
        if hasattr(parameters, "predictive") and not variational
        else (parameters)
    )


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
    _require_squares(obs)


def _require_squares(obs: ObservedMatrix) -> None:
    """Refuse values whose squares overflow, or are all lost to underflow."""
    # complete rows are worked on as they are: entries by row would be a copy
    values = obs.dense if obs.is_complete else obs.by_row.values
    single = values.dtype == np.float32
    least, most = (1e-15, 1e17) if single else (1e-145, 1e148)
    largest = max(abs(float(values.min())), abs(float(values.max())))
    if largest == 0.0 or least <= largest <= most:
        return
    fault, cure = ("large", "divided") if largest > most else ("small", "multiplied")
    power = 10.0 ** abs(np.floor(np.log10(largest)))
    raise DataError(
        f"The values are too {fault} (the largest is {largest:.3g}): their squares leave the "
        f"range of {values.dtype}. Give them in another unit, for example {cure} by "
        f"{power:.0e}{', or as float64' if single else ''}."
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
    weights: NDArray[np.float64],
    collapsed: bool,
    counted: int,
    category: type[Warning],
    stacklevel: int,
) -> None:
    """Say that components have lost their ``counted`` rows, or fallen onto points."""
    for k in np.flatnonzero(weights * counted < 1e-3):
        warnings.warn(
            f"Component {k} has lost its rows (weight {weights[k]:.2g}). "
            "Ask for fewer components, or try other starts (n_init).",
            category,
            stacklevel=stacklevel,
        )
    if collapsed and len(weights) > 1:
        warnings.warn(
            "A component has collapsed onto single points (its variance is next to nothing). "
            "Set min_variance, give a prior, or ask for fewer components.",
            category,
            stacklevel=stacklevel,
        )


def counted_rows(obs: ObservedMatrix) -> int:
    """Rows that count: what matters is shares of rows, row weights may be in any unit."""
    return int(obs.shape[0] if obs.row_weights is None else np.count_nonzero(obs.row_weights))


def warn_of_independence(
    estimator: Any, obs: ObservedMatrix, category: type[Warning], stacklevel: int
) -> None:
    """Say that one diagonal component sees no dependence, which holes may hang on."""
    d = obs.shape[1]
    blind = estimator.covariance_type in ("spherical", "diag") and estimator.n_components == 1
    if blind and estimator.center in ("none", "columns") and d > 1 and not obs.is_complete:
        warnings.warn(
            INDEPENDENCE_WARNING.format(name=estimator.covariance_type),
            category,
            stacklevel=stacklevel,
        )


__all__ = [
    "CENTERS",
    "COVARIANCE_TYPES",
    "INITS",
    "GivenStart",
    "Options",
    "bad_option",
    "checked",
    "continued_start",
    "finite_array",
    "given_start",
    "number",
    "one_of",
    "out_of_range",
    "remember_names",
    "require_arrays",
    "require_rows",
    "warn_of_collapse",
    "warn_of_empty",
    "warn_of_independence",
    "whole",
]
