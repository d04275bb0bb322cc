"""From data and options to the best of several EM runs: what `GaussianMixture.fit` does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixmend.em.block import Block
from mixmend.em.engine import Fit, Step, run
from mixmend.em.restarts import Restarts, run_restarts
from mixmend.mixtures.options import Options
from mixmend.mixtures.spherical import (
    SphericalDensity,
    m_step,
    posterior,
    rounding_floor,
    row_bytes,
    with_prior,
)
from mixmend.mixtures.spherical_e_step import Array, Parameters, statistics_of
from mixmend.mixtures.starts import pooled, random_responsibilities, seeded_responsibilities
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

_BASE_STEPS = 200

_SINGULAR_SHARE = 1e-7
"""Below this share of one component's variance, a variance counts as collapsed."""


@dataclass(frozen=True, slots=True)
class SphericalProblem:
    """What is to be fitted: data, options, a given start (or None) and randomness."""

    observed: ObservedMatrix
    options: Options
    start: Parameters | None
    rng: np.random.Generator


class Outcome(NamedTuple):
    """The runs, the density that they raised and the centre of its prior."""

    restarts: Restarts[Parameters]
    density: SphericalDensity
    column_effects: Array


def fit_spherical(problem: SphericalProblem, verbose: bool = False) -> Outcome:
    """Fit one component first (it gives the column effects), then K from every start."""
    options = problem.options
    obs = problem.observed
    offsets = options.center in ("rows", "biases")
    size = row_bytes(options.n_components, obs.dtype.itemsize, offsets)
    block = Block(obs, size)
    grand_mean = np.full(obs.shape[1], _grand_mean(obs))
    noise = rounding_floor(obs, offsets)
    floor = max(options.min_variance, noise)
    density = SphericalDensity(floor, options.min_support, options.prior, grand_mean, offsets)
    alone = _one_component(density, block, grand_mean)
    base = alone.parameters
    if alone.interrupted:
        if options.n_components > 1:
            raise KeyboardInterrupt  # before EM has begun there is nothing to keep
        return Outcome(Restarts(alone, (alone,), interrupted=True), density, base.means[0])
    # a column that nobody observes has no effect of its own: it takes the grand mean
    effects = base.means[0] if options.center in ("columns", "biases") else grand_mean
    if options.n_components > 1:
        singular = max(_SINGULAR_SHARE * float(base.variances[0]), 4.0 * noise)
        density = replace(density, prior_means=effects, singular_variance=singular)
    starts = _starts(problem, density, block, base)
    total = len(starts) * options.max_iter
    with track("EM", total=total, enabled=verbose or None) as progress:

        def shown(step: Step) -> None:
            progress.update(objective=step.objective)

        restarts = run_restarts(
            density,
            starts,
            [block],
            tol=options.tol,
            max_iter=options.max_iter,
            screen=options.screen,
            accelerate=options.accelerate,
            on_step=shown,
        )
    return Outcome(restarts, density, effects)


def _grand_mean(obs: ObservedMatrix) -> float:
    values = obs.by_row.values.astype(np.float64, copy=False)
    if obs.row_weights is None:
        return float(values.mean())
    return float(np.average(values, weights=np.repeat(obs.row_weights, obs.row_counts)))


def _one_component(density: SphericalDensity, block: Block, grand_mean: Array) -> Fit[Parameters]:
    """Fit of a single component: column effects, offset variance and overall variance."""
    start = pooled(block, grand_mean)
    if density.row_offsets:
        start = start._replace(offset_variance=0.2 * float(start.variances[0]))
    start = with_prior(start, density.prior)
    return run(density, start, [block], tol=1e-7, max_iter=_BASE_STEPS)


def _starts(
    problem: SphericalProblem, density: SphericalDensity, block: Block, base: Parameters
) -> list[Parameters]:
    options = problem.options
    if problem.start is not None:
        return [_completed_start(problem.start, density, base)]
    if options.n_components == 1:
        return [base]
    copies = _copies(base, options.n_components)
    known_offsets = posterior(base, block).offsets[:, 0] if density.row_offsets else None
    starts = []
    for _ in range(options.n_init):
        if options.init_params == "random":
            shares = random_responsibilities(
                block.observed.shape[0], options.n_components, problem.rng
            )
        else:
            shares = seeded_responsibilities(block, options.n_components, base, problem.rng)
        statistics = statistics_of(shares, copies, block, known_offsets)
        # scattered seeds may give a component a single row: its variance begins as the pooled
        # one, so that the first E-step does not cement the draw
        stepped = m_step(statistics, copies, replace(density, row_offsets=False))
        starts.append(
            stepped._replace(variances=np.maximum(stepped.variances, 0.1 * base.variances))
        )
    return starts


def _copies(base: Parameters, n_components: int) -> Parameters:
    spread = base.mean_variances
    return base._replace(
        weights=np.full(n_components, 1.0 / n_components),
        means=np.asfortranarray(np.repeat(base.means, n_components, axis=0)),
        variances=np.repeat(base.variances, n_components),
        mean_variances=None
        if spread is None
        else np.asfortranarray(np.repeat(spread, n_components, axis=0)),
    )


def _completed_start(given: Parameters, density: SphericalDensity, base: Parameters) -> Parameters:
    """A given start, with what it leaves open taken from the one-component fit."""
    missing = np.isnan(given.variances)
    variances = np.where(missing, base.variances, given.variances)
    out = given._replace(variances=np.maximum(variances, density.min_variance))
    # an earlier fit may have had another prior, or offsets where now there are none
    if not density.row_offsets:
        out = out._replace(offset_variance=0.0)
    elif out.offset_variance == 0.0:
        out = out._replace(offset_variance=base.offset_variance)
    wanted = None if density.prior is None else density.prior.mean_variance
    if wanted is None:
        return out._replace(mean_variances=None, prior_variance=np.inf)
    if out.mean_variances is None:
        return with_prior(out, density.prior)
    return out if wanted == "learned" else out._replace(prior_variance=float(wanted))
