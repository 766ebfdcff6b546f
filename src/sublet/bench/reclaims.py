"""The owner asks for a tenth of a full house at once: how long the choice of those who leave takes, and how good it is."""

from typing import Any

import numpy as np

from sublet.bench.fleet import NODE_GPUS, NOW_US, Size, full_house
from sublet.bench.timing import timed
from sublet.core.ids import JobId, PoolId
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.reclaim import Shortage, make_room, reclaimable
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.terms import Pool
from sublet.core.units import SECOND_US
from sublet.core.values import changed
from sublet.core.view import KeptView

GANGS = 0.1
"""Of the leases of a house with gangs, this share has four nodes."""
SITE = Pool(PoolId("any"), "any").site
GANG_NODES = 75
"""The owner asks for a gang of so many nodes in each pool of a full house: a tenth of the fleet."""


def closed(view: KeptView, site: Site | None = None) -> KeptView:
    """The same with no market held: the owner's jobs and what time brings. `site`: what the place of all pools bears."""
    pools = tuple(changed(pool, closed=True, site=site) for pool in view.pools)
    return KeptView(pools, tuple(view.standing(pool.pool.id) for pool in pools), view.tenants)


def reclaim(size: Size) -> dict[str, Any]:
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
    view = closed(house, site)
    jobs = [gang(one.pool.id) for one in view.pools]
    found = who_leaves(view, jobs)
    leave = timed(lambda: who_leaves(view, jobs), 20)
    for job in jobs:
        view.standing(job.pool).put_job(job)
    plan = decide(view, now=NOW_US + SECOND_US, explain=False)
    whole = timed(lambda: decide(view, now=NOW_US + SECOND_US, explain=False), 20)
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


def gang(pool: PoolId) -> OwnerJob:
    """What the owner asks of a pool."""
    return OwnerJob(
        id=JobId(f"{pool}-asked"),
        pool=pool,
        name="",
        gpus=GANG_NODES * NODE_GPUS,
        nodes=GANG_NODES,
        submitted_us=NOW_US,
        since_us=NOW_US,
    )


def who_leaves(view: KeptView, jobs: list[OwnerJob]) -> list[Shortage]:
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
