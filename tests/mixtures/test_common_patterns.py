"""Rows of common patterns: the products over gathered columns, against plain loops over rows."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from full_oracle import random_mixture, sums, with_holes
from mixmend.mixtures import pattern_rows
from mixmend.mixtures.full_e_step import Parameters, e_step, posterior, statistics_of
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.observed.matrix import ObservedMatrix


@pytest.fixture(autouse=True)
def small_work_is_worth_it(monkeypatch):
    monkeypatch.setattr(pattern_rows, "WORTH", 0)
    monkeypatch.setattr(pattern_rows, "COMMON_ROWS", 1)


def block_of(X, n_components, row_weights=None):
    return PatternBlock(ObservedMatrix.from_dense(X, row_weights=row_weights), n_components)


def few_patterns(rng, n, d, n_patterns, share=0.4):
    """Rows of a few patterns, one of them complete and, with two or more columns, one empty."""
    masks = rng.random((n_patterns, d)) < share
    masks[0] = False
    masks[1] = d > 1
    return np.where(masks[rng.integers(0, n_patterns, n)], np.nan, rng.normal(size=(n, d)))


def assert_same(statistics, wanted):
    for name in ("rows", "first", "second"):
        np.testing.assert_allclose(
            getattr(statistics, name), getattr(wanted, name), rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize(("n_components", "d"), [(1, 1), (3, 3), (2, 8), (9, 9), (2, 17)])
@pytest.mark.parametrize("rare", [False, True])
def test_statistics_are_those_of_plain_loops(rng, n_components, d, rare):
    mixture = random_mixture(rng, n_components, d)
    X = few_patterns(rng, 30 * d, d, 5)
    if rare:  # rows of many patterns besides
        X[: 5 * d] = with_holes(rng, rng.normal(size=(5 * d, d)), 0.6)
    row_weights = rng.random(len(X))
    block = block_of(X, n_components, row_weights)
    assert len(block.common.order) > 0
    assert (len(block.layout.order) > 0) == (rare and d > 1)
    both = np.sort(np.concatenate([block.common.order, block.layout.order]))
    np.testing.assert_array_equal(both, np.flatnonzero((~np.isnan(X)).any(axis=1)))
    wanted = sums(X, *mixture, row_weights)
    statistics = e_step(Parameters(*mixture), block)
    assert statistics.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-11)
    assert_same(statistics, wanted)
    np.testing.assert_allclose(
        posterior(Parameters(*mixture), block).log_joint, wanted.log_joint, rtol=1e-10, atol=1e-10
    )
    shares = rng.dirichlet(np.ones(n_components), len(X))
    given = statistics_of(shares, Parameters(*mixture), block)
    assert np.isnan(given.log_likelihood)
    assert_same(given, sums(X, *mixture, row_weights, shares))


def test_the_spread_of_holes_is_part_of_the_second_moments(rng, monkeypatch):
    """The classical fault, planted: sums without conditional covariances must be seen."""
    mixture = random_mixture(rng, 2, 4)
    X = few_patterns(rng, 80, 4, 3)
    real = np.linalg.inv

    statistics = e_step(Parameters(*mixture), block_of(X, 2))
    wanted = sums(X, *mixture)
    monkeypatch.setattr("full_oracle.conditional", lambda x, m, c: (_filled(x, m, c, real), 0 * c))
    with pytest.raises(AssertionError):
        assert_same(statistics, sums(X, *mixture))
    assert_same(statistics, wanted)


def _filled(x, mean, covariance, inverse):
    seen = ~np.isnan(x)
    if not seen.any():
        return mean
    weights = covariance[:, seen] @ inverse(covariance[np.ix_(seen, seen)])
    return mean + weights @ (x[seen] - mean[seen])


def test_common_and_rare_paths_agree(rng, monkeypatch):
    mixture, X = random_mixture(rng, 3, 6), few_patterns(rng, 900, 6, 7)
    common = e_step(Parameters(*mixture), block_of(X, 3))
    monkeypatch.setattr(pattern_rows, "COMMON_ROWS", 10**6)
    block = block_of(X, 3)
    assert len(block.common.order) == 0
    rare = e_step(Parameters(*mixture), block)
    assert common.log_likelihood == pytest.approx(rare.log_likelihood, rel=1e-12)
    assert_same(common, rare)


def test_little_work_and_rare_patterns_are_left_to_one_kernel(rng, monkeypatch):
    X = few_patterns(rng, 900, 6, 7)
    monkeypatch.setattr(pattern_rows, "WORTH", 900 * 36 * 3 + 1)
    assert len(block_of(X, 3).common.order) == 0
    complete = block_of(rng.normal(size=(5, 6)), 3)
    assert len(complete.common.order) == 5
    assert not complete.has_holes
    empty_rows = block_of(np.array([[1.0], [np.nan], [2.0]]), 1)
    assert len(empty_rows.common.order) == 2  # complete where anything is observed
    assert not empty_rows.has_holes


def test_a_component_without_weight_gets_no_rows(rng):
    _, means, covariances = random_mixture(rng, 3, 3)
    parameters = Parameters(np.array([0.0, 0.4, 0.6]), means, covariances)
    statistics = e_step(parameters, block_of(few_patterns(rng, 60, 3, 3), 3))
    assert statistics.rows[0] == 0.0
    assert np.isfinite(statistics.log_likelihood)


def test_results_do_not_depend_on_threads(rng):
    mixture = random_mixture(rng, 9, 9)
    block = block_of(few_patterns(rng, 9000, 9, 6), 9)
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(e_step(Parameters(*mixture), block))
    finally:
        numba.set_num_threads(before)
    assert len(block.common.task_tiles) > 10
    for name in ("log_likelihood", "rows", "first", "second"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
def test_a_large_offset_costs_no_digits_that_matter(rng, dtype, offset):
    X = (few_patterns(rng, 2000, 3, 4) + offset).astype(dtype)
    parameters = Parameters(np.ones(1), np.full((1, 3), offset), np.eye(3)[None])
    statistics = e_step(parameters, block_of(X, 1))
    reference = sums(X.astype(float) - offset, np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    np.testing.assert_allclose(statistics.second, reference.second, rtol=1e-6, atol=1e-3)


def test_a_covariance_that_is_not_positive_definite_is_refused(rng):
    parameters = Parameters(np.ones(1), np.zeros((1, 2)), np.array([[[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        e_step(parameters, block_of(rng.normal(size=(20, 2)), 1))
