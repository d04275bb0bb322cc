"""What the observed cells of each column say by themselves: in these units fits begin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix

_TINY = 1e-300


class ColumnFacts(NamedTuple):
    """What the observed cells of each column say by themselves, each of shape (d,).

    A column without any observed cell gets the mean of the other columns' means and 1 as
    its variance; so does a column of equal values.
    """

    means: Array
    variances: Array
    floors: Array


def column_facts(obs: ObservedMatrix) -> ColumnFacts:
    """Weighted mean and variance of every column, and the variance that rounding makes.

    Examples
    --------
    >>> from mixmend.observed.matrix import ObservedMatrix
    >>> facts = column_facts(ObservedMatrix.from_dense([[1.0, 5.0], [3.0, float("nan")]]))
    >>> facts.means, facts.variances
    (array([2., 5.]), array([1., 1.]))
    """
    view = obs.by_row
    columns, d = view.indices, obs.shape[1]
    values = view.values.astype(np.float64, copy=False)
    weights = None
    if obs.row_weights is not None:
        weights = np.repeat(obs.row_weights, obs.row_counts)
    mass = np.bincount(columns, weights, d).astype(np.float64)
    known = mass > 0

    def mean_of(numbers: Array) -> Array:
        weighted = numbers if weights is None else weights * numbers
        total = np.bincount(columns, weighted, d)
        return np.divide(total, mass, out=np.zeros(d), where=known)

    means = mean_of(values)
    gaps = values - means[columns]
    shift = mean_of(gaps)  # a second look: the first sum is as rough as the values are large
    means += shift
    variances = mean_of(gaps * gaps) - shift * shift
    largest = np.zeros(d)
    np.maximum.at(largest, columns, np.abs(values))
    floors = np.maximum((16.0 * np.finfo(obs.dtype).eps * largest) ** 2, _TINY)
    means[~known] = means[known].mean() if known.any() else 0.0
    variances[~(variances > floors)] = 1.0
    return ColumnFacts(means, variances, floors)


def constant_columns(obs: ObservedMatrix, facts: ColumnFacts) -> NDArray[np.bool_]:
    """Which columns hold one value only (or none)."""
    view = obs.by_row
    gaps = np.zeros(obs.shape[1])
    np.maximum.at(gaps, view.indices, np.abs(view.values - facts.means[view.indices]))
    return np.asarray(gaps * gaps <= facts.floors)
