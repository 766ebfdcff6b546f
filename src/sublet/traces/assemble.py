"""From what a format says of its jobs to the job table: times that follow from others, what cannot be, what is cut off.

Every format ends here, so that a time that is missing means the same in all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces.cells import GPUS_MAX
from sublet.traces.censoring import INSTANTS, TIMELESS, bounded, in_order_of_time, window
from sublet.traces.findings import Fault, Note, counted, places
from sublet.traces.instants import EARLIEST_US, LATEST_US, LONGEST_US, clock_from
from sublet.traces.job_table import Clock, JobTable, in_order
from sublet.traces.options import Options
from sublet.traces.pools import pool_of
from sublet.traces.sieve import LINE, LeftOut, faulty, left_out
from sublet.traces.statuses import ENDED, statuses

_TIMES = (*INSTANTS, "run_us")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a format knows of its jobs.

    `frame` has the place of each job, `gpus` (null: not known), `parts`, the times that the format can give, and any other
    column of the job table; `status` is in the scheduler's own words. `names` are the format's names for our columns, for
    messages. `begins`, `starts` and `ends` say whether an empty submission, start or end has a meaning: that the job was
    there before the trace, that it never ran, or that it goes on after the trace.
    """

    path: object
    format: str
    frame: pl.DataFrame
    rows: int
    clock: Clock
    expected: str
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    begins: bool = False
    starts: bool = True
    ends: bool = True

    def named(self, column: str) -> str:
        """What the file calls one of our columns."""
        return self.names.get(column, column)


def assembled(draft: Draft, options: Options) -> JobTable:
    """The job table; raises `Invalid` with the first faults where no row can be used."""
    frame, without = left_out(
        _complete(draft.frame), [LeftOut("cpu_only", "job", "without a GPU: left out", pl.col("gpus") == 0)]
    )
    frame, words = statuses(frame)
    frame, more = faulty(_derived(frame, draft), _impossible(draft))
    faults, notes = draft.faults + more, draft.notes + without + words + _parts(frame)
    if frame.is_empty():
        raise Invalid(_unusable(draft, faults, notes), field="trace", hint=draft.expected)
    origin_us, clock = clock_from(options, draft.clock)
    frame = frame.with_columns(pl.col(name) + origin_us for name in INSTANTS)
    frame, ordered = in_order_of_time(frame)
    found = window(frame, clock, options)
    frame, cut = bounded(frame, found, clock)
    return JobTable(
        frame=in_order(frame.with_columns(pool_of(options), line=pl.col(LINE))),
        clock=clock,
        from_us=found.from_us,
        until_us=found.until_us,
        rows=draft.rows,
        faults=faults,
        notes=notes + ordered + cut,
        gaps=found.gaps,
        format=draft.format,
    )


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column that the rules below speak of; a word or time that a format does not give is null."""
    empty = dict.fromkeys(_TIMES, pl.Int64) | dict.fromkeys(("job", "status", "pool", "gpu_model"), pl.String)
    made = [pl.lit(None, kind).alias(name) for name, kind in empty.items() if name not in frame.columns]
    plain = {"nodes": 1, "spot": False, "restarts": 0, "parts": False}
    made += [pl.lit(value).alias(name) for name, value in plain.items() if name not in frame.columns]
    whole = frame.with_columns(made)
    return whole.with_columns(pl.col("job").fill_null(pl.col(LINE).cast(pl.String)))


def _parts(frame: pl.DataFrame) -> tuple[Note, ...]:
    parts = int(frame["parts"].sum())
    text = f"{counted(parts, 'job')} with parts of a GPU: each part counts as a whole one, so demand is an upper bound"
    return (Note("parts", parts, text),) if parts else ()


def _derived(frame: pl.DataFrame, draft: Draft) -> pl.DataFrame:
    """Times that follow from the others, and `_assumed` for an end that supposes a start at submission.

    A job that still runs or waits has no end, even if it is known how long it has run so far. One without a start and a run
    time never ran, if the trace knows the starts of others.
    """
    submit, start, end, run = (pl.col(name) for name in _TIMES)
    status = pl.col("status")
    goes_on = status.is_in(["running", "pending"]).fill_null(value=False) & end.is_null()
    ran = status.is_in(["completed", "timeout", "node_fail", "reclaimed"]).fill_null(value=False)
    never = start.is_null() & run.is_null() & ~ran & submit.is_not_null() & end.is_not_null()
    never &= pl.lit(draft.starts and bool(frame["start_us"].is_not_null().any()))
    waits = start.is_null() & (status == "pending").fill_null(value=False)
    ran_for = pl.when(waits | never).then(0).when(~goes_on).then(run)
    frame = frame.with_columns(
        pl.all_horizontal(pl.col(name).is_null() for name in INSTANTS).alias(TIMELESS),
        run_us=ran_for,
        _assumed=~goes_on & start.is_null() & end.is_null() & (run > 0) & submit.is_not_null(),
    )
    frame = frame.with_columns(
        end_us=end.fill_null(pl.when(~goes_on).then(pl.coalesce("start_us", "submit_us") + run)),
        start_us=start.fill_null(pl.when((run > 0) & (end - run >= submit.fill_null(end - run))).then(end - run)),
    )
    lasted = (pl.col("end_us") - pl.col("start_us")).clip(lower_bound=0)
    return frame.with_columns(run_us=pl.col("run_us").fill_null(lasted))


def _impossible(draft: Draft) -> dict[str, pl.Expr]:
    """Reasons for which a row cannot be used, the plainest first."""
    submit, start, end, run = (pl.col(name) for name in _TIMES)
    status, gpus = pl.col("status"), pl.col("gpus")
    goes_on = status.is_in(["running", "pending"]).fill_null(value=False)
    nothing = pl.lit(value=False)
    reasons = [
        (f"{draft.named('gpus')} is empty", gpus.is_null()),
        (f"{draft.named('submit_us')} is empty", nothing if draft.begins else submit.is_null() & start.is_null()),
        (f"{draft.named('run_us')} is empty", nothing if draft.ends else end.is_null() & run.is_null() & ~goes_on),
        (f"{draft.named('gpus')} is negative", gpus < 0),
        (f"{draft.named('gpus')} is above {GPUS_MAX:,}", gpus > GPUS_MAX),
        (f"{draft.named('nodes')} is above {GPUS_MAX:,}", pl.col("nodes") > GPUS_MAX),
        (f"{draft.named('run_us')} is negative", run < 0),
        (f"{draft.named('run_us')} is above a hundred years", run > LONGEST_US),
    ]
    for name in INSTANTS:
        reasons.append((f"{draft.named(name)} is negative", pl.col(name) < EARLIEST_US))
        reasons.append((f"{draft.named(name)} is after the year 2286: is it in a finer unit?", pl.col(name) > LATEST_US))
    set_back = HOUR_US if draft.clock == "local" else 0
    reasons += [
        ("ends before it starts", end < start - set_back),
        ("ends before it is submitted", start.is_null() & (end < submit - set_back)),
        ("has ended, but when is not said", status.is_in(ENDED) & end.is_null()),
        ("has ended or waits, but no time is given", ~(status == "running").fill_null(value=True) & pl.col(TIMELESS)),
    ]
    bad: dict[str, pl.Expr] = {}
    for reason, holds in reasons:  # two of our columns may be one of the file's
        bad[reason] = bad[reason] | holds.fill_null(value=False) if reason in bad else holds.fill_null(value=False)
    return bad


def _unusable(draft: Draft, faults: Sequence[Fault], notes: Sequence[Note]) -> str:
    said = [places(draft.path, faults)] if faults else []
    said += [note.says for note in notes if note.left_out]
    return f"no job in {draft.path} can be used ({'; '.join(said) or 'it has no rows'})"
