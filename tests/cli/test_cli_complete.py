"""Complete: from a file with holes to a file without, whole or absent."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

import mixmend as mm
from mixmend.completion import predictive

ONE = ["-k", "2", "--center", "none", "--holdout", "0"]


@pytest.fixture
def expected(ratings_file):
    """The model that ``ONE`` stands for, and the data."""
    obs = mm.read_ratings(ratings_file)
    return mm.GaussianMixture(2, prior="default", n_init=3, tol=1e-5, random_state=0).fit(obs), obs


def test_every_hole_is_written_once_with_its_uncertainty(mixmend, ratings_file, tmp_path, expected):
    output = tmp_path / "out.parquet"
    done = mixmend("complete", ratings_file, "-o", output, *ONE, "--interval", "0.9", "--json")
    assert done.code == 0, done.err
    frame = pl.read_parquet(output)
    assert frame.columns == ["user", "item", "rating", "std", "lower", "upper"]
    model, obs = expected
    rows, columns = np.nonzero(np.isnan(obs.dense))
    assert frame["user"].to_list() == obs.row_labels[rows].tolist()
    assert frame["item"].to_list() == obs.column_labels[columns].tolist()
    beliefs = model.predictive(obs, rows, columns)
    ends = predictive.interval(beliefs, 0.9)
    for name, numbers in {
        "rating": predictive.mean(beliefs),
        "std": predictive.std(beliefs),
        "lower": ends.lower,
        "upper": ends.upper,
    }.items():
        np.testing.assert_allclose(frame[name].to_numpy(), numbers, rtol=1e-6, atol=1e-6)
    written = done.json["output"]
    assert written["path"] == str(output)
    assert written["n_records"] == len(rows)
    assert written["n_bytes"] == output.stat().st_size
    assert set(done.json) == {
        *("command", "mixmend", "ratings", "criterion", "candidates", "chosen", "model"),
        *("heldout", "output", "notes", "seconds"),
    }


def test_all_writes_observed_cells_as_they_were(mixmend, ratings_file, tmp_path, expected):
    output = tmp_path / "out.csv"
    assert mixmend("complete", ratings_file, "-o", output, *ONE, "--all", "--no-std").code == 0
    frame = pl.read_csv(output)
    _, obs = expected
    assert frame.columns == ["user", "item", "rating", "observed"]
    assert frame.height == 60 * 20
    seen = frame.filter(pl.col("observed"))
    np.testing.assert_array_equal(seen["rating"].to_numpy(), obs.by_row.values)


def test_the_wide_layout_is_the_matrix(mixmend, ratings_file, tmp_path, expected):
    output = tmp_path / "out.csv"
    arguments = ["complete", ratings_file, "-o", output, *ONE, "--layout", "wide"]
    assert mixmend(*arguments, "--decimals", "4").code == 0
    frame = pl.read_csv(output)
    model, obs = expected
    assert frame.columns == ["user", *obs.column_labels.tolist()]
    np.testing.assert_allclose(frame.drop("user").to_numpy(), model.complete(obs), atol=5.1e-5)

    refused = mixmend(*arguments, "--interval", "0.9")
    assert refused.code == 2
    assert refused.err == (
        "mixmend: error: Invalid value for '--interval': a wide table holds values only; for "
        "intervals write the long one. See 'mixmend complete --help'.\n"
    )


def test_columns_are_called_as_in_the_input(mixmend, tmp_path, made_ratings):
    rows, columns, values = made_ratings
    path, output = tmp_path / "lab.tsv", tmp_path / "out.tsv"
    cells = np.argwhere(~np.isnan(values))
    lines = [f"{rows[u]}\t{columns[i]}\t{values[u, i]}" for u, i in cells]
    path.write_text("patient\tassay\tlevel\n" + "\n".join(lines) + "\n")
    done = mixmend(
        *["complete", path, "-o", output, *ONE],
        *["--row", "patient", "--column", "assay", "--value", "level"],
    )
    assert done.code == 0, done.err
    assert output.read_text().splitlines()[0] == "patient\tassay\tlevel\tstd"


def test_the_table_names_what_was_done(mixmend, ratings_file, tmp_path):
    output = tmp_path / "out.csv.gz"
    done = mixmend("complete", ratings_file, "-o", output, "-k", "1,2", "--center", "none")
    assert done.code == 0
    facts = {line[:15].strip(): line[15:].strip() for line in done.out.splitlines()[5:]}
    assert facts["model"] == "Gaussian mixture, 2 components"
    assert facts["file"] == str(output)
    assert float(facts["held-out RMSE"]) < 0.6
    assert facts["coverage"].endswith("held-out values in their 90% interval")
    assert "time" in facts


# ------------------------------------------------------------------------------ bad input


NO_ROLES = (
    "{path} has no column that is known to hold the rows (users), columns (items) and ratings. "
    "It has: 'name', 'a', 'b', 'c'. Name the right one with row=\"…\", column=\"…\", value=\"…\" "
    "(--row-name, --column-name, --value-name). If it is a wide table, one column per item, give "
    'layout="wide" (--input-layout wide). If its first line holds data, give header=False '
    "(--no-header)."
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "{path} is empty. Give a file with at least one rating."),
        (
            "user,item,rating\na,x,good\n",
            "{path}, line 2, column 'rating': 'good' is not a number. "
            "Correct the value or delete the line.",
        ),
        (
            "user,item,rating\na,x,1\nb,x,nan\n",
            "{path}, line 3, column 'rating': 'nan' is not a finite number. "
            "Correct the value or delete the line.",
        ),
        (
            "user,item,rating\na,x,-inf\nb,x,1\n",
            "{path}, line 2, column 'rating': '-inf' is not a finite number. "
            "Correct the value or delete the line.",
        ),
        (
            "user,item,rating\na,x,1\nb,y,2\na,x,3\n",
            "{path}, line 2 and line 4: the pair (a, x) is rated twice (1 and 3). Delete one of "
            'them, or say what counts with duplicates="first", "last" or "mean" (--duplicates).',
        ),
        (
            "user,item\na,x\n",
            "{path} has no column that is known to hold the ratings. It has: 'user', 'item'. Name "
            'the right one with value="…" (--value-name). If it is a wide table, one column per '
            'item, give layout="wide" (--input-layout wide).',
        ),
        ("name,a,b,c\nu,1,high,2\nv,2,3,4\n", NO_ROLES),
    ],
)
def test_bad_data_are_one_line_that_names_cause_and_cure(mixmend, tmp_path, text, line):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    done = mixmend("complete", path, "-o", tmp_path / "out.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"mixmend: error: {line.format(path=path)}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


def test_a_file_that_is_not_there_is_named(mixmend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = mixmend("complete", "no.csv", "-o", "out.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "mixmend: error: There is no file no.csv. "
        f"Check the name and the folder ({tmp_path} is the current one).\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wide_table_with_a_text_column_names_it(mixmend, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("name,a,b\nu,1,high\nv,2,3\n")
    arguments = ["complete", path, "-o", tmp_path / "out.csv", "--input-layout", "wide"]
    done = mixmend(*arguments, "--row", "name")
    assert done.code == 2
    assert done.err.startswith(
        f"mixmend: error: {path}, line 2, column 'b': 'high' is not a number"
    )
    assert done.err.count("\n") == 1


def test_duplicates_are_an_error_or_settled(mixmend, tmp_path):
    path, output = tmp_path / "twice.csv", tmp_path / "out.csv"
    lines = [f"u{u},i{i},{(u * i) % 5}" for u in range(8) for i in range(4)]
    path.write_text("\n".join(["user,item,rating", *lines[:-3], "u0,i1,4"]) + "\n")
    arguments = ["complete", path, "-o", output, *ONE, "--all"]
    done = mixmend(*arguments)
    assert done.code == 2
    assert "the pair (u0, i1) is rated twice (0 and 4)" in done.err
    for how, value in (("first", 0.0), ("last", 4.0), ("mean", 2.0)):
        assert mixmend(*arguments, "--duplicates", how).code == 0
        frame = pl.read_csv(output).filter((pl.col("user") == "u0") & (pl.col("item") == "i1"))
        assert frame["rating"].to_list() == [value]


def test_more_components_than_rows_are_refused(mixmend, ratings_file, tmp_path):
    done = mixmend("complete", ratings_file, "-o", tmp_path / "out.csv", *ONE[2:], "-k", "61")
    assert done.code == 2
    assert done.err == (
        "mixmend: error: n_components=61 is more than the 60 rows of X (n_samples=60). "
        "Ask for at most 60 components or give more rows.\n"
    )
    assert not (tmp_path / "out.csv").exists()


NOTHING_OBSERVED = [
    "mixmend: note: 1 row has nothing observed (lonely): kept, and predicted from the prior.",
    "mixmend: note: 2 columns have nothing observed (c, d): kept, and predicted from the prior.",
]


def test_what_is_empty_is_kept_predicted_and_said(mixmend, tmp_path):
    path, output = tmp_path / "wide.csv", tmp_path / "out.csv"
    # no two rows alike: a component on equal rows would collapse, and say so
    rows = [f"u{u},{u % 3 + u / 50},{(u + 1) % 3 + u / 70},," for u in range(30)]
    path.write_text("\n".join(["name,a,b,c,d", *rows, "lonely,,,,"]) + "\n")
    done = mixmend("complete", path, "-o", output, *ONE, "--input-layout", "wide", "--row", "name")
    assert done.code == 0, done.err
    assert done.err.splitlines() == NOTHING_OBSERVED
    frame = pl.read_csv(output)
    assert frame.filter(pl.col("name") == "lonely").height == 4
    assert frame.filter(pl.col("item") == "c").height == 31
    assert np.isfinite(frame["rating"].to_numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-k", "2,x"], "'2,x' is not a list of numbers of components; write 4, or 1,2,4, or 1-6"),
        (["--select", "luck"], "--select"),
        (["--center", "left"], "--center"),
        (["--holdout", "0.9"], "--holdout"),
        (["--interval", "1.5"], "--interval"),
        (["--n-init", "0"], "--n-init"),
        (["--nothing"], "No such option: --nothing"),
    ],
)
def test_usage_errors_are_one_line_before_any_work(
    mixmend, ratings_file, tmp_path, arguments, complaint
):
    done = mixmend("complete", ratings_file, "-o", tmp_path / "out.csv", *arguments)
    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere/out.csv", "there is no folder {folder}/nowhere. Make the folder first"),
        ("out.xls", "its name does not say in which format. Let it end in one of .parquet"),
        ("ratings.csv", "it is the input. Choose another name for the output."),
    ],
)
def test_a_bad_place_is_refused_before_the_work(mixmend, ratings_file, tmp_path, name, complaint):
    before = ratings_file.read_bytes()
    start = time.perf_counter()
    done = mixmend("complete", ratings_file, "-o", tmp_path / name)
    assert done.code == 2
    assert complaint.format(folder=tmp_path) in done.err
    assert done.err.count("\n") == 1
    assert time.perf_counter() - start < 5
    assert ratings_file.read_bytes() == before


def test_a_full_disk_leaves_nothing_behind(mixmend, ratings_file, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = mixmend("complete", ratings_file, "-o", tmp_path / "out.csv", *ONE)
    assert done.code == 2
    assert "the disk is full" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]


# ------------------------------------------------------------------------------ as a process


def test_it_runs_as_a_process_with_clean_streams(mixmend_process, ratings_file, tmp_path):
    done = mixmend_process("complete", ratings_file, "-o", tmp_path / "out.csv", *ONE, "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.json["command"] == "complete"
    missing = mixmend_process("complete", tmp_path / "no.csv", "-o", tmp_path / "out2.csv")
    assert missing.code == 2
    assert missing.out == ""
    assert missing.err.count("\n") == 1


def test_nobody_reading_the_table_is_no_error(ratings_file, tmp_path):
    command = [sys.executable, "-m", "mixmend", "complete", ratings_file, "-o", tmp_path / "o.csv"]
    process = subprocess.Popen(
        [*map(str, command), *ONE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert err == b""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX systems do")
def test_ctrl_c_ends_it_with_130_says_so_and_leaves_nothing(ratings_file, tmp_path):
    output = tmp_path / "out.csv"
    endless = ["-k", "1-12", "--tol", "0", "--max-iter", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mixmend", "complete", str(ratings_file), "-o", output, *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    # where it was after ten seconds depends on the machine, what it says does not
    assert re.fullmatch(
        r"mixmend: error: interrupted (while reading \S+|while choosing the mixture|between two "
        r"steps)\. "
        r"(Done before: reading \S+\. )?Nothing was written\.\n",
        err,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]
