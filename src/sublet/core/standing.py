"""One pool as rounds find it, kept current: who holds which GPUs, who waits, and the rows that kernels run over.

Made from nothing by putting every live lease and job, or kept from round to round by putting what changed: both give the same.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sublet.core.fleet import Masks, Placement, count
from sublet.core.ids import JobId, LeaseId, NodeId, TenantId
from sublet.core.lease import HELD, Lease, LeaseClass, State
from sublet.core.owner import JOB_HELD, JobState, OwnerJob
from sublet.core.tables import CLASS_CODE, CLASSES, HELD_ROW, NEVER, QUEUE_ROW, STATE_CODE, Holds, Table
from sublet.core.terms import Pool, hold_window_us, is_unbreakable, term_of, worst_handback_us
from sublet.core.topology import Topology, nowhere_known
from sublet.core.values import changed

ENDING = frozenset({State.NOTICED, State.STOPPING, State.HANDOVER})
JOB_ENDING = frozenset({JobState.STOPPING, JobState.HANDOVER})

Product = tuple[LeaseClass, int]
"""What is sold: a class, and the horizon (µs) over which its risk is judged."""


class Standing:
    """One pool. Node arrays have one row a node in the order of `nodes`; bit i of a mask is GPU i of that node."""

    def __init__(self, pool: Pool, nodes: tuple[NodeId, ...], slots: Masks, topology: Topology | None = None) -> None:
        """Nobody holds anything and every GPU of `slots` (uint64[n]) is fit for use. Without a topology none is known."""
        self.pool = pool
        self.nodes = nodes
        self.topology = topology or nowhere_known(len(nodes))
        self.row_of = {node: row for row, node in enumerate(nodes)}
        self.slots: Masks = slots.copy()
        self.fit: Masks = slots.copy()  # uint64[n], GPUs that may be used by somebody
        self.owner: Masks = np.zeros_like(slots)  # uint64[n], held by the owner's jobs
        self.leased: Masks = np.zeros_like(slots)  # uint64[n], held by leases
        self.coming: Masks = np.zeros_like(slots)  # uint64[n], held, and on their way back without any further decision
        self.capacity = count(slots)  # GPUs fit for use, whoever holds them
        self.jobs: dict[JobId, OwnerJob] = {}
        self.waiting: dict[JobId, OwnerJob] = {}  # the owner's queue, oldest first
        self.kept: Masks = np.zeros_like(slots)  # uint64[n], kept for waiting jobs until all of a job's are free
        self.kept_gpus = 0  # of all waiting jobs together; more than `kept` has where one GPU is kept for two
        self.placeless = 0  # waiting jobs for which nothing is kept
        self.demand = 0  # GPUs that the owner's jobs hold or wait for; a job in hand-over wants nothing any more
        self.lent = 0  # GPUs that leases hold
        self.leases: dict[LeaseId, Lease] = {}
        self.requested: dict[LeaseId, Lease] = {}
        self.paused: dict[LeaseId, Lease] = {}
        self.blocks: dict[LeaseId, Lease] = {}  # bought, and waiting for their start: no bidders
        self.held = Table(HELD_ROW)
        self.holds = Holds()
        self.queue = Table(QUEUE_ROW)
        self.products: list[Product] = []
        self.tenants: list[TenantId] = []
        self.unbreakable = np.array([name not in pool.terms or is_unbreakable(pool.terms[name]) for name in CLASSES], np.bool_)
        self._product_of: dict[Product, int] = {}
        self._tenant_of: dict[TenantId, int] = {}
        self._order: dict[str, int] = {}
        self._next_order = 0

    @property
    def free(self) -> Masks:
        """uint64[n]: GPUs held by nobody and fit for use."""
        return self.fit & ~(self.owner | self.leased)

    def order_of(self, lease: LeaseId) -> int:
        """The place of a lease among all: the older, the smaller."""
        return self._order[lease]

    def in_order(self, some: Mapping[LeaseId, Lease]) -> list[Lease]:
        """Some of the leases, the oldest first."""
        return sorted(some.values(), key=lambda lease: self._order[lease.id])

    def set_fit(self, fit: Masks) -> None:
        """Which GPUs (uint64[n]) are fit for use."""
        self.fit = fit.copy()
        self.capacity = count(fit)

    def set_topology(self, topology: Topology) -> None:
        """Where the nodes stand."""
        self.topology = topology

    def put_job(self, job: OwnerJob) -> None:
        """A job of the owner as it is now; one that ended is forgotten."""
        old = self.jobs.get(job.id)
        if old is not None:
            self.demand -= _wants(old)
        was, holds = old is not None and old.state in JOB_HELD, job.state in JOB_HELD
        if holds and not was:
            self._give(self.owner, job.placement)
        if job.state in JOB_ENDING and (old is None or old.state not in JOB_ENDING):
            self._give(self.coming, job.placement)
        if was and not holds and old is not None:
            self._take(self.owner, old.placement)
            self._take(self.coming, old.placement)
        if job.state is JobState.ENDED:
            self.jobs.pop(job.id, None)
        else:
            self.jobs[job.id] = job
            self.demand += _wants(job)
        if old is not None and old.state is JobState.WAITING:
            self._forget_kept(old)
        if job.state is JobState.WAITING:
            self.waiting[job.id] = job
            self._keep(job)
        elif old is not None and old.state is JobState.WAITING:
            del self.waiting[job.id]

    def _keep(self, job: OwnerJob) -> None:
        if job.placement:
            self.kept_gpus += job.gpus
            self._give(self.kept, job.placement)
        else:
            self.placeless += 1

    def _forget_kept(self, job: OwnerJob) -> None:
        """The GPUs of a waiting job are no longer kept for it; what others keep stays kept."""
        if not job.placement:
            self.placeless -= 1
            return
        unique = self.kept_is_disjoint
        self.kept_gpus -= job.gpus
        self._take(self.kept, job.placement)
        if not unique:
            for other in self.waiting.values():
                if other.id != job.id:
                    self._give(self.kept, other.placement)

    @property
    def kept_is_disjoint(self) -> bool:
        """Whether no GPU is kept for two jobs."""
        return self.kept_gpus == count(self.kept)

    def put_lease(self, lease: Lease) -> None:
        """A lease as it is now, however far it has come since; one that ended is forgotten."""
        old = self.leases.get(lease.id)
        if old is None and lease.state is not State.ENDED:
            self._order[lease.id] = self._next_order
            self._next_order += 1
        again = old is not None and old.attempt != lease.attempt
        if old is not None and (again or old.state is not lease.state):
            self._leave(old, lease, again=again)
        if old is not None and not again and ends_anyway(old) and lease.state in HELD and not ends_anyway(lease):
            self._take(self.coming, old.placement)
        if lease.state is State.ENDED:
            if self.leases.pop(lease.id, None) is not None:
                del self._order[lease.id]
            return
        self.leases[lease.id] = lease
        was = None if again else old
        fresh, ends = was is None or was.state not in HELD, was is None or not ends_anyway(was)
        self._enter(lease, fresh=fresh, ends=ends)

    def put_all(self, jobs: Sequence[OwnerJob], leases: Sequence[Lease]) -> None:
        """Many at once, each as it is now, oldest first. What one gave back another may hold already: so that comes first."""
        for lease in leases:
            old = self.leases.get(lease.id)
            if old is not None and old.state in HELD and (lease.state not in HELD or old.attempt != lease.attempt):
                self.put_lease(changed(old, state=State.PAUSED))
        for job in sorted(jobs, key=lambda job: job.state is not JobState.ENDED):
            self.put_job(job)
        for lease in leases:
            self.put_lease(lease)

    def forget_block(self, block: LeaseId) -> None:
        """A block that waits for its start belongs to another pool now."""
        for known in (self.blocks, self.leases, self._order):
            del known[block]

    def tenant_number(self, tenant: TenantId) -> int:
        """The tenant's number in the rows."""
        number = self._tenant_of.get(tenant)
        if number is None:
            number = self._tenant_of[tenant] = len(self.tenants)
            self.tenants.append(tenant)
        return number

    def _leave(self, old: Lease, lease: Lease, *, again: bool) -> None:
        """What the old state meant and the new one does not; `again`: it is another attempt, which holds other GPUs."""
        if old.state is State.QUEUED and old.is_bought:
            del self.blocks[old.id]
        elif old.state is State.QUEUED:
            self.queue.drop(old.id)
        elif old.state is State.REQUESTED:
            del self.requested[old.id]
        elif old.state is State.PAUSED:
            del self.paused[old.id]
        elif old.state in HELD and (again or lease.state not in HELD):
            self.holds.drop(self.held.row_of(old.id))
            self.held.drop(old.id)
            self.lent -= old.gpus
            self._take(self.leased, old.placement)
            self._take(self.coming, old.placement)

    def _enter(self, lease: Lease, *, fresh: bool, ends: bool) -> None:
        """What the new state means; `fresh`: it held nothing before; `ends`: it was not on its way back before."""
        if lease.state is State.QUEUED and lease.is_bought:
            self.blocks[lease.id] = lease
        elif lease.state is State.QUEUED:
            self.queue.put(lease.id, self.queue_row(lease))
        elif lease.state is State.REQUESTED:
            self.requested[lease.id] = lease
        elif lease.state is State.PAUSED:
            self.paused[lease.id] = lease
        else:
            row = self.held.put(lease.id, self._held_row(lease))
            if fresh:
                self.lent += lease.gpus
                self._give(self.leased, lease.placement)
                self.holds.add(row, [(self.row_of[node], mask) for node, mask in lease.placement])
            if ends and ends_anyway(lease):
                self._give(self.coming, lease.placement)

    def _held_row(self, lease: Lease) -> tuple[object, ...]:
        started = lease.started_us
        ends = NEVER if lease.ends_us is None else lease.ends_us
        if lease.funded_until_us is not None and lease.funded_until_us < ends:
            ends = lease.funded_until_us
        return (
            True,
            STATE_CODE[lease.state],
            CLASS_CODE[lease.lease_class],
            started is not None,
            self.tenant_number(lease.tenant),
            lease.gpus,
            lease.nodes,
            lease.version,
            self._order[lease.id],
            lease.price_micro or 0,
            lease.term_us or self.pool.hold_us,
            lease.since_us,
            lease.granted_us or 0,
            started or 0,
            max(started or 0, lease.checkpoint_us or 0),
            self.pool.back_off_us(lease.reclaims + 1) if lease.heeds else NEVER,
            lease.exempt_until_us,
            lease.grace_us,
            NEVER if lease.deadline_us is None else lease.deadline_us,
            NEVER if lease.notice_at_us is None else lease.notice_at_us,
            ends,
        )

    def queue_row(self, lease: Lease) -> tuple[object, ...]:
        """The lease as a row of the queue."""
        return (
            True,
            lease.whole_nodes,
            self.locks(lease),
            self.product_of(lease),
            self.tenant_number(lease.tenant),
            lease.gpus,
            lease.nodes,
            self._order[lease.id],
            lease.bid_micro,
            lease.not_before_us,
            hold_window_us(self.pool, lease.term_us),
            lease.version,
        )

    def locks(self, lease: Lease) -> bool:
        """Whether it could not be taken back within the promised time, once it is granted."""
        takes = worst_handback_us(self.pool, self.pool.terms[lease.lease_class], lease.grace_us)
        return takes is None or takes > self.pool.promise.within_us

    def product_of(self, lease: Lease) -> int:
        """The number of its product, (class, term), in the rows."""
        terms = self.pool.terms[lease.lease_class]
        product = (lease.lease_class, term_of(terms, lease.term_us, self.pool.hold_us))
        number = self._product_of.get(product)
        if number is None:
            number = self._product_of[product] = len(self.products)
            self.products.append(product)
        return number

    def _give(self, masks: Masks, placement: Placement) -> None:
        for node, mask in placement:
            masks[self.row_of[node]] |= np.uint64(mask)

    def _take(self, masks: Masks, placement: Placement) -> None:
        for node, mask in placement:
            masks[self.row_of[node]] &= ~np.uint64(mask)


def standing_of(
    pool: Pool,
    nodes: tuple[NodeId, ...],
    masks: tuple[Masks, Masks, Topology],
    jobs: Iterable[OwnerJob],
    leases: Iterable[Lease],
) -> Standing:
    """The standing of a pool with these live jobs and leases, oldest first. `masks`: (slots, fit), uint64[n] each, topology."""
    slots, fit, topology = masks
    standing = Standing(pool, nodes, slots, topology)
    standing.set_fit(fit)
    for job in jobs:
        standing.put_job(job)
    for lease in leases:
        standing.put_lease(lease)
    return standing


def ends_anyway(lease: Lease) -> bool:
    """Whether its GPUs are on their way back without a further decision: it ends, or is dated to."""
    return lease.state in ENDING or (lease.notice_at_us is not None and lease.state in HELD)


def _wants(job: OwnerJob) -> int:
    return 0 if job.state in {JobState.HANDOVER, JobState.ENDED} else job.gpus
