"""Lloyd's algorithm on complete rows, against plain distances and scikit-learn."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.exceptions import ConvergenceWarning

import mixmend as mm
from mixmend.em.block import Block
from mixmend.mixtures import lloyd
from mixmend.mixtures.clustering import cluster, nearest, update
from mixmend.mixtures.lloyd import CompleteRows
from mixmend.observed.matrix import ObservedMatrix


def block_of(X, weights=None):
    return Block(ObservedMatrix.from_dense(X, row_weights=weights))


def all_distances(X, centers):
    return ((X[:, None, :].astype(np.float64) - centers) ** 2).sum(axis=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_clusters", [1, 2, 5, 16, 33])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 3), (300, 4), (41, 33)])
def test_labels_distances_and_new_centers_are_those_of_plain_loops(rng, n, d, n_clusters, dtype):
    X, centers = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(n_clusters, d))
    weights = rng.random(n)
    block = block_of(X, weights)
    distances = all_distances(X, centers)
    rows = CompleteRows(block)
    distortion = rows.assign(centers)
    np.testing.assert_array_equal(rows.labels, distances.argmin(axis=1))
    np.testing.assert_allclose(rows.smallest(), distances.min(axis=1), rtol=1e-12)
    assert distortion == pytest.approx(weights @ distances.min(axis=1), rel=1e-12)
    following = update(centers, rows.labels, block)[0]
    np.testing.assert_allclose(rows.following(), following, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_scores_never_decides(rng, dtype):
    """Two centers a hair apart, far from most: scores cannot tell them, distances can."""
    X = rng.normal(size=(500, 3)).astype(dtype)
    near = np.zeros((2, 3))
    near[1, 0] = 1e-6
    centers = np.vstack([near, np.full((3, 3), 1e6)])
    labels, smallest = nearest(centers, block_of(X))
    distances = all_distances(X, centers)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    np.testing.assert_allclose(smallest, distances.min(axis=1), rtol=1e-12)
    assert set(labels) == {0, 1}


def test_without_the_second_look_scores_would_decide(rng, monkeypatch):
    """The planted fault that the test above must see."""
    tables = lloyd._product_tables

    def trusting(centers, drift, dtype):
        return tables(centers, drift, dtype)._replace(doubt=np.array([0, 0, -1e30, 1], dtype))

    monkeypatch.setattr(lloyd, "_product_tables", trusting)
    with pytest.raises(AssertionError):
        test_rounding_of_scores_never_decides(rng, np.float32)


def test_the_first_of_equal_centers_is_taken(rng):
    X, centers = rng.normal(size=(40, 2)), np.ones((5, 2))
    np.testing.assert_array_equal(nearest(centers, block_of(X))[0], 0)


def test_results_do_not_depend_on_threads(rng):
    block, start = block_of(rng.normal(size=(40_000, 30))), rng.normal(size=(9, 30))
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(cluster(start, block, tol=0.0, max_iter=8))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_far_center_costs_the_others_no_certainty(rng):
    """Scores are wrong by the length of a centre, but not by that of another, far away."""
    X = rng.normal(size=(2000, 4)).astype(np.float32)
    centers = np.vstack([X[:8], np.full((1, 4), 1e6)]).astype(float)
    rows = CompleteRows(block_of(X))
    rows.assign(centers)
    assert np.isfinite(rows._until).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_scores_that_overflow_or_vanish_decide_nothing(rng, dtype, size):
    X = (size * rng.normal(size=(300, 3))).astype(dtype)
    centers = X[:5].astype(np.float64)
    labels, smallest = nearest(centers, block_of(X))
    distances = all_distances(X, centers)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    np.testing.assert_allclose(smallest, distances.min(axis=1), rtol=1e-12)


def tight_clusters(rng, dtype):
    """Three tight clusters far from each other, and starts far from all of them."""
    places = np.array([[0.0, 0.0], [1e3, 0.0], [0.0, 1e3]])
    X = places[rng.integers(0, 3, 600)] + 1e-3 * rng.normal(size=(600, 2))
    return X.astype(dtype), np.array([[-5e3, -5e3], [8e3, 0.0], [0.0, 8e3]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_distortion_of_tight_clusters_is_not_what_cancellation_leaves(rng, dtype):
    X, start = tight_clusters(rng, dtype)
    run = cluster(start, block_of(X), tol=0.0, max_iter=30)
    centers = start
    for distortion in run.history:
        distances = all_distances(X, centers)
        assert distortion == pytest.approx(distances.min(axis=1).sum(), rel=1e-10)
        centers, _ = update(centers, distances.argmin(axis=1), block_of(X))


def test_without_sums_taken_afresh_it_would_be(rng, monkeypatch):
    """The planted fault that the test above must see."""
    monkeypatch.setattr(lloyd, "_MOST_CANCELLED", 1e150)
    with pytest.raises(AssertionError):
        test_the_distortion_of_tight_clusters_is_not_what_cancellation_leaves(rng, np.float64)


def test_rows_that_stay_are_not_looked_at_again(rng, monkeypatch):
    """Poisoned after the first round, rows deep inside their clusters go unnoticed."""
    X, _ = tight_clusters(rng, np.float64)
    rows = CompleteRows(block_of(X))
    centers = X[[np.flatnonzero(X @ [1, 2] < 1)[0], X[:, 0].argmax(), X[:, 1].argmax()]]
    rows.assign(centers)
    labels = rows.labels.copy()
    monkeypatch.setattr(rows, "_X", np.full_like(X, np.nan))
    rows.assign(rows.following())
    np.testing.assert_array_equal(rows.labels, labels)


def test_rounds_are_those_of_scikit_learn(rng):
    X = rng.normal(size=(2000, 5)) + 1e3
    start = X[:8].copy()
    theirs = PeerKMeans(8, init=start, n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(X)
    with pytest.warns(ConvergenceWarning):
        ours = mm.KMeans(8, init=start, n_init=1, max_iter=20, tol=0).fit(X)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)


def test_an_empty_cluster_takes_the_row_served_worst(rng):
    X = np.vstack([rng.normal(size=(30, 2)), [[50.0, 50.0]]])
    start = np.array([[0.0, 0.0], [1e4, 1e4]])
    run = cluster(start, block_of(X), tol=0.0, max_iter=5)
    np.testing.assert_allclose(run.centers[1], [50.0, 50.0])
    assert run.labels[30] == 1
