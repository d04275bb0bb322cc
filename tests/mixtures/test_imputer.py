"""MixtureImputer: what it fills, in whose units, and what it keeps."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import mixmend as mm
from mixmend.errors import DataError, EmptyEntityWarning, IndependenceWarning, MixmendError
from mixmend.mixtures.options import COVARIANCE_TYPES

TYPES = [name for name in ("spherical", "diag", "tied", "full") if name in COVARIANCE_TYPES]
BEST = "full" if "full" in COVARIANCE_TYPES else TYPES[0]
needs_full = pytest.mark.skipif(
    "full" not in COVARIANCE_TYPES, reason="covariance_type='full' is not in this version"
)


def imputer(covariance_type: str = BEST, **options) -> mm.MixtureImputer:
    return mm.MixtureImputer(covariance_type=covariance_type, random_state=0, **options)


@pytest.fixture
def holed(rng) -> np.ndarray:
    """Two kinds of rows, four columns of very different units, a fifth of the cells absent."""
    kinds = rng.integers(0, 2, 300)
    latent = 3.0 * kinds[:, None] + rng.normal(size=(300, 1)) + 0.5 * rng.normal(size=(300, 4))
    X = latent * np.array([1.0, 1e-6, 1e5, -3.0]) + np.array([0.0, 7.0, 1e7, 100.0])
    X[rng.random(X.shape) < 0.2] = np.nan
    return X


@parametrize_with_checks([mm.MixtureImputer(covariance_type=name) for name in TYPES])
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------- what is filled


def test_one_circle_fills_with_means_and_their_deviation(holed):
    fitted = imputer("spherical", prior=None).fit(holed)
    holes = np.isnan(holed)
    mean, std = np.nanmean(holed, axis=0), np.nanstd(holed, axis=0)
    filled, spread = fitted.transform(holed), fitted.transform_std(holed)
    np.testing.assert_array_equal(filled[~holes], holed[~holes])
    np.testing.assert_array_equal(spread[~holes], 0.0)
    np.testing.assert_allclose(filled[holes], np.broadcast_to(mean, holed.shape)[holes], rtol=1e-6)
    # standardised columns have variance 1, so that one common variance is 1 too
    np.testing.assert_allclose(spread[holes], np.broadcast_to(std, holed.shape)[holes], rtol=1e-6)


@needs_full
def test_one_ellipse_fills_with_the_regression_that_em_ends_in(holed):
    fitted = imputer("full", prior=None, tol=1e-12, max_iter=5000, min_variance=0.0).fit(holed)
    Z = (holed - np.nanmean(holed, axis=0)) / np.nanstd(holed, axis=0)
    mean, cov = np.zeros(4), np.eye(4)
    for _ in range(2000):  # the textbook's EM, row by row
        filled, extra = Z.copy(), np.zeros((4, 4))
        for row in filled:
            m = np.isnan(row)
            slope = cov[np.ix_(m, ~m)] @ np.linalg.inv(cov[np.ix_(~m, ~m)])
            extra[np.ix_(m, m)] += cov[np.ix_(m, m)] - slope @ cov[np.ix_(~m, m)]
            row[m] = mean[m] + slope @ (row[~m] - mean[~m])
        new = (filled - filled.mean(0)).T @ (filled - filled.mean(0)) / len(Z) + extra / len(Z)
        done = np.abs(new - cov).max() < 1e-12
        mean, cov = filled.mean(0), new
        if done:
            break
    expected = filled * np.nanstd(holed, axis=0) + np.nanmean(holed, axis=0)
    error = (fitted.transform(holed) - expected) / np.nanstd(holed, axis=0)
    assert np.abs(error).max() < 1e-4


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_components", [1, 2])
def test_units_do_not_matter(holed, covariance_type, n_components):
    options = {"n_components": n_components, "covariance_type": covariance_type}
    scale, shift = np.array([1e6, -2.0, 1e-3, 5.0]), np.array([1e5, 0.0, -3.0, 1.0])
    one, other = imputer(**options), imputer(**options)
    filled = one.fit_transform(holed)
    moved = other.fit_transform(holed * scale + shift)
    spread = np.nanstd(holed, axis=0) * np.abs(scale)
    assert np.abs((moved - (filled * scale + shift)) / spread).max() < 1e-3
    np.testing.assert_allclose(
        other.transform_std(holed * scale + shift),
        one.transform_std(holed) * np.abs(scale),
        rtol=1e-3,
    )


@pytest.mark.parametrize("covariance_type", TYPES)
def test_two_components_fill_better_than_means(covariance_type, rng):
    kinds = rng.integers(0, 2, 400)
    truth = 4.0 * kinds[:, None] + rng.normal(size=(400, 5))
    holed = np.where(rng.random(truth.shape) < 0.3, np.nan, truth)
    holes = np.isnan(holed)
    model = imputer(covariance_type, n_components=2, n_init=3)
    error = model.fit_transform(holed)[holes] - truth[holes]
    means = SimpleImputer().fit_transform(holed)[holes] - truth[holes]
    assert np.mean(error**2) < 0.4 * np.mean(means**2)
    z = error / model.transform_std(holed)[holes]
    assert 0.9 < np.std(z) < 1.1


def test_holes_that_appear_only_at_transform_and_patterns_never_seen(rng):
    X = rng.normal(size=(100, 3))
    X[:5, 0] = np.nan
    fitted = imputer().fit(X)
    new = [[np.nan, np.nan, 0.5], [1.0, np.nan, np.nan], [np.nan] * 3]
    filled = fitted.transform(new)
    assert np.isfinite(filled).all()
    # not quite the mean of what was observed: the holes of column 0 were not at random values
    expected = fitted.center_ + fitted.scale_ * (fitted.mixture_.weights_ @ fitted.mixture_.means_)
    np.testing.assert_allclose(filled[2], expected, rtol=1e-9)
    np.testing.assert_allclose(filled[2], np.nanmean(X, axis=0), atol=0.05)
    assert (fitted.transform_std(new)[2] > 0.5).all()


def test_rows_that_observe_nothing_say_nothing(holed):
    longer = np.vstack([holed, np.full((200, 4), np.nan)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", IndependenceWarning)  # one component, meant here
        fitted = imputer(n_components=2).fit(longer)
    np.testing.assert_allclose(
        fitted.transform(holed), imputer(n_components=2).fit_transform(holed), rtol=1e-9
    )


# ---------------------------------------------------------------------- draws


def test_draws_have_the_means_and_deviations(holed):
    fitted = imputer(n_components=2, n_init=2).fit(holed)
    part = holed[:40]
    holes = np.isnan(part)
    draws = fitted.impute_samples(part, 4000)
    assert draws.shape == (4000, 40, 4)
    np.testing.assert_array_equal(
        draws[:, ~holes], np.broadcast_to(part[~holes], draws[:, ~holes].shape)
    )
    mean, std = fitted.transform(part)[holes], fitted.transform_std(part)[holes]
    # about 30 holes; 5 standard errors are passed once in 50 000 such tests
    assert np.abs((draws[:, holes].mean(0) - mean) / std).max() < 5 / np.sqrt(4000)
    np.testing.assert_allclose(draws[:, holes].std(0), std, rtol=0.1)


def test_the_holes_of_a_row_are_drawn_together():
    """With two far components, both holes of an empty row come from the same one."""
    rng = np.random.default_rng(3)
    X = np.repeat([[0.0, 0.0], [10.0, 100.0]], 50, axis=0) + 0.1 * rng.normal(size=(100, 2))
    fitted = imputer(TYPES[0], n_components=2, n_init=3).fit(X)
    draws = fitted.impute_samples([[np.nan, np.nan]], 300)[:, 0]
    high = draws > [5.0, 50.0]
    np.testing.assert_array_equal(high[:, 0], high[:, 1])
    assert 0.35 < high[:, 0].mean() < 0.65


def test_transform_draws_when_asked_and_the_seed_decides(holed):
    drawing = imputer(sample_posterior=True).fit(holed)
    first = drawing.transform(holed)
    np.testing.assert_array_equal(first, drawing.transform(holed))
    np.testing.assert_array_equal(first, drawing.impute_samples(holed, 1)[0])
    expected = imputer().fit_transform(holed)
    holes = np.isnan(holed)
    assert (first[holes] != expected[holes]).all()
    np.testing.assert_array_equal(first[~holes], holed[~holes])
    drawing.set_params(random_state=1).fit(holed)
    assert (drawing.transform(holed)[holes] != first[holes]).all()


# ---------------------------------------------------------------------- columns


@pytest.fixture
def with_empty() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": [1.0, np.nan, 3.0, 2.0],
            "void": [np.nan] * 4,
            "b": [5.0, 6.0, np.nan, 5.0],
            "same": [7.0, 7.0, np.nan, 7.0],
        }
    )


def test_empty_columns_are_dropped_with_a_warning(with_empty):
    said = (
        "1 column has nothing observed (void) and will be dropped. Choose "
        "keep_empty_features=True to keep what holds no value, filled with 0."
    )
    with pytest.warns(EmptyEntityWarning, match=f"^{re.escape(said)}$"):
        fitted = imputer().fit(with_empty)
    assert fitted.transform(with_empty).shape == (4, 3)
    assert fitted.get_feature_names_out().tolist() == ["a", "b", "same"]
    assert fitted.transform_std(with_empty).shape == (4, 3)
    assert fitted.impute_samples(with_empty, 2).shape == (2, 4, 3)


def test_empty_columns_are_kept_when_asked(with_empty):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", IndependenceWarning)  # one component, meant here
        fitted = imputer(keep_empty_features=True).fit(with_empty)
    new = with_empty.copy()
    new.loc[0, "void"] = 9.0
    filled, std = fitted.transform(new), fitted.transform_std(new)
    assert filled[:, 1].tolist() == [9.0, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(std[:, 1], [0.0, np.nan, np.nan, np.nan])
    assert fitted.impute_samples(new, 2)[:, 3, 1].tolist() == [0.0, 0.0]
    assert fitted.get_feature_names_out().tolist() == ["a", "void", "b", "same"]


def test_empty_columns_are_refused_when_asked(with_empty):
    said = (
        "1 column has nothing observed (void). Leave out what holds no value, or choose "
        "keep_empty_features=True (filled with 0) or False (dropped)."
    )
    with pytest.raises(DataError, match=f"^{re.escape(said)}$"):
        imputer(keep_empty_features="raise").fit(with_empty)
    with pytest.raises(DataError, match=r"^4 columns have nothing observed \(x1, x2, x3, …\)\. "):
        imputer(keep_empty_features="raise").fit([[1.0] + [np.nan] * 4, [2.0] + [np.nan] * 4])


def test_constant_columns_are_filled_with_the_constant_and_disturb_nothing(with_empty):
    fitted = imputer(keep_empty_features=True).fit(with_empty)
    filled, std = fitted.transform(with_empty), fitted.transform_std(with_empty)
    assert filled[:, 3].tolist() == [7.0] * 4
    assert std[:, 3].tolist() == [0.0] * 4
    assert fitted.modelled_.tolist() == [True, False, True, False]
    alone = imputer().fit(with_empty[["a", "b"]])
    np.testing.assert_array_equal(filled[:, [0, 2]], alone.transform(with_empty[["a", "b"]]))


def test_nothing_but_constants_needs_no_mixture():
    X = [[1.0, np.nan], [1.0, 2.0]]
    fitted = imputer().fit(X)
    assert fitted.mixture_ is None
    assert fitted.transform([[np.nan, np.nan]]).tolist() == [[1.0, 2.0]]
    assert fitted.impute_samples([[np.nan, 5.0]], 2).tolist() == [[[1.0, 5.0]]] * 2


def test_indicators_are_those_of_scikit_learn(holed):
    frame = pd.DataFrame(holed, columns=list("abcd"))
    frame["full"] = 1.0 + np.arange(len(frame))
    ours = imputer(add_indicator=True).fit(frame)
    theirs = SimpleImputer(add_indicator=True).fit(frame)
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    np.testing.assert_array_equal(ours.transform(frame)[:, 5:], theirs.transform(frame)[:, 5:])
    assert ours.transform_std(frame).shape == (300, 5)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_gives_frames_with_names(holed, library):
    frame = pd.DataFrame(holed, columns=list("abcd"))
    out = imputer().set_output(transform=library).fit_transform(frame)
    assert isinstance(out, pd.DataFrame if library == "pandas" else pl.DataFrame)
    assert list(out.columns) == list("abcd")
    np.testing.assert_array_equal(out.to_numpy(), imputer().fit_transform(holed))


def test_it_works_in_pipelines_and_searches(holed):
    target = np.nan_to_num(holed[:, 0])
    search = GridSearchCV(
        make_pipeline(imputer(), LinearRegression()),
        {"mixtureimputer__n_components": [1, 2]},
        cv=2,
    )
    search.fit(holed[:, 1:], target)
    assert search.best_params_["mixtureimputer__n_components"] in (1, 2)


# ---------------------------------------------------------------------- kinds of input


def test_whole_numbers_and_booleans_become_floats_and_float32_stays():
    whole = pd.DataFrame({"n": pd.array([1, None, 3, 4], "Int64"), "x": [1.5, 2.0, None, 3.0]})
    filled = imputer().fit_transform(whole)
    assert filled.dtype == np.float64
    assert filled[:, 0][[0, 2, 3]].tolist() == [1.0, 3.0, 4.0]
    assert imputer().fit_transform(np.array([[True], [False]])).tolist() == [[1.0], [0.0]]
    narrow = np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 1.0]], np.float32)
    fitted = imputer().fit(narrow)
    for out in (fitted.transform(narrow), fitted.transform_std(narrow)):
        assert out.dtype == np.float32
    assert fitted.impute_samples(narrow, 2).dtype == np.float32


def test_every_kind_of_table_is_filled_alike(holed):
    expected = imputer().fit_transform(holed)
    holes = np.isnan(holed)
    for table in (
        np.ma.masked_array(np.where(holes, 5.0, holed), holes),
        mm.ObservedMatrix.from_dense(holed),
        pl.DataFrame(holed, schema=list("abcd")).fill_nan(None),
        [[None if np.isnan(x) else x for x in row] for row in holed.tolist()],
    ):
        np.testing.assert_array_equal(imputer().fit_transform(table), expected)


def test_another_mark_of_holes(holed):
    marked = np.where(np.isnan(holed), -999.0, holed)
    for table in (marked, mm.ObservedMatrix.from_dense(holed)):
        filled = imputer(missing_values=-999).fit_transform(table)
        np.testing.assert_array_equal(filled, imputer().fit_transform(holed))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        imputer(missing_values=-999).fit(holed)


def test_weights_count_like_repeated_rows(holed):
    weights = np.random.default_rng(5).integers(0, 4, len(holed))
    weighted = imputer(tol=1e-10).fit(holed, sample_weight=weights)
    repeated = imputer(tol=1e-10).fit(np.repeat(holed, weights, axis=0))
    np.testing.assert_allclose(weighted.center_, repeated.center_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)
    np.testing.assert_allclose(weighted.transform(holed), repeated.transform(holed), rtol=1e-6)


def test_columns_far_from_zero_and_of_huge_numbers(rng):
    Z = rng.normal(size=(200, 2))
    Z[:20, 0] = np.nan
    for X in (Z + 1e9, Z * 1e200, Z * 1e-200):
        fitted = imputer("spherical").fit(X)
        np.testing.assert_allclose(
            fitted.transform_std(X)[0, 0],
            np.nanstd(Z[:, 0]) * (X[30, 0] - X[40, 0]) / (Z[30, 0] - Z[40, 0]),
            rtol=1e-4,
        )


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 2),
        ("n_init", 3),
        ("prior", "default"),
        ("min_variance", 0.3),
        ("max_iter", 77),
        ("tol", 1e-3),
        ("random_state", 5),
        ("verbose", 0),
    ],
)
def test_options_reach_the_mixture(holed, name, value):
    fitted = mm.MixtureImputer(covariance_type="spherical").set_params(**{name: value}).fit(holed)
    assert getattr(fitted.mixture_, name) == value
    assert fitted.mixture_.covariance_type == "spherical"


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_prior_depends_on_the_type_unless_given(holed, covariance_type):
    rank = {"n_factors": 1} if covariance_type == "factor" else {}
    expected = None if covariance_type == "spherical" else "default"
    assert imputer(covariance_type, **rank).fit(holed).mixture_.prior == expected
    plain = imputer(covariance_type, prior=None, **rank).fit(holed)
    assert plain.mixture_.prior is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing_values": "?"}, "missing_values must be NaN or a finite number; got '?'."),
        ({"missing_values": np.inf}, "missing_values must be NaN or a finite number; got inf."),
        (
            {"keep_empty_features": "yes"},
            "keep_empty_features must be True, False or 'raise'; got 'yes'.",
        ),
        ({"n_components": 0}, "n_components must be a whole number of at least 1; got 0."),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(MixmendError, match=f"^{re.escape(message)}$"):
        imputer(**options).fit([[1.0, np.nan], [2.0, 3.0]])


def test_what_cannot_be_filled():
    with pytest.raises(DataError, match=r"^X has no observed cell: there is nothing to fit\.$"):
        imputer().fit([[np.nan, np.nan]])
    with pytest.raises(ValueError, match=r"at least one non-zero number|X has no observed cell"):
        imputer().fit([[1.0], [2.0]], sample_weight=[0.0, 0.0])
    with pytest.raises(
        MixmendError, match=r"^n_samples must be a whole number of at least 1; got 0"
    ):
        imputer().fit([[1.0], [2.0]]).impute_samples([[np.nan]], 0)
    with pytest.raises(ValueError, match="infinity"):
        imputer().fit([[np.inf], [1.0]])


def test_factor_analysers_fill_holes_of_correlated_columns(rng):
    z = rng.normal(size=(300, 1))
    X = z @ np.array([[1.0, -2.0, 0.5, 1.5]]) + 0.1 * rng.normal(size=(300, 4))
    holes = rng.random(X.shape) < 0.2
    holed = np.where(holes, np.nan, X)
    filled = mm.MixtureImputer(1, covariance_type="factor", n_factors=1).fit_transform(holed)
    plain = np.where(holes, np.nanmean(holed, axis=0), X)
    error, baseline = (np.abs(X - table)[holes].mean() for table in (filled, plain))
    assert error < 0.25 * baseline
    with pytest.raises(MixmendError, match="needs n_factors"):
        mm.MixtureImputer(1, covariance_type="factor").fit(holed)


def test_variational_fits_leave_out_components_and_hold_their_own_doubt(rng):
    groups = rng.integers(0, 2, size=150)
    X = np.column_stack([6.0 * groups, -6.0 * groups, 3.0 * groups]) + rng.normal(size=(150, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    fitted = mm.MixtureImputer(6, inference="variational", random_state=0).fit(X)
    assert fitted.mixture_.n_components_ == 2
    assert np.isfinite(fitted.transform(X)).all()
    without = mm.MixtureImputer(
        6, inference="variational", parameter_uncertainty=False, random_state=0
    ).fit(X)
    np.testing.assert_array_equal(fitted.transform_std(X), without.transform_std(X))
    message = (
        "min_variance=0.1 has no meaning where inference='variational': priors hold what it "
        "would. Set it to 0."
    )
    with pytest.raises(MixmendError, match=f"^{re.escape(message)}$"):
        mm.MixtureImputer(2, inference="variational", min_variance=0.1).fit(X)


@pytest.mark.parametrize("init", ["kmeans", "random", "random_from_data"])
def test_starts_are_those_of_the_mixture(rng, init):
    X = np.where(rng.random((80, 3)) < 0.2, np.nan, rng.normal(size=(80, 3)))
    found = mm.MixtureImputer(3, init_params=init, max_iter=3, random_state=0).fit(X)
    usual = mm.MixtureImputer(3, max_iter=3, random_state=0).fit(X)
    rows = (X - found.center_) / found.scale_
    expected = mm.GaussianMixture(
        *(3, "full"),
        init_params=init,
        prior="default",
        min_variance=1e-6,
        max_iter=3,
        tol=1e-6,
        random_state=0,
    ).fit(rows)
    np.testing.assert_array_equal(found.mixture_.means_, expected.means_)
    assert not np.array_equal(found.mixture_.means_, usual.mixture_.means_)
