"""Inputs and outputs of commands: checked before the work, described after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmend.cli import show
from mixmend.errors import OutputError
from mixmend.progress import Tracker

if TYPE_CHECKING:
    from mixmend.files.completed import CompletedRows
    from mixmend.observed.matrix import ObservedMatrix


def check_destination(output: Path, sources: Sequence[Path] = (), table: bool = True) -> None:
    """Refuse, before any work is done, a place where the output cannot go.

    Parameters
    ----------
    output : Path
        Where it shall go.
    sources : sequence of Path
        Inputs, which must not be replaced.
    table : bool, default True
        Whether the output is a table, whose ending says the format.

    Raises
    ------
    OutputError
        If the folder is absent or not writable, the ending is not known, or the output
        would replace an input.
    """
    from mixmend.files.atomic import check_output
    from mixmend.files.sinks import check_table_output

    (check_table_output if table else check_output)(output)
    for source in sources:
        if source.exists() and output.exists() and output.samefile(source):
            raise OutputError(
                f"Cannot write {output}: it is the input. Choose another name for the output."
            )


def counted(chunks: Iterable[CompletedRows], progress: Tracker) -> Iterator[CompletedRows]:
    """Pass chunks on, and tell the progress how many rows went by."""
    for chunk in chunks:
        yield chunk
        progress.update(len(chunk.mean))


def describe(path: Path, obs: ObservedMatrix) -> dict[str, Any]:
    """Describe a matrix that was read in plain values."""
    return {
        "path": str(path),
        "rows": obs.shape[0],
        "columns": obs.shape[1],
        "observed": int(obs.n_observed),
        "density": obs.density,
    }


def describe_in_words(obs: ObservedMatrix) -> str:
    """Describe a matrix that was read in words."""
    return (
        f"{show.count(obs.shape[0], 'row')} × {show.count(obs.shape[1], 'column')}, "
        f"{show.grouped(int(obs.n_observed))} observed ({obs.density:.2%})"
    )
