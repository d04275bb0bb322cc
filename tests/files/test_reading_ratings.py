"""Ratings files of all usual kinds give the matrix that is in them."""

import bz2
import gzip
import lzma

import numpy as np
import polars as pl
import pytest
from scipy import io as scipy_io
from scipy import sparse

import mixmend as mm
from mixmend.errors import FileFormatError
from mixmend.files import text as text_module
from mixmend.files.ratings import read_pairs, read_ratings

TRIPLES = [(10, 5, 4.0), (2, 5, 3.5), (10, 7, 0.0)]
DENSE = np.array([[3.5, np.nan], [4.0, 0.0]])


def written(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def body(separator, header=None, end="\n"):
    lines = [separator.join(map(str, triple)) for triple in TRIPLES]
    return end.join(([separator.join(header)] if header else []) + lines) + end


def check(obs, rows=(2, 10), columns=(5, 7), dense=DENSE):
    assert obs.row_labels.tolist() == list(rows)
    assert obs.column_labels.tolist() == list(columns)
    np.testing.assert_array_equal(obs.dense, dense)


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " ", "  \t "])
@pytest.mark.parametrize("header", [None, ("user", "item", "rating")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_separator_header_and_line_end(tmp_path, separator, header, end):
    check(read_ratings(written(tmp_path, "ratings.data", body(separator, header, end))))


@pytest.mark.parametrize(
    "names",
    [
        ("userId", "movieId", "rating"),
        ("USER_ID", "Product ID", "Stars"),
        ("uid", "iid", "score"),
        ("User-ID", "ISBN", "Book-Rating"),
        ("row", "column", "value"),
        ("reviewerID", "asin", "overall"),
    ],
)
def test_columns_are_found_by_usual_names_in_any_order(tmp_path, names):
    user, item, rating = names
    text = f"{rating},when,{item},{user}\n4,x,5,10\n3.5,y,5,2\n0,z,7,10\n"
    check(read_ratings(written(tmp_path, "r.csv", text)))


def test_columns_can_be_given_by_name_or_number(tmp_path):
    path = written(tmp_path, "r.csv", "a,b,c,d,e\n1,5,10,4,x\n1,5,2,3.5,x\n1,7,10,0,x\n")
    check(read_ratings(path, row="c", column="b", value="d"))
    check(read_ratings(path, row=3, column="2", value=4))
    bare = written(tmp_path, "r.dat", "1,5,10,4,x\n1,5,2,3.5,x\n1,7,10,0,x\n")
    check(read_ratings(bare, row=3, column=2, value=4))


def test_without_a_header_the_order_is_user_item_rating_timestamp(tmp_path):
    check(read_ratings(written(tmp_path, "u.data", "10\t5\t4\t99\n2\t5\t3.5\t98\n10\t7\t0\t97\n")))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_text_whatever_its_name(tmp_path, compress):
    path = tmp_path / "ratings"
    path.write_bytes(compress(body(",", ("user", "item", "rating")).encode()))
    check(read_ratings(path))


def test_zstd_text_keeps_its_line_numbers(tmp_path):
    def packed(text):
        """A zstd file of one stored block: all that is needed of the format here."""
        size = len(text.encode())
        return (
            b"\x28\xb5\x2f\xfd\x20"
            + bytes([size, 1 | size << 3 & 0xFF, size >> 5, 0])
            + text.encode()
        )

    path = tmp_path / "ratings.csv.zst"
    path.write_bytes(packed(body(",", ("user", "item", "rating"))))
    check(read_ratings(path))
    path.write_bytes(packed("user,item,rating\n\n1,2,3\n\n1,3,x"))
    with pytest.raises(FileFormatError, match="line 5"):
        read_ratings(path)


def test_byte_order_marks_and_blank_lines_are_no_data(tmp_path):
    text = "\ufeff\n\nuser,item,rating\n10,5,4\n\n \t\n2,5,3.5\n10,7,0\n\n\n"
    check(read_ratings(written(tmp_path, "r.csv", text)))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_other_encodings_when_named(tmp_path, encoding):
    path = written(tmp_path, "r.csv", "user,item,rating\nJosé,é,4\nAnn,é,3\n", encoding)
    obs = read_ratings(path, encoding=encoding)
    assert obs.row_labels.tolist() == ["Ann", "José"]
    assert obs.column_labels.tolist() == ["é"]


def test_quoted_identifiers_keep_separators_quotes_and_line_ends(tmp_path):
    text = 'user,item,rating\n"Smith, J.","say ""hi""",4\n"two\nlines",Heat,3\n"Lee" , Heat , 2\n'
    path = written(tmp_path, "r.csv", text.replace(" ,", ",").replace(", ", ",", 0))
    obs = read_ratings(path)
    assert obs.row_labels.tolist() == ["Lee", "Smith, J.", "two\nlines"]
    assert obs.column_labels.tolist() == ["Heat", 'say "hi"']
    assert obs.entries()[2].tolist() == [2, 4, 3]


def test_blanks_around_fields_are_dropped(tmp_path):
    text = 'user, item, rating\n 10, 5 ,4\n2 ,\t5, 3.5 \n10,"7", 0\n'
    check(read_ratings(written(tmp_path, "r.csv", text)))


@pytest.mark.parametrize("odd", ["007", "+1", "-0", "1.0", "99999999999999999999", "a7", "1_0"])
def test_identifiers_that_are_no_plain_integers_make_the_column_text(tmp_path, odd):
    obs = read_ratings(written(tmp_path, "r.csv", f"user,item,rating\n10,5,4\n{odd},5,3\n-2,5,1\n"))
    assert obs.row_labels.tolist() == sorted(["10", odd, "-2"])
    assert obs.column_labels.tolist() == [5]
    assert obs.column_labels.dtype == np.int64


def test_text_found_late_turns_earlier_integers_back_into_text(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "BLOCK", 1 << 12)
    users = [*range(3000), "x"]
    lines = "".join(f"{user},{k % 7},{k % 5}\n" for k, user in enumerate(users))
    obs = read_ratings(written(tmp_path, "r.csv", "user,item,rating\n" + lines))
    assert obs.row_labels.tolist() == sorted(map(str, users))
    wanted = {(str(user), k % 7): float(k % 5) for k, user in enumerate(users)}
    rows, columns, values = obs.entries()
    names = zip(obs.row_labels[rows].tolist(), obs.column_labels[columns].tolist(), strict=True)
    assert dict(zip(names, values.tolist(), strict=True)) == wanted


def test_widely_spread_integers(tmp_path):
    text = f"user,item,rating\n{-(2**62)},1,1\n{2**62},2,2\n0,1,3\n"
    obs = read_ratings(written(tmp_path, "r.csv", text))
    assert obs.row_labels.tolist() == [-(2**62), 0, 2**62]
    assert obs.entries()[2].tolist() == [1, 3, 2]


def test_types_of_values(tmp_path):
    path = written(tmp_path, "r.csv", "user,item,rating\n1,1,0.1\n")
    assert read_ratings(path).dtype == np.float64
    assert read_ratings(path).entries()[2][0] == 0.1
    assert read_ratings(path, dtype="float32").dtype == np.float32
    frame = pl.DataFrame({"user": [1], "item": [1], "rating": pl.Series([0.1], dtype=pl.Float32)})
    frame.write_parquet(tmp_path / "r.parquet")
    assert read_ratings(tmp_path / "r.parquet").dtype == np.float64


# ---------------------------------------------------------------------- repeated pairs, holes


REPEATED = "user,item,rating,timestamp\n1,1,5,300\n1,1,2,100\n1,1,4,200\n2,1,3,1\n"


@pytest.mark.parametrize(("duplicates", "value"), [("first", 2.0), ("last", 5.0), ("mean", 11 / 3)])
def test_first_and_last_are_meant_in_time(tmp_path, duplicates, value):
    obs = read_ratings(written(tmp_path, "r.csv", REPEATED), duplicates=duplicates)
    np.testing.assert_allclose(obs.entries()[2], [value, 3])


@pytest.mark.parametrize(("duplicates", "value"), [("first", 5.0), ("last", 4.0)])
def test_first_and_last_without_times_follow_the_file(tmp_path, duplicates, value):
    text = REPEATED.replace("timestamp", "shop")
    obs = read_ratings(written(tmp_path, "r.csv", text), duplicates=duplicates)
    assert obs.entries()[2].tolist() == [value, 3]


@pytest.mark.parametrize(
    ("times", "last"),
    [
        (("2024-05-01", "2023-01-01"), 5),
        (("9.5", "10.5"), 4),
        (("10", "9"), 5),
    ],
)
def test_times_may_be_dates_or_numbers(tmp_path, times, last):
    text = f"user,item,rating,date\n1,1,5,{times[0]}\n1,1,4,{times[1]}\n"
    obs = read_ratings(written(tmp_path, "r.csv", text), duplicates="last")
    assert obs.entries()[2].tolist() == [last]


def test_a_named_timestamp_column_orders_repeated_pairs(tmp_path):
    text = "user,item,rating,n\n1,1,5,2\n1,1,4,1\n"
    path = written(tmp_path, "r.csv", text)
    assert read_ratings(path, duplicates="last").entries()[2].tolist() == [4]
    assert read_ratings(path, duplicates="last", timestamp="n").entries()[2].tolist() == [5]


@pytest.mark.parametrize("mark", [0, "0", "?", "nan"])
def test_a_named_mark_leaves_ratings_out_but_keeps_their_labels(tmp_path, mark):
    text = f"user,item,rating\n10,5,4\n2,5,3.5\n10,7,{mark}\n"
    obs = read_ratings(written(tmp_path, "r.csv", text), missing=mark)
    check(obs, dense=np.array([[3.5, np.nan], [4.0, np.nan]]))


def test_marks_and_times_together(tmp_path):
    text = "user,item,rating,timestamp\n1,1,0,300\n1,1,2,100\n1,1,4,200\n2,1,3,1\n"
    obs = read_ratings(written(tmp_path, "r.csv", text), missing=0, duplicates="last")
    assert obs.entries()[2].tolist() == [4, 3]


def test_zero_is_a_rating_unless_said_otherwise(tmp_path):
    path = written(tmp_path, "m.txt", "0 1 2 0 5\n1 0 0 2 3\n")
    assert read_ratings(path).n_observed == 10
    assert read_ratings(path, missing=0).n_observed == 6


# ---------------------------------------------------------------------- wide tables


def test_wide_text_with_labels_and_holes(tmp_path):
    text = "user,1,2,3,4\nann,5,,NaN,1\nbob,NA,2, ,null\nnil,,,,\n"
    obs = read_ratings(written(tmp_path, "w.csv", text))
    assert obs.row_labels.tolist() == ["ann", "bob", "nil"]
    assert obs.column_labels.tolist() == [1, 2, 3, 4]
    nan = np.nan
    np.testing.assert_array_equal(obs.dense, [[5, nan, nan, 1], [nan, 2, nan, nan], [nan] * 4])


def test_wide_table_with_named_columns_only(tmp_path):
    text = "glucose,insulin,bmi,age,bp\n1,2,3,4,5\n6,,8,9,10\n"
    obs = read_ratings(written(tmp_path, "w.csv", text))
    assert obs.column_labels.tolist() == ["glucose", "insulin", "bmi", "age", "bp"]
    assert not obs.has_row_labels
    assert obs.n_observed == 9


def test_wide_row_labels_named_and_other_marks(tmp_path):
    text = "a;who;b\n1;x;?\n-9;y;4\n"
    path = written(tmp_path, "w.csv", text)
    obs = read_ratings(path, layout="wide", row="who", missing="?")
    assert obs.row_labels.tolist() == ["x", "y"]
    np.testing.assert_array_equal(obs.dense, [[1, np.nan], [-9, 4]])
    obs = read_ratings(
        written(tmp_path, "w2.csv", text.replace("?", "")), row=2, layout="wide", missing=-9
    )
    np.testing.assert_array_equal(obs.dense, [[1, np.nan], [np.nan, 4]])


def test_wide_in_pieces_is_wide_at_once(tmp_path, monkeypatch, rng):
    table = rng.integers(0, 5, (200, 30)).astype(float)
    path = tmp_path / "w.txt"
    np.savetxt(path, table, fmt="%g")
    whole = read_ratings(path, dtype="float32")
    monkeypatch.setattr(text_module, "BLOCK", 1000)
    np.testing.assert_array_equal(read_ratings(path).dense, table)
    np.testing.assert_array_equal(whole.dense, table)
    assert whole.dtype == np.float32


def test_one_column_of_numbers_as_a_matrix(tmp_path):
    obs = read_ratings(written(tmp_path, "x.txt", "-1\n0\n4\n5\n6\n"), layout="wide")
    np.testing.assert_array_equal(obs.dense[:, 0], [-1, 0, 4, 5, 6])


# ---------------------------------------------------------------------- binary files


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather", "arrows"])
def test_binary_tables(tmp_path, suffix):
    frame = pl.DataFrame({"user": [10, 2, 10], "item": ["e", "e", "g"], "rating": [4, 3, 0]})
    path = tmp_path / f"r.{suffix}"
    {
        "parquet": frame.write_parquet,
        "arrow": frame.write_ipc,
        "feather": frame.write_ipc,
        "arrows": frame.write_ipc_stream,
    }[suffix](path)
    check(read_ratings(path), columns=("e", "g"), dense=[[3, np.nan], [4, 0]])


def test_binary_types_of_identifiers(tmp_path):
    frame = pl.DataFrame(
        {
            "user": [1.0, 2.0, 3.0],  # pandas makes floats of integers beside nulls
            "item": pl.Series(["b", "a", "b"], dtype=pl.Categorical),
            "rating": pl.Series(["1", "2.5", " 3"]),
        }
    )
    frame.write_parquet(tmp_path / "r.parquet")
    obs = read_ratings(tmp_path / "r.parquet")
    assert obs.row_labels.tolist() == [1, 2, 3]
    assert obs.column_labels.tolist() == ["a", "b"]
    assert obs.entries()[2].tolist() == [1, 2.5, 3]


def test_wide_parquet(tmp_path):
    frame = pl.DataFrame({"user": ["a", "b"], "x": [1, None], "y": [float("nan"), 2.0]})
    frame.write_parquet(tmp_path / "w.parquet")
    obs = read_ratings(tmp_path / "w.parquet", layout="wide")
    assert obs.row_labels.tolist() == ["a", "b"]
    np.testing.assert_array_equal(obs.dense, [[1, np.nan], [np.nan, 2]])


def test_parquet_in_slices_is_parquet_at_once(tmp_path, monkeypatch, rng):
    frame = pl.DataFrame({"user": np.arange(1000) % 37, "item": np.arange(1000), "rating": 1.5})
    frame.write_parquet(tmp_path / "r.parquet")
    whole = read_ratings(tmp_path / "r.parquet")
    monkeypatch.setattr("mixmend.files.binary.SLICE", 64)
    pieces = read_ratings(tmp_path / "r.parquet")
    for one, other in zip(whole.entries(), pieces.entries(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_with_pattern_characters_are_names(tmp_path):
    frame = pl.DataFrame({"user": [1], "item": [2], "rating": [3]})
    for name in ("r[1].parquet", "r*.parquet", "user=7.parquet"):
        frame.write_parquet(tmp_path / "plain")
        (tmp_path / "plain").rename(tmp_path / name)
        assert read_ratings(tmp_path / name).n_observed == 1


def test_matrix_market_keeps_explicit_zeros(tmp_path):
    stored = sparse.coo_array(([0.0, 3.5, 2.0], ([0, 1, 1], [2, 0, 1])), shape=(3, 3))
    scipy_io.mmwrite(tmp_path / "m.mtx", stored)
    obs = read_ratings(tmp_path / "m.mtx")
    assert obs.shape == (3, 3)
    nan = np.nan
    np.testing.assert_array_equal(obs.dense, [[nan, nan, 0], [3.5, 2, nan], [nan, nan, nan]])
    assert read_ratings(tmp_path / "m.mtx", missing=0).n_observed == 2
    packed = tmp_path / "m.mtx.gz"
    packed.write_bytes(gzip.compress((tmp_path / "m.mtx").read_bytes()))
    assert read_ratings(packed, dtype="float32").dtype == np.float32


def test_matrix_market_arrays_are_complete(tmp_path):
    scipy_io.mmwrite(tmp_path / "m.mtx", np.array([[1.0, 0.0], [2.0, 3.0]]))
    assert read_ratings(tmp_path / "m.mtx").is_complete
    assert read_ratings(tmp_path / "m.mtx", missing=0).n_observed == 3


# ---------------------------------------------------------------------- pairs


def test_pairs_keep_their_order_and_repetitions(tmp_path):
    rows, columns = read_pairs(written(tmp_path, "p.csv", "item,user\nx,3\ny,1\nx,3\n"))
    assert rows.tolist() == [3, 1, 3]
    assert columns.tolist() == ["x", "y", "x"]
    rows, columns = read_pairs(written(tmp_path, "p.txt", "3 7\n1 7\n"))
    assert (rows.tolist(), columns.tolist()) == ([3, 1], [7, 7])
    rows, columns = read_pairs(written(tmp_path, "q.csv", "a,b\n1,2\n"), row="b", column="a")
    assert (rows.tolist(), columns.tolist()) == ([2], [1])


# ---------------------------------------------------------------------- the real files


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shape", "count", "options"),
    [
        ("movielens_100k/u.data", (943, 1682), 100_000, {}),
        ("movielens_100k/u1.base", (943, 1650), 80_000, {}),
        ("movielens_1m/ratings.csv.gz", (6040, 3706), 1_000_203, {}),
        ("movielens_latest_small_2018/ratings.csv", (610, 9724), 100_836, {}),
        ("mitx686x/netflix_incomplete.txt", (1200, 1200), 1_111_768, {"missing": 0}),
        ("mitx686x/toy_data.txt", (250, 2), 500, {"layout": "wide"}),
        ("mitx686x/test_incomplete.txt", (20, 5), 81, {"layout": "wide", "missing": 0}),
    ],
)
def test_reference_files(shared_path, name, shape, count, options):
    obs = mm.read_ratings(shared_path(f"data/ratings/{name}"), **options)
    assert (obs.shape, obs.n_observed) == (shape, count)


@pytest.mark.shared
def test_movielens_100k_agrees_with_numpy(shared_path):
    path = shared_path("data/ratings/movielens_100k/u.data")
    table = np.loadtxt(path, dtype=np.int64)
    obs = mm.read_ratings(path)
    order = np.lexsort((table[:, 1], table[:, 0]))
    rows, columns, values = obs.entries()
    np.testing.assert_array_equal(obs.row_labels[rows], table[order, 0])
    np.testing.assert_array_equal(obs.column_labels[columns], table[order, 1])
    np.testing.assert_array_equal(values, table[order, 2])


@pytest.mark.shared
def test_dense_text_agrees_with_numpy(shared_path):
    path = shared_path("data/ratings/mitx686x/netflix_incomplete.txt")
    np.testing.assert_array_equal(read_ratings(path, missing=0).to_dense(0), np.loadtxt(path))


# ---------------------------------------------------------------------- every option counts


def test_the_first_line_is_what_one_says_it_is(tmp_path):
    path = written(tmp_path, "r.csv", "1,2,3\n4,5,6\n")
    assert read_ratings(path).n_observed == 2
    assert read_ratings(path, header=True, row="1", column="2", value="3").n_observed == 1
    path = written(tmp_path, "s.csv", "a,b,c,d,e\n1,2,3,4,5\n")
    with pytest.raises(FileFormatError, match="line 1, column 1: 'a' is not a number"):
        read_ratings(path, header=False, layout="wide")
    assert read_ratings(path).shape == (1, 5)
    path = written(tmp_path, "p.csv", "a,b\nc,d\n")
    assert len(read_pairs(path)[0]) == 2
    assert len(read_pairs(path, header=True, row="a", column="b")[0]) == 1


def test_the_separator_is_what_one_says_it_is(tmp_path):
    path = written(tmp_path, "r.csv", "a;x,b;y,3\nc;x,d;y,4\n")
    assert read_ratings(path, separator=",").row_labels.tolist() == ["a;x", "c;x"]
    for name in ("semicolon", ";"):
        with pytest.raises(FileFormatError, match="'y,3' is not a number"):
            read_ratings(path, separator=name)
    path = written(tmp_path, "p.txt", "a b|c\nd e|f\n")
    assert [labels.tolist() for labels in read_pairs(path, separator="bar")] == [
        ["a b", "d e"],
        ["c", "f"],
    ]
    assert [labels.tolist() for labels in read_pairs(path, separator="space")] == [
        ["a", "d"],
        ["b|c", "e|f"],
    ]


def test_pairs_in_another_encoding(tmp_path):
    path = written(tmp_path, "p.csv", "é,1\n", "latin-1")
    assert read_pairs(path, encoding="latin-1")[0].tolist() == ["é"]


def test_layout_decides_what_may_be_either(tmp_path):
    path = written(tmp_path, "r.txt", "1 2 3\n4 5 1\n")
    assert read_ratings(path, layout="long").n_observed == 2
    assert read_ratings(path, layout="wide").n_observed == 6
    path = written(tmp_path, "m.txt", "1 2 3 9 9\n4 5 1 9 9\n")
    assert read_ratings(path).shape == (2, 5)
    assert read_ratings(path, layout="long").n_observed == 2
