"""A view that is kept from round to round by putting what changed, and the proof that it equals one that is read anew."""

from dataclasses import replace

import numpy as np
from builders import node

from standings import canonical
from sublet.core.ids import JobId, LeaseId
from sublet.core.lease import Lease, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.view import KeptView, View

__all__ = ["Kept"]


class Kept:
    """A standing of one pool that lives as long as its history."""

    def __init__(self, pool: Pool, sizes: tuple[int, ...]) -> None:
        slots = np.array([(1 << size) - 1 for size in sizes], np.uint64)
        self.standing = Standing(pool, tuple(node(number) for number in range(len(sizes))), slots)
        self._leases: dict[LeaseId, Lease] = {}
        self._jobs: dict[JobId, OwnerJob] = {}

    def decided(self, view: View, now: int) -> Plan:
        """The plan of the kept view, once what moved since the last round is put; it must stand as the view does."""
        self._catch_up(view)
        fresh = view.standing(view.pools[0].pool.id)
        assert canonical(self.standing) == canonical(fresh)
        return decide(KeptView(view.pools, (self.standing,), view.tenants), now=now)

    def _catch_up(self, view: View) -> None:
        leases, jobs = {x.id: x for x in view.leases}, {x.id: x for x in view.jobs}
        for gone in self._leases.keys() - leases.keys():
            self.standing.put_lease(replace(self._leases[gone], state=State.ENDED))
        for done in self._jobs.keys() - jobs.keys():
            self.standing.put_job(replace(self._jobs[done], state=JobState.ENDED))
        for lease in view.leases:
            if self._leases.get(lease.id) is not lease:
                self.standing.put_lease(lease)
        for job in view.jobs:
            if self._jobs.get(job.id) is not job:
                self.standing.put_job(job)
        self._leases, self._jobs = leases, jobs
        self.standing.set_fit(view.standing(view.pools[0].pool.id).fit)
