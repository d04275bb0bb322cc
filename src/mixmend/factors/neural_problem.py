"""What a neural factorisation is fitted to: checked options, entries in standard units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend import checks
from mixmend.errors import MixmendError
from mixmend.factors.features import MISSING
from mixmend.factors.network import HEADS
from mixmend.factors.neural_folding import Penalty, standard_view
from mixmend.factors.problem import CENTERS, demand_cells, directions_asked
from mixmend.mixtures.starts import grand_mean
from mixmend.observed.compressed import Compressed
from mixmend.observed.holdout import subtract_row_means
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NeuralOptions:
    """The checked options of a neural factorisation; `NeuralFactorization` says what they mean."""

    n_factors: int
    hidden: tuple[int, ...]
    head: str
    center: str
    regularization: float
    weight_decay: float
    dropout: float
    embedding_dropout: float
    learning_rate: float
    batch_size: int
    max_iter: int
    patience: int
    validation_share: float
    implicit: int
    missing_features: str

    @property
    def effects(self) -> bool:
        """Whether rows and columns have effects beside their vectors."""
        return self.center == "biases"

    def penalty(self, scale: float) -> Penalty:
        """Lambda in standard units: vectors are measured in roots of the scale, effects in it."""
        return Penalty(self.regularization / scale, self.regularization, self.effects)


def checked(estimator: Any) -> NeuralOptions:
    """The options of an estimator, each of the right type and in its range."""
    head = checks.one_of("head", estimator.head, HEADS)
    hidden = estimator.hidden
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise MixmendError(
            f"hidden must be a sequence of layer sizes such as (64, 32); got {hidden!r}."
        )
    sizes = tuple(checks.whole("each layer size in hidden", size, 1) for size in hidden)
    if head != "dot" and not sizes:
        raise MixmendError(
            f"head={head!r} needs at least one hidden layer; got hidden={hidden!r}. "
            "Take head='dot' for products alone."
        )
    return NeuralOptions(
        checks.whole("n_factors", estimator.n_factors, 1),
        sizes,
        head,
        checks.one_of("center", estimator.center, CENTERS),
        _above_zero("regularization", estimator.regularization),
        checks.number("weight_decay", estimator.weight_decay),
        _share("dropout", estimator.dropout),
        _share("embedding_dropout", estimator.embedding_dropout),
        _above_zero("learning_rate", estimator.learning_rate),
        checks.whole("batch_size", estimator.batch_size, 1),
        checks.whole("max_iter", estimator.max_iter, 1),
        checks.whole("patience", estimator.patience, 1),
        _share("validation_share", estimator.validation_share),
        directions_asked(estimator.implicit),
        checks.one_of("missing_features", estimator.missing_features, MISSING),
    )


def _above_zero(name: str, value: Any) -> float:
    out = checks.number(name, value)
    if out == 0.0:
        raise checks.out_of_range(name, value, "positive")
    return out


def _share(name: str, value: Any) -> float:
    plain = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not plain or not 0 <= float(value) < 1:
        raise checks.out_of_range(name, value, "at least 0 and below 1")
    return float(value)


@dataclass(frozen=True, slots=True)
class NeuralProblem:
    """Entries and features in the units of the network.

    Attributes
    ----------
    observed : ObservedMatrix
        The training entries, as they are.
    options : NeuralOptions
    mean, scale : float
        Mean of the entries (0 with ``center="none"``), and their standard deviation once
        offsets are taken off.
    row_features, column_features : ndarray, shape (n, F) and (d, G), or None
    """

    observed: ObservedMatrix
    options: NeuralOptions
    mean: float
    scale: float
    row_features: Array | None = None
    column_features: Array | None = None

    @property
    def penalty(self) -> Penalty:
        """Lambda in standard units."""
        return self.options.penalty(self.scale)

    def standard(self) -> Compressed:
        """Entries by row in standard units."""
        offsets = row_offsets(self.observed, self.options.center, self.mean)
        return standard_view(self.observed.by_row, offsets, self.scale)

    def row_weights(self) -> Array:
        """How often each row counts, (n,)."""
        weights = self.observed.row_weights
        return np.ones(self.observed.shape[0]) if weights is None else weights


def pose(
    obs: ObservedMatrix,
    options: NeuralOptions,
    row_features: Array | None = None,
    column_features: Array | None = None,
) -> NeuralProblem:
    """Find the mean and the scale of the data.

    Raises
    ------
    DataError
        If nothing is observed, or nothing counts.
    """
    demand_cells(obs)
    weights = obs.row_weights
    mean = 0.0 if options.center == "none" else grand_mean(obs)
    centred = standard_view(obs.by_row, row_offsets(obs, options.center, mean), 1.0).values
    counts = np.ones(len(centred)) if weights is None else np.repeat(weights, obs.row_counts)
    spread = float(np.sqrt(counts @ (centred * centred) / counts.sum()))
    return NeuralProblem(
        obs, options, mean, spread if spread > 0 else 1.0, row_features, column_features
    )


def row_offsets(obs: ObservedMatrix, center: str, mean: float) -> Array:
    """What is taken off the entries of each row, (n,)."""
    if center != "row":
        return np.full(obs.shape[0], mean)
    means = subtract_row_means(obs).means
    return np.where(np.isnan(means), mean, means)
