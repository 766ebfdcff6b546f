"""The tenants' side of a replay: which leases are asked for, how far each one's work is, and what a reclaim loses of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sublet.core.ids import LeaseId
from sublet.core.lease import Access, Cause, Lease, State
from sublet.core.terms import Pool
from sublet.core.units import on_grid
from sublet.core.values import changed
from sublet.sim.scene import Habits, Scene, Wish


@dataclass(slots=True)
class Work:
    """What a lease's workload has still to do, in µs of running, over all its attempts."""

    wish: Wish
    left_us: int
    ran: bool = False  # an attempt has run before: the next one repeats `restart_us` first


class Workloads:
    """Every lease's work. Leases are numbered in the order in which they are asked for."""

    def __init__(self, scene: Scene) -> None:
        """Nobody has asked yet."""
        self._scene = scene
        self._works: dict[LeaseId, Work] = {}
        self._queued: dict[Wish, int] = dict.fromkeys(scene.standing, 0)
        self._patterns = {id(wish): asked(scene.pool, wish, LeaseId(""), scene.open_us) for wish in scene.standing}
        self._next_listed = 0
        self._number = 0

    def next_us(self) -> int | None:
        """When the next listed wish is due; None when none is left."""
        listed = self._scene.listed
        return listed[self._next_listed][0] if self._next_listed < len(listed) else None

    def due(self, now_us: int) -> Iterator[Lease]:
        """Requests that are made now: listed wishes whose instant has come."""
        listed = self._scene.listed
        while self._next_listed < len(listed) and listed[self._next_listed][0] <= now_us:
            wish = listed[self._next_listed][1]
            self._next_listed += 1
            yield self._asked(Work(wish, wish.work_us), now_us)

    def refill(self, now_us: int) -> Iterator[Lease]:
        """Requests that keep the standing wishes at their depth."""
        for wish, queued in self._queued.items():
            for _ in range(self._scene.depth - queued):
                yield self._asked(Work(wish, wish.work_us), now_us)
            self._queued[wish] = self._scene.depth

    def granted(self, lease: Lease) -> None:
        """A first attempt was granted: its standing wish has one request less in the queue."""
        wish = self._works[lease.id].wish
        if lease.attempt == 1 and wish in self._queued:
            self._queued[wish] -= 1

    def refused(self, lease: LeaseId) -> None:
        """It will never run."""
        del self._works[lease]

    def runs_us(self, lease: Lease) -> int:
        """How long the present attempt runs if nothing ends it."""
        work = self._works[lease.id]
        return work.left_us + (self._scene.habits.restart_us if work.ran else 0)

    def leaves_us(self, lease: Lease) -> int | None:
        """When a workload that is told of a reclaim has saved its work and leaves; None: it runs to the deadline."""
        habits = self._scene.habits
        if not habits.heed or lease.noticed_us is None or lease.deadline_us is None:
            return None
        saved = max(lease.noticed_us, lease.started_us or 0) + habits.save_us
        return saved if saved < lease.deadline_us else None

    def saved_us(self, lease: Lease, *, until_us: int) -> int | None:
        """The last checkpoint that the present attempt has by an instant; None if it has none."""
        if lease.started_us is None:
            return None
        last = last_checkpoint(lease.started_us, until_us, self._scene.habits)
        return last if last > lease.started_us else None

    def ended(self, lease: Lease, *, safe_us: int | None) -> None:
        """An attempt ended; what it did up to `safe_us` (None: nothing) need not be done again."""
        work = self._works[lease.id]
        if lease.started_us is None:
            return
        repeated = self._scene.habits.restart_us if work.ran else 0
        done = max(0, (safe_us or lease.started_us) - lease.started_us - repeated)
        work.left_us = max(on_grid(1_000_000), work.left_us - done)
        work.ran = True

    def over(self, lease: Lease, now_us: int) -> Lease | None:
        """A lease ended: the next request for what is left of its work, if its tenant asks again."""
        work = self._works.pop(lease.id, None)
        if work is None or not work.wish.again or lease.cause not in {Cause.RECLAIMED, Cause.EXPIRED}:
            return None
        return self._asked(work, now_us)

    def _asked(self, work: Work, now_us: int) -> Lease:
        self._number += 1
        name = LeaseId(f"l{self._number}")
        self._works[name] = work
        pattern = self._patterns.get(id(work.wish))
        if pattern is None:
            return asked(self._scene.pool, work.wish, name, now_us)
        return changed(pattern, id=name, requested_us=now_us, since_us=now_us)


def last_checkpoint(started_us: int, until_us: int, habits: Habits) -> int:
    """The last checkpoint written by an instant of an attempt that started at `started_us`; the start itself without one."""
    if habits.checkpoint_us is None:
        return started_us
    written = max(0, until_us - habits.save_us - started_us) // habits.checkpoint_us
    return started_us + written * habits.checkpoint_us


def asked(pool: Pool, wish: Wish, name: LeaseId, now_us: int) -> Lease:
    """The request that a wish makes."""
    return Lease(
        id=name,
        tenant=wish.tenant,
        pool=pool.id,
        name=wish.tenant,
        lease_class=wish.lease_class,
        access=Access.BATCH,
        gpus=wish.gpus_per_node * wish.nodes,
        nodes=wish.nodes,
        bid_micro=wish.bid_micro,
        grace_us=pool.terms[wish.lease_class].grace_us,
        requested_us=now_us,
        since_us=now_us,
        state=State.REQUESTED,
        term_us=wish.term_us,
        restartable=wish.restartable and wish.term_us is None,
    )
