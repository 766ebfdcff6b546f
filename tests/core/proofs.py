"""What every round of every history has to keep: checks of one plan against the view it was made from.

Each check is written against the complaint it answers, and takes no word of the core for it: rooms, covers and sums are
worked out here once more, the slow way.
"""

from collections import Counter, defaultdict

import numpy as np
from builders import node
from world import gpus

from sublet.core.fleet import Placement
from sublet.core.ids import NodeId
from sublet.core.lease import HELD, Cause, Lease, LeaseClass, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.plan import JobStart, Kept, Notice, Plan
from sublet.core.pricing.floor import risk_share
from sublet.core.supply import published_floor
from sublet.core.terms import Breaking
from sublet.core.view import View

Gpu = tuple[str, int]


def fits(free: set[Gpu], job: OwnerJob) -> bool:
    """Whether a gang fits free GPUs, by counting."""
    by_node = Counter(where for where, _ in free)
    return sum(n >= job.gpus_per_node for n in by_node.values()) >= job.nodes


def usable(view: View) -> set[Gpu]:
    fleet = view.fleet
    return {
        (fleet.nodes[row], bit)
        for row in range(len(fleet.nodes))
        for bit in range(int(fleet.slots[row]).bit_length())
        if not fleet.unfit[row] and int(fleet.slots[row]) >> bit & 1
    }


def holders(view: View) -> list[Lease | OwnerJob]:
    """Everyone; a waiting job holds nothing yet, though GPUs are kept for it."""
    return [*view.leases, *(x for x in view.jobs if x.state is not JobState.WAITING)]


def held(view: View) -> set[Gpu]:
    everyone = [x for x in holders(view) if isinstance(x, OwnerJob) or x.state in HELD]
    return {gpu for holder in everyone for gpu in gpus(holder.placement)}


def coming(view: View) -> set[Gpu]:
    """Free, or on its way back without a further decision."""
    ending = {State.NOTICED, State.STOPPING, State.HANDOVER, JobState.STOPPING, JobState.HANDOVER}
    dated = [x for x in view.leases if x.notice_at_us is not None and x.state in HELD]
    back = {gpu for x in [*holders(view), *dated] if x.state in ending or x in dated for gpu in gpus(x.placement)}
    return usable(view) & (back | (usable(view) - held(view)))


def for_jobs(plan: Plan) -> list[JobStart | Kept]:
    return [*plan.job_starts, *plan.kept]


def gives_only_what_is_free_and_clean(view: View, plan: Plan) -> None:
    """Nodes are held until the end is confirmed (ROCm/spur#871, #881); a GPU is not offered while its lease lingers
    (akash-network/support#430). No GPU is given twice."""
    free = usable(view) - held(view)
    given = [start.placement for start in plan.job_starts] + [grant.placement for grant in plan.grants]
    for placement in given:
        assert gpus(placement) <= free
        free -= gpus(placement)


def gangs_are_whole(view: View, plan: Plan) -> None:
    """All or nothing; whole nodes where the access needs them."""
    leases, jobs = {x.id: x for x in view.leases}, {x.id: x for x in view.jobs}
    sizes = dict(zip(view.fleet.nodes, (int(s).bit_count() for s in view.fleet.slots), strict=True))
    asked: list[tuple[Lease | OwnerJob, Placement]] = [(leases[g.lease], g.placement) for g in plan.grants]
    asked += [(jobs[s.job], s.placement) for s in for_jobs(plan)]
    for holder, placement in asked:
        assert len({where for where, _ in placement}) == holder.nodes
        assert all(mask.bit_count() == holder.gpus_per_node for _, mask in placement)
        if isinstance(holder, Lease) and holder.whole_nodes:
            assert all(mask.bit_count() == sizes[where] for where, mask in placement)


def reclaims_respect_contracts(view: View, plan: Plan) -> None:
    """A minimum run time before a reclaim (kubernetes-sigs/kueue#9876, NVIDIA/KAI-Scheduler#136) and a grace period for
    victims (KAI-Scheduler#1832): a deadline is never inside the exempt window, nor before the notice's length has passed."""
    pool, leases, jobs = view.pools[0].pool, {x.id: x for x in view.leases}, {x.id: x for x in view.jobs}
    taken: Counter[str] = Counter()
    for notice in [n for n in plan.announced if n.cause is Cause.RECLAIMED]:
        lease = leases[notice.lease]
        assert lease.notice_at_us is not None and plan.at_us >= lease.notice_at_us, "it was dated, and is told in its turn"
        assert notice.deadline_us >= max(lease.exempt_until_us, plan.at_us + lease.grace_us)
    for told_us, notice in (ending for one in plan.reclaims for ending in one.endings()):
        lease, job = leases[notice.lease], jobs[notice.job or ""]  # type: ignore[index]
        breaking = pool.terms[lease.lease_class].breaking
        assert lease.state in {State.RESERVED, State.STARTING, State.ACTIVE}, "a lease is reclaimed once"
        assert lease.notice_at_us is None and told_us >= plan.at_us
        assert breaking is not Breaking.NEVER and (job.forced or breaking is not Breaking.FORCE)
        assert notice.deadline_us >= max(lease.exempt_until_us, told_us + lease.grace_us)
        taken["forced" if job.forced else "free"] += lease.gpus
    assert pool.reclaim_limit is None or taken["free"] <= pool.reclaim_limit


def every_eviction_is_needed_and_used(view: View, plan: Plan) -> None:
    """Evicting more than needed (kueue#10131), pods that do not help (volcano-sh/volcano#4918), plans that are not sticky
    (SchedMD/slurm PR 203), several small victims that cannot be combined (volcano#4151): without any one victim the job would
    not fit, with all of them it does, and nobody is evicted for a job whose GPUs are already on their way."""
    leases, waiting = {x.id: x for x in view.leases}, [x for x in view.jobs if x.state is JobState.WAITING]
    victims: dict[str, list[Notice]] = defaultdict(list)
    for _, notice in (ending for one in plan.reclaims for ending in one.endings()):
        victims[notice.job or ""].append(notice)
    room = coming(view)
    alone = usable(view) - {gpu for x in holders(view) if isinstance(x, OwnerJob) for gpu in gpus(x.placement)}
    refused = any(alarm.kind == "reclaim.over_limit" for alarm in plan.alarms)  # then GPUs are held back that no item names
    old = {job.id: gpus(job.placement) for job in waiting if job.placement and gpus(job.placement) <= coming(view)}
    new = {item.job: gpus(item.placement) for item in for_jobs(plan)}
    for job in waiting:
        theirs = set().union(*(place for other, place in old.items() if other != job.id))
        if job.id in victims:
            assert job.id not in old, "a second wave for GPUs that are already coming"
            assert fits(alone - theirs, job), "a job that waits for the owner's own work evicts nobody"
            gains = {n.lease: gpus(leases[n.lease].placement) & usable(view) for n in victims[job.id]}
            for spared in () if refused else gains:
                assert not fits((room | set().union(*(g for name, g in gains.items() if name != spared))) - theirs, job)
            room |= set().union(*gains.values())
            assert fits(room - theirs, job)
            assert new[job.id] <= room - theirs
            assert all(gain & new[job.id] for gain in gains.values()) or job.nodes > 1
        old.pop(job.id, None)
        mine = new.get(job.id) or (gpus(job.placement) if job.placement and gpus(job.placement) <= room - theirs else set())
        room, alone = room - mine, alone - mine


def money_and_limits_hold(view: View, plan: Plan) -> None:
    """Budgets that are not enforced (BerriAI/litellm#11962, #23714): the holds of a plan never pass what a tenant may spend.
    Quota, lending limit and reserve bound what is lent."""
    seen, leases = view.pools[0], {x.id: x for x in view.leases}
    holds, lent, holding = Counter[str](), Counter[LeaseClass](), Counter[str]()
    for lease in view.leases:
        if lease.state in HELD:
            lent[lease.lease_class] += lease.gpus
            holding[lease.tenant] += lease.gpus
    before = sum(lent.values())
    for grant in plan.grants:
        lease = leases[grant.lease]
        holds[lease.tenant] += grant.hold_micro
        lent[lease.lease_class] += lease.gpus
        holding[lease.tenant] += lease.gpus
        assert plan.at_us >= lease.not_before_us, "granted during its back-off"
        assert grant.exempt_until_us == plan.at_us + seen.pool.terms[lease.lease_class].exempt_us
    for name, hold in holds.items():
        tenant = view.tenants[name]  # type: ignore[index]
        limit = tenant.quota(seen.pool.id).limit
        assert tenant.headroom_micro is None or hold <= tenant.headroom_micro
        assert limit is None or holding[name] <= limit
    new = sum(lent.values()) - before
    assert not new or seen.pool.lending_limit is None or before + new <= seen.pool.lending_limit
    kept = {gpu for item in for_jobs(plan) for gpu in gpus(item.placement)}
    reserve = plan.reserves[0].gpus if plan.reserves else seen.reserve
    assert not new or new <= len(usable(view) - held(view) - kept) - reserve


def nobody_waits_for_room_that_is_there(view: View, plan: Plan) -> None:
    """GPUs left idle though a job fits: who is told that there is no room would not fit what the round leaves free."""
    if any(alarm.kind == "reclaim.over_limit" for alarm in plan.alarms):
        return  # GPUs are held back that no item names
    free = usable(view) - held(view)
    placed = [job.placement for job in view.jobs if job.state is JobState.WAITING] + [item.placement for item in for_jobs(plan)]
    for placement in [*placed, *(grant.placement for grant in plan.grants)]:
        free -= gpus(placement)
    by_node, granted, waits = (
        Counter(where for where, _ in free),
        {x.lease for x in plan.grants},
        {x.lease: x for x in plan.waits},
    )
    sizes = dict(zip(view.fleet.nodes, (int(s).bit_count() for s in view.fleet.slots), strict=True))
    for lease in view.leases:
        said = waits[lease.id].reason if lease.id in waits else ""
        if lease.id not in granted and ("together on one node" in said or "whole node" in said or "other winners" in said):
            need, whole = lease.gpus_per_node, lease.whole_nodes
            fitting = [where for where, n in by_node.items() if (n == need == sizes[NodeId(where)] if whole else n >= need)]
            assert len(fitting) < lease.nodes


def one_price_and_nobody_above_the_bid(view: View, plan: Plan) -> None:
    """One price a pool and round, at least the published floor, moving within its bounds, and for nobody above the bid."""
    seen, leases = view.pools[0], {x.id: x for x in view.leases}
    floor = published_floor(seen).total_micro
    price = max(seen.price_micro, floor, seen.pool.price_micro if seen.pool.pricing == "fixed" else 0)
    for item in plan.prices:
        price = item.price_micro
        assert price >= floor == item.floor_micro
        assert plan.at_us - seen.price_at_us >= seen.pool.price_period_us
        step = max(1, seen.price_micro * seen.pool.smoothing_bps // 10_000)
        free = seen.pool.pricing == "fixed" or not seen.pool.smoothing_bps
        assert free or abs(price - seen.price_micro) <= step or price == floor
    lent = sum(x.gpus for x in view.leases if x.state in HELD and x.lease_class is LeaseClass.GUARDED)
    capacity = len(usable(view))
    for grant in plan.grants:
        lease = leases[grant.lease]
        terms, ahead = seen.pool.terms[lease.lease_class], seen.forecasts.get(lease.term_us or seen.pool.hold_us)
        share = risk_share(terms, ahead.exceeds(capacity - lent - 1)) if ahead else 0
        assert grant.price_micro == min(int(price * (1 + share)), lease.bid_micro)


def plans_explain_themselves(view: View, plan: Plan) -> None:
    """Nothing is decided without a reason."""
    for group in (
        plan.job_starts,
        plan.kept,
        plan.notices,
        plan.moves,
        plan.grants,
        plan.waits,
        plan.prices,
        plan.reserves,
        plan.alarms,
    ):
        assert all(item.reason for item in group)


def the_view_is_untouched(view: View, again: View) -> None:
    """Deciding changes nothing it was given."""
    assert (view.pools, view.jobs, view.leases, view.tenants) == (again.pools, again.jobs, again.leases, again.tenants)
    for name in ("slots", "owner", "leased", "down", "unfit", "pool"):
        assert np.array_equal(getattr(view.fleet, name), getattr(again.fleet, name))


ROUND_CHECKS = (
    gives_only_what_is_free_and_clean,
    gangs_are_whole,
    reclaims_respect_contracts,
    every_eviction_is_needed_and_used,
    money_and_limits_hold,
    nobody_waits_for_room_that_is_there,
    one_price_and_nobody_above_the_bid,
    plans_explain_themselves,
)

__all__ = ["ROUND_CHECKS", "fits", "node", "the_view_is_untouched"]
