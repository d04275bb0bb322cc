"""Saved models: one file, the same bytes, and clear words for every kind of damage."""

import json
import os
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixmend
from mixmend.errors import DataError, MixmendError, ModelFileError, OutputError
from mixmend.files import models
from mixmend.files.models import load, read_model_header, register_model, save


class Thing:
    """A model as small as the contract allows."""

    _saved_kind = "test-thing"

    def __init__(self, header, arrays):
        self.header, self.arrays = header, arrays

    def _to_saved(self):
        return self.header, self.arrays

    @classmethod
    def _from_saved(cls, header, arrays):
        return cls(header, {name: arrays[name] for name in ("means", "labels")} | arrays)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(models, "_MODELS", dict(models._MODELS))
    module = types.ModuleType("mixmend_test_things")
    module.Thing = Thing
    monkeypatch.setitem(sys.modules, "mixmend_test_things", module)
    register_model("test-thing", "mixmend_test_things:Thing")


def thing():
    arrays = {
        "means": np.arange(6.0).reshape(2, 3),
        "labels": np.array(["a", "été", "ccc"]),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "mixed": np.array([1, "two", 3.5, None, True, np.nan], dtype=object),
        "days": np.array(["2024-05-01", "NaT"], dtype="datetime64[D]"),
        "flags": np.array([True, False]),
        "scalar": np.array(3.25),
        "empty": np.empty((0, 4)),
        "unlabelled": np.empty(0, dtype="U1"),
    }
    header = {"n": 3, "worst": -np.inf, "tol": np.float64(0.5), "trace": [1.0, np.nan], "x": None}
    return Thing(header, arrays)


def saved(folder, model=None):
    path = folder / "m.mixmend"
    save(model or thing(), path)
    return path


def rebuilt(path, change):
    """Write the archive again with its members changed by ``change(dict of name to bytes)``."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_header(path, **changes):
    def change(members):
        header = json.loads(members["header.json"])
        members["header.json"] = json.dumps(header | changes).encode()

    return rebuilt(path, change)


def message_of(path):
    with pytest.raises(ModelFileError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def test_everything_comes_back_as_it_was(tmp_path):
    model = thing()
    again = load(saved(tmp_path, model))
    assert again.header["worst"] == -np.inf
    assert np.isnan(again.header["trace"][1])
    assert again.header["tol"] == 0.5
    assert again.arrays.keys() == model.arrays.keys()
    for name, array in model.arrays.items():
        found = again.arrays[name]
        assert found.dtype == array.dtype, name
        assert found.shape == array.shape, name
        assert found.flags.writeable, name
        if name == "mixed":
            assert [type(item) for item in found] == [type(item) for item in array]
            assert found.tolist()[:5] == array.tolist()[:5]
        else:
            np.testing.assert_array_equal(found, array)


def test_string_type_of_numpy_two_is_saved_as_text(tmp_path):
    array = np.array(["x", "longer"], dtype=np.dtypes.StringDType())
    model = Thing({}, {"means": np.ones(1), "labels": array})
    assert load(saved(tmp_path, model)).arrays["labels"].tolist() == ["x", "longer"]


def test_the_same_model_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    save(thing(), tmp_path / "a")
    save(thing(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_model_header(tmp_path / "a")["created"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000001")
    save(thing(), tmp_path / "c")
    assert len((tmp_path / "c").read_bytes()) == len((tmp_path / "a").read_bytes())
    assert (tmp_path / "c").read_bytes() != (tmp_path / "a").read_bytes()


def test_the_header_says_where_the_model_is_from(tmp_path):
    save(thing(), tmp_path / "m", provenance={"data": "ratings.csv"})
    header = read_model_header(tmp_path / "m")
    assert header["format"] == "mixmend-model"
    assert header["format_version"] == 1
    assert header["kind"] == "test-thing"
    assert header["mixmend_version"] == mixmend.__version__
    assert header["numpy_version"] == np.__version__
    assert header["provenance"] == {"data": "ratings.csv"}
    assert header["arrays"]["means"] == {"dtype": "<f8", "shape": [2, 3]}


def test_other_programs_can_read_it(tmp_path):
    with zipfile.ZipFile(saved(tmp_path)) as archive, archive.open("arrays/means.npy") as stream:
        np.testing.assert_array_equal(np.load(stream), thing().arrays["means"])


def test_overwriting_can_be_forbidden(tmp_path):
    path = saved(tmp_path)
    with pytest.raises(OutputError, match="exists and must not be overwritten"):
        save(thing(), path, overwrite=False)


# ---------------------------------------------------------------------- what cannot be saved


def test_only_models_are_saved(tmp_path):
    with pytest.raises(DataError) as caught:
        save({"a": 1}, tmp_path / "m")
    assert str(caught.value) == (
        "A dict is not a model that mixmend can save. "
        "Save one of: gaussian-mixture, k-means, linear-autoencoder, matrix-factorization, "
        "neural-factorization, patch-prior, test-thing."
    )
    assert list(tmp_path.iterdir()) == []


def test_unregistered_kinds_are_not_saved(tmp_path):
    class Other(Thing):
        _saved_kind = "other"

    with pytest.raises(DataError, match="could be saved but not loaded again: its kind 'other'"):
        save(Other({}, {}), tmp_path / "m")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (
            np.array([(1, 2), "a"], dtype=object),
            "Cannot save the array 'labels': it holds a tuple ('(1, 2)'). "
            "Turn its items into strings or numbers first.",
        ),
        (
            np.zeros(2, dtype=[("a", "i4")]),
            "Cannot save the array 'labels' of type [('a', '<i4')]: only plain numbers, strings "
            "and dates are saved.",
        ),
    ],
)
def test_objects_are_not_saved(tmp_path, array, words):
    with pytest.raises(DataError) as caught:
        save(Thing({}, {"means": np.ones(1), "labels": array}), tmp_path / "m")
    assert str(caught.value) == words
    assert list(tmp_path.iterdir()) == []


def test_registering_needs_a_module_and_a_class():
    with pytest.raises(DataError, match=r"give its place as 'package\.module:Class'"):
        register_model("x", "package.module.Class")


# ---------------------------------------------------------------------- what cannot be loaded


def test_no_such_file_and_folder(tmp_path):
    path = tmp_path / "none.mixmend"
    assert message_of(path) == "There is no model file FILE. Check the name and the folder."
    assert message_of(tmp_path) == "FILE is a folder, not a model file. Name the file."


def test_empty_file(tmp_path):
    path = tmp_path / "m"
    path.touch()
    assert message_of(path) == "FILE is empty: it holds no model. Save the model again."


def test_another_format(tmp_path):
    path = tmp_path / "m"
    path.write_text("user,item,rating\n")
    assert message_of(path) == (
        "FILE is not a model saved by mixmend (it begins with b'user,ite'). "
        "Give a file written by mixmend.save."
    )


def test_another_archive(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ratings.csv", "1,2,3")
    assert message_of(path) == (
        "FILE is a zip archive, but not a model saved by mixmend (it has no header.json). "
        "Give a file written by mixmend.save."
    )


def test_another_programs_header(tmp_path):
    path = with_header(saved(tmp_path), format="other")
    assert message_of(path) == (
        "FILE is not a model saved by mixmend (its header does not say 'mixmend-model'). "
        "Give a file written by mixmend.save."
    )


def test_newer_format(tmp_path):
    path = with_header(saved(tmp_path), format_version=7)
    assert message_of(path) == (
        "FILE was written by a newer mixmend (format 7; this version reads up to 1). "
        "Upgrade mixmend."
    )


def test_unknown_kind(tmp_path):
    path = with_header(saved(tmp_path), kind="hidden-markov")
    assert message_of(path) == (
        "FILE holds a model of the kind 'hidden-markov', which is not known here (known: "
        "gaussian-mixture, k-means, linear-autoencoder, matrix-factorization, "
        "neural-factorization, patch-prior, test-thing). Upgrade mixmend, or import the package "
        "that made it."
    )
    assert read_model_header(path)["kind"] == "hidden-markov"


CURE = "Copy it again from its source, or save the model again."


def test_truncated(tmp_path):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert message_of(path) == (
        f"The model file FILE is truncated or damaged (File is not a zip file). {CURE}"
    )


def test_flipped_bit(tmp_path):
    path = saved(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[raw.index(thing().arrays["means"].tobytes()) + 20] ^= 1
    path.write_bytes(raw)
    assert message_of(path) == (
        "The model file FILE is truncated or damaged (Bad CRC-32 for file 'arrays/means.npy'). "
        f"{CURE}"
    )


def test_missing_array(tmp_path):
    path = rebuilt(saved(tmp_path), lambda members: members.pop("arrays/means.npy"))
    assert message_of(path) == (
        f"The model file FILE is truncated or damaged (the array 'means' is missing). {CURE}"
    )


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({"dtype": "<f8", "shape": [3, 2]}, "float64 3 × 2"),
        ({"dtype": "<f4", "shape": [2, 3]}, "float32 2 × 3"),
        ({"dtype": "<i8", "shape": []}, "int64 a single value"),
    ],
)
def test_other_type_or_shape_than_the_header_says(tmp_path, listed, said):
    path = saved(tmp_path)
    arrays = read_model_header(path)["arrays"] | {"means": listed}
    assert message_of(with_header(path, arrays=arrays)) == (
        "The model file FILE is truncated or damaged (the array 'means' is float64 2 × 3; the "
        f"header says {said}). {CURE}"
    )


def npy(header):
    text = header.encode()
    padded = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + b"\0" * 48


def test_shapes_beyond_the_file_are_refused_before_memory_is_used(tmp_path):
    huge = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000, 100000000), }")
    path = rebuilt(saved(tmp_path), lambda m: m.update({"arrays/means.npy": huge}))
    assert message_of(path) == (
        "The model file FILE is truncated or damaged (an array of shape (100000000, 100000000) "
        f"in 48 bytes). {CURE}"
    )


def test_pickled_arrays_are_refused(tmp_path):
    pickled = npy("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }")
    path = rebuilt(saved(tmp_path), lambda m: m.update({"arrays/means.npy": pickled}))
    assert message_of(path) == (
        f"The model file FILE is truncated or damaged (an array of type object). {CURE}"
    )


def test_compressed_members_are_refused(tmp_path):
    path = tmp_path / "m"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 1_000_000)
    size = path.stat().st_size
    assert message_of(path) == (
        f"The model file FILE is truncated or damaged (its parts claim 1000000 bytes in a file of "
        f"{size}). {CURE}"
    )


def test_parts_that_claim_more_than_there_is_are_refused(tmp_path):
    path = saved(tmp_path)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)  # in the list at the end
    raw[entry + 24 : entry + 28] = (10**9).to_bytes(4, "little")
    path.write_bytes(raw)
    assert "(its parts claim 1000" in message_of(path)


def test_contents_that_make_no_model(tmp_path):
    path = saved(tmp_path, Thing({}, {"means": np.ones(1)}))
    assert message_of(path) == (
        "The model file FILE is truncated or damaged (its contents do not make a Thing: "
        f"KeyError). {CURE}"
    )


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = saved(tmp_path)
    path.chmod(0)
    assert "There is no permission to read the model file FILE" in message_of(path)


@given(st.data())
def test_damaged_files_never_surprise(tmp_path_factory, data):
    """Any change to a valid file gives the same model or a MixmendError, nothing else."""
    path = tmp_path_factory.mktemp("fuzz") / "m.mixmend"
    save(thing(), path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        if not raw:
            break
        position = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "shift"])):
            case "flip":
                raw[position] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[position:]
            case "insert":
                raw[position:position] = data.draw(st.binary(min_size=1, max_size=20))
            case "drop":
                del raw[position : position + data.draw(st.integers(1, 50))]
            case "shift":
                raw[position : position + 4] = data.draw(st.binary(min_size=4, max_size=4))
    path.write_bytes(raw)
    try:
        model = load(path)
    except MixmendError:
        pass
    else:
        np.testing.assert_array_equal(model.arrays["means"], thing().arrays["means"])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_model(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "m"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        load(path)
    path.write_bytes(b"PK\x03\x04" + content)
    with pytest.raises(ModelFileError):
        load(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )
)
def test_arbitrary_headers_are_no_surprise(tmp_path_factory, header):
    path = tmp_path_factory.mktemp("fuzz") / "m"
    for whole in (header, {"format": "mixmend-model", "format_version": 1, "arrays": header}):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps(whole))
        with pytest.raises(ModelFileError):
            load(path)
