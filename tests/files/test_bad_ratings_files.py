"""Every kind of bad ratings file gets its one clear error: cause and cure, word for word."""

import bz2
import gzip
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mixmend.errors import DataError, FileFormatError, MixmendError
from mixmend.files import text as text_module
from mixmend.files.models import save
from mixmend.files.ratings import read_pairs, read_ratings
from mixmend.files.text import TextTable
from mixmend.mixtures.estimator import GaussianMixture

H = "user,item,rating\n"
W = "user,a,b,c,d\n"
DELETE = "Correct the value or delete the line."
GIVE = "Give a file with at least one rating."
AGAIN = "Copy it again from its source."
KEEP = (
    'Delete one of them, or say what counts with duplicates="first", "last" or "mean" '
    "(--duplicates)."
)
FIRST = "If its first line holds data, give header=False (--no-header)."
WIDE = 'If it is a wide table, one column per item, give layout="wide" (--input-layout wide).'
DENSE = 'If it is a dense matrix, give layout="wide" (--input-layout wide).'
ALL = "rows (users), columns (items) and ratings"
OPTIONS = 'row="…", column="…", value="…" (--row-name, --column-name, --value-name)'
ONE_COLUMN = (
    "Name the right separator (--separator), or, if it is a matrix of one column, give "
    'layout="wide" (--input-layout wide).'
)
LATIN = 'If it is Latin-1 (older files from western Europe), give encoding="latin-1" (--encoding).'
TEXT_COLUMN = (
    "is not a number; this column seems to hold text. A wide table has a number or nothing in "
    "each cell: leave the column out, or name it with row=… (--row-name) if it holds the labels of "
    "the rows."
)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """Files are named without folders, so that messages are the same everywhere."""
    monkeypatch.chdir(tmp_path)


def message_of(kind, name, read=read_ratings, **options):
    with pytest.raises(MixmendError) as caught:
        read(name, **options)
    assert type(caught.value) is kind, caught.value
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXTS = {
    # ------------------------------------------------------------ nothing there
    "empty": ("", {}, f"F is empty. {GIVE}"),
    "only blank lines": (" \n\n\t\n", {}, f"F has only blank lines. {GIVE}"),
    "only a byte order mark": ("\ufeff", {}, f"F has only blank lines. {GIVE}"),
    "only a header": (H, {}, f"F has a header but nothing below it. {GIVE}"),
    "header without line end": (H[:-1], {}, f"F has a header but nothing below it. {GIVE}"),
    "only a wide header": (
        W,
        {"layout": "wide"},
        f"F has a header but nothing below it. {GIVE}",
    ),
    # ------------------------------------------------------------ bad cells
    "no number": (
        H + "1,1,5\n1,2,abc\n",
        {},
        f"F, line 3, column 'rating': 'abc' is not a number. {DELETE}",
    ),
    "no number, no header": (
        "1\t1\t5\n1\t2\tabc\n2\t2\t3\n",
        {},
        f"F, line 2, column 3 (rating): 'abc' is not a number. {DELETE}",
    ),
    "no number in the first line": (
        "1\t1\tabc\n1\t2\t3\n",
        {},
        f"F, line 1, column 3 (rating): 'abc' is not a number. {DELETE}",
    ),
    "no number after blank lines": (
        "\n" + H + "\n1,1,5\n\n\n1,2,1_0\n",
        {},
        f"F, line 7, column 'rating': '1_0' is not a number. {DELETE}",
    ),
    "no number after quoted line ends": (
        H + '"a\nb",1,5\n"c",2,?\n',
        {},
        f"F, line 4, column 'rating': '?' is not a number. {DELETE}",
    ),
    "the first of several": (
        H + "1,1,x\n,2,y\n",
        {},
        f"F, line 2, column 'rating': 'x' is not a number. {DELETE}",
    ),
    "long cell": (
        H + f"1,2,{'x' * 100}\n",
        {},
        f"F, line 2, column 'rating': '{'x' * 39}…' is not a number. {DELETE}",
    ),
    "decimal comma": (
        "user;item;rating\n1;2;3,5\n",
        {},
        "F, line 2, column 'rating': '3,5' is not a number. "
        "Write it with a decimal point, not a comma.",
    ),
    "empty rating": (
        H + "1,1,5\n1,2,\n",
        {},
        "F, line 3, column 'rating': the cell is empty. Fill it in or delete the line.",
    ),
    "empty user": (
        H + "1,1,5\n ,2,3\n",
        {},
        "F, line 3, column 'user': the cell is empty. Fill it in or delete the line.",
    ),
    "empty text user": (
        H + 'a,1,5\n"",2,3\n',
        {},
        "F, line 3, column 'user': the cell is empty. Fill it in or delete the line.",
    ),
    "empty item without a header": (
        "a,b,5\na,,3\n",
        {},
        "F, line 2, column 2 (column): the cell is empty. Fill it in or delete the line.",
    ),
    # ------------------------------------------------------------ columns
    "no rating column": (
        "user,item,when\n1,2,3\n",
        {},
        "F has no column that is known to hold the ratings. It has: 'user', 'item', 'when'. "
        f'Name the right one with value="…" (--value-name). {WIDE}',
    ),
    "no known column": (
        "a,b,c\n1,2,3\n",
        {},
        f"F has no column that is known to hold the {ALL}. It has: 'a', 'b', 'c'. "
        f"Name the right one with {OPTIONS}. {WIDE} {FIRST}",
    ),
    "unknown columns, long asked for": (
        "a,b,c,d,e\n1,2,3,4,5\n",
        {"layout": "long", "row": "b"},
        "F has no column that is known to hold the columns (items) and ratings. It has: 'a', 'b', "
        "'c', 'd', 'e'. Name the right one with column=\"…\", value=\"…\" (--column-name, "
        f"--value-name). {WIDE}",
    ),
    "named column is absent": (
        H + "1,1,1\n",
        {"value": "stars"},
        "F has no column 'stars'. It has: 'user', 'item', 'rating'. Name one of them.",
    ),
    "named column without a header": (
        "1,1,1\n",
        {"value": "stars"},
        "F has no column 'stars': it has 3 columns without names. Give value a number from 1 to "
        "3, or header=True if its first line holds names.",
    ),
    "number of a column is too large": (
        "1,1,1\n",
        {"value": 9},
        "F has no column 9: it has 3 columns without names. Give value a number from 1 to 3, or "
        "header=True if its first line holds names.",
    ),
    "one column for two": (
        H + "1,1,1\n",
        {"row": "user", "column": 1},
        "F: row and column are the same column. Name a different column for each.",
    ),
    "two columns of the name": (
        "user,item,rating,rating\n1,1,1,2\n",
        {},
        "F has more than one column 'rating'. Choose one by its number, counted from 1: value=3.",
    ),
    "two columns of the given name": (
        "user,item,x,x\n1,1,1,2\n",
        {"value": "x"},
        "F has more than one column 'x'. Choose one by its number, counted from 1: value=3.",
    ),
    # ------------------------------------------------------------ lines
    "short line": (
        H + "1,1,5\n1,2\n",
        {},
        "F, line 3: 2 fields where the header has 3 (separator: comma). "
        "Correct the line, or delete it.",
    ),
    "long line": (
        H + "1,1,5\n1,2,3,4\n",
        {},
        "F, line 3: 4 fields where the header has 3 (separator: comma). "
        "Correct the line, or delete it.",
    ),
    "short and long line": (
        "1\t1\t5\t9\n1\t2\t3\n2\t2\t5\t9\t7\n",
        {},
        "F, line 2: 3 fields where the first line has 4 (separator: tab). "
        "Correct the line, or delete it.",
    ),
    "line of one field": (
        "1::1::5\nx\n",
        {},
        "F, line 2: 1 field where the first line has 3 (separator: '::'). "
        "Correct the line, or delete it.",
    ),
    "quote that never closes": (
        H + '1,1,5\n"a,2,3\n1,2,4\n',
        {},
        "F, line 3: a quoted field is broken (unexpected end of data). Close the quote, and write "
        'a quote inside a quoted field twice ("").',
    ),
    "text after a quote": (
        H + '1,1,5\n"a"b,2,3\n',
        {},
        "F, line 3: a quoted field is broken (',' expected after '\"'). Close the quote, and write "
        'a quote inside a quoted field twice ("").',
    ),
    "null byte": (
        H + "1,2,3\n" * 200 + "1,2\0,3\n",
        {},
        "F, line 202: a null byte, which no text file has. Copy the file again from its source, "
        "or give Parquet or Arrow its right name.",
    ),
    # ------------------------------------------------------------ long or wide?
    "two columns of numbers": (
        "1 2\n3 4\n",
        {},
        f"F has 2 columns and no header: too few for {ALL}. {DENSE}",
    ),
    "text among numbers": (
        "1,2,3,x,5\n2,3,4,y,5\n",
        {},
        "F has 5 columns and no header, and column 4 holds text. Give the numbers of the columns "
        "(row=1, column=2, value=3), or header=True if its first line holds names (--row-name, "
        "--column-name, --value-name, --header).",
    ),
    "two columns of text": (
        "a,n,m,c,d\n1,Ann,x,3,4\n2,Bob,y,3,4\n",
        {},
        f"F has no column that is known to hold the {ALL}. It has: 'a', 'n', 'm', 'c', 'd'. "
        f"Name the right one with {OPTIONS}. {WIDE} {FIRST}",
    ),
    "header or hole": (
        ",1,2,3,4\n0,5,3,2,1\n",
        {},
        "F: the first line may hold names of columns, or numbers after an empty cell. Say which: "
        "header=True or header=False (--header, --no-header).",
    ),
    "one column of text": (
        "hello\nworld\n",
        {},
        "F has only one column: its first line 'hello' has none of the usual separators. "
        'Name the right one with separator="…" (--separator).',
    ),
    "another separator": (
        "1;2;3\n",
        {"separator": ","},
        f"F has only one column: there is no comma in its first line '1;2;3'. {ONE_COLUMN}",
    ),
    "impossible separator": (
        H,
        {"separator": ""},
        "'' cannot be a separator. Give the characters between two columns, or one of tab, comma, "
        "semicolon, bar, blank.",
    ),
    # ------------------------------------------------------------ wide tables
    "column of text": (
        "a,name,b,c,d\n1,Ann,2,3,4\n2,Bob,2,3,4\n",
        {},
        f"F, line 2, column 'name': 'Ann' {TEXT_COLUMN}",
    ),
    "text cell": (
        W + "x,1,2,3,4\ny,1,oops,3,4\n",
        {},
        "F, line 3, column 'b': 'oops' is not a number. Correct the value or leave the cell empty; "
        "if it marks a hole, give missing='oops' (--missing).",
    ),
    "ragged matrix": (
        "1 2 3 4 5\n1 2 3 4\n",
        {},
        "F, line 2: 4 fields where the first line has 5 (separator: blanks). "
        "Correct the line, or delete it.",
    ),
    "row without label": (
        W + ",1,1,3,4\n",
        {},
        "F, line 2, column 'user': the cell is empty. Fill it in or delete the line.",
    ),
    "only labels": (
        "user,x\n1,2\n",
        {"layout": "wide", "row": "z"},
        "F has no column 'z'. It has: 'user', 'x'. Name one of them.",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_files_that_cannot_be_read(case):
    content, options, wanted = TEXTS[case]
    Path("F").write_bytes(content.encode())
    assert message_of(FileFormatError, "F", **options) == wanted


DATA = {
    "NaN": (
        H + "1,1,5\n1,2,NaN\n",
        {},
        f"F, line 3, column 'rating': 'NaN' is not a finite number. {DELETE}",
    ),
    "infinite": (
        "1 1 -inf\n",
        {},
        f"F, line 1, column 3 (rating): '-inf' is not a finite number. {DELETE}",
    ),
    "beyond float64": (
        H + "1,1,1e999\n",
        {},
        f"F, line 2, column 'rating': '1e999' is not a finite number. {DELETE}",
    ),
    "beyond float32": (
        H + "1,1,1e39\n",
        {"dtype": "float32"},
        f"F, line 2, column 'rating': '1e39' is not a finite number. {DELETE}",
    ),
    "infinite in a wide table": (
        W + "x,1,inf,3,4\n",
        {},
        "F, line 2, column 'b': 'inf' is not a finite number. Correct the value or leave the cell "
        "empty; if it marks a hole, give missing='inf' (--missing).",
    ),
    "repeated pair": (
        H + "7,b,5\n7,a,1\n\n7,a,2\n7,b,5\n",
        {},
        f"F, line 3 and line 5: the pair (7, a) is rated twice (1 and 2). {KEEP}",
    ),
    "repeated pair with line ends in it": (
        H + '"a\nb",1,5\n"a\nb",1,4\n',
        {},
        f"F, line 2 and line 4: the pair (a b, 1) is rated twice (5 and 4). {KEEP}",
    ),
    "repeated pair beside marked ratings": (
        H + "1,1,0\n1,1,3\n2,1,0\n1,1,4\n",
        {"missing": 0},
        f"F, line 3 and line 5: the pair (1, 1) is rated twice (3 and 4). {KEEP}",
    ),
    "repeated row label": (
        W + "x,1,2,3,4\ny,1,2,3,4\nx,1,2,3,4\n",
        {},
        "F, line 2 and line 4: both rows have the label 'x'. Give each row its own label.",
    ),
    "repeated column label": (
        "user,a,b,a,d\nx,1,2,3,4\n",
        {},
        "F: columns 2 and 4 both have the name 'a'. Give each column its own name, or header=False "
        "if the first line holds data.",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_text_files_whose_data_are_bad(case):
    content, options, wanted = DATA[case]
    Path("F").write_bytes(content.encode())
    assert message_of(DataError, "F", **options) == wanted


@pytest.mark.parametrize("packing", [None, gzip.compress])
def test_lines_are_counted_across_pieces(monkeypatch, packing):
    monkeypatch.setattr(text_module, "BLOCK", 256)
    lines = [f"{k},{k % 9},1" for k in range(2000)]
    lines[1500] = "1500,x"
    text = (H + "\n".join(lines)).encode()
    Path("F").write_bytes(text if packing is None else packing(text))
    assert message_of(FileFormatError, "F").startswith("F, line 1502: 2 fields")
    lines[1500], lines[7] = lines[7], "7,7,?"
    Path("F").write_text(H + "\n".join(lines))
    assert message_of(FileFormatError, "F").startswith("F, line 9, column 'rating': '?'")
    lines[7], lines[1999] = "3,3,1", "4,4,0"
    Path("F").write_text(H + "\n".join(lines))
    assert message_of(DataError, "F").startswith("F, line 5 and line 9: the pair (3, 3)")


@pytest.mark.parametrize("block", range(16, 40))
def test_line_ends_of_two_characters_are_one_wherever_pieces_end(monkeypatch, block):
    monkeypatch.setattr(text_module, "BLOCK", block)
    Path("F").write_bytes(b"user,item,rating\r\n" + b"1,1,5\r\n" * 9 + b"x\r\n")
    assert message_of(FileFormatError, "F").startswith("F, line 11: 1 field where")


# ---------------------------------------------------------------------- places


def test_no_such_file():
    assert message_of(FileFormatError, "F") == (
        f"There is no file F. Check the name and the folder ({Path.cwd()} is the current one)."
    )


def test_a_folder():
    Path("F").mkdir()
    assert message_of(FileFormatError, "F") == "F is a folder. Name a file inside it."


@pytest.mark.skipif(os.name != "posix", reason="no /dev/null here")
def test_a_device():
    assert message_of(FileFormatError, "/dev/null") == (
        "/dev/null is a pipe or device, not a file. Save its contents to a file first."
    )


def test_impossible_names():
    assert message_of(FileFormatError, "a\0b") == (
        "Cannot read a\0b: embedded null byte. Check the name."
    )
    assert message_of(FileFormatError, "a" * 300).endswith("File name too long. Check the name.")
    assert message_of(FileFormatError, "").startswith("There is no file .")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission():
    Path("F").write_text(H)
    Path("F").chmod(0)
    assert message_of(FileFormatError, "F") == (
        "There is no permission to read F. Have the file's permissions changed."
    )


# ---------------------------------------------------------------------- other kinds of file


def npy():
    stream = io.BytesIO()
    np.save(stream, np.ones(3))
    return stream.getvalue()


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("a.csv", "1,2,3")
    return stream.getvalue()


OTHERS = {
    "picture": (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        r"F is a binary file of an unknown kind (it begins with b'\x89PNG\r\n\x1a\n'). "
        "Give CSV or other text, Parquet, Arrow or Matrix Market.",
    ),
    "zip": (
        archive(),
        "F is a zip archive (or an Excel workbook). Unpack it and name the file inside, or save "
        "the sheet as CSV.",
    ),
    "NumPy": (
        npy(),
        "F is a NumPy array, not a ratings file. "
        "Load it with numpy.load and use ObservedMatrix.from_dense.",
    ),
    "pickle": (
        pickle.dumps({"a": [1.0] * 40}, protocol=4),
        "F is a pickle, not a ratings file. "
        "Pickles are never opened; export the table as CSV or Parquet.",
    ),
    "web page": (
        b"<!DOCTYPE html>\n<html>",
        "F is a web page or XML, not a ratings file (a download that failed?). "
        "Fetch the data themselves.",
    ),
    "nothing compressed": (
        gzip.compress(b""),
        f"F is empty once decompressed. {GIVE}",
    ),
    "truncated gzip": (
        gzip.compress((H + "1,2,3\n" * 1000).encode())[:-9],
        f"F is a truncated or damaged gzip file. {AGAIN}",
    ),
    "damaged bzip2": (
        bz2.compress(b"1,2,3\n" * 99)[:-20] + bytes(20),
        f"F is a truncated or damaged bzip2 file. {AGAIN}",
    ),
    "damaged xz": (
        b"\xfd7zXZ\x00" + bytes(40),
        f"F is a truncated or damaged xz file. {AGAIN}",
    ),
    "damaged zstd": (
        b"\x28\xb5\x2f\xfd" + bytes(range(40)),
        f"F is a truncated or damaged zstd file. {AGAIN}",
    ),
    "Latin-1": (
        (H + "1,1,5\nJosé,1,3\n").encode("latin-1"),
        f"F, line 3: this is not UTF-8 text (byte 0xe9). {LATIN}",
    ),
    "UTF-16": (
        (H + "1,1,5\n").encode("utf-16"),
        'F looks like UTF-16 text. Give encoding="utf-16" (--encoding).',
    ),
    "damaged Parquet": (
        b"PAR1" + bytes(100),
        f"F is a truncated or damaged Parquet file. {AGAIN}",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_files_of_other_kinds(case):
    content, wanted = OTHERS[case]
    Path("F").write_bytes(content)
    assert message_of(FileFormatError, "F") == wanted


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("parquet", "Parquet"), ("feather", "Feather"), ("arrow", "Arrow"), ("mtx", "Matrix Market")],
)
def test_text_named_as_a_binary_file(suffix, kind):
    Path(f"F.{suffix}").write_text(H + "1,2,3\n")
    assert message_of(FileFormatError, f"F.{suffix}") == (
        f"F.{suffix} is named as a {kind} file but is not one (it begins with b'user,ite'). "
        "Copy it again from its source, or correct its name."
    )


def test_a_saved_model():
    save(GaussianMixture(1).fit(np.ones((3, 2))), "F")
    assert message_of(FileFormatError, "F") == (
        "F is a saved model, not a ratings file. Read it with mixmend.load."
    )


@pytest.mark.parametrize("name", ["klingon", "hex"])
def test_unknown_encodings(name):
    Path("F").write_text(H)
    assert message_of(FileFormatError, "F", encoding=name) == (
        f"There is no encoding {name!r}. Give one such as utf-8, latin-1, cp1252 or utf-16."
    )


def test_not_in_the_named_encoding():
    Path("F").write_bytes((H + "1,é,3\n").encode())
    assert message_of(FileFormatError, "F", encoding="ascii") == (
        "F, line 2: this is not ASCII text ('ascii' codec can't decode byte 0xc3 in position 19: "
        f"ordinal not in range(128)). {LATIN}"
    )


# ---------------------------------------------------------------------- binary tables

BINARY = {
    "NaN": (
        {"rating": [1.0, float("nan")]},
        DataError,
        "F, row 2, column 'rating': 'nan' is not a finite number. "
        "Correct the value or delete the row.",
    ),
    "null": (
        {"rating": [1.0, None]},
        FileFormatError,
        "F, row 2, column 'rating': the cell is empty. Fill it in or delete the row.",
    ),
    "null user": (
        {"user": [None, 1]},
        FileFormatError,
        "F, row 1, column 'user': the cell is empty. Fill it in or delete the row.",
    ),
    "text": (
        {"rating": ["1", "x"]},
        FileFormatError,
        "F, row 2, column 'rating': 'x' is not a number. Correct the value or delete the row.",
    ),
    "repeated": (
        {"user": [1, 1], "item": [2, 2]},
        DataError,
        f"F, row 1 and row 2: the pair (1, 2) is rated twice (1.0 and 2.0). {KEEP}",
    ),
    "lists": (
        {"user": [[1], [2]]},
        FileFormatError,
        "F, column 'user' holds values of the type List(Int64), which are neither numbers nor "
        "names. Its columns: 'user', 'item', 'rating'. Choose another one.",
    ),
    "empty": ({"user": [], "item": [], "rating": []}, FileFormatError, f"F has no rows. {GIVE}"),
}


@pytest.mark.parametrize("case", BINARY)
@pytest.mark.parametrize("form", ["parquet", "ipc", "ipc_stream"])
def test_binary_tables(case, form):
    columns, kind, wanted = BINARY[case]
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1.0, 2.0]} | columns)
    getattr(frame, f"write_{form}")("F")
    assert message_of(kind, "F") == wanted


def test_binary_tables_of_another_shape():
    pl.DataFrame({"a": [1]}).write_parquet("F")
    assert message_of(FileFormatError, "F") == (
        "F has only one column, 'a'. Give a table with rows (users) and columns (items)."
    )
    columns = {"a": [1, 1], "b": ["x", "y"], "c": [1, 2], "d": [1, 2], "e": [1, 2]}
    pl.DataFrame(columns).write_parquet("F")
    assert message_of(FileFormatError, "F") == f"F, row 1, column 'b': 'x' {TEXT_COLUMN}"


# ---------------------------------------------------------------------- Matrix Market

M = "%%MatrixMarket matrix coordinate real general\n"
MARKET = {
    "truncated": (
        M + "2 2 2\n1 1 5\n",
        "F is not a valid Matrix Market file (Truncated file. Expected another 1 lines). "
        "Correct it, or copy it again from its source.",
    ),
    "text": (
        M + "2 2 1\n1 1 abc\n",
        "F is not a valid Matrix Market file (Line 3: Invalid floating-point value). "
        "Correct it, or copy it again from its source.",
    ),
    "NaN": (
        M + "2 2 1\n2 1 nan\n",
        "F: the entry of row 2, column 1 is nan, which is not a finite number. "
        "Correct the value or delete the entry.",
    ),
    "infinite array": (
        "%%MatrixMarket matrix array real general\n1 2\n1\ninf\n",
        "F: the entry of row 1, column 2 is inf, which is not a finite number. "
        "Correct the value or delete the entry.",
    ),
    "repeated": (
        M + "2 2 2\n2 1 3\n2 1 4.5\n",
        f"F: the entry of row 2, column 1 occurs twice (3 and 4.5). {KEEP}",
    ),
    "pattern": (
        "%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 1\n",
        "F only says where entries are (field: pattern). "
        "Give a Matrix Market file of real or integer values.",
    ),
    "complex": (
        "%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 1 1 1\n",
        "F holds complex numbers (field: complex). "
        "Give a Matrix Market file of real or integer values.",
    ),
    "more entries declared than bytes": (
        M + "2 2 100000000000\n1 1 1\n",
        f"F is truncated: it declares 100000000000 entries in 69 bytes. {AGAIN}",
    ),
    "nearly all rows empty": (
        M + "9000000000 2 1\n1 1 1\n",
        "F declares 9000000000 × 2 cells but stores 1: nearly all rows and columns would be "
        "empty. Number those that occur from 1 on.",
    ),
}


@pytest.mark.parametrize("case", MARKET)
def test_matrix_market(case):
    content, wanted = MARKET[case]
    Path("F").write_text(content)
    with pytest.raises(MixmendError) as caught:
        read_ratings("F")
    assert str(caught.value) == wanted


# ---------------------------------------------------------------------- options and pairs


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"layout": "tall"}, "layout must be one of auto, long, wide; got 'tall'."),
        (
            {"duplicates": "max"},
            "duplicates must be one of error, first, last, mean; got 'max'.",
        ),
        ({"dtype": "int"}, "dtype must be one of float64, float32; got 'int'."),
        (
            {"layout": "wide", "value": "a"},
            'A wide table has no single value column: leave out value or layout="wide".',
        ),
    ],
)
def test_options(options, wanted):
    Path("F").write_text(H + "1,2,3\n")
    assert message_of(DataError, "F", **options) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (
            "user,item\n1,\n",
            "F, line 2, column 'item': the cell is empty. Fill it in or delete the line.",
        ),
        (
            "user,thing\n1,2\n",
            "F has no column that is known to hold the columns (items). It has: 'user', 'thing'. "
            'Name the right one with column="…" (--column-name).',
        ),
        ("1\n", f"F has only one column: there is no comma in its first line '1'. {ONE_COLUMN}"),
        (
            M + "1 1 1\n1 1 1\n",
            "F is a Matrix Market file, which holds a matrix, not pairs. "
            "Give a table with a column of rows and one of columns.",
        ),
    ],
)
def test_pairs(content, wanted):
    Path("F").write_text(content)
    assert message_of(FileFormatError, "F", read=read_pairs) == wanted


def test_asking_for_a_record_that_was_not_read():
    Path("F").write_text(H + "1,2,3\n")
    with pytest.raises(IndexError):
        TextTable(text_module.Source("F", "text", None)).locate(0)
