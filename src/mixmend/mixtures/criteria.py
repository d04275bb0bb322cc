"""Criteria for the choice among mixtures, as methods of a fitted estimator."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.special import xlogy
from sklearn.utils.validation import check_is_fitted

from mixmend.checks import bad_option
from mixmend.mixtures.family import Family, Folded
from mixmend.mixtures.fixed import free_parameters
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix


class Criteria:
    """Likelihoods with a price on parameters (and on components that overlap)."""

    _family: Family
    _fixed: Any
    parameters_: Any

    def _new_rows(self, X: Any) -> ObservedMatrix:
        raise NotImplementedError

    def _fold_in(self, obs: ObservedMatrix) -> Folded:
        raise NotImplementedError

    def score_samples(self, X: Any) -> Array:
        """Log density of the observed cells of each row, shape (n,); 0 where none is."""
        return self._fold_in(self._new_rows(X)).log_densities

    def score(self, X: Any, y: Any = None) -> float:
        """Mean over rows of `score_samples` (by the row weights of an `ObservedMatrix`)."""
        obs = self._new_rows(X)
        return float(np.average(self.score_samples(obs), weights=obs.row_weights))

    def n_parameters(self) -> int:
        """Free parameters: means, covariances, K - 1 weights (and the offset variance).

        Means and covariances of ``fixed_components`` are not counted.
        """
        check_is_fitted(self)
        return free_parameters(self._family, self.parameters_, self._fixed)

    def bic(self, X: Any, sample_size: Literal["rows", "entries"] = "rows") -> float:
        """Bayesian information criterion, ``-2 l + parameters * log(size)``: lower is better.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            The data that the model was fitted to.
        sample_size : {"rows", "entries"}, default "rows"
            What counts as a draw: rows are the independent units of the mixture; observed
            entries punish long rows' columns harder. Both appear in the literature.
        """
        obs = self._new_rows(X)
        return self._bic(obs, self._fold_in(obs), sample_size)

    def aic(self, X: Any) -> float:
        """Akaike information criterion, ``-2 l + 2 * parameters``: lower is better."""
        obs = self._new_rows(X)
        deviance = -2.0 * float(_weights_of(obs) @ self._fold_in(obs).log_densities)
        return deviance + 2.0 * self.n_parameters()

    def icl(self, X: Any, sample_size: Literal["rows", "entries"] = "rows") -> float:
        """Integrated completed likelihood, ``bic + 2 * entropy``: lower is better.

        The entropy ``-sum_u sum_k post[u, k] log post[u, k]`` of the rows' responsibilities
        is the price of components that overlap: ICL counts clusters where BIC counts the
        normals that a density is made of (Biernacki, Celeux & Govaert 2000, in the form
        with responsibilities instead of assignments). A row with nothing observed tells
        components apart in no mixture, and adds nothing.

        Parameters
        ----------
        X, sample_size
            As for `bic`.
        """
        obs = self._new_rows(X)
        folded = self._fold_in(obs)
        post = folded.responsibilities
        entropies = np.where(obs.row_counts > 0, -xlogy(post, post).sum(axis=1), 0.0)
        return self._bic(obs, folded, sample_size) + 2.0 * float(_weights_of(obs) @ entropies)

    def _bic(self, obs: ObservedMatrix, folded: Folded, sample_size: str) -> float:
        weights = _weights_of(obs)
        size = {"rows": weights.sum(), "entries": weights @ obs.row_counts}.get(sample_size)
        if size is None:
            raise bad_option("sample_size", sample_size, ("rows", "entries"))
        deviance = -2.0 * float(weights @ folded.log_densities)
        return deviance + self.n_parameters() * float(np.log(size))


def _weights_of(obs: ObservedMatrix) -> Array:
    return np.ones(obs.shape[0]) if obs.row_weights is None else obs.row_weights
