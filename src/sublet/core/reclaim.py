"""Which leases end when the owner lacks GPUs: those whose end loses least, and never more than he can use.

The loss of a victim is the work since its last checkpoint, its restart, and the credits owed. GPUs already on their way back
(noticed, stopping, in hand-over) count as his, so the next round does not pick new victims for the same need. A lease's end is
never before its exempt window's: notice and exempt window overlap, they do not add up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sublet.core.fleet import Placement
from sublet.core.lease import Lease, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.pricing.floor import owed_micro
from sublet.core.terms import Breaking, Pool
from sublet.core.units import charge_micro

RECLAIMABLE = frozenset({State.RESERVED, State.STARTING, State.ACTIVE})


@dataclass(frozen=True, slots=True)
class Victim:
    """A lease that may be ended: when at the earliest, and what that costs."""

    lease: Lease
    deadline_us: int
    loss_micro: int
    late: bool  # its GPUs would come back after the promised time
    borrowed: bool  # beyond its tenant's nominal quota: among equals it goes first


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a waiting job still lacks, and the leases that end for it. `placement` is where it will run then."""

    job: OwnerJob
    victims: tuple[Victim, ...]
    placement: Placement | None  # None: not even all reclaimable leases would make room


def loss_micro(pool: Pool, lease: Lease, *, at_us: int) -> int:
    """What ending the lease at `at_us` is expected to lose, in micro-units: work, restart, credits.

    Work counts from the last checkpoint that was proven (not from the start, and not from a claim), at the price agreed.
    """
    price = lease.price_micro or 0
    safe_us = max(lease.started_us or at_us, lease.checkpoint_us or 0)
    work_us = max(0, at_us - safe_us) if lease.started_us is not None else 0
    terms = pool.terms[lease.lease_class]
    owed = lease.gpus * owed_micro(price, terms, lease.term_us or pool.hold_us)
    if terms.refunds and lease.started_us is not None:
        owed += charge_micro(lease.gpus * max(0, at_us - lease.started_us), price)
    return charge_micro(lease.gpus * (work_us + pool.restart_us), price) + owed


def victim_of(pool: Pool, lease: Lease, *, now_us: int, due_us: int, forced: bool, borrowed: bool) -> Victim | None:
    """The lease as a possible victim, or None if its contract forbids it."""
    breaking = pool.terms[lease.lease_class].breaking
    if lease.state not in RECLAIMABLE or breaking is Breaking.NEVER or (breaking is Breaking.FORCE and not forced):
        return None
    deadline = max(now_us + lease.grace_us, lease.exempt_until_us)
    back = deadline + pool.stop_us + pool.handover_us + pool.start_us
    return Victim(lease, deadline, loss_micro(pool, lease, at_us=deadline), back > due_us, borrowed)


def coming_back(leases: Iterable[Lease], jobs: Iterable[OwnerJob]) -> list[Placement]:
    """GPUs that are on their way back without any further decision."""
    ending = {State.NOTICED, State.STOPPING, State.HANDOVER}
    back = [lease.placement for lease in leases if lease.state in ending]
    return back + [job.placement for job in jobs if job.state in {"stopping", "handover"}]


def make_room(job: OwnerJob, future: Room, victims: list[Victim]) -> Shortage:
    """The cheapest victims that let `job` start, given the room that is free or on its way back.

    Nodes are judged by the least loss that frees enough of them; a gang takes the cheapest nodes one by one, and a lease
    already chosen costs nothing on its other nodes. Victims that turn out not to be needed are dropped again, dearest first.
    """
    if (found := future.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes)) is not None:
        return Shortage(job, (), found)
    chosen: dict[str, Victim] = {}
    by_node = _by_node(future, victims)
    room = future.copy()
    served: list[int] = []
    for _ in range(job.nodes):
        best = _cheapest_node(room, by_node, job.gpus_per_node, chosen, served)
        if best is None:
            return Shortage(job, (), None)
        row, picks = best
        served.append(row)
        for victim in picks:
            chosen[victim.lease.id] = victim
            room.add(victim.lease.placement)
    needed = _without_surplus(job, future, list(chosen.values()))
    final = future.copy()
    for victim in needed:
        final.add(victim.lease.placement)
    return Shortage(job, tuple(needed), final.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes))


def _by_node(room: Room, victims: list[Victim]) -> Mapping[int, list[tuple[Victim, int]]]:
    """Row -> (victim, mask it holds there)."""
    rows = {node: row for row, node in enumerate(room.nodes)}
    table: dict[int, list[tuple[Victim, int]]] = {}
    for victim in victims:
        for node, mask in victim.lease.placement:
            if node in rows:
                table.setdefault(rows[node], []).append((victim, mask & int(room.slots[rows[node]])))
    return table


def _cheapest_node(
    room: Room, by_node: Mapping[int, list[tuple[Victim, int]]], need: int, chosen: Mapping[str, Victim], served: list[int]
) -> tuple[int, list[Victim]] | None:
    """The node that reaches `need` free GPUs at the least loss, and whom that ends."""
    free = np.bitwise_count(room.free)
    best: tuple[tuple[int, int, int], int, list[Victim]] | None = None
    for row in range(len(room.nodes)):
        if row in served:
            continue
        missing = need - int(free[row])
        picks: list[Victim] = []
        if missing > 0:
            open_to = [(victim, mask) for victim, mask in by_node.get(row, []) if victim.lease.id not in chosen]
            picks = _cover(open_to, missing)
            if not picks:
                continue
        cost = (sum(v.late for v in picks), sum(v.loss_micro for v in picks), int(free[row]))
        if best is None or cost < best[0]:
            best = (cost, row, picks)
    return None if best is None else (best[1], best[2])


def _cover(options: list[tuple[Victim, int]], missing: int) -> list[Victim]:
    """Leases on one node that free at least `missing` GPUs: by loss for each GPU that helps, then without surplus."""
    order = sorted(options, key=lambda option: _rank(option[0], min(option[1].bit_count(), missing)))
    picks: list[tuple[Victim, int]] = []
    freed = 0
    for victim, mask in order:
        if freed >= missing:
            break
        picks.append((victim, mask.bit_count()))
        freed += mask.bit_count()
    if freed < missing:
        return []
    for victim, gpus in sorted(picks, key=lambda pick: -pick[0].loss_micro):
        if freed - gpus >= missing:
            picks.remove((victim, gpus))
            freed -= gpus
    alone = [(victim, mask) for victim, mask in options if mask.bit_count() >= missing and not victim.late]
    if alone:
        single = min(alone, key=lambda option: (option[0].loss_micro, not option[0].borrowed))
        if single[0].loss_micro < sum(victim.loss_micro for victim, _ in picks):
            return [single[0]]
    return [victim for victim, _ in picks]


def _rank(victim: Victim, helps: int) -> tuple[bool, float, bool, int]:
    """Order of victims: in time before late, then least loss for each useful GPU, borrowers first, youngest first."""
    return (victim.late, victim.loss_micro / max(1, helps), not victim.borrowed, -(victim.lease.granted_us or 0))


def _without_surplus(job: OwnerJob, future: Room, chosen: list[Victim]) -> list[Victim]:
    """The chosen less those without whom the job fits just as well, dearest first."""
    kept = sorted(chosen, key=lambda victim: -victim.loss_micro)
    for victim in list(kept):
        room = future.copy()
        for other in kept:
            if other is not victim:
                room.add(other.lease.placement)
        if room.find(gpus_per_node=job.gpus_per_node, nodes=job.nodes) is not None:
            kept.remove(victim)
    return kept
