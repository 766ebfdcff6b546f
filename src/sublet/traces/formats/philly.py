"""Microsoft's Philly traces, `cluster_job_log`: a JSON list of jobs, each with the attempts that it took.

A job's attempts are its runs; GPUs are those that an attempt got, by machine. A job without attempts never got any, so how
many it wanted is not known. The last attempt of a job that was still running has no end.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl

from sublet.core.units import SECOND_US
from sublet.traces.assemble import Draft, assembled
from sublet.traces.files import Sample
from sublet.traces.instants import NO_TIME
from sublet.traces.job_table import JobTable
from sublet.traces.json_stream import elements, word
from sublet.traces.options import Options
from sublet.traces.sieve import LINE, LeftOut, faulty, left_out

NAME = "philly"
SAYS = "Microsoft Philly traces, cluster_job_log"
EXPECTED = "cluster_job_log is a JSON list of jobs with status, vc, jobid, attempts, submitted_time and user"

_SCHEMA: dict[str, type[pl.DataType]] = {
    LINE: pl.Int64, "job": pl.String, "submit_us": pl.Int64, "start_us": pl.Int64, "end_us": pl.Int64, "run_us": pl.Int64,
    "gpus": pl.Int64, "nodes": pl.Int32, "org": pl.String, "user": pl.String, "status": pl.String, "restarts": pl.Int32,
    "attempts": pl.Int64, "_wrong": pl.String,
}  # fmt: skip


def detect(seen: Sample, _options: Options) -> bool:
    """A JSON list whose elements have attempts and a time of submission."""
    return seen.shape == "json" and seen.head.lstrip().startswith("[") and all(
        f'"{key}"' in seen.head for key in ("attempts", "submitted_time", "jobid")
    )  # fmt: skip


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs; a job's pool is its virtual cluster."""
    jobs = elements(seen.path, None, expected=EXPECTED, told=lambda share: options.tell("reading jobs", share))
    raw = pl.DataFrame(_rows(jobs), schema=_SCHEMA, orient="row")
    without = LeftOut("gpus_unknown", "job", "without an attempt, so without known GPUs: left out", pl.col("attempts") == 0)
    frame, notes = left_out(raw, [without])
    wrong = {reason: pl.col("_wrong") == reason for reason in frame["_wrong"].drop_nulls().unique(maintain_order=True)}
    good, faults = faulty(frame, wrong)
    draft = Draft(
        path=seen.path, format=NAME, frame=good.with_columns(pool=pl.col("org")), rows=len(raw), clock="local",
        expected=EXPECTED, faults=faults, notes=notes, starts=False, names={"submit_us": "submitted_time", "gpus": "gpus"},
    )  # fmt: skip
    return assembled(draft, options)


def _rows(jobs: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    """A row of `_SCHEMA` for each job."""
    nothing = (None,) * (len(_SCHEMA) - 2)
    for number, job in enumerate(jobs, start=1):
        try:
            yield (number, *_job(job), None)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield (number, *nothing, f"is no job: {_said(error)}")


def _job(job: dict[str, Any]) -> tuple[Any, ...]:
    attempts: list[dict[str, Any]] = job["attempts"]
    spans = [(_instant(attempt["start_time"]), _instant(attempt["end_time"])) for attempt in attempts]
    machines = [[len(machine["gpus"]) for machine in attempt["detail"]] for attempt in attempts]
    starts = [start for start, _ in spans if start is not None]
    ends = [end for _, end in spans if end is not None]
    runs_on = bool(spans) and spans[-1][1] is None
    ran = sum(max(0, end - start) for start, end in spans if start is not None and end is not None)
    return (
        str(job["jobid"]),
        _instant(job["submitted_time"]),
        min(starts, default=None),
        None if runs_on else max(ends, default=None),
        None if runs_on or not starts else ran,
        max((sum(counts) for counts in machines), default=None),
        max((len(counts) for counts in machines if counts), default=1),
        word(job["vc"]),
        word(job["user"]),
        "running" if runs_on else word(job["status"]),
        max(0, len(attempts) - 1),
        len(attempts),
    )


def _instant(text: str | None) -> int | None:
    """Wall time in µs; the log writes `None` where it has no time."""
    if text is None or text in NO_TIME:
        return None
    return round(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()) * SECOND_US


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    if isinstance(error, ValueError):
        return "a time is no date"
    return "an entry is of another kind"
