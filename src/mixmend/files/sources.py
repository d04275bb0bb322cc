"""What a file is, told by its first bytes, and how to read through its compression."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from mixmend.errors import FileFormatError

PEEK = 512

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BINARY = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow-stream",
    b"PK\x03\x04": "zip",
}
# Formats that people do try, and what to do about each.
_FOREIGN = {
    b"\x93NUMPY": ("a NumPy array", "Load it with numpy.load and use ObservedMatrix.from_dense."),
    b"\x89HDF": ("an HDF5 file", "Export the table as CSV or Parquet."),
    b"MATLAB": ("a MATLAB file", "Load it with scipy.io.loadmat and use ObservedMatrix."),
    b"%PDF": ("a PDF document", "Export the table as CSV."),
    b"SQLite format 3": ("an SQLite database", "Export the table as CSV."),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "Save the sheet as CSV."),
    b"FEA1": ("a Feather file of the old version 1", "Write it again as Feather 2 or Parquet."),
    b"Obj\x01": ("an Avro file", "Export the table as Parquet."),
    b"ORC": ("an ORC file", "Export the table as Parquet."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it, and name the file inside."),
    b"\x80\x04": ("a pickle", "Pickles are never opened; export the table as CSV or Parquet."),
    b"\x80\x05": ("a pickle", "Pickles are never opened; export the table as CSV or Parquet."),
}
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_NAMED = {".parquet": "Parquet", ".arrow": "Arrow", ".feather": "Feather", ".mtx": "Matrix Market"}


class Source(NamedTuple):
    """A file that exists, and what its first bytes say it is.

    Attributes
    ----------
    path : str
        As the user gave it: messages show it so.
    kind : {"text", "parquet", "arrow", "arrow-stream", "matrix-market", "model"}
    compression : {"gzip", "bzip2", "xz", "zstd"} or None
    """

    path: str
    kind: str
    compression: str | None


def identify(path: str | os.PathLike[str], encoding: str = "utf-8") -> Source:
    """Tell what kind of file this is by its contents; its name is only cross-checked.

    Parameters
    ----------
    path : path-like
        The file.
    encoding : str, default "utf-8"
        Of text; in some encodings null bytes are no sign of a binary file.

    Returns
    -------
    Source

    Raises
    ------
    FileFormatError
        If there is no such file, it cannot be read, is empty, or is of a kind that
        holds no ratings; the message names the cure.
    """
    shown = os.fspath(path)
    check_readable(shown)
    with Path(shown).open("rb") as stream:
        start = stream.read(PEEK)
    if not start:
        raise FileFormatError(f"{shown} is empty. Give a file with at least one rating.")
    compression = next(
        (name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None
    )
    if compression:
        with open_plain(Source(shown, "text", compression)) as plain:
            start = plain.read(PEEK)
        if not start:
            raise FileFormatError(
                f"{shown} is empty once decompressed. Give a file with at least one rating."
            )
    kind = next((name for magic, name in _BINARY.items() if start.startswith(magic)), "text")
    if start[:14].lower() == b"%%matrixmarket":
        kind = "matrix-market"
    if kind == "zip":
        kind = "model" if start[30:41] == b"header.json" else "text"
    for magic, (name, cure) in _FOREIGN.items():
        if start.startswith(magic) and b"\0" in start:
            raise FileFormatError(f"{shown} is {name}, not a ratings file. {cure}")
    if kind == "text":
        _check_text(shown, start, "16" in encoding or "32" in encoding)
    return Source(shown, kind, compression)


def check_readable(shown: str) -> None:
    """Raise FileFormatError unless ``shown`` is a file that can be opened for reading."""
    try:
        mode = os.stat(shown).st_mode  # noqa: PTH116 -- Path("") would mean "."
        if stat.S_ISDIR(mode):
            raise FileFormatError(f"{shown} is a folder. Name a file inside it.")
        if not stat.S_ISREG(mode):
            raise FileFormatError(
                f"{shown} is a pipe or device, not a file. Save its contents to a file first."
            )
        Path(shown).open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise FileFormatError(
            f"There is no file {shown}. Check the name and the folder ({Path.cwd()} is the "
            "current one)."
        ) from None
    except PermissionError:
        raise FileFormatError(
            f"There is no permission to read {shown}. Have the file's permissions changed."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError(f"Cannot read {shown}: {reason}. Check the name.") from error


@contextlib.contextmanager
def open_plain(source: Source) -> Iterator[IO[bytes]]:
    """Open a file for reading as it was before compression.

    Parameters
    ----------
    source : Source
        The file.

    Yields
    ------
    binary stream

    Raises
    ------
    FileFormatError
        If the compressed data are truncated or damaged.
    """
    try:
        with _opened(source) as stream:
            yield stream
    except _DAMAGE as error:
        raise _damaged(source) from error
    except OSError as error:
        if source.compression == "bzip2" and error.errno is None:  # bz2's way to say "damaged"
            raise _damaged(source) from error
        raise FileFormatError(
            f"Cannot read {source.path}: {error.strerror or error}. Check the disk or network."
        ) from error


def _opened(source: Source) -> IO[bytes]:
    if source.compression == "gzip":
        return cast("IO[bytes]", gzip.open(source.path, "rb"))
    if source.compression == "bzip2":
        return cast("IO[bytes]", bz2.open(source.path, "rb"))
    if source.compression == "xz":
        return cast("IO[bytes]", lzma.open(source.path, "rb"))
    if source.compression == "zstd":
        return io.BytesIO(_unpacked_zstd(source))
    return Path(source.path).open("rb")


def _unpacked_zstd(source: Source) -> bytes:
    """Decompress by polars, which carries the codec that Python itself lacks before 3.14."""
    import polars as pl

    try:
        lines = pl.read_csv(
            Path(source.path).read_bytes(),
            has_header=False,
            separator="\0",  # text has none, so that every line is one field
            quote_char=None,
            infer_schema=False,
            truncate_ragged_lines=True,
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(source) from error
    if not lines.width:
        return b""
    return "\n".join(lines.to_series(0).fill_null("").to_list()).encode()


def _damaged(source: Source) -> FileFormatError:
    return FileFormatError(
        f"{source.path} is a truncated or damaged {source.compression} file. "
        "Copy it again from its source."
    )


def _check_text(shown: str, start: bytes, wide_characters: bool) -> None:
    """Refuse what cannot be text, and what is text although its name says otherwise."""
    if wide_characters or start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return  # UTF-16 has null bytes rightly; the reader knows what to say about it
    if start.startswith(b"PK\x03\x04"):
        raise FileFormatError(
            f"{shown} is a zip archive (or an Excel workbook). Unpack it and name the file "
            "inside, or save the sheet as CSV."
        )
    if b"\0" in start:
        raise FileFormatError(
            f"{shown} is a binary file of an unknown kind (it begins with {start[:8]!r}). "
            "Give CSV or other text, Parquet, Arrow or Matrix Market."
        )
    lowered = start.lstrip().lower()
    if lowered.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise FileFormatError(
            f"{shown} is a web page or XML, not a ratings file (a download that failed?). "
            "Fetch the data themselves."
        )
    for suffix in Path(shown).suffixes:
        if suffix.lower() in _NAMED:
            raise FileFormatError(
                f"{shown} is named as a {_NAMED[suffix.lower()]} file but is not one (it begins "
                f"with {start[:8]!r}). Copy it again from its source, or correct its name."
            )
