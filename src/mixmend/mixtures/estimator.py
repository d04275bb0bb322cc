"""GaussianMixture: the estimator that users fit to matrices with holes."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mixmend.completion.completer import Completer
from mixmend.em.engine import Fit
from mixmend.errors import CollapsedComponentWarning, EmptyEntityWarning, IndependenceWarning
from mixmend.kernels.threads import fixed_order
from mixmend.mixtures import options as checks
from mixmend.mixtures import saving
from mixmend.mixtures.criteria import Criteria
from mixmend.mixtures.draws import Draws
from mixmend.mixtures.family import Family, Folded
from mixmend.mixtures.fitting import fit_mixture, new_problem
from mixmend.mixtures.fixed import fixed_mask
from mixmend.mixtures.online import Online, stream_of
from mixmend.mixtures.priors import Prior
from mixmend.mixtures.verbs import AlgebraVerbs, FamiliarNames
from mixmend.observed.convert import as_observed
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_SHOWN = (
    "mean_variances", "prior_variance", "offset_variance", "loadings", "noise",
    "weight_concentration", "mean_precision", "degrees_of_freedom",
)  # fmt: skip
"""Parameters that are shown as attributes where a fit has them."""


class GaussianMixture(
    AlgebraVerbs,
    FamiliarNames,
    Completer,
    Online,
    Criteria,
    Draws,
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Gaussian mixture fitted by EM to the observed cells of a matrix with holes.

    Holes need no treatment beforehand: each row's likelihood is the marginal over the
    columns that it observes, and the fit maximises exactly that (Ghahramani & Jordan 1994).

    Parameters
    ----------
    n_components : int, default 1
        Number of mixture components, K.
    covariance_type : {"spherical", "diag", "tied", "full", "factor"}, default "spherical"
        One variance per component; one per component and column; one covariance matrix for
        all components; one for each; low rank plus a diagonal for each (mixture of factor
        analysers, for hundreds of columns or more). All are exact on rows with holes.
    n_init : int, default 1
        Starts of EM; the best is kept. A single one that collapses is drawn anew, twice at most.
    init_params : {"k-means++", "kmeans", "random", "random_from_data"}, default "k-means++"
        Where EM starts: rows given to the nearest of K rows drawn by k-means++ over
        observed cells; to the clusters that K-means makes of these; random
        responsibilities; rows given to the nearest of K rows drawn evenly.
    tol : float, default 1e-6
        EM stops when the objective rises by at most ``tol`` times its absolute value; 0
        takes ``max_iter`` steps.
    max_iter : int, default 500
        Most EM steps per start; 0 keeps the start.
    min_variance : float, default 0.0
        Floor of the component variances.
    min_support : float, default 0.0
        Without a prior on the means: a component's mean of a column is updated only where
        the responsibilities of the rows that observe the column sum to at least this.
    prior : None, "default" or a prior, default None
        None is maximum likelihood. "default" is the prior of the covariance type with its
        defaults; the spherical one draws the component means towards the column effects
        with a strength learned from the data. Kinds: `SphericalPrior`, `DiagonalPrior`,
        `NormalInverseWishart` for "tied" and "full", and `FactorPrior`.
    inference : {"em", "variational"}, default "em"
        "em" finds the most probable parameters: maximum likelihood, or maximum a posteriori
        under a prior. "variational" finds their posterior distributions and leaves out the
        components that the rows do not ask for: offer more than you expect. It takes every
        type but "factor"; there None stands for the "default" prior.
    center : {"none", "columns", "rows", "biases"}, default "none"
        Effects beside the components. "rows" and "biases" give each row an offset with a
        Gaussian prior, integrated out exactly, whose variance is learned: some raters are
        kinder than others. "columns" and "biases" let the means' prior (and a mean that
        nothing supports) centre on column effects, rather than on one number.
    accelerate : bool, default False
        SQUAREM extrapolation behind a safeguard; the objective still never falls.
    screen : int, default 0
        With several starts: steps that each takes before only the better half goes on; 0
        runs all to their end.
    n_factors : int, optional
        Rank of the covariances of "factor" beside their diagonal.
    weights_init : array-like, shape (K,), optional
        Mixing weights to start from. What is not given of a start is found by ``init_params``.
    means_init : array-like, shape (K, d), optional
        Means to start from; then there is one start, with even weights and the covariance of
        all rows where these are not given.
    covariances_init : array-like, optional
        Variances to start from, in the shape of ``covariances_``.
    fixed_components : array-like, optional
        Positions of components, or a mask (K,), whose means and covariances stay as they start
        (``means_init`` or ``warm_start``); weights and a tied covariance are learned.
    learning_decay, learning_offset : float, default 0.6 and 1.0
        Step size of minibatch t in `partial_fit`, ``(t + offset) ** -decay``; decay in (0.5, 1].
    warm_start : bool, default False
        Whether a further call of `fit` continues from the present parameters.
    random_state : int, Generator, RandomState or None, default None
        Makes starts and samples reproducible.
    verbose : int, default 0
        1 shows progress.

    Attributes
    ----------
    weights_ : ndarray, shape (K,)
        Mixing weights.
    means_ : ndarray, shape (K, d)
        Component means (posterior means under a prior).
    covariances_ : ndarray, shape (K,), (K, d), (d, d) or (K, d, d)
        Component variances or covariances, as in scikit-learn.
    loadings_, noise_ : ndarray, shape (K, d, r) and (K, d)
        For "factor": the covariance of component k is ``W_k W_k^T + diag(noise_k)``.
    n_components_ : int
        Components that are left: fewer than ``n_components`` where variational inference
        took some away.
    weight_concentration_, mean_precision_, degrees_of_freedom_ : ndarray
        Of variational fits: concentrations of the weights, how many rows each mean rests
        on, and degrees of freedom of the precisions, as in scikit-learn. There
        ``covariances_`` are the inverses of the expected precisions; predictions have wider
        ones, which know how little is known.
    log_likelihood_ : float
        Log-likelihood of the observed cells (under a prior on the means: a lower bound).
    precisions_, precisions_cholesky_ : ndarray
        Inverses of ``covariances_`` and their factors, as in scikit-learn.
    lower_bound_, lower_bounds_ : float, list of float
        ``objective_`` and the steps of ``history_`` per row, as in scikit-learn.
    objective_ : float
        What EM maximised: ``log_likelihood_`` plus the log prior; variational fits: the
        evidence lower bound.
    collapsed_ : bool
        Whether a component has collapsed onto points (in every start); a singular likelihood
        says nothing, and starts without one are preferred.
    converged_ : bool
        Whether the tolerance was reached.
    n_iter_ : int
        Steps of the best start, or minibatches.
    interrupted_ : bool
        Whether Ctrl-C ended the fit.
    history_ : list of float
        Objective at the start and after each step of the best start; in `partial_fit`, what
        a row of each minibatch but the first scored on average before it was learned from.
    histories_ : list of list of float
        The same for every start.
    mean_variances_ : ndarray, shape (K, d), or None
        Posterior variances of the means under a prior.
    prior_variance_ : float
        Prior variance of the means: given, learned, or infinite without a prior.
    offset_variance_ : float
        Learned variance of the row offsets; 0 without.
    n_samples_seen_ : int
        Rows that the model was fitted to, those of all minibatches together.
    column_labels_ : ndarray, shape (d,), or None
        Labels of the columns that the model was fitted to.
    n_features_in_ : int
        Columns, d.

    Raises
    ------
    DataError
        For data that are no matrix of finite numbers with holes.
    MixmendError
        For an option out of its range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` was reached (and ``tol`` is not 0), or after Ctrl-C.
    CollapsedComponentWarning
        If a component lost its rows or its variance.
    EmptyEntityWarning
        If rows or columns have nothing observed.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> X = [[1.0, 1.2, np.nan], [0.8, np.nan, 1.1], [5.0, 5.1, 4.9], [np.nan, 4.8, 5.2]]
    >>> gm = mm.GaussianMixture(n_components=2, random_state=0, min_variance=0.01).fit(X)
    >>> gm.complete(X)[0].round(2)
    array([1. , 1.2, 1.1])
    >>> gm.complete(X, return_std=True)[1][0].round(2)
    array([0.  , 0.  , 0.1])
    """

    _saved_kind = "gaussian-mixture"

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: Literal["spherical", "diag", "tied", "full", "factor"] = "spherical",
        *,
        n_init: int = 1,
        init_params: Literal["k-means++", "kmeans", "random", "random_from_data"] = "k-means++",
        tol: float = 1e-6,
        max_iter: int = 500,
        min_variance: float = 0.0,
        min_support: float = 0.0,
        prior: Literal["default"] | Prior | None = None,
        inference: Literal["em", "variational"] = "em",
        center: Literal["none", "columns", "rows", "biases"] = "none",
        accelerate: bool = False,
        screen: int = 0,
        n_factors: int | None = None,
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        covariances_init: ArrayLike | None = None,
        fixed_components: ArrayLike | None = None,
        learning_decay: float = 0.6,
        learning_offset: float = 1.0,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.min_variance = min_variance
        self.min_support = min_support
        self.prior = prior
        self.inference = inference
        self.center = center
        self.accelerate = accelerate
        self.screen = screen
        self.n_factors = n_factors
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.fixed_components = fixed_components
        self.learning_decay, self.learning_offset = learning_decay, learning_offset
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to the observed cells of X.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            ObservedMatrix; array, masked array or data frame with NaN (null) for holes;
            scipy.sparse, where stored means observed.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            How often each row counts.

        Returns
        -------
        GaussianMixture
            Itself. After Ctrl-C: fitted as far as it had come, with a warning.
        """
        options = checks.checked(self)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        checks.require_rows("n_components", options.n_components, obs)
        earlier = None
        if self.warm_start and hasattr(self, "parameters_"):
            obs = self._new_rows(obs)
            earlier = checks.continued_start(self.parameters_, options)
        problem = new_problem(self, obs, options, earlier)
        outcome = fit_mixture(problem, verbose=bool(self.verbose))
        labels = obs.column_labels if obs.has_column_labels else None
        self._adopt(problem.family, outcome.restarts.best, labels)
        self._density, self._stream = outcome.density, stream_of(outcome.restarts.best, obs)
        self.histories_ = [list(run.history) for run in outcome.restarts.runs]
        weights = obs.row_weights
        self._row_mass = float(obs.shape[0] if weights is None else weights.sum())
        self.interrupted_ = outcome.restarts.interrupted
        self.n_samples_seen_ = obs.shape[0]
        self._warn(obs)
        return self

    def _adopt(self, family: Family, fit: Fit[Any], labels: NDArray[Any] | None) -> Self:
        """Show a run as fitted attributes."""
        parameters, self._row_mass = fit.parameters, None
        self._family, self.parameters_ = family, parameters
        self.weights_ = parameters.weights
        self.means_ = np.ascontiguousarray(parameters.means)
        self.n_components_ = len(self.weights_)
        for name in _SHOWN:
            if hasattr(parameters, name):
                setattr(self, f"{name}_", getattr(parameters, name))
            elif hasattr(self, f"{name}_"):  # of an earlier fit of another kind
                delattr(self, f"{name}_")
        self.log_likelihood_, self.objective_ = fit.log_likelihood, fit.objective
        self.converged_, self.collapsed_ = fit.converged, fit.collapsed
        self.interrupted_, self.n_iter_ = fit.interrupted, fit.n_iter
        self.history_, self.histories_ = list(fit.history), [list(fit.history)]
        self.n_features_in_, self.column_labels_ = self.means_.shape[1], labels
        self._inference = self.inference
        self._fixed = fixed_mask(self.fixed_components, len(self.weights_))
        self._stream, self._streaming, self.n_samples_seen_ = None, False, 0
        checks.remember_names(self)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Fit, then give the most likely component of each row, shape (n,)."""
        return self.fit(X, y).predict(X)

    def _warn(self, obs: ObservedMatrix) -> None:
        if self.interrupted_:
            warnings.warn(
                f"Interrupted after {self.n_iter_} steps: the best parameters so far are kept. "
                "Continue with warm_start=True.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not self.converged_ and self.tol > 0 and self.max_iter > 0:
            warnings.warn(
                f"EM did not converge in {self.max_iter} steps. Raise max_iter, raise tol or "
                "try accelerate=True.",
                ConvergenceWarning,
                stacklevel=3,
            )
        checks.warn_of_empty(obs, EmptyEntityWarning, stacklevel=4)
        checks.warn_of_independence(self, obs, IndependenceWarning, stacklevel=4)
        checks.warn_of_collapse(
            self.weights_,
            self.collapsed_,
            checks.counted_rows(obs),
            CollapsedComponentWarning,
            stacklevel=4,
        )

    @property
    def covariances_(self) -> Array:
        """Component (co)variances; for "factor", matrices that are made at each use."""
        if not hasattr(self, "parameters_"):
            raise AttributeError("covariances_ is known after fit.")
        return self._family.covariances(self.parameters_)

    # ------------------------------------------------------------------ rows

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self)
        return self.n_features_in_, self.column_labels_

    @fixed_order()
    def _fold_in(self, obs: Any) -> Folded:  # rows; for dependent columns perhaps laid out
        return self._family.fold(self.parameters_, obs)

    def predict_proba(self, X: Any) -> Array:
        """Responsibilities: posterior probability of each component, shape (n, K).

        A row with nothing observed gets the mixing weights.
        """
        return self._fold_in(self._new_rows(X)).responsibilities

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Most likely component of each row, shape (n,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    # ------------------------------------------------------------------ files

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self)
        return saving.mixture_to_saved(self)

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return saving.mixture_from_saved(cls, header, arrays)
