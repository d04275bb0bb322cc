"""The command line: ``mixmend complete ratings.csv -o completed.parquet`` and its siblings.

One module per command. Each turns its arguments into calls of the library and what comes
back into a report, a plain dictionary, that is then shown as tables or as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; those of the process by default.

    Raises
    ------
    SystemExit
        Always. 0: done. 1: ``doctor`` found something broken, or mixmend itself failed.
        2: the arguments, the data or a file must be mended first. 130: Ctrl-C.
    """
    import sys

    from mixmend.cli.failures import run

    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))
