"""Whatever a file holds, readers answer or complain; and the fast way agrees with the exact one."""

import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmend.errors import MixmendError
from mixmend.files import text as text_module
from mixmend.files.describe import describe_file
from mixmend.files.dialect import Dialect
from mixmend.files.quick import _plainly_quoted, cells_quickly, cut_quickly
from mixmend.files.ratings import read_pairs, read_ratings
from mixmend.files.text import BLOCK, TextTable
from mixmend.observed.matrix import ObservedMatrix

SEPARATORS = [",", "\t", ";", "|", "::", " "]
CELLS = st.sampled_from(
    [
        "1",
        "2",
        "3.5",
        "0",
        "007",
        "-1",
        "",
        " ",
        "a",
        "b c",
        "é",
        '"',
        '""',
        '"x"',
        '"a,b"',
        '"p\nq"',
        "nan",
        "inf",
        "NA",
        "1e400",
        "user",
        "rating",
        "::",
        "\x1f",
        "\r",
        '12" vinyl',
    ]
)
MESSY = st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=1, max_size=8)
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n", "\n\t\n"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def reads_or_complains(path, **options):
    for read in (read_ratings, read_pairs, describe_file):
        try:
            answer = read(path, **(options if read is read_ratings else {}))
        except MixmendError:
            pass
        else:
            if read is read_ratings:
                assert isinstance(answer, ObservedMatrix)
                assert np.isfinite(answer.entries()[2]).all()


@given(st.binary(max_size=400))
def test_arbitrary_bytes(folder, content):
    path = folder / "f"
    path.write_bytes(content)
    reads_or_complains(path)
    path.write_bytes(b"\x1f\x8b" + content)
    reads_or_complains(path)
    path.write_bytes(gzip.compress(content))
    reads_or_complains(path)


@given(
    st.sampled_from([b"%%MatrixMarket ", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff"]),
    st.binary(max_size=300),
)
def test_arbitrary_bytes_after_known_beginnings(folder, start, content):
    path = folder / "f"
    path.write_bytes(start + content)
    reads_or_complains(path)


@given(st.text(max_size=300), st.sampled_from(["auto", "long", "wide"]))
def test_arbitrary_text(folder, content, layout):
    path = folder / "f"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    reads_or_complains(path, layout=layout)


@settings(max_examples=150)
@given(
    MESSY,
    st.sampled_from(SEPARATORS),
    ENDS,
    st.sampled_from(["auto", "long", "wide"]),
    st.sampled_from([None, 0, "NA"]),
    st.sampled_from(["error", "last", "mean"]),
)
def test_tables_with_odd_cells(folder, rows, separator, end, layout, missing, duplicates):
    path = folder / "f"
    path.write_bytes(end.join(separator.join(row) for row in rows).encode())
    reads_or_complains(path, layout=layout, missing=missing, duplicates=duplicates)


@given(
    st.lists(st.sampled_from("0123456789 .e+-\n%naif"), max_size=60).map("".join),
    st.sampled_from(["coordinate", "array"]),
    st.sampled_from(["general", "symmetric"]),
)
def test_odd_matrix_market_files(folder, content, form, symmetry):
    path = folder / "f"
    path.write_text(f"%%MatrixMarket matrix {form} real {symmetry}\n{content}")
    reads_or_complains(path)


@given(st.data())
def test_damaged_parquet_and_arrow(folder, data):
    path = folder / "f"
    frame = pl.DataFrame({"user": [1, 2, 3], "item": ["a", "b", "c"], "rating": [1.0, 2.0, 3.5]})
    form = data.draw(st.sampled_from(["parquet", "ipc", "ipc_stream"]))
    getattr(frame, f"write_{form}")(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    reads_or_complains(path)


# ---------------------------------------------------------------------- two ways, one meaning


def outcome(path, **options):
    try:
        obs = read_ratings(path, **options)
    except MixmendError as error:
        return type(error).__name__, str(error)
    rows, columns, values = obs.entries()
    return (
        obs.shape,
        obs.row_labels.tolist(),
        obs.column_labels.tolist(),
        list(zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True)),
    )


@settings(max_examples=300)
@given(
    MESSY,
    st.sampled_from(SEPARATORS),
    ENDS,
    st.sampled_from(["auto", "wide"]),
    st.sampled_from([BLOCK, 7, 40]),
)
def test_the_fast_way_agrees_with_the_exact_one(folder, rows, separator, end, layout, block):
    """With polars or without: the same matrix or the same complaint. In one piece or many: the
    same matrix, or a complaint (which of several bad lines is met first may differ)."""
    path = folder / "f"
    path.write_bytes(end.join(separator.join(row) for row in rows).encode())
    options = {"layout": layout, "separator": separator}
    patch = pytest.MonkeyPatch()
    try:
        patch.setattr(text_module, "BLOCK", block)
        fast = outcome(path, **options)
        patch.setattr(text_module, "cut_quickly", lambda *_: None)
        patch.setattr(text_module, "cells_quickly", lambda *_: None)
        exact = outcome(path, **options)
        patch.setattr(text_module, "BLOCK", BLOCK)
        whole = outcome(path, **options)
    finally:
        patch.undo()
    assert fast == exact
    assert whole == exact or len(whole) == len(exact) == 2


PLAIN = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["1", "2.5", "0"])),
    min_size=2,
    max_size=20,
)


@given(PLAIN, st.sampled_from(SEPARATORS))
def test_ordinary_files_do_take_the_fast_way(folder, rows, separator):
    text = "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()
    columns = cut_quickly(text, Dialect(separator, 3, None), [0, 1, 2])
    cells = cells_quickly(text, Dialect(separator, 3, None))
    assert columns is not None
    assert cells is not None
    assert [str(cell) for row in rows for cell in row] == cells.to_list()
    assert [list(map(str, row)) for row in rows] == [
        list(row) for row in zip(*columns, strict=True)
    ]


@pytest.mark.parametrize("text", ['"a",1,2\n"b",3,4\n', "a,1,\nb,,4\n", "\n\n1,2,3\n \n4,5,6\n"])
def test_quoted_gappy_and_blank_lines_take_the_fast_way(text):
    assert cut_quickly(text.encode(), Dialect(",", 3, None), [0, 1, 2]) is not None


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n1,2\n1,2,3,4\n",  # as many separators as there should be
        "1,2\n1,2,3,4\n",
        "1,2,3\n,,\n1,2\n1,2,3,\n",
        'a"b,1,2\nc"d,3,4\n',
        '"a"b,1,2\n',
        '"a,1,2\n',
        '"a""b",1,2\n',
        '"a\nb",1,2\n',
        ' "a",1,2\n',
    ],
)
def test_the_fast_way_keeps_off_what_is_odd(text):
    assert cut_quickly(text.encode(), Dialect(",", 3, None), [0, 1]) is None
    assert cells_quickly(text.encode(), Dialect(",", 3, None)) is None


@pytest.mark.parametrize("text", ['a"b,1\n', '"a"b,1\n', '"a,1\n', '"a""b",1\n', '"a" ,1\n', 'a,"'])
def test_quotes_that_are_not_plain(text):
    assert not _plainly_quoted(text.encode(), b",")


@pytest.mark.parametrize("text", ['"a",1\n', '1,"a,b"\n"c",""\n', '"a\nb",2\n', "a,b\n"])
def test_quotes_that_are_plain(text):
    assert _plainly_quoted(text.encode(), b",")


@given(PLAIN, st.sampled_from(["first", "last", "mean"]))
def test_repeated_pairs_against_a_dictionary(folder, rows, duplicates):
    path = folder / "f.csv"
    path.write_text("user,item,rating\n" + "".join(f"{u},{i},{v}\n" for u, i, v in rows))
    seen: dict[tuple[int, int], list[float]] = {}
    for u, i, v in rows:
        seen.setdefault((u, i), []).append(float(v))
    pick = {"first": lambda v: v[0], "last": lambda v: v[-1], "mean": np.mean}[duplicates]
    obs = read_ratings(path, duplicates=duplicates)
    r, c, values = obs.entries()
    found = dict(
        zip(
            zip(obs.row_labels[r].tolist(), obs.column_labels[c].tolist(), strict=True),
            values.tolist(),
            strict=True,
        )
    )
    assert found.keys() == seen.keys()
    for pair, given_values in seen.items():
        assert found[pair] == pytest.approx(pick(given_values))


def test_a_table_can_be_read_again_and_again(folder):
    path = folder / "f.csv"
    path.write_text("user,item,rating\n1,2,3\n4,5,6\n")
    table = TextTable(text_module.Source(str(path), "text", None))
    for _ in range(2):
        assert [s.to_list() for batch in table.batches([2, 0]) for s in batch] == [
            ["3", "6"],
            ["1", "4"],
        ]
        assert table.locate(1) == ("line 3", ["4", "5", "6"])
