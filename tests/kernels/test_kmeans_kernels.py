"""The loops of K-means, and how many threads small work gets."""

from __future__ import annotations

import numba
import numpy as np
import pytest

import oracles
from mixmend.kernels import threads
from mixmend.kernels.kmeans import label_sums, nearest
from spherical_cases import block_of, with_holes


@pytest.mark.parametrize("n_clusters", [1, 3, 5])
def test_the_nearest_and_the_first_of_equals(rng, n_clusters):
    distances = rng.integers(0, 3, (600, 8)).astype(float)  # many ties
    distances[:, n_clusters:] = -1.0  # padding, however small, is no cluster
    labels, smallest = np.empty(600, np.int64), np.empty(600)
    nearest(distances, n_clusters, labels, smallest)
    np.testing.assert_array_equal(labels, distances[:, :n_clusters].argmin(axis=1))
    np.testing.assert_array_equal(smallest, distances[:, :n_clusters].min(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_by_label(rng, weighted, dtype):
    X = with_holes(rng, 40, 9, 0.4, dtype, empty_rows=(2,), empty_columns=(0, 8))
    labels = rng.integers(0, 4, 40)
    weights = rng.gamma(1.0, 1.0, 40) if weighted else None
    centres = rng.normal(size=(4, 9))
    post = np.eye(4)[labels] * (1.0 if weights is None else weights[:, None])
    expected = oracles.cell_column_sums(X, centres, post)
    s0, s1 = np.full((9, 4), 5.0), np.full((9, 4), -5.0)  # added to
    block = block_of(X, row_weights=weights)
    label_sums(
        block.observed.by_column, labels, block.row_weights, np.ascontiguousarray(centres.T), s0, s1
    )
    np.testing.assert_allclose(s0, 5 + expected[0], rtol=1e-12)
    np.testing.assert_allclose(s1, -5 + expected[1], rtol=1e-12, atol=1e-12)


def test_small_work_runs_on_one_thread_and_the_setting_comes_back():
    before = numba.get_num_threads()
    with threads.threads_for(threads.SMALL_WORK):
        assert numba.get_num_threads() == before
    with threads.threads_for(threads.SMALL_WORK - 1):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with pytest.raises(KeyboardInterrupt), threads.threads_for(0):
        raise KeyboardInterrupt
    assert numba.get_num_threads() == before
