"""Logs of demand in their several shapes, as one frame of samples: `at_us`, `pool`, `gpus`, `capacity` and the place."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from sublet.traces.cells import GPUS_MAX, Read, numbers, times, words
from sublet.traces.files import Frame, Sample, require, table
from sublet.traces.findings import Fault
from sublet.traces.instants import LATEST_US
from sublet.traces.job_table import Clock
from sublet.traces.mapping import factors, mapped
from sublet.traces.options import Options
from sublet.traces.sieve import LINE, faulty

EXPECTED = "a usage table has the columns at_s and gpus, and may have capacity and pool; or map others to ours"

COLUMNS: Mapping[str, str] = {"at": "at_s", "gpus": "gpus", "capacity": "capacity", "pool": "pool"}
"""Our columns, and what they are called in a file if nothing else is said."""

HOURLY = "hour"
WIDE = "gpus_"
NOT_A_MODEL = frozenset({"gpus_touching_hour", "gpus_submitted", "gpus_total"})
"""Columns of an hourly table that begin like those of a GPU model and are totals."""

CLUSTERS = ("ts", "org", "total_gpus", "running_gpus", "pending_gpus")


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of a log: `at_us` Int64, `pool` String, `gpus` and `capacity` Float64 (capacity null if not in the log)."""

    frame: pl.DataFrame
    rows: int
    clock: Clock
    faults: tuple[Fault, ...] = ()


def is_mapped(seen: Sample, options: Options) -> bool:
    """Our columns, or all of those that are mapped to ours."""
    if options.columns:
        return set(options.columns) <= set(COLUMNS) and seen.has(*options.columns.values())
    return seen.has(COLUMNS["at"], COLUMNS["gpus"])


def is_hourly(seen: Sample) -> bool:
    """One row an hour with a column for each GPU model."""
    return seen.has(HOURLY) and bool(_models(seen))


def is_by_cluster(seen: Sample) -> bool:
    """One row a minute and virtual cluster, with running and pending GPUs."""
    return seen.has(*CLUSTERS)


def samples(seen: Sample, options: Options) -> Samples:
    """The samples of a log in whichever shape it has."""
    if options.columns or is_mapped(seen, options):
        return _mapped(seen, options)
    if is_hourly(seen):
        return _hourly(seen, options)
    if is_by_cluster(seen):
        return _by_cluster(seen, options)
    require(seen.columns, list(COLUMNS.values())[:2], path=seen.path, expected=EXPECTED)
    raise AssertionError("a table with both columns is one of these")


def _mapped(seen: Sample, options: Options) -> Samples:
    columns = mapped(seen, options, COLUMNS)
    require(seen.columns, [COLUMNS[ours] for ours in ("at", "gpus") if ours not in columns], path=seen.path, expected=EXPECTED)
    raw = table(seen, columns=list(dict.fromkeys(columns.values())))
    counts = tuple(ours for ours in ("gpus", "capacity") if ours in columns)
    got = words(Read(raw.frame), {ours: columns[ours] for ours in ("pool",) if ours in columns})
    got = numbers(got, {ours: columns[ours] for ours in counts}, factors=factors(options, counts))
    got = times(got, {"at": columns["at"]}, options.units, options)
    return _samples(raw, got, {"at": columns["at"], "gpus": columns["gpus"], "capacity": columns.get("capacity", "")})


def _hourly(seen: Sample, options: Options) -> Samples:
    """A pool for each GPU model. The totals beside them are the sum over all, and so are left aside."""
    models = _models(seen)
    raw = table(seen, columns=(HOURLY, *models))
    got = times(Read(raw.frame), {"at": HOURLY}, {"at": "h"}, options)
    good, faults = faulty(got.frame, got.bad)
    long = good.unpivot(on=models, index=["at_us", LINE], variable_name="pool", value_name="demand")
    named = Read(long.with_columns(pl.col("pool").str.strip_prefix(WIDE)), clock=got.clock)
    made = numbers(named, {"gpus": "demand"})
    whole = _samples(raw, made, {"at": HOURLY, "gpus": "gpus_*", "capacity": ""})
    return Samples(whole.frame, raw.rows, whole.clock, faults + whole.faults)


def _by_cluster(seen: Sample, options: Options) -> Samples:
    """A pool for each virtual cluster: its demand is what runs and what waits, its capacity what it was given."""
    raw = table(seen, columns=CLUSTERS)
    got = numbers(
        words(Read(raw.frame), {"pool": "org"}), {"runs": "running_gpus", "waits": "pending_gpus", "capacity": "total_gpus"}
    )
    got = times(got, {"at": "ts"}, {}, options)
    summed = got.frame.with_columns((pl.col("runs") + pl.col("waits")).alias("gpus"))
    return _samples(
        raw, Read(summed, got.bad, got.clock), {"at": "ts", "gpus": "running_gpus or pending_gpus", "capacity": "total_gpus"}
    )


def _samples(raw: Frame, got: Read, names: Mapping[str, str]) -> Samples:
    at, gpus = pl.col("at_us"), pl.col("gpus")
    bad = got.bad | {
        f"{names['at']} is empty": at.is_null(),
        f"{names['gpus']} is empty": gpus.is_null(),
        f"{names['at']} is negative": at < 0,
        f"{names['gpus']} is negative": gpus < 0,
        f"{names['at']} is after the year 2286: is it in a finer unit?": at > LATEST_US,
        f"{names['gpus']} is above {GPUS_MAX:,}": gpus > GPUS_MAX,
        f"{names['capacity']} is negative": pl.col("capacity") < 0,
    }
    lacks = {"pool": pl.lit("all"), "capacity": pl.lit(None, pl.Float64)}
    full = got.frame.with_columns(**{name: value for name, value in lacks.items() if name not in got.frame.columns})
    good, faults = faulty(full, bad)
    frame = good.select(LINE, "at_us", pl.col("pool").fill_null("all"), "gpus", "capacity")
    assert got.clock is not None, "every shape has a column of time"
    return Samples(frame, raw.rows, got.clock, raw.faults + faults)


def _models(seen: Sample) -> list[str]:
    return [name for name in seen.columns if name.startswith(WIDE) and name not in NOT_A_MODEL]
