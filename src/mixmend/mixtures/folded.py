"""Rows folded into a spherical mixture: the predictions of any of their cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.mixtures.spherical_e_step import Array, Parameters, Posterior


class FoldedSpherical(NamedTuple):
    """A spherical mixture conditioned on the observed cells of some rows.

    Given component k, a hole of row u in column i is normal with mean ``m_ki + b_uk`` and
    variance ``v_k + w_ki + var(b_uk)``: noise, doubt about the component's mean and doubt
    about the row's offset. Doubt about the component is the mixing by responsibilities.
    """

    parameters: Parameters
    posterior: Posterior

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
