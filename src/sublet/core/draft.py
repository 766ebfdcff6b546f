"""A plan in the making: what the steps of one round have decided so far, and what is left to give."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from sublet.core.fleet import Masks, Placement
from sublet.core.ids import LeaseId, TenantId
from sublet.core.lease import Cause, Event, Lease
from sublet.core.owner import JobState, OwnerJob
from sublet.core.placement import Room
from sublet.core.plan import (
    Alarm,
    Entitled,
    Grant,
    JobStart,
    Kept,
    Move,
    Notice,
    Plan,
    PriceSet,
    Reclaim,
    ReserveSet,
    Undated,
    Wait,
)
from sublet.core.standing import Standing
from sublet.core.view import PoolView

_MANY = 4
"""A placement on more nodes is taken out of the rooms in one sweep."""
_NUMBERS = dict.fromkeys(map(ord, "0123456789."))


@dataclass(slots=True)
class Draft:
    """Items of the plan in order, and the versions that applying it will meet."""

    now_us: int
    explain: bool = True  # say of each lease that waits why it does
    job_starts: list[JobStart] = field(default_factory=list)
    entitled: list[Entitled] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    reclaims: list[Reclaim] = field(default_factory=list)
    announced: list[Notice] = field(default_factory=list)
    undated: list[Undated] = field(default_factory=list)
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

    def grant(self, grant: Grant) -> None:
        """Give a lease its GPUs."""
        self.grants.append(grant)
        self.moved[grant.lease] = self.moved.get(grant.lease, 0) + 1

    def version(self, lease: Lease) -> int:
        """The version the lease will have when the next item for it is applied."""
        return lease.version + self.moved.get(lease.id, 0)

    def wait(self, lease: Lease, reason: str) -> None:
        """Say why a lease waits, where that is news; numbers alone are not, else a price that moves is told to thousands."""
        if self.explain and (lease.id in self.moved or (lease.reason != reason and _gist(lease.reason) != _gist(reason))):
            self.waits.append(Wait(lease.id, reason))

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(
            self.now_us,
            tuple(self.job_starts),
            tuple(self.entitled),
            tuple(self.kept),
            tuple(self.reclaims),
            tuple(self.announced),
            tuple(self.undated),
            tuple(self.moves),
            tuple(self.grants),
            tuple(self.waits),
            tuple(self.prices),
            tuple(self.reserves),
            tuple(self.alarms),
        )


@lru_cache(maxsize=65_536)
def _gist(reason: str) -> str:
    """A sentence without its numbers."""
    return reason.translate(_NUMBERS)


class Ground:
    """One pool in a round: its standing, and its rooms as the round hands them out.

    `now` is free; `future` adds what is on its way back; `alone` is what there would be had nothing been leased. What the
    owner's jobs get is taken out of all three. Most jobs find a place in `now`, so the other two are made when asked for.
    """

    def __init__(self, view: PoolView, standing: Standing) -> None:
        """The rooms at the beginning of a round."""
        self.view, self.standing = view, standing
        self.noticed = np.zeros(len(standing.held.rows), np.bool_)  # by this very plan: bool[rows of `standing.held`]
        self.granted = 0  # GPUs, by this very plan
        self._free = standing.free
        self.now = Room(standing.nodes, standing.slots, self._free.copy(), standing.row_of, standing.topology)
        self._later: dict[str, Room] = {}
        self._taken: list[Masks | Placement] = []  # out of the rooms that are not made yet

    @property
    def future(self) -> Room:
        """What is free or on its way back."""
        standing = self.standing
        return self._room("future", lambda: self._free | (standing.coming & standing.fit))

    @property
    def alone(self) -> Room:
        """What there would be had nothing been leased: what is free, where nothing is."""
        standing = self.standing
        if not standing.lent:
            return self.now
        return self._room("alone", lambda: standing.fit & ~standing.owner)

    @property
    def lent(self) -> int:
        """GPUs that leases hold, those granted in this round among them."""
        return self.standing.lent + self.granted

    @property
    def capacity(self) -> int:
        """GPUs fit for use, whoever holds them."""
        return self.standing.capacity

    def give(self, placement: Placement) -> None:
        """Take GPUs for a job out of each room that has them."""
        if len(placement) > _MANY:
            masks, row_of = np.zeros(len(self._free), np.uint64), self.standing.row_of
            rows = [(row, mask) for node, mask in placement if (row := row_of.get(node)) is not None]
            for row, mask in rows:
                masks[row] |= mask
            self.withhold(masks)
            return
        for room in self._rooms():
            room.drop(placement)
        self._taken.append(placement)

    def keeps_all(self) -> bool:
        """Whether all that is kept for waiting jobs is still free or on its way back, and no GPU is kept for two."""
        standing = self.standing
        lost = standing.kept & ~(self._free | (standing.coming & standing.fit))
        return not lost.any() and standing.kept_is_disjoint

    def withhold(self, masks: Masks) -> None:
        """Take these GPUs (uint64[n]) out of each room that has them."""
        for room in self._rooms():
            room.free &= ~masks
        self._taken.append(masks)

    def restore(self, placement: Placement) -> None:
        """Put back what each room had of these GPUs when the round began."""
        rows, owner = self.standing.row_of, self.standing.owner
        self.now.add(self.free_of(placement))
        self.future.add(placement)
        self.alone.add(tuple((node, mask & ~int(owner[rows[node]])) for node, mask in placement))

    def free_of(self, placement: Placement) -> Placement:
        """Which of these GPUs nobody held when the round began."""
        rows = self.standing.row_of
        found = ((node, mask & int(self._free[rows[node]])) for node, mask in placement)
        return tuple((node, mask) for node, mask in found if mask)

    def _rooms(self) -> Iterator[Room]:
        yield self.now
        yield from self._later.values()

    def room_of(self, free: Masks) -> Room:
        """A room of these GPUs (uint64[n]), less what this round has handed out so far."""
        room = Room(self.standing.nodes, self.standing.fit, free, self.standing.row_of, self.standing.topology)
        for taken in self._taken:
            if isinstance(taken, tuple):
                room.drop(taken)
            else:
                room.free &= ~taken
        return room

    def _room(self, name: str, free: Callable[[], Masks]) -> Room:
        room = self._later.get(name)
        if room is None:
            room = self._later[name] = self.room_of(free())
        return room


def demand_of(jobs: Iterable[OwnerJob]) -> int:
    """GPUs that the owner's jobs hold or wait for; a job in hand-over wants nothing any more."""
    return sum(job.gpus for job in jobs if job.state is not JobState.HANDOVER)
