"""Any table of jobs: CSV or Parquet, with our own column names or a mapping to the file's.

Times are seconds since any instant, dates, or seconds since 1970. `gpus` counts over all workers unless the options say that
it counts per worker: then a gang of 4 workers with 8 each is 32.
"""

from collections.abc import Mapping

import polars as pl

from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import FAR_TOO_MANY, Read, numbers, spans, times, whole_gpus, words
from sublet.traces.files import Sample, require, table
from sublet.traces.job_table import JobTable
from sublet.traces.mapping import factors, mapped
from sublet.traces.one_trace import one_trace
from sublet.traces.options import Options
from sublet.traces.sieve import faulty
from sublet.traces.statuses import is_spot

NAME = "table"
SAYS = "any CSV or Parquet table of jobs, with our column names or yours"
EXPECTED = "a job table has the columns submit_s, gpus and duration_s or end_s: seconds, GPUs in all; or map others to ours"

COLUMNS: Mapping[str, str] = {
    "job": "job_id",
    "submit": "submit_s",
    "start": "start_s",
    "end": "end_s",
    "run": "duration_s",
    "gpus": "gpus",
    "workers": "workers",
    "gpu_model": "gpu_model",
    "pool": "pool",
    "org": "org",
    "user": "user",
    "name": "name",
    "status": "status",
    "class": "class",
    "restarts": "restarts",
    "trace": "trace",
}
"""Our columns, and what they are called in a file if nothing else is said."""

_TIMES = ("submit", "start", "end")
_WORDS = ("job", "gpu_model", "pool", "org", "user", "name", "status", "class", "trace")


def detect(seen: Sample, options: Options) -> bool:
    """A table with our columns, or with all of those that are mapped to ours."""
    if seen.shape == "json":
        return False
    if options.columns:
        return set(options.columns) <= set(COLUMNS) and seen.has(*options.columns.values())
    return seen.has(COLUMNS["submit"], COLUMNS["gpus"])


def read(seen: Sample, options: Options) -> JobTable:
    """The job table in a CSV or Parquet file."""
    columns = mapped(seen, options, COLUMNS)
    _check(seen, columns)
    raw = table(seen, columns=list(dict.fromkeys(columns.values())))
    frame, other = one_trace(raw.frame, columns.get("trace"), options)
    got = _cells(Read(frame), columns, options)
    workers = "workers" if "workers" in columns else None
    bad = got.bad if workers is None else got.bad | {f"{columns['workers']} is not above 0": pl.col("workers") <= 0}
    good, faults = faulty(got.frame, bad)
    draft = good.with_columns(*whole_gpus("gpus", workers, per_worker=options.gpus_per_worker), *_more(columns, options))
    return assembled(
        Draft(
            path=seen.path,
            format=NAME,
            frame=draft,
            rows=raw.rows,
            clock=got.clock or "relative",
            expected=EXPECTED,
            faults=raw.faults + faults,
            notes=other,
            names=_names(columns),
            begins="end" in columns,
            ends="end" in columns,
        ),
        options,
    )


def _check(seen: Sample, columns: Mapping[str, str]) -> None:
    needed = [COLUMNS[ours] for ours in ("gpus",) if ours not in columns]
    if "submit" not in columns and "start" not in columns:
        needed.append(COLUMNS["submit"])
    if "run" not in columns and "end" not in columns:
        needed.append(COLUMNS["run"])
    require(seen.columns, needed, path=seen.path, expected=EXPECTED)


def _cells(read: Read, columns: Mapping[str, str], options: Options) -> Read:
    counts = tuple(ours for ours in ("gpus", "workers", "restarts") if ours in columns)
    read = words(read, {ours: columns[ours] for ours in _WORDS if ours in columns})
    read = numbers(read, {ours: columns[ours] for ours in counts}, factors=factors(options, ("gpus",)))
    read = times(read, {ours: columns[ours] for ours in _TIMES if ours in columns}, options.units, options)
    return spans(read, {ours: columns[ours] for ours in ("run",) if ours in columns}, options.units)


def _names(columns: Mapping[str, str]) -> dict[str, str]:
    """The file's names for our columns, as messages use them."""
    counts = {"gpus": columns["gpus"], "nodes": columns.get("workers", "workers")}
    return {f"{ours}_us": columns[ours] for ours in (*_TIMES, "run") if ours in columns} | counts


def _more(columns: Mapping[str, str], options: Options) -> list[pl.Expr]:
    """Columns that follow from others: who gives way, and the pool where the file names none."""
    more = [is_spot(["class"] if "class" in columns else [], options.spot).alias("spot")]
    if "pool" not in columns and "gpu_model" in columns:
        more.append(pl.col("gpu_model").alias("pool"))
    if "restarts" in columns:
        more.append(pl.col("restarts").fill_null(0).clip(0, FAR_TOO_MANY))
    return more
