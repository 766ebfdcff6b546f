"""One trace out of a file that holds several: they have as many clocks and fleets, so one has to be chosen."""

import polars as pl

from sublet.core.errors import Invalid
from sublet.traces.findings import Note
from sublet.traces.options import Options
from sublet.traces.sieve import LeftOut, left_out


def one_trace(frame: pl.DataFrame, column: str | None, options: Options) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """The rows of the trace that the options name, by the column that says which; the others are left out and counted."""
    wanted = options.trace
    if column is None:
        if wanted is None:
            return frame, ()
        raise Invalid("the file has no column that names a trace", field="trace", hint="leave the name of the trace away")
    there = sorted(frame[column].cast(pl.String).drop_nulls().unique())
    if wanted is None:
        if len(there) > 1:
            raise Invalid(f"the file holds several traces: {', '.join(there[:8])}", field="trace", hint="name one of them")
        return frame, ()
    if wanted not in there:
        raise Invalid(f"the file has no trace {wanted!r}", field="trace", hint=f"it has {', '.join(there[:8])}")
    is_other = (pl.col(column).cast(pl.String) != wanted).fill_null(value=True)
    return left_out(frame, [LeftOut("other_trace", "row", "of another trace: left out", is_other)])
