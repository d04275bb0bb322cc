"""Models side by side on held-out entries, from files."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from mixmend.evaluation import RowColumnBiases, evaluate_models


def test_folds_give_every_model_its_errors(mixmend, ratings_file):
    done = mixmend("evaluate", ratings_file, "--folds", 3, "-k", "2", "--center", "none", "--json")
    assert done.code == 0, done.err
    report = done.json
    models = {entry["model"]: entry for entry in report["models"]}
    assert list(models) == ["mixture", "mixture-ml", "biases", "column-mean", "global-mean"]
    assert len(report["splits"]) == 3
    assert sum(split["n_test"] for split in report["splits"]) == report["ratings"]["observed"]
    rmse = {name: entry["mean"]["rmse"] for name, entry in models.items()}
    assert rmse["mixture"] < 0.6 < 1.0 < min(rmse["column-mean"], rmse["biases"])
    assert rmse["mixture"] != rmse["mixture-ml"]
    for entry in models.values():
        assert 0.5 < entry["mean"]["coverage"] <= 1
        assert np.isfinite(entry["mean"]["mean_log_likelihood"])
        assert entry["mean"]["mae"] <= entry["mean"]["rmse"]


def test_k_means_is_measured_on_request(mixmend, ratings_file):
    done = mixmend("evaluate", ratings_file, "--models", "kmeans", "-k", "1,2", "--json")
    (entry,) = done.json["models"]
    assert entry["model"] == "kmeans"
    assert entry["mean"]["rmse"] < 0.6


def test_factors_are_measured_on_request(mixmend, ratings_file):
    done = mixmend("evaluate", ratings_file, "--models", "als,global-mean", "-k", "2", "--json")
    factors, mean = (entry["mean"] for entry in done.json["models"])
    assert factors["rmse"] < 0.8 * mean["rmse"]
    assert 0.7 < factors["coverage"] <= 1


def test_a_test_file_gives_what_the_library_measures(mixmend, tmp_path, made_ratings):
    rows, columns, values = made_ratings
    cells = np.argwhere(~np.isnan(values))
    for name, part in (("train", cells[::2]), ("test", cells[1::2])):
        lines = [f"{rows[u]}\t{columns[i]}\t{values[u, i]}" for u, i in part]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    train, test = (mm.read_ratings(tmp_path / name) for name in ("train", "test"))
    done = mixmend(
        *["evaluate", tmp_path / "train", "--test", tmp_path / "test"],
        *["--models", "biases", "--json"],
    )
    assert done.code == 0, done.err
    (entry,) = done.json["models"]
    aligned = mm.evaluation.align_labels(train, test)
    expected = evaluate_models({"biases": RowColumnBiases()}, aligned).summary("biases")
    assert entry["mean"]["rmse"] == pytest.approx(expected["rmse"].mean, rel=1e-12)
    assert entry["mean"]["coverage"] == pytest.approx(expected["coverage"].mean, rel=1e-12)
    assert done.json["test"] == str(tmp_path / "test")


def test_the_table_for_people(mixmend, ratings_file):
    done = mixmend("evaluate", ratings_file, "--models", "column-mean,global-mean", "--folds", 2)
    lines = done.out.splitlines()
    assert lines[0].startswith("60 rows × 20 columns, ")
    assert lines[1].split()[:5] == ["model", "RMSE", "±", "s.e.", "MAE"]
    assert [line.split()[0] for line in lines[2:4]] == ["column-mean", "global-mean"]
    assert lines[4].startswith("2 folds, ")
    assert done.err == ""


def test_cold_starts_are_shown_on_request(mixmend, ratings_file):
    arguments = ["evaluate", ratings_file, "--models", "column-mean,biases", "--folds", 2]
    usual, more = mixmend(*arguments).out, mixmend(*arguments, "--cold-start").out
    assert "entries of the row" not in usual
    above, rows, columns = more.split("\n\n")
    assert above.splitlines()[1].split() == usual.splitlines()[1].split()
    heading = ["held-out", "entries", "column-mean", "biases"]
    assert rows.splitlines()[0].split() == ["entries", "of", "the", "row", *heading]
    assert columns.splitlines()[0].split() == ["entries", "of", "the", "column", *heading]
    report = mixmend(*arguments, "--json").json["models"][1]
    for text, axis in ((rows, "row"), (columns, "column")):
        groups = [group for group in report[f"by_{axis}_count"] if group["n"]]
        shown = [line.split() for line in text.splitlines()[1:] if len(line.split()) > 3]
        shown = [line for line in shown if line[-1] != "–"]
        assert [float(line[-1]) for line in shown] == [
            pytest.approx(group["rmse"], abs=6e-5) for group in groups
        ]


def test_the_seed_makes_the_folds(mixmend, ratings_file):
    def rmse(seed):
        arguments = ["evaluate", ratings_file, "--models", "biases", "--json"]
        return mixmend(*arguments, "--random-state", seed).json["models"][0]["mean"]["rmse"]

    assert rmse(1) == rmse(1) != rmse(2)


@pytest.mark.parametrize("models", ["mixtures", "biases,nothing", ","])
def test_an_unknown_model_is_a_usage_error(mixmend, ratings_file, models):
    done = mixmend("evaluate", ratings_file, "--models", models)
    assert (done.code, done.out) == (2, "")
    assert "is no model; choose from mixture, mixture-ml, biases, column-mean" in done.err
    assert done.err.count("\n") == 1


def test_entries_in_both_files_are_refused(mixmend, ratings_file):
    done = mixmend("evaluate", ratings_file, "--test", ratings_file, "--models", "biases")
    assert done.code == 2
    assert "held-out entries are in the training part too" in done.err
    assert done.err.count("\n") == 1
