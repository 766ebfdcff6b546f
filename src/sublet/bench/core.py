"""`sublet bench core`: how long deciding takes for a fleet of a given size, part by part and as whole rounds.

Nothing is applied by an engine or a database: it is the decisions that are measured. The machine's own memory bandwidth is
measured in the same run, so that "how far from the limit" is a ratio.
"""

import math
import os
import platform
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from sublet.bench import blocks, rebalance
from sublet.bench.fleet import NODE_GPUS, NOW_US, Size, fleet, full_house
from sublet.bench.placements import growth, is_met, placements
from sublet.bench.progress import Progress
from sublet.bench.quality import quality
from sublet.core import lifecycle
from sublet.core.ids import JobId, PoolId
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.plan import Plan
from sublet.core.pricing import PRICING, Bids, Market
from sublet.core.reclaim import Shortage, make_room, reclaimable
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.terms import Pool
from sublet.core.units import SECOND_US
from sublet.core.values import changed
from sublet.core.view import KeptView

SIZES = (6_000, 60_000, 600_000)
ROUNDS = 20
BIDS = 100_000
GANGS = 0.1
"""Of the leases of a house with gangs, this share has four nodes."""
SITE = Pool(PoolId("any"), "any").site
GANG_NODES = 75
"""The owner asks for a gang of so many nodes in each pool of a full house: a tenth of the fleet."""


def measure(gpus: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """Everything for a fleet of so many GPUs, and what the same takes for fleets of a tenth and a hundredth."""
    sizes = sorted({size for size in SIZES if size < gpus} | {gpus})
    found, handed_out = [], []
    for i, size in enumerate(sizes):
        progress(f"{size:,} GPUs", 0.5 * i / len(sizes))
        found.append(_of_size(Size().of(size), rounds))
        handed_out.append(placements(size))
    largest = found[-1]
    weeks = quality(progress=lambda what, share: progress(what, 0.5 + 0.5 * share))
    return {
        "benchmark": "core",
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "memory_gb_s": round(_bandwidth(), 1)},
        **largest,
        "clearing": _clearing(),
        "blocks": blocks.measure(),
        "rebalance": rebalance.measure(),
        "growth": [
            {"gpus": one["gpus"], "round_ms": one["round"]["median_ms"], "reclaim_ms": one["reclaim"]["median_ms"]}
            for one in found
        ],
        "exponents": _exponents(found) if len(found) > 1 else None,
        "placements": _placements(handed_out),
        "quality": weeks,
    }


def _placements(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Grants a second at each size; for the largest also with all nodes in one pool."""
    largest = found[-1]["gpus"]
    return {
        "by_size": found,
        "in_one_pool": placements(largest, nodes_a_pool=largest // NODE_GPUS),
        "exponents": growth(found) if len(found) > 1 else None,
        "met": is_met(found[-1]),
    }


def _of_size(size: Size, rounds: int) -> dict[str, Any]:
    process = psutil.Process()
    before = process.memory_info().rss
    view = fleet(size)
    held = process.memory_info().rss - before
    decide(view, now=NOW_US, explain=False)  # what is compiled or read from the cache is not measured
    return {
        "gpus": size.gpus,
        "pools": len(view.pools),
        "leases": sum(len(view.standing(one.pool.id).leases) for one in view.pools),
        "memory_mb": round(held / 1e6),
        "round": _rounds(view, rounds),
        "told_why": _timed(lambda: decide(view, now=NOW_US + 2 * SECOND_US), 3),
        "nobody_asks": _timed(lambda: decide(_closed(view), now=NOW_US + 2 * SECOND_US, explain=False), 10),
        "reclaim": _reclaim(size),
    }


def _rounds(view: KeptView, rounds: int) -> dict[str, Any]:
    """Whole rounds of the market; each grants, and what it granted starts and is gone before the next."""
    seconds, grants = [], 0
    for i in range(rounds):
        now = NOW_US + i * SECOND_US
        began = perf_counter()
        plan = decide(view, now=now, explain=False)
        seconds.append(perf_counter() - began)
        grants += len(plan.grants)
        if i % 2 == 0:
            _grant_some(view, plan, now)
    return _spread(seconds) | {"grants_a_round": grants // rounds}


def _grant_some(view: KeptView, plan: Plan, now: int) -> None:
    """A thousandth of what was granted becomes leases: the next round finds another fleet."""
    for grant in plan.grants[::1_000]:
        for pool in view.pools:
            standing = view.standing(pool.pool.id)
            lease = standing.leases.get(grant.lease)
            if lease is not None:
                standing.put_lease(lifecycle.ordered(lease, grant, at_us=now, funded_until_us=grant.funded_until_us))
                break


def _closed(view: KeptView, site: Site | None = None) -> KeptView:
    """The same with no market held: the owner's jobs and what time brings. `site`: what the place of all pools bears."""
    pools = tuple(changed(pool, closed=True, site=site) for pool in view.pools)
    return KeptView(pools, tuple(view.standing(pool.pool.id) for pool in pools), view.tenants)


def _reclaim(size: Size) -> dict[str, Any]:
    """The owner asks for a tenth of a full house at once, a gang in each pool.

    Three times: all leases lie on one node each; a tenth of them are gangs on four nodes, which no choice of victims gets
    exactly right; and those again where the site bears only a part of it at once.
    """
    bounded = Site(SITE, ramp_kw_per_min=max(1, size.gpus // 120), save_gb_s=max(1, size.gpus // 75))
    return _reclaimed(full_house(size)) | {
        "with_gangs": _reclaimed(full_house(size, gangs=GANGS)),
        "staggered": _reclaimed(full_house(size, gangs=GANGS), bounded),
    }


def _reclaimed(house: KeptView, site: Site | None = None) -> dict[str, Any]:
    """Who has to leave, when, and where the gangs will run; and the whole round, which plans what each of them is told."""
    view = _closed(house, site)
    jobs = [_gang(one.pool.id) for one in view.pools]
    found = _who_leaves(view, jobs)
    leave = _timed(lambda: _who_leaves(view, jobs), 20)
    for job in jobs:
        view.standing(job.pool).put_job(job)
    plan = decide(view, now=NOW_US + SECOND_US, explain=False)
    whole = _timed(lambda: decide(view, now=NOW_US + SECOND_US, explain=False), 20)
    victims = sum(len(one.victims) for one in found)
    loss, bound = sum(one.loss_micro for one in plan.reclaims), sum(one.bound_micro for one in plan.reclaims)
    last_us = max(max(one.deadlines_us) for one in plan.reclaims)
    return leave | {
        "leases": sum(len(view.standing(one.pool.id).leases) for one in view.pools),
        "gpus_asked_for": sum(job.gpus for job in jobs),
        "leases_that_end": victims,
        "jobs_served": sum(one.placement is not None for one in found),
        "whole_round_ms": whole["median_ms"],
        "whole_round_best_ms": whole["best_ms"],
        "same_in_the_round": sum(map(len, plan.reclaims)) == victims,
        "loss_to_bound": round(loss / bound, 4),
        "worst_pool": round(max(one.loss_micro / one.bound_micro for one in plan.reclaims), 4),
        "last_deadline_s": (last_us - plan.at_us) / SECOND_US,
        "told_later": len(plan.dated),
    }


def _gang(pool: PoolId) -> OwnerJob:
    return OwnerJob(
        id=JobId(f"{pool}-asked"),
        pool=pool,
        name="",
        gpus=GANG_NODES * NODE_GPUS,
        nodes=GANG_NODES,
        submitted_us=NOW_US,
        since_us=NOW_US,
    )


def _who_leaves(view: KeptView, jobs: list[OwnerJob]) -> list[Shortage]:
    """The shortage of each job, had it alone asked."""
    found = []
    for job in jobs:
        standing = view.standing(job.pool)
        due_us, nominal = NOW_US + standing.pool.promise.within_us, np.zeros(len(standing.tenants), np.int64)
        who = reclaimable(standing, now_us=NOW_US + SECOND_US, due_us=due_us, forced=False, nominal=nominal)
        free = standing.free | (standing.coming & standing.fit)
        future = Room(standing.nodes, standing.fit, free, standing.row_of, standing.topology)
        before = standing.fit & ~standing.owner
        found.append(make_room(job, future, who, standing.held.keys, before=before, sharers=len(jobs)))
    return found


def _clearing() -> dict[str, Any]:
    """One clearing of a hundred thousand bids."""
    rng = np.random.default_rng(0)
    bids = Bids(rng.integers(500_000, 3_000_000, BIDS), rng.choice((1, 2, 4, 8), BIDS).astype(np.int64))
    market = Market(180_000, 150_000, 1_600_000, 1_600_000, 2_000, may_move=True)
    return _timed(lambda: PRICING["uniform"](bids, market), 30) | {"bids": BIDS}


def _bandwidth() -> float:
    """Bytes read and written a second by a copy of 256 MB, in GB."""
    source = np.ones(1 << 25)
    target = np.empty_like(source)
    best = min(_seconds(lambda: np.copyto(target, source)) for _ in range(5))
    return 2 * source.nbytes / best / 1e9


def _timed(what: Callable[[], Any], times: int) -> dict[str, Any]:
    return _spread([_seconds(what) for _ in range(times)])


def _seconds(what: Callable[[], Any]) -> float:
    began = perf_counter()
    what()
    return perf_counter() - began


def _spread(seconds: list[float]) -> dict[str, Any]:
    return {
        "median_ms": round(statistics.median(seconds) * 1e3, 2),
        "best_ms": round(min(seconds) * 1e3, 2),
        "worst_ms": round(max(seconds) * 1e3, 2),
        "times": len(seconds),
    }


def _exponents(found: list[dict[str, Any]]) -> dict[str, float]:
    """How time grows with the fleet: 1 is in proportion."""
    first, last = found[0], found[-1]
    grown = math.log(last["gpus"] / first["gpus"])
    return {
        part: round(math.log(last[part]["median_ms"] / first[part]["median_ms"]) / grown, 2) for part in ("round", "reclaim")
    }
