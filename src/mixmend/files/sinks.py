"""Tables written frame by frame: Parquet, Arrow and text, whole or absent."""

from __future__ import annotations

import contextlib
import gzip
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mixmend.errors import OutputError
from mixmend.files.atomic import atomic_path, check_output, error_number, output_error

if TYPE_CHECKING:
    import polars as pl

Put: TypeAlias = "Callable[[pl.DataFrame], None]"
"""What takes the next frame of a table."""

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "tsv",
    ".tsv.gz": "tsv",
}
_SEPARATORS = {"csv": ",", "tsv": "\t"}
_WAITING = 2  # frames made ahead of the writer: enough to work side by side, no memory to speak of
_SLICE = (
    125_000  # rows handed over at once: polars takes a fixed number of frames ahead of the disk
)
_GZIP_LEVEL = 4  # a third of the time of the default 6 for a few per cent more bytes


def output_format(path: str | os.PathLike[str]) -> str:
    """Tell a table's format by its name's ending.

    Parameters
    ----------
    path : path-like
        The output.

    Returns
    -------
    {"parquet", "arrow", "csv", "tsv"}

    Raises
    ------
    OutputError
        If the ending is not one of them.

    Examples
    --------
    >>> output_format("out.parquet"), output_format("out.CSV.gz")
    ('parquet', 'csv')
    """
    name = Path(path).name.lower()
    for suffix, form in _FORMATS.items():
        if name.endswith(suffix):
            return form
    raise OutputError(
        f"Cannot write {os.fspath(path)}: its name does not say in which format. "
        f"Let it end in one of {', '.join(_FORMATS)}."
    )


def check_table_output(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Raise OutputError now if writing a table to ``path`` is bound to fail.

    As `mixmend.files.atomic.check_output`, and the name's ending must be known.

    Parameters
    ----------
    path : path-like
        The output.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.
    """
    output_format(path)
    check_output(path, overwrite=overwrite)


@contextlib.contextmanager
def table_sink(
    path: str | os.PathLike[str], schema: dict[str, Any], *, overwrite: bool = True
) -> Iterator[Put]:
    """Write a table whose frames come one after the other.

    Memory for a few frames is used, however long the table. The file appears when the
    block ends; any error, and Ctrl-C, leaves nothing.

    Parameters
    ----------
    path : path-like
        The output; its ending says the format.
    schema : dict
        Names and polars types of the columns.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Yields
    ------
    callable
        Takes the next frame.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import polars as pl

    form = output_format(path)
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            if form in _SEPARATORS:
                packed = Path(path).name.lower().endswith(".gz")
                with _text_sink(temporary, schema, _SEPARATORS[form], packed) as put:
                    yield put
            else:
                with _streamed(schema, lambda lazy: _pour(lazy, temporary, form)) as put:
                    yield put
        except pl.exceptions.PolarsError as error:
            if error_number(error) is None:
                raise  # not about the disk: a mistake of ours, which must not look like a full one
            raise output_error(path, error) from error


@contextlib.contextmanager
def _text_sink(
    temporary: Path, schema: dict[str, Any], separator: str, packed: bool
) -> Iterator[Put]:
    import polars as pl

    with contextlib.ExitStack() as open_files:
        stream: Any = open_files.enter_context(temporary.open("wb"))
        if packed:  # without name and time: the same table gives the same bytes
            stream = open_files.enter_context(
                gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0)
            )
        pl.DataFrame(schema=schema).write_csv(stream, separator=separator)

        def put(frame: pl.DataFrame) -> None:
            frame.write_csv(stream, separator=separator, include_header=False)

        yield put


def _pour(lazy: pl.LazyFrame, temporary: Path, form: str) -> None:
    if form == "parquet":
        lazy.sink_parquet(temporary)
    else:
        import polars as pl

        # the oldest layout of Arrow's types: what every reader of Feather understands
        lazy.sink_ipc(temporary, compression="lz4", compat_level=pl.CompatLevel.oldest())


@contextlib.contextmanager
def _streamed(schema: dict[str, Any], pour: Callable[[pl.LazyFrame], None]) -> Iterator[Put]:
    """Let polars write in its own thread what this thread puts.

    This way round, and not with a generator that polars calls, the caller's computation
    stays in the caller's thread: Ctrl-C reaches it there, and the two overlap.

    Frames are handed over in slices. Polars lets its source run a dozen *frames* ahead of a
    slow disk, whatever they hold, so that their size is what bounds the memory.
    """
    from polars.io.plugins import register_io_source

    frames: queue.Queue[pl.DataFrame | None] = queue.Queue(_WAITING)
    ended = threading.Event()
    failures: list[BaseException] = []

    def source(columns: list[str] | None, *_: Any) -> Iterator[pl.DataFrame]:
        while (frame := frames.get()) is not None:
            yield frame if columns is None else frame.select(columns)

    def work() -> None:
        try:
            pour(register_io_source(source, schema=schema))
        except BaseException as error:  # brought to the other thread, which raises it
            failures.append(error)
        finally:
            ended.set()

    def put(frame: pl.DataFrame | None) -> None:
        while not ended.is_set():
            try:
                return frames.put(frame, timeout=0.05)
            except queue.Full:
                continue
        if failures:
            raise failures[0]

    def put_slices(frame: pl.DataFrame) -> None:
        for part in frame.iter_slices(_SLICE):
            put(part)

    writer = threading.Thread(target=work, name="mixmend-writer", daemon=True)
    writer.start()
    try:
        yield put_slices
        put(None)
    except BaseException as error:
        with contextlib.suppress(BaseException):
            put(None)  # lest the writer wait for ever; what it wrote is thrown away
            writer.join()
        raise error from None
    writer.join()
    if failures:
        raise failures[0]
