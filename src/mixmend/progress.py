"""Progress of long work: a bar on a terminal, nothing elsewhere, never in the way of Ctrl-C.

Long loops say what they do with `track`; whether anybody sees it is decided by whoever
started the work. Nothing is imported and nothing written until a display is wanted, so a
loop may call `Tracker.update` freely. Everything goes to standard error: standard output
belongs to results.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 2.0

_wanted: ContextVar[bool] = ContextVar("mixmend_progress_wanted", default=False)
_lock = threading.RLock()
_display: Progress | None = None
_users = 0


class Tracker:
    """Takes note of progress and shows it to nobody: the silent case, and the interface."""

    def update(self, advance: float = 1, **fields: object) -> None:
        """Note that ``advance`` more units are done; ``fields`` replace what is shown beside.

        Parameters
        ----------
        advance : float, default 1
            Units of the ``total`` given to `track`; 0 changes only the fields.
        **fields
            Shown as ``name value``, floats to six digits: ``update(log_likelihood=-12.5)``.
        """


class _Bar(Tracker):
    """A task in the display that all trackers share (a terminal holds only one)."""

    def __init__(self, display: Progress, task: TaskID) -> None:
        self._display = display
        self._task = task
        self._fields: dict[str, object] = {}

    def update(self, advance: float = 1, **fields: object) -> None:
        self._fields.update(fields)
        self._display.update(self._task, advance=advance, detail=_described(self._fields))


class _Lines(Tracker):
    """A line now and then, for logs: where progress is wanted but there is no terminal."""

    def __init__(self, label: str, total: float | None) -> None:
        self._label = label
        self._total = total
        self._done = 0.0
        self._fields: dict[str, object] = {}
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def update(self, advance: float = 1, **fields: object) -> None:
        self._done += advance
        self._fields.update(fields)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            self.write()

    def write(self) -> None:
        share = f"{self._done:g}" if self._total is None else f"{self._done:g}/{self._total:g}"
        print(f"{self._label}: {share} {_described(self._fields)}".rstrip(), file=sys.stderr)


@contextmanager
def reporting(wanted: bool = True) -> Iterator[None]:
    """Say that progress shall be shown (or not) for the work started inside.

    The command line uses it around every command; a tracker that leaves ``enabled`` open
    then draws a bar if standard error is a terminal.

    Examples
    --------
    >>> with reporting(False), track("silent", total=2) as progress:
    ...     progress.update()
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


@contextmanager
def track(label: str, total: float | None = None, enabled: bool | None = None) -> Iterator[Tracker]:
    """Follow a piece of work; ``with track("EM", total=500) as progress: progress.update()``.

    The display is closed whatever happens, an exception or Ctrl-C included, and neither is
    swallowed. Trackers nest: each becomes a line of one display.

    Parameters
    ----------
    label : str
        What is being done, in a word or two.
    total : float, optional
        How many units there are; without it the bar only shows that something moves.
    enabled : bool, optional
        True shows progress: a bar on a terminal, otherwise a line every two seconds.
        False shows nothing. None (the default) leaves it to `reporting`, and then shows
        only a bar on a terminal.

    Yields
    ------
    Tracker
        Call its ``update(advance=1, **fields)``, from any thread.

    Examples
    --------
    >>> with track("adding", total=3) as progress:
    ...     for step in range(3):
    ...         progress.update(step=step)
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if enabled is False or (enabled is None and not (_wanted.get() and terminal)):
        yield Tracker()
    elif terminal:
        with _shared_display() as display:
            task = display.add_task(label, total=total, detail="")
            try:
                yield _Bar(display, task)
            finally:
                display.remove_task(task)
    else:
        lines = _Lines(label, total)
        try:
            yield lines
        finally:
            lines.write()


@contextmanager
def _shared_display() -> Iterator[Progress]:
    """Share one display among all trackers: the first opens it, the last closes it."""
    global _display, _users
    with _lock:
        if _display is None:
            _display = _new_display()
            _display.start()
        display = _display
        _users += 1
    try:
        yield display
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _display = None
                display.stop()


def _new_display() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
        console=Console(stderr=True),
        transient=True,
    )


def _described(fields: dict[str, object]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.6g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in fields.items()
    )
