"""MatrixFactorization: rows and columns as vectors, fitted by exact regressions in turn."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mixmend import checks
from mixmend.errors import EmptyEntityWarning
from mixmend.factors import saving
from mixmend.factors.description import RowDescription, describe
from mixmend.factors.fitting import FactorFit, fit_factors, noise_variance
from mixmend.factors.folded import FoldedFactors
from mixmend.factors.problem import (
    Options,
    Problem,
    check_validation,
    checked,
    pose,
    row_means,
)
from mixmend.factors.steps import State, folded_rows
from mixmend.factors.verbs import FeaturedCompleter
from mixmend.mixtures.options import warn_of_empty
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class MatrixFactorization(
    FeaturedCompleter,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Matrix factorisation on the observed cells of a matrix with holes.

    A cell is the product of its row's and its column's factors, beside what is subtracted
    or fitted as effects: ``x_ui = offset_u + q_u . p_i (+ b_u + c_i) + noise``.

    Parameters
    ----------
    n_factors : int, default 100
        Number of factors, r.
    regularization : float, default 1.0
        Lambda, in squared units of the data: what is lowered is ``sum of squared residuals +
        lambda (sum |q_u|^2 + sum |p_i|^2)``. Ignored with ``inference="variational"``.
    center : {"row", "none", "biases"}, default "row"
        "row" subtracts each row's mean over its observed cells; "biases" subtracts the mean
        of all and fits an effect of every row and column jointly with the factors.
    init : {"random", "svd"}, default "random"
        Where factors start: at random, or at the truncated singular value decomposition
        of the centred matrix with 0 in its holes.
    max_iter : int, default 100
        Most steps; a step solves all columns, then all rows.
    patience : int, default 5
        With validation entries: evaluations without improvement after which the fit stops.
    eval_every : int, default 1
        Steps between evaluations.
    tol : float, default 1e-5
        Without validation entries: the fit stops when a step gains at most this share of the
        objective; 0 takes ``max_iter`` steps.
    inference : {"ridge", "variational"}, default "ridge"
        "ridge" is alternating least squares. "variational" gives every row and column a
        Gaussian posterior and learns how strong each factor, the effects and the noise are:
        more accurate, no lambda to choose, and honest standard deviations; meant for up to
        some 50 factors.
    weighting : {"constant", "counts"}, default "constant"
        "counts" multiplies lambda by the number of entries of each row and column (Zhou et
        al. 2008). Ridge only.
    solver : {"auto", "cholesky", "cg"}, default "auto"
        How ridge half-steps are solved. "cholesky": exactly. "cg": ``cg_steps`` conjugate
        gradient steps from where each line is (Takács, Pilászy & Tikk 2011), which never
        form its system; afterwards the rows are solved exactly once. "auto": "cg" from 64
        factors on, where a half-step costs a third or less and gains nearly as much.
    cg_steps : int, default 3
        Conjugate gradient steps of each line in a half-step.
    bias_regularization : float, optional
        Lambda of the effects; by default the same. Ridge only.
    implicit : bool or int, default False
        Whether what a row observed, whatever the values, counts as features of the row (who
        watches war films tells something about himself before he rates them), and who
        observed a column as features of the column; a number says how many directions of
        that to take (at most one fewer than rows and columns), True takes 30.
    feature_regularization : float, default 10.0
        With features: how many lines of mean square 1 the prior of a regression weight
        counts for, gamma of ``lambda gamma |W|^2``. Ridge only.
    missing_features : {"error", "unknown"}, default "error"
        What rows and columns are that have no line among the features given: an error, or
        lines of which nothing is known.
    random_state : int, Generator, RandomState or None, default None
        Makes starts reproducible.
    verbose : int, default 0
        1 shows progress.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shape (n, r) and (d, r)
        Factors (posterior means) of the best step.
    row_effects_, column_effects_ : ndarray, shape (n,) and (d,)
        Effects with ``center="biases"``; zeros otherwise.
    mean_ : float
        Mean of the observed cells (0 with ``center="none"``): the offset of rows of which
        nothing is known.
    noise_variance_ : float
        Variance of a cell around its product: learned (variational), measured on validation
        entries, or else that of the training residuals, degrees of freedom taken off.
    factor_variances_ : ndarray, shape (r,)
        Variance that each factor adds to a cell: the product of both sides' prior variances.
    row_feature_weights_, column_feature_weights_ : ndarray, shape (F, r) and (G, r)
        With features: what each adds to the expected factors; ``row_feature_names_`` and
        ``column_feature_names_`` name them. Without: no lines.
    row_feature_effects_, column_feature_effects_ : ndarray, shape (F,) and (G,)
        What each adds to the expected effect; zeros without ``center="biases"``.
    history_ : list of dict
        ``iteration``, ``objective``, ``train_rmse`` and, with validation entries,
        ``validation_rmse`` at every evaluation. The objective never rises.
    n_iter_, best_iteration_ : int
        Steps taken, and the one whose factors were kept.
    converged_, interrupted_ : bool
        Whether ``tol`` or ``patience`` ended the fit; whether Ctrl-C did.
    n_features_in_ : int
        Columns, d.

    Raises
    ------
    DataError
        If nothing is observed, if there are more factors than rows or columns, or if
        validation entries do not belong to the same rows and columns.
    MixmendError
        For an option out of its range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` was reached without validation entries, or after Ctrl-C.

    References
    ----------
    Zhou, Wilkinson, Schreiber & Pan (2008), Large-scale parallel collaborative filtering for
    the Netflix Prize. Lim & Teh (2007), Variational Bayesian approach to movie rating
    prediction. Takács, Pilászy & Tikk (2011), Applications of the conjugate gradient method
    for implicit feedback collaborative filtering.

    Examples
    --------
    >>> import numpy as np, mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 12))
    >>> hidden = X[0, 0]
    >>> X[0, 0] = np.nan
    >>> model = mm.MatrixFactorization(
    ...     2, regularization=1e-3, center="none", max_iter=500, tol=1e-9, random_state=0
    ... ).fit(X)
    >>> bool(abs(model.complete(X)[0, 0] - hidden) < 0.01)
    True

    What is known of a row beside its cells predicts it where it has none:

    >>> ages = rng.normal(size=(60, 1))
    >>> Y = ages @ rng.normal(size=(1, 12))
    >>> cell, Y[0, :] = Y[0, 3], np.nan
    >>> model = mm.MatrixFactorization(1, center="none", inference="variational", random_state=0)
    >>> bool(abs(model.fit(Y, row_features=ages).complete(Y)[0, 3] - cell) < 0.01)
    True
    """

    _saved_kind = "matrix-factorization"

    def __init__(
        self,
        n_factors: int = 100,
        *,
        regularization: float = 1.0,
        center: Literal["row", "none", "biases"] = "row",
        init: Literal["random", "svd"] = "random",
        max_iter: int = 100,
        patience: int = 5,
        eval_every: int = 1,
        tol: float = 1e-5,
        inference: Literal["ridge", "variational"] = "ridge",
        weighting: Literal["constant", "counts"] = "constant",
        solver: Literal["auto", "cholesky", "cg"] = "auto",
        cg_steps: int = 3,
        bias_regularization: float | None = None,
        implicit: bool | int = False,
        feature_regularization: float = 10.0,
        missing_features: Literal["error", "unknown"] = "error",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.center = center
        self.init = init
        self.max_iter = max_iter
        self.patience = patience
        self.eval_every = eval_every
        self.tol = tol
        self.inference = inference
        self.weighting = weighting
        self.solver = solver
        self.cg_steps = cg_steps
        self.bias_regularization = bias_regularization
        self.implicit = implicit
        self.feature_regularization = feature_regularization
        self.missing_features = missing_features
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        sample_weight: ArrayLike | None = None,
        row_features: Any = None,
        column_features: Any = None,
    ) -> Self:
        """Fit the factors to the observed cells of X.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            ObservedMatrix; array, masked array or data frame with NaN (null) for holes;
            scipy.sparse, where stored means observed.
        y : ignored
        validation : matrix-like, shape (n, d), optional
            Entries of the same rows and columns, not in X, that decide when to stop and
            which step's factors are kept.
        sample_weight : array-like, shape (n,), optional
            How often each row counts.
        row_features, column_features : data frame, dict of columns or array, optional
            What is known of each row (column) beside its cells: age, genres, year. A line
            each, matched by labels where both sides have some, in any order and with further
            lines left aside: those of a data frame are its pandas index, unless that merely
            counts from 0, and otherwise its first column. By position otherwise.
            `mixmend.factors.features.fit_encoder` says what becomes of numbers, texts
            and lists.
        """
        options = checked(self)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        held = None if validation is None else as_observed(validation, copy=False)
        if held is not None:
            check_validation(held, obs)
        problem = pose(obs, options)
        rng = as_generator(self.random_state)
        directions = min(options.implicit, min(obs.shape) - 1)
        described = describe(
            obs, row_features, column_features, options.missing_features, directions, rng
        )
        problem = replace(
            problem,
            row_features=described.row_design,
            column_features=described.column_design,
        )
        fit = fit_factors(problem, held, rng, verbose=bool(self.verbose))
        labels = obs.column_labels if obs.has_column_labels else None
        self._adopt(
            options, fit.best, problem.mean, noise_variance(problem, fit.best, held), labels
        )
        self._adopt_features(described.rows, described.column_names)
        self.history_, self.n_iter_ = fit.history, fit.n_iter
        self.best_iteration_ = fit.best_iteration
        self.converged_, self.interrupted_ = fit.converged, fit.interrupted
        self._warn(fit, held is None)
        warn_of_empty(obs, EmptyEntityWarning, stacklevel=3)
        return self

    def _adopt(
        self,
        options: Options,
        state: State,
        mean: float,
        noise: float,
        labels: NDArray[Any] | None,
    ) -> None:
        """Show a state as fitted attributes."""
        rank = options.n_factors
        self._options, self._state = options, state
        self.mean_, self.noise_variance_ = mean, noise
        self.row_factors_ = np.ascontiguousarray(state.rows.values[:, :rank])
        self.column_factors_ = np.ascontiguousarray(state.columns.values[:, :rank])
        for name, side in (("row", state.rows), ("column", state.columns)):
            effects = side.values[:, -1] if options.effects else np.zeros(len(side.values))
            setattr(self, f"{name}_effects_", np.ascontiguousarray(effects))
        self.factor_variances_ = (state.row_variances * state.column_variances)[:rank]
        self.n_features_in_, self.column_labels_ = len(state.columns.values), labels
        self._n_features_out = rank
        checks.remember_names(self)

    def _adopt_features(self, rows: RowDescription, column_names: tuple[str, ...]) -> None:
        """Show regressions on features as fitted attributes."""
        rank, effects = self._options.n_factors, self._options.effects
        self._described = rows
        self.row_feature_names_, self.column_feature_names_ = rows.names, column_names
        for name, found in (
            ("row", self._state.row_regression),
            ("column", self._state.column_regression),
        ):
            weights = np.zeros((0, rank + 1)) if found is None else found.weights
            own = weights[:, -1] if effects else np.zeros(len(weights))
            setattr(self, f"{name}_feature_weights_", np.ascontiguousarray(weights[:, :rank]))
            setattr(self, f"{name}_feature_effects_", np.ascontiguousarray(own))

    def _warn(self, fit: FactorFit, without_validation: bool) -> None:
        if fit.interrupted:
            warnings.warn(
                f"Interrupted after {fit.n_iter} steps: the best factors so far are kept.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not fit.converged and without_validation and self.tol > 0:
            warnings.warn(
                f"The fit did not converge in {self.max_iter} steps. Raise max_iter or tol, or "
                "give validation entries.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # ------------------------------------------------------------------ rows

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self, "column_factors_")
        return self.n_features_in_, self.column_labels_

    def _fold_described(self, obs: ObservedMatrix, explicit: Array | None) -> FoldedFactors:
        """Solve for the rows given the columns, exactly as the fit does."""
        options, state = self._options, self._state
        means = row_means(obs, options, self.mean_)
        design = self._described.design(obs, explicit)
        problem = Problem(obs, options, self.mean_, means, design)
        rows = folded_rows(problem, state)
        return FoldedFactors(
            problem.offsets, rows, state.columns, options.effects, self.noise_variance_
        )

    def transform(self, X: Any, *, row_features: Any = None) -> Array:
        """Factors of rows given what they observe, without refitting, shape (n, r)."""
        obs = self._new_rows(X)
        folded = self._fold_described(obs, self._explicit(obs, row_features))
        return np.ascontiguousarray(folded.rows.values[:, : self._options.n_factors])

    def _strengths(self) -> Array:
        return self._state.row_variances[: self._options.n_factors]

    # ------------------------------------------------------------------ files

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "column_factors_")
        return saving.to_saved(self)

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return saving.from_saved(cls, header, arrays)
