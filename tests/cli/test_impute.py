"""Impute: from a table with holes to the same table without, or to one line and nothing."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

import mixmend as mm
from mixmend.mixtures.options import COVARIANCE_TYPES

BEST = "full" if "full" in COVARIANCE_TYPES else "spherical"
MODEL = ["--covariance", BEST]


@pytest.fixture
def frame(rng) -> pl.DataFrame:
    """Sixty rows with one number behind all columns, and holes in all but the first."""
    latent = rng.normal(size=60)
    noise = 0.3 * rng.normal(size=(60, 5))
    columns = {
        "id": [f"p{j:02d}" for j in range(60)],
        "age": (50 + 10 * latent + noise[:, 0]).round().astype(int).tolist(),
        "dose": (2.0 + latent + noise[:, 1]).round(2).tolist(),
        "well": (latent + noise[:, 2] > 0).tolist(),
        "day": [dt.date(2024, 1, 1) + dt.timedelta(int(30 * x)) for x in latent + noise[:, 3]],
        "city": ["Rome" if x > 0 else "Oslo" for x in latent + noise[:, 4]],
    }
    for name in list(columns)[1:]:
        for j in rng.choice(60, 9, replace=False):
            columns[name][j] = None
    return pl.DataFrame(columns)


@pytest.fixture
def table(tmp_path, frame):
    path = tmp_path / "t.csv"
    frame.write_csv(path, null_value="NA")
    return path


def test_every_column_is_filled_in_its_type(mixmend, table, frame, tmp_path):
    output = tmp_path / "out.csv"
    done = mixmend("impute", table, "-o", output, *MODEL, "--one-hot", "--json")
    assert done.code == 0, done.err
    filled = pl.read_csv(output, try_parse_dates=True)
    assert filled.null_count().sum_horizontal().item() == 0
    assert filled.dtypes == [pl.String, pl.Float64, pl.Float64, pl.Boolean, pl.Date, pl.String]
    before, after = table.read_text().splitlines(), output.read_text().splitlines()
    for old, new in zip(before, after, strict=True):
        for old_cell, new_cell in zip(old.split(","), new.split(","), strict=True):
            assert old_cell in ("NA", new_cell)
    told = done.json
    assert set(told) == {
        *("command", "mixmend", "table", "model", "columns", "draws", "output", "notes", "seconds"),
    }
    assert told["table"] == {"path": str(table), "rows": 60, "columns": 6, "holes": 45}
    assert [(row["name"], row["holes"], row["filled"]) for row in told["columns"]] == [
        ("id", 0, 0),
        *((name, 9, 9) for name in ("age", "dose", "well", "day", "city")),
    ]
    assert told["model"]["covariance_type"] == BEST
    assert told["output"] == [{"path": str(output), "n_bytes": output.stat().st_size}]


def test_what_is_filled_is_what_the_imputer_says(mixmend, table, frame, tmp_path):
    output = tmp_path / "out.parquet"
    arguments = ["impute", table, "-o", output, *MODEL, "--std-columns"]
    assert mixmend(*arguments).code == 0
    filled = pl.read_parquet(output)
    numbers = frame.select(
        "age", "dose", pl.col("well").cast(float), pl.col("day").to_physical()
    ).cast(pl.Float64)
    imputer = mm.MixtureImputer(1, BEST, n_init=3, random_state=0).fit(numbers.to_numpy())
    expected, std = imputer.transform(numbers.to_numpy()), imputer.transform_std(numbers.to_numpy())
    np.testing.assert_allclose(filled["age"], expected[:, 0])
    np.testing.assert_allclose(filled["dose"], expected[:, 1])
    np.testing.assert_array_equal(filled["well"].to_numpy(), expected[:, 2] >= 0.5)
    np.testing.assert_array_equal(filled["day"].to_physical().to_numpy(), np.rint(expected[:, 3]))
    for j, name in enumerate(["age", "dose", "well", "day"]):
        np.testing.assert_allclose(filled[f"{name}_std"], std[:, j])
    assert filled["city"].to_list() == frame["city"].to_list()


def test_several_mixtures_are_averaged_when_asked(mixmend, table, frame, tmp_path):
    output = tmp_path / "out.parquet"
    arguments = ["impute", table, "-o", output, "-k", "auto", "--n-init", "1", "--std-columns"]
    told = json.loads(mixmend(*arguments, "--json").out)
    numbers = frame.select(
        "age", "dose", pl.col("well").cast(float), pl.col("day").to_physical()
    ).cast(pl.Float64)
    imputer = mm.MixtureImputer("auto", random_state=0).fit(numbers.to_numpy())
    filled = pl.read_parquet(output)
    np.testing.assert_allclose(filled["age"], imputer.transform(numbers.to_numpy())[:, 0])
    shares = [mixture["share"] for mixture in told["model"]["mixtures"]]
    np.testing.assert_allclose(shares, imputer.stack_.shares)
    assert told["model"]["n_components"] == "auto"
    assert told["model"]["spread"] == pytest.approx(imputer.stack_.spread)
    said = mixmend(*arguments).out
    assert f"average of {len(shares)} mixtures, spread {imputer.stack_.spread:.3g}" in said
    # without doubt about the covariances the deviations are others
    sure = ["--no-parameter-uncertainty", "-k", "1"]
    assert mixmend(*arguments[:4], "--std-columns", "-k", "1").code == 0
    wide = pl.read_parquet(output)["age_std"].to_numpy()
    assert mixmend(*arguments[:4], "--std-columns", *sure).code == 0
    narrow = pl.read_parquet(output)["age_std"].to_numpy()
    assert np.all(wide[wide > 0] > narrow[wide > 0])


def test_the_summary_says_what_changed(mixmend, table, tmp_path):
    done = mixmend("impute", table, "-o", tmp_path / "out.parquet", *MODEL)
    lines = [line.split("  ") for line in done.out.splitlines()]
    lines = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert lines[:7] == [
        ["column", "holds", "holes", "filled with", "note"],
        ["id", "text", "0", "left as it is", "text"],
        [
            *("age", "integer", "9", "expected value"),
            "Int64 becomes Float64; --round-integers keeps it whole",
        ],
        ["dose", "float", "9", "expected value", "–"],
        ["well", "boolean", "9", "more probable of true and false", "–"],
        [
            *("day", "date", "9", "expected value"),
            "by way of days since 1970, rounded to whole days",
        ],
        ["city", "text", "9", "left as it is", "text"],
    ]
    assert "read   60 rows × 6 columns, 45 holes" in done.out
    assert f"model  1 component, {BEST}, log-likelihood" in done.out


def test_the_summary_of_draws_speaks_of_draws(mixmend, table, tmp_path):
    options = ["--draws", "2", "--one-hot", "--round-integers", "--json"]
    done = mixmend("impute", table, "-o", tmp_path / "out.csv", *MODEL, *options)
    methods = {column["name"]: column["method"] for column in json.loads(done.out)["columns"]}
    assert methods == {
        "id": "left as it is",
        "age": "draw, rounded",
        "dose": "draw",
        "well": "draw of true or false",
        "day": "draw",
        "city": "draw among its texts",
    }


def test_whole_numbers_stay_whole_when_asked(mixmend, table, tmp_path):
    output = tmp_path / "out.parquet"
    assert mixmend("impute", table, "-o", output, *MODEL, "--round-integers").code == 0
    assert pl.read_parquet(output).schema["age"] == pl.Int64


def test_draws_go_into_files_of_their_own(mixmend, table, frame, tmp_path):
    output = tmp_path / "out.csv.gz"
    done = mixmend("impute", table, "-o", output, *MODEL, "--draws", "3", "--decimals", "3")
    assert done.code == 0, done.err
    assert not output.exists()
    tables = [pl.read_csv(tmp_path / f"out_{number}.csv.gz") for number in (1, 2, 3)]
    hole = frame["dose"].is_null()
    draws = np.array([t["dose"].to_numpy() for t in tables])
    np.testing.assert_array_equal(np.ptp(draws, axis=0) > 0, hole.to_numpy())
    assert all(t["dose"].round(3).equals(t["dose"]) for t in tables)
    assert f"files  {tmp_path / 'out_1.csv.gz'}, " in done.out


def test_draws_go_into_one_long_file_when_asked(mixmend, table, tmp_path):
    short, long = tmp_path / "out.csv", tmp_path / "long.parquet"
    draws = ["--draws", "2", "--round-integers"]
    assert mixmend("impute", table, "-o", short, *MODEL, *draws).code == 0
    arguments = ["impute", table, "-o", long, *MODEL, *draws, "--draws-layout", "long"]
    assert mixmend(*arguments).code == 0
    whole = pl.read_parquet(long)
    assert whole.columns[0] == "draw"
    assert whole["draw"].to_list() == [1] * 60 + [2] * 60
    for number in (1, 2):
        one = pl.read_csv(tmp_path / f"out_{number}.csv")
        np.testing.assert_allclose(one["dose"], whole.filter(draw=number)["dose"])
        assert one["age"].to_list() == whole.filter(draw=number)["age"].to_list()
    clash = tmp_path / "clash.csv"
    clash.write_text("draw,x\n1,2\n3,NA\n4,5\n")
    refused = mixmend("impute", clash, *arguments[2:])
    assert refused.code == 2
    assert f"{clash} has a column 'draw' already" in refused.err


def test_options_change_the_result(mixmend, table, frame, tmp_path):
    def dose(*options: str) -> list[float]:
        output = tmp_path / "out.parquet"
        done = mixmend("impute", table, "-o", output, "--covariance", "spherical", *options)
        assert done.code == 0, done.err
        return pl.read_parquet(output)["dose"].to_list()

    plain = dose()
    assert dose() == plain
    assert dose("-k", "2") != plain
    assert dose("-k", "2", "--min-variance", "0.9") != dose("-k", "2")
    assert dose("-k", "2", "--max-iter", "1") != dose("-k", "2")
    assert dose("-k", "2", "--tol", "0.1") != dose("-k", "2", "--tol", "1e-9")
    assert dose("-k", "8", "--n-init", "1") != dose("-k", "8", "--n-init", "5")
    drawn = ["--draws", "1", "--draws-layout", "long"]
    assert dose(*drawn) == dose(*drawn)
    assert dose(*drawn, "--random-state", "1") != dose(*drawn)
    assert dose("--leave", "dose") == ["NA" if x is None else str(x) for x in frame["dose"]]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--covariance", "factor", "--rank", "1"], {"covariance_type": "factor", "n_factors": 1}),
        (
            ["--inference", "variational", "-k", "5"],
            {"n_components": 5, "inference": "variational"},
        ),
        (["--init", "random", "-k", "2"], {"n_components": 2, "init_params": "random"}),
        (["--init", "kmeans", "-k", "2"], {"n_components": 2, "init_params": "kmeans"}),
    ],
)
def test_fits_are_those_that_were_asked_for(mixmend, table, frame, tmp_path, options, asked):
    output = tmp_path / "out.parquet"
    numbers = ["age", "dose"]
    others = [f"--leave={name}" for name in frame.columns if name not in numbers]
    done = mixmend("impute", table, "-o", output, *others, *options, "--json")
    assert done.code == 0, done.err
    imputer = mm.MixtureImputer(**asked, n_init=3, random_state=0)
    X = frame[numbers].cast(pl.Float64).to_numpy()
    filled = pl.read_parquet(output)[numbers].to_numpy()
    np.testing.assert_allclose(filled, imputer.fit_transform(X), rtol=1e-9)
    told = done.json["model"]
    assert told["n_components"] == imputer.mixture_.n_components_
    assert told["n_factors"] == asked.get("n_factors")
    assert told["inference"] == asked.get("inference", "em")


def test_the_rank_of_factors_is_said(mixmend, table, tmp_path):
    factor = ["--covariance", "factor", "--rank", "1"]
    done = mixmend("impute", table, "-o", tmp_path / "out.csv", *factor)
    assert "1 component, factor of rank 1, log-likelihood" in done.out


@pytest.mark.skipif(BEST == "spherical", reason="only spherical covariances in this version")
def test_the_prior_keeps_a_short_table_from_being_fitted_too_closely(mixmend, table, tmp_path):
    doses = {}
    for prior in ("default", "none"):
        output = tmp_path / f"{prior}.parquet"
        assert mixmend("impute", table, "-o", output, *MODEL, "--prior", prior).code == 0
        doses[prior] = pl.read_parquet(output)["dose"].to_list()
    assert doses["default"] != doses["none"]


def test_how_a_text_is_read_can_be_said(mixmend, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("1_5_é\n2_-9_é\n3_7_ü\n4_8_ü\n".encode("latin-1"))
    output = tmp_path / "out.csv"
    done = mixmend(
        *("impute", path, "-o", output, *MODEL, "--separator", "_", "--no-header"),
        *("--missing", "-9", "--missing", "none", "--encoding", "latin-1"),
    )
    assert done.code == 0, done.err
    assert (
        "mixmend: note: the file does not name its columns: they are called column_1, column_2, …"
        in done.err
    )
    lines = output.read_text().splitlines()
    assert lines[:2] == ["column_1,column_2,column_3", "1,5,é"]
    assert lines[2].startswith("2,")
    assert not lines[2].startswith("2,-9")


def test_rows_with_nothing_observed_are_said(mixmend, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,x,y\nann,1,2\nbob,,\ncid,3,5\ndan,4,4\n")
    done = mixmend("impute", path, "-o", tmp_path / "out.csv", *MODEL)
    assert done.code == 0, done.err
    assert (
        "mixmend: note: 1 row with nothing observed: filled with what is expected of any row.\n"
        in done.err
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,b\n" + "1,2\n" * 20 + "1,x\n",
            [],
            "t.csv, line 22, column 'b': 'x' is not a number, as nearly all other cells of the "
            "column are. Correct it; if it marks a hole, give missing='x' (--missing); if the "
            "column holds text, give leave='b' (--leave).",
        ),
        (
            "a,b\nx,y\nz,w\n",
            [],
            "t.csv has no column with numbers to learn from. Text columns take part with "
            "--one-hot (one_hot=True).",
        ),
        (
            "a,b\n1,2\n3,NA\n",
            ["-k", "5"],
            "n_components=5 is more than the 2 rows of X (n_samples=2). Ask for at most 2 "
            "components or give more rows.",
        ),
        (
            "a,b\n1,2\n",
            ["-k", "many"],
            "Invalid value for '--components' / '-k': 'many' is neither a whole number of at "
            "least 1 nor 'auto'. See 'mixmend impute --help'.",
        ),
        (
            "a,b\n1,2\n2,\n",
            ["-k", "auto", "--covariance", "tied"],
            "n_components='auto' chooses covariances and priors itself; leave covariance_type at "
            "'full', or give a number of components. It is 'tied'.",
        ),
        (
            "a,b\n1,2\n2,\n",
            ["--covariance", "factor"],
            "Invalid value for '--covariance factor': needs --rank R, along how many directions "
            "columns vary together: for example --rank 3. See 'mixmend impute --help'.",
        ),
        (
            "a,b\n1,2\n2,\n",
            ["--covariance", "tied", "--rank", "1"],
            "Invalid value for '--rank': goes with --covariance factor, and it is tied. See "
            "'mixmend impute --help'.",
        ),
        (
            "a,b\n1,2\n2,3\n4,\n",
            ["--covariance", "factor", "--rank", "2"],
            "n_factors=2 must be less than the 2 columns of X (n_features=2); with as many, use "
            "covariance_type='full'.",
        ),
        (
            "a,b\n1,2\n2,\n",
            ["--inference", "variational", "--prior", "none"],
            "Invalid value for '--inference variational' / '--prior none': variational fits need "
            "a prior; choose one of the two. See 'mixmend impute --help'.",
        ),
        (
            "a,b\n1,2\n2,\n",
            ["-k", "auto", "--init", "random"],
            "n_components='auto' chooses covariances and priors itself; leave init_params at "
            "'k-means++', or give a number of components. It is 'random'.",
        ),
        ("a,b\n1,2\n", ["--leave", "c"], "t.csv has no column 'c' to leave as it is."),
        (
            "a,b\n1,2\n",
            ["--draws", "2", "--std-columns"],
            "Invalid value for '--std-columns': draws show the spread themselves; choose one of "
            "the two. See 'mixmend impute --help'.",
        ),
        ("a,b\n1,2\n", ["-o", "out.xlsx"], "Cannot write out.xlsx: its name does not say"),
        ("a,b\n1,2\n", ["-o", "t.csv"], "Cannot write t.csv: it is the input."),
        (
            "a,a_std\n1,2\n3,4\n,5\n",
            ["--std-columns"],
            "t.csv has a column 'a_std' already: there is no place for the deviations of 'a'.",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    mixmend, tmp_path, monkeypatch, text, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(text)
    done = mixmend("impute", "t.csv", "-o", "out.csv", *MODEL, *options)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(f"mixmend: error: {message}")
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == text
