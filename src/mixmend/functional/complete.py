"""K-means and EM on complete rows, zeros included; and the start of both."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from mixmend.errors import CollapsedComponentWarning, DataError
from mixmend.functional.values import (
    KMEANS_TOLERANCE,
    Array,
    GaussianMixture,
    as_mixture,
    matrix_of,
    parameters_of,
    posterior_of,
    run_em,
    shares_of,
    without_holes,
)
from mixmend.mixtures import spherical


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
    data = matrix_of(X)
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

    data = matrix_of(X)
    start = parameters_of(mixture, data)
    if post is not None:
        shares_of(post, data, mixture)
    block = without_holes(data, mixture)
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
    data = matrix_of(X)
    return posterior_of(without_holes(data, mixture), parameters_of(mixture, data))


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
    data = matrix_of(X)
    shares = np.asarray(post, dtype=np.float64)
    K = shares.shape[1] if shares.ndim == 2 else 0
    centre = data.mean(axis=0)
    around = GaussianMixture(np.tile(centre, (K, 1)), np.ones(K), np.full(K, 1 / max(K, 1)))
    shares = shares_of(shares, data, around)
    empty = np.flatnonzero(shares.sum(axis=0) == 0)
    if len(empty):
        raise DataError(
            f"component {empty[0]} has no share of any row, so its mean is undefined: start with "
            f"fewer components."
        )
    parameters = parameters_of(around, data)
    statistics = spherical.statistics_of(shares, parameters, without_holes(data, around))
    return as_mixture(spherical.SphericalDensity().m_step(statistics, parameters))


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
    data = matrix_of(X)
    if post is not None:
        shares_of(post, data, mixture)
    block = without_holes(data, mixture)
    result = run_em(spherical.SphericalDensity(), parameters_of(mixture, data), block, update_last)
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
