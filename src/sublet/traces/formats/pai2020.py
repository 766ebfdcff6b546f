"""Alibaba's cluster-trace-gpu-v2020 (PAI): `pai_task_table.csv`, with `pai_job_table.csv` beside it if it is there.

A job has tasks (roles), each with `inst_num` instances of `plan_gpu` percent of a GPU. Rows of a job are joined: its GPUs are
those of all its tasks, from the first start to the last end. The task table knows when a task was launched; when a job was
submitted, and by whom, stands in the job table. The authors moved the dates but kept hour and weekday in UTC+8.
"""

from pathlib import Path

import polars as pl

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import Read, numbers, times, whole_gpus, words
from sublet.traces.files import Frame, Sample, sample, table
from sublet.traces.findings import Note, counted
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options
from sublet.traces.sieve import LINE, faulty

NAME = "pai2020"
SAYS = "Alibaba cluster-trace-gpu-v2020, pai_task_table.csv (pai_job_table.csv beside it)"

TASKS = (
    "job_name", "task_name", "inst_num", "status", "start_time", "end_time", "plan_cpu", "plan_mem", "plan_gpu", "gpu_type",
)  # fmt: skip
JOBS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
"""The columns of both tables; the published files have no line with them."""

EXPECTED = f"give pai_task_table.csv, with the columns {', '.join(TASKS)}"

SHANGHAI_US = 8 * HOUR_US

_STATUSES = frozenset({"Running", "Terminated", "Failed", "Waiting", "Interrupted"})


def detect(seen: Sample, _options: Options) -> bool:
    """One of the two tables, with its line of column names or without."""
    return _is(seen, TASKS) or _is(seen, JOBS)


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs that ask for a GPU; a job's pool is its GPU model."""
    tasks = _tasks(seen)
    raw = _rows(tasks, TASKS)
    got = words(Read(raw.frame), {"job": "job_name", "name": "task_name", "status": "status", "gpu_model": "gpu_type"})
    got = numbers(got, {"each": "plan_gpu", "workers": "inst_num"}, factors={"each": 0.01})
    got = times(got, {"start": "start_time", "end": "end_time"}, {"start": "s", "end": "s"}, options)
    workers = pl.col("workers")
    bad = {"job_name is empty": pl.col("job").is_null()} | got.bad
    bad |= {
        "inst_num is empty": workers.is_null(),
        "inst_num is not above 0": workers <= 0,
        "plan_gpu is negative": pl.col("each") < 0,
    }
    good, faults = faulty(got.frame, bad)
    frame, notes = _joined(good.with_columns(pl.col("each").fill_null(0.0)))
    frame = _with_submissions(frame, tasks.path, options).with_columns(
        pl.col("submit_us", "start_us", "end_us") + SHANGHAI_US, pool=pl.col("gpu_model")
    )
    notes += (Note("clock", len(frame), "the dates are not the real ones; hour and weekday are those of UTC+8"),)
    names = {"gpus": "plan_gpu", "submit_us": "start_time", "start_us": "start_time", "end_us": "end_time"}
    draft = Draft(
        path=tasks.path, format=NAME, frame=frame, rows=raw.rows, clock="local", expected=EXPECTED,
        faults=raw.faults + faults, notes=notes, names=names,
    )  # fmt: skip
    return assembled(draft, options)


def _is(seen: Sample, columns: tuple[str, ...]) -> bool:
    """Whether the first lines are rows of a table with these columns."""
    if seen.shape != "text" or seen.separator != ",":
        return False
    if seen.columns == columns:
        return True
    rows = [line.split(",") for line in seen.lines[:20]]
    at = columns.index("status")
    return bool(rows) and all(len(row) == len(columns) and row[at].strip('"') in _STATUSES for row in rows)


def _tasks(seen: Sample) -> Sample:
    """The task table: the file itself, or the one beside a job table, which alone says nothing of GPUs."""
    if _is(seen, TASKS):
        return seen
    if not _is(seen, JOBS):
        raise Invalid(f"{seen.path} is no table of PAI's jobs or tasks", field="trace", hint=EXPECTED)
    beside = _beside(seen.path, "pai_task_table")
    if beside is None:
        said = f"{seen.path} is the job table of PAI, which does not say how many GPUs a job has"
        raise Invalid(said, field="trace", hint="put pai_task_table.csv beside it, or give that")
    return sample(beside)


def _beside(path: Path, name: str) -> Path | None:
    found = [path.with_name(name + ending) for ending in (".csv", ".csv.gz") if path.with_name(name + ending).is_file()]
    return found[0] if found else None


def _rows(seen: Sample, columns: tuple[str, ...]) -> Frame:
    return table(seen, columns=columns, header=() if seen.columns == columns else columns)


def _joined(tasks: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """One row a job. Tasks without a GPU count for its status, not for its times."""
    counts = tasks.with_columns(*whole_gpus("each", "workers", per_worker=True), uses=pl.col("each") > 0)
    goes_on = pl.col("end_us").is_null() & pl.col("status").is_in(["Running", "Waiting"])
    jobs = counts.group_by("job", maintain_order=True).agg(
        pl.col("gpus").sum(),
        pl.col("nodes").filter("uses").sum().clip(lower_bound=1).alias("nodes"),
        pl.col("parts").filter("uses").any().alias("parts"),
        pl.col("start_us").filter("uses").min().alias("start_us"),
        pl.when(~goes_on.filter("uses").any()).then(pl.col("end_us").filter("uses").max()).alias("end_us"),
        pl.col("gpu_model").filter("uses").drop_nulls().first().alias("gpu_model"),
        pl.col("name").filter("uses").first().alias("name"),
        _status(),
        pl.col(LINE).min(),
    )
    joined = len(tasks) - len(jobs)
    text = f"{counted(joined, 'row')} that are further tasks of a job are joined with it"
    return jobs, (Note("merged", joined, text, left_out=joined),) if joined else ()


def _status() -> pl.Expr:
    """A job's status by its tasks': it runs while one runs, failed if one failed, and is done when all are."""
    status, order = pl.col("status"), ("Running", "Waiting", "Failed", "Interrupted")
    known = pl.coalesce([pl.when((status == word).any()).then(pl.lit(word)) for word in order])
    return known.fill_null(status.first()).alias("status")


def _with_submissions(jobs: pl.DataFrame, tasks: Path, options: Options) -> pl.DataFrame:
    """The jobs with the submission and the user of the job table; without that table both are unknown."""
    beside = _beside(tasks, "pai_job_table")
    if beside is None:
        return jobs.with_columns(submit_us=pl.lit(None, pl.Int64))
    raw = _rows(sample(beside), JOBS)
    known = words(Read(raw.frame), {"job": "job_name", "user": "user"})
    known = times(known, {"submit": "start_time"}, {"submit": "s"}, options)
    first = known.frame.filter(pl.col("job").is_not_null()).unique("job", keep="first", maintain_order=True)
    return jobs.join(first.select("job", "user", "submit_us"), on="job", how="left", maintain_order="left")
