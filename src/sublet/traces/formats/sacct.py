r"""`sacct --parsable2`: Slurm's accounting as text, one line a job (and one a step, which is passed over).

    sacct --allusers --allocations --duplicates --parsable2 --starttime 2024-01-01 --endtime now \
          --format JobID,Submit,Start,End,ElapsedRaw,State,Partition,QOS,NNodes,AllocTRES,ReqTRES,Restarts,User,Account,JobName

Times are the site's wall time. GPUs are those allocated, or those requested while a job waits.
"""

import polars as pl

from sublet.core.errors import Invalid
from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import FAR_TOO_MANY, Read, numbers, spans, times, words
from sublet.traces.files import Sample, require, split_lines
from sublet.traces.findings import Note, counted
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options
from sublet.traces.sieve import LeftOut, faulty, left_out
from sublet.traces.slurm_runs import joined_runs
from sublet.traces.statuses import is_spot
from sublet.traces.tres import from_gres, from_tres

NAME = "sacct"
SAYS = "output of `sacct --parsable2`, with its first line"
EXPECTED = "fields JobID, Submit, Start, End, State and AllocTRES or ReqTRES, with the line of field names"

FIELDS = (
    "JobID", "Submit", "Start", "End", "State", "Partition", "QOS", "User", "Account", "JobName", "NNodes", "ElapsedRaw",
    "Restarts", "AllocTRES", "ReqTRES", "AllocGRES", "ReqGRES",
)  # fmt: skip
"""The fields that are read, if they are there; upper and lower case are the same, as they are for sacct."""
NEEDED = ("JobID", "Submit", "Start", "End", "State")
RESOURCES = ("AllocTRES", "ReqTRES", "AllocGRES", "ReqGRES")

_WORDS = {
    "job": "JobID",
    "status": "State",
    "pool": "Partition",
    "qos": "QOS",
    "user": "User",
    "org": "Account",
    "name": "JobName",
}
_TIMES = {"submit": "Submit", "start": "Start", "end": "End"}


def detect(seen: Sample, _options: Options) -> bool:
    """Text whose first line has sacct's field names between bars."""
    return seen.shape == "text" and seen.separator == "|" and {"jobid", "state"} <= {name.lower() for name in seen.columns}


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs; a job's pool is its partition."""
    header = _header(seen)
    require(header, NEEDED, path=seen.path, expected=EXPECTED)
    if not set(RESOURCES) & set(header):
        require(header, RESOURCES[:1], path=seen.path, expected=EXPECTED)
    raw = split_lines(seen, header, has_header=True)
    steps = LeftOut("steps", "row", "of a step, not of a job: left out", pl.col("JobID").str.contains(".", literal=True))
    frame, notes = left_out(raw.frame, [steps])
    options.tell("lines split", 0.4)
    got = _cells(Read(frame), header, options)
    sized = got.frame.hstack(_gpus(got.frame, header))
    jobs, faults = faulty(sized, {"JobID is empty": pl.col("job").is_null()} | got.bad | _without_resources())
    jobs, joined = joined_runs(jobs)
    jobs, pools = _first_partition(jobs)
    options.tell("fields read", 0.8)
    marks = [name for name in ("pool", "qos") if name in jobs.columns]
    draft = Draft(
        path=seen.path, format=NAME, frame=jobs.with_columns(is_spot(marks, options.spot).alias("spot")), rows=raw.rows,
        clock="local", expected=EXPECTED, faults=raw.faults + faults, notes=notes + joined + pools + _arrays(jobs),
        names={"submit_us": "Submit", "start_us": "Start", "end_us": "End", "run_us": "ElapsedRaw", "gpus": "AllocTRES",
               "nodes": "NNodes"},
    )  # fmt: skip
    return assembled(draft, options)


def _header(seen: Sample) -> list[str]:
    """The field names of the first line in our spelling; `--parsable` ends each line with a bar, and so with a field."""
    known = {name.lower(): name for name in FIELDS}
    header = [known.get(name.lower(), name) or f"_{number}" for number, name in enumerate(seen.columns)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise Invalid(f"{seen.path} has the field {twice[0]} twice", field="trace", hint="name each field once in --format")
    return header


def _cells(read: Read, header: list[str], options: Options) -> Read:
    read = words(read, {ours: theirs for ours, theirs in _WORDS.items() if theirs in header})
    read = numbers(read, {ours: theirs for ours, theirs in (("nodes", "NNodes"), ("restarts", "Restarts")) if theirs in header})
    units = dict.fromkeys(_TIMES, "iso")
    read = times(read, _TIMES, units, options)
    read = spans(read, {"run": "ElapsedRaw"} if "ElapsedRaw" in header else {}, {})
    plain = {"nodes": 1.0, "restarts": 0.0}
    filled = [
        (pl.col(name) if name in read.frame.columns else pl.lit(None, pl.Float64)).fill_null(value)
        for name, value in plain.items()
    ]
    return Read(
        read.frame.with_columns(
            filled[0].clip(1, FAR_TOO_MANY).cast(pl.Int32).alias("nodes"),
            filled[1].clip(0, FAR_TOO_MANY).cast(pl.Int32).alias("restarts"),
            *([] if "ElapsedRaw" in header else [pl.lit(None, pl.Int64).alias("run_us")]),
        ),
        read.bad,
        read.clock,
    )


def _gpus(frame: pl.DataFrame, header: list[str]) -> pl.DataFrame:
    """GPUs and model: allocated before requested, TRES before the older GRES; null where none of them says anything."""
    found = pl.DataFrame(schema={"gpus": pl.Int64, "gpu_model": pl.String}).clear(len(frame))
    for name in RESOURCES:
        if name in header:
            text = frame[name].str.strip_chars()
            text = text.zip_with((text.str.len_bytes() > 0).fill_null(value=False), pl.Series([None], dtype=pl.String))
            one = from_tres(text) if name.endswith("TRES") else from_gres(text, frame["nodes"])
            known = found["gpus"].is_not_null()
            found = pl.DataFrame([found[column].zip_with(known, one[column]) for column in found.columns])
    return found


def _without_resources() -> dict[str, pl.Expr]:
    return {"has no resources, or counts them by task": pl.col("gpus").is_null()}


def _first_partition(jobs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """A job that waits may name several partitions; it counts in the first."""
    if "pool" not in jobs.columns:
        return jobs, ()
    return jobs.with_columns(pl.col("pool").str.split(",").list.first()), ()


def _arrays(jobs: pl.DataFrame) -> tuple[Note, ...]:
    """Arrays of which no task has started stand on one line, as `123_[0-99%4]`."""
    waiting = int(jobs["job"].str.contains("_[", literal=True).sum())
    if not waiting:
        return ()
    text = f"{counted(waiting, 'row')} for a whole array that waits: counted as one task, since arrays are often throttled"
    return (Note("array", waiting, text),)
