"""Outputs are whole or absent: errors, Ctrl-C, a full disk, SIGKILL."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixmend.errors import OutputError
from mixmend.files import atomic
from mixmend.files.atomic import atomic_path, check_output


def message_of(path, **options):
    with pytest.raises(OutputError) as caught, atomic_path(path, **options):
        pytest.fail("the place was not refused before the work")
    with pytest.raises(OutputError) as checked:
        check_output(path, **options)
    assert str(checked.value) == str(caught.value)
    return str(caught.value)


def write_half(path, then):
    path.write_text("half")
    then()


def test_the_file_appears_when_all_is_written(tmp_path):
    target = tmp_path / "out.csv"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".out.csv.")
        assert temporary.name.endswith(".mixmend-partial")
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_any_error_and_ctrl_c_leave_the_old_file(tmp_path, error):
    target = tmp_path / "out.csv"
    target.write_text("old")

    def stop():
        raise error

    with pytest.raises(error), atomic_path(target) as temporary:
        write_half(temporary, stop)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_new_files_have_the_usual_mode_and_old_ones_keep_theirs(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    with atomic_path(tmp_path / "new"):
        pass
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "x"


def test_names_as_long_as_the_system_allows(tmp_path):
    target = tmp_path / ("é" * 127)
    with atomic_path(target) as temporary:
        temporary.write_text("x")
    assert target.read_text() == "x"


def test_contents_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    events = []
    real = os.fsync
    monkeypatch.setattr(
        atomic.os,
        "fsync",
        lambda fd: (
            events.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"),
            real(fd),
        ),
    )
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))
    )
    with atomic_path(tmp_path / "out"):
        pass
    assert events == ["file", "rename", "folder"]


def test_no_such_folder(tmp_path):
    path = tmp_path / "none" / "out.csv"
    assert message_of(path) == (
        f"Cannot write {path}: there is no folder {tmp_path}/none. "
        "Make the folder first, or choose another place."
    )


def test_a_folder_in_the_files_place(tmp_path):
    assert message_of(tmp_path) == (
        f"Cannot write {tmp_path}: a folder has that name. "
        "Choose another name, or a file inside the folder."
    )


def test_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "f").touch()
    path = tmp_path / "f" / "out.csv"
    assert message_of(path) == (
        f"Cannot write {path}: {tmp_path}/f is not a folder. Choose another place."
    )


def test_a_device_is_not_replaced():
    assert message_of("/dev/full") == (
        "Cannot write /dev/full: it is a device or pipe, not a file. "
        "Write to a file and copy it from there."
    )


def test_an_existing_file_that_must_stay(tmp_path):
    path = tmp_path / "out"
    path.touch()
    assert message_of(path, overwrite=False) == (
        f"Cannot write {path}: the file exists and must not be overwritten. "
        "Choose another name, or allow overwriting."
    )


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(OutputError, match="exists"), atomic_path(path, overwrite=False):
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "a" * 300, "a\0b"])
def test_impossible_names(tmp_path, name):
    assert message_of(f"{tmp_path}/{name}" if name else "").startswith("Cannot write")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_really(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "no permission" in message_of(tmp_path / "out.csv")
    finally:
        tmp_path.chmod(0o700)


def test_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.os, "access", lambda *_: False)
    path = tmp_path / "out.csv"
    assert message_of(path) == (
        f"Cannot write {path}: no permission to write in the folder {tmp_path}. "
        "Choose another place, or have the permission changed."
    )


def test_read_only_file_system(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(atomic.os, "open", refuse)
    words = "no permission to write in the folder"
    with pytest.raises(OutputError, match=words), atomic_path(tmp_path / "out.csv"):
        pass


FULL = (
    "Cannot write {}: the disk is full (or your quota is). "
    "Nothing was left behind; free some space, or choose another place."
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("moment", ["write", "fsync"])
def test_full_disk(tmp_path, monkeypatch, number, moment):
    def full(*_):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "out.csv"
    path.write_text("old")
    if moment == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OutputError) as caught, atomic_path(path) as temporary:
        write_half(temporary, full if moment == "write" else lambda: None)
    assert str(caught.value) == FULL.format(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_really_no_room(tmp_path):
    """A limit on the file's size is what the kernel gives an ordinary user for a full disk."""
    script = (
        "import resource, sys\n"
        "from mixmend.files.atomic import atomic_path\n"
        "from mixmend.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    with atomic_path(sys.argv[1]) as temporary:\n"
        "        temporary.write_bytes(bytes(20_000))\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, env=environment()
    )
    assert done.stdout.strip() == FULL.format(path), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "input").read_text()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from mixmend.files.atomic import atomic_path
print("ready", flush=True)
k = 0
while True:
    with atomic_path(sys.argv[1]) as temporary:
        with temporary.open("w") as stream:
            for _ in range(200):
                stream.write(f"{k}\\n")
                stream.flush()
    k += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment(tmp_path, seed):
    path = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, env=environment()
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).random() * 0.2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if path.exists():
        lines = path.read_text().split()
        assert len(lines) == 200
        assert len(set(lines)) == 1
    left = [other.name for other in tmp_path.iterdir() if other != path]
    assert len(left) <= 1
    assert all(name.startswith(".out.") and name.endswith(".mixmend-partial") for name in left)


def environment():
    source = Path(atomic.__file__).parents[2]
    return os.environ | {"PYTHONPATH": str(source)}
