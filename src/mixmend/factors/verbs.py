"""The verbs of models whose rows may come with features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend import checks
from mixmend.completion.completer import Completer, FoldedRows
from mixmend.completion.predictive import Predictive
from mixmend.errors import MixmendError
from mixmend.factors.folded import nearest
from mixmend.observed.matrix import ObservedMatrix

if TYPE_CHECKING:
    from mixmend.completion.topn import TopN
    from mixmend.factors.description import RowDescription
    from mixmend.files.completed import CompletedRows

Array = NDArray[np.float64]


class FeaturedCompleter(Completer):
    """Complete, predict and recommend, with features of the rows by keyword; find similar columns.

    ``row_features`` is a table as ``fit`` takes it, for the rows of X. Without it, rows that
    carry the labels of training rows, and those of the training matrix itself, have the
    features that they had there.
    """

    _described: RowDescription
    _options: Any
    column_factors_: Array

    def _explicit(self, obs: ObservedMatrix, row_features: Any) -> Array | None:
        """Encoded features of rows, (n, F); None for a model fitted without."""
        return self._described.explicit(obs, row_features, self._options.missing_features)

    @abstractmethod
    def _fold_described(self, obs: ObservedMatrix, explicit: Array | None) -> FoldedRows:
        """Condition the model on rows' observed cells and their encoded features."""

    def _fold_in(self, obs: ObservedMatrix) -> FoldedRows:
        return self._fold_described(obs, self._explicit(obs, None))

    def _given(self, X: Any, row_features: Any) -> tuple[Completer, ObservedMatrix]:
        """X in the model's columns, and what completes it: this model with the rows' features."""
        obs = self._new_rows(X)
        explicit = self._explicit(obs, row_features)
        if explicit is None:
            return _Described(self, None), obs
        # the rows' features are found again by position, whichever rows are chosen of X
        return _Described(self, explicit), obs.with_labels(row_labels=np.arange(obs.shape[0]))

    def predictive(
        self, X: Any, rows: ArrayLike, columns: ArrayLike, *, row_features: Any = None
    ) -> Predictive:
        """Predictive distributions of chosen cells.

        Parameters and results are those of `Completer.predictive`, and

        row_features : data frame, dict of columns or array, optional
            Features of the rows of X, as ``fit`` takes them.
        """
        model, obs = self._given(X, row_features)
        return model.predictive(obs, rows, columns)

    def predict_entries(
        self,
        X: Any,
        rows: ArrayLike,
        columns: ArrayLike,
        return_std: bool = False,
        *,
        row_features: Any = None,
    ) -> Array | tuple[Array, Array]:
        """Predict chosen cells: their expected values, shape (m,).

        Parameters and results are those of `Completer.predict_entries`, and

        row_features : data frame, dict of columns or array, optional
            Features of the rows of X, as ``fit`` takes them.
        """
        model, obs = self._given(X, row_features)
        return model.predict_entries(obs, rows, columns, return_std)

    def complete(
        self, X: Any, return_std: bool = False, *, row_features: Any = None
    ) -> Array | tuple[Array, Array]:
        """Fill the holes of a matrix; observed cells stay as they are.

        Parameters and results are those of `Completer.complete`, and

        row_features : data frame, dict of columns or array, optional
            Features of the rows of X, as ``fit`` takes them.
        """
        model, obs = self._given(X, row_features)
        return model.complete(obs, return_std)

    def iter_complete(
        self,
        X: Any,
        return_std: bool = True,
        interval: float | None = None,
        chunk_rows: int | None = None,
        *,
        row_features: Any = None,
    ) -> Iterator[CompletedRows]:
        """Complete a matrix a few rows at a time, for results that need not fit in memory.

        Parameters and results are those of `Completer.iter_complete`, and

        row_features : data frame, dict of columns or array, optional
            Features of the rows of X, as ``fit`` takes them.
        """
        model, obs = self._given(X, row_features)
        return model.iter_complete(obs, return_std, interval, chunk_rows)

    def recommend(
        self,
        X: Any,
        n_items: int = 10,
        rows: ArrayLike | None = None,
        *,
        row_features: Any = None,
    ) -> TopN:
        """Pick the columns with the highest expected value among each row's holes.

        Parameters and results are those of `Completer.recommend`, and

        row_features : data frame, dict of columns or array, optional
            Features of the rows of X, as ``fit`` takes them.
        """
        model, obs = self._given(X, row_features)
        return model.recommend(obs, n_items, rows)

    @abstractmethod
    def _strengths(self) -> Array:
        """How much rows make of each factor, (r,), in squares."""

    def similar(self, column: int, n_items: int = 10) -> tuple[NDArray[np.int64], Array]:
        """Columns whose factors point the same way as one column's: the nearest by cosine.

        Parameters
        ----------
        column : int
            Position of the column.
        n_items : int, default 10
            How many others.

        Returns
        -------
        columns : ndarray of int, shape (m,)
            Best first, the column itself left out; m is at most ``n_items``.
        cosines : ndarray, shape (m,)
        """
        d, _ = self._columns()
        if not 0 <= column < d:
            raise MixmendError(f"column must lie between 0 and {d - 1}; got {column!r}.")
        count = checks.whole("n_items", n_items, 1)
        return nearest(self.column_factors_, self._strengths(), column, count)


class _Described(Completer):
    """A model beside the features of the rows of one matrix, which are labelled 0, 1, 2, …."""

    def __init__(self, model: FeaturedCompleter, explicit: Array | None) -> None:
        self.model, self.explicit = model, explicit

    def _columns(self) -> tuple[int, NDArray[Any] | None]:
        return self.model._columns()

    def _new_rows(self, X: Any) -> ObservedMatrix:
        return X  # type: ignore[no-any-return]  # as `_given` made it

    def _fold_in(self, obs: ObservedMatrix) -> FoldedRows:
        mine = None if self.explicit is None else self.explicit[obs.row_labels]
        return self.model._fold_described(obs, mine)
