"""A job history in a request: rows of jobs, labels and prices, in place of files."""

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from sublet.advice.audit.labels import Label
from sublet.advice.finance.units import bounded, said
from sublet.app.quantities import Price, Text
from sublet.core.units import SECOND_US
from sublet.traces import JobTable
from sublet.traces.job_table import in_order

JOBS_MAX = 5_000
Word = Annotated[Text, Field(max_length=200)]
Status = Literal[
    "completed", "failed", "cancelled", "timeout", "reclaimed", "node_fail", "running", "pending", "unknown",
]  # fmt: skip
_SECONDS = bounded(0, 4e9, "seconds since any instant, the same for all jobs")
_RUN = bounded(0, 3.2e8, "seconds")


class JobRow(BaseModel):
    """One job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Word | None = None
    name: Word | None = None
    org: Word | None = None
    pool: Word = "all"
    gpu_model: Word | None = None
    gpus: Annotated[int, Field(ge=1, le=1_000_000)] = said("GPUs", "over all nodes", default=1)
    nodes: Annotated[int, Field(ge=1, le=100_000)] = said("", "nodes of the gang", default=1)
    submit_s: Annotated[float, *_SECONDS] = said("s", "when it was asked for")
    start_s: Annotated[float, *_SECONDS] | None = said("s", "when it started; none: not known", default=None)
    duration_s: Annotated[float, *_RUN] = said("s", "how long it ran")
    status: Status = "unknown"
    restarts: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class AuditBody(BaseModel):
    """A history, and what is known beyond it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: Annotated[tuple[JobRow, ...], Field(min_length=1, max_length=JOBS_MAX)]
    labels: Annotated[tuple[Label, ...], Field(max_length=200)] = ()
    home: Price | None = Field(default=None, description="what a GPU-hour costs where the jobs run now")
    surplus: dict[str, Any] = Field(
        default_factory=dict, description="tables that replace the shipped ones, as in surplus.toml"
    )
    unlabelled: Literal["public", "internal", "confidential", "restricted"] = "internal"
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0


def table_of(rows: tuple[JobRow, ...]) -> JobTable:
    """The rows as a job table."""

    def us(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * SECOND_US)

    frame = pl.DataFrame(
        [
            {
                "job": str(number), "line": number, "submit_us": us(one.submit_s), "start_us": us(one.start_s),
                "run_us": us(one.duration_s), "gpus": one.gpus, "nodes": min(one.nodes, one.gpus), "gpu_model": one.gpu_model,
                "pool": one.pool, "org": one.org, "user": one.user, "name": one.name, "status": one.status, "spot": False,
                "restarts": one.restarts,
            }
            for number, one in enumerate(rows, 1)
        ],
        infer_schema_length=None,
    )  # fmt: skip
    ends = frame.select((pl.coalesce("start_us", "submit_us") + pl.col("run_us")).alias("end_us"))
    whole = in_order(frame.with_columns(ends))
    first, last = frame["submit_us"].min(), ends["end_us"].max()
    assert isinstance(first, int) and isinstance(last, int)
    return JobTable(whole, clock="relative", from_us=first, until_us=last, rows=len(rows), format="request")
