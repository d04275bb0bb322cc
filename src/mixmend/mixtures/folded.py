"""Rows folded into a spherical mixture: the predictions of any of their cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.mixtures.spherical_e_step import Array, Parameters, Posterior
from mixmend.observed.matrix import ObservedMatrix


class FoldedSpherical(NamedTuple):
    """A spherical mixture conditioned on the observed cells of some rows.

    Given component k, a hole of row u in column i is normal with mean ``m_ki + b_uk`` and
    variance ``v_k + w_ki + var(b_uk)``: noise, doubt about the component's mean and doubt
    about the row's offset. Doubt about the component is the mixing by responsibilities.
    """

    parameters: Parameters
    posterior: Posterior
    observed: ObservedMatrix

    @property
    def responsibilities(self) -> Array:
        """Posterior probability of each component, (n, K); the weights for an empty row."""
        return self.posterior.responsibilities

    @property
    def log_densities(self) -> Array:
        """Log density of each row's observed cells, (n,); 0 for an empty row."""
        return np.where(self.observed.row_counts > 0, self.posterior.log_densities(), 0.0)

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        p, post = self.parameters, self.posterior
        variances = p.variances + post.offset_variances[rows]
        if p.mean_variances is not None:
            variances = variances + p.mean_variances.T[columns]
        return Predictive(
            post.responsibilities[rows], p.means.T[columns] + post.offsets[rows], variances
        )

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, as matrix products."""
        p, post = self.parameters, self.posterior
        weights, offsets = post.responsibilities[rows], post.offsets[rows]
        # around the mixture's own mean, so that E[x^2] - E[x]^2 does not cancel
        centre = p.weights @ p.means
        means = p.means - centre
        shifted = weights * offsets
        mean = weights @ means + shifted.sum(axis=1, keepdims=True)
        if not variance:
            return mean + centre, None
        squares = means**2 if p.mean_variances is None else means**2 + p.mean_variances
        within = weights * (p.variances + post.offset_variances[rows])
        second = weights @ squares + 2.0 * (shifted @ means)
        second += (within + shifted * offsets).sum(axis=1, keepdims=True)
        spread = np.maximum(second - mean**2, within.sum(axis=1, keepdims=True))
        return mean + centre, spread

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all rows' holes: component, then offset, then noise."""
        p, post = self.parameters, self.posterior
        n, d = self.observed.shape
        # inverse transform on the cumulated responsibilities, one uniform number a row
        levels = np.cumsum(post.responsibilities, axis=1)
        picked = (rng.random((n, 1)) * levels[:, -1:] > levels[:, :-1]).sum(axis=1)
        rows = np.arange(n)
        offset = post.offsets[rows, picked]
        offset = offset + np.sqrt(post.offset_variances[rows, picked]) * rng.normal(size=n)
        variances = p.variances[picked][:, None]
        if p.mean_variances is not None:
            variances = variances + p.mean_variances[picked]
        out = p.means[picked] + offset[:, None] + np.sqrt(variances) * rng.normal(size=(n, d))
        seen = (self.observed.entry_rows, self.observed.by_row.indices)
        out[seen] = self.observed.by_row.values
        return np.asarray(out)
