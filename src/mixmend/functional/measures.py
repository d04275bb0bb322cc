"""BIC, error and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mixmend.errors import DataError
from mixmend.functional.values import (
    GaussianMixture,
    matrix_of,
    parameters_of,
    shares_of,
)
from mixmend.mixtures.spherical_family import SPHERICAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    data = matrix_of(X)
    parameters = parameters_of(mixture, data, positive=False)
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
    one, other = matrix_of(X), matrix_of(Y, "Y")
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
    >>> from mixmend.functional import init, plot
    >>> X = [[0.0, 0.0], [0.0, 2.0], [8.0, 8.0], [8.0, 10.0]]
    >>> mixture, post = init(X, K=2, seed=0)
    >>> plot(X, mixture, post, "the start").get_title(loc="left")
    'the start'
    """
    from mixmend.plots import plot_mixture

    data = matrix_of(X)
    parameters = parameters_of(mixture, data, positive=False)
    shares = shares_of(post, data, mixture)
    return plot_mixture(
        data, parameters.means, parameters.variances, parameters.weights, shares, title
    )
