"""EM on rows with holes, where a 0 in the matrix means missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mixmend.functional.values import (
    Array,
    GaussianMixture,
    as_mixture,
    handout_density,
    kept_finite,
    matrix_of,
    parameters_of,
    posterior_of,
    run_em,
    shares_of,
    with_holes,
)
from mixmend.mixtures import spherical


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
    data = matrix_of(X)
    return posterior_of(with_holes(data, mixture), kept_finite(parameters_of(mixture, data)))


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
    data = matrix_of(X)
    block = with_holes(data, mixture)
    parameters = parameters_of(mixture, data)
    statistics = spherical.statistics_of(shares_of(post, data, mixture), parameters, block)
    return as_mixture(handout_density(min_variance).m_step(statistics, parameters))


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
    >>> from mixmend.functional import fill_matrix, init, run
    >>> X = [[1.0, 1.0, 0.0], [1.0, 2.0, 2.0], [9.0, 8.0, 0.0], [9.0, 8.0, 9.0]]
    >>> mixture, post, log_likelihood = run(X, *init(X, K=2, seed=0))
    >>> mixture.p
    array([0.5, 0.5])
    >>> fill_matrix(X, mixture).round(2)[2]
    array([9., 8., 9.])
    """
    data = matrix_of(X)
    if post is not None:
        shares_of(post, data, mixture)
    density = handout_density(min_variance)
    block = with_holes(data, mixture)
    return run_em(density, parameters_of(mixture, data), block, update_last)


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
    data = matrix_of(X)
    post, _ = estep(data, mixture)
    return np.where(data == 0, post @ np.asarray(mixture.mu, dtype=np.float64), data)
