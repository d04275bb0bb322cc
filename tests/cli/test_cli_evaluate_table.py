"""Imputers side by side on a table's own cells, from the command line."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import KNNImputer

from mixmend.evaluation import evaluate_imputers


@pytest.fixture
def columns() -> np.ndarray:
    """Two groups of rows: any column tells the others."""
    rng = np.random.default_rng(3)
    X = np.repeat([[0.0], [5.0]], 40, axis=0) + 0.5 * rng.normal(size=(80, 4))
    X[::9, 1] = np.nan
    return X.round(3)


@pytest.fixture
def table_file(tmp_path, columns):
    path = tmp_path / "table.csv"
    cells = [["" if np.isnan(x) else repr(float(x)) for x in row] for row in columns]
    lines = [f"person {u},{','.join(row)},blue" for u, row in enumerate(cells)]
    path.write_text("name,a,b,c,d,colour\n" + "\n".join(lines) + "\n")
    return path


QUICK = ["-k", "2", "--n-init", "2", "--repeats", "2"]


def test_models_fill_hidden_cells_of_the_table(mixmend, table_file, columns):
    done = mixmend("evaluate", "--table", table_file, *QUICK, "--rate", "0.25", "--json")
    assert done.code == 0, done.err
    report = done.json
    assert report["table"]["columns"] == 4
    assert report["table"]["observed"] == np.isfinite(columns).sum()
    assert (report["mask"], report["rate"], report["failures"]) == ("mcar", 0.25, [])
    models = {entry["model"]: entry["mean"] for entry in report["models"]}
    assert list(models)[:3] == ["mean", "knn", "mixture-spherical"]
    assert models["mean"]["rmse"] == pytest.approx(1, abs=0.15)
    assert models["mean"]["coverage"] is None
    for name in models.keys() - {"mean"}:
        assert models[name]["rmse"] < 0.45
    assert 0.8 < models["mixture-spherical"]["coverage"] < 1
    assert report["near_best"]["rmse"]["mean"] == 0
    expected = evaluate_imputers(
        {"knn": KNNImputer()}, {"table": columns}, "mcar", 0.25, 2, random_state=0
    ).evaluation("table", "mcar", 0.25)
    assert models["knn"]["rmse"] == pytest.approx(expected.summary("knn")["rmse"].mean, rel=1e-12)


@pytest.mark.parametrize("mechanism", ["mar", "mar-threshold", "mnar", "mnar-logistic"])
def test_mechanisms_are_used(mixmend, table_file, mechanism):
    arguments = ["--models", "mean", "--repeats", "1", "--json"]
    done = mixmend("evaluate", "--table", table_file, "--mechanism", mechanism, *arguments)
    plain = mixmend("evaluate", "--table", table_file, *arguments)
    assert done.json["mask"] == mechanism
    rmse = [run.json["models"][0]["mean"]["rmse"] for run in (done, plain)]
    assert rmse[0] != rmse[1]
    if mechanism == "mnar":  # high values are hidden, of which the mean of the rest knows nothing
        assert rmse[0] > rmse[1] + 0.1


def test_the_table_for_people(mixmend, table_file):
    done = mixmend("evaluate", "--table", table_file, "--models", "knn,mean", "--repeats", 2)
    lines = done.out.splitlines()
    assert lines[0].startswith("80 rows × 4 columns, ")
    assert lines[1].split()[:5] == ["model", "RMSE", "±", "s.e.", "MAE"]
    assert [line.split()[0] for line in lines[2:4]] == ["knn", "mean"]
    assert lines[4] == (
        "2 draws of 20% of the cells, mcar; errors in standard deviations of a column."
    )
    assert done.err == ""


def test_reading_modelling_and_seed_are_heeded(mixmend, tmp_path, columns):
    lines = [";".join("-1" if np.isnan(x) else str(x) for x in row) for row in columns]
    lines = [f"{7 * u % 80};{line}" for u, line in enumerate(lines)]
    (tmp_path / "t.txt").write_text("id;a;b;c;d\n" + "\n".join(lines) + "\n")

    def run(*more):
        arguments = ["evaluate", "--table", tmp_path / "t.txt", "--missing", "-1", "--row", "id"]
        done = mixmend(*arguments, "--models", "mixture-spherical", "--repeats", 1, "--json", *more)
        assert done.code == 0, done.err
        return done.json["table"], done.json["models"][0]["mean"]["rmse"]

    described, one = run("-k", "1")
    assert described["columns"] == 4
    assert described["observed"] == np.isfinite(columns).sum()
    assert one == pytest.approx(1, abs=0.2)
    assert run("-k", "2")[1] < 0.5 < one
    assert run("-k", "1,2")[1] == run("-k", "2")[1]
    assert run("-k", "2", "--random-state", "1")[1] != run("-k", "2")[1]


def test_a_failing_model_is_told(mixmend, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{u},{u * u}" for u in range(8)) + "\n")
    arguments = ["evaluate", "--table", tmp_path / "t.csv", "--models", "mean,mixture-spherical"]
    done = mixmend(*arguments, "-k", "9", "--json")
    assert done.code == 0
    assert len(done.json["failures"]) == 5
    assert "n_components" in done.json["failures"][0]["message"]
    shown = mixmend(*arguments, "-k", "9")
    assert "mixture-spherical failed: " in shown.err
    assert shown.out.count("mixture-spherical") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "t.csv", "--folds", "3"], "'--folds': has no meaning with --table"),
        (["--table", "t.csv", "--value", "x"], "'--value': has no meaning with --table"),
        (["r.csv", "--table", "t.csv"], "'RATINGS': has no meaning with --table; leave it out"),
        (["r.csv", "--rate", "0.3"], "'--rate': has no meaning without --table"),
        (["r.csv", "--mechanism", "mar"], "'--mechanism': has no meaning without --table"),
        ([], "give RATINGS, or a table by --table"),
    ],
)
def test_what_would_not_be_read_is_refused(mixmend, arguments, words):
    done = mixmend("evaluate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_unknown_models_and_tables_without_numbers(mixmend, table_file, tmp_path):
    done = mixmend("evaluate", "--table", table_file, "--models", "biases")
    assert done.code == 2
    assert "'biases' is no model for a table; choose from mean, knn, mixture-spherical" in done.err
    (tmp_path / "words.csv").write_text("a,b\nx,y\nz,w\nv,u\n")
    done = mixmend("evaluate", "--table", tmp_path / "words.csv")
    assert done.code == 2
    assert "has no column of numbers, booleans or dates" in done.err
