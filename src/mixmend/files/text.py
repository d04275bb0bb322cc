"""Text tables in pieces: read in parallel where that is certain, exactly where it is not."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mixmend.errors import FileFormatError
from mixmend.files.dialect import BrokenQuotes, Record, records, sniff
from mixmend.files.quick import blank_lines, cells_quickly, count_byte, cut_quickly
from mixmend.files.sources import Source, open_plain

if TYPE_CHECKING:
    import polars as pl

BLOCK = 1 << 24
_SAMPLE = 1 << 16
_LONGEST_RECORD = 1 << 30


class Piece(NamedTuple):
    """Whole lines of a file: UTF-8, ended by newline characters.

    Attributes
    ----------
    first_line : int
        The number of its first line, from 1.
    text : bytes
    """

    first_line: int
    text: bytes


class TextTable:
    """A text table that can be read several times, piece by piece.

    Parameters
    ----------
    source : Source
        A text file, compressed or not.
    encoding : str, default "utf-8"
        Any encoding that Python knows.
    separator, header
        As in `dialect.sniff`.

    Attributes
    ----------
    shown : str
        The file's name, for messages.
    dialect : Dialect
    sample : list of list of str
        The first records below the header.
    """

    def __init__(
        self,
        source: Source,
        *,
        encoding: str = "utf-8",
        separator: str | None = None,
        header: bool | None = None,
    ) -> None:
        self.shown = source.path
        self._source = source
        self._encoding = _known_encoding(encoding)
        first = next(self._pieces(_SAMPLE, quoting=False), Piece(1, b""))
        self.dialect, found = sniff(self.shown, first.text.decode(), separator, header)
        self.sample = [record.fields for record in found]
        self._taken: list[int] = []

    @property
    def names(self) -> list[str] | None:
        """The header, or None."""
        return self.dialect.header

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return self.dialect.n_columns

    def batches(self, columns: Sequence[int]) -> Iterator[list[pl.Series]]:
        """Read the columns at these positions in batches of text; empty cells are null or "".

        Raises
        ------
        FileFormatError
            Where a line has more or fewer fields than the first one, or is no text.
        """
        self._taken = []
        for piece in self._data():
            batch = cut_quickly(piece.text, self.dialect, columns) or self._exact(piece, columns)
            self._taken.append(len(batch[0]))
            if len(batch[0]):
                yield batch

    def cells(self) -> Iterator[pl.Series]:
        """Read all columns in batches of whole records, each one long column of text cells.

        Raises
        ------
        FileFormatError
            As `batches`.
        """
        import polars as pl

        self._taken = []
        for piece in self._data():
            batch = cells_quickly(piece.text, self.dialect)
            if batch is None:
                fields = [field for record in self._records(piece) for field in record.fields]
                batch = pl.Series(fields, dtype=pl.String)
            self._taken.append(len(batch) // self.n_columns)
            if len(batch):
                yield batch

    def locate(self, record: int) -> tuple[str, list[str]]:
        """Say where a record stands ("line 17"), and give its fields, for a message.

        Parameters
        ----------
        record : int
            Its number, from 0, among those that `batches` has given so far.
        """
        for piece, taken in zip(self._data(), self._taken, strict=False):
            if record < taken:
                found = next(itertools.islice(self._records(piece), record, None))
                return f"line {found.line}", found.fields
            record -= taken
        raise IndexError("that record was not read from this table")

    # ------------------------------------------------------------------ pieces

    def _data(self) -> Iterator[Piece]:
        """Pieces below the header."""
        skipping = self.dialect.header is not None
        for piece in self._pieces(BLOCK, quoting=self.dialect.quoting):
            text, first = piece.text, piece.first_line
            if skipping:
                start = _leading_blank(text, self.dialect.separator)
                if start == len(text):
                    continue
                end = _end_of_record(text, start, self.dialect.quoting)
                if self.dialect.quoting and text.count(b'"', start, end) % 2:
                    line = first + text.count(b"\n", 0, start)
                    raise self._broken_quotes(BrokenQuotes(line, "unexpected end of data"))
                first += text.count(b"\n", 0, end)
                text, skipping = text[end:], False
            if text:
                yield Piece(first, text)

    def _pieces(self, size: int, quoting: bool) -> Iterator[Piece]:
        """Cut the file at ends of records into pieces of about this many bytes."""
        rest, line = b"", 1
        decoder = None
        if self._encoding != "utf-8":
            decoder = codecs.getincrementaldecoder(self._encoding)()
        with open_plain(self._source) as stream:
            beginning = True
            while True:
                raw = stream.read(max(size, len(rest)))
                last = not raw
                if decoder is not None:
                    try:
                        raw = decoder.decode(raw, last).encode()
                    except UnicodeError as error:
                        line += rest.count(b"\n")
                        if isinstance(error, UnicodeDecodeError):
                            line += error.object.count(b"\n", 0, error.start)
                        raise self._not_in_encoding(line, str(error)) from None
                block = rest + raw
                if beginning and block:
                    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                        raise FileFormatError(
                            f"{self.shown} looks like UTF-16 text. "
                            'Give encoding="utf-16" (--encoding).'
                        )
                    block = block.removeprefix(codecs.BOM_UTF8)
                    beginning = False
                # a carriage return at the very end may be the first half of a line's end
                held = b"\r" if block.endswith(b"\r") and not last else b""
                block = block[: len(block) - len(held)]
                if b"\r" in block:
                    block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                if last and block and not block.endswith(b"\n"):
                    block += b"\n"
                cut = len(block) if last else _last_cut(block, quoting)
                if cut > 0:
                    piece = Piece(line, block[:cut])
                    self._check_text(piece)
                    yield piece
                    line += count_byte(piece.text, b"\n")
                rest = block[cut:] + held
                if last:
                    return
                if len(rest) > _LONGEST_RECORD:
                    raise FileFormatError(
                        f"{self.shown}, line {line}: the record is longer than a gigabyte. "
                        "Check the file's line ends and quotes."
                    )

    def _check_text(self, piece: Piece) -> None:
        text = piece.text
        if b"\0" in text:
            line = piece.first_line + text.count(b"\n", 0, text.index(b"\0"))
            raise FileFormatError(
                f"{self.shown}, line {line}: a null byte, which no text file has. "
                "Copy the file again from its source, or give Parquet or Arrow its right name."
            )
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                line = piece.first_line + text.count(b"\n", 0, error.start)
                raise self._not_in_encoding(line, f"byte 0x{text[error.start]:02x}") from None

    def _not_in_encoding(self, line: int, reason: str) -> FileFormatError:
        return FileFormatError(
            f"{self.shown}, line {line}: this is not {self._encoding.upper()} text ({reason}). "
            'If it is Latin-1 (older files from western Europe), give encoding="latin-1" '
            "(--encoding)."
        )

    # ------------------------------------------------------------------ the exact way

    def _records(self, piece: Piece) -> Iterator[Record]:
        """Cut exactly, and see to it that all records have the same number of fields."""
        n_columns, separator = self.dialect.n_columns, self.dialect.separator
        try:
            for record in records(piece.text.decode(), separator, piece.first_line):
                if len(record.fields) != n_columns:
                    first = "the header" if self.dialect.header else "the first line"
                    raise FileFormatError(
                        f"{self.shown}, line {record.line}: {_counted(len(record.fields))} where "
                        f"{first} has {n_columns} (separator: {self.dialect.spoken}). "
                        "Correct the line, or delete it."
                    )
                yield record
        except BrokenQuotes as error:
            raise self._broken_quotes(error) from None

    def _broken_quotes(self, error: BrokenQuotes) -> FileFormatError:
        return FileFormatError(
            f"{self.shown}, line {error.line}: a quoted field is broken ({error}). "
            'Close the quote, and write a quote inside a quoted field twice ("").'
        )

    def _exact(self, piece: Piece, columns: Sequence[int]) -> list[pl.Series]:
        import polars as pl

        wanted: list[list[str]] = [[] for _ in columns]
        for record in self._records(piece):
            for cells, column in zip(wanted, columns, strict=True):
                cells.append(record.fields[column])
        return [pl.Series(cells, dtype=pl.String) for cells in wanted]


def _leading_blank(text: bytes, separator: str) -> int:
    found = blank_lines(separator).match(b"\n" + text[:_SAMPLE])
    return found.end() - 1 if found else 0


def _last_cut(block: bytes, quoting: bool) -> int:
    """End of the last line that does not end inside quotes; 0 if there is none."""
    cut = block.rfind(b"\n") + 1
    if not quoting or b'"' not in block:
        return cut
    inside = block.count(b'"', 0, cut) % 2
    while cut > 0 and inside:
        earlier = block.rfind(b"\n", 0, cut - 1) + 1
        inside ^= block.count(b'"', earlier, cut) % 2
        cut = earlier
    return cut


def _end_of_record(text: bytes, start: int, quoting: bool) -> int:
    end = start
    while True:
        end = text.find(b"\n", end) + 1
        if end == 0:
            return len(text)
        if not quoting or text.count(b'"', start, end) % 2 == 0:
            return end


def _counted(fields: int) -> str:
    return f"{fields} field" if fields == 1 else f"{fields} fields"


def _known_encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(encoding)  # refuses codecs that are not for text
        codecs.getincrementaldecoder(encoding)()
    except (LookupError, TypeError, ValueError):
        raise FileFormatError(
            f"There is no encoding {encoding!r}. Give one such as utf-8, latin-1, cp1252 or utf-16."
        ) from None
    return "utf-8" if name == "utf-8-sig" else name
