"""The harness for imputers: its numbers against a plain loop, and faults that it must show."""

from __future__ import annotations

import copy
import json
import warnings
from functools import partial

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.impute import KNNImputer, SimpleImputer

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import (
    MASKS,
    ColumnMean,
    Masked,
    Scenario,
    evaluate_imputers,
    mask_mcar,
)


def correlated(n=300, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return 100 + 10 * (rng.normal(size=(n, 1)) + 0.4 * rng.normal(size=(n, d)))


class Filler(BaseEstimator):
    """Imputes by mean; with a fault on request."""

    def __init__(self, fault="none"):
        self.fault = fault

    def fit(self, X, y=None):
        if self.fault == "raises":
            raise ValueError("singular")
        if self.fault == "warns":
            warnings.warn("did not converge", RuntimeWarning, stacklevel=1)
            warnings.warn("did not converge", RuntimeWarning, stacklevel=1)
        self.means_ = np.nanmean(X, axis=0)
        return self

    def transform(self, X):
        if self.fault == "narrow":
            return np.zeros((len(X), X.shape[1] - 1))
        out = np.where(np.isnan(X), self.means_, X)
        if self.fault == "holes":
            out[np.isnan(X)] = np.where(np.arange(np.isnan(X).sum()) % 2, 0.0, np.nan)
        return out


class KnownGaussian(Filler):
    """Says of every hidden cell that it is normal with mean 0 and the given deviation."""

    def __init__(self, std=1.0):
        self.std = std

    def fit(self, X, y=None):
        return self

    def complete(self, X, return_std=False):
        assert return_std
        hole = np.isnan(X)
        return np.where(hole, 0.0, X), np.where(hole, self.std, 0.0)


def test_numbers_are_those_of_a_plain_loop():
    X = correlated()
    X[::7, 1] = np.nan
    draws = []

    def mask(table, rate, random_state):
        draws.append(mask_mcar(table, rate, random_state=random_state))
        return draws[-1]

    table = evaluate_imputers({"knn": KNNImputer()}, X, {"mine": mask}, 0.25, 3, random_state=8)
    folds = table.evaluation("data", "mine", 0.25).folds("knn")
    assert len(draws) == len(folds) == 3
    assert (draws[0].mask != draws[1].mask).any()
    for (values, hidden), fold, split in zip(
        draws, folds, table.splits[Scenario("data", "mine", 0.25)], strict=True
    ):
        mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        filled = KNNImputer().fit_transform((values - mean) / std)
        errors = (filled - (X - mean) / std)[hidden]
        assert fold.rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-12)
        assert fold.mae == pytest.approx(np.mean(np.abs(errors)), rel=1e-12)
        assert np.isnan(fold.mean_log_likelihood)
        assert np.isnan(fold.coverage)
        assert fold.fit_seconds > 0
        assert fold.predict_seconds > 0
        assert split.n_test == hidden.sum() == round(0.25 * np.isfinite(X).sum())
        assert split.n_train == np.isfinite(values).sum()


def test_units_are_left_on_request():
    X = correlated(2000)
    raw = evaluate_imputers({"mean": SimpleImputer()}, X, repeats=10, standardize=False)
    scaled = evaluate_imputers({"mean": SimpleImputer()}, X, repeats=10)
    rmse = [t.evaluation("data", "mcar", 0.3).summary("mean")["rmse"].mean for t in (raw, scaled)]
    assert rmse[0] == pytest.approx(X.std(), rel=0.03)
    assert rmse[1] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("std", [0.5, 1.0, 3.0])
def test_likelihood_and_coverage_are_those_of_the_normal(std):
    X = np.random.default_rng(0).normal(size=(5000, 3))
    table = evaluate_imputers({"known": KnownGaussian(std)}, X, repeats=1, level=0.8)
    (result,) = table.results
    expected = -0.5 * np.log(2 * np.pi * std**2) - 0.5 / std**2
    assert result.measures.mean_log_likelihood == pytest.approx(expected, abs=0.06 / std**2)
    assert result.measures.coverage == pytest.approx(stats.norm.cdf(1.2816 * std) * 2 - 1, abs=0.02)
    curves = table.calibration()
    assert 0.8 in curves.levels
    honest = 2 * stats.norm.cdf(std * stats.norm.ppf(0.5 + curves.levels / 2)) - 1
    np.testing.assert_allclose(curves.coverage["known"], honest, atol=0.025)
    assert curves.n_entries == result.calibration.n == 4500


def test_completers_answer_with_their_distributions():
    X = correlated()
    models = {"column mean": ColumnMean(), "mixture": partial(mm.GaussianMixture, 2, n_init=1)}
    table = evaluate_imputers(models, X, repeats=2)
    assert not table.failures
    for name in models:
        summary = table.evaluation("data", "mcar", 0.3).summary(name)
        assert 0.8 < summary["coverage"].mean < 0.99
        assert np.isfinite(summary["mean_log_likelihood"].mean)


class Deviations:
    """A transformer that says deviations, and keeps whole distributions to itself."""

    def fit(self, X):
        self.inner = mm.MixtureImputer(2, "spherical", random_state=0).fit(X)
        return self

    def transform(self, X):
        return self.inner.transform(X)

    def transform_std(self, X):
        return self.inner.transform_std(X)


def test_transformers_that_say_their_deviations_are_measured_by_them():
    X = correlated()
    table = evaluate_imputers({"imputer": Deviations, "mean": SimpleImputer()}, X, repeats=1)
    values, hidden = mask_mcar(X, 0.3, random_state=seed_of_first_draw())
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    train = (values - mean) / std
    fitted = Deviations().fit(train)
    errors = (fitted.transform(train) - (X - mean) / std)[hidden]
    spread = fitted.transform_std(train)[hidden]
    (fold,) = table.evaluation("data", "mcar", 0.3).folds("imputer")
    assert fold.coverage == np.mean(np.abs(errors) <= 1.6448536269514722 * spread)
    assert fold.mean_log_likelihood == pytest.approx(stats.norm.logpdf(errors, 0, spread).mean())


def seed_of_first_draw():
    seeds = []

    def mask(table, rate, random_state):
        seeds.append(copy.deepcopy(random_state))
        return mask_mcar(table, rate, random_state=random_state)

    evaluate_imputers({"mean": SimpleImputer()}, correlated(), {"mcar": mask}, repeats=1)
    return seeds[0]


def test_calibration_feeds_the_plot():
    pytest.importorskip("matplotlib").use("Agg")
    from mixmend.plots import plot_calibration

    models = {"sure": KnownGaussian(0.5), "mean": SimpleImputer()}
    table = evaluate_imputers(models, {"a": correlated(), "b": correlated(200)}, repeats=2)
    curves = table.calibration()
    assert list(curves.coverage) == ["sure"]
    assert curves.n_entries == 2 * (360 + 240)
    assert table.calibration(data="a").n_entries == 720
    (first, second) = (table.calibration(data=name).coverage["sure"] for name in "ab")
    np.testing.assert_allclose(curves.coverage["sure"], (0.6 * first + 0.4 * second), rtol=1e-12)
    texts = [t.get_text() for t in plot_calibration(*curves).get_legend().get_texts()]
    assert texts[0].startswith("sure: 90 % intervals hold 5")
    with pytest.raises(MixmendError, match="no model gave uncertainties there"):
        evaluate_imputers({"mean": SimpleImputer()}, correlated(), repeats=1).calibration()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "ValueError: singular"),
        ("holes", "180 of 360 hidden cells did not get a finite number."),
        ("narrow", "DataError: the filled table is 300 × 3, not 300 × 4 as the one given."),
    ],
)
def test_planted_faults_are_told(fault, message):
    told = []
    models = {"faulty": Filler(fault), "fine": Filler()}
    table = evaluate_imputers(models, correlated(), repeats=2, progress=told.append)
    assert [f.message for f in table.failures] == [message, message]
    assert {f.model for f in table.failures} == {"faulty"}
    assert len(told) == 4
    assert told[0] is table.failures[0]
    assert told[1] is table.results[0]
    assert table.near_best() == {"faulty": 0.0, "fine": 1.0}
    text = table.to_markdown()
    assert "| data | mcar | 30 % | failed | **1." in text or "| failed | **0." in text
    assert f"faulty failed in 2 draws, first with: {message}" in text
    entry = json.loads(json.dumps(table.to_dict()))["scenarios"][0]
    assert entry["failures"][1] == {"model": "faulty", "repeat": 2, "message": message}
    assert [m["model"] for m in entry["models"]] == ["fine"]


def test_a_model_that_fails_once_is_not_called_best():
    calls = []

    class Sometimes(Filler):
        def fit(self, X, y=None):
            calls.append(1)
            if len(calls) == 2:
                raise ValueError("bad luck")
            return super().fit(X)

    models = {"sometimes": Sometimes, "poor": lambda: KnownFill(3.0)}
    table = evaluate_imputers(models, correlated(), repeats=3)
    assert table.near_best() == {"sometimes": 0.0, "poor": 1.0}
    assert "| failed | **" in table.to_markdown()


class KnownFill(Filler):
    def __init__(self, value):
        self.value = value

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.where(np.isnan(X), self.value, X)


def test_warnings_are_kept_once():
    table = evaluate_imputers({"warns": Filler("warns")}, correlated(), repeats=1)
    assert table.results[0].warnings == ("RuntimeWarning: did not converge",)
    warned = table.to_dict()["scenarios"][0]["warnings"]
    assert warned == ["warns: RuntimeWarning: did not converge"]


def test_what_is_hidden_does_not_depend_on_what_else_is_evaluated():
    X, mean = correlated(), {"mean": SimpleImputer()}
    many = evaluate_imputers(
        {**mean, "knn": KNNImputer()}, {"a": X, "b": X}, list(MASKS), [0.2, 0.4], 2
    )
    one = evaluate_imputers(mean, {"b": X}, "mnar", 0.4, 1)
    rmse = [t.evaluation("b", "mnar", 0.4).folds("mean")[0].rmse for t in (many, one)]
    assert rmse[0] == rmse[1]
    assert len(many.scenarios) == 20
    assert len(many.results) == 80
    other = evaluate_imputers(mean, {"b": X}, "mnar", 0.4, 1, random_state=1)
    assert other.results[0].measures.rmse != rmse[1]


def test_near_best_counts_ties_within_the_best_ones_error():
    models = {f"{value:g}": KnownFill(value) for value in (0.0, 0.01, 1.0)}
    table = evaluate_imputers(models, correlated(), repeats=6)
    assert table.near_best() == {"0": 1.0, "0.01": 1.0, "1": 0.0}
    text = table.to_markdown()
    line = text.splitlines()[2]
    assert line.count("**") == 4
    assert "Best or within one standard error of the best: 0 100 %, 0.01 100 %, 1 0 %." in text
    sure = evaluate_imputers({"a": KnownGaussian(1.0), "b": KnownGaussian(9.0)}, correlated())
    assert sure.near_best("mean_log_likelihood") == {"a": 1.0, "b": 0.0}  # more is better


def test_a_scenario_as_a_table_for_people():
    models = {"mean": SimpleImputer(), "normal": KnownGaussian()}
    text = evaluate_imputers(models, correlated(), repeats=2).evaluation("data", "mcar", 0.3)
    lines = text.to_markdown().splitlines()
    assert lines[0].startswith("| model | RMSE | MAE | log-likelihood | 90 % coverage |")
    assert lines[2].split("|")[4:6] == [" – ", " – "]
    assert "±" in lines[3].split("|")[4]


def test_models_that_read_in_place_do_no_harm():
    class Spoiler(Filler):
        def fit(self, X, y=None):
            X[:] = 0
            return self

        def transform(self, X):
            return np.nan_to_num(X)

    alone = evaluate_imputers({"mean": SimpleImputer()}, correlated(), repeats=1)
    after = evaluate_imputers(
        {"spoiler": Spoiler, "mean": SimpleImputer()}, correlated(), repeats=1
    )
    assert after.results[1].measures.rmse == alone.results[0].measures.rmse


def leaky(X, rate, random_state):
    values, mask = mask_mcar(X, rate, random_state=random_state)
    values[mask] = X[mask]
    return Masked(values, mask)


def idle(X, rate, random_state):
    return Masked(X, np.zeros(X.shape, bool))


X = correlated()
MEAN = {"mean": SimpleImputer()}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: evaluate_imputers({}, X), MixmendError, "there is no model to evaluate"),
        (lambda: evaluate_imputers(MEAN, {}), MixmendError, "there is no table to evaluate on"),
        (
            lambda: evaluate_imputers(MEAN, X, []),
            MixmendError,
            "there is no mask; choose from mcar,",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, "mcra"),
            MixmendError,
            "no mask is called 'mcra'; choose from mcar, mar, mar-threshold, mnar, mnar-logistic.",
        ),
        (lambda: evaluate_imputers(MEAN, X, repeats=0), MixmendError, "repeats must be a whole"),
        (lambda: evaluate_imputers(MEAN, X, level=1.0), MixmendError, "level must lie between"),
        (
            lambda: evaluate_imputers(MEAN, X, random_state=None),
            MixmendError,
            "random_state must be a whole number; got None.",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, rates=1.5),
            MixmendError,
            "rate must lie between 0 and 1",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, {"leaky": leaky}),
            DataError,
            "mask 'leaky' left values in cells that it calls hidden; they must be NaN",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, {"idle": idle}),
            DataError,
            "mask 'idle' must hide at least one observed cell of 'data', and only observed ones.",
        ),
        (
            lambda: evaluate_imputers({"list": list}, X),
            MixmendError,
            "model 'list' (list) has no method fit and no predictive or complete or transform; a "
            "model must offer fit(train) and predictive(train, rows, columns) or "
            "complete(train, return_std=True) or transform(train).",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, repeats=1).evaluation("data", "mar", 0.3),
            MixmendError,
            "'data', 'mar', 0.3 was not evaluated; there are data, mcar, 0.3.",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, repeats=1).to_markdown("r2"),
            MixmendError,
            "metric must be one of rmse, mae, mean_log_likelihood, coverage, fit_seconds, "
            "predict_seconds; got 'r2'.",
        ),
        (
            lambda: evaluate_imputers(MEAN, X, repeats=1).near_best("coverage"),
            MixmendError,
            "metric must be one of rmse, mae, mean_log_likelihood; got 'coverage'.",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
