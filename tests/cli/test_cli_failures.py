"""Whatever goes wrong becomes one line on standard error and the right exit code."""

from __future__ import annotations

import errno
import json
import signal
import sys

import pytest
import typer

from mixmend.cli import failures, session, show
from mixmend.errors import DataError, OptionalDependencyError


@pytest.fixture
def failing(monkeypatch, capsys):
    """Run an application that raises; return exit code and standard error."""

    def run(error, *arguments):
        def application(arguments, **options):
            raise error

        monkeypatch.setattr("mixmend.cli.app.app", application)
        code = failures.run(list(arguments))
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("Two\nlines."), 2, "Two lines."),
        (OptionalDependencyError("Install it."), 2, "Install it."),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"),
            2,
            "a.csv: No such file or directory. Check the path.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            2,
            "/x: Permission denied. Check the permissions, or choose another place.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            2,
            "/x: No space left on device. Free some space, or choose another place.",
        ),
        (OSError("odd"), 2, "odd."),
        (
            typer.BadParameter("no such thing"),
            2,
            "Invalid value: no such thing. See 'mixmend --help'.",
        ),
        (
            KeyError("k"),
            1,
            "internal error, KeyError: 'k' "
            "(this is a fault of mixmend; run again with --traceback and report it)",
        ),
    ],
)
def test_every_error_is_one_line(failing, error, code, line):
    assert failing(error) == (code, f"mixmend: error: {line}\n")


def test_running_out_of_memory_is_explained(failing):
    with session.session() as run:
        with run.stage("reading a.csv"):
            pass
        with pytest.raises(MemoryError), run.stage("choosing the mixture"):
            raise MemoryError
    assert failing(MemoryError()) == (
        2,
        "mixmend: error: out of memory while choosing the mixture. Done before: reading a.csv. "
        "Nothing was written. Use fewer components (-k), or a machine with more memory.\n",
    )


@pytest.mark.parametrize("error", [session.Stopped(), KeyboardInterrupt(), typer.Abort()])
def test_ctrl_c_says_what_was_done(failing, error):
    with session.session() as run:
        with run.stage("reading a.csv"):
            pass
        with pytest.raises(ValueError, match="stop"), run.stage("writing b.csv"):
            raise ValueError("stop")
        run.written.append("c.csv")
    assert failing(error) == (
        130,
        "mixmend: error: interrupted while writing b.csv. Done before: reading a.csv. "
        "Written: c.csv.\n",
    )


@pytest.fixture
def interruptible():
    """As in a terminal: a shell starts what it runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_at_once_and_is_no_keyboard_interrupt_that_a_fit_would_swallow():
    with session.session() as run, pytest.raises(session.Stopped), run.stage("reading"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_left_to_a_stage_whose_result_is_kept():
    with session.session() as run:
        with run.stage("fitting", keep_what_is_done=True), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with run.stage("writing"):
            run.written.append("model.mixmend")
        with pytest.raises(session.Stopped):
            run.stop_if_interrupted()
    assert session.account() == ("while fitting. Done before: writing. Written: model.mixmend.")


def test_nobody_listening_is_no_failure(failing, monkeypatch):
    replaced = []
    monkeypatch.setattr(failures.os, "dup2", lambda *descriptors: replaced.append(descriptors))
    monkeypatch.setattr(sys, "stdout", open("/dev/null", "w"))  # noqa: PTH123, SIM115
    code = failures._complain(session.NobodyListening())
    assert code == 0
    assert len(replaced) == 1


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_traceback_is_shown_on_request(failing, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("MIXMEND_DEBUG", "1")
    code, err = failing(DataError("Bad."), *(["--traceback"] if how == "option" else []))
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("mixmend: error: Bad.\n")


def test_mixmend_debug_0_is_off(failing, monkeypatch):
    monkeypatch.setenv("MIXMEND_DEBUG", "0")
    assert failing(DataError("Bad.")) == (2, "mixmend: error: Bad.\n")


def test_warnings_become_notes_once_each(capsys):
    import warnings

    with session.session() as run:
        for _ in range(2):
            warnings.warn("Column 'x' has\nnothing observed.", UserWarning, stacklevel=1)
        warnings.warn("later", DeprecationWarning, stacklevel=1)
    assert run.notes == ["Column 'x' has nothing observed."]
    assert capsys.readouterr().err == "mixmend: note: Column 'x' has nothing observed.\n"


def test_json_is_strict_whatever_the_report_holds(capsys):
    import numpy as np

    with session.session() as run:
        report = {
            "a": float("nan"),
            "b": np.array([1.0, np.inf]),
            "c": np.int64(3),
            "d": [{"e": (1, "ü")}],
        }
        show.as_json("test", report, run)
    whole = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert whole["a"] is None
    assert whole["b"] == [1.0, None]
    assert whole["c"] == 3
    assert whole["d"] == [{"e": [1, "ü"]}]
    assert whole["command"] == "test"
    assert whole["notes"] == []


def test_tables_are_plain_text_in_a_pipe(capsys):
    rows = [
        {"name": "a", "x": 1.25, "n": 12345, "empty": None},
        {"name": "bb", "x": None, "n": 7, "empty": None},
    ]
    columns = [
        show.Column("name", "model"),
        show.Column("x", "RMSE", ".3f"),
        show.Column("n", "entries"),
        show.Column("empty", "never shown"),
    ]
    show.table(rows, columns, title="Errors", chosen=0)
    assert capsys.readouterr().out.splitlines() == [
        "Errors",
        "model   RMSE  entries",
        "a      1.250   12 345  chosen",
        "bb         –        7",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1234, "0.12 s"), (3.21, "3.2 s"), (12.3, "12 s"), (125.0, "2 min 5 s")]
)
def test_durations_are_short(seconds, text):
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_436_000_000, "1.44 GB")]
)
def test_sizes_are_short(n_bytes, text):
    assert show.size(n_bytes) == text
