"""K-means on matrices with holes."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mixmend.completion.completer import Completer
from mixmend.em.block import Block
from mixmend.em.engine import Fit
from mixmend.errors import EmptyEntityWarning, MixmendError
from mixmend.mixtures import options as checks
from mixmend.mixtures import saving
from mixmend.mixtures.clustering import Clustering, assign, cluster, nearest
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.folded import FoldedSpherical
from mixmend.mixtures.spherical_e_step import Parameters, Posterior
from mixmend.mixtures.spherical_family import SPHERICAL
from mixmend.mixtures.starts import column_means, pooled, seeded_rows
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


def mixture_of(clustering: Clustering, block: Block) -> Parameters:
    """The spherical mixture of the clusters: shares, means and per-cell variances.

    A cluster whose variance is undefined (no row, or points on its centre) is given that
    of all observed cells around the column means, times 1e-6. Rows with nothing observed
    are in no cluster, so they have no part in the shares.
    """
    n_clusters = len(clustering.centers)
    weights = np.where(block.counts > 0, 1.0, 0.0)
    if block.row_weights is not None:
        weights *= block.row_weights
    labels, smallest = clustering.labels, clustering.smallest
    squares = np.bincount(labels, weights * smallest, n_clusters)
    cells = np.bincount(labels, weights * block.counts, n_clusters)
    variances = np.divide(squares, cells, out=np.zeros(n_clusters), where=cells > 0)
    if not (variances > 0).all():
        floor = 1e-6 * float(pooled(block, column_means(block.observed)).variances[0])
        variances = np.where(variances > 0, variances, floor)
    sizes = np.bincount(labels, weights, n_clusters)
    return Parameters(sizes / sizes.sum(), np.asfortranarray(clustering.centers), variances)


class KMeans(
    Completer,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    ClusterMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """K-means whose distances and means run over observed cells only.

    Parameters
    ----------
    n_clusters : int, default 8
        Number of clusters, K.
    n_init : int, default 5
        Starts; the one with the least distortion is kept.
    init : {"k-means++", "random"} or array-like of shape (K, d), default "k-means++"
        Starting centres: k-means++ over observed cells, K random rows (their holes filled
        with column means), or the ones given (then there is one start).
    max_iter : int, default 300
        Most rounds per start.
    tol : float, default 1e-4
        A start ends when the distortion improves by at most this, in absolute terms.
    random_state : int, Generator, RandomState or None, default None
        Makes starts reproducible.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (K, d)
        Means of the observed values of each cluster.
    labels_ : ndarray of int, shape (n,)
        Cluster of each row (0 where nothing is observed).
    inertia_ : float
        Distortion: sum of squared distances to the centres over observed cells.
    n_iter_ : int
        Rounds of the best start.
    history_ : list of float
        Distortion of the best start and after each of its rounds.
    n_features_in_ : int
        Columns, d.

    Raises
    ------
    DataError, MixmendError
        For unusable data or options.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> X = [[1.0, np.nan], [1.2, 0.9], [np.nan, 5.0], [5.2, 5.1]]
    >>> mm.KMeans(n_clusters=2, random_state=0).fit(X).inertia_ < 0.05
    True
    """

    _saved_kind = "k-means"

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 5,
        init: Literal["k-means++", "random"] | ArrayLike = "k-means++",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the clusters of X.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            Data with NaN (or nothing stored) for holes.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            How often each row counts.
        """
        n_clusters = checks.whole("n_clusters", self.n_clusters, 1)
        max_iter = checks.whole("max_iter", self.max_iter, 1)
        tol = checks.number("tol", self.tol)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        checks.require_rows("n_clusters", n_clusters, obs)
        block = Block(obs)
        runs = [cluster(c, block, tol=tol, max_iter=max_iter) for c in self._starts(block)]
        best = min(runs, key=lambda run: run.distortion)
        self._block_parameters = mixture_of(best, block)
        self.cluster_centers_ = np.ascontiguousarray(best.centers)
        self.labels_ = best.labels
        self.inertia_ = best.distortion
        self.n_iter_ = len(best.history) - 1
        self.history_ = list(best.history)
        self.n_features_in_ = obs.shape[1]
        self._n_features_out = n_clusters
        self.column_labels_ = obs.column_labels if obs.has_column_labels else None
        checks.remember_names(self)
        if not best.converged:
            warnings.warn(
                f"K-means did not converge in {max_iter} rounds. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        checks.warn_of_empty(obs, EmptyEntityWarning, stacklevel=3)
        return self

    def _starts(self, block: Block) -> list[Array]:
        shape = (self.n_clusters, block.observed.shape[1])
        if not isinstance(self.init, str):
            return [checks.finite_array("init", self.init, shape)]
        if self.init not in ("k-means++", "random"):
            raise MixmendError(
                f"init must be 'k-means++', 'random' or an array of centres; got {self.init!r}."
            )
        rng = as_generator(self.random_state)
        base = pooled(block, column_means(block.observed))
        starts = []
        for _ in range(checks.whole("n_init", self.n_init, 1)):
            if self.init == "random":
                rows = rng.choice(block.observed.shape[0], self.n_clusters, replace=False)
            else:
                rows, _ = seeded_rows(block, base, self.n_clusters, rng)
            centers = np.repeat(base.means, self.n_clusters, axis=0)
            for k, u in enumerate(rows):
                columns, values = block.observed.row(int(u))
                centers[k, columns] = values
            starts.append(centers)
        return starts

    # ------------------------------------------------------------------ rows

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        check_is_fitted(self)
        return self.n_features_in_, self.column_labels_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Nearest cluster of each row over its observed cells, shape (n,)."""
        return nearest(self._centers(), Block(self._new_rows(X)))[0]

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int64]:
        """Fit, then give the cluster of each row."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def transform(self, X: Any) -> Array:
        """Distances of each row to all centres over its observed cells, shape (n, K)."""
        return np.sqrt(assign(self._centers(), Block(self._new_rows(X)))[2])

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Negative distortion of X: higher is better."""
        smallest = nearest(self._centers(), Block(self._new_rows(X)))[1]
        weights = np.ones(len(smallest)) if sample_weight is None else np.asarray(sample_weight)
        return -float(weights @ smallest)

    def _centers(self) -> Array:
        check_is_fitted(self)
        return self.cluster_centers_

    def _fold_in(self, obs: ObservedMatrix) -> FoldedSpherical:
        labels = nearest(self.cluster_centers_, Block(obs))[0]
        shares = np.zeros((len(labels), len(self.cluster_centers_)))
        shares[np.arange(len(labels)), labels] = 1.0
        # a row with nothing observed is near no centre more than another
        shares[obs.row_counts == 0] = self._block_parameters.weights
        zeros = np.zeros_like(shares)
        post = Posterior(shares, zeros, 0.0, zeros, zeros)
        return FoldedSpherical(self._block_parameters, post, obs)

    def to_mixture(self) -> GaussianMixture:
        """Turn the clusters into a fitted spherical mixture: shares, centres, variances.

        Returns
        -------
        GaussianMixture
            To predict with, or to go on from: its ``warm_start`` is set.
        """
        check_is_fitted(self)
        mixture = GaussianMixture(self.n_clusters, warm_start=True, random_state=self.random_state)
        unknown = float("nan")  # clusters do not say how likely they are
        fit = Fit(self._block_parameters, unknown, unknown, (unknown,), converged=False)
        return mixture._adopt(SPHERICAL, fit, self.column_labels_)

    # ------------------------------------------------------------------ files

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self)
        return saving.kmeans_to_saved(self)

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return saving.kmeans_from_saved(cls, header, arrays)
