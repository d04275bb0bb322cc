"""Parquet and Arrow tables, read by slices through the same doors as text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mixmend.errors import FileFormatError
from mixmend.files.roles import listed
from mixmend.files.sources import Source, open_plain

if TYPE_CHECKING:
    import polars as pl

SLICE = 1 << 22

_Result = TypeVar("_Result")
_KINDS = {"parquet": "Parquet", "arrow": "Arrow", "arrow-stream": "Arrow stream"}


class BinaryTable:
    """A Parquet or Arrow file that can be read several times, slice by slice.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    shown : str
        The file's name, for messages.
    names : list of str
        Names of the columns.
    types : list of str
        The types of the columns, as polars names them.
    numeric : list of bool
        Whether each is a number.
    """

    def __init__(self, source: Source) -> None:
        self.shown = source.path
        self._kind = _KINDS[source.kind]
        self._lazy = self._guarded(lambda: _scanned(source))
        schema = self._guarded(self._lazy.collect_schema)
        self.names = schema.names()
        self.numeric = [dtype.is_numeric() for dtype in schema.dtypes()]
        self._usable = [_is_cell(dtype) for dtype in schema.dtypes()]
        self.types = [str(dtype) for dtype in schema.dtypes()]
        if not self.names:
            raise FileFormatError(
                f"{self.shown} has no columns. Give a file with at least one rating."
            )

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return len(self.names)

    def count(self) -> int:
        """Count the records."""
        import polars as pl

        return int(self._collected(self._lazy.select(pl.len())).item())

    def batches(self, columns: Sequence[int]) -> Iterator[list[pl.Series]]:
        """Read the columns at these positions in slices, in the types that they have.

        Raises
        ------
        FileFormatError
            If the file is damaged, or a column holds lists or the like.
        """
        import polars as pl

        for column in columns:
            if not self._usable[column]:
                raise FileFormatError(
                    f"{self.shown}, column {self.names[column]!r} holds values of the type "
                    f"{self.types[column]}, which are neither numbers nor names. Its columns: "
                    f"{listed(self.names)}. Choose another one."
                )
        chosen = self._lazy.select([pl.col(self.names[column]) for column in sorted({*columns})])
        start = 0
        while True:
            frame = self._collected(chosen.slice(start, SLICE))
            if frame.height:
                yield [frame.get_column(self.names[column]) for column in columns]
            start += frame.height
            if frame.height < SLICE:
                return

    def locate(self, record: int) -> tuple[str, list[str]]:
        """Say where a record stands ("row 17", from 1), and give its cells, for a message."""
        row = self._collected(self._lazy.slice(record, 1)).row(0)
        return f"row {record + 1}", ["" if cell is None else str(cell) for cell in row]

    def _collected(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        return self._guarded(lambda: lazy.collect())

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        import polars as pl

        # polars' PanicException, which damaged files provoke, is no Exception
        broken: tuple[Any, ...] = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
        try:
            return work()
        except (*broken, OSError, ValueError, MemoryError, OverflowError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(
                f"{self.shown} is a truncated or damaged {self._kind} file. "
                "Copy it again from its source."
            ) from error


def _scanned(source: Source) -> pl.LazyFrame:
    import polars as pl

    place: Any = str(Path(source.path).absolute())
    if source.compression:
        with open_plain(source) as stream:
            place = io.BytesIO(stream.read())
    if source.kind == "parquet":
        # neither the name nor the folders above are to be read as patterns
        return pl.scan_parquet(place, glob=False, hive_partitioning=False)
    if not isinstance(place, io.BytesIO):
        place = Path(place).open("rb")  # noqa: SIM115 -- polars maps it and keeps it
    if source.kind == "arrow":
        return pl.read_ipc(place).lazy()
    return pl.read_ipc_stream(place).lazy()


def _is_cell(dtype: Any) -> bool:
    import polars as pl

    return bool(
        dtype.is_numeric()
        or dtype.is_temporal()
        or dtype in (pl.String, pl.Boolean, pl.Null)
        or isinstance(dtype, pl.Categorical | pl.Enum)
    )
