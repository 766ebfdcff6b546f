"""`sacct --json`: Slurm's accounting as JSON, of data parsers v0.0.37 to v0.0.45.

They differ in how they write a state (a word, or a list of words) and a number (plain, or with `set`, `infinite` and
`number`). Times are seconds since 1970 in UTC: give the zone of the site to have its hours. Early parsers write the time at
which a job became eligible where the start should stand; the run time and the end tell.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from sublet.core.units import SECOND_US
from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import FAR_TOO_MANY
from sublet.traces.files import Sample
from sublet.traces.findings import Note, counted
from sublet.traces.instants import instants
from sublet.traces.job_table import JobTable
from sublet.traces.json_stream import elements, word
from sublet.traces.options import Options
from sublet.traces.sieve import LINE, faulty
from sublet.traces.slurm_runs import joined_runs
from sublet.traces.statuses import is_spot

NAME = "sacct_json"
SAYS = "output of `sacct --json`"
EXPECTED = "an object with a list `jobs`, each with job_id, time.submission, state and tres"

_TIMES = ("submit", "start", "end")
_SCHEMA: dict[str, type[pl.DataType]] = {
    LINE: pl.Int64, "job": pl.String, "submit": pl.Int64, "start": pl.Int64, "end": pl.Int64, "run_us": pl.Int64,
    "repaired": pl.Boolean, "gpus": pl.Int64, "gpu_model": pl.String, "nodes": pl.Int32, "pool": pl.String, "qos": pl.String,
    "org": pl.String, "user": pl.String, "name": pl.String, "status": pl.String, "restarts": pl.Int32, "_wrong": pl.String,
}  # fmt: skip


def detect(seen: Sample, _options: Options) -> bool:
    """A JSON object with jobs that have a time of submission, as sacct writes them and squeue does not."""
    if seen.shape != "json" or not seen.head.lstrip().startswith("{") or '"jobs"' not in seen.head:
        return False
    return '"submission"' in seen.head or '"allocation_nodes"' in seen.head


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs; a job's pool is its partition."""
    jobs = elements(seen.path, "jobs", expected=EXPECTED, told=lambda share: options.tell("reading jobs", share))
    raw = pl.DataFrame(_rows(jobs), schema=_SCHEMA, orient="row")
    wrong = {reason: pl.col("_wrong") == reason for reason in raw["_wrong"].drop_nulls().unique(maintain_order=True)}
    good, faults = faulty(raw, wrong)
    notes = _notes(good, options)
    timed = good.with_columns(instants(good[name], "epoch", options).alias(f"{name}_us") for name in _TIMES)
    records, joined = joined_runs(timed)
    spot = is_spot(["pool", "qos"], options.spot).alias("spot")
    draft = Draft(
        path=seen.path, format=NAME, frame=records.with_columns(spot), rows=len(raw), clock="local", expected=EXPECTED,
        faults=faults, notes=notes + joined,
        names={"submit_us": "time.submission", "start_us": "time.start", "end_us": "time.end", "gpus": "tres"},
    )  # fmt: skip
    return assembled(draft, options)


def _notes(frame: pl.DataFrame, options: Options) -> tuple[Note, ...]:
    notes: tuple[Note, ...] = ()
    repaired = int(frame["repaired"].sum())
    if repaired:
        text = f"{counted(repaired, 'job')} whose start was the time of eligibility: taken from the end and the run time"
        notes = (Note("start_repaired", repaired, text),)
    if options.zone is None and len(frame):
        notes += (Note("clock", len(frame), "hours of the day are those of UTC: give the site's zone to have its own"),)
    return notes


def _rows(jobs: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    """A row of `_SCHEMA` for each job."""
    nothing = (None,) * (len(_SCHEMA) - 2)
    for number, job in enumerate(jobs, start=1):
        try:
            yield (number, *_job(job), None)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield (number, *nothing, f"is no job: {_said(error)}")


def _job(job: dict[str, Any]) -> tuple[Any, ...]:
    time, status = job["time"], _state(job["state"])
    submit, start, end, eligible = (_time(time.get(name)) for name in ("submission", "start", "end", "eligible"))
    elapsed = _number(time.get("elapsed"))
    start, repaired = _start(start, end, eligible, elapsed, _number(time.get("suspended")) or 0)
    if elapsed == 0 and status == "PENDING":
        start = None
    gpus, model, nodes = _resources(job["tres"], _number(job.get("allocation_nodes")))
    return (
        _name(job), submit, start, end, None if elapsed is None else elapsed * SECOND_US, repaired, gpus, model, nodes,
        _first(word(job.get("partition"))), *(word(job.get(name)) for name in ("qos", "account", "user", "name")), status,
        _number(job.get("restart_cnt")) or 0,
    )  # fmt: skip


def _start(
    start: int | None, end: int | None, eligible: int | None, elapsed: int | None, suspended: int
) -> tuple[int | None, bool]:
    """The start, and whether it had to be found: the one written down is the eligible time and does not fit the rest."""
    if start is None or end is None or elapsed is None or start != eligible:
        return start, False
    real = end - elapsed - suspended
    if elapsed > 0 and real > start:
        return real, True
    return start, False


def _name(job: dict[str, Any]) -> str:
    """The job's number as sacct prints it: `123_4` for a task of an array, `123+1` for a part of a heterogeneous job."""
    array, het = job.get("array") or {}, job.get("het") or {}
    array_id, task = _number(array.get("job_id")), _number(array.get("task_id"))
    if array_id and task is not None:
        return f"{array_id}_{task}"
    if array_id and array.get("task"):
        return f"{array_id}_[{array['task']}]"
    het_id, offset = _number(het.get("job_id")), _number(het.get("job_offset"))
    if het_id and offset is not None:
        return f"{het_id}+{offset}"
    return str(job["job_id"])


def _resources(tres: dict[str, Any], nodes: int | None) -> tuple[int | None, str | None, int]:
    """(GPUs, model, nodes): of what was allocated, or of what was requested while nothing is."""
    entries = tres.get("allocated") or tres.get("requested")
    if entries is None:
        return None, None, 1
    total, typed, counted_nodes = 0, {}, 0
    for entry in entries:
        kind, name, count = entry["type"], entry.get("name") or "", _number(entry.get("count")) or 0
        if kind == "node":
            counted_nodes = count
        elif kind == "gres" and name == "gpu":
            total = count
        elif kind == "gres" and name.startswith("gpu:"):
            typed[name.removeprefix("gpu:")] = count
    model = "+".join(sorted(name for name, count in typed.items() if count)) or None
    return max(total, sum(typed.values())), model, max(1, counted_nodes or nodes or 1)


def _state(state: Any) -> str:
    """The state's word: `"COMPLETED"`, `["COMPLETED"]`, or either under `current`."""
    word = state["current"] if isinstance(state, dict) else state
    if isinstance(word, list):
        word = word[0] if word else "UNKNOWN"
    return str(word)


def _number(value: Any) -> int | None:
    """A number, plain or as `{"set": true, "infinite": false, "number": 5}`; None where it is not set or not finite."""
    if isinstance(value, dict):
        value = value["number"] if value.get("set") and not value.get("infinite") else None
    if value is None or isinstance(value, bool):
        return None
    if not -FAR_TOO_MANY * 8 < value < FAR_TOO_MANY * 8:
        raise ValueError(value)
    return int(value)


def _time(value: Any) -> int | None:
    """Seconds since 1970; 0 is no time, and neither is Slurm's mark for none."""
    seconds = _number(value)
    return seconds if seconds and 0 < seconds < (1 << 32) - 2 else None


def _first(partitions: str | None) -> str | None:
    return partitions.split(",")[0] or None if partitions else None


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    return "an entry is of another kind"
