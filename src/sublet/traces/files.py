"""Opening trace files: what they are by their content, and tables as frames with the place of every row."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import polars as pl
from polars.exceptions import PolarsError

from sublet.core.errors import Invalid
from sublet.traces.findings import FIRST, Fault
from sublet.traces.sieve import LINE

Shape = Literal["parquet", "json", "text"]

HEAD_BYTES = 256 * 1024
"""So much of a file is looked at to find out what it is."""

_SEPARATORS = (",", "\t", ";", "|")
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_NOWHERE = "\x01"  # a separator that no text has: each line is one field


@dataclass(frozen=True, slots=True)
class Sample:
    """A file's beginning: enough to tell its format. `columns` are those of a Parquet file, or the fields of the first line."""

    path: Path
    shape: Shape
    head: str = ""
    columns: tuple[str, ...] = ()
    separator: str = ","

    @property
    def lines(self) -> list[str]:
        """The lines of the head that are not blank; of a long file the last one may be a part."""
        return [line for line in self.head.splitlines() if line.strip()]

    def has(self, *names: str) -> bool:
        """Whether it has all of these columns."""
        return set(names) <= set(self.columns)


@dataclass(frozen=True, slots=True)
class Frame:
    """A file's rows as they are (of a text file as text), with their place; `faults` are rows with a wrong shape."""

    frame: pl.DataFrame
    rows: int
    faults: tuple[Fault, ...] = field(default=())


UNREADABLE = (PolarsError, OSError, EOFError, zlib.error)
"""What a damaged or locked file makes of reading it."""


def unreadable(path: Path, kind: str, error: Exception, *, name: str = "trace") -> Invalid:
    """The refusal of a file that cannot be read, with the library's own reason."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return Invalid(
        f"{path} cannot be read as {kind}: {reason}", field=name, hint="check that the file is whole, and yours to read"
    )


def sample(path: Path, *, name: str = "trace") -> Sample:
    """Look into a file; raises `Invalid` if it cannot be opened or holds nothing."""
    head = _head(path, name)
    if head.startswith(_PARQUET):
        return Sample(path, "parquet", columns=_parquet_columns(path, name))
    text = head.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise Invalid(f"{path} is empty", field=name, hint="give a file with something in it")
    if "\x00" in text:
        hint = "Parquet, CSV, JSON or text, plain or with gzip"
        raise Invalid(f"{path} is neither text nor Parquet", field=name, hint=hint)
    if text.lstrip()[0] in "{[":
        return Sample(path, "json", text)
    first = next(line for line in text.splitlines() if line.strip())
    separator = max(_SEPARATORS, key=first.count)
    fields = next(csv.reader([first], delimiter=separator))
    return Sample(path, "text", text, tuple(field.strip() for field in fields), separator)


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if it is packed with gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def table(seen: Sample, *, columns: Sequence[str] | None = None, header: Sequence[str] = ()) -> Frame:
    """The rows of a Parquet or CSV file: those `columns`, or all. `header` names the columns of a file without a first line.

    Cells of a text file stay text, so that a bad one is found and not guessed. Lines of another length are faults.
    """
    try:
        if seen.shape == "parquet":
            frame = pl.read_parquet(seen.path, columns=list(columns) if columns is not None else None)
            return Frame(frame.with_row_index(LINE, offset=1).with_columns(pl.col(LINE).cast(pl.Int64)), len(frame))
        return _csv(seen, columns, tuple(header))
    except UNREADABLE as error:
        raise unreadable(seen.path, "Parquet" if seen.shape == "parquet" else "CSV", error) from error


def require(frame_columns: Sequence[str], needed: Sequence[str], *, path: object, expected: str, name: str = "trace") -> None:
    """Refuse a file that lacks a column, saying which and what it has."""
    lacks = [column for column in needed if column not in frame_columns]
    if lacks:
        has = ", ".join(frame_columns[:12]) or "none"
        said = f"{path} has no column {' and no column '.join(lacks)}; its columns are: {has}"
        raise Invalid(said, field=name, hint=expected)


def split_lines(seen: Sample, header: Sequence[str], *, has_header: bool) -> Frame:
    """The lines of a file split at every separator; what stands beyond the last column belongs to it if that is a name.

    For text without quotes. A line with too many or too few fields is a fault.
    """
    try:
        lines = _lines(seen.path)
    except UNREADABLE as error:
        raise unreadable(seen.path, "text", error) from error
    if has_header:
        lines = lines.filter(pl.col("text") != lines["text"][0])  # files put together repeat it
    return _split(lines, seen.separator, header)


def _lines(path: Path) -> pl.DataFrame:
    """The lines that are not blank, in `text`, with their place."""
    lines = pl.read_csv(
        _source(path), has_header=False, separator=_NOWHERE, quote_char=None, infer_schema=False, new_columns=["text"],
        encoding="utf8-lossy", truncate_ragged_lines=True,
    ).with_row_index(LINE, offset=1)  # fmt: skip
    lines = lines.select(pl.col(LINE).cast(pl.Int64), pl.col("text").str.strip_chars_end("\r"))
    return lines.filter(pl.col("text").str.strip_chars().str.len_bytes() > 0)


def _split(lines: pl.DataFrame, separator: str, header: Sequence[str]) -> Frame:
    count = pl.col("text").str.count_matches(separator, literal=True) + 1
    open_end = header[-1] in OPEN_ENDED
    wrong = (count < len(header)) if open_end else (count != len(header))
    counted = lines.with_columns(count.alias("_fields"))
    bad = counted.filter(wrong)
    faults = []
    for fields, rows, places in (
        bad.group_by("_fields").agg(pl.len(), pl.col(LINE).sort().head(FIRST)).sort("_fields").iter_rows()
    ):
        faults.append(Fault(f"has {fields} fields, not {len(header)}", rows, tuple(places)))
    cells = pl.col("text").str.splitn(separator, len(header)).struct.rename_fields(list(header))
    good = counted.filter(~wrong).select(LINE, cells).unnest("text")
    return Frame(good, len(lines), tuple(faults))


OPEN_ENDED = frozenset({"JobName", "Comment", "SubmitLine", "WorkDir"})
"""Columns of free text: where one of them is the last, a separator in it does no harm."""


def _csv(seen: Sample, columns: Sequence[str] | None, header: tuple[str, ...]) -> Frame:
    """A CSV file by the library's reader, which knows quotes; where lines are ragged and there are none, line by line."""
    named = header or seen.columns
    try:
        frame = pl.read_csv(
            _source(seen.path),
            has_header=not header,
            new_columns=list(header) or None,
            separator=seen.separator,
            infer_schema=False,
            encoding="utf8-lossy",
        )
    except pl.exceptions.ComputeError:
        if '"' in seen.head:
            raise
        ragged = split_lines(seen, named, has_header=not header)
        return Frame(ragged.frame.select(LINE, *(columns or named)), ragged.rows, ragged.faults)
    if frame.width == len(set(named)):
        frame.columns = list(named)  # without the blanks around them
    numbered = frame.with_row_index(LINE, offset=1 if header else 2).with_columns(pl.col(LINE).cast(pl.Int64))
    full = numbered.filter(~pl.all_horizontal(pl.exclude(LINE).is_null()))  # a blank line is no row
    return Frame(full.select(LINE, *columns) if columns is not None else full, len(full))


def _source(path: Path) -> bytes | Path:
    """What the library reads: the path itself, or the unpacked bytes of a packed file."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    if not packed:
        return path
    with opened(path) as unpacked:
        return unpacked.read()


def _head(path: Path, name: str) -> bytes:
    if path.is_dir():
        raise Invalid(f"{path} is a folder", field=name, hint="give the file in it")
    if not path.is_file():
        raise Invalid(f"there is no file {path}", field=name, hint="check the path")
    try:
        with opened(path) as file:
            return file.read(HEAD_BYTES)
    except UNREADABLE as error:
        raise unreadable(path, "a trace", error, name=name) from error


def _parquet_columns(path: Path, name: str) -> tuple[str, ...]:
    try:
        return tuple(pl.read_parquet_schema(path))
    except UNREADABLE as error:
        raise unreadable(path, "Parquet", error, name=name) from error
