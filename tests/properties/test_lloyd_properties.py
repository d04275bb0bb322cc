"""Whatever bounds are kept between rounds, labels are those of plain distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.em.block import Block
from mixmend.mixtures import lloyd
from mixmend.mixtures.clustering import cluster, nearest, update
from mixmend.mixtures.lloyd import CompleteRows
from mixmend.observed.matrix import ObservedMatrix

seeds = st.integers(0, 2**32 - 1)
precisions = st.sampled_from([np.float32, np.float64])


def block_of(X, weights=None):
    return Block(ObservedMatrix.from_dense(X, row_weights=weights))


def all_distances(X, centers):
    return ((X[:, None, :].astype(np.float64) - centers) ** 2).sum(axis=2)


@given(seeds, st.integers(1, 200), st.integers(1, 11), st.integers(1, 20), precisions)
def test_labels_after_any_walk_of_integer_centers_are_exact_with_ties(seed, n, d, k, dtype):
    """Squared distances of small integers are exact, so equals are equal to all."""
    rng = np.random.default_rng(seed)
    X, centers = rng.integers(-4, 5, (n, d)).astype(dtype), rng.integers(-4, 5, (k, d)) * 1.0
    rows = CompleteRows(block_of(X))
    for _ in range(8):
        distortion = rows.assign(centers)
        distances = all_distances(X, centers)
        np.testing.assert_array_equal(rows.labels, distances.argmin(axis=1))
        assert distortion == pytest.approx(distances.min(axis=1).sum(), rel=1e-12, abs=1e-12)
        centers = centers + rng.integers(-1, 2, (k, d)) * (rng.random((k, 1)) < 0.4)


def data_of(rng, kind, n, d, dtype):
    X = rng.normal(size=(n, d))
    if kind == "clusters":
        X = 0.1 * X + 5 * rng.normal(size=(4, d))[rng.integers(0, 4, n)]
    elif kind == "far from zero":
        X += 1e4
    elif kind == "outliers":
        X[rng.random(n) < 0.05] *= 1e4
    elif kind == "duplicates":
        X = X[rng.integers(0, max(1, n // 4), n)]
    return X.astype(dtype)


kinds = st.sampled_from(["noise", "clusters", "far from zero", "outliers", "duplicates"])


def rounds_are_plain(seed, kind, n, d, k, dtype, weighted):
    """A run of Lloyd's algorithm, each of its rounds beside distances and means by NumPy."""
    rng = np.random.default_rng(seed)
    X = data_of(rng, kind, n, d, dtype)
    weights = rng.choice([0.0, 1e-9, 0.5, 3.0], n) if weighted else None
    block, centers = block_of(X, weights), X[rng.choice(n, k, replace=False)].astype(np.float64)
    rows, spread = CompleteRows(block), float(np.ptp(X))
    for _ in range(12):
        distortion = rows.assign(centers)
        np.testing.assert_array_equal(rows.labels, nearest(centers, block)[0])
        distances = all_distances(X, centers)
        least = distances.min(axis=1)
        np.testing.assert_allclose(distances[np.arange(n), rows.labels], least, rtol=1e-12)
        np.testing.assert_allclose(rows.smallest(), least, rtol=1e-12)
        counted = np.ones(n) if weights is None else weights
        assert distortion == pytest.approx(counted @ least, rel=1e-10, abs=1e-24 * spread**2)
        sizes = np.bincount(rows.labels, counted, k)
        np.testing.assert_allclose(rows.sizes, sizes, rtol=1e-12)
        means = update(centers, rows.labels, block)[0]
        np.testing.assert_allclose(rows.following(), means, rtol=1e-10, atol=1e-10 * spread)
        centers = rows.following()


@given(seeds, kinds, st.integers(20, 300), st.integers(1, 20), st.integers(1, 20), precisions,
       st.booleans())  # fmt: skip
def test_every_round_is_that_of_plain_distances_and_means(seed, kind, n, d, k, dtype, weighted):
    rounds_are_plain(seed, kind, n, d, k, dtype, weighted)


def test_without_drift_rows_would_keep_centers_that_are_no_longer_nearest(monkeypatch):
    """The planted fault that the test above must see."""
    monkeypatch.setattr(lloyd, "_drifted", lambda drift, moves: drift)
    with pytest.raises(AssertionError):
        rounds_are_plain(1, "noise", 300, 4, 10, np.float64, weighted=False)


@given(seeds, kinds, st.integers(30, 200), st.integers(1, 6), st.integers(2, 12), precisions)
def test_runs_end_where_plain_ones_end(seed, kind, n, d, k, dtype):
    """With empty clusters on the way: both move the row that is served worst."""
    rng = np.random.default_rng(seed)
    X = data_of(rng, kind, n, d, dtype)
    start = X[rng.choice(n, k, replace=False)].astype(np.float64)
    start[0] += 1e3 * np.ptp(X)  # loses its rows at once
    run = cluster(start, block_of(X), tol=0.0, max_iter=60)
    distances = all_distances(X, run.centers)
    least = distances.min(axis=1)
    np.testing.assert_allclose(distances[np.arange(n), run.labels], least, rtol=1e-12)
    np.testing.assert_allclose(run.smallest, least, rtol=1e-12)
    assert run.distortion == pytest.approx(least.sum(), rel=1e-12)
    if len(np.unique(X, axis=0)) >= k:
        assert len(np.unique(run.labels)) == k
