"""A plan in the making: what the steps of one round have decided so far, and what is left to give."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sublet.core.fleet import Masks, Placement, count
from sublet.core.ids import LeaseId, NodeId, TenantId
from sublet.core.lease import HELD, Cause, Event, Lease
from sublet.core.owner import JobState, OwnerJob
from sublet.core.placement import Room
from sublet.core.plan import Alarm, Entitled, Grant, JobStart, Kept, Move, Notice, Plan, PriceSet, ReserveSet, Wait
from sublet.core.view import PoolView, View


@dataclass(slots=True)
class Draft:
    """Items of the plan in order, and the versions that applying it will meet."""

    now_us: int
    job_starts: list[JobStart] = field(default_factory=list)
    entitled: list[Entitled] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    prices: list[PriceSet] = field(default_factory=list)
    reserves: list[ReserveSet] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    spent: dict[TenantId, int] = field(default_factory=dict)  # holds of this plan, micro-units
    moved: dict[LeaseId, int] = field(default_factory=dict)  # steps this plan already makes

    def move(self, lease: Lease, event: Event, reason: str, cause: Cause | None = None) -> None:
        """Step a lease."""
        self.moves.append(Move(lease.id, self.version(lease), event, reason, cause))
        self.moved[lease.id] = self.moved.get(lease.id, 0) + 1

    def grant(self, lease: Lease, grant: Grant) -> None:
        """Give a lease its GPUs."""
        self.grants.append(grant)
        self.moved[lease.id] = self.moved.get(lease.id, 0) + 1

    def version(self, lease: Lease) -> int:
        """The version the lease will have when the next item for it is applied."""
        return lease.version + self.moved.get(lease.id, 0)

    def wait(self, lease: Lease, reason: str) -> None:
        """Say why a lease waits, where that is news."""
        if lease.reason != reason or lease.id in self.moved:
            self.waits.append(Wait(lease.id, reason))

    def plan(self) -> Plan:
        """The finished plan."""
        names = ("job_starts", "entitled", "kept", "notices", "moves", "grants", "waits", "prices", "reserves", "alarms")
        return Plan(self.now_us, **{name: tuple(getattr(self, name)) for name in names})


@dataclass(slots=True)
class Ground:
    """One pool in a round: its rooms and its people.

    `now` is free; `future` adds what is on its way back; `alone` is what there would be had nothing been leased. What the
    owner's jobs get is taken out of all three.
    """

    view: PoolView
    slots: Masks
    now: Room
    future: Room
    alone: Room
    jobs: list[OwnerJob]
    leases: list[Lease]
    capacity: int  # GPUs fit for use, whoever holds them
    noticed: set[LeaseId] = field(default_factory=set)  # by this very plan

    def give(self, placement: Placement) -> tuple[Placement, ...]:
        """Take GPUs for a job out of each room that has them; what each of them had, so that it can be put back."""
        return tuple(room.drop(placement) for room in (self.now, self.future, self.alone))

    def put_back(self, given: tuple[Placement, ...]) -> None:
        """Undo `give`."""
        for room, placement in zip((self.now, self.future, self.alone), given, strict=True):
            room.add(placement)

    @property
    def waiting_jobs(self) -> list[OwnerJob]:
        """The owner's queue, oldest first."""
        return [job for job in self.jobs if job.state is JobState.WAITING]

    @property
    def held_leases(self) -> list[Lease]:
        """Leases that hold GPUs."""
        return [lease for lease in self.leases if lease.state in HELD]

    @property
    def demand(self) -> int:
        """The owner's demand in GPUs: what his jobs hold and what they wait for."""
        return demand_of(self.jobs)


def demand_of(jobs: Iterable[OwnerJob]) -> int:
    """GPUs that the owner's jobs hold or wait for; a job in hand-over wants nothing any more."""
    return sum(job.gpus for job in jobs if job.state is not JobState.HANDOVER)


def ground(view: View, pool: PoolView, coming: list[Placement]) -> Ground:
    """The pool's part of the view, with its rooms."""
    fleet = view.fleet
    rows = fleet.rows(pool.pool.id)
    names: tuple[NodeId, ...] = tuple(fleet.nodes[row] for row in rows)
    slots = fleet.slots[rows]
    usable = np.where(fleet.unfit[rows], np.uint64(0), slots & ~fleet.down[rows])
    future = Room(names, usable, fleet.free[rows] & usable)
    for placement in coming:
        future.add(placement)
    mine = [job for job in view.jobs if job.pool == pool.pool.id]
    return Ground(
        view=pool,
        slots=slots,
        now=Room(names, slots, fleet.free[rows] & usable),
        future=future,
        alone=Room(names, usable, usable & ~fleet.owner[rows]),
        jobs=mine,
        leases=[lease for lease in view.leases if lease.pool == pool.pool.id],
        capacity=count(usable),
    )
