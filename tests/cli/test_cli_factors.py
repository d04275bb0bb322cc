"""Latent factors and features of rows and columns on the command line."""

import sys

import numpy as np
import polars as pl
import pytest

import mixmend as mm
from mixmend.observed.labels import align_columns


@pytest.fixture
def featured(tmp_path):
    """Ratings that follow features, two rows and a column without any, and the features."""
    rng = np.random.default_rng(3)
    n, d = 90, 25
    age, year = rng.integers(20, 70, n), rng.integers(1970, 2020, d)
    level = 3 + 0.04 * (age[:, None] - 45) * (year - 1995) / 15
    values = level + 0.3 * rng.normal(size=(n, d))
    cells = [(u, i) for u in range(n) for i in range(d) if rng.random() < 0.4]
    ratings = tmp_path / "ratings.csv"
    ratings.write_text(
        "user,item,rating\n" + "".join(f"u{u},i{i},{values[u, i]:.2f}\n" for u, i in cells)
    )
    rows, columns = tmp_path / "rows.csv", tmp_path / "columns.csv"
    rows.write_text("who,age\n" + "".join(f"u{u},{age[u]}\n" for u in range(n) if u != 4))
    columns.write_text(
        "item,year,blank,kind\n"
        + "".join(f"i{i},{year[i]},,{'old|good' if year[i] < 1995 else 'new'}\n" for i in range(d))
    )
    return ratings, rows, columns


@pytest.mark.parametrize("model", ["als", "neural"])
def test_features_are_read_used_and_kept(mixmend, tmp_path, featured, model):
    ratings, rows, columns = featured
    output = tmp_path / "m.mixmend"
    few = [] if model == "als" else ["--max-iter", "6"]
    arguments = ["fit", ratings, "-m", output, "--model", model, "-k", "1", *few]
    arguments += ["--holdout", "0", "--row-features", rows, "--column-features", columns]
    done = mixmend(*arguments)
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        f"mixmend: note: 1 of 90 rows has no line in {rows}: only the entries are known there.",
        f"mixmend: note: column 'blank' of {columns} is empty, and left out.",
    ]
    fitted = mm.load(output)
    assert fitted.row_feature_names_[:2] == ("constant", "age")
    # somebody new, of whom nothing is known but the age
    new, pairs, known = tmp_path / "new.csv", tmp_path / "pairs.csv", tmp_path / "known.csv"
    new.write_text(ratings.read_text() + "anna,i3,3.0\n")
    pairs.write_text("user,item\nanna,i7\n")
    answers = []
    for age in (20, 70):
        known.write_text(f"who,age\nanna,{age}\n")
        filled = tmp_path / f"{age}.csv"
        asked = ["predict", output, new, pairs, "-o", filled, "--row-features", known]
        done = mixmend(*asked)
        assert done.code == 0, done.err
        assert done.err == (
            f"mixmend: note: 90 of 91 rows have no line in {known}: only the entries are known "
            "there.\n"
        )
        answers.append(pl.read_csv(filled)["rating"][0])
    assert answers[0] != answers[1]
    known.write_text("who,age\nanna,20\n")
    done = mixmend(
        "recommend", output, new, "--row", "anna", "-n", 1, "--row-features", known, "--json"
    )
    assert done.code == 0, done.err
    (best,) = done.json["recommendations"]
    everyone = mm.read_ratings(new)
    young = everyone.select_rows(np.flatnonzero(everyone.row_labels == "anna"))
    expected, _ = fitted.recommend(
        align_columns(young, fitted.column_labels_),
        1,
        row_features={"who": ["anna"], "age": [20]},
    )
    assert best["column"] == fitted.column_labels_[expected[0, 0]]


def test_features_bring_errors_down_in_evaluate(mixmend, featured):
    ratings, rows, columns = featured
    arguments = ["evaluate", ratings, "--models", "biases,als", "-k", "1", "--folds", "2", "--json"]
    without = {m["model"]: m["mean"]["rmse"] for m in mixmend(*arguments).json["models"]}
    done = mixmend(*arguments, "--row-features", rows, "--column-features", columns)
    assert done.code == 0, done.err
    given = {m["model"]: m["mean"]["rmse"] for m in done.json["models"]}
    assert given["biases"] == without["biases"]  # which cannot use them
    assert given["als"] < 0.9 * without["als"]


@pytest.mark.parametrize("command", ["fit", "complete", "evaluate"])
def test_features_of_what_cannot_use_them_are_refused(mixmend, tmp_path, featured, command):
    ratings, rows, _ = featured
    output = {"fit": ["-m", tmp_path / "m"], "complete": ["-o", tmp_path / "o.csv"]}
    done = mixmend(command, ratings, *output.get(command, []), "--row-features", rows)
    assert done.code == 2
    assert done.err == (
        "mixmend: error: Invalid value for '--row-features': only models of latent factors use "
        f"features; give --model als or --model neural. See 'mixmend {command} --help'.\n"
    )


def test_features_that_fit_nothing_are_named(mixmend, tmp_path, featured):
    ratings, _, columns = featured
    arguments = ["fit", ratings, "-m", tmp_path / "m", "--model", "als", "-k", "1"]
    done = mixmend(*arguments, "--row-features", columns)
    assert done.code == 2
    assert done.err.startswith(f"mixmend: error: {columns}: No row label of the matrix, such as ")
    assert "is among those of row_features" in done.err
    assert done.err.count("\n") == 1
    done = mixmend(*arguments, "--column-features", tmp_path / "nowhere.csv")
    assert done.code == 2
    assert "nowhere.csv" in done.err
    assert not (tmp_path / "m").exists()


def test_a_model_without_features_of_rows_wants_none(mixmend, tmp_path, featured):
    ratings, rows, _ = featured
    output = tmp_path / "m"
    assert mixmend("fit", ratings, "-m", output, "--model", "als", "-k", "1").code == 0
    done = mixmend("recommend", output, ratings, "--row", "u1", "--row-features", rows)
    assert done.code == 2
    assert done.err == (
        "mixmend: error: Invalid value for '--row-features': the model was fitted without features "
        "of rows; fit one with --row-features. See 'mixmend recommend --help'.\n"
    )


def test_a_network_is_fitted_and_measured(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    arguments = ["--model", "neural", "-k", "2,3", "--max-iter", "3"]
    done = mixmend("fit", ratings_file, "-m", output, *arguments, "--json")
    assert done.code == 0, done.err
    model = mm.load(output)
    assert isinstance(model, mm.NeuralFactorization)
    assert model.n_factors == done.json["chosen"]["n_components"]
    assert model.n_iter_ == done.json["chosen"]["steps"]
    assert "network, " in mixmend("fit", ratings_file, "-m", output, *arguments).out
    evaluated = mixmend(
        *("evaluate", ratings_file, "--models", "neural", "-k", "2", "--folds", "2"),
        *("--max-iter", "2", "--json"),
    )
    assert evaluated.json["models"][0]["mean"]["rmse"] < 2


def test_an_autoencoder_is_chosen_with_its_regularization(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    arguments = ["fit", ratings_file, "-m", output, "--model", "autoencoder", "-k", "1,2"]
    done = mixmend(*arguments, "--json")
    assert done.code == 0, done.err
    rows = done.json["candidates"]
    assert [row["n_components"] for row in rows] == [1] * 5 + [2] * 5
    assert rows[0]["regularization"] == 0 < rows[1]["regularization"] < rows[2]["regularization"]
    best = min(rows, key=lambda row: row["rmse"])
    assert done.json["chosen"] == best
    model = mm.load(output)
    assert isinstance(model, mm.LinearAutoencoder)
    assert (model.n_components, model.regularization) == (
        best["n_components"],
        best["regularization"],
    )
    assert "linear autoencoder, " in mixmend(*arguments).out
    assert "autoencoder" in mixmend("info", output).out
    done = mixmend(*arguments, "--center", "rows")
    assert done.code == 2
    assert "autoencoders always stand beside the columns' means" in done.err
    evaluated = mixmend(
        *("evaluate", ratings_file, "--models", "autoencoder", "-k", "2", "--folds", "2", "--json")
    )
    assert evaluated.json["models"][0]["mean"]["rmse"] < 1


def test_what_was_observed_counts_where_it_tells(mixmend, tmp_path):
    """Rows that see only what they like: their places say more than their values."""
    rng = np.random.default_rng(0)
    kinds = np.arange(120) % 2
    likes = rng.random((120, 40)) < np.where(kinds[:, None] == (np.arange(40) % 2), 0.5, 0.05)
    values = (
        3 + np.where(kinds[:, None] == (np.arange(40) % 4 < 2), 1, -1) + rng.normal(size=(120, 40))
    )
    ratings = tmp_path / "r.csv"
    ratings.write_text(
        "user,item,rating\n"
        + "".join(f"u{u},i{i},{values[u, i]:.2f}\n" for u, i in np.argwhere(likes))
    )
    arguments = ["fit", ratings, "-m", tmp_path / "m", "--model", "als", "-k", "1"]
    report = mixmend(*arguments, "--json").json
    assert [row["implicit"] for row in report["candidates"]] == [False, True]
    without, given = (row["rmse"] for row in report["candidates"])
    assert given < without
    assert report["chosen"]["implicit"]
    assert "observed 1" in mm.load(tmp_path / "m").row_feature_names_


def test_without_pytorch_one_line_says_what_to_install(
    mixmend, ratings_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", "--model", "neural")
    assert done.code == 2
    assert "pip install 'mixmend[neural]'" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "m").exists()
