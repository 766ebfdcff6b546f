"""Which leases end when the owner lacks GPUs: those whose end loses least, and never more than he can use.

The loss of a victim is the work since its last checkpoint, its restart, and the credits owed. GPUs already on their way back
(noticed, stopping, in hand-over) count as his, so the next round does not pick new victims for the same need. A lease's end is
never before its exempt window's: notice and exempt window overlap, they do not add up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sublet.core.cover import Victim, cheapest_cover, total_cost
from sublet.core.fleet import Placement
from sublet.core.lease import Lease, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.pricing.floor import owed_micro
from sublet.core.terms import Breaking, Pool
from sublet.core.units import charge_micro

RECLAIMABLE = frozenset({State.RESERVED, State.STARTING, State.ACTIVE})


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


def make_room(job: OwnerJob, future: Room, victims: Sequence[Victim]) -> Shortage:
    """The cheapest victims that let `job` start, given the room that is free or on its way back.

    Leases that are back in time are tried first, all of them only where those do not make room. For a job on one node the
    choice loses least of all; for a gang it is the better of two searches, at most as many times the least as it has nodes.
    """
    need, nodes = job.gpus_per_node, job.nodes
    if (found := future.find(gpus_per_node=need, nodes=nodes)) is not None:
        return Shortage(job, (), found)
    in_time = [victim for victim in victims if not victim.late]
    for allowed in (in_time, victims):
        ways = (False, True) if nodes > 1 else (False,)
        covers = [cheapest_cover(future, allowed, gpus_per_node=need, nodes=nodes, shared=shared) for shared in ways]
        chosen = min((cover for cover in covers if cover is not None), key=total_cost, default=None)
        if chosen is not None:
            room = future.copy()
            for victim in chosen:
                room.add(victim.lease.placement)
            return Shortage(job, chosen, room.find(gpus_per_node=need, nodes=nodes))
    return Shortage(job, (), None)
