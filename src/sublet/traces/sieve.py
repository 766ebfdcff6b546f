"""Taking rows out of a frame, each counted with its reason and the first lines: nothing falls through unseen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sublet.traces.findings import FIRST, Fault, Note, NoteKind, counted

LINE = "_line"
"""The column that says where a row stands."""

_WHY = "_why"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that are right as they are but no job of the table: `3 jobs` `without a GPU: left out`."""

    kind: NoteKind
    noun: str
    says: str
    which: pl.Expr


def left_out(frame: pl.DataFrame, reasons: Sequence[LeftOut]) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """The frame without these rows, and a note for each reason that held; a row counts for the first that does."""
    kept, taken = _sifted(frame, [reason.which for reason in reasons])
    notes = []
    for number, rows, _ in taken:
        reason = reasons[number]
        notes.append(Note(reason.kind, rows, f"{counted(rows, reason.noun)} {reason.says}", left_out=rows))
    return kept, tuple(notes)


def faulty(frame: pl.DataFrame, reasons: Mapping[str, pl.Expr]) -> tuple[pl.DataFrame, tuple[Fault, ...]]:
    """The frame without rows that cannot be used, and the faults; a row counts for the first reason that holds."""
    kept, taken = _sifted(frame, list(reasons.values()))
    said = list(reasons)
    return kept, tuple(Fault(said[number], rows, lines) for number, rows, lines in taken)


def _sifted(frame: pl.DataFrame, holds: Sequence[pl.Expr]) -> tuple[pl.DataFrame, list[tuple[int, int, tuple[int, ...]]]]:
    """Rows for which nothing holds, and (which holds, how many rows, their first lines) for the others."""
    if not holds or frame.is_empty():
        return frame, []
    why = pl.coalesce([pl.when(bad.fill_null(value=False)).then(pl.lit(number, pl.Int32)) for number, bad in enumerate(holds)])
    marked = frame.with_columns(why.alias(_WHY))
    taken = (
        marked.filter(pl.col(_WHY).is_not_null())
        .group_by(_WHY)
        .agg(pl.len().alias("rows"), pl.col(LINE).sort().head(FIRST).alias("lines"))
        .sort(_WHY)
    )
    kept = marked.filter(pl.col(_WHY).is_null()).drop(_WHY)
    return kept, [(number, rows, tuple(lines)) for number, rows, lines in taken.iter_rows()]
