"""Alibaba's cluster-trace-v2026-spot-gpu, `job_info_df.csv`: owner jobs (HP) and spot jobs of six GPU models.

A gang asks for `gpu_request` on each of `worker_num` workers. Times are seconds since the first submission. The trace has no
start times: a job is taken to start when it is submitted.
"""

import polars as pl

from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import Read, numbers, spans, times, whole_gpus, words
from sublet.traces.files import Sample, require, table
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options
from sublet.traces.sieve import faulty
from sublet.traces.statuses import is_spot

NAME = "alibaba_spot"
SAYS = "Alibaba cluster-trace-v2026-spot-gpu, job_info_df.csv"

_WORDS = {"job": "job_name", "org": "organization", "gpu_model": "gpu_model", "type": "job_type"}
_COUNTS = {"each": "gpu_request", "workers": "worker_num"}
_NEEDED = (*_WORDS.values(), *_COUNTS.values(), "submit_time", "duration")

EXPECTED = f"job_info_df.csv has the columns {', '.join(_NEEDED)}"


def detect(seen: Sample, _options: Options) -> bool:
    """The file has the trace's columns."""
    return seen.has(*_NEEDED)


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs; a job's pool is its GPU model."""
    require(seen.columns, _NEEDED, path=seen.path, expected=EXPECTED)
    raw = table(seen, columns=_NEEDED)
    got = numbers(words(Read(raw.frame), _WORDS), _COUNTS)
    got = spans(times(got, {"submit": "submit_time"}, {"submit": "s"}, options), {"run": "duration"}, {})
    good, faults = faulty(
        got.frame,
        got.bad | {"worker_num is empty": pl.col("workers").is_null(), "worker_num is not above 0": pl.col("workers") <= 0},
    )
    frame = good.with_columns(
        *whole_gpus("each", "workers", per_worker=True), is_spot(["type"], options.spot).alias("spot"), pool=pl.col("gpu_model")
    )
    names = {"gpus": "gpu_request", "submit_us": "submit_time", "run_us": "duration"}
    draft = Draft(
        path=seen.path, format=NAME, frame=frame, rows=raw.rows, clock="relative", expected=EXPECTED,
        faults=raw.faults + faults, names=names, ends=False,
    )  # fmt: skip
    return assembled(draft, options)
