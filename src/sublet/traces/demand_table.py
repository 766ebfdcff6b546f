"""Demand over time, pool by pool: from usage logs, or from the jobs of a trace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from sublet.core.demand import demand_of_jobs
from sublet.core.forecast.window import History
from sublet.traces.findings import Fault, Gap, Note
from sublet.traces.job_table import Clock, JobTable

DEMAND: Mapping[str, pl.DataType] = {
    "pool": pl.String(),
    "at_us": pl.Int64(),
    "gpus": pl.Int64(),  # from `at_us` on, until the pool's next row; null: not known, a gap begins
    "capacity": pl.Int64(),  # null: not in the source
}
"""The columns of a demand table: one step function a pool."""


@dataclass(frozen=True, slots=True, eq=False)
class DemandTable:
    """Steps in order of pool and instant (µs on `clock`), known from `from_us` up to `until_us` but for the `gaps`.

    `step_us` is the time between two samples if the source was sampled: nothing shorter is seen.
    """

    frame: pl.DataFrame
    clock: Clock
    from_us: int
    until_us: int
    step_us: int | None = None
    rows: int = 0  # read from the file, used or not
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()
    gaps: tuple[Gap, ...] = ()
    format: str = ""

    def __post_init__(self) -> None:
        """Hold every reader to the same columns."""
        assert dict(self.frame.schema) == DEMAND, "a reader made another table"

    def __len__(self) -> int:
        """How many steps, over all pools."""
        return self.frame.height

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of its pools, sorted."""
        return tuple(sorted(self.frame["pool"].unique()))

    def history(self, pool: str) -> History:
        """One pool's demand; through a gap it stays at its last known value, so leave the gaps out of every count."""
        known = self.frame.filter((pl.col("pool") == pool) & pl.col("gpus").is_not_null())
        return History(known["at_us"].to_numpy(), known["gpus"].to_numpy())

    def note(self, kind: str) -> int:
        """How many times a kind of note was found."""
        return sum(note.count for note in self.notes if note.kind == kind)


Since = Literal["submission", "start"]


def demand_of(jobs: JobTable, *, since: Since = "submission") -> DemandTable:
    """The demand of the jobs, pool by pool: asked for (since submission) or held (since start, without what never ran).

    A job whose start is not known counts from its submission. It reaches from the instant at which the trace is complete to
    its end; where the log has a gap, nothing is known.
    """
    begin = pl.col("submit_us") if since == "submission" else pl.coalesce("start_us", "submit_us")
    there = jobs.frame.select("pool", "gpus", "run_us", begin=begin, end=pl.col("end_us").fill_null(jobs.until_us))
    if since == "start":
        there = there.filter(~(pl.col("run_us").fill_null(1) == 0))
    parts = [_steps(str(name), part, jobs) for (name,), part in there.group_by("pool", maintain_order=True)]
    frame = pl.concat(parts) if parts else pl.DataFrame(schema=DEMAND)
    return DemandTable(
        frame=frame.sort("pool", "at_us"),
        clock=jobs.clock,
        from_us=jobs.from_us,
        until_us=jobs.until_us,
        rows=len(jobs),
        notes=jobs.notes,
        gaps=jobs.gaps,
        format=jobs.format,
    )


def _steps(pool: str, jobs: pl.DataFrame, table: JobTable) -> pl.DataFrame:
    """One pool's steps inside the window that the trace is complete in, with the level at the window's start."""
    full = demand_of_jobs(*(jobs[name].to_numpy() for name in ("begin", "end", "gpus")))
    before = int(np.searchsorted(full.at_us, table.from_us, side="right"))
    inside = full.at_us < table.until_us
    inside[:before] = False
    level = int(full.gpus[before - 1]) if before else 0
    at = np.concatenate([[table.from_us], full.at_us[inside]])
    gpus = np.concatenate([[level], full.gpus[inside]])
    frame = pl.DataFrame({"pool": pool, "at_us": at, "gpus": gpus}, schema_overrides={"at_us": pl.Int64, "gpus": pl.Int64})
    return blanked(frame.with_columns(capacity=pl.lit(None, pl.Int64)).select(list(DEMAND)), table.gaps)


def blanked(steps: pl.DataFrame, gaps: tuple[Gap, ...]) -> pl.DataFrame:
    """One pool's steps with null from each gap's start to its end, where the value of that instant holds again."""
    for gap in gaps:
        earlier = steps.filter(pl.col("at_us") <= gap.from_us).tail(1)
        blank = earlier.with_columns(at_us=pl.lit(gap.from_us, pl.Int64), gpus=pl.lit(None, pl.Int64))
        resumes = steps.filter(pl.col("at_us") <= gap.to_us).tail(1).with_columns(at_us=pl.lit(gap.to_us, pl.Int64))
        outside = steps.filter((pl.col("at_us") < gap.from_us) | (pl.col("at_us") > gap.to_us))
        steps = pl.concat([outside, blank, resumes]).sort("at_us")
    return steps
