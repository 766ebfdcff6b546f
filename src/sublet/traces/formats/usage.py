"""Demand over time, as a monitor logs it: a time, the GPUs asked for, and perhaps a pool and its capacity.

Three shapes are read: our columns or a mapping to the file's; one row an hour with a column `gpus_<model>` for each GPU model;
and one row a minute and virtual cluster with `running_gpus` and `pending_gpus`, whose sum is the demand.
"""

import polars as pl

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces.demand_table import DEMAND, DemandTable, blanked
from sublet.traces.files import Sample
from sublet.traces.findings import Gap, Note, counted, places
from sublet.traces.instants import clock_from, until_us
from sublet.traces.job_table import Clock
from sublet.traces.options import Options
from sublet.traces.sieve import LINE, LeftOut, faulty, left_out
from sublet.traces.usage_gaps import gaps_of, step_of
from sublet.traces.usage_shapes import EXPECTED, is_by_cluster, is_hourly, is_mapped, samples

NAME = "usage"
SAYS = "demand over time, CSV or Parquet: a time, GPUs, and perhaps a pool and a capacity"


def detect(seen: Sample, options: Options) -> bool:
    """A table in one of the three shapes."""
    if seen.shape == "json":
        return False
    return is_mapped(seen, options) or (not options.columns and (is_hourly(seen) or is_by_cluster(seen)))


def read(seen: Sample, options: Options) -> DemandTable:
    """The demand of every pool as a step function, without the gaps of the log."""
    got = samples(seen, options)
    options.tell("samples read", 0.5)
    frame, faults = faulty(got.frame, {"is another sample of the same instant and pool": _again()})
    faults = got.faults + faults
    if frame.is_empty():
        said = places(seen.path, faults) or "it has no rows"
        raise Invalid(f"no row of {seen.path} can be used ({said})", field="trace", hint=EXPECTED)
    origin_us, clock = clock_from(options, got.clock)
    frame, notes = _until(frame.with_columns(pl.col("at_us") + origin_us), clock, options)
    step, uneven = step_of(frame["at_us"])
    gaps = gaps_of(frame, step)
    whole, parts = _whole(_pooled(frame, options))
    return DemandTable(
        frame=_steps(whole, gaps),
        clock=clock,
        from_us=int(frame["at_us"].min()),  # type: ignore[arg-type]
        until_us=int(frame["at_us"].max()) + (step or 0),  # type: ignore[arg-type]
        step_us=step,
        rows=got.rows,
        faults=faults,
        notes=notes + uneven + parts + _gap_note(gaps),
        gaps=gaps,
        format=NAME,
    )


def _again() -> pl.Expr:
    return pl.struct("pool", "at_us").is_first_distinct().not_()


def _until(frame: pl.DataFrame, clock: Clock, options: Options) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    if options.until is None:
        return frame, ()
    late = LeftOut("late", "sample", "after the end: left out", pl.col("at_us") >= until_us(options.until, clock))
    kept, notes = left_out(frame, [late])
    if kept.is_empty():
        raise Invalid(f"the log has nothing before {options.until}", field="until", hint="give a later end")
    return kept, notes


def _pooled(frame: pl.DataFrame, options: Options) -> pl.DataFrame:
    """One pool for everything, if that is asked for; a log has no other names for its pools than its own."""
    if options.pool != "all":
        return frame
    both = (pl.col("gpus").sum(), pl.when(pl.col("capacity").is_not_null().all()).then(pl.col("capacity").sum()))
    return frame.group_by("at_us").agg(*both, pl.col(LINE).min()).with_columns(pool=pl.lit("all"))


def _whole(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """Whole GPUs: demand rounded up, capacity down."""
    broken = int(frame.select(((pl.col("gpus") - pl.col("gpus").round()).abs() > 1e-6).sum()).item())
    whole = frame.with_columns(
        (pl.col("gpus") - 1e-6).ceil().cast(pl.Int64).alias("gpus"),
        (pl.col("capacity") + 1e-6).floor().cast(pl.Int64).alias("capacity"),
    )
    if not broken:
        return whole, ()
    return whole, (Note("parts", broken, f"{counted(broken, 'sample')} with parts of a GPU: rounded up"),)


def _steps(frame: pl.DataFrame, gaps: tuple[Gap, ...]) -> pl.DataFrame:
    """Only the samples at which something changes, pool by pool, with null where a gap begins."""
    ordered = frame.select("pool", "at_us", "gpus", "capacity").sort("pool", "at_us")
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in ("pool", "gpus", "capacity"))
    steps = ordered.filter(changes)
    if not gaps:
        return steps.select(list(DEMAND))
    parts = [blanked(part, gaps) for _, part in steps.group_by("pool", maintain_order=True)]
    return pl.concat(parts).select(list(DEMAND))


def _gap_note(gaps: tuple[Gap, ...]) -> tuple[Note, ...]:
    if not gaps:
        return ()
    hours = sum(gap.to_us - gap.from_us for gap in gaps) / HOUR_US
    text = f"{counted(len(gaps), 'gap')} in the log, {hours:,.1f} h in all: demand is not known there, not 0"
    return (Note("gap", len(gaps), text),)
