"""K-means on matrices with holes."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, Self

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
from mixmend.kernels import kmeans as kernels
from mixmend.kernels.simd import LANES
from mixmend.kernels.spherical import squared_distances
from mixmend.kernels.threads import threads_for
from mixmend.mixtures import options as checks
from mixmend.mixtures import saving
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.folded import FoldedSpherical
from mixmend.mixtures.spherical_e_step import (
    Parameters,
    Posterior,
    lane_count,
    table,
)
from mixmend.mixtures.spherical_family import SPHERICAL
from mixmend.mixtures.starts import column_means, pooled, seeded_rows
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class Clustering(NamedTuple):
    """One run of K-means.

    Attributes
    ----------
    centers : ndarray, shape (K, d)
        Means of the observed values of each cluster's rows.
    labels : ndarray of int64, shape (n,)
        Nearest centre of each row.
    distortion : float
        Sum over rows of the squared distance to their centre, over observed coordinates.
    history : tuple of float
        Distortion of the start and after each round.
    converged : bool
        Whether the tolerance was reached.
    """

    centers: Array
    labels: NDArray[np.int64]
    distortion: float
    history: tuple[float, ...]
    converged: bool


def assign(centers: Array, block: Block) -> tuple[NDArray[np.int64], Array, Array]:
    """Nearest centre of each row over the coordinates that the row observes.

    Returns labels (n,), squared distances to the nearest centre (n,) and to all (n, K).
    """
    means = table(centers, block.by_row.values.dtype)
    n = block.observed.shape[0]
    distances = np.empty((n, means.shape[1]))
    lanes = LANES[lane_count(len(centers))]
    labels, smallest = np.empty(n, np.int64), np.empty(n)
    with threads_for(block.observed.n_observed * means.shape[1]):
        squared_distances(block.by_row, 0, means, None, lanes, distances, None)
        kernels.nearest(distances, len(centers), labels, smallest)
    return labels, smallest, distances[:, : len(centers)]


def update(centers: Array, labels: NDArray[np.int64], block: Block) -> tuple[Array, Array]:
    """Means of the observed values per cluster, and the weight of rows behind each (d, K).

    Where no row of a cluster observes a column, the centre keeps its value.
    """
    d = block.observed.shape[1]
    support, moves = np.zeros((d, len(centers))), np.zeros((d, len(centers)))
    old = np.ascontiguousarray(centers.T)
    with threads_for(block.observed.n_observed):
        kernels.label_sums(block.observed.by_column, labels, block.row_weights, old, support, moves)
    step = np.divide(moves, support, out=np.zeros_like(moves), where=support > 0)
    return (old + step).T, support


def cluster(
    start: Array, block: Block, *, tol: float, max_iter: int, relocate: bool = True
) -> Clustering:
    """Lloyd's algorithm from given centres.

    Parameters
    ----------
    start : ndarray, shape (K, d)
        Centres to begin with.
    block : Block
        The rows.
    tol : float
        Stop when the distortion improves by at most this, in absolute terms.
    max_iter : int
        Most rounds (new centres, new assignment); the start is not one.
    relocate : bool
        Whether a cluster that lost its rows is moved to the row that lies farthest from
        its centre; otherwise it stays where it was.
    """
    centers = start
    history: list[float] = []
    weights = block.row_weights
    converged = False
    labels = np.zeros(block.observed.shape[0], np.int64)
    for turn in range(max_iter + 1):
        labels, smallest, _ = assign(centers, block)
        # a row that was moved needs a new centre: such a round is never the last one
        moved = relocate and turn < max_iter
        moved = moved and _fill_empty(labels, smallest, len(centers), block)
        distortion = float(smallest.sum() if weights is None else weights @ smallest)
        converged = not moved and bool(history) and history[-1] - distortion <= tol
        history.append(distortion)
        if converged or turn == max_iter:
            break
        centers, _ = update(centers, labels, block)
    return Clustering(centers, labels, history[-1], tuple(history), converged)


def _fill_empty(labels: NDArray[np.int64], smallest: Array, n_clusters: int, block: Block) -> bool:
    """Give each empty cluster the row that is served worst, in place; says whether any was."""
    moved = False
    weights = np.ones(len(labels)) if block.row_weights is None else block.row_weights
    for k in np.flatnonzero(np.bincount(labels, weights, n_clusters) == 0):
        sizes = np.bincount(labels, weights, n_clusters)
        # only rows whose own cluster keeps another row may move
        candidates = np.where((sizes[labels] > weights) & (weights > 0), smallest, -1.0)
        farthest = int(candidates.argmax())
        if candidates[farthest] > 0:
            labels[farthest] = k
            smallest[farthest] = 0.0
            moved = True
    return moved


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
    labels, smallest, _ = assign(clustering.centers, block)
    squares = np.bincount(labels, weights * smallest, n_clusters)
    cells = np.bincount(labels, weights * block.counts, n_clusters)
    variances = np.divide(squares, cells, out=np.zeros(n_clusters), where=cells > 0)
    floor = 1e-6 * float(pooled(block, column_means(block.observed)).variances[0])
    sizes = np.bincount(labels, weights, n_clusters)
    return Parameters(
        sizes / sizes.sum(),
        np.asfortranarray(clustering.centers),
        np.where(variances > 0, variances, floor),
    )


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
        if self.init not in checks.INITS:
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
        return assign(self._centers(), Block(self._new_rows(X)))[0]

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int64]:
        """Fit, then give the cluster of each row."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def transform(self, X: Any) -> Array:
        """Distances of each row to all centres over its observed cells, shape (n, K)."""
        return np.sqrt(assign(self._centers(), Block(self._new_rows(X)))[2])

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Negative distortion of X: higher is better."""
        smallest = assign(self._centers(), Block(self._new_rows(X)))[1]
        weights = np.ones(len(smallest)) if sample_weight is None else np.asarray(sample_weight)
        return -float(weights @ smallest)

    def _centers(self) -> Array:
        check_is_fitted(self)
        return self.cluster_centers_

    def _fold_in(self, obs: ObservedMatrix) -> FoldedSpherical:
        labels = assign(self.cluster_centers_, Block(obs))[0]
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
