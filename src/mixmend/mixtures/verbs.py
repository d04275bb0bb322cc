"""The algebra of mixtures as methods of a fitted estimator."""

from __future__ import annotations

from typing import Any

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
