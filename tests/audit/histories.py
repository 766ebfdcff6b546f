"""Small job histories of known make, as CSV and as sacct prints them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOUR = 3_600
HEAD = "user,name,gpus,workers,submit_s,start_s,duration_s,status,restarts"


def rows(user: str, name: str, count: int, **more: Any) -> Iterator[str]:
    """So many like jobs; hours for `every`, `wait` and `run`. A `{n}` in the name is the job's number."""
    told = {"gpus": 1, "workers": 1, "every": 2.0, "wait": 0.1, "run": 1.0, "status": "completed", "restarts": 0} | more
    for n in range(count):
        submit = n * told["every"] * HOUR
        run = told["run"][n % len(told["run"])] if isinstance(told["run"], tuple) else told["run"]
        yield ",".join(
            str(part)
            for part in (
                user, name.format(n=n), told["gpus"], told["workers"], submit, submit + told["wait"] * HOUR, run * HOUR,
                told["status"], told["restarts"],
            )
        )  # fmt: skip


def history(path: Path, *groups: Iterator[str]) -> Path:
    """A table of these jobs."""
    path.write_text("\n".join([HEAD, *(row for group in groups for row in group)]) + "\n")
    return path


def mixed(path: Path) -> Path:
    """One group of each kind."""
    return history(
        path,
        rows("ann", "deepspeed-llm-{n}", 30, gpus=16, workers=2, run=(60.0, 80.0), wait=2.0, every=8),
        rows("bob", "jupyter-{n}", 60, run=(3.0, 5.0)),
        rows("cy", "embed_docs_{n}", 40, gpus=2, run=(6.0, 9.0), every=6),
        rows("dee", "patient-scan-{n}", 20, gpus=4, run=(12.0, 14.0), every=20),
        rows("eve", "sweep-{n}", 80, gpus=1, run=(2.0, 3.0), wait=0.5),
        rows("fay", "cfd-{n}", 12, gpus=8, run=(70.0, 74.0), wait=4.0, every=30),
        rows("gus", "once", 1, run=0.5),
    )
