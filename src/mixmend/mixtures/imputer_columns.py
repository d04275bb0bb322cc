"""What an imputer knows of columns by themselves: names, units, and what there is to model."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from mixmend.errors import DataError, EmptyEntityWarning
from mixmend.mixtures import options as checks
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_ROUNDING = 8 * np.finfo(np.float64).eps


class Columns(NamedTuple):
    """Facts about the observed values of each column, each of shape (d,).

    Attributes
    ----------
    center, scale : ndarray of float
        Mean and standard deviation; 0 and 1 without any value, 1 for a constant column.
    modelled : ndarray of bool
        Whether values differ.
    empty : ndarray of bool
        Whether nothing was observed.
    """

    center: Array
    scale: Array
    modelled: NDArray[np.bool_]
    empty: NDArray[np.bool_]


def columns_of(values: Array, weights: Array) -> Columns:
    """Facts about the columns of rows (n, d) that count ``weights`` (n,) times.

    Raises
    ------
    DataError
        If no cell is observed.

    Examples
    --------
    >>> facts = columns_of(np.array([[1.0, 5.0], [3.0, np.nan]]), np.ones(2))
    >>> facts.center, facts.scale, facts.modelled
    (array([2., 5.]), array([1., 1.]), array([ True, False]))
    """
    seen = ~np.isnan(values)
    if not seen.any():
        raise DataError("X has no observed cell: there is nothing to fit.")
    totals = weights @ seen
    empty = totals == 0
    safe = np.where(empty, 1.0, totals)
    center = (weights @ np.where(seen, values, 0.0)) / safe
    offsets = np.where(seen, values - center, 0.0)
    span = np.abs(offsets).max(axis=0)
    varying = span > _ROUNDING * np.abs(center)
    unit = np.where(varying, span, 1.0)  # squares of large numbers would overflow
    spread = unit * np.sqrt(weights @ np.square(offsets / unit) / safe)
    return Columns(center, np.where(varying, spread, 1.0), varying, empty)


def hole_mark(missing_values: Any) -> float:
    """The number that marks a hole, NaN or another."""
    plain = isinstance(missing_values, Real) and not isinstance(missing_values, bool | np.bool_)
    if not plain or np.isinf(float(missing_values)):
        raise checks.out_of_range("missing_values", missing_values, "NaN or a finite number")
    return float(missing_values)


class TableImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What any imputer of standardised columns needs around its model.

    Subclasses have the parameters ``missing_values``, ``add_indicator`` and
    ``keep_empty_features``; `fit` calls `_learn_columns`.
    """

    missing_values: Any
    add_indicator: bool
    keep_empty_features: bool | Literal["raise"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        mark = self.missing_values
        tags.input_tags.allow_nan = isinstance(mark, float) and bool(np.isnan(mark))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _learn_columns(self, values: NDArray[Any], weights: Array) -> None:
        """Set what is known of the columns from rows that count ``weights`` (n,) times."""
        counting = weights > 0
        facts = columns_of(values[counting].astype(np.float64), weights[counting])
        self.center_, self.scale_, self.modelled_, self.empty_ = facts
        self.kept_ = self._kept(facts.empty)
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(values)

    def _kept(self, empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
        choice = self.keep_empty_features
        if not (isinstance(choice, bool | np.bool_) or choice == "raise"):
            raise checks.out_of_range("keep_empty_features", choice, "True, False or 'raise'")
        if not empty.any() or (choice and choice != "raise"):
            return np.ones(len(empty), bool)
        names = _check_feature_names_in(self)[empty]
        shown = ", ".join(map(str, names[:3])) + (", …" if len(names) > 3 else "")
        many = "1 column has" if len(names) == 1 else f"{len(names)} columns have"
        if choice == "raise":
            raise DataError(
                f"{many} nothing observed ({shown}). Leave out what holds no value, or choose "
                "keep_empty_features=True (filled with 0) or False (dropped)."
            )
        warnings.warn(
            f"{many} nothing observed ({shown}) and will be dropped. Choose "
            "keep_empty_features=True to keep what holds no value, filled with 0.",
            EmptyEntityWarning,
            stacklevel=5,
        )
        return ~empty

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns given; by default as when fitted, or x0, x1, …
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        if self.indicator_ is None:
            return np.asarray(names[self.kept_], dtype=object)
        marks = self.indicator_.get_feature_names_out(names)
        return np.concatenate([names[self.kept_], marks])

    def _cells(self, X: Any, reset: bool) -> NDArray[Any]:
        """Floats, NaN in the holes: a copy."""
        mark = hole_mark(self.missing_values)
        plain = bool(np.isnan(mark))
        if isinstance(X, ObservedMatrix):
            X = X.dense if plain else np.where(np.isnan(X.dense), mark, X.dense)
        elif isinstance(X, np.ma.MaskedArray):
            X = np.ma.filled(X.astype(np.float64), mark)
        values = validate_data(
            self,
            X,
            reset=reset,
            dtype=FLOAT_DTYPES,
            copy=True,
            ensure_all_finite="allow-nan" if plain else True,
        )
        if not plain:
            values[values == mark] = np.nan
        return np.asarray(values)

    def _standardised(self, values: NDArray[Any]) -> Array:
        own = self.modelled_
        return np.asarray((values[:, own] - self.center_[own]) / self.scale_[own], np.float64)

    def _without_model(self, values: NDArray[Any]) -> NDArray[Any]:
        """Fill the holes with constants; NaN stays where the mixture has to say something."""
        holes = np.isnan(values) & ~self.modelled_
        return np.where(holes, self.center_.astype(values.dtype), values)

    def _merged(self, filled: NDArray[Any], standardised: Array) -> NDArray[Any]:
        """Put what the mixture says, in the columns' own units, into the remaining holes."""
        own = self.modelled_
        said = standardised * self.scale_[own] + self.center_[own]
        out = filled.copy()
        out[..., own] = np.where(np.isnan(filled[..., own]), said, filled[..., own])
        return out

    def _with_indicator(self, filled: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        filled = filled[:, self.kept_]
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, self.indicator_.transform(values).astype(filled.dtype)])
