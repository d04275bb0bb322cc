"""The handout's own functions for K-means and spherical Gaussian mixtures.

A script written against the handout of the course runs unchanged once its imports point
here, with the same numbers, on the library's kernels::

    from mixmend.functional import init, run, fill_matrix, bic, rmse

In `estep`, `mstep`, `run` and `fill_matrix`, a 0 in the matrix means *missing*. In
`kmeans_run` and the ``naive_`` functions every cell was observed, zeros included. Everywhere
else in the library missingness is explicit; see `mixmend.GaussianMixture`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.em import engine
from mixmend.em.block import Block
from mixmend.errors import CollapsedComponentWarning, DataError, LikelihoodDecreasedWarning
from mixmend.mixtures import spherical
from mixmend.mixtures.spherical_family import SPHERICAL
from mixmend.observed.matrix import ObservedMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-6
"""EM stops when the log-likelihood gains no more than this, relative to its size."""

KMEANS_TOLERANCE = 1e-4
"""K-means stops when the distortion falls by no more than this."""

_ALWAYS = 2**62  # the handout has no limit of steps
_TINY_WEIGHT = 1e-16  # what the handout adds to a weight before its logarithm is taken


class GaussianMixture(NamedTuple):
    """A mixture of K spherical Gaussians in d dimensions.

    Attributes
    ----------
    mu : ndarray, shape (K, d)
        Means.
    var : ndarray, shape (K,)
        Variance of each component, the same in every dimension.
    p : ndarray, shape (K,)
        Mixing weights; they sum to 1.
    """

    mu: Array
    var: Array
    p: Array


class _HandoutDensity(spherical.SphericalDensity):
    """Maximum likelihood as in the handout, which keeps the logarithm of a weight finite."""

    def e_step(self, parameters: spherical.Parameters, block: Block) -> spherical.Statistics:
        return spherical.e_step(_kept_finite(parameters), block)


# ---------------------------------------------------------------------- the start


def init(X: ArrayLike, K: int, seed: int = 0) -> tuple[GaussianMixture, Array]:
    """Start from K random rows, as ``numpy.random.seed(seed)`` picks them.

    The means are the rows that ``numpy.random.choice(n, K, replace=False)`` draws after
    ``numpy.random.seed(seed)``; a generator of its own gives the identical draw, so that the
    global state of `numpy.random` is left alone. ``var[k]`` is the mean of
    ``(X - mu[k]) ** 2`` over all cells as stored (holes count as the stored 0), ``p`` is
    1 / K, and so are all responsibilities.

    Parameters
    ----------
    X : array-like, shape (n, d)
    K : int
        Components, at most n.
    seed : int

    Returns
    -------
    mixture : GaussianMixture
    post : ndarray, shape (n, K)

    Raises
    ------
    DataError
        If X is not a finite matrix, or K is not within 1 and n.

    Examples
    --------
    >>> mixture, post = init([[1.0, 2.0], [5.0, 6.0], [9.0, 7.0]], K=2, seed=0)
    >>> mixture.mu
    array([[9., 7.],
           [5., 6.]])
    >>> post[0]
    array([0.5, 0.5])
    """
    data = _matrix(X)
    n = len(data)
    if not isinstance(K, int | np.integer) or not 1 <= K <= n:
        raise DataError(
            f"K must be a whole number from 1 to the number of rows ({n}): the means start at "
            f"different rows; got {K!r}."
        )
    rows = np.random.RandomState(seed).choice(n, K, replace=False)
    mu = data[rows]
    var = np.array([((data - mean) ** 2).mean() for mean in mu])
    return GaussianMixture(mu, var, np.full(K, 1 / K)), np.full((n, K), 1 / K)


# ---------------------------------------------------------------------- incomplete rows


def estep(X: ArrayLike, mixture: GaussianMixture) -> tuple[Array, float]:
    """Responsibilities and log-likelihood of rows in which 0 means missing.

    A row's likelihood is the marginal over the columns it observes; a row that observes
    nothing gets the weights as its responsibilities and adds 0.

    Parameters
    ----------
    X : array-like, shape (n, d)
    mixture : GaussianMixture

    Returns
    -------
    post : ndarray, shape (n, K)
        Rows sum to 1.
    log_likelihood : float

    Raises
    ------
    DataError
        If X is not a finite matrix or does not fit the mixture.

    Examples
    --------
    >>> import numpy as np
    >>> two = GaussianMixture(np.array([[1.0, 1.0], [5.0, 5.0]]), np.ones(2), np.full(2, 0.5))
    >>> post, log_likelihood = estep([[9.0, 0.0], [0.0, 3.0], [0.0, 0.0]], two)
    >>> post.round(4)
    array([[0. , 1. ],
           [0.5, 0.5],
           [0.5, 0.5]])
    """
    data = _matrix(X)
    return _posterior(_with_holes(data, mixture), _kept_finite(_parameters(mixture, data)))


def mstep(
    X: ArrayLike, post: ArrayLike, mixture: GaussianMixture, min_variance: float = 0.25
) -> GaussianMixture:
    """Mixture of largest likelihood given responsibilities for rows in which 0 means missing.

    Parameters
    ----------
    X : array-like, shape (n, d)
    post : array-like, shape (n, K)
        Responsibilities; rows sum to 1.
    mixture : GaussianMixture
        The present one: a mean of a column in which a component is responsible for less than
        one observed value keeps its value.
    min_variance : float
        No variance becomes less.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    DataError
        If X is not a finite matrix, something does not fit, or min_variance is negative.

    Examples
    --------
    >>> import numpy as np
    >>> one = GaussianMixture(np.array([[2.0, 7.0]]), np.ones(1), np.ones(1))
    >>> mstep([[1.0, 0.0], [3.0, 0.0]], [[1.0], [1.0]], one)
    GaussianMixture(mu=array([[2., 7.]]), var=array([1.]), p=array([1.]))
    """
    data = _matrix(X)
    block = _with_holes(data, mixture)
    parameters = _parameters(mixture, data)
    statistics = spherical.statistics_of(_shares(post, data, mixture), parameters, block)
    return _mixture(_handout_density(min_variance).m_step(statistics, parameters))


def run(
    X: ArrayLike,
    mixture: GaussianMixture,
    post: ArrayLike | None = None,
    *,
    min_variance: float = 0.25,
    update_last: bool = False,
) -> tuple[GaussianMixture, Array, float]:
    """EM on rows in which 0 means missing, until ``l_new - l_old <= 1e-6 * |l_new|``.

    Parameters
    ----------
    X : array-like, shape (n, d)
    mixture : GaussianMixture
        Where to start, as from `init`.
    post : array-like, shape (n, K), optional
        Part of the handout's interface: EM begins with an E-step, which replaces it.
    min_variance : float
        No variance becomes less.
    update_last : bool
        What is returned. By default the mixture is the one that the responsibilities and the
        log-likelihood belong to. Printed solutions of the course take one more M-step after
        the last E-step; True gives their parameters, which are a step ahead of their
        log-likelihood.

    Returns
    -------
    mixture : GaussianMixture
    post : ndarray, shape (n, K)
    log_likelihood : float

    Raises
    ------
    DataError
        If X is not a finite matrix, something does not fit, or min_variance is negative.

    Examples
    --------
    >>> X = [[1.0, 1.0, 0.0], [1.0, 2.0, 2.0], [9.0, 8.0, 0.0], [9.0, 8.0, 9.0]]
    >>> mixture, post, log_likelihood = run(X, *init(X, K=2, seed=0))
    >>> mixture.p
    array([0.5, 0.5])
    >>> fill_matrix(X, mixture).round(2)[2]
    array([9., 8., 9.])
    """
    data = _matrix(X)
    if post is not None:
        _shares(post, data, mixture)
    density = _handout_density(min_variance)
    block = _with_holes(data, mixture)
    return _em(density, _parameters(mixture, data), block, update_last)


def fill_matrix(X: ArrayLike, mixture: GaussianMixture) -> Array:
    """Fill the holes (zeros) with their expectations; observed values stay as they are.

    Parameters
    ----------
    X : array-like, shape (n, d)
    mixture : GaussianMixture

    Returns
    -------
    ndarray, shape (n, d)
        In a hole, the mean of the components' means there, weighted by responsibilities.

    Raises
    ------
    DataError
        If X is not a finite matrix or does not fit the mixture.

    Examples
    --------
    >>> import numpy as np
    >>> two = GaussianMixture(np.array([[1.0, 1.0], [5.0, 5.0]]), np.ones(2), np.full(2, 0.5))
    >>> fill_matrix([[3.0, 0.0], [2.0, 4.0]], two)
    array([[3., 3.],
           [2., 4.]])
    """
    data = _matrix(X)
    post, _ = estep(data, mixture)
    return np.where(data == 0, post @ np.asarray(mixture.mu, dtype=np.float64), data)


# ---------------------------------------------------------------------- complete rows


def kmeans_run(
    X: ArrayLike, mixture: GaussianMixture, post: ArrayLike | None = None
) -> tuple[GaussianMixture, Array, float]:
    """K-means on complete rows, until the distortion falls by at most 1e-4.

    Parameters
    ----------
    X : array-like, shape (n, d)
    mixture : GaussianMixture
        Its means are where the centres start.
    post : array-like, shape (n, K), optional
        Part of the handout's interface; the first assignment replaces it.

    Returns
    -------
    mixture : GaussianMixture
        The centres, the mean squared deviation per cell of each cluster from its centre, and
        the clusters' shares of the rows. A cluster that lost its rows keeps its centre.
    post : ndarray, shape (n, K)
        1 for the cluster of each row, else 0.
    distortion : float
        Sum over the rows of the squared distance to their centre.

    Raises
    ------
    DataError
        If X is not a finite matrix or does not fit the mixture.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [8.0, 8.0], [8.0, 10.0]]
    >>> mixture, post, distortion = kmeans_run(X, *init(X, K=2, seed=0))
    >>> distortion, mixture.var
    (4.0, array([0.5, 0.5]))
    """
    from mixmend.mixtures import clustering

    data = _matrix(X)
    start = _parameters(mixture, data)
    if post is not None:
        _shares(post, data, mixture)
    block = _complete(data, mixture)
    centers, before = start.means, np.inf
    while True:
        labels, _, _ = clustering.assign(centers, block)
        centers, _ = clustering.update(centers, labels, block)
        hard = np.eye(len(centers))[labels]
        around = spherical.statistics_of(hard, start._replace(means=centers), block)
        distortion = float(around.residuals.sum())
        if before - distortion <= KMEANS_TOLERANCE:
            break
        before = distortion
    var = np.divide(
        around.residuals, around.cells, out=np.zeros(len(centers)), where=around.cells > 0
    )
    return GaussianMixture(np.ascontiguousarray(centers), var, hard.mean(axis=0)), hard, distortion


def naive_estep(X: ArrayLike, mixture: GaussianMixture) -> tuple[Array, float]:
    """Responsibilities and log-likelihood of complete rows.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Zeros are values like any other.
    mixture : GaussianMixture

    Returns
    -------
    post : ndarray, shape (n, K)
        Rows sum to 1.
    log_likelihood : float

    Raises
    ------
    DataError
        If X is not a finite matrix or does not fit the mixture.

    Examples
    --------
    >>> import numpy as np
    >>> two = GaussianMixture(np.array([[6.0], [7.0]]), np.array([1.0, 4.0]), np.full(2, 0.5))
    >>> post, log_likelihood = naive_estep([[-1.0], [0.0], [4.0], [5.0], [6.0]], two)
    >>> round(log_likelihood, 4)
    -24.5125
    """
    data = _matrix(X)
    return _posterior(_complete(data, mixture), _parameters(mixture, data))


def naive_mstep(X: ArrayLike, post: ArrayLike) -> GaussianMixture:
    """Mixture of largest likelihood given responsibilities for complete rows.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Zeros are values like any other.
    post : array-like, shape (n, K)
        Responsibilities; rows sum to 1.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    DataError
        If X is not a finite matrix, post does not fit, or a component has no share of any
        row, so that its mean is undefined.

    Examples
    --------
    >>> naive_mstep([[1.0], [3.0], [8.0]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).mu
    array([[2.],
           [8.]])
    """
    data = _matrix(X)
    shares = np.asarray(post, dtype=np.float64)
    K = shares.shape[1] if shares.ndim == 2 else 0
    centre = data.mean(axis=0)
    around = GaussianMixture(np.tile(centre, (K, 1)), np.ones(K), np.full(K, 1 / max(K, 1)))
    shares = _shares(shares, data, around)
    empty = np.flatnonzero(shares.sum(axis=0) == 0)
    if len(empty):
        raise DataError(
            f"component {empty[0]} has no share of any row, so its mean is undefined: start with "
            f"fewer components."
        )
    parameters = _parameters(around, data)
    statistics = spherical.statistics_of(shares, parameters, _complete(data, around))
    return _mixture(spherical.SphericalDensity().m_step(statistics, parameters))


def naive_run(
    X: ArrayLike,
    mixture: GaussianMixture,
    post: ArrayLike | None = None,
    *,
    update_last: bool = False,
) -> tuple[GaussianMixture, Array, float]:
    """EM on complete rows, until ``l_new - l_old <= 1e-6 * |l_new|``.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Zeros are values like any other.
    mixture : GaussianMixture
        Where to start, as from `init`.
    post : array-like, shape (n, K), optional
        Part of the handout's interface: EM begins with an E-step, which replaces it.
    update_last : bool
        As for `run`.

    Returns
    -------
    mixture : GaussianMixture
    post : ndarray, shape (n, K)
    log_likelihood : float

    Raises
    ------
    DataError
        If X is not a finite matrix or something does not fit.

    Warns
    -----
    CollapsedComponentWarning
        If a component shrank onto a single point: its likelihood has no bound. `run` has a
        floor for variances.

    Examples
    --------
    >>> import numpy as np
    >>> start = GaussianMixture(np.array([[6.0], [7.0]]), np.array([1.0, 4.0]), np.full(2, 0.5))
    >>> mixture, post, log_likelihood = naive_run([[-1.0], [0.0], [4.0], [5.0], [6.0]], start)
    >>> mixture.mu.ravel().round(4) + 0.0, mixture.var.round(4)
    (array([ 5. , -0.5]), array([0.6667, 0.25  ]))
    """
    data = _matrix(X)
    if post is not None:
        _shares(post, data, mixture)
    block = _complete(data, mixture)
    result = _em(spherical.SphericalDensity(), _parameters(mixture, data), block, update_last)
    spread = float(data.var())
    if spread > 0 and (result[0].var < 1e-20 * spread).any():
        k = int(result[0].var.argmin())
        warnings.warn(
            f"component {k} shrank onto a single point, where its likelihood has no bound: start "
            f"elsewhere, use fewer components, or use run, which has a floor for variances.",
            CollapsedComponentWarning,
            stacklevel=2,
        )
    return result


# ---------------------------------------------------------------------- measures, picture


def bic(X: ArrayLike, mixture: GaussianMixture, log_likelihood: float) -> float:
    """Bayesian information criterion; larger is better.

    ``log_likelihood - (K d + K + K - 1) / 2 * log(n)``.

    Parameters
    ----------
    X : array-like, shape (n, d)
    mixture : GaussianMixture
    log_likelihood : float
        Of the mixture for X.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If X is not a finite matrix or does not fit the mixture.

    Examples
    --------
    >>> import numpy as np
    >>> one = GaussianMixture(np.zeros((1, 2)), np.ones(1), np.ones(1))
    >>> round(bic(np.ones((10, 2)), one, -20.0), 4)
    -23.4539
    """
    data = _matrix(X)
    parameters = _parameters(mixture, data, positive=False)
    free = SPHERICAL.n_parameters(parameters)
    return float(log_likelihood - 0.5 * free * np.log(len(data)))


def rmse(X: ArrayLike, Y: ArrayLike) -> float:
    """Root of the mean squared difference of two matrices over all their cells.

    Parameters
    ----------
    X, Y : array-like of the same shape

    Returns
    -------
    float

    Raises
    ------
    DataError
        If the shapes differ or a value is not finite.

    Examples
    --------
    >>> rmse([[1.0, 2.0]], [[1.0, 4.0]])
    1.4142135623730951
    """
    one, other = _matrix(X), _matrix(Y, "Y")
    if one.shape != other.shape:
        raise DataError(f"X and Y must have the same shape; got {one.shape} and {other.shape}.")
    return float(np.sqrt(np.mean((one - other) ** 2)))


def plot(X: ArrayLike, mixture: GaussianMixture, post: ArrayLike, title: str) -> Axes:
    """Draw complete 2-D data: rings of responsibilities, and the components as circles.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Zeros are values like any other.
    mixture : GaussianMixture
    post : array-like, shape (n, K)
    title : str

    Returns
    -------
    matplotlib Axes
        Of a figure of its own; save it with ``axes.figure.savefig("picture.png")``.

    Raises
    ------
    DataError
        If X is not a finite matrix or something does not fit.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [8.0, 8.0], [8.0, 10.0]]
    >>> mixture, post = init(X, K=2, seed=0)
    >>> plot(X, mixture, post, "the start").get_title(loc="left")
    'the start'
    """
    from mixmend.plots import plot_mixture

    data = _matrix(X)
    parameters = _parameters(mixture, data, positive=False)
    shares = _shares(post, data, mixture)
    return plot_mixture(
        data, parameters.means, parameters.variances, parameters.weights, shares, title
    )


# ---------------------------------------------------------------------- what they share


def _em(
    density: spherical.SphericalDensity,
    start: spherical.Parameters,
    block: Block,
    update_last: bool,
) -> tuple[GaussianMixture, Array, float]:
    with warnings.catch_warnings():
        if (start.variances < density.min_variance).any():
            # lifting the start to the floor costs likelihood, once and rightly
            warnings.simplefilter("ignore", LikelihoodDecreasedWarning)
        fit = engine.run(density, start, [block], tol=TOLERANCE, max_iter=_ALWAYS)
    if fit.interrupted:
        raise KeyboardInterrupt
    at = _kept_finite(fit.parameters) if isinstance(density, _HandoutDensity) else fit.parameters
    post, log_likelihood = _posterior(block, at)
    last = fit.parameters
    if update_last:
        last = density.m_step(density.e_step(last, block), last)
    return _mixture(last), post, log_likelihood


def _posterior(block: Block, parameters: spherical.Parameters) -> tuple[Array, float]:
    result = spherical.posterior(parameters, block)
    return result.responsibilities, result.log_likelihood


def _handout_density(min_variance: float) -> _HandoutDensity:
    if not (np.isfinite(min_variance) and min_variance >= 0):
        raise DataError(f"min_variance must be finite and not negative; got {min_variance}.")
    return _HandoutDensity(min_variance=float(min_variance), min_support=1.0)


def _kept_finite(parameters: spherical.Parameters) -> spherical.Parameters:
    return parameters._replace(weights=parameters.weights + _TINY_WEIGHT)


def _mixture(parameters: spherical.Parameters) -> GaussianMixture:
    return GaussianMixture(
        np.ascontiguousarray(parameters.means), parameters.variances, parameters.weights
    )


def _with_holes(data: Array, mixture: GaussianMixture) -> Block:
    return _block(ObservedMatrix.from_dense(data, missing=0.0), mixture)


def _complete(data: Array, mixture: GaussianMixture) -> Block:
    return _block(ObservedMatrix.from_dense(data), mixture)


def _block(observed: ObservedMatrix, mixture: GaussianMixture) -> Block:
    return Block(observed, spherical.row_bytes(len(mixture.p), 8, row_offsets=False))


def _matrix(values: Any, name: str = "X") -> Array:
    """A finite matrix of doubles."""
    try:
        data = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be a matrix of numbers, shape (n, d).") from None
    if data.ndim != 2 or 0 in data.shape:
        raise DataError(
            f"{name} must be a matrix with rows and columns, shape (n, d); got shape {data.shape}."
        )
    if not np.isfinite(data).all():
        row, column = np.argwhere(~np.isfinite(data))[0]
        raise DataError(
            f"{name} must be finite; row {row}, column {column} is {data[row, column]}. Here 0 "
            f"marks what is missing; for NaN use mixmend.GaussianMixture."
        )
    return data


def _parameters(
    mixture: GaussianMixture, data: Array, positive: bool = True
) -> spherical.Parameters:
    """The mixture as the kernels take it, once it is known to fit the data."""
    mu, var, p = (np.asarray(part, dtype=np.float64) for part in mixture)
    d = data.shape[1]
    K = p.shape[0] if p.ndim == 1 else 0
    if K == 0 or mu.shape != (K, d) or var.shape != (K,):
        raise DataError(
            f"the mixture must have mu of shape (K, {d}), as X has {d} columns, and var and p of "
            f"shape (K,); got {mu.shape}, {var.shape} and {p.shape}."
        )
    if not np.isfinite(mu).all():
        raise DataError("mixture.mu must be finite.")
    if not (np.isfinite(var).all() and ((var > 0) | (not positive) & (var == 0)).all()):
        k = int(np.flatnonzero(~(np.isfinite(var) & (var > 0)))[0])
        raise DataError(f"mixture.var must be finite and positive; component {k} has {var[k]}.")
    if not ((p >= 0).all() and abs(p.sum() - 1) <= 1e-6):
        raise DataError(f"mixture.p must be weights, not negative, with sum 1; got {p.tolist()}.")
    return spherical.Parameters(p, np.asfortranarray(mu), var)


def _shares(post: Any, data: Array, mixture: GaussianMixture) -> Array:
    """Responsibilities, once they are known to be such."""
    shares = np.asarray(post, dtype=np.float64)
    wanted = (len(data), len(mixture.p))
    if shares.shape != wanted or wanted[1] == 0:
        raise DataError(
            f"post must have one row per row of X and one column per component, shape (n, K) = "
            f"({wanted[0]}, {wanted[1] or 'K'}); got {shares.shape}."
        )
    bad = ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= 1e-6))
    if bad.any():
        raise DataError(
            "rows of post must be responsibilities: not negative, with sum 1; row "
            f"{int(np.flatnonzero(bad)[0])} is not."
        )
    return shares
