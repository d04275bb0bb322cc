"""Where EM begins: rows that were picked, clusters, shares, and what the user gave."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixmend as mm
from mixmend.em.block import Block
from mixmend.errors import MixmendError
from mixmend.mixtures.starts import column_means, pooled, seeded_responsibilities, seeded_rows
from mixmend.observed.matrix import ObservedMatrix

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning"),
]

INITS = ("k-means++", "kmeans", "random", "random_from_data")
TYPES = ("spherical", "diag", "tied", "full", "factor")


def options_of(covariance_type):
    return {"covariance_type": covariance_type} | (
        {"n_factors": 1} if covariance_type == "factor" else {}
    )


def three_groups(holes=0.3, gap=7.0, n=90, d=4, seed=5):
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % 3
    X = rng.normal(0, 1, (n, d)) + gap * np.eye(3, d)[kinds]
    gone = rng.random(X.shape) < holes
    gone[np.arange(n), rng.integers(d, size=n)] = False
    return np.where(gone, np.nan, X), kinds


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_start_leads_through_holes_to_the_groups(covariance_type, init):
    X, kinds = three_groups(holes=0.2)
    X[7] = np.nan  # a row of which nothing is known belongs to no group more than another
    gm = mm.GaussianMixture(
        3,
        **options_of(covariance_type),
        init_params=init,
        n_init=6,
        random_state=1,
        min_variance=0.2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mm.errors.EmptyEntityWarning)
        found = gm.fit(X).predict(X)
    together = np.array(
        [[np.mean((found == k) & (kinds == j)) for k in range(3)] for j in range(3)]
    )
    assert np.isfinite(gm.history_).all()
    # even shares of every group leave the groups on each other, and EM slow to part them
    assert together.max(axis=1).sum() > (0.7 if init == "random" else 0.9)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_kmeans_begins_with_the_clusters_of_kmeans(holes):
    X, _ = three_groups(holes, gap=2.0)
    clusters = mm.KMeans(3, n_init=1, tol=0, random_state=4).fit(X)
    start = mm.GaussianMixture(3, init_params="kmeans", max_iter=0, random_state=4).fit(X)
    np.testing.assert_allclose(start.means_, clusters.cluster_centers_, rtol=1e-9)
    np.testing.assert_allclose(start.weights_, np.bincount(clusters.labels_) / len(X))
    other = mm.GaussianMixture(3, max_iter=0, random_state=4).fit(X)
    assert not np.allclose(other.means_, start.means_)


def test_clusters_see_rows_without_their_offsets():
    rng = np.random.default_rng(0)
    kinds = np.arange(80) % 2
    shapes = np.array([[1.0, -1.0] * 4, [-1.0, 1.0] * 4])
    values = shapes[kinds] + rng.normal(0, 40, (80, 1)) + rng.normal(0, 0.3, (80, 8))
    block = Block(ObservedMatrix.from_dense(values))
    base = pooled(block, np.zeros(8))._replace(offset_variance=1600.0, variances=np.array([1.0]))
    shares = seeded_responsibilities(block, base, 2, np.random.default_rng(1), "kmeans")
    assert np.mean(shares.argmax(axis=1) == kinds) in (0.0, 1.0)


def test_rows_drawn_evenly_and_rows_drawn_far_apart():
    values = np.r_[np.random.default_rng(3).normal(size=(49, 2)), [[60.0, 60.0]]]
    values = np.r_[values, np.full((10, 2), np.nan)]
    block = Block(ObservedMatrix.from_dense(values))
    base = pooled(block, column_means(block.observed))
    picks = {
        spread: np.array(
            [seeded_rows(block, base, 3, np.random.default_rng(s), spread)[0] for s in range(200)]
        )
        for spread in (True, False)
    }
    assert (picks[True] == 49).any(axis=1).mean() > 0.95
    assert 0.02 < (picks[False] == 49).any(axis=1).mean() < 0.13  # 3 of 50
    for drawn in picks.values():
        assert drawn.max() <= 49
        assert all(len(set(row)) == 3 for row in drawn.tolist())


def test_no_steps_keep_the_start_and_say_nothing():
    X, _ = three_groups()
    means = np.eye(3, 4) * 5.0
    gm = mm.GaussianMixture(3, means_init=means, max_iter=0).fit(X)
    np.testing.assert_array_equal(gm.means_, means)
    assert (gm.n_iter_, gm.converged_, len(gm.history_), gm.lower_bounds_) == (0, False, 1, [])
    with pytest.raises(MixmendError) as failure:
        gm.set_params(max_iter=-1).fit(X)
    assert str(failure.value) == "max_iter must be a whole number of at least 0; got -1."


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
def test_what_is_not_given_of_a_start_is_found(covariance_type, init):
    X, _ = three_groups()
    d = X.shape[1]
    given = {
        "spherical": np.array([3.0, 2.0, 1.0]),
        "diag": np.linspace(1.0, 2.0, 3 * d).reshape(3, d),
        "tied": np.eye(d) + 0.5,
        "full": np.eye(d) * np.array([3.0, 2.0, 1.0])[:, None, None],
        "factor": np.tile(np.eye(d) + 0.5, (3, 1, 1)),
    }[covariance_type]
    make = options_of(covariance_type) | {
        "init_params": init, "max_iter": 0, "random_state": 2, "n_components": 3
    }  # fmt: skip
    plain = mm.GaussianMixture(**make).fit(X)
    weighted = mm.GaussianMixture(**make, weights_init=[0.5, 0.3, 0.2]).fit(X)
    np.testing.assert_array_equal(weighted.weights_, [0.5, 0.3, 0.2])
    np.testing.assert_array_equal(weighted.means_, plain.means_)
    np.testing.assert_allclose(weighted.covariances_, plain.covariances_, rtol=1e-12)
    wide = mm.GaussianMixture(**make, covariances_init=given).fit(X)
    np.testing.assert_array_equal(wide.weights_, plain.weights_)
    np.testing.assert_array_equal(wide.means_, plain.means_)
    np.testing.assert_allclose(wide.covariances_, given, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "full"])
def test_parts_of_the_start_of_a_single_component_are_kept(covariance_type):
    X, _ = three_groups()
    d = X.shape[1]
    given = {"spherical": [4.0], "diag": np.full((1, d), 4.0), "full": 4.0 * np.eye(d)[None]}
    gm = mm.GaussianMixture(
        1, covariance_type, covariances_init=given[covariance_type], max_iter=0
    ).fit(X)
    np.testing.assert_allclose(gm.covariances_, given[covariance_type])
    assert gm.weights_.tolist() == [1.0]


# ------------------------------------------------------------------ scikit-learn's names


@pytest.mark.parametrize("covariance_type", TYPES)
def test_precisions_are_inverses_as_scikit_learn_gives_them(covariance_type):
    X, _ = three_groups()
    gm = mm.GaussianMixture(
        3, **options_of(covariance_type), random_state=0, min_variance=0.2
    ).fit(X)  # fmt: skip
    assert gm.precisions_.shape == gm.precisions_cholesky_.shape == gm.covariances_.shape
    if covariance_type in ("spherical", "diag"):
        np.testing.assert_allclose(gm.precisions_ * gm.covariances_, 1.0)
        np.testing.assert_allclose(gm.precisions_cholesky_**2, gm.precisions_)
    else:
        unit = np.broadcast_to(np.eye(4), gm.covariances_.shape)
        np.testing.assert_allclose(gm.precisions_ @ gm.covariances_, unit, atol=1e-10)
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    kind = "full" if covariance_type == "factor" else covariance_type
    np.testing.assert_allclose(
        gm.precisions_cholesky_,
        _compute_precision_cholesky(gm.covariances_, kind),
        rtol=1e-9,
        atol=1e-12,
    )


def test_lower_bounds_are_objectives_per_row(tmp_path):
    X, _ = three_groups()
    weights = np.linspace(0.5, 2.0, len(X))
    gm = mm.GaussianMixture(3, random_state=0).fit(X, sample_weight=weights)
    counted = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    assert gm.lower_bound_ == pytest.approx(gm.score(counted), rel=1e-12)
    assert len(gm.lower_bounds_) == gm.n_iter_
    assert gm.lower_bounds_[-1] == gm.lower_bound_
    assert gm.lower_bounds_[0] == gm.history_[1] / weights.sum()
    mm.save(gm, tmp_path / "a.mixmend")
    assert mm.load(tmp_path / "a.mixmend").lower_bound_ == gm.lower_bound_


def test_names_of_a_fit_are_unknown_before_it():
    for name in ("precisions_", "precisions_cholesky_", "lower_bound_", "lower_bounds_"):
        with pytest.raises(AttributeError, match="after fit"):
            getattr(mm.GaussianMixture(), name)
        assert not hasattr(mm.KMeans(2).fit([[0.0], [1.0]]).to_mixture(), "lower_bound_")
    X, _ = three_groups(holes=0.0)
    streamed = mm.GaussianMixture(3, random_state=0).fit(X).partial_fit(X)
    assert not hasattr(streamed, "lower_bound_")  # its rows are a running average
