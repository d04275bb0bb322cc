"""Tables as matrices and back: types kept, observed cells untouched, changes said."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from mixmend.errors import DataError
from mixmend.files.numbered import from_numbers, report, to_numbers
from mixmend.files.tables import TypedTable, read_table

TEXT = """id,n,x,on,day,at,city
a1, 3,1.50,TRUE,2024-01-01,2024-01-01T00:00:00,Rome
b2,NA,-,?,,,NA
c3,5,2.50,FALSE,2024-01-03,2024-01-03T00:00:00,Oslo
d4,5,2.25,FALSE,2024-01-04,2024-01-03T12:00:00,Oslo
"""


@pytest.fixture
def text_table(tmp_path) -> TypedTable:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    return read_table(path)


def typed(**columns: pl.Series) -> TypedTable:
    from mixmend.files.kinds import tell_typed

    told = {name: tell_typed(series, ()) for name, series in columns.items()}
    frame = pl.DataFrame({name: t.values for name, t in told.items()})
    return TypedTable("t.parquet", frame, {name: t.kind for name, t in told.items()}, None)


def test_columns_become_numbers(text_table):
    numbered = to_numbers(text_table)
    assert [part.name for part in numbered.parts] == ["n", "x", "on", "day", "at"]
    assert numbered.left == {"id": "text", "city": "text"}
    day = (dt.date(2024, 1, 1) - dt.date(1970, 1, 1)).days
    np.testing.assert_array_equal(numbered.matrix[0], [3, 1.5, 1, day, day * 86400e6])
    assert np.isnan(numbered.matrix[1]).all()
    assert not np.isnan(numbered.matrix[[0, 2, 3]]).any()


def test_text_columns_become_zeros_and_ones_but_for_the_last(text_table):
    numbered = to_numbers(text_table, one_hot=True)
    assert numbered.left == {"id": "text, each occurs once"}
    city = numbered.parts[-1]
    assert city.categories == ("Oslo", "Rome")
    np.testing.assert_array_equal(numbered.matrix[:, city.columns], [[0], [np.nan], [1], [1]])


def test_observed_cells_of_a_text_stay_as_they_were_written(text_table):
    numbered = to_numbers(text_table, one_hot=True)
    day = (dt.date(2024, 1, 2) - dt.date(1970, 1, 1)).days
    filled = np.where(
        np.isnan(numbered.matrix),
        [4.25, 2.125, 0.4, day + 0.4, (day + 0.5) * 86400e6 + 3e5, 0.7],
        numbered.matrix,
    )
    frame = from_numbers(numbered, filled, as_text=True)
    lines = frame.write_csv().splitlines()
    before = TEXT.splitlines()
    assert [lines[0], lines[1], *lines[3:]] == [before[0], before[1], *before[3:]]
    assert lines[2] == "b2,4.25,2.125,FALSE,2024-01-02,2024-01-02T12:00:00,Oslo"

    rounded = from_numbers(numbered, filled, as_text=True, round_integers=True, decimals=1)
    assert rounded.row(1)[1:3] == ("4", "2.1")
    other = np.where(np.arange(6) == 5, 0.4, filled)
    assert from_numbers(numbered, other, as_text=True)["city"][1] == "Rome"


def test_a_text_table_becomes_typed_for_a_typed_output(text_table):
    numbered = to_numbers(text_table, one_hot=True)
    filled = np.where(np.isnan(numbered.matrix), numbered.matrix[0], numbered.matrix)
    frame = from_numbers(numbered, filled, round_integers=True)
    assert frame.dtypes == [
        *(pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.Date, pl.Datetime("us"), pl.String)
    ]
    assert frame.row(1) == (
        *("b2", 3, 1.5, True, dt.date(2024, 1, 1), dt.datetime(2024, 1, 1), "Rome"),
    )
    assert from_numbers(numbered, filled).schema["n"] == pl.Float64


def test_types_of_a_typed_file_are_kept():
    zoned = pl.Series([dt.datetime(2024, 7, 1, 12), None]).dt.replace_time_zone("Europe/Rome")
    table = typed(
        tiny=pl.Series([250, None], dtype=pl.UInt8),
        big=pl.Series([2**63 - 1, None], dtype=pl.Int64),
        narrow=pl.Series([0.5, None], dtype=pl.Float32),
        at=zoned.dt.cast_time_unit("ms"),
        kind=pl.Series(["u", "u", "v", None][:2], dtype=pl.Enum(["u", "v"])),
        price=pl.Series(["1.25", None]).cast(pl.Decimal(10, 2)),
        lasts=pl.Series([dt.timedelta(1), None]),
        whole=pl.Series([1, 2], dtype=pl.Int8),
    )
    numbered = to_numbers(table)
    hour = 3600e6
    epoch = (dt.datetime(2024, 7, 1, 10) - dt.datetime(1970, 1, 1)).total_seconds() * 1e6
    assert numbered.matrix[0, 3] == epoch
    filled = np.where(
        np.isnan(numbered.matrix), [300.7, 1e30, 0.1, epoch + hour, 1.126, 0], numbered.matrix
    )
    frame = from_numbers(numbered, filled, round_integers=True)
    assert frame["tiny"].to_list() == [250, 255]  # the most that the type holds
    assert frame["big"][0] == 2**63 - 1  # exact
    assert frame["big"].dtype == pl.Int64
    assert frame["narrow"].to_list() == [0.5, np.float32(0.1)]
    assert frame["at"].dtype == pl.Datetime("ms", "Europe/Rome")
    assert frame["at"][1].hour == 13
    assert frame["kind"].dtype == pl.Enum(["u", "v"])
    assert frame["price"].to_list() == [1.25, 1.126]
    assert frame["lasts"][1] is None
    assert frame["whole"].dtype == pl.Int8
    notes = {told.name: told.note for told in report(numbered, round_integers=True)}
    assert notes["price"] == "Decimal(precision=10, scale=2) becomes Float64"
    assert notes["lasts"] == "times of day, durations and the like are not filled"
    assert notes["tiny"] == "rounded to whole numbers"
    notes = {told.name: told.note for told in report(numbered)}
    assert notes["tiny"] == "UInt8 becomes Float64; --round-integers keeps it whole"
    assert notes["big"].endswith("keeps it whole; numbers beyond 2^53 lose their last digits")


def test_everything_that_becomes_of_a_column_is_said(text_table):
    told = {row.name: row for row in report(to_numbers(text_table, one_hot=True), as_text=True)}
    assert {name: (row.kind, row.holes, row.filled, row.method) for name, row in told.items()} == {
        "id": ("text", 0, 0, "left as it is"),
        "n": ("integer", 1, 1, "expected value"),
        "x": ("float", 1, 1, "expected value"),
        "on": ("boolean", 1, 1, "more probable of true and false"),
        "day": ("date", 1, 1, "expected value"),
        "at": ("datetime", 1, 1, "expected value"),
        "city": ("text", 1, 1, "most probable text"),
    }
    assert told["n"].note == "filled cells have decimals; --round-integers keeps it whole"
    assert told["day"].note == "by way of days since 1970, rounded to whole days"
    assert told["x"].note == ""
    same = typed(a=pl.Series([2.0, None]), b=pl.Series([1, 2]), c=pl.Series([None, None]))
    methods = [(row.method, row.note) for row in report(to_numbers(same))]
    assert methods == [
        ("its only value", ""),
        ("no holes", ""),
        ("left as it is", "nothing observed"),
    ]


def test_deviations_stand_beside_their_columns(text_table):
    numbered = to_numbers(text_table, one_hot=True)
    std = np.where(np.isnan(numbered.matrix), [1.25, 2.0, 0.5, 3.0, 86400e6, 0.1], 0.0)
    filled = np.nan_to_num(numbered.matrix)
    frame = from_numbers(numbered, filled, std=std, decimals=1)
    assert frame.columns == [
        *("id", "n", "n_std", "x", "x_std", "on", "on_std", "day", "day_std", "at", "at_std"),
        "city",
    ]
    assert frame["n_std"].to_list() == [0.0, 1.2, 0.0, 0.0]
    assert frame["at_std"].to_list() == [0.0, 86400.0, 0.0, 0.0]  # seconds
    clash = typed(n=pl.Series([1.0, None]), n_std=pl.Series([1.0, 2.0]))
    numbered = to_numbers(clash)
    with pytest.raises(DataError, match=r"^t.parquet has a column 'n_std' already: there is no"):
        from_numbers(numbered, np.ones((2, 2)), std=np.ones((2, 2)))


def test_many_texts_are_left_and_a_table_of_texts_is_refused():
    many = typed(
        word=pl.Series([f"w{j}" for j in range(51)] * 2), n=pl.Series(range(102), dtype=pl.Int64)
    )
    assert to_numbers(many, one_hot=True).left == {"word": "51 different texts, more than 50"}
    fifty = typed(word=pl.Series([f"w{j}" for j in range(50)] * 2))
    assert to_numbers(fifty, one_hot=True).matrix.shape == (100, 49)
    with pytest.raises(DataError) as raised:
        to_numbers(fifty)
    assert str(raised.value) == (
        "t.parquet has no column with numbers to learn from. Text columns take part with "
        "--one-hot (one_hot=True)."
    )
