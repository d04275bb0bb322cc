"""Restoration by half-quadratic splitting under a patch prior.

What is minimised over pictures x is, with data y, operator F, noise covariance R and the
prior p of patches P_n x (expected patch log-likelihood; Zoran & Weiss 2011, *From learning
models of natural image patches to whole image restoration*),

    1/2 (y - F x)' R^-1 (y - F x) - beta (1/N) sum_n log p(P_n x).

Each stage has a penalty gamma that ties a free copy z_n to each patch: z_n is the Wiener
estimate under the patch's most likely component, then x the solution of one linear system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.checks import number, one_of, whole
from mixmend.errors import DataError, MixmendError
from mixmend.imaging import patch_step
from mixmend.imaging.operators import LinearOperator, Precision, precision_of
from mixmend.imaging.patches import PatchGrid, evening, patch_grid
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.solvers import METHODS, solve
from mixmend.progress import track

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """Penalties gamma, one for each stage, as data.

    Parameters
    ----------
    gammas : sequence of float
        Positive, by custom rising.
    unit : {"noise", "picture"}, default "noise"
        What they are multiples of: 1 / variance of the noise (its median where there are
        several), or 1 / white^2. Sums over patches count each pixel once.

    Raises
    ------
    MixmendError
        If there is none, or one is not positive.

    Examples
    --------
    >>> Schedule((1, 4)).absolute(0.01)
    [100.0, 400.0]
    """

    gammas: Sequence[float]
    unit: Literal["noise", "picture"] = "noise"

    def __post_init__(self) -> None:
        one_of("unit", self.unit, ("noise", "picture"))
        if not len(self.gammas) or not all(0 < float(g) < np.inf for g in self.gammas):
            raise MixmendError(
                f"A schedule needs penalties that are positive and finite; got {self.gammas!r}."
            )

    def absolute(self, variance: float) -> list[float]:
        """The penalties for pictures in [0, 1] with noise of this variance."""
        scale = 1.0 / variance if self.unit == "noise" else 1.0
        return [scale * float(g) for g in self.gammas]


@dataclass(frozen=True)
class Stages:
    """How the stages are gone through.

    Parameters
    ----------
    schedule : Schedule
    beta : float, default 1.0
        How much the prior counts.
    stride : int, default 1
        Distance of the patches; above 1 each stage takes other ones.
    even : bool, default True
        Whether the prior counts as much at the border as inside, and at every pixel of
        pictures that wrap around. Else it counts in proportion to the patches that a pixel
        is part of: so the objective has it, and the border is the worse for it.
    assignment : {"marginal", "joint", "prior"}, default "marginal"
        Which density the most likely component of a patch y maximises: of y as z plus noise
        of variance 1 / gamma with z integrated out, with z maximised (this alone lowers the
        split objective at each step), or of z = y.
    rank : int or None, default None
        Coordinates of patches, those that vary most, whose correlations are looked at when
        components are chosen; None for all of them. Fewer are quicker and less exact
        (`mixmend.imaging.patch_step.stage_tables`).
    beam : int or None, default None
        Components are chosen by way of a tree over them, of whose nodes each patch tries the
        leaves of so many (`mixmend.imaging.tree`); None for all components.
    method : {"auto", "diagonal", "fourier", "cholesky", "dual", "cg"}, default "auto"
        Of the linear system; see `mixmend.imaging.solvers.solve`.
    trace : bool, default False
        Whether the objective is recorded, which takes another search of components a stage.
    random_state : int or None, default 0
        Where the patches lie in each stage, if ``stride`` is above 1.
    """

    schedule: Schedule
    beta: float = 1.0
    stride: int = 1
    even: bool = True
    assignment: Literal["marginal", "joint", "prior"] = "marginal"
    rank: int | None = None
    beam: int | None = None
    method: str = "auto"
    trace: bool = False
    random_state: Any = 0

    def __post_init__(self) -> None:
        number("beta", self.beta)
        whole("stride", self.stride, 1)
        one_of("assignment", self.assignment, patch_step.ASSIGNMENTS)
        for name in ("rank", "beam"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        one_of("method", self.method, METHODS)


@dataclass(frozen=True)
class Restored:
    """What `restore` found.

    Attributes
    ----------
    image : ndarray, shape (height, width)
        The picture, in [0, 1] but for overshoots.
    objective : tuple of float
        The objective at the start and after each stage, if it was traced, up to a constant:
        brightness has none where the prior takes means off.
    winners : ndarray of int, shape of ``grid``
        The most likely component of each patch in the last stage.
    grid : PatchGrid
        Where these patches lie.
    """

    image: Array
    objective: tuple[float, ...]
    winners: NDArray[np.int32]
    grid: PatchGrid


def restore(
    data: ArrayLike,
    operator: LinearOperator,
    noise: Any,
    prior: PatchPrior,
    stages: Stages,
    start: ArrayLike | None = None,
) -> Restored:
    """Restore a grey picture in [0, 1] from what a linear operator shows of it.

    Parameters
    ----------
    data : array-like
        y, what ``operator.forward`` would give of the picture, plus noise.
    operator : LinearOperator
        F: `Identity`, `Mask`, `Blur` or `LinearMap`.
    noise : float, ndarray or callable
        R: a variance, one for each datum, or a function that applies R^-1.
    prior : PatchPrior
    stages : Stages
    start : array-like, optional
        Where x begins; F' y if not given.

    Returns
    -------
    Restored

    Raises
    ------
    DataError
        If data, noise and operator do not fit each other, the picture is smaller than a
        patch, or a datum that counts is no number.

    Examples
    --------
    >>> from mixmend.imaging.operators import Identity
    >>> flat = PatchPrior.from_mixture([1.0], np.zeros((1, 4)), 1e-4 * np.eye(4)[None], 2)
    >>> noisy = 0.5 + 0.1 * np.random.default_rng(0).normal(size=(16, 16))
    >>> found = restore(noisy, Identity((16, 16)), 0.01, flat, Stages(Schedule((1, 4, 16))))
    >>> bool(found.image.std() < 0.5 * noisy.std())
    True
    """
    y = np.asarray(data, dtype=np.float64)
    precision = precision_of(noise, y)
    y = _counted(y, precision)
    pulled = operator.adjoint(precision.apply(y))
    if pulled.shape != operator.shape:
        raise DataError(
            f"The operator's adjoint gives shape {pulled.shape}, but its pictures have shape "
            f"{operator.shape}."
        )
    basis = patch_step.basis_of(prior)
    tree = patch_step.tree_over(basis, stages.beam)
    wrap = prior.patch_size - 1 if operator.spectrum() is not None else 0
    x = operator.adjoint(y) if start is None else np.array(start, dtype=np.float64)
    size, rng = prior.patch_size, np.random.default_rng(stages.random_state)
    per_pixel = size**2 / stages.stride**2
    tracer = _Tracer(y, operator, precision, basis, stages, wrap) if stages.trace else None
    objective = [tracer(x)] if tracer else []
    even: Array | float = 1.0
    if stages.even and not wrap:
        even = evening(x.shape, size, stages.stride)
    winners: NDArray[np.int32] | None = None
    gammas = stages.schedule.absolute(precision.typical)
    with track("restoring", total=len(gammas)) as progress:
        for gamma in gammas:
            offset = tuple(int(v) for v in rng.integers(0, stages.stride, 2))
            wide = np.pad(x, ((0, wrap), (0, wrap)), mode="wrap")
            grid = patch_grid(wide.shape, size, stages.stride, (offset[0], offset[1]))
            at_penalty = 1.0 / gamma, stages.assignment, stages.rank
            tables = patch_step.stage_tables(basis, *at_penalty)
            nodes = patch_step.node_tables(tree, *at_penalty)
            if winners is None or winners.shape != (len(grid.rows), len(grid.columns)):
                winners = patch_step.no_winners(grid)
            sums, winners = patch_step.patch_sums(wide, grid, tables, winners, nodes)
            counts, sums = folded(grid.counts, wrap), folded(sums, wrap)
            if stages.even and wrap:  # the same at every pixel, for the closed form
                even = per_pixel / counts
            share = even * (stages.beta * gamma / per_pixel)
            x = solve(
                operator,
                precision,
                share * counts,
                pulled + share * sums,
                method=stages.method,
                start=x,
            )
            if tracer:
                objective.append(tracer(x))
            progress.update(gamma=gamma)
    assert winners is not None
    return Restored(x, tuple(objective), winners, grid)


def folded(wide: Array, wrap: int) -> Array:
    """What lies beyond the lower and right border, added at the other side."""
    if not wrap:
        return wide
    folded = wide[:-wrap].copy()
    folded[:wrap] += wide[-wrap:]
    out = folded[:, :-wrap].copy()
    out[:, :wrap] += folded[:, -wrap:]
    return out


def _counted(y: Array, precision: Precision) -> Array:
    """The data, 0 where their precision is; NaN is refused where it is not."""
    if precision.diagonal is not None:
        y = np.where(np.broadcast_to(precision.diagonal, y.shape) > 0, y, 0.0)
    bad = np.count_nonzero(~np.isfinite(y))
    if bad:
        raise DataError(
            f"{bad} of {y.size} data are NaN or infinite. Give them an infinite noise variance, "
            "or leave them out by a mask."
        )
    return y


class _Tracer:
    """The objective of a picture."""

    def __init__(
        self,
        y: Array,
        operator: LinearOperator,
        precision: Precision,
        basis: patch_step.Basis,
        stages: Stages,
        wrap: int,
    ) -> None:
        self._of = y, operator, precision
        self._tables = patch_step.stage_tables(basis, 0.0)
        self._size, self._wrap, self._beta = basis.prior.patch_size, wrap, stages.beta

    def __call__(self, x: Array) -> float:
        y, operator, precision = self._of
        gap = y - operator.forward(x)
        wide = np.pad(x, ((0, self._wrap), (0, self._wrap)), mode="wrap")
        grid = patch_grid(wide.shape, self._size)
        likely = patch_step.log_density(wide, grid, self._tables, patch_step.no_winners(grid))
        return 0.5 * float((gap * precision.apply(gap)).sum()) - (
            self._beta * likely / self._size**2
        )


__all__ = ["Restored", "Schedule", "Stages", "folded", "restore"]
