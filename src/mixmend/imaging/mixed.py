"""Palettes of mixtures: full covariances, the means as colours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.imaging.clusters import Array, Points
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.observed.convert import as_observed

MOST_POINTS = 1 << 15
"""Points that a mixture is fitted to: cells of colours where there are more."""

CANDIDATES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Numbers of components among which BIC chooses."""

_NUMBERS = 1 << 23


class Options(NamedTuple):
    """Starts, floor of the variances, and whether all points lie on the line of greys."""

    n_init: int
    min_variance: float
    is_grey: bool


def mixture_palette(
    points: Points, coarse: Points, wanted: int | None, options: Options, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int64]]:
    """Means of a mixture fitted to ``coarse``, and the most likely component of each point.

    Parameters
    ----------
    points, coarse : Points
        All distinct colours, and fewer that stand for them.
    wanted : int or None
        Components; None leaves the choice to BIC.
    options : Options
    rng : Generator

    Returns
    -------
    means : ndarray, shape (K, 4)
    labels : ndarray of int64, shape (n,)
    """
    columns = used_columns(points, options.is_grey)
    mixture = fit_mixture(coarse, columns, wanted, options, rng)
    return completed(mixture.means_, points, columns), _most_likely(mixture, points, columns)


def used_columns(points: Points, is_grey: bool) -> NDArray[np.int64]:
    """The coordinates that say something: one of three for grey, opacity where it varies."""
    columns = [0] if is_grey else [0, 1, 2]
    return np.array([*columns, 3] if points.values[:, 3].any() else columns)


def completed(rows: Array, points: Points, columns: NDArray[np.int64]) -> Array:
    """Rows of the used coordinates with the others put back, shape (n, 4)."""
    out = np.zeros((len(rows), 4))
    out[:, columns] = rows
    if len(columns) < 3:  # greys lie on a line through black
        lightest = points.values[points.values[:, 0].argmax()]
        if lightest[0] > 0:
            out[:, 1:3] = out[:, :1] * (lightest[1:3] / lightest[0])
    return out


def fit_mixture(
    points: Points,
    columns: NDArray[np.int64],
    wanted: int | None,
    options: Options,
    rng: np.random.Generator,
) -> GaussianMixture:
    """A mixture with full covariances of the points; with BIC's number of components if None."""
    rows, weights = np.ascontiguousarray(points.values[:, columns]), points.weights
    if wanted is not None:
        return _fit(rows, weights, wanted, options, rng)
    best, least, rises = None, np.inf, 0
    for count in CANDIDATES:
        if count > len(rows) or rises == 2:
            break
        mixture = _fit(rows, weights, count, options, rng)
        criterion = mixture.bic(as_observed(rows, row_weights=weights))
        rises = 0 if criterion < least else rises + 1
        if criterion < least:
            best, least = mixture, criterion
    assert best is not None  # one component always fits
    return best


def _fit(
    rows: Array, weights: Array, count: int, options: Options, rng: np.random.Generator
) -> GaussianMixture:
    return GaussianMixture(
        count,
        "full",
        n_init=options.n_init,
        tol=1e-5,
        min_variance=options.min_variance,
        random_state=rng,
    ).fit(rows, sample_weight=weights)


def _most_likely(
    mixture: GaussianMixture, points: Points, columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    labels = np.empty(len(points.values), np.int64)
    step = max(1, _NUMBERS // len(mixture.weights_))
    for begin in range(0, len(labels), step):
        part = slice(begin, begin + step)
        labels[part] = mixture.predict(np.ascontiguousarray(points.values[part][:, columns]))
    return labels
