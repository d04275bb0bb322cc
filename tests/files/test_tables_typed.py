"""Tables in and out: what their columns hold, what is a hole, and what is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.errors import DataError, FileFormatError, OutputError
from mixmend.files.kinds import tell_text, tell_typed
from mixmend.files.tables import read_table, write_table


@pytest.fixture
def file(tmp_path):
    def make(text: str, name: str = "t.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


def kind_of(*cells: str) -> str:
    told = tell_text(pl.Series("c", cells), ())
    assert told.bad is None
    return told.kind


# ---------------------------------------------------------------------- what columns hold


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("integer", ["1", "-2", "+3", "NA"]),
        ("integer", ["0", "10", ""]),
        ("float", ["1", "2.5"]),
        ("float", ["1e5", ".5", "-0.1"]),
        ("float", ["123456789012345678901", "1"]),
        ("text", ["007", "12"]),
        ("float", ["0.07", "12"]),
        ("boolean", ["true", "False", "?"]),
        ("text", ["yes", "no"]),
        ("date", ["2024-02-29", "1999-12-31", "-"]),
        ("text", ["20240229x", "a"]),
        ("datetime", ["2024-02-29 10:00", "2024-02-29T10:00:01.25"]),
        ("datetime", ["2024-02-29T10:00:00Z", "2024-02-29T12:00:00+02:00"]),
        ("text", ["ann", "3"]),
        ("text", ["1,5", "2,5"]),
        ("empty", ["", "NA", "n/a", "NULL", "NaN", "nan", "?", "-", "  "]),
    ],
)
def test_all_cells_decide_what_a_column_holds(kind, cells):
    assert kind_of(*cells) == kind


def test_values_come_in_their_types():
    moments = tell_text(
        pl.Series(["2024-02-29T10:00:00Z", "NA", "2024-02-29T12:30:00+02:00"]), ()
    ).values
    assert moments.dtype == pl.Datetime("us", "UTC")
    assert moments.dt.hour().to_list() == [10, None, 10]
    plain = tell_text(pl.Series(["2024-02-29 10:00", "2024-02-29T10:00:01.25"]), ()).values
    assert plain.to_list() == [
        dt.datetime(2024, 2, 29, 10),
        dt.datetime(2024, 2, 29, 10, 0, 1, 250000),
    ]
    assert tell_text(pl.Series([" TRUE", "false", "-"]), ()).values.to_list() == [True, False, None]
    assert tell_text(pl.Series(["1", "x", "2"]), ("x",)).values.to_list() == [1, None, 2]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_whole_numbers_survive_exactly(numbers):
    told = tell_text(pl.Series(["" if n is None else str(n) for n in numbers]), ())
    assert told.kind == ("empty" if not any(n is not None for n in numbers) else "integer")
    assert told.values.to_list() == numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1))
def test_floats_survive_exactly(numbers):
    told = tell_text(pl.Series([repr(n) for n in numbers]), ())
    assert told.kind == "float"
    assert told.values.to_list() == numbers


def test_types_of_a_file_are_kept_and_its_nans_are_holes():
    assert tell_typed(pl.Series([1.5, float("nan"), None]), ()).values.to_list() == [
        1.5,
        None,
        None,
    ]
    told = tell_typed(pl.Series([1, -999], dtype=pl.Int16), ("-999", "none"))
    assert (told.kind, told.values.dtype, told.values.to_list()) == ("integer", pl.Int16, [1, None])
    for kind, series in {
        "boolean": pl.Series([True]),
        "date": pl.Series([dt.date(2024, 1, 1)]),
        "datetime": pl.Series([dt.datetime(2024, 1, 1)]),
        "text": pl.Series(["a"], dtype=pl.Categorical),
        "empty": pl.Series([None, None], dtype=pl.Int8),
        "other": pl.Series([dt.timedelta(1)]),
    }.items():
        assert tell_typed(series, ()).kind == kind
        assert tell_typed(series, ()).values.dtype == series.dtype
    assert tell_typed(pl.Series(["a", "None"]), ("none",)).values.to_list() == ["a", None]


# ---------------------------------------------------------------------- reading


def test_a_text_table_keeps_its_cells(file):
    table = read_table(file("id,n,x\n01, 7 ,1.50\n02,NA,2.25\n"), leave=["x"])
    assert table.kinds == {"id": "text", "n": "integer", "x": "left"}
    assert table.frame["n"].to_list() == [7, None]
    assert table.frame["x"].to_list() == ["1.50", "2.25"]
    assert table.cells["n"].to_list() == [" 7 ", "NA"]
    assert table.named


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("t.tsv", "a\tb\n1\t2\n3\t\n", {}),
        ("t.csv", "a;b\n1;2\n3;\n", {}),
        ("t.csv", "a_b\n1_2\n3_\n", {"separator": "_"}),
        ("t.csv", "a,b\n1,2\n3,.\n", {"missing": ["."]}),
    ],
)
def test_separators_and_marks(file, name, text, options):
    table = read_table(file(text, name), **options)
    assert table.frame.to_dict(as_series=False) == {"a": [1, 3], "b": [2, None]}


def test_no_header_compression_and_encoding(file, tmp_path):
    table = read_table(file("1,2\n3,4\n"), header=False)
    assert table.frame.columns == ["column_1", "column_2"]
    assert not table.named
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress("name,n\nJosé,1\nAnn,2\n".encode("latin-1")))
    assert read_table(packed, encoding="latin-1").frame["name"].to_list() == ["José", "Ann"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("city,kind\nRome,a\nOslo,b\n", True),  # nothing but text below
        ("a,b\n" + "1,2\n" * 20 + "x,y\n", None),  # a bad cell in each column
        ("Rome,2024-01-01\nOslo,2024-01-02\n", False),
        ("Rome,NA\nOslo,x\n", False),
        ("a,a\nb,c\n", False),
    ],
)
def test_a_first_line_without_numbers_or_dates_holds_names(file, text, named):
    path = file(text)
    if named is None:
        with pytest.raises(FileFormatError, match="line 22, column 'a': 'x' is not a number"):
            read_table(path)
    else:
        assert read_table(path).named is named


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv", "tsv", "csv.gz"])
def test_what_is_written_is_read_again(tmp_path, ending):
    frame = pl.DataFrame(
        {
            "n": pl.Series([1, None, 3], dtype=pl.Int64),
            "x": [0.1, 1e-300, None],
            "on": [True, None, False],
            "day": [dt.date(2024, 1, 1), None, dt.date(1950, 5, 5)],
            "at": [dt.datetime(2024, 1, 1, 12, 0, 1), dt.datetime(1960, 1, 1), None],
            "who": ['a,"b"', None, "c\td"],
        }
    )
    path = tmp_path / f"t.{ending}"
    write_table(path, [frame[:2], frame[2:]])
    read = read_table(path)
    assert read.frame.to_dict(as_series=False) == frame.to_dict(as_series=False)
    assert list(read.kinds.values()) == ["integer", "float", "boolean", "date", "datetime", "text"]
    with pytest.raises(OutputError, match="exists and must not be overwritten"):
        write_table(path, [frame], overwrite=False)


def test_a_failing_source_of_frames_leaves_nothing(tmp_path):
    def frames():
        yield pl.DataFrame({"a": [1]})
        raise RuntimeError("midway")

    for name in ("t.csv", "t.parquet"):
        with pytest.raises(RuntimeError, match="midway"):
            write_table(tmp_path / name, frames())
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what is refused

NUMBERS = "".join(f"{n},{n}.5\n" for n in range(20))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            f"a,b\n{NUMBERS}21,1O\n",
            FileFormatError,
            "t.csv, line 22, column 'b': '1O' is not a number, as nearly all other cells of the "
            "column are. Correct it; if it marks a hole, give missing='1O' (--missing); if the "
            "column holds text, give leave='b' (--leave).",
        ),
        (
            "a,d\n" + "1,2024-01-31\n" * 15 + "1,2024-02-31\n",
            FileFormatError,
            "t.csv, line 17, column 'd': '2024-02-31' is not a date (YYYY-MM-DD…), as nearly all "
            "other cells of the column are. Correct it; if it marks a hole, give "
            "missing='2024-02-31' (--missing); if the column holds text, give leave='d' (--leave).",
        ),
        (
            "a,b\n1,2\n3,-inf\n",
            DataError,
            "t.csv, line 3, column 'b': '-inf' is not a finite number. Correct it, or empty the "
            "cell if it is a hole.",
        ),
        (
            "a,a\n1,2\n",
            DataError,
            "t.csv: columns 1 and 2 both have the name 'a'. Give each column its own name, or "
            "header=False (--no-header) if the first line holds data.",
        ),
        ("a,b\n", FileFormatError, "t.csv has no rows. Give a table with at least one."),
        (
            "1\n\n3\n",
            FileFormatError,
            "t.csv has only one column (separator: comma): there is nothing to fill its holes "
            "from. Name the right separator (--separator), or add columns.",
        ),
        (
            "a,b\n1,2,3\n",
            FileFormatError,
            "t.csv, line 2: 3 fields where the header has 2 (separator: comma). "
            "Correct the line, or delete it.",
        ),
        (
            "%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 5\n",
            FileFormatError,
            "t.csv is a matrix, not a table of named columns. Fill it with "
            "mixmend.GaussianMixture (mixmend complete).",
        ),
    ],
)
def test_bad_tables_are_named_by_line_and_column(file, monkeypatch, tmp_path, text, error, message):
    file(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        read_table("t.csv", header=True)


def test_the_first_bad_cell_in_reading_order_is_named(file):
    text = f"a,b\n{NUMBERS}x,1.5\n2,y\n"
    with pytest.raises(FileFormatError, match="line 22, column 'a': 'x'"):
        read_table(file(text))
    with pytest.raises(FileFormatError, match="line 23, column 'b': 'y'"):
        read_table(file(text), missing=["X"])
    assert read_table(file(text), missing=["x", "y"]).kinds == {"a": "integer", "b": "float"}


def test_an_infinite_number_of_a_typed_file_is_named_by_row(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1, 2], "b": [0.5, float("inf")]}).write_parquet(path)
    with pytest.raises(DataError, match=r"row 2, column 'b': 'inf' is not a finite number"):
        read_table(path)


def test_a_column_to_leave_must_be_there(file):
    with pytest.raises(DataError, match=r"has no column 'c' to leave as it is\. Its columns: 'a'"):
        read_table(file("a,b\n1,2\n"), leave=["c"])
