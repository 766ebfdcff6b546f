"""Alibaba's cluster-trace-gpu-v2023 (`openb`): the pods of a Kubernetes cluster with shared GPUs.

A pod that asks for one GPU may take a part of it (`gpu_milli`). A pod last seen running has an end like any other: it was
deleted then, so how it ended is not known. One that was deleted before it was scheduled never ran.
"""

import polars as pl

from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import Read, numbers, times, whole_gpus, words
from sublet.traces.files import Sample, require, table
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options
from sublet.traces.sieve import faulty
from sublet.traces.statuses import is_spot

NAME = "openb"
SAYS = "Alibaba cluster-trace-gpu-v2023, openb_pod_list_*.csv"

_WORDS = {"job": "name", "gpu_model": "gpu_spec", "class": "qos", "phase": "pod_phase"}
_COUNTS = {"number": "num_gpu", "milli": "gpu_milli"}
_TIMES = {"submit": "creation_time", "start": "scheduled_time", "end": "deletion_time"}
_NEEDED = (*_WORDS.values(), *_COUNTS.values(), *_TIMES.values())

EXPECTED = f"a pod list has the columns {', '.join(_NEEDED)}"


def detect(seen: Sample, _options: Options) -> bool:
    """The file has the columns of a pod list."""
    return seen.has(*_NEEDED)


def read(seen: Sample, options: Options) -> JobTable:
    """The pods that ask for a GPU, in one pool; best effort (`BE`) gives way."""
    require(seen.columns, _NEEDED, path=seen.path, expected=EXPECTED)
    raw = table(seen, columns=_NEEDED)
    got = times(numbers(words(Read(raw.frame), _WORDS), _COUNTS), _TIMES, dict.fromkeys(_TIMES, "s"), options)
    good, faults = faulty(got.frame, got.bad)
    share = pl.when(pl.col("number") == 1).then(pl.col("milli") / 1000).otherwise(pl.col("number"))
    shared = good.drop("name").with_columns(each=share.fill_null(pl.col("number")))
    frame = shared.with_columns(
        *whole_gpus("each", None, per_worker=True), is_spot(["class"], options.spot).alias("spot"), status=_status()
    )
    names = {"gpus": "num_gpu"} | {f"{ours}_us": theirs for ours, theirs in _TIMES.items()}
    draft = Draft(
        path=seen.path, format=NAME, frame=frame, rows=raw.rows, clock="relative", expected=EXPECTED,
        faults=raw.faults + faults, names=names,
    )  # fmt: skip
    return assembled(draft, options)


def _status() -> pl.Expr:
    """What the phase says of a pod that is gone: one that was running or waiting when it was deleted did not end by itself."""
    gone = pl.col("end_us").is_not_null()
    phase = pl.col("phase").str.to_lowercase()
    return (
        pl.when(gone & (phase == "running")).then(pl.lit("unknown")).when(gone & (phase == "pending")).then(pl.lit("cancelled"))
        .otherwise(phase)
    )  # fmt: skip
