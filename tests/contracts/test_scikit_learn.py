"""The estimators inside scikit-learn: its own checks, cloning, pipelines, searches."""

from __future__ import annotations

import numba
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import mixmend as mm


@pytest.fixture(autouse=True)
def one_thread():
    """Thousands of tiny fits: threads that wait for one another would take most of the time."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


NO_CLASSIFIER = (
    "scikit-learn's check reads classifier_tags.multi_class of anything with predict_proba, "
    "which is None for an estimator that is no classifier."
)
DRAWS_DEPEND_ON_ROWS = (
    "The check orders and repeats rows, on which random starts depend "
    "(scikit-learn expects its own KMeans to fail it too)."
)
SPARSE = {f"check_estimator_sparse_{kind}": NO_CLASSIFIER for kind in ("array", "matrix")}
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": DRAWS_DEPEND_ON_ROWS
    for kind in ("dense", "sparse")
}
NO_MINIBATCHES = {
    f"check_{name}": "The check calls partial_fit, which variational fits refuse."
    for name in ("fit_score_takes_y", "n_features_in_after_fitting")
}

CHECKED = {
    "one component": (mm.GaussianMixture(), SPARSE),
    "prior": (mm.GaussianMixture(2, prior="default"), SPARSE | WEIGHTS),
    "biases": (mm.GaussianMixture(2, center="biases", min_variance=0.01), SPARSE | WEIGHTS),
    "random": (
        mm.GaussianMixture(2, init_params="random", accelerate=True, n_init=2, screen=3),
        SPARSE | WEIGHTS,
    ),
    "variational": (
        mm.GaussianMixture(3, "full", inference="variational"),
        SPARSE | WEIGHTS | NO_MINIBATCHES,
    ),
    "diag": (mm.GaussianMixture(2, "diag"), SPARSE | WEIGHTS),
    "tied": (mm.GaussianMixture(2, "tied"), SPARSE | WEIGHTS),
    "full": (mm.GaussianMixture(2, "full", init_params="kmeans"), SPARSE | WEIGHTS),
    "factor": (mm.GaussianMixture(2, "factor", n_factors=1, max_iter=40), SPARSE | WEIGHTS),
    "one full component": (mm.GaussianMixture(1, "full"), SPARSE),
    "k-means": (mm.KMeans(2), WEIGHTS),
    "factors": (mm.MatrixFactorization(1, center="biases", inference="variational"), WEIGHTS),
    "network": (mm.NeuralFactorization(1, hidden=(4,), max_iter=2), WEIGHTS),
    "linear autoencoder": (mm.LinearAutoencoder(1), {}),
    "imputer": (mm.MixtureImputer(), {}),
    "imputer by two components": (mm.MixtureImputer(2), {}),
}
UNAVAILABLE = {"check_array_api_input"}  # needs SCIPY_ARRAY_API set before SciPy is imported


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "expected"), CHECKED.values(), ids=CHECKED)
def test_scikit_learns_own_checks(estimator, expected):
    results = check_estimator(
        estimator, expected_failed_checks=expected, on_fail=None, on_skip=None
    )
    by_status = {}
    for result in results:
        by_status.setdefault(result["status"], {})[result["check_name"]] = result["exception"]
    assert by_status.get("failed", {}) == {}
    assert set(by_status.get("skipped", {})) <= UNAVAILABLE
    # what is expected to fail does fail: a reason that no longer holds has to go
    assert set(by_status.get("xfail", {})) == set(expected)
    assert len(by_status["passed"]) + len(expected) > 40


# ------------------------------------------------------------------ in place of what is excused


def holes_as_nan_and_stored():
    rng = np.random.default_rng(4)
    X = rng.normal(0, 1, (30, 5)) + 4.0 * rng.integers(2, size=(30, 1))
    X[rng.random(X.shape) < 0.3] = np.nan
    rows, columns = np.nonzero(~np.isnan(X))
    return X, sparse.coo_array((X[rows, columns], (rows, columns)), shape=X.shape)


ROW_VERBS = {
    "predict": lambda m, X: m.predict(X),
    "score": lambda m, X: m.score(X),
    "complete": lambda m, X: m.complete(X),
    "predict_proba": lambda m, X: m.predict_proba(X),
    "score_samples": lambda m, X: m.score_samples(X),
    "bic": lambda m, X: m.bic(X),
    "aic": lambda m, X: m.aic(X),
    "transform": lambda m, X: m.transform(X),
    "fit_predict": lambda m, X: clone(m).fit_predict(X),
}


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array", "lil_array", "dok_array"])
@pytest.mark.parametrize(
    "estimator", [mm.GaussianMixture(2, random_state=0), mm.KMeans(2, random_state=0)]
)
def test_sparse_matrices_in_every_verb(estimator, kind, index):
    dense, coo = holes_as_nan_and_stored()
    coo.coords = tuple(side.astype(index) for side in coo.coords)
    stored = getattr(sparse, kind)(coo)
    fits = clone(estimator).fit(dense), clone(estimator).fit(stored)
    done = 0
    for name, verb in ROW_VERBS.items():
        if hasattr(estimator, name):
            expected = verb(fits[0], dense)
            for model, data in ((fits[1], stored), (fits[1], dense), (fits[0], stored)):
                np.testing.assert_allclose(verb(model, data), expected, rtol=1e-9, err_msg=name)
            done += 1
    assert done >= 5


def weighted_and_repeated():
    rng = np.random.default_rng(8)
    X = rng.normal(0, 1, (40, 4)) + 3.0 * rng.integers(2, size=(40, 1))
    X[rng.random(X.shape) < 0.25] = np.nan
    X[np.isnan(X).all(axis=1), 0] = 0.0
    weights = rng.integers(0, 4, size=40)
    return X, weights, np.repeat(X, weights, axis=0)


GIVEN = np.array([[0.0] * 4, [3.0] * 4])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prior": "default"},
        {"center": "rows"},
        {"prior": "default", "center": "biases", "accelerate": True},
        {"min_support": 3.0, "min_variance": 0.2},
        {"covariance_type": "diag"},
        {"covariance_type": "diag", "prior": "default"},
        {"covariance_type": "tied"},
        {"covariance_type": "full"},
        {"covariance_type": "full", "prior": "default"},
        {"covariance_type": "factor", "n_factors": 1},
    ],
)
def test_weights_count_as_repeated_rows(options):
    X, weights, repeated = weighted_and_repeated()
    gm = mm.GaussianMixture(2, means_init=GIVEN, max_iter=25, tol=0, **options)
    one, two = clone(gm).fit(X, sample_weight=weights), clone(gm).fit(repeated)
    for name in ("weights_", "means_", "covariances_", "log_likelihood_", "objective_", "history_"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(two, name), rtol=1e-7, atol=1e-9, err_msg=name
        )
    counted = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    for criterion in ("score", "bic", "aic"):
        assert getattr(one, criterion)(counted) == pytest.approx(getattr(two, criterion)(repeated))
    assert one.bic(counted, "entries") == pytest.approx(two.bic(repeated, "entries"))


def test_weights_count_as_repeated_rows_for_clusters():
    X, weights, repeated = weighted_and_repeated()
    one = mm.KMeans(2, init=GIVEN).fit(X, sample_weight=weights)
    two = mm.KMeans(2, init=GIVEN).fit(repeated)
    np.testing.assert_allclose(one.cluster_centers_, two.cluster_centers_, rtol=1e-12)
    assert one.inertia_ == pytest.approx(two.inertia_)
    assert one.score(X, sample_weight=weights) == pytest.approx(two.score(repeated))
    np.testing.assert_array_equal(np.repeat(one.labels_, weights), two.labels_)
    for name in ("weights_", "covariances_"):
        np.testing.assert_allclose(
            getattr(one.to_mixture(), name), getattr(two.to_mixture(), name), rtol=1e-12
        )


# ------------------------------------------------------------------ in the company of others


@pytest.mark.parametrize(
    "estimator",
    [
        mm.GaussianMixture(
            3, prior=mm.SphericalPrior(mean_variance=0.5), means_init=np.eye(3), center="rows"
        ),
        mm.KMeans(3, init=np.eye(3)),
    ],
)
def test_clones_have_the_same_options_and_nothing_learned(estimator):
    copied = clone(estimator.set_params(max_iter=7))
    assert copied is not estimator
    assert list(copied.get_params()) == list(estimator.get_params())
    for name, value in estimator.get_params().items():
        np.testing.assert_array_equal(copied.get_params()[name], value)
    assert not [name for name in vars(copied) if name.endswith("_")]


def two_kinds(n=120, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, size=n)
    X = rng.normal(0, 1, (n, 4)) + np.array([-3.0, 3.0])[kinds, None]
    holes = rng.random(X.shape) < 0.2
    holes[:, 1] &= ~holes[:, 0]  # something of every row is seen
    return np.where(holes, np.nan, X), kinds


def test_a_pipeline_of_transformers_ends_in_a_mixture():
    X, kinds = two_kinds()
    pipeline = make_pipeline(StandardScaler(), mm.GaussianMixture(2, random_state=0)).fit(X)
    found = pipeline.predict(X)
    assert max(np.mean(found == kinds), np.mean(found != kinds)) > 0.95
    assert pipeline.predict_proba(X).shape == (120, 2)
    np.testing.assert_allclose(pipeline.score(X), pipeline.score_samples(X).mean())
    assert np.isnan(X).any()


def test_clusters_in_the_middle_of_a_pipeline():
    X, _ = two_kinds()
    pipeline = make_pipeline(mm.KMeans(2, random_state=0), SimpleImputer()).fit(X)
    distances = pipeline.transform(X)
    assert distances.shape == (120, 2)
    assert (distances >= 0).all()


@pytest.mark.filterwarnings("ignore")
def test_a_grid_search_finds_the_number_of_components():
    X, _ = two_kinds()
    grid = {"n_components": [1, 2], "min_variance": [0.1, 50.0]}
    search = GridSearchCV(mm.GaussianMixture(random_state=0), grid, cv=3).fit(X)
    assert search.best_params_ == {"n_components": 2, "min_variance": 0.1}
    assert search.best_estimator_.score(X) == pytest.approx(search.score(X))


def test_clusters_are_cross_validated():
    X, _ = two_kinds()
    one, two = (cross_val_score(mm.KMeans(k, random_state=0), X, cv=3).mean() for k in (1, 2))
    assert one < two < 0


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_distances_come_as_the_frame_asked_for(container):
    X, _ = two_kinds()
    model = mm.KMeans(2, random_state=0).set_output(transform=container).fit(X)
    frame = model.transform(X)
    assert list(frame.columns) == ["kmeans0", "kmeans1"] == list(model.get_feature_names_out())
    plain = model.set_output(transform="default").transform(X)
    np.testing.assert_array_equal(frame.to_numpy(), plain)


def test_names_of_columns_are_remembered():
    X, _ = two_kinds()
    frame = pd.DataFrame(X, columns=list("abcd"))
    for estimator in (mm.GaussianMixture(), mm.KMeans(2)):
        assert list(estimator.fit(frame).feature_names_in_) == list("abcd")
        assert estimator.n_features_in_ == 4
        assert not hasattr(estimator.fit(X), "feature_names_in_")
        # numbers are labels too, but no names in scikit-learn's sense
        numbered = mm.ObservedMatrix.from_dense(X, column_labels=[5, 6, 7, 8])
        assert not hasattr(estimator.fit(numbered), "feature_names_in_")


def test_frames_of_another_order_are_lined_up_rather_than_refused():
    X, _ = two_kinds()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = mm.GaussianMixture(2, random_state=0).fit(frame)
    np.testing.assert_array_equal(model.predict(frame[list("dcba")]), model.predict(frame))
