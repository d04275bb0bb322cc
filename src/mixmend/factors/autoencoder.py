"""LinearAutoencoder: rows through a narrow linear layer and back, holes filled on the way."""

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
from mixmend.errors import EmptyEntityWarning
from mixmend.factors.folded import FoldedFactors
from mixmend.factors.problem import demand_cells, demand_rank
from mixmend.factors.subspace import Subspace, fit_subspace, hidden_codes
from mixmend.factors.sweeps import Side
from mixmend.kernels.threads import fixed_order
from mixmend.mixtures.options import warn_of_empty
from mixmend.mixtures.saving import labels_of, parameters_from_header, parameters_to_header
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class LinearAutoencoder(
    Completer,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Linear autoencoder ``X W1 W2`` without biases, for data with or without holes.

    Encoder W1 (d, K), decoder W2 (K, d) and the hidden cells of X together minimise::

        |(X - m) - (X - m) W1 W2|^2 + regularization * |W1 W2|^2

    Without holes the optimum is closed: V diag(s) V', with V the first K principal directions
    and s = sigma^2 / (sigma^2 + regularization); without regularisation that is the
    projection of principal component analysis. With holes, the best W1 W2 for the filled matrix
    and the best hidden cells for that W1 W2 are found in turn, each exactly, so that the
    objective never rises; without regularisation, what falls is the squared distance of
    the observed cells from the subspace. A hidden cell's best value is one small regression of
    the row's observed cells on the decoder, whether or not the row was trained on.

    Parameters
    ----------
    n_components : int, default 10
        Width of the narrow layer, K.
    center : {"columns", "none"}, default "columns"
        "columns" takes off (and learns, where there are holes) each column's mean m.
    regularization : float, default 0.0
        Weight of ``|W1 W2|^2``, in units of a squared singular value: directions whose sum of
        squares over all rows is no larger are halved or less.
    max_iter : int, default 200
        Most steps; without holes one is enough.
    tol : float, default 1e-6
        The fit stops when a step gains at most this share of the objective; 0 takes
        ``max_iter`` steps.
    random_state : int, Generator, RandomState or None, default None
        First vector of the iterative decomposition of large matrices.

    Attributes
    ----------
    components_ : ndarray, shape (K, d)
        Decoder W2: orthonormal rows.
    encoder_ : ndarray, shape (d, K)
        W1, for complete rows: ``(X - mean_) @ encoder_ @ components_ + mean_`` is the output.
    mean_ : ndarray, shape (d,)
    singular_values_ : ndarray, shape (K,)
        Of the centred, filled matrix.
    noise_variance_ : float
        Variance of a cell around its output: squared errors over the observed cells
        that the parameters do not take up.
    history_ : list of dict
        ``iteration`` and ``objective``, which never rises.
    n_iter_ : int
    converged_ : bool
    n_features_in_ : int

    Raises
    ------
    DataError
        If nothing is observed, or K is more than the matrix can tell apart.
    MixmendError
        For an option out of its range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` was reached.

    References
    ----------
    Baldi & Hornik (1989), Neural networks and principal component analysis. Steck (2020),
    Autoencoders that don't overfit towards the identity. Jin, Li, Gao, Liu & Ding (2021),
    Towards a better understanding of linear models for recommendation.

    Examples
    --------
    >>> import numpy as np, mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 8))
    >>> hidden = X[0, 0]
    >>> X[0, 0] = np.nan
    >>> model = mm.LinearAutoencoder(2).fit(X)
    >>> bool(abs(model.complete(X)[0, 0] - hidden) < 1e-3)
    True
    >>> model.transform(X).shape
    (50, 2)
    """

    _saved_kind = "linear-autoencoder"

    def __init__(
        self,
        n_components: int = 10,
        *,
        center: Literal["columns", "none"] = "columns",
        regularization: float = 0.0,
        max_iter: int = 200,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.center = center
        self.regularization = regularization
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @fixed_order()
    def fit(self, X: Any, y: Any = None, *, sample_weight: ArrayLike | None = None) -> Self:
        """Fit encoder and decoder to the observed cells of X.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            ObservedMatrix; array, masked array or data frame with NaN (null) for holes;
            scipy.sparse, where stored means observed.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            How often each row counts.
        """
        n_components = checks.whole("n_components", self.n_components, 1)
        center = checks.one_of("center", self.center, ("columns", "none"))
        strength = checks.number("regularization", self.regularization)
        max_iter = checks.whole("max_iter", self.max_iter, 1)
        tol = checks.number("tol", self.tol)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        demand_cells(obs)
        demand_rank(obs, "n_components", n_components)
        fit = fit_subspace(
            obs,
            n_components,
            strength,
            center == "columns",
            (max_iter, tol),
            as_generator(self.random_state),
        )
        labels = obs.column_labels if obs.has_column_labels else None
        self._adopt(fit.best, fit.noise, labels)
        self.history_, self.n_iter_, self.converged_ = fit.history, len(fit.history), fit.converged
        if not fit.converged and tol > 0:
            warnings.warn(
                f"The fit did not converge in {max_iter} steps. Raise max_iter, tol or "
                "regularization.",
                ConvergenceWarning,
                stacklevel=3,
            )
        warn_of_empty(obs, EmptyEntityWarning, stacklevel=4)
        return self

    def _adopt(self, subspace: Subspace, noise: float, labels: NDArray[Any] | None) -> None:
        """Show a subspace as fitted attributes."""
        self._subspace, self.noise_variance_, self.column_labels_ = subspace, noise, labels
        self.components_ = np.ascontiguousarray(subspace.directions.T)
        self.encoder_ = subspace.directions * subspace.gains
        self.mean_, self.singular_values_ = subspace.mean, subspace.sizes
        self.n_features_in_, self._n_features_out = subspace.directions.shape
        checks.remember_names(self)

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self, "components_")
        return self.n_features_in_, self.column_labels_

    def _fold_in(self, obs: ObservedMatrix) -> FoldedFactors:
        """Outputs as products of codes and decoder, the columns' means as effects."""
        subspace, n = self._subspace, obs.shape[0]
        codes = np.column_stack([subspace.codes(hidden_codes(obs, subspace)), np.zeros(n)])
        decoder = np.column_stack([subspace.directions, subspace.mean])
        return FoldedFactors(np.zeros(n), Side(codes), Side(decoder), True, self.noise_variance_)

    def transform(self, X: Any) -> Array:
        """Codes of rows, shape (n, K), without refitting; holes are filled on the way."""
        return self._subspace.codes(hidden_codes(self._new_rows(X), self._subspace))

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "components_")
        header = {
            "parameters": parameters_to_header(self),
            "n_features": int(self.n_features_in_),
            "noise_variance": self.noise_variance_,
            "converged": bool(self.converged_),
            "history": self.history_,
        }
        arrays: dict[str, NDArray[Any]] = {
            "directions": self._subspace.directions,
            "sizes": self.singular_values_,
            "mean": self.mean_,
        }
        if self.column_labels_ is not None:
            arrays["column_labels"] = self.column_labels_
        return header, arrays

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        model = parameters_from_header(cls, header["parameters"])
        d, k = int(header["n_features"]), model.n_components
        checks.require_arrays(arrays, {"directions": (d, k), "sizes": (k,), "mean": (d,)})
        subspace = Subspace(
            arrays["directions"], arrays["sizes"], arrays["mean"], float(model.regularization)
        )
        model._adopt(subspace, float(header["noise_variance"]), labels_of(arrays, d))
        model.history_, model.converged_ = list(header["history"]), bool(header["converged"])
        model.n_iter_ = len(model.history_)
        return model
