"""Lloyd's algorithm on complete rows, against plain distances and scikit-learn."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.exceptions import ConvergenceWarning

import mixmend as mm
from mixmend.em.block import Block
from mixmend.mixtures import clustering
from mixmend.mixtures.clustering import cluster, nearest, update
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
    labels, smallest, following = clustering._round(centers, block)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    np.testing.assert_allclose(smallest, distances.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(following, update(centers, labels, block)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_scores_never_decides(rng, dtype):
    """Two centers a hair apart, far from a third: scores cannot tell them, distances can."""
    X = rng.normal(size=(500, 3)).astype(dtype)
    near = np.zeros((2, 3))
    near[1, 0] = 1e-6
    centers = np.vstack([near, np.full((1, 3), 1e6)])
    labels, smallest = nearest(centers, block_of(X))
    distances = all_distances(X, centers)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    np.testing.assert_allclose(smallest, distances.min(axis=1), rtol=1e-12)
    assert set(labels) == {0, 1}


def test_without_the_second_look_scores_would_decide(rng, monkeypatch):
    """The planted fault that the test above must see."""
    tables = clustering._product_tables

    def trusting(centers, dtype):
        return tables(centers, dtype)._replace(doubt=np.array([0.0, -1e30]))

    monkeypatch.setattr(clustering, "_product_tables", trusting)
    with pytest.raises(AssertionError):
        test_rounding_of_scores_never_decides(rng, np.float32)


def test_the_first_of_equal_centers_is_taken(rng):
    X, centers = rng.normal(size=(40, 2)), np.ones((5, 2))
    np.testing.assert_array_equal(nearest(centers, block_of(X))[0], 0)


def test_results_do_not_depend_on_threads(rng):
    block, centers = block_of(rng.normal(size=(9000, 30))), rng.normal(size=(9, 30))
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(clustering._round(centers, block))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


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
