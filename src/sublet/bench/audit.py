"""`sublet bench audit`: how long an audit takes, whether it leaves anything out, and whether its predictions come true."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import sublet
from sublet.advice.audit.history import read
from sublet.advice.audit.report import Wanted, report_of
from sublet.advice.audit.surplus_file import read_surplus
from sublet.bench.foretold import (
    TERMS_US,
    agreement,
    as_guarded,
    as_spot,
    guarded_beside,
    nodes_for,
    scene_beside,
    taken_back,
    tenants_jobs,
)  # fmt: skip
from sublet.bench.progress import Progress, prefixed
from sublet.core.units import HOUR_US
from sublet.sim.leased import replayed
from sublet.sim.scene import Habits, OwnerJobs
from sublet.traces import Options

HABITS: Mapping[str, Habits] = {
    "heeds": Habits(), "checkpoints": Habits(heed=False), "loses": Habits(heed=False, checkpoint_us=None, restart_us=0),
}  # fmt: skip
GUARDED_SHARE = 0.5
"""Of what they ask for as spot: a forecast guarantees less than what is idle, and who waits for ever tells nothing."""
LOSING_MAX_US = 12 * HOUR_US
"""Work that never saves is replayed only up to this length: longer work might never end."""


def measure(path: Path, asked_share: float, load: float, progress: Progress) -> dict[str, Any]:
    """Speed, share classified, and predictions against the replay with each class and habit.

    The made-up owner keeps `load` of the GPUs busy and has so many that the jobs ask for `asked_share` of the rest.
    """
    table = read((path,), Options(), trace_format=None)
    progress("audit", 0.0)
    begin = time.perf_counter()
    table = read((path,), Options(), trace_format=None)
    report = report_of(table, path.name, surplus=read_surplus(None), wanted=Wanted())
    seconds = time.perf_counter() - begin
    jobs = tenants_jobs(table)
    found: dict[str, Any] = {
        "benchmark": "audit",
        "version": sublet.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "jobs": report.jobs,
        "groups": len(report.lines),
        "seconds": seconds,
        "classified": report.classified,
        "asked_share": asked_share,
        "load": load,
    }
    for name, habits in HABITS.items():
        mine = jobs if name != "loses" else jobs.of(jobs.run_us <= LOSING_MAX_US)
        scene = scene_beside(mine, nodes_for(mine, asked_share, load), load, habits)
        runs = replayed(scene, progress=partial(prefixed(progress, name), "replay"))
        found[name] = {"owner_gpus": scene.capacity} | agreement(mine, runs, partial(as_spot, scene))
    for name in ("heeds", "loses"):
        found[f"guarded_{name}"] = _under_guarantee(
            jobs, asked_share, load, HABITS[name], prefixed(progress, f"guarded, {name}")
        )
    return found


def _under_guarantee(jobs: OwnerJobs, asked_share: float, load: float, habits: Habits, progress: Progress) -> dict[str, Any]:
    """The jobs that a guarded term holds, and the share of each term's leases that was taken back."""
    mine = jobs.of(jobs.run_us + habits.restart_us <= TERMS_US[-1])
    scene, outlook = guarded_beside(mine, nodes_for(mine, GUARDED_SHARE * asked_share, load), load, habits)
    runs = replayed(scene, outlook, progress=partial(progress, "replay"))
    shares = {f"{term_us // HOUR_US} h": share for term_us, share in taken_back(scene, runs).items()}
    held = agreement(mine, runs, partial(as_guarded, scene))
    return {"owner_gpus": scene.capacity} | held | {"taken_back": shares}
