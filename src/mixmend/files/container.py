"""The container of a saved model: a zip file with a JSON header and plain arrays.

Nothing in it is executed when it is read: arrays are in NumPy's own ``.npy`` form
without pickle, everything else is JSON. Members are stored, not compressed: the bytes
depend on nothing but the model, and no small file can unfold into a huge one.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError, ModelFileError
from mixmend.files.atomic import atomic_path

FORMAT = "mixmend-model"
FORMAT_VERSION = 1

_HEADER = "header.json"
_ZIP_START = b"PK\x03\x04"
_PLAIN_KINDS = "biufcUSMm"  # what .npy holds without pickle
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def write_container(
    path: str | os.PathLike[str],
    header: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    *,
    overwrite: bool = True,
) -> None:
    """Write a header and named arrays; the same ones always give the same bytes.

    Parameters
    ----------
    path : path-like
        The file to make.
    header : dict
        What JSON can hold; NaN and infinities too, which JSON itself cannot.
    arrays : dict of ndarray
        Numbers, truth values, strings, dates; object arrays of strings and numbers.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Raises
    ------
    DataError
        If an array holds objects that are neither strings, numbers nor None.
    OutputError
        If the file cannot be written.
    """
    members: dict[str, bytes] = {}
    listed: dict[str, dict[str, Any]] = {}
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        # StringDType ("T") has no .npy form; object arrays have none without pickle
        if array.dtype.kind in "OT":
            members[f"arrays/{name}.json"] = _objects_to_json(name, array)
            listed[name] = {"dtype": "object", "shape": list(array.shape)}
        else:
            members[f"arrays/{name}.npy"] = _to_npy(name, array)
            listed[name] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    text = json.dumps(_to_json({**header, "arrays": listed}), indent=1, ensure_ascii=False)
    members = {_HEADER: text.encode(), **members}
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for member, content in members.items():
            # a fixed date, and fixed attributes: the bytes depend on the contents alone
            information = zipfile.ZipInfo(member, date_time=(1980, 1, 1, 0, 0, 0))
            information.create_system = 3
            information.external_attr = 0o644 << 16
            archive.writestr(information, content)


def read_container(
    path: str | os.PathLike[str], *, header_only: bool = False
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read back what `write_container` wrote, trusting nothing in the file.

    Parameters
    ----------
    path : path-like
        The file.
    header_only : bool, default False
        Leave the arrays alone (the second part of the answer is then empty).

    Returns
    -------
    header : dict
    arrays : dict of ndarray

    Raises
    ------
    ModelFileError
        If the file is absent, of another format, newer than this version, truncated or
        damaged.
    """
    shown = os.fspath(path)
    try:
        with Path(shown).open("rb") as stream:
            start = stream.read(8)
            if not start:
                raise ModelFileError(f"{shown} is empty: it holds no model. Save the model again.")
            if not start.startswith(_ZIP_START[: len(start)]):
                raise ModelFileError(
                    f"{shown} is not a model saved by mixmend (it begins with {start!r}). "
                    "Give a file written by mixmend.save."
                )
            with zipfile.ZipFile(stream) as archive:
                return _read_archive(shown, archive, Path(shown).stat().st_size, header_only)
    except ModelFileError:
        raise
    except FileNotFoundError:
        raise ModelFileError(
            f"There is no model file {shown}. Check the name and the folder."
        ) from None
    except IsADirectoryError:
        raise ModelFileError(f"{shown} is a folder, not a model file. Name the file.") from None
    except PermissionError:
        raise ModelFileError(
            f"There is no permission to read the model file {shown}. Have it changed."
        ) from None
    except Exception as error:  # zipfile meets damage with a dozen kinds of exception
        _damaged(shown, _reason(error), error)


def _read_archive(
    shown: str, archive: zipfile.ZipFile, size: int, header_only: bool
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    members = {information.filename: information for information in archive.infolist()}
    if _HEADER not in members:
        raise ModelFileError(
            f"{shown} is a zip archive, but not a model saved by mixmend (it has no "
            f"{_HEADER}). Give a file written by mixmend.save."
        )
    claimed = 0
    for information in archive.infolist():  # a few bytes must not unfold into many
        claimed += information.file_size
        if information.compress_type != zipfile.ZIP_STORED or claimed > size:
            _damaged(shown, f"its parts claim {claimed} bytes in a file of {size}")
    header = _from_json(json.loads(archive.read(_HEADER).decode()))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(
            f"{shown} is not a model saved by mixmend (its header does not say "
            f"{FORMAT!r}). Give a file written by mixmend.save."
        )
    version = header.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _damaged(shown, "its header has no format version")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{shown} was written by a newer mixmend (format {version}; this version reads "
            f"up to {FORMAT_VERSION}). Upgrade mixmend."
        )
    listed = header.get("arrays")
    if not isinstance(listed, dict):
        _damaged(shown, "its header lists no arrays")
    if header_only:
        return header, {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, expected in listed.items():
        form = "json" if expected["dtype"] == "object" else "npy"
        member = f"arrays/{name}.{form}"
        if member not in members:
            _damaged(shown, f"the array {name!r} is missing")
        raw = archive.read(member)  # checks the CRC
        array = _objects_from_json(raw) if form == "json" else _from_npy(raw)
        found = {
            "dtype": "object" if form == "json" else array.dtype.str,
            "shape": list(array.shape),
        }
        if found != expected:
            _damaged(
                shown,
                f"the array {name!r} is {_spoken(found)}; the header says {_spoken(expected)}",
            )
        arrays[name] = array
    return header, arrays


# ---------------------------------------------------------------------- arrays


def _to_npy(name: str, array: NDArray[Any]) -> bytes:
    if array.dtype.kind not in _PLAIN_KINDS or array.dtype.hasobject:
        raise DataError(
            f"Cannot save the array {name!r} of type {array.dtype}: only plain numbers, "
            "strings and dates are saved."
        )
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _from_npy(raw: bytes) -> NDArray[Any]:
    """Parse ``.npy`` bytes; the declared shape must fill them exactly before memory is used."""
    stream = io.BytesIO(raw)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"an array of .npy version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in _PLAIN_KINDS or dtype.hasobject:
        raise ValueError(f"an array of type {dtype}")
    if any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    body = raw[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError(f"an array of shape {shape} in {len(body)} bytes")
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    # a copy: the result must be aligned and writable
    flat = np.frombuffer(body, dtype).copy()
    return flat.reshape(shape, order="F" if fortran else "C")


def _objects_to_json(name: str, array: NDArray[Any]) -> bytes:
    flat = []
    for item in array.ravel().tolist():
        plain = item.item() if isinstance(item, np.generic) else item
        if plain is not None and not isinstance(plain, str | int | float | bool):
            raise DataError(
                f"Cannot save the array {name!r}: it holds a {type(plain).__name__} "
                f"({str(plain)[:40]!r}). Turn its items into strings or numbers first."
            )
        flat.append(_to_json(plain))
    return json.dumps({"shape": array.shape, "items": flat}, ensure_ascii=False).encode()


def _objects_from_json(raw: bytes) -> NDArray[Any]:
    content = json.loads(raw.decode())
    items = [_from_json(item) for item in content["items"]]
    out = np.empty(len(items), dtype=object)
    for position, item in enumerate(items):  # assignment as a whole would unpack sequences
        out[position] = item
    return out.reshape(content["shape"])


def _spoken(listed: dict[str, Any]) -> str:
    shape = " × ".join(map(str, listed["shape"])) or "a single value"
    dtype = str(listed["dtype"])
    return f"{dtype if dtype == 'object' else np.dtype(dtype).name} {shape}"


# ---------------------------------------------------------------------- JSON


def _to_json(value: Any) -> Any:
    """NumPy scalars become plain ones; NaN and infinities, which JSON lacks, are marked."""
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$float"}:
            return _SPECIAL[value["$float"]]
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value


# ---------------------------------------------------------------------- complaints


def _damaged(shown: str, reason: str, cause: BaseException | None = None) -> NoReturn:
    raise ModelFileError(
        f"The model file {shown} is truncated or damaged ({reason}). "
        "Copy it again from its source, or save the model again."
    ) from cause


def _reason(error: BaseException) -> str:
    if isinstance(error, struct.error | EOFError | IndexError | KeyError | TypeError):
        return "its contents are not what they should be"
    return " ".join(str(error).split())[:200] or type(error).__name__
