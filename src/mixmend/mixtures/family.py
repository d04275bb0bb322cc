"""What the estimator needs to know of a covariance type."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.em.block import Block
from mixmend.em.engine import Density
from mixmend.mixtures.options import Options
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]
P = TypeVar("P", bound="MixtureParameters")


class MixtureParameters(Protocol):
    """Named, immutable parameters: at least these two, besides what the covariances need."""

    @property
    def weights(self) -> Array:
        """Mixing weights, shape (K,)."""

    @property
    def means(self) -> Array:
        """Component means, shape (K, d)."""


class Folded(Protocol):
    """Rows conditioned on their observed cells under a mixture.

    What `mixmend.completion.completer.FoldedRows` asks for, and the components.
    """

    @property
    def responsibilities(self) -> Array:
        """Posterior probability of each component, (n, K); the weights for an empty row."""

    @property
    def log_densities(self) -> Array:
        """Log density of each row's observed cells, (n,); 0 for an empty row."""

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows, each (m, d)."""

    def draw(self, rng: np.random.Generator) -> Array:
        """One joint draw of all cells of all rows given what they observe, (n, d).

        A row's holes are drawn together: component first, then the holes from their joint
        conditional distribution. Observed cells keep their values.
        """


class Family(Protocol[P]):
    """A covariance type: its densities, starts and shapes, as pure functions."""

    name: str

    def density(self, options: Options, obs: ObservedMatrix) -> Density[P, Any]:
        """The density that EM raises, with the options that concern it."""

    def pooled(self, density: Density[P, Any], block: Block) -> P:
        """One component fitted (or well approximated) to all rows."""

    def from_responsibilities(
        self, shares: Array, base: P, density: Density[P, Any], block: Block
    ) -> P:
        """Start parameters of K components from responsibilities (n, K) and `pooled`'s fit."""

    def given(self, weights: Array, means: Array, covariances: Array | None, base: P) -> P:
        """Start parameters from a user's arrays; what is None comes from `pooled`'s fit."""

    def fold(self, parameters: P, obs: ObservedMatrix) -> Folded:
        """Condition on the observed cells of rows."""

    def covariances(self, parameters: P) -> Array:
        """The covariances in scikit-learn's shape for this type."""

    def full_covariances(self, parameters: P) -> Array:
        """The covariances as full matrices, (K, d, d)."""

    def n_parameters(self, parameters: P, density: Density[P, Any]) -> int:
        """Free parameters."""

    def to_arrays(self, parameters: P) -> dict[str, NDArray[Any]]:
        """Everything but weights and means, by name, for a model file."""

    def from_arrays(self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]) -> P:
        """The inverse of `to_arrays`; wrong shapes are a ModelFileError."""
