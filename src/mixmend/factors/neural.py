"""NeuralFactorization: rows and columns as learned vectors, combined by a network."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mixmend import checks
from mixmend.errors import EmptyEntityWarning
from mixmend.factors import neural_saving
from mixmend.factors.description import RowDescription, describe
from mixmend.factors.network import Network
from mixmend.factors.neural_folding import FoldedNetwork, fold_rows, standard_view
from mixmend.factors.neural_problem import NeuralOptions, checked, pose, row_offsets
from mixmend.factors.neural_training import fit_network, import_torch
from mixmend.factors.problem import check_validation
from mixmend.factors.verbs import FeaturedCompleter
from mixmend.kernels.threads import fixed_order
from mixmend.mixtures.options import warn_of_empty
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator, split_entries
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class NeuralFactorization(
    FeaturedCompleter,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Matrix factorisation as a network: embeddings, their products, a perceptron on both.

    Every row and every column (a one-hot input) is looked up as a vector; a cell is what the
    head makes of the two: ``x_ui = mean + scale (b_u + c_i + q_u . p_i + MLP(q_u, p_i)) + noise``.
    Needs PyTorch to fit (``pip install 'mixmend[neural]'``), not to predict.

    Parameters
    ----------
    n_factors : int, default 32
        Numbers in a vector, r.
    hidden : sequence of int, default (64, 32)
        Sizes of the perceptron's hidden layers, first to last. Not read with ``head="dot"``.
    head : {"both", "dot", "mlp"}, default "both"
        "dot" is the product of the vectors, and the whole the model of `MatrixFactorization`;
        "mlp" a perceptron that takes both; "both" their sum.
    center : {"biases", "row", "none"}, default "biases"
        "biases" subtracts the mean of all and learns an effect of every row and column;
        "row" subtracts each row's mean over its observed cells.
    regularization : float, default 12.0
        Lambda of vectors and effects, as in `MatrixFactorization`: in squared units of the data.
    weight_decay : float, default 3.0
        Of the perceptron and the maps of features: the share, times the learning rate, by which
        they shrink at every step (AdamW).
    dropout : float, default 0.1
        Share of the hidden activations that is dropped at random in training.
    embedding_dropout : float, default 0.1
        Share of the entries of a minibatch for which the row's vector and effect are left
        out, and likewise the column's.
    learning_rate : float, default 0.003
        Of Adam; falls by 3 % after every epoch.
    batch_size : int, default 512
        Entries in a minibatch.
    max_iter : int, default 100
        Most epochs: passes through the entries.
    patience : int, default 6
        Epochs without improvement on validation entries after which the fit stops.
    validation_share : float, default 0.1
        Share of the entries of X that is held out for validation where ``fit`` is given none;
        0 takes ``max_iter`` epochs and keeps the last.
    implicit : bool or int, default False
        Whether what a row observed, whatever the values, counts as features of the row, and who
        observed a column as features of the column; a number says how many directions of
        that to take, True takes 30.
    missing_features : {"error", "unknown"}, default "error"
        What rows and columns are that have no line among the features given: an error, or
        lines of which nothing is known.
    random_state : int, Generator, RandomState or None, default None
        Makes fits reproducible, to the bit.
    verbose : int, default 0
        1 shows progress.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shape (n, r) and (d, r)
        Vectors of rows (folded in, see Notes) and columns, in roots of the data's units.
    row_effects_, column_effects_ : ndarray, shape (n,) and (d,)
        Effects with ``center="biases"``, in the data's units; zeros otherwise.
    mean_ : float
        Mean of the observed cells (0 with ``center="none"``).
    scale_ : float
        Standard deviation of the observed cells less their offsets: one unit of the network.
    noise_variance_ : float
        Variance of a cell around its prediction: the mean squared error on validation
        entries, or else that of the training residuals, degrees of freedom taken off.
    row_feature_names_ : tuple of str
        Names of the rows' features; none without features.
    history_ : list of dict
        ``iteration``, ``train_rmse`` and, with validation entries, ``validation_rmse`` after
        every epoch.
    n_iter_, best_iteration_ : int
        Epochs taken, and the one that was kept.
    converged_, interrupted_ : bool
        Whether ``patience`` ended the fit; whether Ctrl-C did.
    n_features_in_ : int
        Columns, d.

    Raises
    ------
    DataError
        If nothing is observed, if validation entries do not belong to the same rows and
        columns, or if features do not fit the rows or columns.
    MixmendError
        For an option out of its range, or training that runs off to infinity.
    OptionalDependencyError
        If PyTorch is not installed.

    Warns
    -----
    ConvergenceWarning
        After Ctrl-C; the best epoch so far is kept.

    Notes
    -----
    Rows are folded in: with the network fixed, a row's vector and effect are what lowers its own
    penalised squares, by one ridge regression (``head="dot"``) or four Gauss-Newton steps. The
    training rows' predictions come about in the same way, during the fit as well: what their
    embeddings were in training is not used.

    References
    ----------
    He, Liao, Zhang, Nie, Hu & Chua (2017), Neural collaborative filtering, for the heads.
    Rendle, Krichene, Zhang & Anderson (2020), Neural collaborative filtering vs. matrix
    factorization revisited, for why the product stays. Volkovs, Yu & Poutanen (2017), DropoutNet,
    for leaving embeddings out.

    Examples
    --------
    >>> import numpy as np, mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 12))
    >>> hidden = X[0, 0]
    >>> X[0, 0] = np.nan
    >>> model = mm.NeuralFactorization(
    ...     2, head="dot", center="none", regularization=0.01, embedding_dropout=0,
    ...     learning_rate=0.03, batch_size=64, max_iter=60, random_state=0,
    ... ).fit(X)
    >>> bool(abs(model.complete(X)[0, 0] - hidden) < 0.1)
    True
    """

    _saved_kind = "neural-factorization"

    def __init__(
        self,
        n_factors: int = 32,
        *,
        hidden: tuple[int, ...] = (64, 32),
        head: Literal["both", "dot", "mlp"] = "both",
        center: Literal["biases", "row", "none"] = "biases",
        regularization: float = 12.0,
        weight_decay: float = 3.0,
        dropout: float = 0.1,
        embedding_dropout: float = 0.1,
        learning_rate: float = 0.003,
        batch_size: int = 512,
        max_iter: int = 100,
        patience: int = 6,
        validation_share: float = 0.1,
        implicit: bool | int = False,
        missing_features: Literal["error", "unknown"] = "error",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.hidden = hidden
        self.head = head
        self.center = center
        self.regularization = regularization
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.patience = patience
        self.validation_share = validation_share
        self.implicit = implicit
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
        """Train the network on the observed cells of X.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            ObservedMatrix; array, masked array or data frame with NaN (null) for holes;
            scipy.sparse, where stored means observed.
        y : ignored
        validation : matrix-like, shape (n, d), optional
            Entries of the same rows and columns, not in X, that decide when to stop and
            which epoch is kept; by default ``validation_share`` of X.
        sample_weight : array-like, shape (n,), optional
            How often each row counts.
        row_features, column_features : data frame, dict of columns or array, optional
            What is known of each row (column) beside its cells, as `MatrixFactorization` takes
            it: matched by labels where both sides have some, by position otherwise. A linear map
            of it is added to the row's vector and effect.
        """
        import_torch()
        options = checked(self)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        rng = as_generator(self.random_state)
        train, held = obs, None
        if validation is not None:
            held = as_observed(validation, copy=False)
            check_validation(held, obs)
        elif options.validation_share > 0:
            train, held = split_entries(obs, options.validation_share, rng)
            if held.n_observed == 0 or train.n_observed == 0:  # too few to spare any
                train, held = obs, None
        described = describe(
            train,
            row_features,
            column_features,
            options.missing_features,
            min(options.implicit, min(obs.shape) - 1),
            rng,
            known_by=obs,
        )
        problem = pose(train, options, described.row_design, described.column_design)
        fit = fit_network(problem, held, rng, verbose=bool(self.verbose))
        labels = obs.column_labels if obs.has_column_labels else None
        self._adopt(options, fit.network, (problem.mean, problem.scale, fit.noise), labels)
        self._adopt_rows(fit.rows, described.rows)
        self.history_, self.n_iter_ = fit.history, fit.n_iter
        self.best_iteration_ = fit.best_iteration
        self.converged_, self.interrupted_ = fit.converged, fit.interrupted
        if fit.interrupted:
            warnings.warn(
                f"Interrupted after {fit.n_iter} epochs: the best one so far is kept.",
                ConvergenceWarning,
                stacklevel=2,
            )
        warn_of_empty(obs, EmptyEntityWarning, stacklevel=3)
        return self

    def _adopt(
        self,
        options: NeuralOptions,
        network: Network,
        units: tuple[float, float, float],
        labels: NDArray[Any] | None,
    ) -> None:
        """Show a network as fitted attributes."""
        self._options, self._network = options, network
        self.mean_, self.scale_, self.noise_variance_ = units
        self.column_factors_ = network.columns * np.sqrt(self.scale_)
        self.column_effects_ = network.column_effects * self.scale_
        self.n_features_in_, self.column_labels_ = len(network.columns), labels
        self._n_features_out = network.rank
        checks.remember_names(self)

    def _adopt_rows(self, rows: Array, described: RowDescription) -> None:
        self._rows, self._described = rows, described
        self.row_feature_names_ = described.names
        self.row_factors_ = rows[:, :-1] * np.sqrt(self.scale_)
        self.row_effects_ = rows[:, -1] * self.scale_

    # ------------------------------------------------------------------ rows

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self, "column_factors_")
        return self.n_features_in_, self.column_labels_

    def _fold_described(self, obs: ObservedMatrix, explicit: Array | None) -> FoldedNetwork:
        """Solve for the rows with the network fixed, exactly as the fit does."""
        network, scale = self._network, self.scale_
        offsets = row_offsets(obs, self._options.center, self.mean_)
        view = standard_view(obs.by_row, offsets, scale)
        priors = network.row_priors(self._described.design(obs, explicit), obs.shape[0])
        folded = fold_rows(network, view, priors, self._options.penalty(scale))
        return FoldedNetwork(network, folded.rows, offsets, scale, self.noise_variance_)

    @fixed_order()
    def transform(self, X: Any, *, row_features: Any = None) -> Array:
        """Vectors of rows given what they observe, without refitting, shape (n, r)."""
        obs = self._new_rows(X)
        folded = self._fold_described(obs, self._explicit(obs, row_features))
        return np.asarray(folded.rows[:, :-1] * np.sqrt(self.scale_))

    def _strengths(self) -> Array:
        return np.asarray(np.mean(self.row_factors_**2, axis=0))

    # ------------------------------------------------------------------ files

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "column_factors_")
        return neural_saving.to_saved(self)

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return neural_saving.from_saved(cls, header, arrays)
