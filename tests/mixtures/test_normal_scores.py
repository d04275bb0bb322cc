"""Scales closer to normal: there and back, and what becomes of distributions on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.mixtures.normal_scores import column_scores


@given(seed=st.integers(0, 10**6), distinct=st.integers(1, 30), share=st.floats(0.0, 1.0))
@settings(max_examples=50)
def test_there_and_back_is_where_one_was(seed, distinct, share):
    rng = np.random.default_rng(seed)
    rows = rng.choice(rng.standard_t(3, distinct), size=(40, 2))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    scores = column_scores(rows, share=share)
    probe = np.concatenate([rows, rows.ravel()[: len(rows), None] * [3.0, -3.0]])
    there = scores.forward(probe)
    np.testing.assert_allclose(scores.backward(there), probe, rtol=1e-6, atol=1e-6)
    for j in range(2):
        order = np.argsort(probe[:, j])
        steps = np.diff(there[order, j])
        assert np.all(steps[~np.isnan(steps)] >= 0)


def test_scores_are_half_normal_quantiles_of_ranks_and_half_values():
    column = np.array([3.0, -1.0, np.nan, 0.5, 0.5])
    found = column_scores(column[:, None]).forward(column[:, None])[:, 0]
    ranks = np.array([3.5, 0.5, np.nan, 2.0, 2.0]) / 4.0  # mid-ranks, ties together
    np.testing.assert_allclose(found, 0.5 * column + 0.5 * norm.ppf(ranks))
    # a row of weight two counts as two rows
    weighted = column_scores(column[:4, None], np.array([1.0, 1.0, 1.0, 2.0]))
    np.testing.assert_allclose(weighted.forward(column[:, None])[:, 0], found)


def test_a_log_normal_column_becomes_nearly_normal(rng):
    column = np.exp(rng.normal(size=(2000, 1)))
    column = (column - column.mean()) / column.std()
    full = column_scores(column, share=1.0).forward(column)[:, 0]
    half = column_scores(column).forward(column)[:, 0]

    def skewness(x):
        return np.mean((x - x.mean()) ** 3) / x.std() ** 3

    assert abs(skewness(full)) < 0.01
    assert skewness(half) < 0.75 * skewness(column[:, 0])


def test_moments_are_those_of_draws_brought_back(rng):
    column = np.exp(rng.normal(size=(500, 1)))
    scores = column_scores(column)
    cells = Predictive(np.array([[0.3, 0.7]]), np.array([[0.5, 1.5]]), np.array([[0.04, 0.25]]))
    found = scores.moments(cells, np.zeros(1, np.int64))
    for k in range(2):
        drawn = norm(cells.means[0, k], np.sqrt(cells.variances[0, k])).rvs(200_000, random_state=k)
        back = scores.backward(drawn[:, None])
        assert found.means[0, k] == pytest.approx(back.mean(), rel=0.01)
        assert found.variances[0, k] == pytest.approx(back.var(), rel=0.05)
    assert predictive.mean(found).shape == (1,)


def test_columns_without_two_values_stay_as_they_are():
    rows = np.array([[2.0, np.nan], [2.0, np.nan]])
    scores = column_scores(rows)
    probe = np.array([[2.0, -3.0], [5.0, 1.0]])
    np.testing.assert_allclose(scores.forward(probe), probe, rtol=1e-9)
