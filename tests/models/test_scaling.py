"""How many replicas there should be: tables of what is there, and what follows."""

from dataclasses import replace
from typing import Any

import pytest

from sublet.core import scaling
from sublet.core.ids import LeaseId, ModelName, ReplicaId, TenantId
from sublet.core.model import Replica, ReplicaState, Serving, Tier
from sublet.core.scaling import ASKED_US, GROW_US, SHRINK_US, Kept
from sublet.core.units import SECOND_US

NOW = 1_000 * SECOND_US
SERVED = Serving(ModelName("m"), Tier.FLEX, TenantId("models"), 1, 4)


def kept(name: str, state: ReplicaState | None = ReplicaState.READY, *, busy: int = 0, queued: int = 0, **more: Any) -> Kept:
    """A lease with its replica of four slots; no state: it waits."""
    lease = LeaseId(name)
    if state is None:
        return Kept(lease, waits=True, **more)
    replica = Replica(
        ReplicaId(f"{name}.1"), SERVED.model, Tier.FLEX, "", "", "", 0, state, lease, slots=4, busy=busy, queued=queued
    )
    return Kept(lease, waits=False, replica=replica, **more)


def decided(*there: Kept, served: Serving = SERVED, now_us: int = NOW) -> scaling.Change:
    return scaling.decide(served, there, now_us=now_us)


@pytest.mark.parametrize(
    ("there", "ask"),
    [
        ((), 1),
        ((kept("a", None),), 0),  # one waits already: it is not asked for twice
        ((kept("a", ReplicaState.STARTING),), 0),
        ((kept("a"),), 0),
        ((kept("a", ReplicaState.DRAINING),), 1),  # its end is known: the next one is asked for at once
        ((kept("a", ending=True),), 1),
        ((kept("a", ReplicaState.DRAINING, ending=True), kept("b", None)), 0),
    ],
)
def test_the_least_is_kept(there: tuple[Kept, ...], ask: int) -> None:
    change = decided(*there)
    assert (change.ask, change.give_up) == (ask, ())


def test_a_full_house_grows_once_it_has_lasted() -> None:
    full = (kept("a", busy=4, queued=2),)
    first = decided(*full)
    assert first.ask == 0 and first.serving.busy_us == NOW
    soon = decided(*full, served=first.serving, now_us=NOW + GROW_US - 1)
    assert soon.ask == 0 and soon.serving.busy_us == NOW
    later = decided(*full, served=first.serving, now_us=NOW + GROW_US)
    assert later.ask == 1 and later.serving.busy_us == 0
    assert decided(*full, kept("b", None), served=first.serving, now_us=NOW + GROW_US).ask == 0  # it is on its way
    calm = decided(kept("a", busy=1), served=first.serving, now_us=NOW + GROW_US)
    assert calm.serving.busy_us == 0, "the time begins anew with the next rush"
    most = tuple(kept(name, busy=4) for name in "abcd")
    assert decided(*most, served=replace(SERVED, busy_us=1), now_us=NOW).ask == 0, "never more than the most"


def test_a_quiet_house_shrinks_by_who_has_least_to_do() -> None:
    quiet = (kept("a", busy=2), kept("b", busy=0), kept("c", busy=1))
    seen = decided(*quiet).serving
    assert seen.idle_us == NOW and not decided(*quiet, served=seen, now_us=NOW + SHRINK_US - 1).give_up
    change = decided(*quiet, served=seen, now_us=NOW + SHRINK_US)
    assert [one.lease for one in change.give_up] == ["b"] and change.serving.idle_us == 0
    assert decided(*(kept(name, busy=3) for name in "abc")).serving.idle_us == 0


def test_who_waits_is_given_up_before_who_serves() -> None:
    """After a reclaim there is the next replica, and the old lease waits out its back-off: that one is withdrawn."""
    there = (kept("a"), kept("old", None, not_before_us=NOW + 60), kept("new", None))
    change = decided(*there, served=replace(SERVED, replicas_max=2, idle_us=0))
    assert [one.lease for one in change.give_up] == ["old"]
    none = replace(SERVED, replicas_min=0, replicas_max=1)
    assert [one.lease for one in decided(*there, served=none).give_up] == ["old", "new"]


def test_nothing_is_kept_of_what_nobody_asks_for() -> None:
    none = replace(SERVED, replicas_min=0)
    assert decided(served=none).ask == 0
    asked = replace(none, asked_us=NOW - 1)
    assert decided(served=asked).ask == 1
    assert decided(served=asked, now_us=NOW + ASKED_US).ask == 0
    idle = replace(none, idle_us=NOW - SHRINK_US)
    assert [one.lease for one in decided(kept("a"), served=idle).give_up] == ["a"]
    assert not decided(kept("a", busy=1), served=idle).give_up
    assert not decided(kept("a"), served=replace(idle, asked_us=NOW - 1)).give_up


def test_after_failures_the_next_try_waits_ever_longer() -> None:
    served, waits = SERVED, []
    for _ in range(12):
        served = scaling.failed(served, "it broke", at_us=NOW)
        waits.append(served.retry_us - NOW)
        assert decided(served=served).ask == 0 and decided(served=served, now_us=served.retry_us).ask == 1
    assert waits[:3] == [5 * SECOND_US, 10 * SECOND_US, 20 * SECOND_US] and waits[-1] == waits[-2] == 600 * SECOND_US
    assert served.detail == "it broke"
