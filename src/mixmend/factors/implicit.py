"""What a row observed, whatever the values, as features of the row; and the same of columns.

Which films somebody rates says something about them before any rating is looked at (Koren
2008, SVD++). There, every column has a vector, and a row is drawn towards the sum of the vectors
of the columns that it observed, over the root of their number. Here those vectors are
regressions on a few directions: the leading singular vectors of the indicator matrix, each row and
column over the root of its count. That keeps the features dense and few, and new rows need
nothing but their entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mixmend.factors.starts import leading_vectors
from mixmend.kernels.threads import fixed_order
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


class ImplicitFeatures(NamedTuple):
    """How a row's observed places become its features.

    Attributes
    ----------
    table : ndarray, shape (d, k)
        What each observed column adds to a row's features, before the sum is divided by the root
        of its number of entries.
    counts : ndarray, shape (4,)
        Mean and deviation of ``log(1 + entries)`` over training rows, and its range there.
    """

    table: Array
    counts: Array

    def encode(self, obs: ObservedMatrix) -> Array:
        """Features of rows, (n, k + 1): the directions, and the logarithm of the count."""
        view, counts = obs.by_row, np.maximum(obs.row_counts, 1)
        places = csr_array((np.ones(len(view.indices)), view.indices, view.pointers), obs.shape)
        directions = (places @ self.table) / np.sqrt(counts)[:, None]
        return np.column_stack([directions, _log_counts(obs.row_counts, self.counts)])


def fit_implicit(
    obs: ObservedMatrix, directions: int, rng: np.random.Generator
) -> tuple[ImplicitFeatures, Array]:
    """Find the directions of a matrix; also the features of its columns, (d, k + 1).

    Rows count by their weights. Each feature has the mean square 1.
    """
    view, n = obs.by_row, obs.shape[0]
    weights = np.ones(n) if obs.row_weights is None else obs.row_weights
    per_entry = np.repeat(weights, obs.row_counts)
    totals = np.bincount(view.indices, per_entry, obs.shape[1])
    roots = np.sqrt(np.where(totals > 0, totals, 1.0))
    values = np.sqrt(per_entry) / np.sqrt(np.repeat(obs.row_counts, obs.row_counts))
    matrix = csr_array((values / roots[view.indices], view.indices, view.pointers), obs.shape)
    with fixed_order():
        _, sizes, right = leading_vectors(matrix, directions, rng)
        # beyond the rank any direction would do, and says nothing; sizes are roots of squares there
        right = right * (sizes > 1e-6 * sizes.max(initial=1e-300))
        first = ImplicitFeatures(right / roots[:, None], _log_scale(obs.row_counts, weights))
        squares = weights @ first.encode(obs)[:, :-1] ** 2 / weights.sum()
    rows = first._replace(table=first.table * _inverse_roots(squares))
    columns = right * _inverse_roots((right**2).mean(axis=0))
    columns[totals == 0] = 0.0
    own = _log_counts(totals, _log_scale(totals, np.ones(len(totals))))
    return rows, np.column_stack([columns, own])


def _inverse_roots(squares: Array) -> Array:
    """What scales features to the mean square 1; directions of a lower rank stay 0."""
    there = squares > 1e-20
    return np.where(there, 1.0 / np.sqrt(np.where(there, squares, 1.0)), 0.0)


def _log_scale(counts: NDArray[Any], weights: Array) -> Array:
    """Mean, deviation and range of the logarithms of the counts of lines with entries."""
    logs, weights = np.log1p(counts[counts > 0]), weights[counts > 0]
    if weights.sum() == 0:
        return np.array([0.0, 1.0, 0.0, 0.0])
    mean = weights @ logs / weights.sum()
    deviation = np.sqrt(weights @ (logs - mean) ** 2 / weights.sum())
    return np.array([mean, deviation if deviation > 1e-12 else 1.0, logs.min(), logs.max()])


def _log_counts(counts: NDArray[Any], scale: Array) -> Array:
    """Standardised, and held to what the fit met: a regression should not be carried further."""
    mean, deviation, least, most = scale
    return np.asarray((np.clip(np.log1p(counts), least, most) - mean) / deviation)
