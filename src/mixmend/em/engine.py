"""One run of EM: steps until the objective stops rising, with its trace, whatever the density."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixmend.em.block import Block
from mixmend.errors import LikelihoodDecreasedWarning

P = TypeVar("P")
S = TypeVar("S")


class Density(Protocol[P, S]):
    """What the engine needs to know of a density: four pure functions and a packing."""

    def e_step(self, parameters: P, block: Block) -> S:
        """Expected sufficient statistics and log-likelihood of a block; they can be added."""

    def m_step(self, statistics: S, parameters: P) -> P:
        """Parameters that raise the objective, given statistics taken at ``parameters``."""

    def recentred(self, statistics: S, old: P, new: P) -> S:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led.

        Exact, and never by way of raw moments: what stepwise EM averages.
        """

    def objective(self, statistics: S, parameters: P) -> float:
        """What EM raises: the log-likelihood, plus the log prior where there is one."""

    def collapsed(self, parameters: P) -> bool:
        """Whether the parameters sit at a singularity, where likelihood means nothing."""

    def rounding(self, statistics: S, parameters: P, precision: float) -> float:
        """How far rounding may move the objective where values have relative ``precision``."""

    def pack(self, parameters: P) -> NDArray[np.float64]:
        """The parameters as one unconstrained vector (for acceleration)."""

    def unpack(self, vector: NDArray[np.float64], like: P) -> P:
        """The inverse of `pack`; ``like`` gives the shapes."""


class Step(NamedTuple):
    """What a run tells after each step."""

    iteration: int
    objective: float
    gain: float


OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Fit(Generic[P]):
    """The outcome of a run.

    Attributes
    ----------
    parameters
        The parameters whose objective is the last of ``history``.
    objective : float
        Log-likelihood plus log prior of ``parameters``.
    log_likelihood : float
        Log-likelihood (bound) of ``parameters``.
    history : tuple of float
        Objective of the start and after every step.
    converged : bool
        Whether the last gain was within the tolerance.
    interrupted : bool
        Whether Ctrl-C ended the run.
    collapsed : bool
        Whether it ended at a singularity of the likelihood.
    statistics
        Expected sufficient statistics taken at ``parameters``; None where not kept.
    """

    parameters: P
    objective: float
    log_likelihood: float
    history: tuple[float, ...]
    converged: bool
    interrupted: bool = False
    collapsed: bool = False
    statistics: Any = None

    @property
    def n_iter(self) -> int:
        """EM steps taken."""
        return len(self.history) - 1


def run(
    density: Density[P, Any],
    start: P,
    blocks: list[Block],
    *,
    tol: float,
    max_iter: int,
    accelerate: bool = False,
    on_step: OnStep | None = None,
) -> Fit[P]:
    """EM from ``start`` until ``new - old <= tol * |new|``, or for ``max_iter`` steps.

    Parameters
    ----------
    density
        The model's functions.
    start
        Parameters to begin with.
    blocks : list of Block
        The rows, in blocks that are merged in this order.
    tol : float
        Relative gain of the objective at which to stop; 0 takes ``max_iter`` steps.
    max_iter : int
        Most steps to take.
    accelerate : bool
        SQUAREM extrapolation (Varadhan & Roland 2008, scheme S3) behind a safeguard: an
        extrapolated point that does not keep the objective is dropped for the plain one,
        so the objective never falls.
    on_step : callable, optional
        Called with a `Step` after each step.

    Returns
    -------
    Fit
        Interrupted runs (Ctrl-C) return what they have reached.

    Warns
    -----
    LikelihoodDecreasedWarning
        If a step lowers the objective by more than rounding explains: a fault of the
        density, not of the data.
    """
    state = _State(density, blocks, start)
    history = [state.objective]
    converged = interrupted = False
    try:
        while len(history) <= max_iter:
            following = _accelerated(state) if accelerate else state.at(state.mapped())
            gain = following.objective - state.objective
            _check_rise(state, following, len(history))
            state = following
            history.append(state.objective)
            if on_step is not None:
                on_step(Step(len(history) - 1, state.objective, gain))
            if tol > 0 and gain <= tol * abs(state.objective):
                converged = True
                break
    except KeyboardInterrupt:
        interrupted = True  # between two lines: the state is the last whole one
    return Fit(
        state.parameters,
        state.objective,
        float(state.statistics.log_likelihood),
        tuple(history),
        converged,
        interrupted,
        density.collapsed(state.parameters),
        state.statistics,
    )


class _State(Generic[P]):
    """Parameters with the statistics and the objective there."""

    def __init__(self, density: Density[P, Any], blocks: list[Block], parameters: P) -> None:
        self.density = density
        self.blocks = blocks
        self.parameters = parameters
        self.statistics: Any = reduce(add, (density.e_step(parameters, b) for b in blocks))
        self.objective = density.objective(self.statistics, parameters)
        self.vector: NDArray[np.float64] | None = None

    def packed(self) -> NDArray[np.float64]:
        """The parameters as a vector, made once: a leap starts where the last one landed."""
        if self.vector is None:
            self.vector = self.density.pack(self.parameters)
        return self.vector

    def at(self, parameters: P) -> _State[P]:
        return _State(self.density, self.blocks, parameters)

    def rounding(self, precision: float) -> float:
        return self.density.rounding(self.statistics, self.parameters, precision)

    def mapped(self) -> P:
        """Where an M-step leads from here."""
        return self.density.m_step(self.statistics, self.parameters)


def _accelerated(state: _State[P]) -> _State[P]:
    """Two EM steps and a safeguarded leap along them."""
    pack = state.density.pack
    once = state.at(state.mapped())
    twice = once.mapped()
    x0, x1, x2 = state.packed(), once.packed(), pack(twice)
    change, curvature = x1 - x0, (x2 - x1) - (x1 - x0)
    length = np.linalg.norm(curvature)
    step = -np.linalg.norm(change) / length if length > 0 else -1.0
    if np.isfinite(step) and step < -1.0:
        # a leap may overshoot: into overflow, or with a component that has lost its rows
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            leap = x0 - 2.0 * step * change + step * step * curvature
            landing = state.density.unpack(leap, twice)
            vector = pack(landing)
            if np.isfinite(vector).all():
                there = state.at(landing)
                there.vector = vector
                if there.objective >= once.objective:
                    return there
    plain = state.at(twice)
    plain.vector = x2
    return plain


def _check_rise(before: _State[Any], after: _State[Any], iteration: int) -> None:
    """Strict, step by step: rounding explains this much and no more."""
    gain = after.objective - before.objective
    precision = max(float(np.finfo(b.observed.dtype).eps) for b in after.blocks)
    slack = (1e-6 if precision > 1e-10 else 1e-10) * max(abs(after.objective), 1.0)
    if gain < -slack and np.isfinite(gain):  # single precision far from 0, tight components
        slack += before.rounding(precision) + after.rounding(precision)
    if gain < -slack or np.isnan(after.objective):
        warnings.warn(
            f"EM step {iteration} lowered its objective by {-gain:.6g} "
            f"(to {after.objective:.10g}). Please report this with the data's shape and options.",
            LikelihoodDecreasedWarning,
            stacklevel=4,
        )
