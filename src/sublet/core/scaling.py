"""How many replicas of a model there should be: what is kept at the least, what the load asks for, and never more than that.

A replica more is a lease more: the round grants it from what is lendable, and until then it waits like any other. Nothing here
can make the owner wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sublet.core.ids import LeaseId
from sublet.core.model import Replica, ReplicaState, Serving
from sublet.core.units import MINUTE_US, SECOND_US

FULL_PERCENT = 80
"""Replicas that are this full on the whole are too few, once it has lasted for `GROW_US`."""
SPARE_PERCENT = 50
"""With one replica less they would be at most this full: then there is one too many, once it has lasted for `SHRINK_US`."""
GROW_US = 5 * SECOND_US
SHRINK_US = 2 * MINUTE_US
ASKED_US = 5 * MINUTE_US
"""A tier that keeps no replica by itself has one for so long after somebody asked for it."""
_AT_ONCE = 8
_RETRY_US, _RETRY_MAX_US = 5 * SECOND_US, 10 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Kept:
    """A lease that is kept for a serving, and the replica that it is at present."""

    lease: LeaseId
    waits: bool  # holds no GPU yet
    ending: bool = False  # it is noticed, being stopped or handed over
    over: bool = False  # and of these, it is no longer there for us
    replica: Replica | None = None
    not_before_us: int = 0  # its back-off after a reclaim

    @property
    def counts(self) -> bool:
        """Whether it serves or will: not one whose end is known."""
        return not self.ending and (self.replica is None or self.replica.state is not ReplicaState.DRAINING)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done, and what is remembered."""

    serving: Serving
    ask: int = 0  # leases
    give_up: tuple[Kept, ...] = ()  # who waits is withdrawn, who serves drains first
    reason: str = ""


def failed(serving: Serving, reason: str, *, at_us: int) -> Serving:
    """After a replica that could not be had, or ended before it was ready: the next try waits, twice as long each time."""
    wait = min(_RETRY_US * 2 ** min(serving.failures, 20), _RETRY_MAX_US)
    return replace(serving, failures=serving.failures + 1, retry_us=at_us + wait, detail=reason)


def decide(serving: Serving, kept: Sequence[Kept], *, now_us: int) -> Change:
    """The change that brings a serving to the number of replicas that it should have."""
    counted = [one for one in kept if one.counts]
    ready = [one.replica for one in counted if one.replica is not None and one.replica.state is ReplicaState.READY]
    number = len(counted)
    work = sum(one.busy + one.queued for one in ready)
    slots = sum(one.slots for one in ready)
    full = bool(ready) and len(ready) == number and work * 100 >= slots * FULL_PERCENT
    least = serving.replicas_min or int(now_us - serving.asked_us < ASKED_US and bool(serving.asked_us))
    spare = number > least and len(ready) == number and work * 100 <= _slots_left(ready) * SPARE_PERCENT
    seen = replace(
        serving,
        busy_us=(serving.busy_us or now_us) if full else 0,
        idle_us=(serving.idle_us or now_us) if spare else 0,
    )
    wanted, why = number, ""
    if seen.busy_us and now_us - seen.busy_us >= GROW_US:
        wanted, why, seen = number + 1, f"{work} requests for {slots} slots", replace(seen, busy_us=0)
    elif seen.idle_us and now_us - seen.idle_us >= SHRINK_US:
        wanted, why, seen = number - 1, f"{work} requests for {slots} slots", replace(seen, idle_us=0)
    wanted = max(least, min(serving.replicas_max, wanted))
    if wanted > number and now_us >= serving.retry_us:
        return Change(seen, ask=min(wanted - number, _AT_ONCE), reason=why or "so many are kept")
    if wanted < number:
        return Change(seen, give_up=tuple(sorted(counted, key=_worth))[: number - wanted], reason=why or "so many are kept")
    return Change(seen)


def _slots_left(ready: Sequence[Replica]) -> int:
    """Slots with one replica less: the one that is least busy."""
    return sum(sorted(one.slots for one in ready)[:-1])


def _worth(one: Kept) -> tuple[int, int, str]:
    """Who is given up first: who waits longest yet, then who starts, then who has least to do."""
    if one.waits:
        return (0, -one.not_before_us, one.lease)
    if one.replica is None or one.replica.state is not ReplicaState.READY:
        return (1, 0, one.lease)
    return (2, one.replica.busy, one.lease)
