"""Random draws from a fitted mixture: new rows, and fillings of holes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from mixmend.kernels.threads import fixed_order
from mixmend.mixtures import options as checks
from mixmend.mixtures.family import Family, Folded
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix


class Draws:
    """`sample` and `impute_samples`; ``random_state`` makes them reproducible."""

    _family: Family
    parameters_: Any
    weights_: Array
    random_state: Any

    def _new_rows(self, X: Any) -> ObservedMatrix:
        raise NotImplementedError

    def _fold_in(self, obs: ObservedMatrix) -> Folded:
        raise NotImplementedError

    @fixed_order()
    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw complete rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default 1
            How many.

        Returns
        -------
        X : ndarray, shape (n_samples, d)
        labels : ndarray of int, shape (n_samples,)
            The component that each row was drawn from, in increasing order.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise checks.out_of_range("n_samples", n_samples, "at least 1")
        rng = as_generator(self.random_state)
        counts = rng.multinomial(n_samples, self.weights_)
        labels = np.repeat(np.arange(len(counts)), counts)
        rows = self._family.sample(self.parameters_, labels, rng)
        return rows, labels

    @fixed_order()
    def impute_samples(self, X: Any, n_samples: int = 5) -> Array:
        """Multiple imputation: complete the matrix several times by draws, not means.

        Parameters
        ----------
        X : matrix-like, shape (n, d)
            The matrix with holes.
        n_samples : int, default 5
            How many completed matrices.

        Returns
        -------
        ndarray, shape (n_samples, n, d)
            Observed cells keep their values; each row's holes are drawn together, so that
            their spread and dependence are those of the predictive distribution.
        """
        obs = self._new_rows(X)
        count = checks.whole("n_samples", n_samples, 1)
        rng = as_generator(self.random_state)
        folded = self._fold_in(obs)
        return np.stack([folded.draw(rng) for _ in range(count)])
