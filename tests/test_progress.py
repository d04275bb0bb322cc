"""Progress: silent unless wanted, a bar on a terminal, lines in a log, closed on Ctrl-C."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from mixmend import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def use_terminal(monkeypatch):
    """To be called in the test itself: pytest puts its own stderr in place after fixtures."""

    def use():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
        return stream

    return use


def test_nothing_is_written_unless_somebody_wants_it(use_terminal):
    terminal = use_terminal()
    with progress.track("work", total=2) as tracker:
        tracker.update()
    with progress.reporting(), progress.track("work", total=2, enabled=False) as tracker:
        tracker.update()
    assert terminal.getvalue() == ""


def test_reporting_draws_a_bar_with_the_fields_on_a_terminal(use_terminal):
    terminal = use_terminal()
    with progress.reporting(), progress.track("fitting", total=2) as tracker:
        tracker.update(log_likelihood=-12.3456789)
        tracker.update()
        progress._display.refresh()
    text = terminal.getvalue()
    assert "fitting" in text
    assert "2/2" in text
    assert "log likelihood -12.3457" in text


def test_reporting_stays_silent_without_a_terminal(capsys):
    with progress.reporting(), progress.track("work", total=2) as tracker:
        tracker.update()
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_enabled_without_a_terminal_writes_lines_to_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.track("EM", total=2, enabled=True) as tracker:
        tracker.update(l=-1.5)
        tracker.update(l=-1.25)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["EM: 1/2 l -1.5", "EM: 2/2 l -1.25", "EM: 2/2 l -1.25"]


def test_lines_are_rare(capsys):
    with progress.track("EM", enabled=True) as tracker:
        for _ in range(1000):
            tracker.update()
    assert capsys.readouterr().err.splitlines() == ["EM: 1000"]


def test_trackers_nest_in_one_display_and_it_closes_with_the_last(use_terminal):
    terminal = use_terminal()
    with progress.reporting(), progress.track("outer", total=3) as outer:
        with progress.track("inner", total=1) as inner:
            inner.update()
            assert progress._users == 2
        outer.update()
        assert progress._users == 1
    assert progress._users == 0
    assert progress._display is None
    assert "outer" in terminal.getvalue()
    assert "inner" in terminal.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_display_closes_and_the_exception_goes_on(use_terminal, error):
    terminal = use_terminal()
    with pytest.raises(error), progress.reporting(), progress.track("work"):
        raise error
    assert progress._display is None
    assert terminal.getvalue().count("\x1b[?25h") >= 1  # the cursor is shown again


def test_updates_may_come_from_threads(use_terminal):
    use_terminal()
    with progress.track("work", total=400, enabled=True) as tracker:
        threads = [
            threading.Thread(target=lambda: [tracker.update() for _ in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert progress._display.tasks[0].completed == 400


def test_reporting_ends_with_its_block():
    with progress.reporting():
        with progress.reporting(False):
            assert progress._wanted.get() is False
        assert progress._wanted.get() is True
    assert progress._wanted.get() is False
