"""From data and options to the best of several EM runs: what `GaussianMixture.fit` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mixmend.em.block import Block
from mixmend.em.engine import Density, Step, run
from mixmend.em.restarts import Restarts, joined, run_restarts
from mixmend.kernels.threads import fixed_order
from mixmend.mixtures.family import Family, PooledInterrupted, family_of
from mixmend.mixtures.fixed import with_fixed
from mixmend.mixtures.options import GivenStart, Options, given_start
from mixmend.mixtures.pruning import run_pruned
from mixmend.mixtures.spherical_e_step import Parameters
from mixmend.mixtures.starts import (
    column_means,
    column_scales,
    pooled,
    random_responsibilities,
    seeded_responsibilities,
)
from mixmend.observed.holdout import as_generator
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

_REDRAWS = 2
"""Further starts that are drawn, one by one, where the only one has collapsed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be fitted: data, options, a start given by the user or by an earlier fit."""

    observed: ObservedMatrix
    options: Options
    family: Family
    given: GivenStart | None
    earlier: Any | None
    rng: np.random.Generator


class Outcome(NamedTuple):
    """The runs, the density that they raised and the pooled fit that they began with."""

    restarts: Restarts[Any]
    density: Density[Any, Any]
    base: Any


def new_problem(
    estimator: Any, obs: ObservedMatrix, options: Options, earlier: Any = None
) -> Problem:
    """What a fit to ``obs`` begins with: earlier parameters, a given start, or draws."""
    family = family_of(options.covariance_type, options.inference)
    shape = family.covariance_shape(options.n_components, obs.shape[1])
    given = None if earlier is not None else given_start(estimator, obs.shape[1], shape)
    return Problem(obs, options, family, given, earlier, as_generator(estimator.random_state))


@fixed_order()
def fit_mixture(problem: Problem, verbose: bool = False) -> Outcome:
    """Fit one component first (it gives column effects and scales), then K from every start."""
    options, family = problem.options, problem.family
    block = family.block(problem.observed, options.n_components)
    density = family.density(options, problem.observed)
    try:
        base = family.pooled(density, block)
    except PooledInterrupted as stop:
        if options.n_components > 1:
            raise  # before EM has begun there is nothing to keep
        return Outcome(Restarts(stop.fit, (stop.fit,), interrupted=True), density, None)
    density = family.informed(density, base, options)
    starts = _starts(problem, density, block, base)
    learned = with_fixed(density, options.fixed)
    total = len(starts) * options.max_iter
    with track("EM", total=total, enabled=verbose or None) as progress:

        def shown(step: Step) -> None:
            progress.update(objective=step.objective)

        def from_starts(starts: list[Any]) -> Restarts[Any]:
            return run_restarts(
                learned,
                starts,
                [block],
                tol=options.tol,
                max_iter=options.max_iter,
                screen=options.screen,
                accelerate=options.accelerate,
                on_step=shown,
                runner=run_pruned if options.inference == "variational" else run,
            )

        restarts = from_starts(starts)
        for _ in range(_REDRAWS if _is_one_draw(problem) else 0):
            if restarts.interrupted or not restarts.best.collapsed:
                break
            restarts = joined(restarts, from_starts(_starts(problem, density, block, base)))
    return Outcome(restarts, learned, base)


def _is_one_draw(problem: Problem) -> bool:
    """Whether the one start was drawn, so that another draw may lead elsewhere."""
    options, given = problem.options, problem.given
    drawn = problem.earlier is None and (given is None or given.means is None)
    return drawn and options.n_init == 1 and options.n_components > 1


def _starts(problem: Problem, density: Density[Any, Any], block: Block, base: Any) -> list[Any]:
    options, family, given = problem.options, problem.family, problem.given
    if problem.earlier is not None:
        return [family.continued(problem.earlier, density, base)]
    if given is not None and given.means is not None:
        starts = [None]
    elif options.n_components == 1:
        starts = [base]
    else:
        starts = _found_starts(problem, density, block, base)
    if given is not None:
        starts = [_mended(start, given, family, options, base) for start in starts]
    return [family.continued(start, density, base) for start in starts]


def _mended(start: Any, given: GivenStart, family: Family, options: Options, base: Any) -> Any:
    """A start with what the user gave of it; the pooled covariance beside given means."""
    weights, means, covariances = given
    if means is None and covariances is None:
        return start._replace(weights=weights)
    if weights is None:
        even = np.full(options.n_components, 1.0 / options.n_components)
        weights = even if start is None else start.weights
    return family.given(weights, start.means if means is None else means, covariances, base)


def _found_starts(
    problem: Problem, density: Density[Any, Any], block: Block, base: Any
) -> list[Any]:
    """As many starts as asked for, by the method asked for."""
    options, family = problem.options, problem.family
    n, n_components, rng = problem.observed.shape[0], options.n_components, problem.rng
    if options.init_params == "random":
        shares = [random_responsibilities(n, n_components, rng) for _ in range(options.n_init)]
    else:
        seeding = _seeding(problem, block, base)
        shares = [
            seeded_responsibilities(*seeding, n_components, rng, options.init_params)
            for _ in range(options.n_init)
        ]
    return [family.from_responsibilities(share, base, density, block) for share in shares]


def _seeding(problem: Problem, block: Block, base: Any) -> tuple[Block, Parameters]:
    """Rows and their centre as the seeding sees them.

    A single variance for all columns says that they share a unit; otherwise distances
    between rows are taken in units of the columns' standard deviations.
    """
    if isinstance(base, Parameters):
        return block, base
    obs = problem.observed
    view = obs.by_row
    scaled = obs.with_values(view.values / column_scales(obs)[view.indices])
    rows = Block(scaled)
    return rows, pooled(rows, column_means(scaled))
