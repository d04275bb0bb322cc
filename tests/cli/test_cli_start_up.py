"""Starting is quick because nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mixmend._version import __version__
from mixmend.cli.app import app

HEAVY = ["numba", "sklearn", "matplotlib", "polars", "pandas", "scipy", "torch", "llvmlite"]
LIST_HEAVY = f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"


def imported_by(statements: str) -> str:
    code = f"import sys; sys.path.insert(0, 'src')\n{statements}\n{LIST_HEAVY}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stderr.strip()


def test_importing_mixmend_imports_nothing_heavy():
    assert imported_by("import mixmend") == "[]"
    assert imported_by("import mixmend, numba") != "[]"  # the check itself can fail


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        [],
        *([c.callback.__name__, "--help"] for c in app.registered_commands),
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    run = f"from mixmend.cli import main\ntry: main({arguments})\nexcept SystemExit: pass"
    assert imported_by(run) == "[]"


def test_version(mixmend):
    assert mixmend("--version").out == f"mixmend {__version__}\n"


def test_help_lists_every_command(mixmend):
    shown = mixmend("--help")
    assert shown.code == 0
    for command in app.registered_commands:
        assert command.callback.__name__ in shown.out


def test_no_arguments_show_help(mixmend):
    done = mixmend()
    assert "Usage: mixmend" in done.out
    assert (done.code, done.err) == (2, "")


def test_an_unknown_command_is_named(mixmend):
    done = mixmend("compleat")
    assert done.code == 2
    assert done.err == (
        "mixmend: error: No such command 'compleat'. Did you mean 'complete'? "
        "See 'mixmend --help'.\n"
    )
