"""A job history out of one file or several: months of `sacct`, say, that count as one."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sublet.core.errors import Invalid
from sublet.traces import JobTable, Options, read_jobs


def read(files: Sequence[Path], options: Options, *, trace_format: str | None) -> JobTable:
    """All jobs of these files; those that stand in several of them, as where months overlap, count once."""
    tables = [read_jobs(path, options, format=trace_format) for path in files]
    return tables[0] if len(tables) == 1 else _together(tables, files)


def _together(tables: Sequence[JobTable], files: Sequence[Path]) -> JobTable:
    clocks = {table.clock for table in tables}
    if len(clocks) > 1:
        odd = next(path for path, table in zip(files, tables, strict=True) if table.clock != tables[0].clock)
        hint = "audit them apart, or give --origin where a clock counts from a zero of its own"
        raise Invalid(f"{odd} has another clock than {files[0]}", field="jobs", hint=hint)
    frame = pl.concat([table.frame for table in tables])
    once = frame.unique(("job", "submit_us", "user"), keep="last", maintain_order=True).sort("submit_us", "line")
    return JobTable(
        once,
        clock=tables[0].clock,
        from_us=min(table.from_us for table in tables),
        until_us=max(table.until_us for table in tables),
        rows=sum(table.rows for table in tables),
        faults=tuple(fault for table in tables for fault in table.faults),
        notes=tuple(note for table in tables for note in table.notes),
        format=tables[0].format,
    )
