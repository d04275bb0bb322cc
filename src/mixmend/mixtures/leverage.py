"""How far predictions extrapolate: leverages among the rows that taught a column.

What fills a hole is a regression of its column on the others, and that regression was
learned from the rows that do observe the column. Where holes depend on what the others hold
(MAR), those rows lie to one side, and a row with a hole lies further from them than from
the table: its prediction is less sure than one leverage for the whole row says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.kernels.threads import fixed_order
from mixmend.mixtures.folded_full import FoldedFull
from mixmend.mixtures.full_e_step import whitener
from mixmend.mixtures.spherical_e_step import Array

MOST_COLUMNS = 64
ENOUGH_ROWS = 200
"""Tables of more columns, or more rows for each column, have leverages of whole rows: there
are d matrices of d x d numbers for each component, and little doubt in long tables."""

_NUMBERS_AT_ONCE = 1 << 21


class Regressions(NamedTuple):
    """What each column's regression on the others has learned from, by component.

    Attributes
    ----------
    centres : ndarray, shape (d, K, d)
        Means of the rows that observe a column.
    whiteners : ndarray, shape (d, K, d, d)
        W with ``W' W`` the inverse of those rows' scatter about their means, and of what
        the prior lends; the column's own row is 0.
    counts : ndarray, shape (d, K)
        How many they are.
    """

    centres: Array
    whiteners: Array
    counts: Array

    def grown(self, factors: Array) -> Regressions:
        """As if there were ``factors`` (d,) times as many rows that observe each column."""
        return self._replace(
            whiteners=self.whiteners / np.sqrt(factors)[:, None, None, None],
            counts=self.counts * factors[:, None],
        )

    @fixed_order()
    def leverages(
        self, folded: FoldedFull, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> Array:
        """Leverage of the row of each cell under each component, (cells, K).

        What the row does not observe is put at its expectation.
        """
        n_components, d = folded.parameters.means.shape
        out = np.empty((len(rows), n_components))
        lines, place = np.unique(rows, return_inverse=True)
        many = max(1, _NUMBERS_AT_ONCE // (n_components * d))
        for start in range(0, len(lines), many):
            expected = folded.expected(lines[start : start + many])
            inside = (place >= start) & (place < start + many)
            for j in np.unique(columns[inside]):
                own = np.flatnonzero(inside & (columns == j))
                gaps = expected[:, place[own] - start] - self.centres[j][:, None]
                out[own] = np.square(gaps @ self.whiteners[j].swapaxes(1, 2)).sum(axis=2).T
        return out


@fixed_order()
def regressions(
    folded: FoldedFull, row_weights: Array | None, borrowed: float, shared: bool
) -> Regressions | None:
    """Learn from the rows that a mixture was fitted to; None where it is not worth its while.

    Parameters
    ----------
    folded : FoldedFull
        Those rows, conditioned on what they observe.
    row_weights : ndarray, shape (n,), optional
        How often each counts.
    borrowed : float
        For how many rows of each component's covariance the prior counts.
    shared : bool
        Whether the components have one covariance, taught by the rows of all.
    """
    values = folded.observed.dense
    (n, d), n_components = values.shape, len(folded.parameters.weights)
    if d > MOST_COLUMNS or n > ENOUGH_ROWS * d:
        return None
    shares = folded.responsibilities
    shares = shares if row_weights is None else shares * row_weights[:, None]
    counts = np.zeros((d, n_components))
    sums, scatters = np.zeros((d, n_components, d)), np.zeros((d, n_components, d, d))
    many = max(1, _NUMBERS_AT_ONCE // (n_components * d))
    for start in range(0, n, many):
        lines = np.arange(start, min(start + many, n))
        gaps = folded.expected(lines) - folded.parameters.means[:, None]
        seen = ~np.isnan(values[lines])
        for j in range(d):
            own = shares[lines[seen[:, j]]].T
            near = gaps[:, seen[:, j]]
            weighted = own[:, :, None] * near
            counts[j] += own.sum(axis=1)
            sums[j] += weighted.sum(axis=1)
            scatters[j] += weighted.swapaxes(1, 2) @ near
    centres = sums / np.maximum(counts, 1e-12)[..., None]
    scatters -= centres[..., :, None] * sums[..., None, :]
    if shared:
        scatters[:] = scatters.sum(axis=1, keepdims=True)
        counts[:] = counts.sum(axis=1, keepdims=True)
    scatters += borrowed * folded.parameters.covariances
    each = np.arange(d)
    scatters[each, :, each] = 0.0
    scatters[each, :, :, each] = 0.0
    scatters[each, :, each, each] = 1.0
    whiteners = whitener(scatters.reshape(-1, d, d)).reshape(scatters.shape)
    whiteners[each, :, each, each] = 0.0
    return Regressions(centres + folded.parameters.means, whiteners, counts)
