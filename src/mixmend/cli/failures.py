"""From exceptions to one line on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import typer

from mixmend.cli import session
from mixmend.errors import MixmendError

DONE, BROKEN, MENDABLE, INTERRUPTED = 0, 1, 2, 130
_DEBUG_OPTION, _DEBUG_VARIABLE = "--traceback", "MIXMEND_DEBUG"

# typer ≥ 0.26 carries its own copy of click, older ones use the package: either way the
# class that all complaints about arguments share is the direct base of this one.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: list[str]) -> int:
    """Run the application on the arguments; return the exit code, show at most one line."""
    from mixmend.cli.app import app

    debug = os.environ.get(_DEBUG_VARIABLE, "") not in ("", "0")
    if _DEBUG_OPTION in arguments:  # belongs to every command, so it may stand anywhere
        debug = True
        arguments = [argument for argument in arguments if argument != _DEBUG_OPTION]
    try:
        code = app(arguments, prog_name="mixmend", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return _complain(error)
    if code == INTERRUPTED:  # typer's way of saying KeyboardInterrupt
        return _complain(KeyboardInterrupt())
    return code if isinstance(code, int) else DONE


def _complain(error: BaseException) -> int:
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else BROKEN
        case session.Stopped() | KeyboardInterrupt() | typer.Abort():
            return _say(f"interrupted {session.account()}", INTERRUPTED)
        case session.NobodyListening():
            # what Python would still flush at its exit must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        case _UsageError() if not str(error):
            return MENDABLE  # no arguments at all: help has been shown
        case _UsageError():
            return _say(_described_usage(error), MENDABLE)
        case MixmendError():
            return _say(str(error), MENDABLE)
        case OSError():
            return _say(_described_os_error(error), MENDABLE)
        case MemoryError():
            return _say(
                f"out of memory {session.account()} "
                "Use fewer components (-k), or a machine with more memory.",
                MENDABLE,
            )
        case _:
            return _say(
                f"internal error, {type(error).__name__}: {error} "
                f"(this is a fault of mixmend; run again with {_DEBUG_OPTION} and report it)",
                BROKEN,
            )


def _say(message: str, code: int) -> int:
    print(f"mixmend: error: {' '.join(message.splitlines())}", file=sys.stderr)
    return code


def _described_usage(error: BaseException) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "mixmend"
    return f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} See '{where} --help'."


def _described_os_error(error: OSError) -> str:
    """Say what the system said, about which file, and what to do where that is known."""
    reason = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    cure = {
        errno.ENOENT: "Check the path.",
        errno.EACCES: "Check the permissions, or choose another place.",
        errno.EROFS: "Choose another place.",
        errno.ENOSPC: "Free some space, or choose another place.",
        errno.EISDIR: "Name a file in it.",
    }.get(error.errno or 0, "")
    return f"{where}{reason.rstrip('.')}. {cure}".strip()
