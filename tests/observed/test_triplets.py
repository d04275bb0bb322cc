"""Triplets into observed matrices: positions, identifiers, duplicates, and what is refused."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mixmend
from mixmend.errors import DataError
from mixmend.observed import compressed, triplets
from mixmend.observed.identifiers import number_identifiers
from mixmend.observed.matrix import ObservedMatrix

from_triplets = ObservedMatrix.from_triplets


def message_of(*args, **kwargs):
    with pytest.raises(DataError) as caught:
        from_triplets(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_positions_of_any_integer_type_in_any_order(rng, dtype):
    cells = rng.permutation(100 * 80)[:3000]
    rows, columns = (part.astype(dtype) for part in np.divmod(cells, 80))
    values = rng.normal(size=3000)
    obs = from_triplets(rows, columns, values, (100, 80))
    expected = np.full((100, 80), np.nan)
    expected[rows.astype(int), columns.astype(int)] = values
    np.testing.assert_array_equal(obs.dense, expected)
    assert obs.by_row.indices.dtype == np.int32
    assert not obs.has_row_labels


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.longdouble, np.float64),
        (">f4", np.float32),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (bool, np.float64),
        (object, np.float64),
    ],
)
def test_types_of_values(given, stored):
    obs = from_triplets([1, 0], [0, 1], np.array([1, 0]).astype(given))
    assert obs.dtype == stored
    np.testing.assert_array_equal(obs.dense, [[np.nan, 0.0], [1.0, np.nan]])


def test_shape_is_just_large_enough_or_as_said():
    assert from_triplets([2, 0], [0, 4], [1, 2]).shape == (3, 5)
    assert from_triplets([2, 0], [0, 4], [1, 2], (7, 5)).shape == (7, 5)
    labelled = from_triplets([2, 0], [0, 4], [1, 2], row_labels=list("abcd"))
    assert labelled.shape == (4, 5)
    assert labelled.row_labels.tolist() == list("abcd")
    empty = from_triplets([], [], [], (2, 3))
    assert (empty.shape, empty.n_observed) == ((2, 3), 0)


def test_more_columns_than_32_bits_can_number():
    many = 3_000_000_000
    obs = from_triplets([1, 0, 1], [many - 1, 5, 2**31], [1.0, 2.0, 3.0], (2, many))
    assert obs.by_row.indices.dtype == np.int64
    assert obs.row(1)[0].tolist() == [2**31, many - 1]
    assert obs[1].row(0)[1].tolist() == [3.0, 1.0]


def test_strings_dates_and_mixed_kinds_become_labels():
    obs = from_triplets(["bob", "ann", "bob"], ["y", "x", "x"], [1.0, 2.0, 0.0])
    assert obs.row_labels.tolist() == ["ann", "bob"]
    assert obs.column_labels.tolist() == ["x", "y"]
    np.testing.assert_array_equal(obs.dense, [[2.0, np.nan], [0.0, 1.0]])
    days = np.array(["2024-03-01", "2024-01-01"], "M8[D]")
    dated = from_triplets(days, [0, 0], [3.0, 1.0])
    np.testing.assert_array_equal(dated.row_labels, np.sort(days))
    assert not dated.has_column_labels
    objects = from_triplets([datetime.date(2024, 3, 1), datetime.date(2024, 1, 1)], [0, 0], [3, 1])
    assert objects.row_labels.tolist() == [datetime.date(2024, 1, 1), datetime.date(2024, 3, 1)]
    assert from_triplets(np.array([1, 0], object), [0, 0], [1, 2]).has_row_labels is False


def test_labels_are_sorted_by_code_point_as_numpy_does():
    names = ["é", "z", "Z", "a", "", "ab", "😀", "a b", "é"]
    codes, labels = number_identifiers(names, "row")
    expected, inverse = np.unique(names, return_inverse=True)
    assert labels.tolist() == expected.tolist()
    np.testing.assert_array_equal(codes, inverse)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "object", "categorical"])
def test_series_of_other_libraries(library):
    names = ["b", "a", "b"]
    if library == "object":
        series = np.array(names, object)
    elif library == "categorical":
        series = pytest.importorskip("pandas").Series(names, dtype="category")
    else:
        module = pytest.importorskip(library)
        series = module.array(names) if library == "pyarrow" else module.Series(names)
        if library == "pyarrow":
            series = module.chunked_array([series])
    obs = from_triplets(series, [0, 0, 1], [1, 2, 3])
    assert obs.row_labels.tolist() == ["a", "b"]
    np.testing.assert_array_equal(obs.dense, [[2.0, np.nan], [1.0, 3.0]])


def test_integer_series_are_positions():
    pl = pytest.importorskip("polars")
    obs = from_triplets(pl.Series([2, 0]), pl.Series([0, 1], dtype=pl.UInt8), pl.Series([1.5, 2]))
    assert obs.shape == (3, 2)


def test_identifiers_are_looked_up_in_given_labels():
    first = from_triplets(["ann", "bob"], [10, 20], [1, 2], column_labels=np.arange(30))
    second = from_triplets(["bob"], ["20"], [5], row_labels=first.row_labels, column_labels=[20, 5])
    assert second.shape == (2, 2)
    np.testing.assert_array_equal(second.dense, [[np.nan] * 2, [5.0, np.nan]])
    assert message_of(["eve"], [0], [1], row_labels=["ann", "bob"]) == (
        "1 unknown row label: 'eve'. Known are such as 'ann', 'bob'."
    )


def test_nothing_given_is_shared_or_changed():
    rows, columns = np.array([0, 1]), np.array([1, 0])
    values = np.array([1.0, 2.0])
    obs = from_triplets(rows, columns, values)
    rows[:], columns[:], values[:] = 0, 0, 9.0
    np.testing.assert_array_equal(obs.dense, [[np.nan, 1.0], [2.0, np.nan]])
    ordered = np.array([1.0, 2.0])
    kept = from_triplets([0, 0], [0, 1], ordered)
    ordered[0] = 5.0
    assert kept.by_row.values[0] == 1.0


def test_the_number_of_ranges_does_not_show(rng, monkeypatch):
    cells = rng.permutation(300 * 500)[:40_000]
    rows, columns = np.divmod(cells, 500)
    values = rng.normal(size=len(cells))
    whole = from_triplets(rows, columns, values, (300, 500))
    monkeypatch.setattr(compressed, "BLOCK_CELLS", 1000)
    monkeypatch.setattr(triplets, "BLOCK_CELLS", 1000)
    shared_out = from_triplets(rows, columns, values, (300, 500))
    for mine, its in zip(whole.by_row, shared_out.by_row, strict=True):
        np.testing.assert_array_equal(mine, its)
    for mine, its in zip(whole.by_column, shared_out.by_column, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(
    ("duplicates", "kept"), [("first", 4.0), ("last", 1.0), ("mean", 8.0 / 3.0)]
)
def test_duplicates_by_request(duplicates, kept):
    obs = from_triplets([1, 0, 1, 1], [2, 0, 2, 2], [4, 9, 3, 1], duplicates=duplicates)
    assert obs.n_observed == 2
    assert obs.dense[1, 2] == kept
    assert obs.dense[0, 0] == 9.0
    assert len(obs.by_row.values) == len(obs.by_row.indices) == 2
    assert obs.by_row.pointers.tolist() == [0, 1, 2]


def test_without_duplicates_the_request_changes_nothing():
    for duplicates in ("error", "first", "last", "mean"):
        obs = from_triplets([1, 0], [0, 0], [4, 9], duplicates=duplicates)
        assert obs.by_row.values.tolist() == [9.0, 4.0]


CURE = "Remove the repetitions, or say which to keep: duplicates='first', 'last' or 'mean'."


def test_the_first_duplicate_is_named():
    assert message_of([5, 2, 5, 2, 2], [1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) == (
        f"row 2, column 1 occurs 3 times (entries 1 and 3, …). {CURE}"
    )
    assert message_of(["b", "a", "b"], ["x", "x", "x"], [1, 2, 3]) == (
        f"row 1 ('b'), column 0 ('x') occurs 2 times (entries 0 and 2). {CURE}"
    )
    assert message_of([0], [0], [1], duplicates="sum") == (
        "duplicates must be 'error', 'first', 'last' or 'mean'; got 'sum'."
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ([0, 1, 2], [3, -2, -1], [1, 2, 3]),
            "Entry 1 has column -2: positions count from 0. "
            "Give identifiers as strings if the numbers are names.",
        ),
        (
            ([0, 7, 9], [0, 0, 0], [1, 2, 3], (3, 1)),
            "Entry 1 has row 7, but shape says 3 rows (0 to 2 are allowed). Enlarge the shape, "
            "or give identifiers as strings if the numbers are names.",
        ),
        (
            (["a", "b", "c"], [0, 1, 2], [1.0, np.nan, np.inf]),
            "Entry 1 (row 1 ('b'), column 1) has the value nan: a triplet says that something "
            "was observed. Leave entries without a value out (NaN) and replace infinity by a "
            "number.",
        ),
        (
            ([0], [0], np.array([-np.inf], np.float32)),
            "Entry 0 (row 0, column 0) has the value -inf: a triplet says that something was "
            "observed. Leave entries without a value out (NaN) and replace infinity by a number.",
        ),
        (
            ([0, 1], [0, 1], [1.0]),
            "rows, columns and values must be equally long: got 2, 2 and 1.",
        ),
        (([0], [0], ["5"]), "values must be numbers; entry 0 is '5'."),
        (([[0]], [0], [5]), "rows must be one-dimensional; got shape (1, 1)."),
        (([0], [0], [[5]]), "values must be one-dimensional; got shape (1, 1)."),
        (([0], [0], [5j]), "Complex data not supported: the values are complex numbers."),
        (
            ([0.5], [0], [5]),
            "rows must be integers (positions) or identifiers such as strings; got float64. "
            "Convert them: .astype(int) for positions, .astype(str) for names.",
        ),
        (
            ([0], [True], [5]),
            "columns must be integers (positions) or identifiers such as strings; got bool. "
            "Convert them: .astype(int) for positions, .astype(str) for names.",
        ),
        (
            (["a", None], [0, 1], [5, 6]),
            "Entry 1 has no row identifier. Leave such entries out or name the row.",
        ),
        (([], [], []), "No entries and no shape: say how many rows there are (shape=(n, d))."),
        (([0], [0], [1], (2,)), "shape must be (rows, columns); got (2,)."),
        (([], [], [], (-1, 2)), "shape must not be negative; got -1 rows."),
    ],
    ids=str,
)
def test_refused_with_cause_and_cure(args, message):
    assert message_of(*args) == message


def test_other_refusals():
    many = message_of([0, 5], [0, 0], [1, 2], row_labels=["a", "b"])
    assert many.startswith("Entry 1 has row 5, but there is no label for it (0 to 1 are allowed)")
    mixed = message_of(np.array([1, "a"], object), [0, 0], [1, 2])
    assert mixed.startswith("row identifiers of different types cannot be put in order (")
    objects = message_of([0, 1], [0, 0], np.array([1, "x"], object))
    assert objects.startswith("The matrix must hold numbers: entry 1 is 'x'.")
    pl = pytest.importorskip("polars")
    null = message_of(pl.Series(["a", None]), [0, 0], [1, 2])
    assert null == "Entry 1 has no row identifier. Leave such entries out or name the row."
    null = message_of([0, 1], [0, 0], pl.Series([1, None]))
    assert null.startswith("Entry 1 (row 1, column 0) has the value nan")


def test_a_bad_value_is_found_beyond_the_first_block(monkeypatch):
    monkeypatch.setattr(triplets, "BLOCK_CELLS", 3)
    values = np.ones(10)
    values[7] = np.nan
    with pytest.raises(DataError, match=re.escape("Entry 7 (row 7, column 0)")):
        from_triplets(np.arange(10), np.zeros(10, int), values)


def test_memory_beside_the_triplets_is_the_matrix_itself(rng):
    """A second copy of the entries, or one 8-byte temporary, would show."""
    pytest.importorskip("psutil")
    script = (
        "import numpy as np, psutil, threading, time\n"
        "from mixmend import ObservedMatrix\n"
        "n, d, m = 20_000, 3_000, 4_000_000\n"
        "rng = np.random.default_rng(0)\n"
        "cells = rng.choice(n * d, m, replace=False)\n"
        "rows, columns = (part.astype(np.int32) for part in np.divmod(cells, d))\n"
        "values = rng.random(m, dtype=np.float32)\n"
        "del cells\n"
        "ObservedMatrix.from_triplets(rows[:99], columns[:99], values[:99], (n, d))\n"
        "process, peak, done = psutil.Process(), [0], threading.Event()\n"
        "base = process.memory_info().rss\n"
        "def watch():\n"
        "    while not done.is_set():\n"
        "        peak[0] = max(peak[0], process.memory_info().rss)\n"
        "        time.sleep(0.0005)\n"
        "thread = threading.Thread(target=watch); thread.start()\n"
        "obs = ObservedMatrix.from_triplets(rows, columns, values, (n, d))\n"
        "done.set(); thread.join()\n"
        "print((max(peak[0], process.memory_info().rss) - base) / (8 * m))\n"
    )
    source = str(Path(mixmend.__file__).parents[1])
    said = subprocess.check_output(
        [sys.executable, "-c", script], text=True, env=os.environ | {"PYTHONPATH": source}
    )
    assert 0.9 < float(said) < 1.4


@pytest.mark.parametrize("made", [list, tuple, lambda names: np.array(names, object)])
def test_names_that_numpy_would_cut_short_are_refused(made):
    message = (
        r"Label 'a\x00' ends in a NUL character, which labels cannot keep. "
        r"Take it off, as by label.rstrip('\x00')."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        ObservedMatrix.from_triplets(made(["a", "a\0"]), ["x", "x"], [1.0, 2.0])
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        ObservedMatrix.from_dense([[1.0], [2.0]], row_labels=made(["a", "a\0"]))
    inside = ObservedMatrix.from_triplets(made(["\0a", "b"]), ["x", "x"], [1.0, 2.0])
    assert inside.row_labels.tolist() == ["\0a", "b"]
