"""Methods and names of a fitted estimator that follow from its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from mixmend.mixtures import algebra
from mixmend.mixtures.algebra import Array, Mixture
from mixmend.mixtures.family import Family


class AlgebraVerbs:
    """Moments, parts, conditionals and sums of the fitted distribution of a row.

    All speak of complete rows, row offsets included where the model has them. Parts,
    conditionals and sums are `mixmend.mixtures.algebra.Mixture` values, on which the
    functions of that module go on.
    """

    _family: Family
    parameters_: Any

    def distribution(self) -> Mixture:
        """Give the fitted distribution as weights, means and full covariances, (K, d, d)."""
        check_is_fitted(self)
        p = self.parameters_
        return algebra.mixture(p.weights, p.means, self._family.full_covariances(p))

    def mean(self) -> Array:
        """Mean of a row, ``sum_k p_k mu_k``, shape (d,)."""
        return algebra.mean(self.distribution())

    def covariance(self) -> Array:
        """Covariance of a row, ``sum_k p_k (S_k + mu_k mu_k^T) - E[x] E[x]^T``, (d, d)."""
        return algebra.covariance(self.distribution())

    def marginal(self, columns: ArrayLike) -> Mixture:
        """Distribution of some columns (positions), in the order given."""
        return algebra.marginal(self.distribution(), columns)

    def condition(self, x: ArrayLike) -> Mixture:
        """Distribution of the columns that are NaN in ``x`` (d,), given the others."""
        return algebra.condition(self.distribution(), x)

    def __add__(self, other: Any) -> Mixture:
        """Distribution of the sum of a row of each of two independent mixtures."""
        if isinstance(other, AlgebraVerbs):
            other = other.distribution()
        if not isinstance(other, Mixture):
            return NotImplemented
        return algebra.add(self.distribution(), other)


_ROOTS = ("spherical", "diag")
"""Types whose covariances are numbers, not matrices."""


class FamiliarNames:
    """What scikit-learn's `GaussianMixture` calls by these names, made at each use."""

    _family: Family
    parameters_: Any
    objective_: float
    history_: list[float]
    _row_mass: float | None = None

    @property
    def precisions_(self) -> Array:
        """Inverses of the component (co)variances, in the shape of ``covariances_``."""
        factors = self.precisions_cholesky_
        if self._family.name in _ROOTS:
            return np.asarray(factors * factors)
        return np.asarray(factors @ np.swapaxes(factors, -1, -2))

    @property
    def precisions_cholesky_(self) -> Array:
        """Factors of the precisions: upper triangles U with ``precision = U @ U.T``.

        Roots of the precisions for "spherical" and "diag".
        """
        if not hasattr(self, "parameters_"):
            raise AttributeError("precisions_ and precisions_cholesky_ are known after fit.")
        covariances = self._family.covariances(self.parameters_)
        if self._family.name in _ROOTS:
            return np.asarray(1.0 / np.sqrt(covariances))
        factors = np.linalg.cholesky(covariances)
        inverses = np.linalg.solve(
            factors, np.broadcast_to(np.eye(factors.shape[-1]), factors.shape)
        )
        return np.asarray(np.swapaxes(np.tril(inverses), -1, -2))

    @property
    def lower_bound_(self) -> float:
        """``objective_`` per row (per unit of row weight) of the data that were fitted."""
        rows = self._rows_fitted()
        return self.objective_ / rows

    @property
    def lower_bounds_(self) -> list[float]:
        """The same after each step, shape (n_iter_,)."""
        rows = self._rows_fitted()
        return [value / rows for value in self.history_[1:]]

    def _rows_fitted(self) -> float:
        if self._row_mass is None:
            raise AttributeError("lower_bound_ is known after fit.")
        return self._row_mass
