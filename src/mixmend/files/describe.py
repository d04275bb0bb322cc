"""What a file is and how it would be read, told before anything is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mixmend.errors import FileFormatError
from mixmend.files.binary import BinaryTable
from mixmend.files.layout import ColumnChoice, Table, open_table, plan_either
from mixmend.files.models import read_model_header
from mixmend.files.sources import Source, identify

_SAMPLE = 3


def describe_file(
    path: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
) -> dict[str, Any]:
    r"""Say what a file is: a saved model, or a table and how `read_ratings` would take it.

    Only the beginning of a text file is looked at.

    Parameters
    ----------
    path : path-like
        The file.
    encoding, separator, header
        As for `mixmend.read_ratings`.

    Returns
    -------
    dict
        Plain values. Always ``path``, ``bytes``, ``format`` ("text", "parquet", "arrow",
        "arrow-stream", "matrix-market" or "model") and ``compression``. Of a model, the
        parts of its header. Of a table, ``n_columns``, ``columns`` (names or None), ``layout``
        ("long" or "wide", or None with the reason in ``problem``), ``roles`` (the column,
        by name or number from 1, for "row", "column", "value", "timestamp"), the first
        records (``sample``), and of text ``separator``, ``encoding`` and ``header``.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is of no kind that is known.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.dat"
    >>> _ = path.write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    >>> told = describe_file(path)
    >>> told["format"], told["separator"], told["layout"], told["roles"]["value"]
    ('text', '::', 'long', 3)
    """
    encoding = encoding or "utf-8"
    source = identify(path, encoding)
    told: dict[str, Any] = {
        "path": source.path,
        "bytes": Path(source.path).stat().st_size,
        "format": source.kind,
        "compression": source.compression,
    }
    if source.kind == "model":
        return {**read_model_header(path), **told}
    if source.kind == "matrix-market":
        return told | {"layout": "matrix"}
    return told | _described(source, open_table(source, encoding, separator, header), encoding)


def _described(source: Source, table: Table, encoding: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "n_columns": table.n_columns,
        "columns": table.names,
        "layout": None,
        "roles": {},
        "problem": None,
    }
    if isinstance(table, BinaryTable):
        told["types"] = table.types
        told["n_records"] = table.count()
        told["sample"] = [table.locate(k)[1] for k in range(min(_SAMPLE, told["n_records"]))]
    else:
        told["separator"] = table.dialect.spoken.strip("'")
        told["encoding"] = encoding
        told["header"] = table.names is not None
        told["sample"] = table.sample[:_SAMPLE]
    nothing: dict[str, ColumnChoice] = dict.fromkeys(("row", "column", "value", "timestamp"))
    try:
        plan = plan_either(table, nothing)
    except FileFormatError as error:
        told["problem"] = str(error)
        return told
    told["layout"] = plan.layout
    told["roles"] = {
        role: table.names[position] if table.names else position + 1
        for role, position in plan.roles.items()
    }
    return told
