"""What a trace shows only in part: times that nobody wrote down, jobs that were there before it or go on after it.

Each rule leaves a note with the number of jobs that it touched, so that a figure drawn from the table can be doubted.
"""

from collections.abc import Mapping

import polars as pl

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces.extent import Extent, extent
from sublet.traces.findings import Note, counted
from sublet.traces.instants import said, until_us
from sublet.traces.job_table import Clock
from sublet.traces.options import Options
from sublet.traces.sieve import LeftOut, left_out
from sublet.traces.statuses import ENDED

AT_ONCE = 10
"""When so many jobs end in the very last instant, and nobody says how, it is the trace that ended there."""

MONTH_US = 30 * 24 * HOUR_US

INSTANTS = ("submit_us", "start_us", "end_us")
TIMELESS = "_timeless"
"""The column that says of a job that none of its instants was written down."""


def in_order_of_time(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """Submission, start and end in this order, with a note of each kind for the jobs for which it took a change."""
    start, end = pl.col("start_us"), pl.col("end_us")
    back = end < pl.max_horizontal("submit_us", "start_us")
    set_back = int(frame.select(back.sum()).item())
    begin = pl.coalesce("start_us", "submit_us")
    frame = frame.with_columns(
        end_us=pl.when(back).then(begin + pl.col("run_us").clip(lower_bound=0).fill_null(0)).otherwise(end)
    )
    frame = frame.with_columns(run_us=pl.col("run_us").clip(lower_bound=0))
    early = int(frame.select((start < pl.col("submit_us")).sum()).item())
    unsaid = int(frame.select((start.is_not_null() & pl.col("submit_us").is_null()).sum()).item())
    frame = frame.with_columns(submit_us=pl.min_horizontal("submit_us", "start_us").fill_null(pl.col("submit_us")))
    assumed = int(frame["_assumed"].sum())
    unknown = int(frame.select((start.is_null() & ~pl.col(TIMELESS) & (pl.col("run_us").fill_null(1) > 0)).sum()).item())
    how = f"; {assumed:,} of them are taken to start when submitted" if assumed else ""
    turned = "with an end within an hour before the start, as when clocks are set back: taken from the run time"
    said_of = {
        "clock_change": (set_back, f"{counted(set_back, 'job')} {turned}"),
        "negative_queue": (early, f"{counted(early, 'job')} with a start before the submission: taken as submitted then"),
        "submit_unknown": (unsaid, f"{counted(unsaid, 'job')} without a known submission: taken as submitted at the start"),
        "start_unknown": (unknown, f"{counted(unknown, 'job')} without a known start{how}"),
    }
    return frame, _that_were_found(said_of)


def window(frame: pl.DataFrame, clock: Clock, options: Options) -> Extent:
    """Where the trace is complete; its end as the options say, or found."""
    known = [frame[name].drop_nulls().to_numpy() for name in INSTANTS]
    if not sum(len(part) for part in known):
        hint = "one time at least has to be known"
        raise Invalid("no job of the trace has any time", field="trace", hint=hint)
    until = None if options.until is None else until_us(options.until, clock)
    found = extent(*known, until_us=until)
    first = min(int(part.min()) for part in known if len(part))
    if until is not None and until <= first:
        said_first = said(first, clock)
        raise Invalid(
            f"the trace begins at {said_first}, after its end {options.until}", field="until", hint="give a later end"
        )
    return found


def bounded(frame: pl.DataFrame, found: Extent, clock: Clock) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """The jobs as the window shows them: cut at its end, and with a submission where it lies before the beginning."""
    late = LeftOut("late", "job", "with a submission after the end: left out", pl.col("submit_us") > found.until_us)
    frame, dropped = left_out(frame, [late])
    frame, placed = _placed(frame, found, clock)
    end = pl.col("end_us")
    beyond = (end > found.until_us).fill_null(value=False)
    at_end = (end == found.until_us) & ~pl.col("status").is_in(ENDED).fill_null(value=False) & (pl.col("run_us") != 0)
    at_end = at_end.fill_null(value=False)
    if int(frame.select(at_end.sum()).item()) < AT_ONCE:
        at_end = pl.lit(value=False)
    notes = dropped + placed + _notes_of_the_end(frame, found, clock, at_end=at_end, beyond=beyond)
    cut = frame.with_columns(
        end_us=pl.when(~beyond & ~at_end).then(end),
        run_us=pl.when(~at_end).then(pl.col("run_us")),
        status=pl.when(at_end).then(pl.lit("running")).otherwise(pl.col("status")),
    )
    return cut, notes


def _placed(frame: pl.DataFrame, found: Extent, clock: Clock) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """A submission for every job: where it is not known the start, or else the beginning of the trace."""
    submit, begins = pl.col("submit_us"), said(found.from_us, clock)
    at_once = int(frame.select((submit == found.from_us).sum()).item())
    earlier = int(frame.select(((submit < found.from_us) | (submit.is_null() & pl.col("start_us").is_null())).sum()).item())
    before = earlier + (at_once if at_once > 1 else 0)
    timeless = int(frame[TIMELESS].sum())
    known = pl.coalesce("submit_us", "start_us", pl.lit(found.from_us))
    frame = frame.with_columns(submit_us=pl.min_horizontal(known, "end_us"))
    said_of = {
        "before_start": (before, f"{counted(before, 'job')} already there when the trace begins ({begins})"),
        "times_unknown": (timeless, f"{counted(timeless, 'job')} without any time: taken to be there throughout"),
    }
    return frame, _that_were_found(said_of)


def _notes_of_the_end(
    frame: pl.DataFrame, found: Extent, clock: Clock, *, at_end: pl.Expr, beyond: pl.Expr
) -> tuple[Note, ...]:
    ends = said(found.until_us, clock)
    open_end = pl.col("end_us").is_null()
    lasted = found.until_us - pl.coalesce("start_us", "submit_us")
    goes_on, cut, long = frame.select(
        (open_end | at_end).sum().alias("goes_on"),
        beyond.sum().alias("cut"),
        (open_end & ~pl.col(TIMELESS) & (lasted > MONTH_US)).sum().alias("long"),
    ).row(0)
    silent_h = sum(gap.to_us - gap.from_us for gap in found.gaps) / HOUR_US
    stretches = counted(len(found.gaps), "stretch", "stretches")
    said_of = {
        "still_running": (goes_on, f"{counted(goes_on, 'job')} without an end: taken to go on when the trace ends ({ends})"),
        "cut": (cut, f"{counted(cut, 'job')} with an end after the trace's ({ends}): cut there"),
        "long_running": (long, f"{counted(long, 'job')} without an end for a month or more: lost by the log?"),
        "gap": (len(found.gaps), f"{stretches} without an event, {silent_h:,.1f} h in all"),
    }
    return _that_were_found(said_of)


def _that_were_found(said_of: Mapping[str, tuple[int, str]]) -> tuple[Note, ...]:
    return tuple(Note(kind, count, text) for kind, (count, text) in said_of.items() if count)
