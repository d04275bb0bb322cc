"""Variational fits as the estimator uses them, whatever the covariances.

Starts are those of maximum a posteriori fits, taken for posteriors; predictions, draws and
moments are those of the plain mixture that has the moments of the predictive distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import require_arrays
from mixmend.em.block import Block
from mixmend.mixtures import (
    variational_diagonal,
    variational_full,
    variational_spherical,
    variational_tied,
)
from mixmend.mixtures.family import Family, Folded, family_of
from mixmend.mixtures.options import Options
from mixmend.mixtures.spherical_e_step import Array
from mixmend.observed.matrix import ObservedMatrix


def _rows(obs: ObservedMatrix) -> Array:
    """Weights of the rows that observe anything, 0 for the others, (n,)."""
    seen = (obs.row_counts > 0).astype(np.float64)
    return seen if obs.row_weights is None else seen * obs.row_weights


def _full(point: Any, concentration: float, obs: ObservedMatrix) -> Any:
    return variational_full.VariationalFull(point, concentration, float(_rows(obs).sum()))


def _tied(point: Any, concentration: float, obs: ObservedMatrix) -> Any:
    return variational_tied.VariationalTied(point, concentration, float(_rows(obs).sum()))


def _diagonal(point: Any, concentration: float, obs: ObservedMatrix) -> Any:
    weights = _rows(obs)
    per_entry = weights[obs.entry_rows]
    by_column = np.bincount(obs.by_row.indices, per_entry, obs.shape[1]).astype(np.float64)
    return variational_diagonal.VariationalDiagonal(
        point, concentration, float(weights.sum()), by_column
    )


def _spherical(point: Any, concentration: float, obs: ObservedMatrix) -> Any:
    weights = _rows(obs)
    cells = float(weights @ obs.row_counts)
    return variational_spherical.VariationalSpherical(
        point, concentration, float(weights.sum()), cells
    )


@dataclass(frozen=True, slots=True)
class VariationalFamily:
    """A covariance type whose parameters have posterior distributions.

    Parameters
    ----------
    point : Family
        The same with point estimates.
    lift : callable
        ``(density of point, concentration, rows) -> variational density``.
    kind : type
        The posterior's parameters.
    """

    point: Family
    lift: Callable[[Any, float, ObservedMatrix], Any]
    kind: Any

    @property
    def name(self) -> str:
        """That of the covariance type."""
        return self.point.name

    def block(self, obs: ObservedMatrix, n_components: int) -> Block:
        """The rows in the layout of the covariance type."""
        return self.point.block(obs, n_components)

    def density(self, options: Options, obs: ObservedMatrix) -> Any:
        """The density with its prior in the units of the columns."""
        prior: Any = options.prior
        # starts give every component some weight
        flat = replace(options, prior=replace(prior, weight_concentration=1.0))
        point = self.point.density(flat, obs)
        return self.lift(point, float(prior.weight_concentration), obs)

    def pooled(self, density: Any, block: Block) -> Any:
        """One component with point estimates."""
        return self.point.pooled(density.point, block)

    def informed(self, density: Any, base: Any, options: Options) -> Any:
        """The density with what `pooled` taught."""
        return replace(density, point=self.point.informed(density.point, base, options))

    def from_responsibilities(self, shares: Array, base: Any, density: Any, block: Block) -> Any:
        """A start with point estimates; `continued` makes a posterior of it."""
        return self.point.from_responsibilities(shares, base, density.point, block)

    def given(self, weights: Array, means: Array, covariances: Array | None, base: Any) -> Any:
        """A user's start as point estimates; `continued` makes a posterior of it."""
        return self.point.given(weights, means, covariances, base)

    def continued(self, parameters: Any, density: Any, base: Any) -> Any:
        """An earlier posterior as it is; point estimates taken for one."""
        if isinstance(parameters, self.kind):
            return parameters
        return density.lifted(self.point.continued(parameters, density.point, base))

    def fold(self, parameters: Any, obs: ObservedMatrix) -> Folded:
        """Condition on the observed cells of rows."""
        return self.point.fold(parameters.predictive(), obs)

    def sample(self, parameters: Any, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """One row from each of the components named, (len(labels), d)."""
        return self.point.sample(parameters.predictive(), labels, rng)

    def covariances(self, parameters: Any) -> Array:
        """The inverses of the expected precisions, in the shape of the type."""
        return np.asarray(parameters.covariances)

    def covariance_shape(self, n_components: int, d: int) -> tuple[int, ...]:
        """That shape."""
        return self.point.covariance_shape(n_components, d)

    def full_covariances(self, parameters: Any) -> Array:
        """The predictive covariances as full matrices, (K, d, d)."""
        return self.point.full_covariances(parameters.predictive())

    def n_parameters(self, parameters: Any) -> int:
        """Free parameters of a plain mixture with as many components."""
        return self.point.n_parameters(parameters.predictive())

    def to_arrays(self, parameters: Any) -> dict[str, NDArray[Any]]:
        """Everything but the means, by name, for a model file."""
        fields = parameters._asdict()
        del fields["means"]
        return {name: np.array(value, np.float64, order="C") for name, value in fields.items()}

    def from_arrays(self, weights: Array, means: Array, arrays: dict[str, NDArray[Any]]) -> Any:
        """The inverse of `to_arrays`; wrong shapes are a ModelFileError."""
        like = self._shapes(*means.shape)
        positive = {name: shape for name, shape in like.items() if name not in _MATRICES}
        require_arrays(arrays, positive, positive=True)
        require_arrays(arrays, {name: like[name] for name in like if name not in positive})
        values: dict[str, Any] = {
            name: float(arrays[name]) if shape == () else arrays[name]
            for name, shape in like.items()
        }
        # with the arrays laid out as steps lay them: sums are taken in that order
        return self.kind(means=means, **values).taken(np.arange(len(means)))

    def _shapes(self, n_components: int, d: int) -> dict[str, tuple[int, ...]]:
        each = self.covariance_shape(n_components, d)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_concentration": (n_components,),
            "mean_precision": (n_components, d) if self.name == "diag" else (n_components,),
            "mean_variances": (n_components, d),
            "degrees_of_freedom": () if self.name == "tied" else each[: 1 + (self.name == "diag")],
            "scale": each,
            "scales": each,
            "prior_variance": (),
            "offset_variance": (),
        }
        return {name: shapes[name] for name in self.kind._fields if name != "means"}


_MATRICES = ("scale", "scales")
"""Arrays of which off-diagonal elements may be negative."""

_PARTS: dict[str, tuple[Any, Any]] = {
    "spherical": (_spherical, variational_spherical.Parameters),
    "tied": (_tied, variational_tied.Parameters),
    "full": (_full, variational_full.Parameters),
    "diag": (_diagonal, variational_diagonal.Parameters),
}

VARIATIONAL = {name: VariationalFamily(family_of(name), *parts) for name, parts in _PARTS.items()}
