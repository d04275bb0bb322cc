"""What the estimator needs to know of a covariance type."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive
from mixmend.em.block import Block
from mixmend.em.engine import Fit
from mixmend.mixtures.options import Options
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


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


class PooledInterrupted(KeyboardInterrupt):
    """Ctrl-C came while one component was fitted; ``fit`` is as far as it got."""

    def __init__(self, fit: Fit[Any]) -> None:
        super().__init__()
        self.fit = fit


class Family(Protocol):
    """A covariance type: its densities, starts and shapes, as pure functions.

    ``parameters`` and ``base`` are the family's own `MixtureParameters`, ``density`` is its
    own `mixmend.em.engine.Density`.
    """

    @property
    def name(self) -> str:
        """The covariance type."""

    def block(self, obs: ObservedMatrix, n_components: int) -> Block:
        """The rows in the layout that this family's steps like best."""

    def density(self, options: Options, obs: ObservedMatrix) -> Any:
        """The density that EM raises, with the options that concern it."""

    def pooled(self, density: Any, block: Block) -> Any:
        """One component fitted (or well approximated) to all rows."""

    def informed(self, density: Any, base: Any, options: Options) -> Any:
        """The density with what `pooled` taught: centres of priors, scale of a collapse."""

    def from_responsibilities(self, shares: Array, base: Any, density: Any, block: Block) -> Any:
        """Start parameters of K components from responsibilities (n, K) and `pooled`'s fit."""

    def given(self, weights: Array, means: Array, covariances: Array | None, base: Any) -> Any:
        """Start parameters from a user's arrays; what is None comes from `pooled`'s fit."""

    def continued(self, parameters: Any, density: Any, base: Any) -> Any:
        """An earlier fit's parameters as a start under a density that may differ from its."""

    def fold(self, parameters: Any, obs: ObservedMatrix) -> Folded:
        """Condition on the observed cells of rows."""

    def sample(self, parameters: Any, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """One row from each of the components named, (len(labels), d)."""

    def covariances(self, parameters: Any) -> Array:
        """The covariances in scikit-learn's shape for this type."""

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """That shape."""

    def full_covariances(self, parameters: Any) -> Array:
        """The covariances as full matrices, (K, d, d)."""

    def n_parameters(self, parameters: Any) -> int:
        """Free parameters."""

    def to_arrays(self, parameters: Any) -> dict[str, NDArray[Any]]:
        """Everything but weights and means, by name, for a model file."""

    def from_arrays(self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]) -> Any:
        """The inverse of `to_arrays`; wrong shapes are a ModelFileError."""


_HOMES = {
    "spherical": ("mixmend.mixtures.spherical_family", "SPHERICAL"),
    "tied": ("mixmend.mixtures.tied_family", "TIED"),
    "full": ("mixmend.mixtures.full_family", "FULL"),
    "factor": ("mixmend.mixtures.factor_family", "FACTOR"),
    "diag": ("mixmend.mixtures.diagonal_family", "DIAGONAL"),
}


def family_of(covariance_type: str, inference: str = "em") -> Family:
    """The family of a (checked) covariance type; imported when first asked for."""
    if inference == "variational":
        from mixmend.mixtures.variational_family import VARIATIONAL

        variational: Family = VARIATIONAL[covariance_type]
        return variational
    module, name = _HOMES[covariance_type]
    family: Family = getattr(importlib.import_module(module), name)
    return family
