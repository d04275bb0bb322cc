"""The matrix products of complete rows, against plain sums and against the walk by entry."""

from __future__ import annotations

from dataclasses import fields

import numba
import numpy as np
import pytest
from scipy.special import logsumexp

from mixmend.em.block import Block
from mixmend.mixtures import complete_rows, diagonal_e_step, spherical_e_step
from mixmend.mixtures.complete_rows import Columns, moments, posterior, suits
from mixmend.observed.matrix import ObservedMatrix


def block_of(X, weights=None):
    return Block(ObservedMatrix.from_dense(X, row_weights=weights))


def some_columns(rng, n_components, d, alike=False):
    precisions = rng.gamma(3.0, 0.4, (n_components, 1 if alike else d))
    log_terms = rng.normal(size=n_components)
    return Columns(log_terms, rng.normal(size=(n_components, d)), precisions)


def plain(X, columns, weights, shares=None):
    """Every sum written down as it is defined."""
    gaps = X[:, None, :].astype(np.float64) - columns.means
    joint = columns.log_terms - 0.5 * (columns.precisions * gaps**2).sum(axis=2)
    evidence = logsumexp(joint, axis=1)
    if shares is None:
        shares = np.exp(joint - evidence[:, None])
    r = shares * weights[:, None]
    sums = [np.einsum("uk,uki->ik", r, gaps**power) for power in (1, 2)]
    return joint, weights @ evidence, r.sum(axis=0), *sums


def assert_sums(found, wanted):
    for part, reference in zip(found[1:], wanted[2:], strict=True):
        if len(part) < len(reference):  # columns that are alike are summed
            reference = reference.sum(axis=0, keepdims=True)
        np.testing.assert_allclose(part, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("n_components", [1, 3, 4, 5, 8, 9, 16, 33])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 5), (130, 3), (17, 32), (40, 130)])
def test_sums_are_those_of_their_definitions(rng, n_components, n, d, alike):
    columns = some_columns(rng, n_components, d, alike)
    X, weights = rng.normal(size=(n, d)), rng.gamma(1.0, 1.0, n) * (rng.random(n) > 0.2)
    block = block_of(X, weights)
    wanted = plain(X, columns, weights)
    found = moments(columns, block)
    assert found.log_likelihood == pytest.approx(wanted[1], rel=1e-11, abs=1e-11)
    assert_sums(found, wanted)
    shares, joint = posterior(columns, block)
    np.testing.assert_allclose(joint, wanted[0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    given = rng.dirichlet(np.ones(n_components), n)
    assert_sums(moments(columns, block, given), plain(X, columns, weights, given))


def test_single_precision_values_are_summed_in_double(rng):
    columns = some_columns(rng, 3, 4)
    X = rng.normal(size=(500, 4)).astype(np.float32)
    wanted = plain(X, columns, np.ones(500))
    found = moments(columns, block_of(X))
    assert found.log_likelihood == pytest.approx(wanted[1], rel=1e-12)
    assert_sums(found, wanted)


def test_results_do_not_depend_on_threads(rng):
    columns, block = some_columns(rng, 5, 40), block_of(rng.normal(size=(9000, 40)))
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(moments(columns, block))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
def test_a_large_offset_costs_no_digits_that_matter(rng, dtype, offset):
    X = (rng.normal(size=(4000, 3)) + offset).astype(dtype)
    near = rng.normal(size=(2, 3))
    columns = Columns(np.zeros(2), near + offset, np.ones((2, 3)))
    moved = Columns(np.zeros(2), columns.means - offset, np.ones((2, 3)))
    wanted = plain(X.astype(np.float64) - offset, moved, np.ones(4000))
    found = moments(columns, block_of(X))
    np.testing.assert_allclose(found.second, wanted[4], rtol=1e-6)


def test_products_are_left_alone_where_they_would_cancel(rng):
    """Clusters 1000 standard deviations apart take the walk by entry; tighter ones lose digits."""
    X = rng.normal(size=(300, 2))
    X[:150] += 1e9
    block = block_of(X)
    means = np.array([[1e9, 1e9], [0.0, 0.0]])
    columns = Columns(np.zeros(2), means, np.ones((2, 2)))
    assert not suits(columns, block)
    assert suits(columns._replace(means=means / 1e7), block)
    parameters = diagonal_e_step.Parameters(np.full(2, 0.5), means, np.ones((2, 2)))
    wanted = ((X[:150] - 1e9) ** 2).sum(axis=0)
    np.testing.assert_allclose(
        diagonal_e_step.e_step(parameters, block).squares[:, 0], wanted, rtol=1e-9
    )
    # the planted fault: products nevertheless
    assert not np.allclose(moments(columns, block).second[:, 0], wanted, rtol=0.01)


def by_entry(monkeypatch):
    monkeypatch.setattr(complete_rows, "MOST_COLUMNS", 0)


@pytest.mark.parametrize("with_doubt", [False, True])
def test_spherical_steps_are_those_of_the_walk_by_entry(rng, monkeypatch, with_doubt):
    X, weights = rng.normal(size=(60, 7)), rng.random(60)
    q = spherical_e_step.Parameters(
        rng.dirichlet(np.ones(3)),
        rng.normal(size=(3, 7)),
        rng.gamma(3.0, 0.4, 3),
        rng.random((3, 7)) if with_doubt else None,
    )
    same = q._replace(means=np.repeat(q.means[:1], 3, axis=0))
    shares = rng.dirichlet(np.ones(3), 60)

    def steps():
        block = block_of(X, weights)
        yield spherical_e_step.e_step(q, block)
        yield spherical_e_step.statistics_of(shares, same, block)
        yield spherical_e_step.posterior(q, block)

    products = list(steps())
    by_entry(monkeypatch)
    for one, other in zip(products, steps(), strict=True):
        names = getattr(one, "_fields", None) or [f.name for f in fields(one)]
        for name in names:
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-10, atol=1e-10
            )


@pytest.mark.parametrize("complete", [True, False])
def test_log_scales_stand_where_the_logarithms_of_variances_would(rng, complete):
    X = rng.normal(size=(30, 4))
    if not complete:
        X[rng.random(X.shape) < 0.3] = np.nan
    q = diagonal_e_step.Parameters(
        np.array([0.2, 0.3]), rng.normal(size=(2, 4)), rng.gamma(3.0, 0.4, (2, 4))
    )
    log_scales = np.log(q.variances) + rng.random((2, 4))
    gaps = X[:, None, :] - q.means
    cells = -0.5 * (np.log(2 * np.pi) + log_scales + gaps**2 / q.variances)
    joint = np.log(q.weights) + np.nansum(cells, axis=2)
    seen = ~np.isnan(X).all(axis=1)
    statistics = diagonal_e_step.e_step(q, block_of(X), log_scales)
    assert statistics.log_likelihood == pytest.approx(logsumexp(joint[seen], axis=1).sum())
    rows = diagonal_e_step.posterior(q, block_of(X), log_scales)
    np.testing.assert_allclose(rows.log_densities[seen], logsumexp(joint[seen], axis=1))
    plain_rows = diagonal_e_step.posterior(q, block_of(X))
    assert not np.allclose(plain_rows.log_densities, rows.log_densities)
