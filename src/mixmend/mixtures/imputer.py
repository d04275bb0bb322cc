"""MixtureImputer: holes filled inside scikit-learn pipelines."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from mixmend.completion.predictive import Predictive
from mixmend.mixtures import options as checks
from mixmend.mixtures import stacking
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.imputer_columns import TableImputer
from mixmend.mixtures.imputer_options import USUAL_FLOOR, is_auto, mixture_of
from mixmend.mixtures.stack import FoldedStack, Stack
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator

Array = NDArray[np.float64]


class MixtureImputer(TableImputer):
    """Fill holes with what a Gaussian mixture expects there, given the rest of the row.

    A transformer in scikit-learn's sense. `fit` standardises each column by its observed
    values and fits a `GaussianMixture` to the observed cells; `transform` conditions it on
    what each row observes, whatever that is: columns that have holes for the first time and
    patterns never seen need no special treatment. Units are undone at the end.

    Parameters
    ----------
    n_components : int or "auto", default 1
        Number of mixture components. One with ``covariance_type="full"`` is linear
        regression of every hole on all that its row observes, fitted by EM. "auto" fits
        several mixtures, of different numbers of components, with the columns as they are
        and on a scale closer to normal, and averages their predictions; their shares, and
        how wide intervals are, are learned from a tenth of the observed cells, held out
        (stacking). It errs least, and takes three to fourteen times as long.
    covariance_type : str, default "full"
        As in `GaussianMixture`. Only types with dependence between columns learn from one
        column about another when there is a single component. Leave it for "auto".
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
    inference : {"em", "variational"}, default "em"
        As in `GaussianMixture`. "variational" leaves out components that the rows do not ask
        for; its predictions include doubt about all parameters. Leave it for "auto".
    init_params : str, default "k-means++"
        Where fits start, as in `GaussianMixture`. Leave it for "auto".
    n_init : int, default 1
        Starts of EM, of which the best is kept; worth raising with several components.
    prior : "auto", None, "default" or a prior, default "auto"
        As in `GaussianMixture`, for standardised columns. "auto" is its weak "default" prior,
        and None for "spherical". Tables are often short
        for the d^2 / 2 numbers of a covariance: maximum likelihood (None) then fills worse
        and states deviations that are too small. Leave it for ``n_components="auto"``.
    parameter_uncertainty : bool, default True
        Whether predictions are as much wider as the covariances are uncertain, having been
        estimated: for "full" and "tied" with a prior. It matters for short tables, and for
        rows unlike the others.
    min_variance : float, default 1e-6
        Floor of variances, in units of the columns' own variances.
    max_iter, tol : int, default 500, and float, default 1e-6
        When EM stops, as in `GaussianMixture`. The many mixtures of "auto" stop at 6
        accelerated steps and 5e-4 at the latest: their average gains nothing from more.
    n_factors : int, optional
        Rank of the covariances of "factor" beside their diagonal.
    random_state : int, Generator, RandomState or None, default None
        Makes starts and draws reproducible. With an int, every call draws the same.
    verbose : int, default 0
        1 shows progress.

    Attributes
    ----------
    mixture_ : GaussianMixture or None
        Fitted to the standardised columns that vary; None if none does. For "auto" the one
        with the largest share among those of the columns as they are.
    stack_ : Stack or None
        All mixtures, ``learners`` and their ``shares``, and the factor ``spread`` of the
        standard deviations. One learner unless "auto".
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
    MixmendError
        If an option is out of its range, or set beside "auto".

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
    exactly.

    Standard deviations, draws and `predictive` distributions are of the values that would be
    found, given the rest of the row. With ``parameter_uncertainty`` a component's conditional
    variances are those of a regression whose coefficients were estimated, from the rows that
    observe the hole's column: unbiased, and wider for rows unlike those (see
    `mixmend.mixtures.doubt`; where other cells are missing, an approximation). With "auto" they
    are multiplied besides so that 90 % intervals would have held 90 % of the cells held out.
    Neither can make good for holes that depend on what they hide.

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
        n_components: int | Literal["auto"] = 1,
        covariance_type: str = "full",
        *,
        missing_values: float = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool | Literal["raise"] = False,
        sample_posterior: bool = False,
        inference: Literal["em", "variational"] = "em",
        init_params: str = "k-means++",
        n_init: int = 1,
        prior: Any = "auto",
        parameter_uncertainty: bool = True,
        min_variance: float = USUAL_FLOOR,
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
        self.inference = inference
        self.init_params = init_params
        self.n_init = n_init
        self.prior = prior
        self.parameter_uncertainty = parameter_uncertainty
        self.min_variance = min_variance
        self.max_iter = max_iter
        self.tol = tol
        self.n_factors = n_factors
        self.random_state = random_state
        self.verbose = verbose

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
        auto = is_auto(self)
        values = self._cells(X, reset=True)
        weights = np.ones(len(values))
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, values, ensure_non_negative=True)
        self._learn_columns(values, weights)
        self.mixture_, self.stack_ = None, None
        if self.modelled_.any():
            rows = self._standardised(values)
            telling = ~np.isnan(rows).all(axis=1)  # the others say nothing and slow EM down
            counts = None if sample_weight is None else weights[telling]
            learn = self._stacked if auto else self._single
            self.mixture_, self.stack_ = learn(rows[telling], counts)
        self.n_iter_ = 1 if self.mixture_ is None else max(1, self.mixture_.n_iter_)
        return self

    def _single(self, rows: Array, weights: Array | None) -> tuple[GaussianMixture, Stack]:
        mixture = mixture_of(self).fit(rows, None, weights)
        return mixture, stacking.single(mixture, rows, weights, self.parameter_uncertainty)

    def _stacked(self, rows: Array, weights: Array | None) -> tuple[GaussianMixture, Stack]:
        usual = stacking.Settings()
        settings = stacking.Settings(
            n_init=checks.whole("n_init", self.n_init, 1),
            min_variance=self.min_variance,
            max_iter=min(usual.max_iter, checks.whole("max_iter", self.max_iter, 1)),
            tol=max(usual.tol, self.tol),
            doubt=self.parameter_uncertainty,
            seed=int(as_generator(self.random_state).integers(2**31)),
            verbose=bool(self.verbose),
        )
        stack, interrupted = stacking.learn(rows, weights, settings)
        if interrupted:
            warnings.warn(
                f"Interrupted: {len(stack.learners)} mixtures had been fitted and are averaged.",
                ConvergenceWarning,
                stacklevel=3,
            )
        plain = [at for at, learner in enumerate(stack.learners) if learner.scores is None]
        return stack.learners[max(plain, key=lambda at: stack.shares[at])].mixture, stack

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
        if self.stack_ is not None:
            folded = self._folded(values, variance=False)
            expected, _ = folded.moments(slice(0, len(values)), variance=False)
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
        if self.stack_ is not None:
            _, variance = self._folded(values).moments(slice(0, len(values)))
            assert variance is not None
            std[:, self.modelled_] = np.sqrt(variance) * self.scale_[self.modelled_]
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

    def predictive(self, X: Any, rows: ArrayLike, columns: ArrayLike) -> Predictive:
        """Predictive distributions of chosen cells, in the units of their columns.

        Parameters
        ----------
        X : array-like or data frame, shape (n, d)
            Rows with the columns that the imputer was fitted to.
        rows, columns : array-like of int, shape (m,)
            Positions of the cells in X.

        Returns
        -------
        Predictive
            A mixture of normal distributions for each cell, for the functions of
            `mixmend.completion.predictive`: intervals, quantiles, densities. What is known
            (observed cells, constant columns) has variance 0, what nothing is known of
            (columns that were empty) has variance NaN.
        """
        check_is_fitted(self)
        values = self._cells(X, reset=False)
        at_rows, at_columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        asked = self.modelled_[at_columns] & np.isnan(values[at_rows, at_columns])
        known = self._without_model(values)[at_rows, at_columns]
        unknown = self.empty_[at_columns] & np.isnan(values[at_rows, at_columns])
        if self.stack_ is None:
            sure = np.where(unknown, np.nan, 0.0)
            return Predictive(np.ones((len(known), 1)), known[:, None], sure[:, None])
        place = np.cumsum(self.modelled_) - 1  # among the columns that are modelled
        cells = self._folded(values).cells(at_rows[asked], place[at_columns[asked]])
        shape = (len(known), cells.means.shape[1])
        weights = np.full(shape, 1.0 / shape[1])
        means = np.repeat(known.astype(np.float64)[:, None], shape[1], axis=1)
        variances = np.repeat(np.where(unknown, np.nan, 0.0)[:, None], shape[1], axis=1)
        scale = self.scale_[at_columns[asked], None]
        weights[asked] = cells.weights
        means[asked] = cells.means * scale + self.center_[at_columns[asked], None]
        variances[asked] = cells.variances * scale**2
        return Predictive(weights, means, variances)

    def _folded(self, values: NDArray[Any], variance: bool = True) -> FoldedStack:
        """The rows conditioned under every mixture; without ``variance`` for means alone."""
        assert self.stack_ is not None
        obs = as_observed(self._standardised(values), copy=False)
        return self.stack_.fold(obs, variance)

    def _drawn(self, values: NDArray[Any], count: int) -> NDArray[Any]:
        filled = np.broadcast_to(self._without_model(values), (count, *values.shape))
        if self.stack_ is None:
            return filled.copy()
        drawn = self._folded(values).draws(as_generator(self.random_state), count)
        return self._merged(filled, drawn)
