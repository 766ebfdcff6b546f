"""Plain twins of what the kernels do, written to be read: objects instead of rows, one thing at a time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from sublet.core.ids import LeaseId
from sublet.core.lease import Lease, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.pricing.floor import owed_micro
from sublet.core.reclaim import Reclaimable, Shortage, make_room
from sublet.core.standing import Standing
from sublet.core.terms import Breaking, Pool, is_unbreakable
from sublet.core.units import charge_micro

Cost = tuple[int, int, int]
"""Loss in micro-units, leases within their tenants' nominal quotas, GPUs that end; compared in this order."""


@dataclass(frozen=True)
class Candidate:
    """A lease that may be ended: when at the earliest, and what that costs."""

    lease: Lease
    deadline_us: int
    loss_micro: int
    late: bool = False
    borrowed: bool = False


def total_cost(victims: Iterable[Candidate]) -> Cost:
    loss = kept = gpus = 0
    for victim in victims:
        loss, kept, gpus = loss + victim.loss_micro, kept + (not victim.borrowed), gpus + victim.lease.gpus
    return loss, kept, gpus


def loss_micro(pool: Pool, lease: Lease, *, at_us: int) -> int:
    """Work since the last proven checkpoint or the start, restart, credit and refund, at the price agreed."""
    price = lease.price_micro or 0
    safe_us = max(lease.started_us or at_us, lease.checkpoint_us or 0)
    work_us = max(0, at_us - safe_us) if lease.started_us is not None else 0
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


def cheapest_cover(
    room: Room, candidates: Sequence[Candidate], *, gpus_per_node: int, nodes: int, shared: bool
) -> tuple[Candidate, ...] | None:
    """Whom to end so that `nodes` x `gpus_per_node` fit into `room`; None if not even all of them make room."""
    search = _Search(room, candidates, need=gpus_per_node, shared=shared)
    return search.without_surplus(nodes) if search.serve(nodes) else None


class _Search:
    """The state of one search: what is free on each node once the leases chosen so far have ended."""

    def __init__(self, room: Room, candidates: Sequence[Candidate], *, need: int, shared: bool) -> None:
        self.need, self.shared, self.given = need, shared, candidates
        self.free = [int(mask).bit_count() for mask in room.free]
        rows = {node: row for row, node in enumerate(room.nodes)}
        fit = [int(mask) for mask in room.slots]
        self.holds = {
            one.lease.id: {
                rows[node]: gpus for node, mask in one.lease.placement if (gpus := (mask & fit[rows[node]]).bit_count())
            }
            for one in candidates
        }
        self.on: dict[int, list[Candidate]] = defaultdict(list)  # row -> who may be ended there, youngest first
        for one in sorted(candidates, key=lambda one: -(one.lease.granted_us or 0)):
            for row in self.holds[one.lease.id]:
                self.on[row].append(one)
        self.chosen: set[LeaseId] = set()

    def serve(self, nodes: int) -> bool:
        offers = {row: offer for row in range(len(self.free)) if (offer := self.offer(row)) is not None}
        heap = [(offer[0], self.free[row], row) for row, offer in offers.items()]
        heapify(heap)
        for _ in range(nodes):
            while heap and (heap[0][2] not in offers or heap[0][0] != offers[heap[0][2]][0]):
                heappop(heap)
            if not heap:
                return False
            row = heappop(heap)[2]
            for touched in self.end(offers.pop(row)[1]) & offers.keys():
                offers[touched] = self.offer(touched) or offers[touched]
                heappush(heap, (offers[touched][0], self.free[touched], touched))
        return True

    def end(self, candidates: Iterable[Candidate]) -> set[int]:
        touched: set[int] = set()
        for one in candidates:
            self.chosen.add(one.lease.id)
            for row, gpus in self.holds[one.lease.id].items():
                self.free[row] += gpus
                touched.add(row)
        return touched

    def without_surplus(self, nodes: int) -> tuple[Candidate, ...]:
        kept = sorted((one for one in self.given if one.lease.id in self.chosen), key=lambda one: -one.loss_micro)
        served = sum(free >= self.need for free in self.free)
        for one in list(kept):
            holds = self.holds[one.lease.id]
            lost = sum(self.free[row] >= self.need > self.free[row] - gpus for row, gpus in holds.items())
            if served - lost >= nodes:
                served -= lost
                kept.remove(one)
                for row, gpus in holds.items():
                    self.free[row] -= gpus
        return tuple(kept)

    def offer(self, row: int) -> tuple[Cost, tuple[Candidate, ...]] | None:
        missing = max(0, self.need - self.free[row])
        best: list[tuple[Cost, tuple[Candidate, ...]] | None] = [((0, 0, 0), ()), *[None] * missing]
        for one in self.on[row]:
            if one.lease.id in self.chosen:
                continue
            for wanted in range(missing, 0, -1):
                before = best[max(0, wanted - self.holds[one.lease.id][row])]
                if before is not None:
                    a, b = before[0], self.cost(one)
                    offer = ((a[0] + b[0], a[1] + b[1], a[2] + b[2]), (*before[1], one))
                    if (held := best[wanted]) is None or offer[0] < held[0]:
                        best[wanted] = offer
        return best[missing]

    def cost(self, one: Candidate) -> Cost:
        loss, kept, gpus = total_cost([one])
        return loss // (len(self.holds[one.lease.id]) if self.shared else 1), kept, gpus


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
    return found, tuple(by_id[name] for name, *_ in found.victims)
