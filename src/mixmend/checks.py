"""Checks of single options and arrays that users set and give: one clear sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import MixmendError, ModelFileError


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


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of the names that there are."""
    if not isinstance(value, str) or value not in choices:
        raise bad_option(name, value, choices)
    return value


def finite_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of finite numbers of a given shape."""
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise MixmendError(f"{name} must have shape {shape}; got {array.shape}.")
    if not np.all(np.isfinite(array)):
        raise MixmendError(f"{name} must be finite; it holds {array[~np.isfinite(array)][0]}.")
    return array


def require_arrays(
    arrays: dict[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], positive: bool = False
) -> None:
    """Refuse a model file's arrays that are missing, of another shape or not finite numbers."""
    for name, shape in shapes.items():
        if name not in arrays:
            raise ModelFileError(f"The model file lacks the array {name!r}. Save the model again.")
        array = arrays[name]
        if array.shape != shape:
            raise ModelFileError(
                f"The model file's array {name!r} has shape {array.shape}, not {shape}. "
                "Save the model again."
            )
        if array.dtype.kind != "f" or not np.all(np.isfinite(array)):
            raise ModelFileError(
                f"The model file's array {name!r} must hold finite numbers. Save the model again."
            )
        if positive and np.any(array < 0):
            raise ModelFileError(
                f"The model file's array {name!r} must not be negative. Save the model again."
            )


def remember_names(estimator: Any) -> None:
    """Set scikit-learn's ``feature_names_in_`` from string column labels, or remove it."""
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    labels = estimator.column_labels_
    if labels is not None and all(isinstance(label, str) for label in labels.tolist()):
        estimator.feature_names_in_ = np.asarray(labels, dtype=object)
