"""The jobs of a trace, whatever format they came in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sublet.traces.findings import Fault, Gap, Note

Ints = npt.NDArray[np.int64]

Clock = Literal["local", "relative"]
"""`local`: instants are the site's wall time, written as if it were UTC, so that hour and weekday can be read off them.
`relative`: they count from the trace's own zero, and say nothing about hour or weekday."""

JOBS: Mapping[str, pl.DataType] = {
    "job": pl.String(),  # the trace's name for it; the row's number where it has none
    "submit_us": pl.Int64(),
    "start_us": pl.Int64(),  # null: never started, or not known (then `run_us` is not 0)
    "end_us": pl.Int64(),  # null: it goes on when the trace ends
    "run_us": pl.Int64(),  # how long it ran, over all attempts; 0: never ran; null: not known, or it still runs
    "gpus": pl.Int64(),  # over all workers; parts of a GPU are rounded up for each worker
    "nodes": pl.Int32(),  # workers, at least 1
    "gpu_model": pl.String(),
    "pool": pl.String(),
    "org": pl.String(),
    "user": pl.String(),
    "name": pl.String(),
    "status": pl.String(),  # one of STATUSES
    "spot": pl.Boolean(),  # the trace marks it as giving way
    "restarts": pl.Int32(),  # 0 where it is not known
    "line": pl.Int64(),  # where it stands: line of a text file, row of a Parquet file, number in a JSON list
}
"""The columns of a job table. Only start, end, run, model, org, user, name and status may be null."""

NULLABLE = frozenset({"start_us", "end_us", "run_us", "gpu_model", "org", "user", "name", "status"})


@dataclass(frozen=True, slots=True, eq=False)
class JobTable:
    """Jobs in order of submission, and what was found while reading them. Instants are in µs on `clock`.

    Always: submit <= start <= end, and no end after `until_us`. The trace is complete from `from_us` up to `until_us`:
    before the one it shows only jobs that lasted, after the other it shows no submissions. Inside `gaps` it knows nothing.
    """

    frame: pl.DataFrame
    clock: Clock
    from_us: int
    until_us: int
    rows: int = 0  # read from the file, used or not
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()
    gaps: tuple[Gap, ...] = ()
    format: str = ""

    def __post_init__(self) -> None:
        """Hold every reader to the same columns."""
        assert dict(self.frame.schema) == JOBS, "a reader made another table"

    def __len__(self) -> int:
        """How many jobs."""
        return self.frame.height

    @property
    def submit_us(self) -> Ints:
        """When each job was submitted: int64[n]."""
        return self.frame["submit_us"].to_numpy()

    @property
    def gpus(self) -> Ints:
        """How many GPUs each job has in all: int64[n]."""
        return self.frame["gpus"].to_numpy()

    @property
    def duration_us(self) -> Ints:
        """How long each job ran, int64[n]; one that still runs, until the trace ends. 0 for a job that never ran."""
        begin = pl.coalesce("start_us", "submit_us")
        so_far = (pl.coalesce("end_us", pl.lit(self.until_us)) - begin).clip(lower_bound=0)
        return self.frame.select(pl.coalesce("run_us", so_far)).to_series().to_numpy()

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of its pools, sorted."""
        return tuple(sorted(self.frame["pool"].unique()))

    def note(self, kind: str) -> int:
        """How many times a kind of note was found."""
        return sum(note.count for note in self.notes if note.kind == kind)


def jobs_of(*, submit_us: Ints, run_us: Ints, gpus: Ints, clock: Clock = "relative", pool: str = "all") -> JobTable:
    """A job table of jobs that start when they are submitted; for what comes from no file."""
    made = pl.DataFrame(
        {"submit_us": submit_us, "start_us": submit_us, "end_us": submit_us + run_us, "run_us": run_us, "gpus": gpus}
    ).with_row_index("line", offset=1)
    job = pl.col("line").cast(pl.String)
    frame = in_order(made.with_columns(job=job, pool=pl.lit(pool), nodes=1, spot=pl.lit(value=False), restarts=0))
    until = int((submit_us + run_us).max(initial=0))
    return JobTable(frame, clock=clock, from_us=int(submit_us.min(initial=until)), until_us=until, rows=len(frame))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of the job table with their types, in order of submission; what the frame lacks is null."""
    have = [pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in JOBS]
    typed = [column.cast(kind) for column, kind in zip(have, JOBS.values(), strict=True)]
    return frame.select(typed).sort("submit_us", "line")
