"""Step one of a round: the owner's waiting jobs get what is free, and leases end for what they lack."""

from sublet.core.cover import Victim
from sublet.core.draft import Draft, Ground
from sublet.core.fleet import gpus_of
from sublet.core.lease import Cause, Lease
from sublet.core.owner import OwnerJob
from sublet.core.plan import Alarm, Entitled, JobStart, Kept, Notice
from sublet.core.reclaim import RECLAIMABLE, Shortage, make_room, victim_of
from sublet.core.view import View


def serve_owner(view: View, ground: Ground, draft: Draft) -> None:
    """Start, or reclaim for, each waiting job of the owner, oldest first.

    A job that would not fit even if nothing were leased waits for the owner's own work, and nothing is reclaimed for it.
    GPUs that wait for a job's others to come back are taken out of the market and stay that job's over the rounds: every
    eviction serves the job it was made for.
    """
    borrowed = _borrowers(view, ground)
    budget = ground.view.pool.reclaim_limit
    kept = {job.id: ground.give(job.placement) for job in ground.waiting_jobs if _still_comes(job, ground)}
    for job in ground.waiting_jobs:
        if job.id in kept:
            ground.put_back(kept[job.id])
        elif ground.alone.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes) is None:
            continue
        entitled = job.entitled_us
        if entitled is None:
            entitled = min(draft.now_us, max(job.submitted_us, ground.view.owner_freed_us))
            draft.entitled.append(Entitled(job.id, entitled))
        found = ground.now.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes)
        if found is not None:
            draft.job_starts.append(JobStart(job.id, job.version, found, "GPUs are free"))
            ground.give(found)
        elif job.id in kept:
            ground.give(job.placement)
        else:
            shortage = make_room(job, ground.future, _victims(ground, draft, job, entitled, borrowed))
            budget = _reclaim(ground, draft, shortage, budget)


def _still_comes(job: OwnerJob, ground: Ground) -> bool:
    """Whether the GPUs kept for a waiting job are still free or on their way back, all of them."""
    return bool(job.placement) and ground.future.has(job.placement)


def _reclaim(ground: Ground, draft: Draft, shortage: Shortage, budget: int | None) -> int | None:
    """Give notice to a shortage's victims within the safety limit; what is left of the limit."""
    job, placement = shortage.job, shortage.placement
    if placement is None:
        reason = f"owner job {job.id} needs {job.gpus} GPUs and no reclaim within the contracts makes room; force may"
        draft.alarms.append(Alarm("promise.at_risk", job.pool, reason))
        ground.alone.drop(ground.alone.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes) or ())
        return budget
    gpus = sum(victim.lease.gpus for victim in shortage.victims)
    if budget is not None and gpus > budget and not job.forced:
        reason = (
            f"owner job {job.id} needs a reclaim of {gpus} GPUs, over the safety limit of "
            f"{ground.view.pool.reclaim_limit} a round; raise the limit or submit it with force"
        )
        draft.alarms.append(Alarm("reclaim.over_limit", job.pool, reason))
        ground.give(placement)  # what is free of it is not lent: the reclaim must not grow while it waits for a person
        return budget
    for victim in shortage.victims:
        draft.notices.append(_notice(draft, job, victim))
        ground.noticed.add(victim.lease.id)
        ground.future.add(victim.lease.placement)
    ground.give(placement)
    draft.kept.append(Kept(job.id, placement, f"kept for it; {len(shortage.victims)} leases end to free them"))
    return None if budget is None else max(0, budget - gpus)


def _notice(draft: Draft, job: OwnerJob, victim: Victim) -> Notice:
    lease = victim.lease
    wait_s = (victim.deadline_us - draft.now_us) / 1e6
    reason = (
        f"the owner's job {job.id} needs {job.gpus} GPUs; ending this lease in {wait_s:g} s loses least "
        f"({victim.loss_micro / 1e6:.6f}{', after the promised time' if victim.late else ''})"
    )
    return Notice(lease.id, draft.version(lease), Cause.RECLAIMED, victim.deadline_us, reason, job.id, victim.loss_micro)


def _victims(ground: Ground, draft: Draft, job: OwnerJob, entitled_us: int, borrowed: set[str]) -> list[Victim]:
    due = entitled_us + ground.view.pool.promise.within_us
    found = []
    for lease in ground.leases:
        if lease.state not in RECLAIMABLE or lease.id in ground.noticed:
            continue
        victim = victim_of(
            ground.view.pool, lease, now_us=draft.now_us, due_us=due, forced=job.forced, borrowed=lease.id in borrowed
        )
        if victim is not None:
            found.append(victim)
    return found


def _borrowers(view: View, ground: Ground) -> set[str]:
    """Leases by which their tenants hold more than their nominal quota, newest first."""
    held: dict[str, list[Lease]] = {}
    for lease in ground.held_leases:
        held.setdefault(lease.tenant, []).append(lease)
    over: set[str] = set()
    for leases in held.values():
        tenant = view.tenants.get(leases[0].tenant)
        nominal = tenant.quota(ground.view.pool.id).nominal if tenant else 0
        excess = sum(gpus_of(lease.placement) for lease in leases) - nominal
        for lease in sorted(leases, key=lambda lease: -(lease.granted_us or 0)):
            if excess <= 0:
                break
            over.add(lease.id)
            excess -= lease.gpus
    return over
