"""Files from the network: whole, as published, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mixmend._version import __version__
from mixmend.errors import FileFormatError, MixmendError, OutputError
from mixmend.files.atomic import atomic_path, output_error
from mixmend.progress import track

_PIECE = 1 << 20
_TIMEOUT = 30.0


def download(address: str, target: Path, *, md5: str | None, cure: str) -> None:
    """Download a file to ``target``, which appears whole and checked or not at all.

    Parameters
    ----------
    address : str
        Where it is.
    target : Path
        Where it shall be; missing folders are made.
    md5 : str or None
        Its published checksum, in hexadecimal digits; None leaves only its length to check.
    cure : str
        What to do if it cannot be had, for the error's message.

    Raises
    ------
    MixmendError
        If the network, the server or the address is at fault.
    FileFormatError
        If the checksum is another one.
    OutputError
        If the file cannot be written.
    """
    make_folder(target.parent)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        request = urllib.request.Request(address, headers={"User-Agent": f"mixmend/{__version__}"})
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MixmendError(f"Cannot download {address}: {_reason(error)}. {cure}") from error
    with response, atomic_path(target) as temporary, temporary.open("wb") as file:
        for piece in _pieces(response, address, cure):
            digest.update(piece)
            file.write(piece)
        if md5 is not None and digest.hexdigest() != md5:
            raise FileFormatError(
                f"What came from {address} has the MD5 checksum {digest.hexdigest()}, but {md5} "
                f"was published: it was damaged or changed on the way. Nothing was kept. {cure}"
            )


def check_md5(path: Path, md5: str) -> None:
    """Raise FileFormatError if a file's MD5 checksum is not the published one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise FileFormatError(
            f"{path} has the MD5 checksum {found}, but {md5} was published: it is damaged or "
            "another version. Delete it and fetch it again."
        )


def unpack(archive: Path, top: str, *, leave_out: tuple[str, ...] = ()) -> Path:
    """Unpack the folder ``top`` of a zip archive beside it; it appears whole or not at all.

    Parameters
    ----------
    archive : Path
        The zip file.
    top : str
        The one folder in it that is wanted.
    leave_out : tuple of str
        Beginnings of the names of files that are not.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    FileFormatError
        If the archive is damaged or holds no such folder.
    OutputError
        If the folder cannot be written.
    """
    target = archive.parent / top
    try:
        with tempfile.TemporaryDirectory(prefix=f".{top}-", dir=archive.parent) as scratch:
            with zipfile.ZipFile(archive) as packed:
                members = [
                    member
                    for member in packed.infolist()
                    if PurePosixPath(member.filename).parts[:1] == (top,)
                    and not PurePosixPath(member.filename).name.startswith(leave_out or ("\0",))
                ]
                if not members:
                    raise FileFormatError(
                        f"{archive} holds no folder {top}; it is not the archive it should be. "
                        "Delete it and fetch it again."
                    )
                packed.extractall(scratch, members)  # which refuses to leave the folder
            try:
                (Path(scratch) / top).replace(target)
            except OSError:
                if not target.is_dir():  # otherwise another process was faster
                    raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise FileFormatError(
            f"{archive} is not a whole zip archive ({error}). Delete it and fetch it again."
        ) from error
    except OSError as error:
        raise output_error(target, error) from error
    return target


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {folder}: {error.strerror or error}. Give another one, "
            "or set MIXMEND_DATA to it."
        ) from error


def _pieces(response: Any, address: str, cure: str) -> Iterator[bytes]:
    """Yield the body; network errors must not be mistaken for those of the output file."""
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    done = 0
    name = PurePosixPath(address).name
    with track(f"downloading {name}", None if total is None else total / 1e6) as tracker:
        while True:
            try:
                piece = response.read(_PIECE)
            except (OSError, http.client.HTTPException) as error:
                raise MixmendError(
                    f"Cannot download {address}: {_reason(error)}. {cure}"
                ) from error
            if not piece:
                break
            done += len(piece)
            tracker.update(len(piece) / 1e6)
            yield piece
    if total is not None and done != total:
        raise MixmendError(
            f"Cannot download {address}: the connection ended after {done} of {total} bytes. {cure}"
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {_TIMEOUT:g} seconds"
    if isinstance(reason, OSError) and reason.strerror:
        return str(reason.strerror)
    return str(reason) or type(reason).__name__
