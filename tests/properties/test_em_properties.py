"""Whatever the matrix: EM never lowers its objective, and forgets how its rows were arranged."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import (
    Parameters,
    SphericalDensity,
    e_step,
    posterior,
    rounding_floor,
    with_prior,
)
from mixmend.observed.matrix import ObservedMatrix


class Problem(NamedTuple):
    observed: ObservedMatrix
    density: SphericalDensity
    start: Parameters
    tile_rows: int

    def block(self) -> Block:
        block = Block(self.observed)
        block.tile_rows = min(self.tile_rows, self.observed.shape[0])
        return block


def values_of(kind: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Any:
    if kind == "ratings":
        return rng.integers(1, 6, shape)
    if kind == "few distinct":
        return rng.choice([0.1, 0.3], shape)
    if kind == "equal rows":
        return np.repeat(rng.normal(size=(1, shape[1])), shape[0], axis=0)
    if kind == "far from 0":
        return rng.normal(size=shape) + (1e4 if dtype == np.float32 else 1e8)
    if kind == "large and small":
        return rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9)
    if kind == "wild":
        return rng.standard_t(1.2, shape)
    return rng.normal(size=shape) + rng.choice([-2, 0, 3], (shape[0], 1))


KINDS = (
    "groups", "ratings", "few distinct", "equal rows", "far from 0", "large and small", "wild",
)  # fmt: skip


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 14)), draw(st.integers(1, 6))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    X = values_of(draw(st.sampled_from(KINDS)), rng, shape, dtype).astype(dtype)
    X[rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.6, 0.9]))] = np.nan
    weights = None
    if draw(st.booleans()):
        weights = rng.gamma(1.0, 1.0, shape[0]) * (rng.random(shape[0]) < 0.8)
        weights[0] = 1.0
    observed = ObservedMatrix.from_dense(X, row_weights=weights)
    seen = observed.by_row.values.astype(float)
    level = float(seen.mean()) if len(seen) else 0.0
    scale = float(seen.var()) if len(seen) else 1.0
    row_offsets = draw(st.booleans())
    floor = rounding_floor(observed, row_offsets)
    scale = max(scale, floor)
    prior = None
    if draw(st.booleans()):
        prior = SphericalPrior(
            mean_variance=draw(st.sampled_from(["learned", None, 0.5 * scale])),
            variance_shape=(shape_of := draw(st.sampled_from([0.0, 1.5]))),
            variance_scale=0.2 * scale if shape_of else 0.0,
            weight_concentration=draw(st.sampled_from([0.3, 1.0, 2.0])),
        )
    K = draw(st.integers(1, 6))
    rows = X[rng.integers(0, shape[0], K)].astype(float)
    start = Parameters(
        rng.dirichlet(np.ones(K)),
        np.asfortranarray(np.where(np.isnan(rows), level, rows)),
        np.full(K, scale),
        offset_variance=0.5 * scale if row_offsets else 0.0,
    )
    density = SphericalDensity(
        min_variance=max(floor, draw(st.sampled_from([0.0, 0.0, 1e-3 * scale]))),
        min_support=draw(st.sampled_from([0.0, 1.0])),
        prior=prior,
        prior_means=np.full(shape[1], level),
        row_offsets=row_offsets,
    )
    return Problem(observed, density, with_prior(start, prior), draw(st.integers(1, 14)))


def assert_sound(q: Parameters) -> None:
    assert (q.weights >= 0).all()
    assert q.weights.sum() == pytest.approx(1.0, rel=1e-9)
    assert np.isfinite(q.means).all()
    assert np.isfinite(q.variances).all()
    assert (q.variances > 0).all()
    assert q.mean_variances is None or (q.mean_variances > 0).all()
    assert q.prior_variance > 0
    assert 0 <= q.offset_variance < np.inf


@settings(max_examples=150)
@given(problems(), st.booleans())
def test_no_step_lowers_the_objective(problem, accelerate):
    block, density = problem.block(), problem.density
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a false alarm is a fault as well
        fit = run(density, problem.start, [block], tol=0, max_iter=20, accelerate=accelerate)
    assert_sound(fit.parameters)
    history = np.array(fit.history)
    assert np.isfinite(history).all()
    # the engine's own check has warned of nothing; here is another that knows no engine
    precision = float(np.finfo(problem.observed.dtype).eps)
    noise = density.rounding(e_step(fit.parameters, block), fit.parameters, precision)
    relative = 1e-10 if precision < 1e-10 else 1e-6
    falls = -np.diff(history)
    collapsed = (fit.parameters.variances <= 2 * density.min_variance).any()
    assert collapsed or (falls <= relative * np.maximum(np.abs(history[1:]), 1) + 8 * noise).all()


@given(problems(), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_and_the_cut_into_tiles_do_not_matter(problem, seed):
    order = np.random.default_rng(seed).permutation(problem.observed.shape[0])
    shuffled = Problem(problem.observed.select_rows(order), *problem[1:3], 1000)
    one, other = e_step(problem.start, problem.block()), e_step(problem.start, shuffled.block())
    relative = 1e-9 if problem.observed.dtype == np.float64 else 1e-4
    scale = float(np.abs(problem.start.means).max() + 1)
    for name in ("rows", "cells", "residuals", "offset_squares", "support"):
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=relative, atol=relative * (1 + np.abs(a).max()))
    np.testing.assert_allclose(
        one.deviations, other.deviations, atol=relative * scale * (1 + one.rows.sum())
    )
    rows = posterior(problem.start, problem.block()), posterior(problem.start, shuffled.block())
    np.testing.assert_array_equal(rows[0].responsibilities[order], rows[1].responsibilities)
    np.testing.assert_array_equal(rows[0].log_joint[order], rows[1].log_joint)


@given(problems())
def test_responsibilities_are_probabilities(problem):
    rows = posterior(problem.start, problem.block())
    precision = 1e-12 if problem.observed.dtype == np.float64 else 1e-5
    assert (rows.responsibilities >= 0).all()
    np.testing.assert_allclose(rows.responsibilities.sum(axis=1), 1.0, rtol=precision)
    assert (rows.offset_variances <= problem.start.offset_variance * (1 + 1e-12)).all()
    empty = problem.observed.row_counts == 0
    np.testing.assert_allclose(
        rows.responsibilities[empty],
        np.tile(problem.start.weights, (empty.sum(), 1)),
        rtol=precision,
    )


@given(problems(), st.integers(0, 2**32 - 1))
def test_relabelling_the_components_relabels_the_step(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.start.weights))

    def relabelled(q: Parameters) -> Parameters:
        return q._replace(
            weights=q.weights[order],
            means=np.asfortranarray(q.means[order]),
            variances=q.variances[order],
            mean_variances=None if q.mean_variances is None else q.mean_variances[order],
        )

    ends = [
        run(problem.density, start, [problem.block()], tol=0, max_iter=1).parameters
        for start in (problem.start, relabelled(problem.start))
    ]
    precision = 1e-9 if problem.observed.dtype == np.float64 else 1e-4
    expected, got = relabelled(ends[0]), ends[1]
    np.testing.assert_allclose(got.weights, expected.weights, atol=precision)
    scale = np.abs(expected.means).max()
    np.testing.assert_allclose(got.means, expected.means, atol=precision * scale)


@given(problems(), st.floats(-3.0, 3.0), st.integers(-6, 6))
def test_shifting_and_scaling_the_data_moves_the_fit_along(problem, shift, power):
    # by powers of 2 and by the values' own scale, so that little is rounded
    values = problem.observed.by_row.values.astype(float)
    assume(len(values) > 0 and np.abs(values).max() < 1e3 and values.std() > 1e-3)
    factor = 2.0**power
    moved = problem.observed.with_values(factor * (values + shift))
    q = problem.start
    density = SphericalDensity(
        min_variance=1e-3 * float(values.var()), row_offsets=problem.density.row_offsets
    )
    wide = SphericalDensity(
        min_variance=density.min_variance * factor**2, row_offsets=density.row_offsets
    )
    start = q._replace(mean_variances=None, prior_variance=np.inf)
    there = start._replace(
        means=np.asfortranarray(factor * (q.means + shift)),
        variances=factor**2 * q.variances,
        offset_variance=factor**2 * q.offset_variance,
    )
    here_fit = run(density, start, [Block(problem.observed.with_values(values))], tol=0, max_iter=1)
    there_fit = run(wide, there, [Block(moved)], tol=0, max_iter=1)
    a, b = here_fit.parameters, there_fit.parameters
    scale = np.abs(values).max() + abs(shift)
    np.testing.assert_allclose(b.means / factor - shift, a.means, atol=1e-8 * scale)
    np.testing.assert_allclose(b.variances / factor**2, a.variances, rtol=1e-6)
    np.testing.assert_allclose(b.offset_variance / factor**2, a.offset_variance, rtol=1e-6)
    weights = problem.observed.row_weights
    counts = problem.observed.row_counts
    cells = counts.sum() if weights is None else counts @ weights
    change = there_fit.history[0] - here_fit.history[0]
    assert change == pytest.approx(
        -cells * np.log(factor), abs=1e-6 * (1 + abs(here_fit.history[0]))
    )
