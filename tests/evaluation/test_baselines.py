"""The models to beat: what they learn, against dense oracles, and that they are honest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mixmend.completion import predictive
from mixmend.datasets import make_ratings
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import metrics
from mixmend.evaluation.baselines import ColumnMean, GlobalMean, RowColumnBiases
from mixmend.observed.matrix import ObservedMatrix

ALL = [GlobalMean, ColumnMean, RowColumnBiases]


def holed(rng, n=30, d=12, share=0.5, missing_row=None):
    X = 3 + rng.normal(size=(n, 1)) + rng.normal(size=d) + 0.5 * rng.normal(size=(n, d))
    X[rng.random((n, d)) > share] = np.nan
    X[0, 0] = 3.0
    if missing_row is not None:
        X[missing_row] = np.nan
    return X


# ---------------------------------------------------------------- the contract of completers


@pytest.mark.parametrize("model", ALL)
def test_means_and_spreads_have_the_right_shape_and_agree(model, rng):
    X = holed(rng)
    fitted = model().fit(X)
    rows, columns = np.array([0, 29, 3, 3]), np.array([11, 0, 5, 5])
    p = fitted.predictive(X, rows, columns)
    assert p.weights.shape == p.means.shape == p.variances.shape == (4, 1)
    assert p.means.dtype == p.variances.dtype == np.float64
    mean, std = fitted.predict_entries(X, rows, columns, return_std=True)
    np.testing.assert_array_equal(mean, predictive.mean(p))
    np.testing.assert_array_equal(std, predictive.std(p))
    np.testing.assert_array_equal(fitted.predict_entries(X, rows, columns), mean)
    assert np.all(std > 0)
    assert mean[2] == mean[3]
    assert fitted.predict_entries(X, [], []).shape == (0,)


@pytest.mark.parametrize("model", ALL)
def test_intervals_keep_their_promise_on_unseen_ratings(model):
    X = make_ratings(1500, 300, 60_000, levels=None, component_effect=0.2)
    rows, columns, values = X.entries()
    held = np.random.default_rng(0).random(len(values)) < 0.1
    train = ObservedMatrix.from_triplets(rows[~held], columns[~held], values[~held], X.shape)
    p = model().fit(train).predictive(train, rows[held], columns[held])
    table = metrics.calibration(p, values[held], levels=[0.5, 0.8, 0.9, 0.95])
    np.testing.assert_allclose(table.coverage, table.levels, atol=0.025)
    assert metrics.rmse(values[held], predictive.mean(p)) < 1.03 * values[held].std()


@pytest.mark.parametrize("model", ALL)
def test_a_weight_of_two_is_the_row_given_twice(model, rng):
    X = holed(rng)
    weights = rng.integers(0, 4, 30).astype(float)
    weights[0] = 2
    once = model().fit(ObservedMatrix.from_dense(X, row_weights=weights))
    repeated = model().fit(np.repeat(X, weights.astype(int), axis=0))
    rows, columns = np.divmod(np.arange(30 * 12), 12)
    for got, wanted in zip(
        once.predict_entries(X, rows, columns, return_std=True),
        repeated.predict_entries(X, rows, columns, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.parametrize("model", ALL)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_units_do_not_matter(model, scale, shift):
    X = holed(np.random.default_rng(5))
    rows, columns = np.divmod(np.arange(30 * 12), 12)
    mean, std = model().fit(X).predict_entries(X, rows, columns, return_std=True)
    moved = scale * X + shift
    mean_moved, std_moved = model().fit(moved).predict_entries(moved, rows, columns, True)
    # the stopping rule looks at a bound whose zero depends on the units
    np.testing.assert_allclose((mean_moved - shift) / scale, mean, atol=1e-3)
    np.testing.assert_allclose(std_moved / scale, std, rtol=1e-3)


@pytest.mark.parametrize("model", ALL)
def test_rows_and_columns_with_nothing_observed_get_an_honest_answer(model, rng):
    X = holed(rng, missing_row=4)
    X[:, 7] = np.nan
    fitted = model().fit(X)
    mean, std = fitted.predict_entries(X, [4, 4, 1], [2, 7, 7], return_std=True)
    assert np.all(np.isfinite(mean))
    assert np.all(std > 0)
    seen = fitted.predict_entries(X, [1], [2], return_std=True)[1]
    if model is RowColumnBiases:
        assert std[1] > std[0] > seen[0]


@pytest.mark.parametrize("model", ALL)
def test_single_precision_and_constant_data_are_no_trouble(model, rng):
    X = holed(rng)
    wanted = model().fit(X).predict_entries(X, [0, 1], [1, 2])
    got = model().fit(X.astype(np.float32)).predict_entries(X.astype(np.float32), [0, 1], [1, 2])
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    flat = np.full((5, 4), 2.5)
    flat[0, 0] = np.nan
    mean, std = model().fit(flat).predict_entries(flat, [0], [0], return_std=True)
    assert mean[0] == pytest.approx(2.5)
    assert 0 <= std[0] < 1e-6
    lone = np.full((3, 3), np.nan)
    lone[1, 1] = 4.0
    assert model().fit(lone).predict_entries(lone, [0], [2])[0] == pytest.approx(4)


@pytest.mark.parametrize("model", ALL)
def test_clones_are_unfitted_and_say_so(model, rng):
    copy = clone(model().fit(holed(rng)))
    with pytest.raises(NotFittedError) as caught:
        copy.predictive(holed(rng), [0], [0])
    assert str(caught.value).startswith(f"This {model.__name__} instance is not fitted yet.")


@pytest.mark.parametrize("model", ALL)
def test_matrices_are_completed_and_items_recommended(model, rng):
    X = holed(rng)
    fitted = model().fit(X)
    filled, std = fitted.complete(X, return_std=True)
    rows, columns = np.divmod(np.arange(30 * 12), 12)
    mean, spread = fitted.predict_entries(X, rows, columns, return_std=True)
    hole = np.isnan(X)
    np.testing.assert_allclose(filled[hole], mean.reshape(X.shape)[hole])
    np.testing.assert_allclose(std[hole], spread.reshape(X.shape)[hole])
    np.testing.assert_array_equal(filled[~hole], X[~hole])
    picked = fitted.recommend(X, n_items=2, rows=[3])
    best = np.argsort(np.where(hole[3], -mean.reshape(X.shape)[3], np.inf), kind="stable")[:2]
    assert picked.columns.tolist() == [best.tolist()]


@pytest.mark.parametrize("model", ALL)
def test_columns_are_found_by_their_labels(model, rng):
    X = holed(rng)
    names = np.array([f"film {i}" for i in range(12)])
    fitted = model().fit(ObservedMatrix.from_dense(X, column_labels=names))
    mixed = rng.permutation(12)
    shuffled = ObservedMatrix.from_dense(X[:, mixed], column_labels=names[mixed])
    np.testing.assert_allclose(
        fitted.predict_entries(shuffled, [3, 4], [5, 6]), fitted.predict_entries(X, [3, 4], [5, 6])
    )


# ------------------------------------------------------------------- what each of them learns


def test_global_mean_is_that_of_the_observed_entries(rng):
    X = holed(rng)
    fitted = GlobalMean().fit(X)
    assert fitted.mean_ == pytest.approx(np.nanmean(X))
    assert fitted.variance_ == pytest.approx(np.nanvar(X))
    far = GlobalMean().fit(X + 1e7)
    assert far.variance_ == pytest.approx(np.nanvar(X), rel=1e-6)


def test_column_means_with_a_pooled_variance(rng):
    X = holed(rng)
    X[:, 5] = np.nan
    X[:, 6] = np.nan
    X[2, 6] = 9.0
    fitted = ColumnMean().fit(X)
    seen = np.arange(12) != 5
    np.testing.assert_allclose(fitted.means_[seen], np.nanmean(X[:, seen], axis=0))
    assert fitted.means_[5] == pytest.approx(np.nanmean(X))
    assert fitted.variances_[5] == pytest.approx(np.nanvar(X))
    counts = np.isfinite(X).sum(axis=0)
    pooled = np.nansum((X - fitted.means_) ** 2) / (counts.sum() - 11)
    np.testing.assert_allclose(fitted.variances_[seen], pooled * (1 + 1 / counts[seen]))


def test_offsets_are_the_joint_ridge_solution(rng):
    X = holed(rng, n=25, d=10)
    fitted = RowColumnBiases(tol=0, max_iter=3000).fit(X)
    rows, columns = np.nonzero(np.isfinite(X))
    design = np.zeros((len(rows), 1 + 25 + 10))
    design[:, 0] = 1
    design[np.arange(len(rows)), 1 + rows] = 1
    design[np.arange(len(rows)), 26 + columns] = 1
    ridge = np.diag(
        [0.0]
        + [fitted.noise_variance_ / fitted.row_variance_] * 25
        + [fitted.noise_variance_ / fitted.column_variance_] * 10
    )
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ X[rows, columns])
    assert fitted.mean_ == pytest.approx(solution[0], abs=1e-5)
    np.testing.assert_allclose(fitted.row_effects_, solution[1:26], atol=1e-5)
    np.testing.assert_allclose(fitted.column_effects_, solution[26:], atol=1e-5)
    at = fitted.predict_entries(X, rows, columns)
    np.testing.assert_allclose(at, design @ solution, atol=1e-5)


def test_the_bound_never_falls_and_lies_below_the_exact_likelihood(rng):
    X = holed(rng, n=25, d=10)
    fitted = RowColumnBiases().fit(X)
    assert np.all(np.diff(fitted.history_) >= -1e-9)
    assert fitted.converged_
    assert fitted.n_iter_ == len(fitted.history_) < 200
    rows, columns = np.nonzero(np.isfinite(X))
    covariance = (
        fitted.noise_variance_ * np.eye(len(rows))
        + fitted.row_variance_ * (rows[:, None] == rows)
        + fitted.column_variance_ * (columns[:, None] == columns)
    )
    exact = stats.multivariate_normal(np.full(len(rows), fitted.mean_), covariance).logpdf(
        X[rows, columns]
    )
    assert exact - 0.02 * abs(exact) < fitted.history_[-1] < exact


def test_variance_components_are_found(rng):
    n, d = 400, 300
    rows = 0.5 * rng.normal(size=(n, 1))
    X = 1.0 + rows + 0.8 * rng.normal(size=d) + 0.9 * rng.normal(size=(n, d))
    X[rng.random((n, d)) > 0.2] = np.nan
    fitted = RowColumnBiases().fit(X)
    assert fitted.noise_variance_ == pytest.approx(0.81, rel=0.05)
    assert fitted.row_variance_ == pytest.approx(0.25, rel=0.2)
    assert fitted.column_variance_ == pytest.approx(0.64, rel=0.25)
    assert np.corrcoef(fitted.row_effects_, rows[:, 0])[0, 1] > 0.95


def test_stopping_options_are_obeyed(rng):
    X = holed(rng)
    short = RowColumnBiases(max_iter=2, tol=0).fit(X)
    assert (short.n_iter_, short.converged_) == (2, False)
    loose, tight = RowColumnBiases(tol=1e-2).fit(X), RowColumnBiases(tol=1e-10).fit(X)
    assert loose.n_iter_ < tight.n_iter_
    with pytest.raises(MixmendError) as caught:
        RowColumnBiases(max_iter=0).fit(X)
    assert str(caught.value) == "max_iter must be at least 1; got 0."


def test_new_rows_are_folded_in(rng):
    X = holed(rng, n=60)
    fitted = RowColumnBiases().fit(X[:40])
    new = X[40:]
    u = 7
    observed = np.flatnonzero(np.isfinite(new[u]))
    residual = new[u, observed] - fitted.mean_ - fitted.column_effects_[observed]
    strength = fitted.noise_variance_ / fitted.row_variance_
    offset = residual.sum() / (len(observed) + strength)
    doubt = fitted.noise_variance_ / (len(observed) + strength)
    mean, std = fitted.predict_entries(new, [u, u], [3, 4], return_std=True)
    np.testing.assert_allclose(mean, fitted.mean_ + offset + fitted.column_effects_[[3, 4]])
    np.testing.assert_allclose(
        std**2, fitted.noise_variance_ + doubt + fitted.column_effect_variances_[[3, 4]]
    )
    # few rows of many, or all of them: two ways through the code, one answer
    everywhere = fitted.predict_entries(new, np.arange(20), np.full(20, 3))
    assert everywhere[u] == pytest.approx(mean[0], rel=1e-14)
    # and what is folded in for rows that were fitted is what was fitted
    trained = fitted.predict_entries(X[:40], np.arange(40), np.zeros(40, int))
    wanted = fitted.mean_ + fitted.row_effects_ + fitted.column_effects_[0]
    np.testing.assert_allclose(trained, wanted)


def test_the_number_of_threads_does_not_matter(rng):
    import numba

    X = make_ratings(500, 200, 20_000)
    many = RowColumnBiases().fit(X)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = RowColumnBiases().fit(X)
    finally:
        numba.set_num_threads(before)
    assert many.history_ == one.history_
    np.testing.assert_array_equal(many.column_effects_, one.column_effects_)


@pytest.mark.shared
def test_errors_on_the_fixed_folds_of_movielens_100k(shared_path):
    errors, covered, densities = [], [], []
    for fold in range(1, 6):
        train, test = (
            np.loadtxt(shared_path(f"data/ratings/movielens_100k/u{fold}.{part}"), dtype=int)
            for part in ("base", "test")
        )
        X = ObservedMatrix.from_triplets(
            train[:, 0] - 1, train[:, 1] - 1, train[:, 2], shape=(943, 1682)
        )
        p = RowColumnBiases().fit(X).predictive(X, test[:, 0] - 1, test[:, 1] - 1)
        errors.append(metrics.rmse(test[:, 2], predictive.mean(p)))
        covered.append(metrics.interval_coverage(p, test[:, 2], 0.9))
        densities.append(metrics.mean_log_likelihood(p, test[:, 2]))
    assert np.mean(errors) == pytest.approx(0.9410, abs=2e-4)
    assert 0.88 < np.mean(covered) < 0.92
    assert np.mean(densities) == pytest.approx(-1.3574, abs=1e-3)


# ---------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: GlobalMean().fit(np.full((3, 2), np.nan)),
            "GlobalMean needs at least one observed entry; the 3 × 2 matrix has none.",
        ),
        (
            lambda: ColumnMean().fit([[1.0, 2.0]]).predictive([[1.0, 2.0, 3.0]], [0], [0]),
            "X has 3 features, but ColumnMean is expecting 2 features as input. Give rows with "
            "the columns that the model was fitted to.",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text
