"""Small traces for studies: a week and a half of two pools with day and night, as a table and as sacct prints it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

BEGIN = datetime(2024, 5, 6, tzinfo=UTC)
DAYS = 9
NODES = ("east=4x8", "west=2x8")
WARM_UP = "4d"


@dataclass(frozen=True)
class Job:
    """One job: seconds since BEGIN, seconds of running, GPUs in all, workers."""

    submit_s: int
    run_s: int
    gpus: int
    workers: int
    pool: str


def jobs(seed: int = 1, *, days: int = DAYS) -> list[Job]:
    """Busy days and quiet nights: most jobs come between 8 and 20 o'clock, some need two nodes."""
    return sorted(_jobs(seed, days), key=lambda job: job.submit_s)


def _jobs(seed: int, days: int) -> Iterator[Job]:
    rng = np.random.default_rng(seed)
    for pool, each_day in (("east", 16), ("west", 8)):
        for day in range(days):
            for _ in range(each_day):
                at = day * 86_400 + int(rng.uniform(8, 20) * 3_600)
                workers = 2 if rng.random() < 0.15 else 1
                gpus = workers * int(rng.choice([1, 2, 4, 8]))
                yield Job(at, int(rng.lognormal(8.5, 0.8)), gpus, workers, pool)


def as_table(rows: list[Job], *, dates: bool = True) -> str:
    """A table with our column names; with a clock of its own it counts from BEGIN."""
    lines = ["submit_s,duration_s,gpus,workers,pool"]
    for job in rows:
        at = datetime.fromtimestamp(BEGIN.timestamp() + job.submit_s, UTC)
        when = at.strftime("%Y-%m-%dT%H:%M:%S") if dates else str(job.submit_s)
        lines.append(f"{when},{job.run_s},{job.gpus},{job.workers},{job.pool}")
    return "\n".join(lines) + "\n"


def as_sacct(rows: list[Job], *, spot: frozenset[int] = frozenset()) -> str:
    """The same as `sacct --parsable2` prints it; `spot` are the numbers of jobs that give way."""
    lines = ["JobID|Submit|Start|End|ElapsedRaw|State|Partition|QOS|NNodes|AllocTRES|ReqTRES|Restarts|User|Account|JobName"]
    for number, job in enumerate(rows):
        submit, end = (
            datetime.fromtimestamp(BEGIN.timestamp() + at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            for at in (job.submit_s, job.submit_s + job.run_s)
        )
        quality = "scavenger" if number in spot else "normal"
        asked = f"gres/gpu={job.gpus},node={job.workers}"
        lines.append(
            f"{100 + number}|{submit}|{submit}|{end}|{job.run_s}|COMPLETED|{job.pool}|{quality}|{job.workers}|{asked}|{asked}|0"
            f"|user{number % 5}|lab{number % 3}|train"
        )
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text)
    return path
