"""Fit, predict and recommend, from files to files."""

from __future__ import annotations

import csv
import re
import signal

import numpy as np
import pytest

import mixmend as mm
from mixmend.completion import predictive


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("user,item\nu03,i05\nu41,i00\nu03,i19\n")
    return path


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------ fit


def test_fit_saves_what_the_library_would_fit(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    done = mixmend("fit", ratings_file, "-m", output, "-k", "2", "--center", "none", "--json")
    assert done.code == 0, done.err
    report = done.json
    model = mm.load(output)
    expected = mm.GaussianMixture(2, prior="default", n_init=3, tol=1e-5, random_state=0).fit(
        mm.read_ratings(ratings_file)
    )
    np.testing.assert_array_equal(model.means_, expected.means_)
    assert model.column_labels_.tolist() == [f"i{i:02d}" for i in range(20)]
    assert report["model"]["log_likelihood"] == expected.log_likelihood_
    assert report["output"] == {"path": str(output), "bytes": output.stat().st_size}
    assert report["ratings"]["rows"] == 60
    assert report["ratings"]["columns"] == 20
    assert report["criterion"] == "none"
    assert set(report["heldout"]) == {
        "n",
        "rmse",
        "mae",
        "mean_log_likelihood",
        "coverage",
        "level",
    }
    assert report["heldout"]["rmse"] < 0.6


def test_fit_chooses_two_components_for_two_kinds_of_rows(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    done = mixmend("fit", ratings_file, "-m", output, "-k", "1-3", "--center", "none", "--json")
    report = done.json
    assert [row["n_components"] for row in report["candidates"]] == [1, 2, 3]
    assert report["criterion"] == "heldout"
    rmse = [row["rmse"] for row in report["candidates"]]
    assert report["chosen"]["rmse"] == min(rmse)
    assert rmse[1] < 0.7 * rmse[0]
    assert mm.load(output).n_components == report["chosen"]["n_components"]


def test_select_bic_chooses_by_bic_and_center_auto_tries_them_all(mixmend, ratings_file, tmp_path):
    done = mixmend(
        "fit", ratings_file, "-m", tmp_path / "m", "-k", "1,2", "--select", "bic", "--json"
    )
    report = done.json
    assert report["criterion"] == "bic"
    tried = [row["center"] for row in report["candidates"] if row["stage"] == "center"]
    assert sorted(tried) == ["biases", "columns", "none", "rows"]
    last = [row for row in report["candidates"] if row["stage"] == "components"]
    assert report["chosen"]["bic"] == min(row["bic"] for row in last)


def test_select_icl_chooses_by_the_integrated_completed_likelihood(mixmend, ratings_file, tmp_path):
    arguments = ["fit", ratings_file, "-m", tmp_path / "m", "-k", "1-3", "--select", "icl"]
    report = mixmend(*arguments, "--center", "none", "--json").json
    icl = [row["icl"] for row in report["candidates"]]
    assert report["criterion"] == "icl"
    assert report["chosen"]["icl"] == min(icl)
    assert all(row["icl"] >= row["bic"] for row in report["candidates"])
    assert "ICL" in mixmend(*arguments, "--center", "none").out


@pytest.mark.parametrize(
    ("option", "value", "attribute", "expected"),
    [
        ("--prior", "none", "prior", None),
        ("--n-init", "2", "n_init", 2),
        ("--max-iter", "3", "max_iter", 3),
        ("--tol", "0.001", "tol", 0.001),
        ("--random-state", "5", "random_state", 5),
        ("--center", "biases", "center", "biases"),
        ("--init", "random", "init_params", "random"),
        ("--init", "kmeans", "init_params", "kmeans"),
        ("--init", "random_from_data", "init_params", "random_from_data"),
        ("--inference", "variational", "inference", "variational"),
    ],
)
def test_options_of_the_model_reach_it(
    mixmend, ratings_file, tmp_path, option, value, attribute, expected
):
    output = tmp_path / "m.mixmend"
    common = ["fit", ratings_file, "-m", output, "-k", "2", "--holdout", "0"]
    center = [] if option == "--center" else ["--center", "none"]
    done = mixmend(*common, *center, option, value)
    assert done.code == 0, done.err
    assert getattr(mm.load(output), attribute) == expected


def test_k_means_can_be_fitted_instead(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    arguments = ["fit", ratings_file, "-m", output, "--model", "kmeans"]
    done = mixmend(*arguments, "-k", "1-3", "--json")
    assert done.code == 0, done.err
    report = done.json
    assert [row["n_components"] for row in report["candidates"]] == [1, 2, 3]
    assert report["chosen"]["rmse"] == min(row["rmse"] for row in report["candidates"])
    model = mm.load(output)
    expected = mm.KMeans(report["model"]["n_components"], n_init=3, random_state=0).fit(
        mm.read_ratings(ratings_file)
    )
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    assert report["model"]["inertia"] == expected.inertia_
    assert report["heldout"]["rmse"] < 0.6

    plain = mixmend(*arguments, "-k", "2")
    assert "K-means, 2 clusters" in plain.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--select", "bic"], "Invalid value for '--select bic': K-means has no likelihood."),
        (["--select", "icl"], "Invalid value for '--select icl': K-means has no likelihood."),
        (["--center", "rows"], "Invalid value for '--center': K-means knows no effects."),
        (
            ["--init", "kmeans"],
            "Invalid value for '--init kmeans': K-means starts with k-means++ or random.",
        ),
        (
            ["--inference", "variational"],
            "Invalid value for '--inference': only mixtures have variational fits to choose.",
        ),
    ],
)
def test_k_means_refuses_what_it_does_not_know(
    mixmend, ratings_file, tmp_path, arguments, complaint
):
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", "--model", "kmeans", *arguments)
    assert done.code == 2
    assert done.err == f"mixmend: error: {complaint} See 'mixmend fit --help'.\n"


def test_components_that_variational_fits_leave_out_are_not_counted(
    mixmend, ratings_file, tmp_path
):
    output = tmp_path / "m.mixmend"
    arguments = ["fit", ratings_file, "-m", output, "--center", "none"]
    done = mixmend(*arguments, "--inference", "variational", "-k", "6", "--json")
    assert done.code == 0, done.err
    model = mm.load(output)
    assert model.n_components == 6
    assert done.json["model"]["n_components"] == model.n_components_ < 6
    plain = mixmend(*arguments, "--inference", "variational", "-k", "6", "--holdout", "0")
    assert f"Gaussian mixture, {model.n_components_} component" in plain.out


def test_variational_fits_without_a_prior_are_refused(mixmend, ratings_file, tmp_path):
    both = ["--inference", "variational", "--prior", "none"]
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", *both)
    assert done.code == 2
    assert done.err == (
        "mixmend: error: Invalid value for '--inference variational' / '--prior none': variational "
        "fits need a prior; choose one of the two. See 'mixmend fit --help'.\n"
    )


def test_factors_can_be_fitted_instead(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    arguments = ["fit", ratings_file, "-m", output, "--model", "als"]
    done = mixmend(*arguments, "-k", "1-3", "--json")
    assert done.code == 0, done.err
    report = done.json
    sizes = [row["n_components"] for row in report["candidates"]]
    assert sizes[:3] == [1, 2, 3]
    best = min(report["candidates"][:3], key=lambda row: row["rmse"])
    assert sizes[3:] == [best["n_components"]]  # once more, with what was observed as features
    assert report["chosen"]["rmse"] == min(row["rmse"] for row in report["candidates"])
    model = mm.load(output)
    assert isinstance(model, mm.MatrixFactorization)
    assert model.n_factors == report["model"]["n_components"]
    assert model.n_iter_ == report["chosen"]["steps"]
    assert report["heldout"]["rmse"] < 0.7
    plain = mixmend(*arguments, "-k", "2")
    assert "2 factors, with row and column effects" in plain.out
    assert "factors" in mixmend("info", output).out
    row = str(mm.read_ratings(ratings_file).row_labels[0])
    recommended = mixmend("recommend", output, ratings_file, "--row", row, "--json")
    assert recommended.code == 0, recommended.err


def test_similar_columns_of_factors(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    assert mixmend("fit", ratings_file, "-m", output, "--model", "als", "-k", "2").code == 0
    model = mm.load(output)
    label = str(model.column_labels_[3])
    done = mixmend("similar", output, "--column", label, "-n", "4", "--json")
    assert done.code == 0, done.err
    columns, cosines = model.similar(3, 4)
    found = done.json["similar"]
    assert [row["rank"] for row in found] == [1, 2, 3, 4]
    assert [row["column"] for row in found] == model.column_labels_[columns].tolist()
    assert [row["cosine"] for row in found] == cosines.tolist()
    titles = tmp_path / "titles.csv"
    titles.write_text(f"id,title\n{model.column_labels_[columns[0]]},The first\n")
    plain = mixmend("similar", output, "--column", label, "-n", "2", "--titles", titles)
    assert "The first" in plain.out
    assert f"1 of 2 columns have no title in {titles}." in plain.err
    wrong = mixmend("similar", output, "--column", "nothing like it")
    assert wrong.code == 2
    assert wrong.err.startswith(f"mixmend: error: {output}: ")


def test_a_mixture_has_no_similar_columns(mixmend, ratings_file, tmp_path):
    output = tmp_path / "m.mixmend"
    assert mixmend("fit", ratings_file, "-m", output, "-k", "1", "--center", "none").code == 0
    done = mixmend("similar", output, "--column", "1")
    assert done.code == 2
    assert done.err == (
        f"mixmend: error: {output} is a GaussianMixture, which has no factors to compare columns "
        "by. Fit one that has: mixmend fit RATINGS -m MODEL --model als.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--select", "bic"],
            "Invalid value for '--select bic': factors are chosen by held-out entries.",
        ),
        (
            ["--center", "rows"],
            "Invalid value for '--center': factors always stand beside effects of rows and "
            "columns.",
        ),
    ],
)
def test_factors_refuse_what_they_do_not_know(
    mixmend, ratings_file, tmp_path, arguments, complaint
):
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", "--model", "als", *arguments)
    assert done.code == 2
    assert done.err == f"mixmend: error: {complaint} See 'mixmend fit --help'.\n"


def test_the_largest_k_being_the_best_is_said(mixmend, ratings_file, tmp_path):
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", "-k", "1,2", "--center", "none")
    assert done.err == (
        "mixmend: note: the largest K tried, 2, was the best: see -k to try larger ones.\n"
    )


def test_holdout_0_measures_nothing(mixmend, ratings_file, tmp_path):
    arguments = ["fit", ratings_file, "-m", tmp_path / "m", "-k", "2", "--center", "none", "--json"]
    assert mixmend(*arguments, "--holdout", "0").json["heldout"] is None
    quarter = mixmend(*arguments, "--holdout", "0.25").json
    assert quarter["heldout"]["n"] == round(0.25 * quarter["ratings"]["observed"])


def test_too_little_data_to_hold_some_out_is_said(mixmend, tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("user,item,rating\n" + "".join(f"a{u},b{u % 3},{u}\n" for u in range(9)))
    done = mixmend("fit", path, "-m", tmp_path / "m", "-k", "1", "--center", "none")
    assert done.code == 0
    assert done.err == (
        "mixmend: note: too few entries (9) to hold some out: errors are not measured.\n"
    )


def test_the_provenance_says_from_what_and_how_good(mixmend, ratings_file, tmp_path):
    from mixmend.files.models import read_model_header

    mixmend("fit", ratings_file, "-m", tmp_path / "m", "-k", "2", "--center", "none")
    provenance = read_model_header(tmp_path / "m")["provenance"]
    assert provenance["ratings"]["path"] == str(ratings_file)
    assert provenance["heldout"]["rmse"] < 0.6


def test_the_report_for_people_names_the_model_and_its_errors(mixmend, ratings_file, tmp_path):
    done = mixmend("fit", ratings_file, "-m", tmp_path / "m", "-k", "1,2", "--center", "rows")
    lines = done.out.splitlines()
    assert lines[0] == "Candidates, on entries held out for the choice"
    assert lines[1].split() == [
        *["K", "center", "RMSE", "MAE", "log-likelihood", "90", "%", "coverage", "seconds"]
    ]
    assert sum(line.endswith("chosen") for line in lines) == 1
    assert any(
        line.startswith("model")
        and line.endswith("Gaussian mixture, 2 components, with row offsets")
        for line in lines
    )


def test_ctrl_c_in_the_last_fit_saves_the_best_so_far_and_says_so(
    mixmend, ratings_file, tmp_path, monkeypatch
):
    def pressed(gain, state, iteration):
        # after the few steps in which a start goes its way; before that nothing is kept
        if iteration == 8 and len(state.parameters.weights) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("mixmend.em.engine._check_rise", pressed)
    output = tmp_path / "m.mixmend"
    only = ["-k", "2", "--center", "none", "--holdout", "0", "--tol", "0"]
    done = mixmend("fit", ratings_file, "-m", output, *only)
    assert (done.code, done.out) == (130, "")
    first, last = done.err.splitlines()
    assert re.match(
        r"mixmend: note: Interrupted after \d+ steps: the best parameters so far", first
    )
    assert last == (
        "mixmend: error: interrupted while choosing and fitting the mixture. "
        f"Done before: reading {ratings_file}, writing {output}. Written: {output}."
    )
    assert not mm.load(output).converged_


# ------------------------------------------------------------------------------ predict


def test_predict_writes_what_the_library_predicts(
    mixmend, model_file, ratings_file, pairs_file, tmp_path
):
    output = tmp_path / "out.csv"
    done = mixmend("predict", model_file, ratings_file, pairs_file, "-o", output, "--interval", 0.8)
    assert done.code == 0, done.err
    lines = read_csv(output)
    assert [(line["user"], line["item"]) for line in lines] == [
        ("u03", "i05"),
        ("u41", "i00"),
        ("u03", "i19"),
    ]
    model, obs = mm.load(model_file), mm.read_ratings(ratings_file)
    beliefs = model.predictive(obs, [3, 41, 3], [5, 0, 19])
    for key, expected in {
        "rating": predictive.mean(beliefs),
        "std": predictive.std(beliefs),
        "lower": predictive.interval(beliefs, 0.8).lower,
        "upper": predictive.interval(beliefs, 0.8).upper,
    }.items():
        np.testing.assert_allclose([float(line[key]) for line in lines], expected, rtol=1e-12)


def test_predict_folds_in_new_rows_and_reordered_columns(mixmend, model_file, tmp_path):
    ratings, pairs = tmp_path / "new.csv", tmp_path / "pairs.csv"
    ratings.write_text("user,item,rating\nnew,i07,4\nnew,i02,2\nnew,elsewhere,5\n")
    pairs.write_text("user,item\nnew,i00\n")
    output = tmp_path / "out.csv"
    done = mixmend("predict", model_file, ratings, pairs, "-o", output, "--no-std", "--json")
    assert done.code == 0, done.err
    assert done.json["notes"] == [
        f"1 of 3 entries of {ratings} are in columns that the model does not know, "
        "and are left out."
    ]
    row = np.full((1, 20), np.nan)
    row[0, [7, 2]] = [4, 2]
    expected = mm.load(model_file).predict_entries(row, [0], [0])[0]
    (line,) = read_csv(output)
    assert list(line) == ["user", "item", "rating"]
    assert float(line["rating"]) == pytest.approx(expected, rel=1e-12)


def test_a_model_for_other_columns_is_refused(mixmend, model_file, tmp_path):
    ratings, output = tmp_path / "other.csv", tmp_path / "out.csv"
    ratings.write_text("user,item,rating\nu1,aspirin,4\nu1,zinc,2\n")
    done = mixmend("predict", model_file, ratings, ratings, "-o", output)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"mixmend: error: {model_file} was made for other columns: none of those of {ratings}, "
        "such as 'aspirin', 'zinc', is among its own, such as 'i00', 'i01', 'i02'. "
        "Give ratings of its columns, or fit a new model.\n"
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda raw: raw[:1000], "is truncated or damaged"),
        (lambda raw: b"user,item\n", "is not a model saved by mixmend"),
        (lambda raw: b"", "is empty"),
    ],
)
def test_a_spoiled_model_is_one_line(mixmend, model_file, ratings_file, tmp_path, spoil, complaint):
    spoiled = tmp_path / "spoiled.mixmend"
    spoiled.write_bytes(spoil(model_file.read_bytes()))
    done = mixmend("recommend", spoiled, ratings_file, "--row", "u07")
    assert (done.code, done.out) == (2, "")
    assert str(spoiled) in done.err
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_unknown_pairs_are_an_error_unless_told_otherwise(
    mixmend, model_file, ratings_file, tmp_path
):
    pairs, output = tmp_path / "pairs.csv", tmp_path / "out.csv"
    pairs.write_text("user,item\nu03,i05\nnobody,i05\nu03,nothing\n")
    arguments = ["predict", model_file, ratings_file, pairs, "-o", output]
    done = mixmend(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"mixmend: error: {pairs}: 1 unknown row label: 'nobody'. Known are such as 'u00', 'u01', "
        "'u02'. To leave such pairs out, give --unknown skip; to predict unknown rows from the "
        "prior alone, --unknown prior.\n"
    )
    assert not output.exists()

    report = mixmend(*arguments, "--unknown", "skip", "--json").json
    assert (report["predicted"], report["skipped"], report["from_prior"]) == (1, 2, 0)
    assert [line["user"] for line in read_csv(output)] == ["u03"]

    report = mixmend(*arguments, "--unknown", "prior", "--json").json
    assert (report["predicted"], report["skipped"], report["from_prior"]) == (2, 1, 1)
    model = mm.load(model_file)
    expected = model.predict_entries(np.full((1, 20), np.nan), [0], [5])[0]
    assert float(read_csv(output)[1]["rating"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_predictions_are_written_in_the_format_of_the_ending(
    mixmend, model_file, ratings_file, pairs_file, tmp_path, ending
):
    import polars as pl

    output = tmp_path / f"out{ending}"
    assert mixmend("predict", model_file, ratings_file, pairs_file, "-o", output).code == 0
    if ending == ".parquet":
        frame = pl.read_parquet(output)
    else:
        frame = pl.read_csv(output, separator="\t" if ending == ".tsv" else ",")
    assert frame.columns == ["user", "item", "rating", "std"]
    assert frame["user"].to_list() == ["u03", "u41", "u03"]


# ------------------------------------------------------------------------------ recommend


def test_recommend_lists_the_best_unseen_columns(mixmend, model_file, ratings_file, tmp_path):
    titles = tmp_path / "titles.csv"
    titles.write_text("id,title\n" + "".join(f"i{i:02d},Film {i}\n" for i in range(20)))
    arguments = ["recommend", model_file, ratings_file, "--row", "u07", "-n", "3"]
    entries = mixmend(*arguments, "--titles", titles, "--json").json["recommendations"]
    model, obs = mm.load(model_file), mm.read_ratings(ratings_file)
    columns, scores = model.recommend(obs, 3, rows=[7])
    assert [entry["column"] for entry in entries] == obs.column_labels[columns[0]].tolist()
    np.testing.assert_allclose([entry["mean"] for entry in entries], scores[0], rtol=1e-12)
    assert [entry["title"] for entry in entries] == [f"Film {i}" for i in columns[0]]
    assert [entry["rank"] for entry in entries] == [1, 2, 3]
    seen = obs.column_labels[obs.row(7)[0]]
    assert not set(seen) & {entry["column"] for entry in entries}

    plain = mixmend(*arguments).out.splitlines()
    assert plain[0] == "For row u07"
    assert plain[1].split() == ["rank", "column", "expected", "±", "std"]
    assert len(plain) == 5


def test_recommend_takes_several_rows_and_says_what_has_no_title(
    mixmend, model_file, ratings_file, tmp_path
):
    titles = tmp_path / "titles.csv"
    titles.write_text("id,title\nelsewhere,Film\n")
    done = mixmend(
        *["recommend", model_file, ratings_file, "--row", "u07", "--row", "u08", "-n", 2],
        *["--titles", titles],
    )
    assert done.err == f"mixmend: note: 4 of 4 columns have no title in {titles}.\n"
    assert [line for line in done.out.splitlines() if line.startswith("For")] == [
        "For row u07",
        "For row u08",
    ]


def test_an_unknown_row_is_named(mixmend, model_file, ratings_file):
    done = mixmend("recommend", model_file, ratings_file, "--row", "42")
    assert done.code == 2
    assert done.err == (
        f"mixmend: error: {ratings_file}: 1 unknown row label: '42'. "
        "Known are such as 'u00', 'u01', 'u02'.\n"
    )


def test_recommend_names_the_columns_of_the_file_without_clashing_with_its_row(
    mixmend, model_file, tmp_path
):
    ratings = tmp_path / "odd.csv"
    ratings.write_text("who,what,much\nu1,i00,2\nu1,i01,4\n")
    done = mixmend(
        *["recommend", model_file, ratings, "--row", "u1", "-n", 1, "--json"],
        *["--row-name", "who", "--column", "what", "--value", "much"],
    )
    assert done.code == 0, done.err
    assert done.json["recommendations"][0]["row"] == "u1"
