"""Cells of a table as numbers and words. What is given but cannot be read is told apart from what is not given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from sublet.core.errors import Invalid
from sublet.traces.instants import NOTHING, clock_of, instants, lengths, missing, unit_of
from sublet.traces.job_table import Clock
from sublet.traces.options import Options

GPUS_MAX = 1_000_000
FAR_TOO_MANY = 1_000_000_000
"""A count beyond the limit is kept as one beyond it, to be named as a fault."""


@dataclass(frozen=True, slots=True)
class Read:
    """Columns under our names, and the reasons for which a row of them cannot be used."""

    frame: pl.DataFrame
    bad: dict[str, pl.Expr] = field(default_factory=dict)
    clock: Clock | None = None  # null while no instant was read


def words(read: Read, columns: Mapping[str, str]) -> Read:
    """Text under our names; an empty cell is null."""
    text = [_word(read.frame[theirs]).alias(ours) for ours, theirs in columns.items()]
    return Read(read.frame.with_columns(text), read.bad, read.clock)


def numbers(read: Read, columns: Mapping[str, str], *, factors: Mapping[str, float] | None = None) -> Read:
    """Numbers (Float64) under our names, times the factor of their unit."""
    made, bad = [], dict(read.bad)
    for ours, theirs in columns.items():
        column = read.frame[theirs]
        _check_kind(column, theirs)
        text = column.str.strip_chars() if column.dtype == pl.String else column
        number = text.cast(pl.Float64, strict=False)
        sound = (number.is_finite() & (number.abs() < 1e15)).fill_null(value=False)
        made += [
            (number.zip_with(sound, NOTHING) * (factors or {}).get(ours, 1.0)).alias(ours),
            (~sound & ~missing(column)).alias(f"_bad_{ours}"),
        ]
        bad[f"{theirs} is no number"] = pl.col(f"_bad_{ours}")
    return Read(read.frame.with_columns(made), bad, read.clock)


def times(read: Read, columns: Mapping[str, str], units: Mapping[str, str], options: Options) -> Read:
    """Instants under our names with `_us`, all on one clock."""
    made, bad = [], dict(read.bad)
    clocks: dict[Clock, str] = {} if read.clock is None else {read.clock: "an earlier column"}
    for ours, theirs in columns.items():
        column = read.frame[theirs]
        _check_kind(column, theirs, temporal=True)
        unit = unit_of(column, units.get(ours), name=theirs)
        at = instants(column, unit, options)
        clocks[clock_of(unit)] = theirs
        made += [at.alias(f"{ours}_us"), (at.is_null() & ~missing(column)).alias(f"_bad_{ours}")]
        bad[f"{theirs} is no {'date' if unit == 'iso' else 'number'}"] = pl.col(f"_bad_{ours}")
    if len(clocks) > 1:
        said = f"{clocks['local']} holds dates and {clocks['relative']} counts from a zero of its own"
        raise Invalid(said, field="unit", hint="give the unit of each, as in submit=SubmitTime:epoch")
    return Read(read.frame.with_columns(made), bad, next(iter(clocks), None))


def spans(read: Read, columns: Mapping[str, str], units: Mapping[str, str]) -> Read:
    """Lengths of time under our names with `_us`; in seconds if no unit is given."""
    made, bad = [], dict(read.bad)
    for ours, theirs in columns.items():
        column = read.frame[theirs]
        _check_kind(column, theirs)
        unit = units.get(ours, "s")
        if unit == "iso" or unit.startswith("epoch"):
            raise Invalid(f"{theirs} is a length of time; {unit} is a point in time", field="unit", hint="s, ms, us, min or h")
        length = lengths(column, unit_of(column, unit, name=theirs))
        made += [length.alias(f"{ours}_us"), (length.is_null() & ~missing(column)).alias(f"_bad_{ours}")]
        bad[f"{theirs} is no number"] = pl.col(f"_bad_{ours}")
    return Read(read.frame.with_columns(made), bad, read.clock)


def whole_gpus(each: str, workers: str | None, *, per_worker: bool) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """(gpus, nodes, parts): GPUs in all with parts of one rounded up for each worker, workers, and whether it has parts.

    The column `each` counts per worker or, if not `per_worker`, over all of them.
    """
    nodes = pl.lit(1.0) if workers is None else pl.col(workers).fill_null(1.0).ceil().clip(1.0, FAR_TOO_MANY)
    share = pl.col(each) if per_worker else pl.col(each) / nodes
    is_whole = (pl.col(each) - pl.col(each).round()).abs() < 1e-6
    up = pl.when(share < 0).then(share.floor()).otherwise((share - 1e-6).ceil()) * nodes
    total = up if per_worker else pl.when(is_whole).then(pl.col(each).round()).otherwise(up)
    gpus = total.clip(-FAR_TOO_MANY, FAR_TOO_MANY).cast(pl.Int64)
    return gpus.alias("gpus"), nodes.cast(pl.Int32).alias("nodes"), (~is_whole).alias("parts")


def _word(column: pl.Series) -> pl.Series:
    text = column.cast(pl.String).str.strip_chars()
    return text.zip_with((text.str.len_bytes() > 0).fill_null(value=False), pl.Series([None], dtype=pl.String))


def _check_kind(column: pl.Series, name: str, *, temporal: bool = False) -> None:
    kind = column.dtype
    if kind.is_numeric() or kind in {pl.String, pl.Null} or (temporal and isinstance(kind, pl.Datetime | pl.Date)):
        return
    raise Invalid(
        f"column {name} holds {kind}, not {'times' if temporal else 'numbers'}", field="trace", hint="map another column"
    )
