"""Components whose means and covariances stay as they are while the others learn.

One density around another: whatever the covariance type, an M-step maximises over each
component by itself, so that putting a component's old values back is the M-step over the
rest. Only a tied covariance is shared: `mixmend.mixtures.tied.TiedDensity` has to know the
means that stay before it takes the scatter around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.em.block import Block
from mixmend.errors import MixmendError
from mixmend.mixtures.spherical_e_step import Array

Mask = NDArray[np.bool_]

_BY_COMPONENT = ("means", "variances", "covariances", "loadings", "noise", "mean_variances")
"""Fields of the families' parameters that have one line for each component, but the weights."""


def fixed_mask(given: ArrayLike | None, n_components: int) -> Mask | None:
    """Which components are fixed, (K,), from indices or a mask; None where none is.

    Examples
    --------
    >>> fixed_mask([0, -1], 3)
    array([ True, False,  True])
    """
    if given is None:
        return None
    array = np.atleast_1d(np.asarray(given))
    if array.dtype == bool:
        if array.shape != (n_components,):
            raise MixmendError(
                f"fixed_components as a mask must have shape ({n_components},); got {array.shape}."
            )
        mask = array.copy()
    else:
        whole = array.size == 0 or array.dtype.kind in "iu"
        if array.ndim != 1 or not whole:
            raise MixmendError(
                f"fixed_components must be positions of components or a mask; got {given!r}."
            )
        wild = array[(array < -n_components) | (array >= n_components)]
        if wild.size:
            raise MixmendError(
                f"fixed_components names component {wild[0]}, but there are {n_components} "
                f"(0 to {n_components - 1})."
            )
        mask = np.zeros(n_components, np.bool_)
        mask[array.astype(np.intp)] = True
    return mask if mask.any() else None


@dataclass(frozen=True, slots=True)
class FixedComponents:
    """A density some of whose components keep their means and covariances.

    Their values are those of the parameters that a step begins with: the start's, in the
    end. Their weights are learned, and so is a covariance that all components share.

    Parameters
    ----------
    inner : Density
        The density of all components.
    fixed : ndarray of bool, shape (K,)
        Which components stay.
    """

    inner: Any
    fixed: Mask

    def e_step(self, parameters: Any, block: Block) -> Any:
        """Expected sufficient statistics of a block of rows."""
        return self.inner.e_step(parameters, block)

    def m_step(self, statistics: Any, parameters: Any) -> Any:
        """The inner density's step for the components that learn."""
        return self._held(self.inner.m_step(statistics, parameters), parameters)

    def recentred(self, statistics: Any, old: Any, new: Any) -> Any:
        """Statistics taken at ``old`` as they are around ``new``."""
        return self.inner.recentred(statistics, old, new)

    def objective(self, statistics: Any, parameters: Any) -> float:
        """The inner density's: what it says of fixed components does not change."""
        return float(self.inner.objective(statistics, parameters))

    def collapsed(self, parameters: Any) -> bool:
        """Whether what is learned sits at a singularity."""
        shared = hasattr(self.inner, "fixed")
        if shared or not self.fixed.all():
            return bool(self.inner.collapsed(of_components(parameters, ~self.fixed)))
        return False

    def rounding(self, statistics: Any, parameters: Any, precision: float) -> float:
        """How far rounding may move the objective."""
        return float(self.inner.rounding(statistics, parameters, precision))

    def pack(self, parameters: Any) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        return np.asarray(self.inner.pack(parameters))

    def unpack(self, vector: Array, like: Any) -> Any:
        """What a vector stands for, the fixed components exactly as in ``like``."""
        return self._held(self.inner.unpack(vector, like), like)

    def _held(self, new: Any, old: Any) -> Any:
        held = {}
        for name in _fields(new):
            values = getattr(new, name).copy(order="K")
            values[self.fixed] = getattr(old, name)[self.fixed]
            held[name] = values
        return new._replace(**held)


def with_fixed(density: Any, fixed: Mask | None) -> Any:
    """The density under which some components stay as they are."""
    if fixed is None:
        return density
    if hasattr(density, "fixed"):  # something is shared that depends on means that stay
        density = replace(density, fixed=fixed)
    return FixedComponents(density, fixed)


def of_components(parameters: Any, chosen: Mask) -> Any:
    """The parameters of some of the components; their weights are not normalised again."""
    part = {name: getattr(parameters, name)[chosen] for name in _fields(parameters)}
    return parameters._replace(weights=parameters.weights[chosen], **part)


def free_parameters(family: Any, parameters: Any, fixed: Mask | None) -> int:
    """How many numbers a fit chose: all, or those of the components that learned, and K - 1."""
    if fixed is None:
        return int(family.n_parameters(parameters))
    return int(family.n_parameters(of_components(parameters, ~fixed)) + fixed.sum())


def _fields(parameters: Any) -> list[str]:
    named = parameters._fields
    return [n for n in _BY_COMPONENT if n in named and getattr(parameters, n) is not None]
