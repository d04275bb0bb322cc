"""MixtureImputer: holes filled inside scikit-learn pipelines."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from mixmend.errors import DataError, EmptyEntityWarning
from mixmend.mixtures import options as checks
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_ROUNDING = 8 * np.finfo(np.float64).eps


class MixtureImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fill holes with what a Gaussian mixture expects there, given the rest of the row.

    A transformer in scikit-learn's sense. `fit` standardises each column by its observed
    values and fits a `GaussianMixture` to the observed cells; `transform` conditions it on
    what each row observes, whatever that is: columns that have holes for the first time and
    patterns never seen need no special treatment. Units are undone at the end.

    Parameters
    ----------
    n_components : int, default 1
        Number of mixture components. One with ``covariance_type="full"`` is linear
        regression of every hole on all that its row observes, fitted by EM.
    covariance_type : str, default "full"
        As in `GaussianMixture`. Only types with dependence between columns learn from one
        column about another when there is a single component.
    missing_values : float, default NaN
        What marks a hole. With another mark than NaN, NaN is refused.
    add_indicator : bool, default False
        Whether `transform` appends a column of 0 and 1 for each column that had holes when
        fitted, as `sklearn.impute.MissingIndicator` makes them.
    keep_empty_features : bool or "raise", default False
        What becomes of columns without any observed value when fitted: False drops them
        with a warning, True keeps them, their holes filled with 0 (observed values in them
        stay), "raise" refuses them.
    sample_posterior : bool, default False
        Whether `transform` fills with one joint draw in place of the expected values. For
        several, see `impute_samples`.
    n_init : int, default 1
        Starts of EM, of which the best is kept; worth raising with several components.
    prior : "auto", None, "default" or a prior, default "auto"
        As in `GaussianMixture`, for standardised columns. "auto" is its weak "default" prior
        for "diag", "tied" and "full", and None for others. Tables are often short
        for the d^2 / 2 numbers of a covariance: maximum likelihood (None) then fills worse
        and states deviations that are too small.
    min_variance : float, default 1e-6
        Floor of variances, in units of the columns' own variances.
    max_iter, tol : int, default 500, and float, default 1e-6
        When EM stops, as in `GaussianMixture`.
    n_factors : int, optional
        Rank of the covariances of "factor" beside their diagonal.
    random_state : int, Generator, RandomState or None, default None
        Makes starts and draws reproducible. With an int, every call draws the same.
    verbose : int, default 0
        1 shows progress.

    Attributes
    ----------
    mixture_ : GaussianMixture or None
        Fitted to the standardised columns that vary; None if none does.
    center_, scale_ : ndarray, shape (d,)
        Mean and standard deviation of each column's observed values; 0 and 1 for a column
        without any, and 1 for a constant one.
    modelled_ : ndarray of bool, shape (d,)
        Which columns the mixture is about: those with different observed values. Holes of a
        constant column are filled with the constant.
    empty_ : ndarray of bool, shape (d,)
        Which columns had nothing observed.
    kept_ : ndarray of bool, shape (d,)
        Which columns `transform` gives.
    indicator_ : MissingIndicator or None
        What makes the columns of ``add_indicator``.
    n_iter_ : int
        EM steps of the best start.

    Raises
    ------
    DataError
        If nothing is observed, or a column is empty and must not be.

    Warns
    -----
    EmptyEntityWarning
        If columns without observed values are dropped.
    ConvergenceWarning, CollapsedComponentWarning
        As `GaussianMixture`.

    Notes
    -----
    Integers and booleans are taken as numbers and come back as floats, since an expected
    value need not be whole; float32 comes back as float32. Observed cells keep their values
    exactly. Draws are from the distribution of the holes given the fitted parameters: doubt
    about the parameters themselves is included only as far as a prior brings it in.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> X = [[1.0, 20.0], [1.2, np.nan], [8.0, 90.0], [7.8, 88.0], [np.nan, 21.0]]
    >>> imputer = mm.MixtureImputer(
    ...     n_components=2, covariance_type="spherical", min_variance=1e-3, random_state=0
    ... )
    >>> imputer.fit_transform(X).round(1)
    array([[ 1. , 20. ],
           [ 1.2, 20.5],
           [ 8. , 90. ],
           [ 7.8, 88. ],
           [ 1.1, 21. ]])
    >>> imputer.impute_samples(X, n_samples=3).shape
    (3, 5, 2)
    """

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "full",
        *,
        missing_values: float = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool | Literal["raise"] = False,
        sample_posterior: bool = False,
        n_init: int = 1,
        prior: Any = "auto",
        min_variance: float = 1e-6,
        max_iter: int = 500,
        tol: float = 1e-6,
        n_factors: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.sample_posterior = sample_posterior
        self.n_init = n_init
        self.prior = prior
        self.min_variance = min_variance
        self.max_iter = max_iter
        self.tol = tol
        self.n_factors = n_factors
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        mark = self.missing_values
        tags.input_tags.allow_nan = isinstance(mark, float) and bool(np.isnan(mark))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to the observed cells of X.

        Parameters
        ----------
        X : array-like or data frame, shape (n, d)
            Numbers with holes; also a masked array or an ObservedMatrix.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            How often each row counts.

        Returns
        -------
        MixtureImputer
            Itself.
        """
        checks.whole("n_components", self.n_components, 1)
        values = self._cells(X, reset=True)
        weights = np.ones(len(values))
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, values, ensure_non_negative=True)
        counting = weights > 0
        self._standardise(values[counting].astype(np.float64), weights[counting])
        self.mixture_ = self._fitted_mixture(values, None if sample_weight is None else weights)
        self.n_iter_ = 1 if self.mixture_ is None else max(1, self.mixture_.n_iter_)
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(values)
        return self

    def _standardise(self, values: Array, weights: Array) -> None:
        """Set ``center_``, ``scale_``, ``kept_`` and ``modelled_`` from the rows that count."""
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
        self.center_, self.scale_ = center, np.where(varying, spread, 1.0)
        self.modelled_, self.empty_ = varying, empty
        self.kept_ = self._kept(empty)

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
            stacklevel=4,
        )
        return ~empty

    def _fitted_mixture(self, values: NDArray[Any], weights: Array | None) -> Any:
        if not self.modelled_.any():
            return None
        rows = self._standardised(values)
        telling = ~np.isnan(rows).all(axis=1)  # the others say nothing and slow EM down
        mixture = GaussianMixture(
            self.n_components,
            self.covariance_type,  # type: ignore[arg-type, unused-ignore]
            n_init=self.n_init,
            prior=_resolved(self.prior, self.covariance_type),
            min_variance=self.min_variance,
            max_iter=self.max_iter,
            tol=self.tol,
            n_factors=self.n_factors,
            random_state=self.random_state,
            verbose=self.verbose,
        )
        return mixture.fit(rows[telling], None, None if weights is None else weights[telling])

    # ------------------------------------------------------------------ filling

    def transform(self, X: Any) -> NDArray[Any]:
        """Fill the holes: with expected values, or with a draw (``sample_posterior``).

        Parameters
        ----------
        X : array-like or data frame, shape (n, d)
            Rows with the columns that the imputer was fitted to.

        Returns
        -------
        ndarray or what `set_output` asks for, shape (n, columns kept + indicators)
            Observed cells keep their values.
        """
        check_is_fitted(self)
        values = self._cells(X, reset=False)
        if self.sample_posterior:
            return self._with_indicator(self._drawn(values, 1)[0], values)
        filled = self._without_model(values)
        if self.mixture_ is not None:
            expected = self.mixture_.complete(self._standardised(values))
            filled = self._merged(filled, expected)
        return self._with_indicator(filled, values)

    def transform_std(self, X: Any) -> NDArray[Any]:
        """Say how unsure each cell of `transform` is: predictive standard deviations.

        Returns
        -------
        ndarray, shape (n, columns kept)
            In the units of each column; 0 where observed and in the holes of constant
            columns, NaN in the holes of columns of which nothing was known when fitted.
        """
        check_is_fitted(self)
        values = self._cells(X, reset=False)
        std = np.where(np.isnan(values) & self.empty_, np.nan, 0.0)
        if self.mixture_ is not None:
            _, spread = self.mixture_.complete(self._standardised(values), return_std=True)
            std[:, self.modelled_] = spread * self.scale_[self.modelled_]
        return np.asarray(std[:, self.kept_].astype(values.dtype, copy=False))

    def impute_samples(self, X: Any, n_samples: int = 5) -> NDArray[Any]:
        """Multiple imputation: fill the holes several times by draws.

        Parameters
        ----------
        X : array-like or data frame, shape (n, d)
            Rows with the columns that the imputer was fitted to.
        n_samples : int, default 5
            How many filled tables.

        Returns
        -------
        ndarray, shape (n_samples, n, columns kept)
            Each row's holes are drawn together, component first, from their distribution
            given what the row observes. Analyse each table by itself and pool the results
            by Rubin's rules.
        """
        check_is_fitted(self)
        count = checks.whole("n_samples", n_samples, 1)
        return self._drawn(self._cells(X, reset=False), count)[:, :, self.kept_]

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
        mark = _mark(self.missing_values)
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

    def _drawn(self, values: NDArray[Any], count: int) -> NDArray[Any]:
        filled = np.broadcast_to(self._without_model(values), (count, *values.shape))
        if self.mixture_ is None:
            return filled.copy()
        return self._merged(filled, self.mixture_.impute_samples(self._standardised(values), count))

    def _with_indicator(self, filled: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        filled = filled[:, self.kept_]
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, self.indicator_.transform(values).astype(filled.dtype)])


def _resolved(prior: Any, covariance_type: str) -> Any:
    """What "auto" stands for; anything else is the mixture's to judge."""
    if isinstance(prior, str) and prior == "auto":
        return "default" if covariance_type in ("diag", "tied", "full") else None
    return prior


def _mark(missing_values: Any) -> float:
    """The number that marks a hole, NaN or another."""
    plain = isinstance(missing_values, Real) and not isinstance(missing_values, bool | np.bool_)
    if not plain or np.isinf(float(missing_values)):
        raise checks.out_of_range("missing_values", missing_values, "NaN or a finite number")
    return float(missing_values)
