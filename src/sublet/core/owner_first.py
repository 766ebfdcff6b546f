"""Step one of a round: the owner's waiting jobs get what is free, and leases end for what they lack."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sublet.core.draft import Draft, Ground
from sublet.core.ids import JobId, LeaseId
from sublet.core.kernels.cover import free_up
from sublet.core.owner import OwnerJob
from sublet.core.placement import can_ever_fit
from sublet.core.plan import Alarm, Entitled, JobStart, Kept, Reclaim
from sublet.core.reclaim import Shortage, make_room, reclaimable
from sublet.core.topology import REACH, Within
from sublet.core.view import AnyView

Shape = tuple[int, int, int]
"""GPUs on each node, nodes, and how far apart these may be (`REACH`)."""


def _shape_of(job: OwnerJob) -> Shape:
    return job.gpus_per_node, job.nodes, REACH[job.within if job.nodes > 1 else Within.SITE]


def serve_owner(view: AnyView, ground: Ground, draft: Draft, *, sharers: int = 1) -> None:
    """Start, or reclaim for, each waiting job of the owner, oldest first.

    `sharers`: for so many jobs in all pools the round may have to choose whom to end.

    A job that would not fit even if nothing were leased waits for the owner's own work, and nothing is reclaimed for it.
    GPUs that wait for a job's others to come back are taken out of the market and stay that job's over the rounds: every
    eviction serves the job it was made for.
    """
    if ground.standing.waiting:
        serving = _Serving(view, ground, draft, sharers)
        for job in ground.standing.waiting.values():
            serving.serve(job)


class _Serving:
    """The owner's queue in one round. Shapes that were seen not to fit are not tried again while nothing came free."""

    def __init__(self, view: AnyView, ground: Ground, draft: Draft, sharers: int) -> None:
        """What is kept for a waiting job, and is still free or on its way back, is out of the others' reach."""
        self.view, self.ground, self.draft = view, ground, draft
        self.sharers = sharers
        self.budget = ground.view.pool.reclaim_limit
        self.hopeless: set[Shape] = set()  # does not fit even if nothing were leased; nor does any larger one
        self.nowhere: set[Shape] = set()  # does not fit what is free now
        waiting = ground.standing.waiting
        self.kept: set[JobId] = set()
        if ground.standing.placeless == len(waiting):
            return
        if ground.keeps_all():
            self.kept = {job.id for job in waiting.values() if job.placement}
            ground.withhold(ground.standing.kept)
        else:
            for job in waiting.values():
                if job.placement and ground.future.has(job.placement):
                    self.kept.add(job.id)
                    ground.give(job.placement)

    @cached_property
    def nominal(self) -> npt.NDArray[np.int64]:
        """int64[tenants]: the nominal quota of each tenant, by its number."""
        known, pool = [self.view.tenants.get(tenant) for tenant in self.ground.standing.tenants], self.ground.view.pool.id
        return np.array([tenant.quota(pool).nominal if tenant and tenant.quotas else 0 for tenant in known], np.int64)

    def _evictions_left(self) -> npt.NDArray[np.int64] | None:
        """int64[tenants]: evictions that each tenant has left before its leases go last; None: the pool does not bound them."""
        pool, standing = self.ground.view.pool, self.ground.standing
        if pool.evictions_per_tenant is None:
            return None
        known = [self.view.tenants.get(tenant) for tenant in standing.tenants]
        had = [(tenant.evictions or {}).get(pool.id, 0) if tenant else 0 for tenant in known]
        now = np.bincount(standing.held.rows["tenant"][self.ground.noticed], minlength=len(known))
        left: npt.NDArray[np.int64] = pool.evictions_per_tenant - np.array(had, np.int64) - now
        return left

    def serve(self, job: OwnerJob) -> None:
        """Start it, leave it what is kept for it, or reclaim for it."""
        ground, shape = self.ground, _shape_of(job)
        kept = job.id in self.kept
        if kept:
            if job.is_elsewhere or self._has_to_wait(job, shape):
                return
            ground.restore(job.placement)
        elif self._is_hopeless(shape):
            return
        found = ground.now.find(gpus_per_node=shape[0], nodes=shape[1], before=ground.alone.free, within=job.within)
        if found is None and not kept and self._has_no_chance(job, shape):
            return
        entitled = job.entitled_us
        if entitled is None:
            entitled = min(self.draft.now_us, max(job.submitted_us, ground.view.owner_freed_us))
            self.draft.entitled.append(Entitled(job.id, entitled))
        if found is not None and job.is_elsewhere:
            self.draft.kept.append(Kept(job.id, found, "GPUs are free for it; its own scheduler starts it"))
            ground.give(found)
        elif found is not None:
            self.draft.job_starts.append(JobStart(job.id, job.version, found, "GPUs are free"))
            ground.give(found)
            if kept:  # what was kept for it and not used is there for the others
                self.hopeless.clear()
                self.nowhere.clear()
        elif kept:
            ground.give(job.placement)
        else:
            due_us = entitled + ground.view.pool.promise.within_us
            shortage = self._shortage(job, due_us)
            self.budget = _reclaim(ground, self.draft, shortage, due_us, self.budget)

    def _has_to_wait(self, job: OwnerJob, shape: Shape) -> bool:
        """Whether it is certain that a job for which GPUs are kept cannot start yet, neither there nor elsewhere."""
        if shape not in self.nowhere:
            if self.ground.now.find(gpus_per_node=shape[0], nodes=shape[1], within=job.within) is not None:
                return False
            self.nowhere.add(shape)
        back = self.ground.free_of(job.placement)
        if not back:
            return True
        if shape[1] > 1:
            return False  # some of its nodes may be there already, and others elsewhere
        ((node, mask),) = back
        return (self.ground.now.free_on(node) | mask).bit_count() < shape[0]

    def _is_hopeless(self, shape: Shape) -> bool:
        """Whether it was seen in this round that not even a smaller or looser shape would fit if nothing were leased."""
        if shape in self.hopeless:
            return True
        return any(shape[0] >= per_node and shape[1] >= nodes and shape[2] <= reach for per_node, nodes, reach in self.hopeless)

    def _has_no_chance(self, job: OwnerJob, shape: Shape) -> bool:
        """Whether it would not fit even if nothing were leased."""
        domain = self.ground.standing.topology.domain(job.within, job.nodes)
        if can_ever_fit(self.ground.alone.free, gpus_per_node=shape[0], nodes=shape[1], whole=False, domain=domain):
            return False
        self.hopeless.add(shape)
        return True

    def _shortage(self, job: OwnerJob, due_us: int) -> Shortage:
        """What it lacks, and the leases that end for it."""
        ground, standing = self.ground, self.ground.standing
        who = reclaimable(
            standing,
            now_us=self.draft.now_us,
            due_us=due_us,
            forced=job.forced,
            nominal=self.nominal,
            budget=self._evictions_left(),
            spared=ground.noticed,
        )
        return make_room(job, ground.future, who, standing.held.keys, before=ground.alone.free, sharers=self.sharers)


def _reclaim(ground: Ground, draft: Draft, shortage: Shortage, due_us: int, budget: int | None) -> int | None:
    """Give notice to a shortage's victims within the safety limit; what is left of the limit."""
    job, placement = shortage.job, shortage.placement
    if placement is None:
        near = "" if job.within is Within.SITE else f" within one {job.within}"
        reason = f"owner job {job.id} needs {job.gpus} GPUs{near} and no reclaim within the contracts makes room; force may"
        draft.alarms.append(Alarm("promise.at_risk", job.pool, reason))
        alone = ground.alone.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes, within=job.within)
        ground.alone.drop(alone or ())
        return budget
    gpus = shortage.victims.gpus
    if budget is not None and gpus > budget and not job.forced:
        reason = (
            f"owner job {job.id} needs a reclaim of {gpus} GPUs, over the safety limit of "
            f"{ground.view.pool.reclaim_limit} a round; raise the limit or submit it with force"
        )
        draft.alarms.append(Alarm("reclaim.over_limit", job.pool, reason))
        ground.give(placement)  # what is free of it is not lent: the reclaim must not grow while it waits for a person
        return budget
    standing, future = ground.standing, ground.future
    if len(shortage.victims):
        draft.reclaims.append(_reclaim_of(ground, draft, shortage, due_us))
        ground.noticed[shortage.victims.rows] = True
    free_up(standing.holds.rows, shortage.victims.rows, len(standing.held.rows), future.free, future.slots)
    ground.give(placement)
    draft.kept.append(Kept(job.id, placement, f"kept for it; {len(shortage.victims)} leases end to free them"))
    return None if budget is None else max(0, budget - gpus)


def _reclaim_of(ground: Ground, draft: Draft, shortage: Shortage, due_us: int) -> Reclaim:
    """The ends of a shortage's victims as an item of the plan: each is told now."""
    job, who, rows = shortage.job, shortage.victims.who, shortage.victims.rows
    losses, deadlines = who.loss_micro[rows].tolist(), who.deadline_us[rows].copy()
    for i in np.flatnonzero(who.rows["ends_us"][rows] < deadlines):  # a notice does not outlast what it ends
        ends_us = ground.standing.leases[LeaseId(shortage.victims.names[rows[i]])].ends_us
        deadlines[i] = min(int(deadlines[i]), max(draft.now_us, int(deadlines[i]) if ends_us is None else ends_us))
    return Reclaim(
        job=job.id,
        pool=job.pool,
        at_us=draft.now_us,
        due_us=due_us,
        gpus=job.gpus,
        leases=tuple(shortage.victims.leases),
        versions=tuple(who.rows["version"][rows].tolist()),
        notices_us=(draft.now_us,) * len(rows),
        deadlines_us=tuple(deadlines.tolist()),
        losses_micro=tuple(losses),
        late=tuple(who.late[rows].tolist()),
        loss_micro=sum(losses),
        bound_micro=shortage.bound_micro,
    )
