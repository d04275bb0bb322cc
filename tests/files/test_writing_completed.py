"""Completed matrices in files: what is in them, how little memory it takes, and failures."""

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mixmend.errors import DataError, OutputError
from mixmend.files import completed, sinks
from mixmend.files.completed import CompletedRows, write_completed, write_predictions
from mixmend.files.ratings import read_ratings
from mixmend.observed.matrix import ObservedMatrix
from peak_memory import PEAK, told_by_the_system

NAN = np.nan
SUFFIXES = ["parquet", "pq", "arrow", "feather", "csv", "tsv", "csv.gz", "tsv.gz"]


@pytest.fixture
def obs():
    X = [[1.0, NAN, 3.0], [NAN, NAN, 0.5], [2.0, 4.5, NAN]]
    return ObservedMatrix.from_dense(X, row_labels=["ann", "bob", "cy"], column_labels=[30, 7, 11])


def filled(rng, shape=(3, 3)):
    return rng.normal(3, 1, shape), rng.uniform(0.1, 1, shape)


def chunks_of(mean, *others, sizes=(2, 1)):
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        yield CompletedRows(start, mean[part], *(other[part] for other in others))
        start += size


def read(path):
    name = str(path)
    if name.endswith(("parquet", "pq")):
        return pl.read_parquet(path)
    if name.endswith(("arrow", "feather")):
        return pl.read_ipc(path)
    return pl.read_csv(path, separator="\t" if ".tsv" in name else ",")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_table_of_the_holes(tmp_path, obs, rng, suffix):
    mean, std = filled(rng)
    path = tmp_path / f"out.{suffix}"
    summary = write_completed(path, obs, chunks_of(mean, std))
    table = read(path)
    assert table.columns == ["user", "item", "rating", "std"]
    assert table["user"].to_list() == ["ann", "bob", "bob", "cy"]
    assert table["item"].to_list() == [7, 30, 7, 11]
    holes = np.isnan(obs.dense)
    np.testing.assert_allclose(table["rating"], mean[holes], rtol=1e-6)
    np.testing.assert_allclose(table["std"], std[holes], rtol=1e-6)
    if "sv" not in suffix:
        assert table["rating"].dtype == pl.Float32
    assert (summary.n_records, summary.columns) == (4, ("user", "item", "rating", "std"))
    assert summary.n_bytes == path.stat().st_size
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_long_table_of_all_cells_tells_which_were_observed(tmp_path, obs, rng, suffix):
    mean, std = filled(rng)
    path = tmp_path / f"out.{suffix}"
    chunks = chunks_of(mean, std, mean - std, mean + std)
    write_completed(path, obs, chunks, holes_only=False, value_name="x")
    table = read(path)
    assert table.columns == ["user", "item", "x", "std", "lower", "upper", "observed"]
    assert table["user"].to_list() == ["ann"] * 3 + ["bob"] * 3 + ["cy"] * 3
    assert table["item"].to_list() == [30, 7, 11] * 3
    np.testing.assert_array_equal(table["observed"], ~np.isnan(obs.dense).ravel())
    wanted = np.where(np.isnan(obs.dense), mean, obs.dense)
    np.testing.assert_allclose(table["x"], wanted.ravel(), rtol=1e-6)
    np.testing.assert_allclose(table["upper"], (mean + std).ravel(), rtol=1e-6)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "tsv.gz"])
@pytest.mark.parametrize("stored", ["dense", "entries"])
def test_wide_table(tmp_path, obs, rng, suffix, stored):
    if stored == "entries":
        obs = ObservedMatrix(
            obs.shape, by_row=obs.by_row, row_labels=obs.row_labels, column_labels=obs.column_labels
        )
    mean, _ = filled(rng)
    path = tmp_path / f"out.{suffix}"
    summary = write_completed(path, obs, chunks_of(mean), layout="wide", row_name="who")
    table = read(path)
    assert table.columns == ["who", "30", "7", "11"]
    assert table["who"].to_list() == ["ann", "bob", "cy"]
    wanted = np.where(np.isnan(obs.dense), mean, obs.dense)
    np.testing.assert_allclose(table.drop("who").to_numpy(), wanted, rtol=1e-6)
    assert summary.n_records == 3


def test_observed_values_stay_exactly_what_they_were(tmp_path, obs, rng):
    mean, _ = filled(rng)
    precise = obs.with_values(obs.entries()[2] + 0.1)  # 1.1 is no float32
    write_completed(tmp_path / "a.parquet", precise, chunks_of(mean), layout="wide", decimals=0)
    table = read(tmp_path / "a.parquet").drop("user").to_numpy()
    np.testing.assert_array_equal(table[~np.isnan(obs.dense)], precise.entries()[2])
    holes = np.isnan(obs.dense)
    np.testing.assert_array_equal(table[holes], np.round(mean[holes]))
    write_completed(tmp_path / "b.parquet", obs, chunks_of(mean), layout="wide")
    assert read(tmp_path / "b.parquet")["7"].dtype == pl.Float32


def test_decimals(tmp_path, obs, rng):
    mean, std = filled(rng)
    write_completed(tmp_path / "out.csv", obs, chunks_of(mean, std), decimals=2)
    for line in (tmp_path / "out.csv").read_text().split()[1:]:
        assert all(len(cell.partition(".")[2]) <= 2 for cell in line.split(",")[2:])


def test_what_is_written_can_be_read_again(tmp_path, obs, rng):
    mean, std = filled(rng)
    write_completed(tmp_path / "l.csv.gz", obs, chunks_of(mean, std))
    again = read_ratings(tmp_path / "l.csv.gz")
    assert (again.row_labels.tolist(), again.column_labels.tolist()) == (
        ["ann", "bob", "cy"],
        [7, 11, 30],
    )
    write_completed(tmp_path / "w.csv", obs, chunks_of(mean), layout="wide")
    again = read_ratings(tmp_path / "w.csv", layout="wide")
    assert again.row_labels.tolist() == obs.row_labels.tolist()
    assert again.column_labels.tolist() == obs.column_labels.tolist()


def test_pandas_reads_the_binary_files(tmp_path, obs, rng):
    mean, _ = filled(rng)
    write_completed(tmp_path / "out.parquet", obs, chunks_of(mean))
    write_completed(tmp_path / "out.feather", obs, chunks_of(mean))
    for table in (
        pd.read_parquet(tmp_path / "out.parquet"),
        pd.read_feather(tmp_path / "out.feather"),
    ):
        assert table["user"].tolist() == ["ann", "bob", "bob", "cy"]
        assert table["item"].tolist() == [7, 30, 7, 11]


def test_labels_of_other_kinds(tmp_path, rng):
    X = np.full((2, 2), NAN)
    dates = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    mixed = np.array([1, 'two, "or" 2'], dtype=object)
    obs = ObservedMatrix.from_dense(X, row_labels=dates, column_labels=mixed)
    mean = rng.normal(size=(2, 2))
    write_completed(tmp_path / "o.csv", obs, chunks_of(mean, sizes=(1, 1)))
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert lines[1].startswith("2024-01-01,1,")
    assert lines[4].startswith('2024-01-02,"two, ""or"" 2",')
    write_completed(tmp_path / "o.parquet", obs, chunks_of(mean, sizes=(2,)))
    assert read(tmp_path / "o.parquet")["user"].dtype == pl.Date


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv"])
def test_matrix_without_holes_gives_an_empty_table(tmp_path, suffix):
    obs = ObservedMatrix.from_dense(np.ones((2, 3)))
    path = tmp_path / f"o.{suffix}"
    assert write_completed(path, obs, chunks_of(np.ones((2, 3)), sizes=(2,))).n_records == 0
    assert read(path).columns == ["user", "item", "rating"]
    assert read(path).height == 0


def test_small_frames_make_the_same_file(tmp_path, obs, rng, monkeypatch):
    mean, std = filled(rng)
    write_completed(tmp_path / "a.csv", obs, chunks_of(mean, std))
    write_completed(tmp_path / "wa.csv", obs, chunks_of(mean), layout="wide")
    monkeypatch.setattr(completed, "_CELLS", 1)
    write_completed(tmp_path / "b.csv", obs, chunks_of(mean, std))
    write_completed(tmp_path / "wb.csv", obs, chunks_of(mean), layout="wide")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "wa.csv").read_bytes() == (tmp_path / "wb.csv").read_bytes()


def test_packed_text_has_no_date_in_it(tmp_path, obs, rng):
    mean, _ = filled(rng)
    write_completed(tmp_path / "a.csv.gz", obs, chunks_of(mean))
    raw = (tmp_path / "a.csv.gz").read_bytes()
    assert raw[4:8] == b"\0\0\0\0"
    assert gzip.decompress(raw).startswith(b"user,item,rating\n")


def test_predictions(tmp_path):
    columns = {"user": np.array([3, 1]), "title": ["Heat", "Up"], "rating": [1 / 3, 2.0]}
    summary = write_predictions(tmp_path / "p.csv", columns, decimals=3)
    assert (tmp_path / "p.csv").read_text() == "user,title,rating\n3,Heat,0.333\n1,Up,2.0\n"
    assert summary.n_records == 2
    write_predictions(tmp_path / "p.parquet", columns)
    assert read(tmp_path / "p.parquet")["rating"].to_list() == [1 / 3, 2.0]


# ---------------------------------------------------------------------- complaints


def test_unknown_ending_is_refused_before_any_work(tmp_path, obs):
    def never():
        pytest.fail("work began")
        yield

    path = tmp_path / "out.xlsx"
    with pytest.raises(OutputError) as caught:
        write_completed(path, obs, never())
    assert str(caught.value) == (
        f"Cannot write {path}: its name does not say in which format. Let it end in one of "
        ".parquet, .pq, .arrow, .feather, .csv, .csv.gz, .tsv, .tsv.gz."
    )
    with pytest.raises(OutputError, match="there is no folder"):
        write_completed(tmp_path / "none" / "out.csv", obs, never())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((2,), "Only 2 of 3 rows were completed. Give all rows in order, each once."),
        ((0, 4), "The completed rows 0 to 2 came where row 0 of 2 was due."),
    ],
)
def test_rows_must_make_up_the_matrix(tmp_path, obs, rng, suffix, sizes, words):
    mean, _ = filled(rng)
    if 4 in sizes:
        obs = obs.select_rows(slice(0, 2))
    with pytest.raises(DataError) as caught:
        write_completed(tmp_path / f"o.{suffix}", obs, chunks_of(mean, sizes=sizes))
    assert str(caught.value).startswith(words)
    assert list(tmp_path.iterdir()) == []


def test_rows_must_have_the_same_parts(tmp_path, obs, rng):
    mean, std = filled(rng)
    chunks = [CompletedRows(0, mean[:2], std[:2]), CompletedRows(2, mean[2:])]
    with pytest.raises(DataError) as caught:
        write_completed(tmp_path / "o.csv", obs, chunks)
    assert str(caught.value) == (
        "The completed rows from 2 have mean (1, 3); the matrix has 3 columns, and the first "
        "rows had mean, std. Give the same parts for all rows."
    )
    with pytest.raises(DataError, match=r"have mean \(3, 2\); the matrix has 3 columns"):
        write_completed(tmp_path / "o.csv", obs, [CompletedRows(0, mean[:, :2])])


def test_names_must_differ(tmp_path, obs, rng):
    mean, _ = filled(rng)
    with pytest.raises(DataError) as caught:
        write_completed(tmp_path / "o.csv", obs, chunks_of(mean), row_name="rating")
    assert str(caught.value) == (
        "Two columns of the output would have the name 'rating'. Choose other names (row_name, "
        "column_name, value_name), or give the columns of the matrix other labels."
    )
    with pytest.raises(DataError, match="would have the name '7'"):
        write_completed(tmp_path / "o.csv", obs, chunks_of(mean), layout="wide", row_name="7")


def test_columns_must_be_equally_long(tmp_path):
    with pytest.raises(DataError) as caught:
        write_predictions(tmp_path / "o.csv", {"a": [1, 2], "b": [1]})
    assert str(caught.value) == "The columns of a table must be equally long; got 'a' 2, 'b' 1."


def test_layout_must_be_known(tmp_path, obs):
    with pytest.raises(DataError, match="layout must be long or wide; got 'tall'"):
        write_completed(tmp_path / "o.csv", obs, [], layout="tall")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "csv.gz"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_errors_of_the_model_come_through_and_leave_nothing(tmp_path, obs, rng, suffix, error):
    mean, _ = filled(rng)

    def failing():
        yield from chunks_of(mean, sizes=(2,))
        raise error("in the model")

    before = threading.active_count()
    with pytest.raises(error, match="in the model"):
        write_completed(tmp_path / f"o.{suffix}", obs, failing())
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() <= before


SCRIPT = (
    PEAK
    + """
import resource, sys, time
import numpy as np
from mixmend.files import sinks
from mixmend.files.completed import CompletedRows, write_completed
from mixmend.errors import OutputError
from mixmend.observed.matrix import ObservedMatrix

path, n, d, limit, speed = sys.argv[1], *map(int, sys.argv[2:6])
rng = np.random.default_rng(0)
count = n * d // 20
obs = ObservedMatrix.from_triplets(
    rng.integers(0, n, count), rng.integers(0, d, count), rng.integers(1, 6, count), (n, d),
    duplicates="last", row_labels=np.arange(n) + 1, column_labels=np.arange(d) + 1)

def chunks():
    step = max(1, 2_000_000 // d)
    for first in range(0, n, step):
        shape = (min(step, n - first), d)
        yield CompletedRows(first, rng.random(shape) * 5, rng.random(shape))
        print("chunk", flush=True)

class SlowDisk:
    def __init__(self, file):
        self.file = file
        self.flush, self.close = file.flush, file.close

    def write(self, data):
        time.sleep(len(data) / speed)
        return self.file.write(data)

if speed:  # bytes a second
    sinks._pour = lambda lazy, temporary, form: lazy.sink_parquet(SlowDisk(open(temporary, "wb")))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
start = time.perf_counter()
try:
    print(write_completed(path, obs, chunks()).n_records, n * d - obs.n_observed)
except OutputError as error:
    print(error)
except KeyboardInterrupt:
    print("interrupted")
print(time.perf_counter() - start)
print(peak_kilobytes())
"""
)


def command(path, n, d, limit=0, speed=0):
    source = Path(sinks.__file__).parents[2]
    arguments = [sys.executable, "-c", SCRIPT, str(path), *map(str, (n, d, limit, speed))]
    return arguments, os.environ | {"PYTHONPATH": str(source)}


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "csv.gz"])
def test_full_disk_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    arguments, environment = command(path, 300, 1000, limit=200_000)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert (
        f"Cannot write {path}: the disk is full (or your quota is). "
        "Nothing was left behind; free some space, or choose another place."
    ) in done.stdout.splitlines(), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_killed_while_writing(tmp_path, suffix, seed):
    """Whole or absent, killed at any moment between the first rows and the end."""
    path = tmp_path / f"out.{suffix}"
    arguments, environment = command(path, 20_000, 200)
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"chunk\n"
        time.sleep(random.Random(seed).random() * 0.4)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if path.exists():
        assert read(path).height > 3_700_000
    for other in tmp_path.iterdir():
        assert other == path or other.name.endswith(".mixmend-partial")


@pytest.mark.skipif(os.name != "posix", reason="signals as here are POSIX")
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_ctrl_c_while_writing_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    arguments, environment = command(path, 100_000, 1000)
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "chunk\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "interrupted" in out, out[-500:] + err[-2000:]
    assert list(tmp_path.iterdir()) == []


@told_by_the_system
def test_twenty_million_cells_in_little_memory(tmp_path):
    """As many holes as the completed MovieLens 1M matrix has."""
    path = tmp_path / "out.parquet"
    arguments, environment = command(path, 6040, 3706)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True)
    written, _seconds, kilobytes = done.stdout.splitlines()[-3:]
    n_records, wanted = map(int, written.split())
    assert n_records == wanted > 21_000_000
    assert pl.scan_parquet(path).select(pl.len()).collect().item() == wanted
    assert float(kilobytes) < 1_000_000, kilobytes  # as a table it would take 2 GB and more


@told_by_the_system
def test_a_slow_disk_holds_back_the_maker(tmp_path):
    """Frames do not pile up before a disk that takes less than the model makes."""
    peaks = []
    for rows in (500, 5000):
        arguments, environment = command(tmp_path / "out.parquet", rows, 4000, speed=50_000_000)
        done = subprocess.run(
            arguments, capture_output=True, text=True, env=environment, check=True
        )
        peaks.append(float(done.stdout.splitlines()[-1]))
    # eighteen million cells more, 430 MB as a table
    assert peaks[1] - peaks[0] < 200_000, peaks


def test_overwriting_can_be_forbidden(tmp_path, obs, rng):
    mean, _ = filled(rng)
    path = tmp_path / "o.csv"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists and must not be overwritten"):
        write_completed(path, obs, chunks_of(mean), overwrite=False)
    with pytest.raises(OutputError, match="exists and must not be overwritten"):
        write_predictions(path, {"a": [1]}, overwrite=False)
    assert path.read_text() == "old"
    write_completed(path, obs, chunks_of(mean))
    assert path.read_text() != "old"
