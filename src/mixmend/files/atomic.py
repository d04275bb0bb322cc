"""Output files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from mixmend.errors import OutputError

PARTIAL_SUFFIX = ".mixmend-partial"
"""What the name of every unfinished output ends with."""

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; put it in place of ``path`` when all went well.

    The temporary file lies in the same folder, so that the last step is one rename: an
    observer sees the old file (or none) or the whole new one, never a part. Before the
    rename the contents, and after it the folder, are forced to the disk. Any error, and
    Ctrl-C, removes the temporary file.

    A process that is killed outright cannot tidy up. What it leaves is named
    ``.NAME.XXXXXXXX.mixmend-partial`` (X: hexadecimal digits) and can always be deleted.

    Parameters
    ----------
    path : path-like
        The file to make. A symbolic link is followed: the file it points to is replaced.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Yields
    ------
    Path
        The temporary file, which exists and is empty.

    Raises
    ------
    OutputError
        If the folder is absent or not writable, a folder or device stands in the file's
        place, the file exists and ``overwrite`` is false, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "out.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> (folder / "out.txt").read_text(), len(list(folder.iterdir()))
    ('all of it', 1)
    """
    shown = os.fspath(path)
    check_output(shown, overwrite=overwrite)
    target = Path(os.path.realpath(shown))
    temporary = _temporary_beside(target)
    try:
        # 0o666 under the user's umask, as any program's output; an old file's mode is kept
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise output_error(shown, error) from error
    try:
        os.close(descriptor)
        yield temporary
        _force_to_disk(temporary)
        with contextlib.suppress(OSError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        if not overwrite and target.exists():
            raise _exists(shown)
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # an OSError about some other file (an input, say) is not ours to explain
        if isinstance(error, OSError) and error.filename in (None, os.fspath(temporary)):
            raise output_error(shown, error) from error
        raise
    _force_folder_to_disk(target.parent)


def check_output(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Raise OutputError now if writing to ``path`` is bound to fail.

    A long computation should call this before it starts: nothing is worse than an hour's
    fit that ends with "no such folder". `atomic_path` checks again.

    Parameters
    ----------
    path : path-like
        The file that shall be written.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Examples
    --------
    >>> check_output("no-such-folder/out.csv")
    Traceback (most recent call last):
    mixmend.errors.OutputError: Cannot write no-such-folder/out.csv: there is no folder
    no-such-folder. Make the folder first, or choose another place.
    """
    shown = os.fspath(path)
    if not shown:
        raise OutputError("Cannot write: the output's name is empty. Give a file name.")
    folder = Path(shown).parent
    try:
        target = Path(os.path.realpath(shown))
        if target.is_dir():
            raise OutputError(
                f"Cannot write {shown}: a folder has that name. "
                "Choose another name, or a file inside the folder."
            )
        if not target.parent.exists():
            raise OutputError(
                f"Cannot write {shown}: there is no folder {folder}. "
                "Make the folder first, or choose another place."
            )
        if target.exists():
            if not target.is_file():
                raise OutputError(
                    f"Cannot write {shown}: it is a device or pipe, not a file. "
                    "Write to a file and copy it from there."
                )
            if not overwrite:
                raise _exists(shown)
    except (OSError, ValueError) as error:  # a name too long, a null character, no permission
        if isinstance(error, OutputError):
            raise
        raise output_error(shown, error) from error
    if not target.parent.is_dir():
        raise OutputError(f"Cannot write {shown}: {folder} is not a folder. Choose another place.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise _not_allowed(shown, folder)


def output_error(path: str | os.PathLike[str], error: BaseException) -> OutputError:
    """Say what ``error`` means for the output at ``path``, as an OutputError to raise."""
    shown = os.fspath(path)
    number = error_number(error)
    if number in _FULL_DISK:
        return OutputError(
            f"Cannot write {shown}: the disk is full (or your quota is). "
            "Nothing was left behind; free some space, or choose another place."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _not_allowed(shown, Path(shown).parent)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OutputError(
        f"Cannot write {shown}: {reason}. Nothing was left behind; choose another name or place."
    )


def error_number(error: BaseException) -> int | None:
    """Give the system's number of an error; polars gives it in words only, "os error 28"."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else None


def _not_allowed(shown: str, folder: Path) -> OutputError:
    return OutputError(
        f"Cannot write {shown}: no permission to write in the folder {folder}. "
        "Choose another place, or have the permission changed."
    )


def _exists(shown: str) -> OutputError:
    return OutputError(
        f"Cannot write {shown}: the file exists and must not be overwritten. "
        "Choose another name, or allow overwriting."
    )


def _temporary_beside(target: Path) -> Path:
    tail = f".{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    # a file name has at most 255 bytes on common file systems
    head = target.name.encode()[: 254 - len(tail)].decode(errors="ignore")
    return target.with_name(f".{head}{tail}")


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _force_folder_to_disk(folder: Path) -> None:
    """Make the rename itself durable, where the system can (Windows opens no folders)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
