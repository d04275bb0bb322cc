"""A report, which is a plain dictionary, shown to people or to machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mixmend._version import __version__
from mixmend.cli.session import Session


class Column(NamedTuple):
    """A column of a table: the key in each row, the heading, and how values are written."""

    key: str
    heading: str
    format: str = ""


def as_json(command: str, report: Mapping[str, Any], run: Session) -> None:
    """Write the report to standard output as one JSON object, and nothing else there."""
    whole = {
        "command": command,
        "mixmend": __version__,
        **report,
        "notes": run.notes,
        "seconds": {what: round(seconds, 4) for what, seconds in run.seconds.items()},
    }
    json.dump(_plain(whole), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    title: str = "",
    chosen: int | None = None,
) -> None:
    """Write rows as a table: drawn on a terminal, aligned plain text elsewhere.

    A column that is empty in every row is left out; row ``chosen`` is marked.
    """
    columns = [c for c in columns if any(row.get(c.key) is not None for row in rows)]
    cells = [[_written(row.get(c.key), c.format) for c in columns] for row in rows]
    numeric = [all(isinstance(row.get(c.key), int | float | None) for row in rows) for c in columns]
    headings = [c.heading for c in columns]
    if chosen is not None:
        headings.append("")
        numeric.append(False)
        cells = [[*line, "chosen" if r == chosen else ""] for r, line in enumerate(cells)]
    if sys.stdout.isatty():
        _drawn(title, headings, cells, numeric, chosen)
    else:
        _aligned(title, headings, cells, numeric)


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Write names and values below one another; pairs without a value are left out."""
    pairs = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")


def count(number: int, noun: str) -> str:
    """``1 row``, ``1 682 rows``: numbers grouped as the standard asks, nouns in the plural."""
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"


def grouped(number: int) -> str:
    """Write digits in groups of three where there are five or more."""
    return f"{number:,}".replace(",", " ") if abs(number) >= 10_000 else str(number)


def duration(seconds: float) -> str:
    """``0.53 s``, ``12 s`` or ``2 min 5 s``."""
    if seconds >= 60:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def size(n_bytes: int) -> str:
    """``512 B``, ``1.4 MB``."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    power = min(int(math.log10(n_bytes) // 3), 4)
    return f"{n_bytes / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"


def _written(value: object, how: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int) and not isinstance(value, bool) and not how:
        return grouped(value)
    return format(value, how)


def _drawn(
    title: str,
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    chosen: int | None,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for heading, right in zip(headings, numeric, strict=True):
        drawn.add_column(heading, justify="right" if right else "left", overflow="fold")
    for r, line in enumerate(cells):
        style = "bold green" if r == chosen else ""
        drawn.add_row(*(Text(cell, style=style) for cell in line))
    Console().print(drawn)


def _aligned(
    title: str,
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    numeric: Sequence[bool],
) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    if title:
        print(title)
    for line in [headings, *cells]:
        print(
            "  ".join(
                f"{cell:>{width}}" if right else f"{cell:<{width}}"
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
        )


def _plain(value: Any) -> Any:
    """Make it only dicts, lists, strings, numbers and None: NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
