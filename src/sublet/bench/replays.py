"""How long replays take: a public trace under all policies, a half year of a large fleet under ours, and how time grows."""

import math
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from sublet.advice.study.assumptions import Costs, Market
from sublet.advice.study.layout import Asked, PoolLayout
from sublet.advice.study.question import EXAMPLE_ORIGIN, Files, Question, asked
from sublet.advice.study.result import Study, Wanted
from sublet.advice.study.run import NOTHING, study
from sublet.bench.memory import Memory
from sublet.bench.progress import Progress
from sublet.core.ids import NodeId, TenantId
from sublet.core.units import DAY_US, HOUR_US
from sublet.sim.generated import generated
from sublet.sim.policies import OURS
from sublet.sim.scene import OwnerJobs, no_jobs
from sublet.traces import Options

PHILLY, PHILLY_NODES = "jobs_philly_pass.parquet", "all=100x8"
"""The jobs that ended well ask for 374 GPUs on average: a hundred nodes of eight are a fleet that is half idle."""

FLEET: Mapping[str, tuple[int, int]] = {
    "A100": (432, 8),
    "H800": (219, 8),
    "series-2": (122, 8),
    "A800": (22, 8),
    "series-1 of 8": (77, 8),
    "series-1 of 4": (10, 4),
    "series-1 of 1": (902, 1),
    "A10": (2_494, 1),
}
"""Nodes and GPUs of each pool: 10,412 GPUs, the inventory of Alibaba's spot trace."""
JOBS, DAYS, LOAD = 467_000, 184, 0.72
WARM_UP_DAYS = 28  # of them; of a shorter time the same part
SPOT_SHARE = 34_282 / 389_447
"""So many of that trace's jobs gave way to the others: the tenants' demand."""
TENANT = TenantId("trace")
_BEGIN_US = 420_768 * HOUR_US


def all_policies(folder: Path, progress: Progress) -> dict[str, Any]:
    """The Philly table under every policy, from the file to the figures."""
    if not (folder / PHILLY).is_file():
        return {"not_measured": f"{PHILLY} is not in {folder}"}
    began = perf_counter()
    question = asked(Files(folder / PHILLY, capacity=(PHILLY_NODES,), options=Options(origin=EXAMPLE_ORIGIN)))
    found = study(question, Wanted(sensitivity=False, judged=()), progress)
    seconds = perf_counter() - began
    return {
        "jobs": sum(len(layout.jobs) for layout in question.layouts),
        "gpus": question.capacity,
        "policies": len(found.fleet),
        "seconds": round(seconds, 1),
        "seconds_at_most": 60,
        "met": seconds < 60,
        "figures": {name: _short(found, name) for name in found.fleet},
    }


def half_year(progress: Progress, *, saturated: bool) -> dict[str, Any]:
    """A generated half year of a fleet of 10,412 GPUs under our policy, with what processes took of memory at most.

    Tenants ask for what the trace marks as theirs, or (`saturated`) for whatever is to be had, which all jobs of the trace
    then come before: that doubles what there is to replay.
    """
    began = perf_counter()
    with Memory() as memory:
        question = generated_question(JOBS, DAYS, saturated=saturated)
        found = study(question, Wanted(policies=(NOTHING, OURS), sensitivity=False, judged=()), progress)
    seconds, peak = perf_counter() - began, memory.peak_gib
    return {
        "owner_jobs": sum(len(layout.jobs) for layout in question.layouts),
        "spot_jobs": sum(len(layout.spot.jobs) for layout in question.layouts),
        "gpus": question.capacity,
        "days": DAYS,
        "seconds": round(seconds, 1),
        "seconds_at_most": 60,
        "peak_gib": round(peak, 2),
        "peak_gib_at_most": 2,
        "met": seconds < 60 and peak < 2,
        "figures": _short(found, OURS),
    }


def growth(progress: Progress) -> dict[str, Any]:
    """The same fleet over a quarter, a half and all of the time: how much more work n jobs are than n log n."""
    rows = []
    for days in (DAYS // 4, DAYS // 2, DAYS):
        number = JOBS * days // DAYS
        began = perf_counter()
        question = generated_question(number, days, saturated=True)
        study(question, Wanted(policies=(NOTHING, OURS), sensitivity=False, judged=()), progress)
        rows.append({"jobs": number, "days": days, "seconds": round(perf_counter() - began, 1)})
    first, last = rows[0], rows[-1]
    n0, n1 = float(first["jobs"]), float(last["jobs"])
    slope = math.log(float(last["seconds"]) / float(first["seconds"])) / math.log(n1 * math.log(n1) / (n0 * math.log(n0)))
    return {"sizes": rows, "exponent_of_n_log_n": round(slope, 3), "exponent_at_most": 1.0, "met": slope <= 1.0}


def generated_question(jobs: int, days: int, *, saturated: bool) -> Question:
    """A question about made-up jobs on the large fleet."""
    total = sum(nodes * gpus for nodes, gpus in FLEET.values())
    layouts = []
    for seed, (name, (nodes, gpus)) in enumerate(FLEET.items()):
        capacity = nodes * gpus
        made = generated(
            jobs * capacity // total, capacity=capacity, node_gpus=gpus, from_us=_BEGIN_US, days=days, load=LOAD, seed=seed
        )
        names = tuple(NodeId(f"{name}-{i:05d}") for i in range(nodes))
        owner, spot = (made, no_jobs()) if saturated else _parted(made, seed)
        layouts.append(PoolLayout(name, name, names, (gpus,) * nodes, owner, Asked(spot, (TENANT,) * len(spot))))
    return Question(
        source=f"generated: {jobs:,} jobs",
        format="generated",
        kind="jobs",
        clock="local",
        rows=jobs,
        layouts=tuple(layouts),
        from_us=_BEGIN_US,
        open_us=_BEGIN_US + days * WARM_UP_DAYS // DAYS * DAY_US,
        until_us=_BEGIN_US + days * DAY_US,
        gaps=(),
        faults=(),
        notes=(),
        costs=Costs(),
        market=Market(),
    )


def _parted(jobs: OwnerJobs, seed: int) -> tuple[OwnerJobs, OwnerJobs]:
    """(the owner's, those that give way)."""
    spot = np.random.default_rng(1_000 + seed).random(len(jobs)) < SPOT_SHARE
    return jobs.of(~spot), jobs.of(spot)


def _short(found: Study, policy: str) -> dict[str, Any]:
    """What a reader wants to see of a policy beside the seconds."""
    figures = found.fleet[policy]
    return {
        "leased_share": round(figures.leased_gpu_h / figures.fleet_gpu_h, 4),
        "captured_of_4h_bound": round(figures.captured[4], 4),
        "reclaims": figures.reclaims,
        "lost_share": round(figures.lost_share, 5),
        "owner_delay_p99_s": figures.delays.p99_s,
        "owner_delay_max_s": figures.delays.max_s,
        "promises_broken": figures.delays.broken,
        "net_per_fleet_gpu_h": round(figures.net_per_gpu_h, 4),
        "conserved": figures.conserved,
    }
