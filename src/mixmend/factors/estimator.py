"""MatrixFactorization: rows and columns as vectors, fitted by exact regressions in turn."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mixmend import checks
from mixmend.completion.completer import Completer
from mixmend.errors import EmptyEntityWarning, MixmendError
from mixmend.factors import saving
from mixmend.factors.fitting import FactorFit, fit_factors, validation_error
from mixmend.factors.folded import FoldedFactors
from mixmend.factors.problem import (
    Options,
    Problem,
    check_validation,
    checked,
    pose,
    row_means,
)
from mixmend.factors.steps import State, folded_rows, ridge_precision
from mixmend.factors.sweeps import Prior, solve_side
from mixmend.mixtures.options import warn_of_empty
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class MatrixFactorization(
    Completer,
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
        """
        options = checked(self)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        held = None if validation is None else as_observed(validation, copy=False)
        if held is not None:
            check_validation(held, obs)
        problem = pose(obs, options)
        rng = as_generator(self.random_state)
        fit = fit_factors(problem, held, rng, verbose=bool(self.verbose))
        labels = obs.column_labels if obs.has_column_labels else None
        self._adopt(options, fit.best, problem.mean, _noise(problem, fit.best, held), labels)
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

    def _fold_in(self, obs: ObservedMatrix) -> FoldedFactors:
        """Solve for the rows given the columns, exactly as the fit does."""
        options, state = self._options, self._state
        means = row_means(obs, options, self.mean_)
        problem = Problem(obs, options, self.mean_, means)
        rows = folded_rows(problem, state)
        return FoldedFactors(
            problem.offsets, rows, state.columns, options.effects, self.noise_variance_
        )

    def transform(self, X: Any) -> Array:
        """Factors of rows given what they observe, without refitting, shape (n, r)."""
        folded = self._fold_in(self._new_rows(X))
        return np.ascontiguousarray(folded.rows.values[:, : self._options.n_factors])

    def similar(self, column: int, n_items: int = 10) -> tuple[NDArray[np.int64], Array]:
        """Columns whose factors point the same way as one column's: the nearest by cosine.

        Parameters
        ----------
        column : int
            Position of the column.
        n_items : int, default 10
            How many others.

        Returns
        -------
        columns : ndarray of int, shape (m,)
            Best first, the column itself left out; m is at most ``n_items``.
        cosines : ndarray, shape (m,)
        """
        d, _ = self._columns()
        if not 0 <= column < d:
            raise MixmendError(f"column must lie between 0 and {d - 1}; got {column!r}.")
        count = checks.whole("n_items", n_items, 1)
        # in units of what a typical row makes of them
        factors = self.column_factors_ * np.sqrt(
            self._state.row_variances[: self._options.n_factors]
        )
        lengths = np.linalg.norm(factors, axis=1)
        scale = np.where(lengths > 0, lengths, 1.0)
        cosines = (factors @ factors[column]) / (scale * scale[column])
        order = np.argsort(-cosines, kind="stable")
        order = order[order != column][:count]
        return order, cosines[order]

    # ------------------------------------------------------------------ files

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "column_factors_")
        return saving.to_saved(self)

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return saving.from_saved(cls, header, arrays)


def _noise(problem: Problem, state: State, validation: ObservedMatrix | None) -> float:
    """Variance of a cell around its prediction."""
    if problem.options.inference == "variational":
        return state.noise
    if validation is not None:
        return max(validation_error(problem, state, validation), 1e-300)
    effects, precision = problem.options.effects, ridge_precision(problem)
    taken = (
        solve_side(
            problem.by_row,
            state.columns,
            Prior(precision, problem.row_scales()),
            effects,
            freedom=True,
        ).freedom
        @ problem.row_weights
    )
    taken += solve_side(
        problem.by_column,
        state.rows,
        Prior(precision, problem.column_scales()),
        effects,
        freedom=True,
    ).freedom.sum()
    count = problem.n_entries
    # each side's degrees of freedom are counted given the other: together at most all but few
    return max(state.squares / max(count - float(taken), 0.05 * count), 1e-300)
