"""MixtureImputer(n_components="auto"): an average of mixtures, and how sure it is."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import mixmend as mm
from mixmend.completion import predictive
from mixmend.errors import MixmendError
from mixmend.mixtures import stacking
from mixmend.mixtures.full_family import FullFamily
from mixmend.mixtures.stack import pooled, widened


def skewed(rng, n=250, d=6):
    """Two kinds of rows, half of the columns skewed as concentrations are."""
    kinds = rng.integers(0, 2, n)[:, None]
    X = 1.5 * kinds + rng.normal(size=(n, 1)) + 0.6 * rng.normal(size=(n, d))
    X[:, ::2] = np.exp(0.8 * X[:, ::2])
    return X


@pytest.fixture(scope="module")
def hidden():
    """Complete table, table with holes, and a fitted imputer."""
    rng = np.random.default_rng(11)
    X = skewed(rng)
    holed = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    return X, holed, mm.MixtureImputer("auto", random_state=0).fit(holed)


@parametrize_with_checks([mm.MixtureImputer("auto", random_state=0)])
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_average_errs_less_than_one_component_and_its_intervals_hold(hidden):
    X, holed, auto = hidden
    rows, columns = np.nonzero(np.isnan(holed))
    truth = X[rows, columns]
    scale = np.nanstd(holed, axis=0)[columns]
    errors = {}
    for name, fitted in (("auto", auto), ("one", mm.MixtureImputer().fit(holed))):
        cells = fitted.predictive(holed, rows, columns)
        errors[name] = np.mean(((predictive.mean(cells) - truth) / scale) ** 2)
        if name == "auto":
            lower, upper = predictive.interval(cells, 0.9)
            assert 0.86 < np.mean((lower <= truth) & (truth <= upper)) < 0.94
    assert errors["auto"] < 0.95 * errors["one"]


def test_all_that_it_says_agrees(hidden):
    _, holed, auto = hidden
    rows, columns = np.nonzero(np.isnan(holed[:25]))
    cells = auto.predictive(holed[:25], rows, columns)
    np.testing.assert_allclose(
        predictive.mean(cells), auto.transform(holed[:25])[rows, columns], rtol=1e-9
    )
    std = auto.transform_std(holed[:25])[rows, columns]
    np.testing.assert_allclose(predictive.std(cells), std, rtol=1e-9)
    draws = auto.impute_samples(holed[:25], 600)
    holes = np.isnan(holed[:25])
    np.testing.assert_array_equal(
        draws[:, ~holes], np.broadcast_to(holed[:25][~holes], draws[:, ~holes].shape)
    )
    drawn = draws[:, rows, columns]
    errors = (drawn.mean(0) - predictive.mean(cells)) / std
    assert np.abs(errors).mean() < 2.5 / np.sqrt(600)
    assert np.mean(drawn.std(0) / std) == pytest.approx(1.0, abs=0.08)


def test_the_same_seed_gives_the_same_bits(hidden):
    _, holed, auto = hidden
    again = mm.MixtureImputer("auto", random_state=0).fit(holed)
    np.testing.assert_array_equal(again.transform(holed), auto.transform(holed))
    other = mm.MixtureImputer("auto", random_state=1).fit(holed)
    assert (other.transform(holed) != auto.transform(holed)).any()


def test_predictive_knows_what_is_known_and_what_is_not():
    X = np.array(
        [[1.0, 7.0, np.nan], [2.0, np.nan, np.nan], [np.nan, 7.0, np.nan], [4.0, 7, np.nan]]
    )
    fitted = mm.MixtureImputer(keep_empty_features=True).fit(X)
    cells = fitted.predictive(X, [0, 1, 2, 3], [0, 1, 0, 2])
    np.testing.assert_allclose(predictive.mean(cells)[[0, 1]], [1.0, 7.0])
    assert predictive.mean(cells)[2] == pytest.approx(fitted.transform(X)[2, 0])
    spread = predictive.std(cells)
    assert spread[:2].tolist() == [0.0, 0.0]
    assert spread[2] == pytest.approx(fitted.transform_std(X)[2, 0])
    assert np.isnan(spread[3])
    constant = mm.MixtureImputer().fit([[1.0, np.nan], [1.0, 2.0]])
    cells = constant.predictive([[np.nan, np.nan]], [0, 0], [0, 1])
    assert predictive.mean(cells).tolist() == [1.0, 2.0]
    assert predictive.std(cells).tolist() == [0.0, 0.0]


def test_row_weights_reach_every_mixture(hidden):
    _, holed, auto = hidden
    weights = np.where(np.arange(len(holed)) < 125, 3.0, 0.5)
    weighted = mm.MixtureImputer("auto", random_state=0).fit(holed, sample_weight=weights)
    for one, other in zip(auto.stack_.learners, weighted.stack_.learners, strict=True):
        assert np.abs(one.mixture.means_ - other.mixture.means_).max() > 1e-3
    assert weighted.stack_.spread != auto.stack_.spread


def test_tables_of_a_few_cells_are_filled():
    X = np.array([[1.0, 2.0], [2.0, np.nan], [3.0, 6.0]])
    fitted = mm.MixtureImputer("auto", random_state=0).fit(X)
    assert np.isfinite(fitted.transform(X)).all()
    assert fitted.stack_.spread == 1.0  # no cell could be spared
    assert len(fitted.stack_.learners) == 4  # one component, on both scales, and held firmly


def test_where_rows_are_scarce_a_firm_prior_errs_less(monkeypatch):
    """Sixty rows of twenty columns that three factors move: 230 numbers for a covariance."""
    errors = {}
    for scarce in (10, 0):
        monkeypatch.setattr(stacking, "_SCARCE", scarce)
        gone = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 20)) + 1.5 * rng.normal(
                size=(60, 20)
            )
            holed = np.where(rng.random(X.shape) < 0.4, np.nan, X)
            fitted = mm.MixtureImputer("auto", random_state=0).fit(holed)
            gone.append((fitted.transform(holed) - X)[np.isnan(holed)])
        errors[scarce] = np.sqrt(np.mean(np.concatenate(gone) ** 2))
    assert errors[10] < 0.97 * errors[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"covariance_type": "tied"},
            "n_components='auto' chooses covariances and priors itself; leave covariance_type at "
            "'full', or give a number of components. It is 'tied'.",
        ),
        (
            {"prior": None},
            "n_components='auto' chooses covariances and priors itself; leave prior at "
            "'auto', or give a number of components. It is None.",
        ),
        (
            {"inference": "variational"},
            "n_components='auto' chooses covariances and priors itself; leave inference at "
            "'em', or give a number of components. It is 'variational'.",
        ),
        (
            {"n_factors": 2},
            "n_components='auto' chooses covariances and priors itself; leave n_factors at "
            "None, or give a number of components. It is 2.",
        ),
        ({"n_init": 0}, "n_init must be a whole number of at least 1; got 0."),
        ({"max_iter": 0}, "max_iter must be a whole number of at least 1; got 0."),
        (
            {"n_components": "many"},
            "n_components must be a whole number of at least 1 or 'auto'; got 'many'.",
        ),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(MixmendError, match=f"^{re.escape(message)}$"):
        mm.MixtureImputer(**({"n_components": "auto"} | options)).fit([[1.0, np.nan], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_init", 3),
        ("max_iter", 2),
        ("tol", 0.1),
        ("min_variance", 0.3),
        ("parameter_uncertainty", False),
    ],
)
def test_every_option_changes_what_is_said(hidden, name, value):
    _, holed, _ = hidden
    usual = mm.MixtureImputer("auto", random_state=0).fit(holed[:80])
    other = mm.MixtureImputer("auto", random_state=0, **{name: value}).fit(holed[:80])
    assert (other.transform_std(holed[:80]) != usual.transform_std(holed[:80])).any()


@pytest.mark.parametrize("after", [0, 3, 9])
def test_ctrl_c_keeps_what_was_fitted(hidden, monkeypatch, after):
    _, holed, _ = hidden
    real, calls = stacking.run_restarts, []

    def stopped(*args, **options):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(stacking, "run_restarts", stopped)
    imputer = mm.MixtureImputer("auto", random_state=0)
    if after == 0:
        with pytest.raises(KeyboardInterrupt):
            imputer.fit(holed)
        return
    kept = min(after, len(stacking.LADDER))
    said = f"Interrupted: {kept} mixtures had been fitted and are averaged."
    with pytest.warns(ConvergenceWarning, match=f"^{re.escape(said)}$"):
        imputer.fit(holed)
    assert len(imputer.stack_.learners) == kept
    assert imputer.stack_.shares.sum() == pytest.approx(1.0)
    assert np.isfinite(imputer.transform(holed)).all()


def test_what_the_candidates_have_to_say_is_not_the_users_concern(hidden):
    _, holed, _ = hidden
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mm.MixtureImputer("auto", random_state=0, max_iter=1).fit(holed)


# ---------------------------------------------------------------------- the parts


@pytest.mark.parametrize(("n_rows", "taken"), [(82, False), (83, True)])
def test_covariances_that_borrow_from_none_need_rows_of_their_own(n_rows, taken):
    """Three of 55 numbers each: half of them are 82.5."""
    alone = [c for c in stacking.ladder(n_rows, 10) if c.n_components == 3]
    assert bool(alone) is taken


def test_one_component_begins_where_another_ended(hidden, monkeypatch):
    """Under another prior, or on the other scale: only the first comes from the columns alone."""
    _, holed, _ = hidden
    real, begun = FullFamily.pooled, []

    def counted(*args):
        begun.append(1)
        return real(*args)

    monkeypatch.setattr(FullFamily, "pooled", counted)
    few = mm.MixtureImputer("auto", random_state=0).fit(holed[:50])
    assert sum(learner.mixture.n_components == 1 for learner in few.stack_.learners) == 4
    assert len(begun) == 1


def test_regressions_count_for_the_cells_that_have_come_back(hidden):
    _, holed, auto = hidden
    seen = (~np.isnan(holed)).sum(axis=0)
    for learner in auto.stack_.learners:
        taught = learner.known.regressions.counts
        rows = taught[:, 0] if learner.mixture.covariance_type == "tied" else taught.sum(axis=1)
        np.testing.assert_allclose(rows, seen)


def test_held_out_cells_are_a_tenth_of_every_column(rng):
    rows = np.where(rng.random((100, 3)) < [0.1, 0.5, 0.97], np.nan, 1.0)
    rows[:, 2] = np.nan
    rows[:3, 2] = 1.0
    held = stacking.held_out(rows, rng)
    assert not np.isnan(rows[held]).any()
    assert len(set(zip(*held, strict=True))) == len(held[0])
    seen = (~np.isnan(rows)).sum(axis=0)
    expected = [np.ceil(0.1 * seen[0]), np.ceil(0.1 * seen[1]), 0]
    assert np.bincount(held[1], minlength=3).tolist() == expected


def test_shares_are_those_that_err_least_unless_cells_are_few(rng):
    truth = rng.normal(size=4000)
    estimates = np.stack([truth + rng.normal(size=4000), truth + 0.2 * rng.normal(size=4000)], 1)
    shares = stacking.stacked_shares(estimates, truth, np.ones(4000))
    assert shares.sum() == pytest.approx(1.0)
    assert shares[1] > 0.7
    few = stacking.stacked_shares(estimates[:5], truth[:5], np.ones(5))
    assert abs(few[1] - 0.5) < abs(shares[1] - 0.5)

    # against every other pair of shares, on the penalised squares themselves
    def loss(share):
        mix = np.array([1 - share, share])
        pull = 0.25 * 4000 + 25
        return np.sum((estimates @ mix - truth) ** 2) + pull * np.sum((mix - 0.5) ** 2)

    grid = np.linspace(0, 1, 1001)
    assert shares[1] == pytest.approx(grid[np.argmin([loss(s) for s in grid])], abs=2e-3)


def test_averages_and_stretching_keep_moments(rng):
    one = predictive.gaussian(rng.normal(size=5), 1.0)
    other = predictive.gaussian(rng.normal(size=5), 4.0)
    both = pooled([one, other], np.array([0.25, 0.75]))
    mean = 0.25 * predictive.mean(one) + 0.75 * predictive.mean(other)
    np.testing.assert_allclose(predictive.mean(both), mean)
    wide = widened(both, 1.7)
    np.testing.assert_allclose(predictive.mean(wide), mean)
    np.testing.assert_allclose(predictive.std(wide), 1.7 * predictive.std(both))


def test_breast_cancer_as_the_literature_masks_it():
    """Half of the cells hidden by numpy.random.seed(1234): at most 0.215, intervals that hold."""
    from sklearn.datasets import load_breast_cancer

    X = load_breast_cancer().data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    np.random.seed(1234)
    mask = np.zeros(X.size, bool)
    mask[np.random.choice(X.size, X.size // 2, replace=False)] = True
    mask = mask.reshape(X.shape)
    holed = np.where(mask, np.nan, X)
    auto = mm.MixtureImputer("auto", random_state=0).fit(holed)
    rows, columns = np.nonzero(mask)
    cells = auto.predictive(holed, rows, columns)
    assert np.mean((predictive.mean(cells) - X[mask]) ** 2) <= 0.215
    lower, upper = predictive.interval(cells, 0.9)
    assert 0.88 <= np.mean((lower <= X[mask]) & (X[mask] <= upper)) <= 0.92
