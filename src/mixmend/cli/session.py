"""What a running command has done so far: stages with their times, and the warnings met."""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO

from mixmend.errors import IndependenceWarning
from mixmend.progress import reporting


class Stopped(BaseException):
    """Ctrl-C, where nothing half-done is worth keeping.

    Not a KeyboardInterrupt: fits answer that one by returning the best so far.
    """


class NobodyListening(BaseException):
    """What reads standard output has gone: ``mixmend … | head``."""


class Session:
    """One run of a command.

    Attributes
    ----------
    seconds : dict of str to float
        How long each finished stage took, in the order of finishing.
    notes : list of str
        The warnings met, each once.
    written : list of str
        The files that are complete.
    interrupted : bool
        Whether Ctrl-C cut a stage short whose result was kept.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.written: list[str] = []
        self.interrupted = False
        self.keeping = False
        self._doing: str | None = None
        self._cut_short: str | None = None

    @contextmanager
    def stage(self, what: str, keep_what_is_done: bool = False) -> Iterator[None]:
        """Name what is being done ("reading ratings.csv"), for times and for Ctrl-C.

        Parameters
        ----------
        what : str
            Completes "interrupted while …".
        keep_what_is_done : bool, default False
            Whether Ctrl-C shall be left to the work inside, which then returns what it
            has; `stop_if_interrupted` ends the command once that is saved. Otherwise
            Ctrl-C ends the command at once.
        """
        before, self._doing, self.keeping = self._doing, what, keep_what_is_done
        start = time.perf_counter()
        yield
        if self.interrupted and keep_what_is_done:
            self._cut_short = what
        else:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start
        self._doing, self.keeping = before, False

    def stop_if_interrupted(self) -> None:
        """End the command here if Ctrl-C was pressed."""
        if self.interrupted:
            raise Stopped

    def note(self, text: str) -> None:
        """Say something once, on standard error, and keep it for the report."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"mixmend: note: {text}", file=sys.stderr)

    def account(self) -> str:
        """Say in a sentence or two where the command stands."""
        doing = self._cut_short or self._doing
        where = f"while {doing}" if doing else "between two steps"
        done = f"Done before: {', '.join(self.seconds)}. " if self.seconds else ""
        written = f"Written: {', '.join(self.written)}." if self.written else "Nothing was written."
        return f"{where}. {done}{written}"


_current = Session()


def account() -> str:
    """Say where the command that runs, or ran last, stands."""
    return _current.account()


@contextmanager
def session() -> Iterator[Session]:
    """Run a command: progress on the terminal, each warning as one line, stages on record."""
    global _current
    _current = Session()
    with warnings.catch_warnings(), reporting(), _noticing_interrupts():
        warnings.simplefilter("default")
        # on the command line the type of mixture is a choice that was asked for or measured
        warnings.simplefilter("ignore", IndependenceWarning)
        warnings.showwarning = _shown_as_note
        try:
            yield _current
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise NobodyListening from error


@contextmanager
def _noticing_interrupts() -> Iterator[None]:
    """Remember Ctrl-C in the session; Python allows handlers in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    if not _current.keeping:
        raise Stopped
    _current.interrupted = True
    raise KeyboardInterrupt


def _shown_as_note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning | RuntimeWarning):
        _current.note(" ".join(str(message).split()))
