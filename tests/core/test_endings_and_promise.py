"""Endings that time brings, and the promise that is checked before anything is offered."""

from dataclasses import replace

import pytest
from builders import POOL, T0, S, job_of, lease_of, pool_of, running, view_of
from twins import handback_us

from sublet.core.ids import LeaseId
from sublet.core.lease import Cause, Event, Lease, LeaseClass, State
from sublet.core.plan import Plan
from sublet.core.promise import broken_by, promisable
from sublet.core.round import decide
from sublet.core.terms import Promise

NOW = T0 + 3600 * S


def round_of(*leases: Lease) -> Plan:
    return decide(view_of([8, 8], leases, price_at_us=NOW), now=NOW)


def noticed(cause: Cause, deadline_us: int) -> Lease:
    return running("a", (0, 1), state=State.NOTICED, noticed_us=NOW - 60 * S, deadline_us=deadline_us, cause=cause)


@pytest.mark.parametrize("cause", [Cause.RECLAIMED, Cause.EXPIRED, Cause.BUDGET])
def test_a_notice_that_ran_out_stops_the_lease_and_not_before(cause: Cause) -> None:
    (stop,) = round_of(noticed(cause, NOW)).moves
    assert (stop.event, stop.cause, stop.reason) == (Event.STOP, cause, f"its notice ran out ({cause})")
    assert round_of(noticed(cause, NOW + 1)).empty


@pytest.mark.parametrize(
    ("ends", "funded", "cause", "deadline"),
    [
        (NOW + 119 * S, None, Cause.EXPIRED, NOW + 119 * S),
        (None, NOW + 120 * S, Cause.BUDGET, NOW + 120 * S),
        (NOW + 60 * S, NOW + 90 * S, Cause.EXPIRED, NOW + 60 * S),
        (NOW + 90 * S, NOW + 60 * S, Cause.BUDGET, NOW + 60 * S),
        (NOW - S, None, Cause.EXPIRED, NOW),
    ],
)
def test_the_end_of_a_term_or_of_the_funds_is_announced_ahead(
    ends: int | None, funded: int | None, cause: Cause, deadline: int
) -> None:
    (notice,) = round_of(running("a", (0, 1), ends_us=ends, funded_until_us=funded)).notices
    assert (notice.cause, notice.deadline_us, notice.job) == (cause, deadline, None)


def test_what_ends_later_or_never_is_left_alone() -> None:
    assert round_of(running("a", (0, 1)), running("b", (0, 2), ends_us=NOW + 121 * S, funded_until_us=NOW + 999 * S)).empty


def test_a_lease_reclaimed_in_this_round_is_not_announced_twice() -> None:
    lease = running("a", (0, 0b11), ends_us=NOW + 60 * S)
    plan = decide(view_of([2], [lease], [job_of("j", 2)]), now=NOW)
    assert [notice.cause for notice in plan.notices] == [Cause.RECLAIMED]


def test_a_start_that_never_comes_is_given_up() -> None:
    lease = running("a", (0, 1), state=State.STARTING, started_us=None, since_us=NOW - 100 * S)
    assert round_of(lease).empty
    (stop,) = round_of(replace(lease, since_us=NOW - 101 * S)).moves
    assert (stop.event, stop.cause) == (Event.STOP, Cause.FAILED)


@pytest.mark.parametrize(("state", "bound_s"), [(State.STOPPING, 10), (State.HANDOVER, 60)])
def test_an_end_that_takes_ten_times_its_bound_is_reported(state: State, bound_s: int) -> None:
    lease = running("a", (0, 1), state=state, since_us=NOW - 10 * bound_s * S)
    assert round_of(lease).empty
    (alarm,) = round_of(replace(lease, since_us=lease.since_us - S)).alarms
    assert alarm.kind == "handover.overdue" and f"lease a has been {state} for {10 * bound_s + 1} s" in alarm.reason


# the promise


def held(lease_class: LeaseClass = LeaseClass.SPOT, **fields: object) -> Lease:
    return running("a", (0, 0b11), lease_class=lease_class, **fields)


def test_a_hand_back_is_detection_the_longer_of_notice_and_exempt_window_stop_wipe_and_start() -> None:
    pool = pool_of()  # 5 s detection, 10 s stop, 60 s hand-over, 10 s start
    assert handback_us(pool, held(), now_us=NOW) == (85 + 120) * S
    assert handback_us(pool, held(exempt_until_us=NOW + 200 * S), now_us=NOW) == (85 + 200) * S
    assert handback_us(pool, held(noticed_us=NOW - 50 * S, deadline_us=NOW + 70 * S), now_us=NOW) == (85 + 70) * S
    assert handback_us(pool, held(noticed_us=NOW - 50 * S, deadline_us=NOW - S), now_us=NOW) == 85 * S
    assert handback_us(pool, held(LeaseClass.BLOCK), now_us=NOW) is None
    assert handback_us(pool, held(LeaseClass.DEDICATED), now_us=NOW) is None


def test_what_cannot_come_back_in_time_is_not_promised() -> None:
    leases = [held(), held(LeaseClass.DEDICATED), held(grace_us=900 * S)]
    named = [replace(lease, id=LeaseId(f"l{i}")) for i, lease in enumerate(leases)]
    standing = view_of([8, 8], named).standing(POOL)
    assert promisable(standing, now_us=NOW) == 12


@pytest.mark.parametrize(
    ("lease_class", "promised", "promisable_now", "said"),
    [
        (LeaseClass.SPOT, None, 0, None),
        (LeaseClass.BLOCK, None, 16, "promised 16 GPUs within 600 s, and this lease could be taken back only by force"),
        (LeaseClass.BLOCK, 14, 16, None),
        (LeaseClass.BLOCK, 15, 16, "promised 15 GPUs"),
        (LeaseClass.BLOCK, 99, 16, "promised 16 GPUs"),
        (LeaseClass.BLOCK, 0, 1, "promised 0 GPUs"),
    ],
)
def test_an_offer_that_would_break_the_promise_is_refused(
    lease_class: LeaseClass, promised: int | None, promisable_now: int, said: str | None
) -> None:
    pool = pool_of(promise=Promise(gpus=promised))
    why = broken_by(pool, lease_of(lease_class=lease_class, gpus=2), promisable_now=promisable_now, capacity=16)
    assert (why is None) if said is None else (why is not None and said in why)


def test_a_notice_longer_than_the_promise_counts_as_too_late() -> None:
    why = broken_by(pool_of(), lease_of(grace_us=900 * S, gpus=1), promisable_now=16, capacity=16)
    assert why is not None and "only within 985 s" in why
