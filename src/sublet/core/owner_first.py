"""Step one of a round: the owner's waiting jobs get what is free, and leases end for what they lack."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sublet.core.draft import Draft, Ground
from sublet.core.ids import JobId
from sublet.core.kernels.cover import free_up
from sublet.core.lease import Cause
from sublet.core.owner import OwnerJob
from sublet.core.plan import Alarm, Entitled, JobStart, Kept, Notice
from sublet.core.reclaim import Shortage, Victims, make_room, reclaimable
from sublet.core.view import AnyView

Shape = tuple[int, int]
"""GPUs on each node, nodes."""


def serve_owner(view: AnyView, ground: Ground, draft: Draft) -> None:
    """Start, or reclaim for, each waiting job of the owner, oldest first.

    A job that would not fit even if nothing were leased waits for the owner's own work, and nothing is reclaimed for it.
    GPUs that wait for a job's others to come back are taken out of the market and stay that job's over the rounds: every
    eviction serves the job it was made for.
    """
    if ground.standing.waiting:
        serving = _Serving(view, ground, draft)
        for job in ground.standing.waiting.values():
            serving.serve(job)


class _Serving:
    """The owner's queue in one round. Shapes that were seen not to fit are not tried again while nothing came free."""

    def __init__(self, view: AnyView, ground: Ground, draft: Draft) -> None:
        """What is kept for a waiting job, and is still free or on its way back, is out of the others' reach."""
        self.view, self.ground, self.draft = view, ground, draft
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
        known = [self.view.tenants.get(tenant) for tenant in self.ground.standing.tenants]
        quotas = [0 if tenant is None else tenant.quota(self.ground.view.pool.id).nominal for tenant in known]
        return np.array(quotas, np.int64)

    def serve(self, job: OwnerJob) -> None:
        """Start it, leave it what is kept for it, or reclaim for it."""
        ground, shape = self.ground, (job.gpus_per_node, job.nodes)
        kept = job.id in self.kept
        if kept:
            if self._has_to_wait(job, shape):
                return
            ground.restore(job.placement)
        elif self._is_hopeless(shape):
            return
        found = ground.now.find(gpus_per_node=shape[0], nodes=shape[1], before=ground.alone.free)
        if found is None and not kept and self._has_no_chance(shape):
            return
        entitled = job.entitled_us
        if entitled is None:
            entitled = min(self.draft.now_us, max(job.submitted_us, ground.view.owner_freed_us))
            self.draft.entitled.append(Entitled(job.id, entitled))
        if found is not None:
            self.draft.job_starts.append(JobStart(job.id, job.version, found, "GPUs are free"))
            ground.give(found)
            if kept:  # what was kept for it and not used is there for the others
                self.hopeless.clear()
                self.nowhere.clear()
        elif kept:
            ground.give(job.placement)
        else:
            shortage = _shortage(ground, self.draft, job, entitled, self.nominal)
            self.budget = _reclaim(ground, self.draft, shortage, self.budget)

    def _has_to_wait(self, job: OwnerJob, shape: Shape) -> bool:
        """Whether it is certain that a job for which GPUs are kept cannot start yet, neither there nor elsewhere."""
        if shape not in self.nowhere:
            if self.ground.now.find(gpus_per_node=shape[0], nodes=shape[1]) is not None:
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
        """Whether it was seen in this round that not even a smaller shape would fit if nothing were leased."""
        if shape in self.hopeless:
            return True
        return any(shape[0] >= per_node and shape[1] >= nodes for per_node, nodes in self.hopeless)

    def _has_no_chance(self, shape: Shape) -> bool:
        """Whether it would not fit even if nothing were leased."""
        if self.ground.alone.find(gpus_per_node=shape[0], nodes=shape[1]) is not None:
            return False
        self.hopeless.add(shape)
        return True


def _shortage(ground: Ground, draft: Draft, job: OwnerJob, entitled_us: int, nominal: npt.NDArray[np.int64]) -> Shortage:
    standing = ground.standing
    who = reclaimable(
        standing,
        now_us=draft.now_us,
        due_us=entitled_us + ground.view.pool.promise.within_us,
        forced=job.forced,
        nominal=nominal,
        spared=ground.noticed,
    )
    return make_room(job, ground.future, who, standing.held.keys, before=ground.alone.free)


def _reclaim(ground: Ground, draft: Draft, shortage: Shortage, budget: int | None) -> int | None:
    """Give notice to a shortage's victims within the safety limit; what is left of the limit."""
    job, placement = shortage.job, shortage.placement
    if placement is None:
        reason = f"owner job {job.id} needs {job.gpus} GPUs and no reclaim within the contracts makes room; force may"
        draft.alarms.append(Alarm("promise.at_risk", job.pool, reason))
        ground.alone.drop(ground.alone.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes) or ())
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
    _give_notice(ground, draft, job, shortage.victims)
    standing, future = ground.standing, ground.future
    free_up(standing.holds.rows, shortage.victims.rows, len(standing.held.rows), future.free, future.slots)
    ground.give(placement)
    draft.kept.append(Kept(job.id, placement, f"kept for it; {len(shortage.victims)} leases end to free them"))
    return None if budget is None else max(0, budget - gpus)


def _give_notice(ground: Ground, draft: Draft, job: OwnerJob, victims: Victims) -> None:
    """To each of them, with its reason."""
    leases, now = ground.standing.leases, draft.now_us
    why = f"the owner's job {job.id} needs {job.gpus} GPUs; ending this lease in"
    for name, earliest, loss, late in victims:
        deadline = min(earliest, max(now, leases[name].ends_us or earliest))  # a notice does not outlast what it ends
        wait = f"{(deadline - now) / 1e6:g} s loses least ({loss / 1e6:.6f}{', after the promised time' if late else ''})"
        version = draft.version(leases[name])
        draft.notices.append(Notice(name, version, Cause.RECLAIMED, deadline, f"{why} {wait}", job.id, loss))
        ground.noticed.add(name)
