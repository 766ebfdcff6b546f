"""Plain twins of what the kernels do, written to be read: objects instead of rows, one thing at a time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from cover_twins import Candidate

from sublet.core.ids import LeaseId
from sublet.core.lease import Lease, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.pricing.floor import owed_micro
from sublet.core.reclaim import Reclaimable, Shortage, make_room
from sublet.core.standing import Standing
from sublet.core.terms import Breaking, Pool, is_unbreakable
from sublet.core.units import charge_micro


def loss_micro(pool: Pool, lease: Lease, *, at_us: int) -> int:
    """Work since the last proven checkpoint or the start, restart, credit and refund, at the price agreed."""
    price = lease.price_micro or 0
    safe_us = max(lease.started_us or at_us, lease.checkpoint_us or 0)
    work_us = max(0, at_us - safe_us) if lease.started_us is not None else 0
    if lease.reclaims and lease.exit_code == 85:
        work_us = min(work_us, pool.backoff_us * 2**lease.reclaims, pool.backoff_max_us)
    terms = pool.terms[lease.lease_class]
    owed = lease.gpus * owed_micro(price, terms, lease.term_us or pool.hold_us)
    if terms.refunds and lease.started_us is not None:
        owed += charge_micro(lease.gpus * max(0, at_us - lease.started_us), price)
    return charge_micro(lease.gpus * (work_us + pool.restart_us), price) + owed


def candidate_of(pool: Pool, lease: Lease, *, now_us: int, due_us: int, forced: bool, borrowed: bool) -> Candidate | None:
    """The lease as a possible victim, or None if its contract forbids it."""
    breaking = pool.terms[lease.lease_class].breaking
    ends = lease.state in {State.RESERVED, State.STARTING, State.ACTIVE}
    if not ends or breaking is Breaking.NEVER or (breaking is Breaking.FORCE and not forced):
        return None
    deadline = max(now_us + lease.grace_us, lease.exempt_until_us)
    back = deadline + pool.stop_us + pool.handover_us + pool.start_us
    return Candidate(lease, deadline, loss_micro(pool, lease, at_us=deadline), back > due_us, borrowed)


def handback_us(pool: Pool, lease: Lease, *, now_us: int) -> int | None:
    """From the owner's submission now to this lease's GPUs in the owner's hands, at the latest; None: not without force."""
    if is_unbreakable(pool.terms[lease.lease_class]):
        return None
    if lease.deadline_us is not None:
        return pool.longest_handback_us(max(0, lease.deadline_us - now_us), 0)
    return pool.longest_handback_us(lease.grace_us, max(0, lease.exempt_until_us - now_us))


def borrowers(leases: Iterable[Lease], nominal: dict[str, int]) -> set[LeaseId]:
    """Leases by which their tenants hold more than their nominal quota, newest first."""
    by_tenant: dict[str, list[Lease]] = defaultdict(list)
    for lease in leases:
        by_tenant[lease.tenant].append(lease)
    over: set[LeaseId] = set()
    for tenant, theirs in by_tenant.items():
        excess = sum(lease.gpus for lease in theirs) - nominal.get(tenant, 0)
        for lease in sorted(theirs, key=lambda lease: -(lease.granted_us or 0)):
            if excess > 0:
                over.add(lease.id)
                excess -= lease.gpus
    return over


def standing_with(room: Room, leases: Iterable[Lease], pool: Pool) -> Standing:
    """A standing of the room's nodes in which these leases hold what they hold."""
    standing = Standing(pool, room.nodes, room.slots)
    for lease in leases:
        standing.put_lease(lease)
    return standing


def shortage(job: OwnerJob, room: Room, candidates: Sequence[Candidate], pool: Pool) -> tuple[Shortage, tuple[Candidate, ...]]:
    """What the core makes of these candidates, as rows; and the candidates that it chose."""
    standing = standing_with(room, [one.lease for one in candidates], pool)
    rows = standing.held.rows
    loss = np.array([one.loss_micro for one in candidates], np.int64)
    who = Reclaimable(
        rows=rows,
        holds=standing.holds.rows,
        may=np.ones(len(rows), np.bool_),
        deadline_us=np.array([one.deadline_us for one in candidates], np.int64),
        loss_micro=loss,
        weight=loss,
        late=np.array([one.late for one in candidates], np.bool_),
        borrowed=np.array([one.borrowed for one in candidates], np.bool_),
    )
    found = make_room(job, room, who, standing.held.keys)
    by_id = {one.lease.id: one for one in candidates}
    return found, tuple(by_id[name] for name in found.victims.leases)
