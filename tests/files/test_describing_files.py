"""What a file is, told without reading it."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

from mixmend.errors import FileFormatError
from mixmend.files.describe import describe_file
from mixmend.files.models import save
from mixmend.files.ratings import read_ratings
from mixmend.mixtures.estimator import GaussianMixture


def test_text(tmp_path):
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(b"userId,movieId,stars,when\n1,2,3,x\n"))
    told = describe_file(path)
    assert told == {
        "path": str(path),
        "bytes": path.stat().st_size,
        "format": "text",
        "compression": "gzip",
        "n_columns": 4,
        "columns": ["userId", "movieId", "stars", "when"],
        "layout": "long",
        "roles": {"row": "userId", "column": "movieId", "value": "stars"},
        "problem": None,
        "separator": "comma",
        "encoding": "utf-8",
        "header": True,
        "sample": [["1", "2", "3", "x"]],
    }


def test_what_is_told_is_what_is_done(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text("1 2 3 4 5\n6 7 8 9 0\n")
    told = describe_file(path)
    assert (told["layout"], told["separator"], told["header"]) == ("wide", "blanks", False)
    assert read_ratings(path).shape == (2, told["n_columns"])
    path.write_text("1 2\n3 4\n")
    told = describe_file(path)
    with pytest.raises(FileFormatError) as caught:
        read_ratings(path)
    assert (told["layout"], told["problem"]) == (None, str(caught.value))
    assert describe_file(path, separator=",")["n_columns"] == 1
    assert describe_file(path, header=True)["columns"] == ["1", "2"]


def test_binary_tables(tmp_path):
    path = tmp_path / "r.parquet"
    pl.DataFrame({"user": [1, 2], "item": ["a", "b"], "rating": [1.0, None]}).write_parquet(path)
    told = describe_file(path)
    assert (told["format"], told["n_records"], told["layout"]) == ("parquet", 2, "long")
    assert told["types"] == ["Int64", "String", "Float64"]
    assert told["sample"] == [["1", "a", "1.0"], ["2", "b", ""]]


def test_matrices_and_models(tmp_path):
    path = tmp_path / "m.mtx"
    path.write_text("%%MatrixMarket matrix array real general\n1 1\n5\n")
    assert describe_file(path)["format"] == "matrix-market"
    save(GaussianMixture(1).fit(np.ones((3, 2))), tmp_path / "m.mixmend", provenance={"of": "x"})
    told = describe_file(tmp_path / "m.mixmend")
    assert (told["format"], told["kind"]) == ("model", "gaussian-mixture")
    assert told["provenance"] == {"of": "x"}
    assert told["bytes"] == (tmp_path / "m.mixmend").stat().st_size
    json.dumps({k: told[k] for k in ("path", "bytes", "format", "kind", "created", "arrays")})


def test_complaints_are_the_readers(tmp_path):
    with pytest.raises(FileFormatError, match="There is no file"):
        describe_file(tmp_path / "none")
    (tmp_path / "x").write_bytes("é".encode("latin-1"))
    with pytest.raises(FileFormatError, match="not UTF-8 text"):
        describe_file(tmp_path / "x")
    (tmp_path / "x").write_bytes("ü,2,3\nö,2,4\n".encode("latin-1"))
    assert describe_file(tmp_path / "x", encoding="latin-1")["layout"] == "long"
