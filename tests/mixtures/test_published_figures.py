"""The handout's published figures, through the estimators that users fit."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm

MITX = "data/ratings/mitx686x/"

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning"),
]


def exactly(*values):
    return pytest.approx(values, rel=1e-8)


def to_places(*values):
    return pytest.approx(values, abs=0.5e-4)


@pytest.fixture(scope="session")
def table(shared_path):
    """A matrix of the handout as its file has it: 0 where nothing was observed."""
    return lambda name: np.loadtxt(shared_path(MITX + name))


def published_start(stored, K, seed):
    """K rows of the matrix as it is stored, and variances over all its cells."""
    rows = np.random.RandomState(seed).choice(len(stored), K, replace=False)
    means = stored[rows]
    variances = [((stored - mean) ** 2).mean() for mean in means]
    return {"means_init": means, "covariances_init": variances}


def fitted(stored, K, seed, **options):
    X = np.where(stored == 0, np.nan, stored) if options else stored
    return mm.GaussianMixture(K, **published_start(stored, K, seed), **options).fit(X), X


COURSE = {"min_variance": 0.25, "min_support": 1.0}


# ------------------------------------------------------------------ two components on a line


@pytest.fixture
def on_a_line():
    X = np.array([-1.0, 0.0, 4.0, 5.0, 6.0])[:, None]
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": [[6.0], [7.0]],
        "covariances_init": [1.0, 4.0],
    }
    return X, start


def test_worked_example_start_and_first_step(on_a_line):
    X, start = on_a_line
    gm = mm.GaussianMixture(2, max_iter=1, tol=0, **start).fit(X)
    assert gm.n_iter_ == 1
    assert (gm.history_[0],) == to_places(-24.5125)
    assert tuple(gm.means_[:, 0]) == to_places(5.1317, 1.4710)
    assert tuple(np.sqrt(gm.covariances_)) == to_places(0.7846, 2.6395)


def test_worked_example_at_convergence(on_a_line):
    X, start = on_a_line
    gm = mm.GaussianMixture(2, **start).fit(X)
    assert gm.converged_
    assert tuple(gm.means_[:, 0]) == to_places(5, -0.5)
    assert tuple(gm.covariances_) == to_places(0.6667, 0.25)
    assert tuple(gm.weights_) == to_places(0.6, 0.4)


# ------------------------------------------------------------------ toy data, complete


@pytest.mark.shared
def test_toy_distortions(table):
    X = table("toy_data.txt")
    least = [
        min(
            mm.KMeans(K, init=published_start(X, K, seed)["means_init"]).fit(X).inertia_
            for seed in range(5)
        )
        for K in range(1, 5)
    ]
    assert tuple(least) == exactly(
        5462.297452340001, 1684.9079502962372, 1329.5948671544297, 1035.4998265394659
    )


@pytest.mark.shared
def test_toy_log_likelihoods_and_bic(table):
    X = table("toy_data.txt")
    fits = [
        max((fitted(X, K, seed)[0] for seed in range(5)), key=lambda gm: gm.log_likelihood_)
        for K in range(1, 5)
    ]
    assert tuple(gm.log_likelihood_ for gm in fits) == exactly(
        -1307.22343176, -1175.71462937, -1138.89089969, -1138.6011757
    )
    # the handout's criterion is larger for better models, scikit-learn's lower
    criteria = [gm.bic(X) for gm in fits]
    assert tuple(-0.5 * np.array(criteria)) == exactly(
        -1315.50562314, -1195.03974258, -1169.25893474, -1180.01213258
    )
    assert 1 + int(np.argmin(criteria)) == 3


@pytest.mark.shared
def test_toy_first_e_step(table):
    gm, _ = fitted(table("toy_data.txt"), 3, 0)
    assert (gm.history_[0],) == to_places(-1388.0818)


# ------------------------------------------------------------------ with holes


@pytest.mark.shared
def test_twenty_rows_with_holes(table):
    gm, X = fitted(table("test_incomplete.txt"), 4, 0, **COURSE)
    assert (gm.history_[0], gm.history_[1], gm.log_likelihood_) == exactly(
        -152.16319226, -103.43699945, -84.98451993
    )
    filled = gm.complete(X)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.shared
def test_netflix_one_component(table):
    gm, X = fitted(table("netflix_incomplete.txt"), 1, 0, **COURSE)
    assert (gm.log_likelihood_, -0.5 * gm.bic(X)) == exactly(-1521060.95398525, -1525318.54512513)


@pytest.mark.shared
def test_netflix_twelve_components(table):
    stored = table("netflix_incomplete.txt")
    X = mm.ObservedMatrix.from_dense(stored, missing=0)
    fits = [
        mm.GaussianMixture(12, **published_start(stored, 12, seed), **COURSE).fit(X)
        for seed in range(5)
    ]
    assert tuple(gm.log_likelihood_ for gm in fits) == exactly(
        -1399803.04665691,
        -1390234.42234694,
        -1416862.40115128,
        -1393521.39298978,
        -1416733.80837635,
    )
    best = max(fits, key=lambda gm: gm.log_likelihood_)
    assert best is fits[1]
    assert (-0.5 * best.bic(X),) == exactly(-1441364.51144814)
    filled = best.complete(X)
    error = np.sqrt(np.mean((filled - table("netflix_complete.txt")) ** 2))
    assert (error,) == exactly(0.48047111268956827)
