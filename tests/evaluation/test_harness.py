"""The harness: what it measures, what it refuses, and the table it makes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import mixmend as mm
from mixmend.completion import predictive
from mixmend.datasets import make_ratings
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import (
    ColumnMean,
    EvaluationTable,
    FoldResult,
    GlobalMean,
    RowColumnBiases,
    errors_by_count,
    evaluate_models,
    metrics,
    ranking,
)
from mixmend.evaluation.table import SplitFacts
from mixmend.observed.matrix import ObservedMatrix


@pytest.fixture(scope="module")
def splits():
    return list(mm.fold_entries(make_ratings(300, 80, 5000), 3, random_state=1))


def test_numbers_are_those_of_a_plain_loop(splits):
    table = evaluate_models({"mean": GlobalMean(), "biases": RowColumnBiases()}, splits, level=0.8)
    assert table.models == ["mean", "biases"]
    assert [(r.model, r.fold) for r in table.results] == [
        (name, fold) for fold in (1, 2, 3) for name in ("mean", "biases")
    ]
    for fold, (train, test) in enumerate(splits):
        p = RowColumnBiases().fit(train).predictive(train, *test.entries()[:2])
        truth = test.entries()[2]
        got = table.folds("biases")[fold]
        assert got.rmse == metrics.rmse(truth, predictive.mean(p))
        assert got.mae == metrics.mae(truth, predictive.mean(p))
        assert got.mean_log_likelihood == pytest.approx(metrics.mean_log_likelihood(p, truth))
        assert got.coverage == pytest.approx(metrics.interval_coverage(p, truth, 0.8))
        assert got.fit_seconds > 0
        assert got.predict_seconds > 0
        assert table.splits[fold].n_train == train.n_observed
        assert table.splits[fold].n_test == test.n_observed
    errors = [fold.rmse for fold in table.folds("biases")]
    spread = table.summary("biases")["rmse"]
    assert spread.mean == pytest.approx(np.mean(errors))
    assert spread.standard_error == pytest.approx(np.std(errors, ddof=1) / np.sqrt(3))
    others = [fold.rmse for fold in table.folds("mean")]
    paired = table.difference("biases", "mean")
    assert paired.mean == pytest.approx(np.mean(np.subtract(errors, others)))
    assert paired.standard_error == pytest.approx(
        np.std(np.subtract(errors, others), ddof=1) / np.sqrt(3)
    )
    assert table.difference("biases", "mean", "mean_log_likelihood").mean > 0


def test_chunks_do_not_change_the_result(splits):
    seen = []

    class Watched(RowColumnBiases):
        def predictive(self, X, rows, columns):
            seen.append((X.shape[0], len(rows)))
            return super().predictive(X, rows, columns)

    whole = evaluate_models({"m": Watched}, splits[0])
    assert seen == [(300, splits[0][1].n_observed)]
    seen.clear()
    parts = evaluate_models({"m": Watched}, splits[0], chunk_size=100)
    assert len(seen) == -(-splits[0][1].n_observed // 100)
    assert max(size for _, size in seen) == 100
    assert max(rows for rows, _ in seen) < 100
    for name in ("rmse", "mae", "mean_log_likelihood", "coverage"):
        assert getattr(parts.results[0], name) == pytest.approx(getattr(whole.results[0], name))


def test_estimators_are_cloned_and_factories_called(splits):
    given = RowColumnBiases(max_iter=1)
    made = []

    def factory():
        made.append(RowColumnBiases())
        return made[-1]

    class Plain:
        """No scikit-learn estimator: copied."""

        def fit(self, X):
            assert not hasattr(self, "mean")
            self.mean = X.entries()[2].mean()

        def predictive(self, X, rows, columns):
            return predictive.gaussian(np.full(len(rows), self.mean), 1.0)

    plain = Plain()
    table = evaluate_models(
        {"one step": given, "factory": factory, "class": ColumnMean, "plain": plain}, splits[:2]
    )
    assert not hasattr(given, "mean_")
    assert not hasattr(plain, "mean")
    assert len(made) == 2
    assert [m.n_features_in_ for m in made] == [80, 80]
    assert table.summary("one step")["rmse"] != table.summary("factory")["rmse"]


def test_order_and_cold_start_are_measured_on_every_fold(splits):
    table = evaluate_models({"mean": GlobalMean(), "biases": RowColumnBiases()}, splits)
    everything = []
    for (train, test), got in zip(splits, table.folds("biases"), strict=True):
        rows, columns, truth = test.entries()
        estimate = predictive.mean(RowColumnBiases().fit(train).predictive(train, rows, columns))
        found = ranking(rows, truth, estimate, k=10)
        assert (got.ndcg, got.recall) == (found.ndcg, found.recall)
        expected = errors_by_count(train, test, estimate, "column")
        assert repr(list(got.by_column_count)) == repr(expected)  # NaN equals NaN here
        known = train.row_counts[rows]
        everything.append(np.column_stack([known, truth - estimate]))
    known, error = np.concatenate(everything).T
    groups = table.by_count("biases", "row")
    assert [(g.least, g.most) for g in groups] == [(0, 0), (1, 4), (5, 19), (20, 99), (100, None)]
    mine = (known >= 5) & (known < 20)
    assert groups[2].n == mine.sum() > 1000
    assert groups[2].rmse == pytest.approx(np.sqrt(np.mean(error[mine] ** 2)))
    assert groups[2].mae == pytest.approx(np.abs(error[mine]).mean())
    assert groups[4].n == 0
    assert np.isnan(groups[4].rmse)
    ranks = table.summary("biases")["ndcg"]
    assert ranks.mean == pytest.approx(np.mean([fold.ndcg for fold in table.folds("biases")]))
    assert table.difference("biases", "mean", "recall").mean > 0
    plain = json.loads(json.dumps(table.to_dict(), allow_nan=False))["models"][1]
    assert plain["by_row_count"][2]["rmse"] == groups[2].rmse
    assert plain["by_row_count"][4] == {
        "least": 100,
        "most": None,
        "n": 0,
        "rmse": None,
        "mae": None,
    }
    assert plain["folds"][0]["ndcg"] == table.folds("biases")[0].ndcg
    assert table.to_markdown().startswith(
        "| model | RMSE | MAE | log-likelihood | 90 % coverage | NDCG@10 | recall@10 | fit s |"
    )
    lines = table.cold_start_markdown("row").splitlines()
    assert lines[0] == "| entries of the row | held-out entries | mean | biases |"
    worse = table.by_count("mean", "row")[2].rmse
    assert lines[4] == f"| 5–19 | {groups[2].n} | {worse:.4f} | {groups[2].rmse:.4f} |"
    assert lines[6] == "| 100 and more | 0 | – | – |"
    with pytest.raises(MixmendError, match="axis must be 'row' or 'column'; got 'rows'"):
        table.by_count("mean", "rows")


def test_groups_begin_where_they_are_asked_to(splits):
    table = evaluate_models({"mean": GlobalMean()}, splits[0], count_edges=(0, 12))
    groups = table.by_count("mean", "column")
    assert [(g.least, g.most) for g in groups] == [(0, 11), (12, None)]


def test_progress_is_told_as_it_happens(splits):
    told = []
    table = evaluate_models({"a": GlobalMean, "b": ColumnMean}, iter(splits), progress=told.append)
    assert tuple(told) == table.results
    assert len(told) == 6


def test_what_cannot_be_learned_is_counted_and_said():
    train = ObservedMatrix.from_triplets([0, 0, 1], [0, 1, 0], [1.0, 2.0, 3.0], (4, 4))
    test = ObservedMatrix.from_triplets([0, 2, 2, 1], [2, 0, 2, 1], [1.0, 2.0, 3.0, 2.0], (4, 4))
    table = evaluate_models({"biases": RowColumnBiases}, (train, test))
    assert table.splits == (SplitFacts(1, 3, 4, cold_rows=1, cold_columns=1, cold_entries=3),)
    assert table.note() == (
        "1 fold, 4 held-out entries. 1 held-out row and 1 column had no training entries: "
        "3 held-out entries are predicted from what the others have in common."
    )
    assert table.summary("biases")["rmse"].standard_error is None
    warm = EvaluationTable(table.results, (SplitFacts(1, 3, 1, 0, 0, 0),), 0.9)
    assert warm.note() == "1 fold, 1 held-out entry."


def test_the_table_as_dict_and_as_markdown():
    results = tuple(
        FoldResult(name, fold, rmse, rmse / 2, likelihood, 0.875, 0.5, 0.25)
        for fold, rmse, likelihood in ((1, 1.0, -1.0), (2, 1.2, -np.inf))
        for name in ("a|b", "c")
    )
    splits = (SplitFacts(1, 9, 2, 0, 0, 0), SplitFacts(2, 9, 3, 0, 0, 0))
    table = EvaluationTable(results, splits, level=0.95)
    plain = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert plain["level"] == 0.95
    assert plain["splits"][1] == {
        "fold": 2,
        "n_train": 9,
        "n_test": 3,
        "cold_rows": 0,
        "cold_columns": 0,
        "cold_entries": 0,
    }
    first = plain["models"][0]
    assert first["model"] == "a|b"
    assert first["mean"]["rmse"] == pytest.approx(1.1)
    assert first["standard_error"]["rmse"] == pytest.approx(0.1)
    assert first["mean"]["mean_log_likelihood"] is None
    assert first["folds"][0] == {
        "fold": 1,
        "rmse": 1.0,
        "mae": 0.5,
        "mean_log_likelihood": -1.0,
        "coverage": 0.875,
        "fit_seconds": 0.5,
        "predict_seconds": 0.25,
    }
    lines = table.to_markdown().splitlines()
    assert lines[0] == (
        "| model | RMSE | MAE | log-likelihood | 95 % coverage | fit s | predict s |"
    )
    assert lines[2] == (
        "| a\\|b | 1.1000 ± 0.1000 | 0.5500 ± 0.0500 | -inf ± nan | 87.5 ± 0.0 % "
        "| 0.50 ± 0.00 | 0.25 ± 0.00 |"
    )
    assert lines[-1] == "2 folds, 5 held-out entries."


@pytest.mark.shared
def test_biases_beat_the_means_on_movielens(shared_path):
    data = np.loadtxt(shared_path("data/ratings/movielens_100k/u.data"), dtype=int)
    X = ObservedMatrix.from_triplets(data[:, 0] - 1, data[:, 1] - 1, data[:, 2])
    table = evaluate_models(
        {"mean": GlobalMean(), "columns": ColumnMean(), "biases": RowColumnBiases()},
        mm.fold_entries(X, 3, random_state=0),
    )
    for metric, sign in (("rmse", 1), ("mae", 1), ("mean_log_likelihood", -1)):
        mean, columns, biases = (sign * table.summary(m)[metric].mean for m in table.models)
        assert biases < columns < mean
    assert 0.88 < table.summary("biases")["coverage"].mean < 0.92


class Broken(BaseEstimator):
    def fit(self, X):
        raise RuntimeError("no luck")

    def predictive(self, X, rows, columns): ...


ONE = ObservedMatrix.from_dense([[1.0, np.nan], [2.0, 3.0]])
TWO = ObservedMatrix.from_dense([[np.nan, 2.0], [np.nan, np.nan]])
NONE = ObservedMatrix.from_dense(np.full((2, 2), np.nan))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: evaluate_models({}, (ONE, TWO)),
            "there is no model to evaluate; give at least one.",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, []),
            "there is no split to evaluate on; give at least one (train, test).",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, (ONE, TWO), level=90),
            "level must lie between 0 and 1; got 90.",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, (ONE, TWO), chunk_size=0),
            "chunk_size must be at least 1; got 0.",
        ),
        (
            lambda: evaluate_models({"m": dict}, (ONE, TWO)),
            "model 'm' (dict) has no method fit and no predictive; a model must offer fit(train) "
            "and predictive(train, rows, columns).",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, [ONE]),
            "split 1 must be a pair (train, test) of ObservedMatrix.",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, (ONE, ONE.select_columns([0]))),
            "split 1: train is 2 × 2 and test 2 × 1; both need the same rows and columns. "
            "align_labels(train, test) puts two files on common ones.",
        ),
        (
            lambda: evaluate_models(
                {"m": GlobalMean},
                (ONE.with_labels(row_labels=["a", "b"]), TWO.with_labels(row_labels=["b", "a"])),
            ),
            "split 1: train and test have different row labels; put them on common ones by "
            "align_labels(train, test).",
        ),
        (
            lambda: evaluate_models({"m": GlobalMean}, [(ONE, TWO), (ONE, NONE)]),
            "split 2: nothing was held out; the test matrix has no entry.",
        ),
        (
            lambda: evaluate_models(
                {"m": GlobalMean}, (ONE.with_labels(column_labels=["x", "y"]), ONE)
            ),
            "split 1: 3 of 3 held-out entries are in the training part too, the first in row 0, "
            "column 0. Take them out of one of the two.",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises(MixmendError) as caught:
        call()
    assert str(caught.value) == text
    if "split 1" in text:
        assert isinstance(caught.value, DataError)


def test_one_common_entry_is_found_and_named():
    train = ObservedMatrix.from_triplets(
        ["a", "b", "b"], ["x", "x", "y"], [1.0, 2.0, 3.0], column_labels=None
    )
    test = ObservedMatrix.from_triplets(["a", "b"], ["y", "y"], [1.0, 3.0])
    train, test = mm.evaluation.align_labels(train, test)
    with pytest.raises(DataError) as caught:
        evaluate_models({"m": GlobalMean}, (train, test))
    assert str(caught.value) == (
        "split 1: 1 of 2 held-out entries are in the training part too, the first in row b, "
        "column y. Take them out of one of the two."
    )


def test_a_failing_model_is_named():
    with pytest.raises(RuntimeError, match="no luck") as caught:
        evaluate_models({"mine": Broken()}, (ONE, TWO))
    assert caught.value.__notes__ == ["while evaluating 'mine' on fold 1"]


def test_unknown_names_are_answered_with_the_known_ones():
    table = evaluate_models({"m": GlobalMean}, (ONE, TWO))
    with pytest.raises(MixmendError) as caught:
        table.folds("n")
    assert str(caught.value) == "no model is called 'n'; there are 'm'."
    with pytest.raises(MixmendError) as caught:
        table.difference("m", "m", "r2")
    assert str(caught.value) == (
        "no measure is called 'r2'; there are rmse, mae, mean_log_likelihood, coverage, "
        "fit_seconds, predict_seconds."
    )


@pytest.mark.filterwarnings("error")  # rows with nothing to learn from are counted, not warned of
def test_a_mixture_finds_what_offsets_cannot():
    """On ratings from four kinds of people the mixture comes near the best that is possible."""
    X, truth = make_ratings(1500, 200, 60_000, component_effect=0.7, return_truth=True)
    train, test = mm.split_entries(X, test_size=0.1, random_state=0)
    table = evaluate_models(
        {
            "biases": RowColumnBiases(),
            "mixture": mm.GaussianMixture(
                4, prior="default", center="biases", tol=1e-5, random_state=0
            ),
        },
        (train, test),
    )
    rows, columns, values = test.entries()
    best = metrics.rmse(values, truth.expected()[rows, columns])
    biases, mixture = (table.summary(name) for name in table.models)
    assert mixture["rmse"].mean < 0.5 * (best + biases["rmse"].mean)
    assert mixture["mean_log_likelihood"].mean > biases["mean_log_likelihood"].mean + 0.05
    assert 0.88 < mixture["coverage"].mean < 0.93
    assert table.splits[0].cold_rows == np.count_nonzero(
        (train.row_counts == 0) & (test.row_counts > 0)
    )
    assert np.any(train.row_counts == 0)
