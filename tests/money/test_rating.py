"""Time becomes money once, however it is cut."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from books import HOUR_US, PRICE, SECOND_US, T0, queued
from hypothesis import given
from hypothesis import strategies as st

from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.rating import charge, due, hold_micro, owed_on_reclaim, paid_until_us, window_us
from sublet.core.terms import TERMS
from sublet.core.units import TICK_US, charge_micro
from sublet.core.usage import Attempt, Usage, UsageKind

ticks = st.integers(0, 64 * 3_000).map(lambda number: number * TICK_US)


def running(**fields: object) -> Lease:
    lease = replace(queued("l1"), state=State.ACTIVE, attempt=1, price_micro=PRICE, granted_us=T0, started_us=T0)
    return replace(lease, **fields)  # type: ignore[arg-type]


def metered(lease: Lease, moments: list[int]) -> list[Usage]:
    """Meter at each moment as the control plane would: what it cannot know yet, it does not see."""
    out: list[Usage] = []
    for now in moments:
        seen = lease
        if lease.noticed_us is not None and lease.noticed_us > now:
            seen = replace(seen, noticed_us=None, cause=None)
        if lease.stopped_us is not None and lease.stopped_us > now:
            seen = replace(seen, stopped_us=None)
        seen = replace(seen, metered_us=out[-1].to_us if out else lease.metered_us, usage_seq=len(out))
        out += due(seen, until_us=now)
    return out


@st.composite
def lives(draw: st.DrawFn) -> Lease:
    """A finished attempt with any order of notice, stop and end of funds, and any price."""
    stop = T0 + draw(ticks)
    notice = draw(st.none() | st.integers(0, (stop - T0) // TICK_US).map(lambda number: T0 + number * TICK_US))
    funded = draw(st.none() | ticks.map(lambda length: T0 + length))
    cause = draw(st.sampled_from([Cause.RECLAIMED, Cause.EXPIRED, Cause.BUDGET])) if notice is not None else Cause.COMPLETED
    return running(
        stopped_us=stop,
        noticed_us=notice,
        cause=cause,
        funded_until_us=funded,
        gpus=draw(st.integers(1, 16)),
        price_micro=draw(st.integers(0, 10_000_000)),
    )


@given(lives(), st.lists(ticks, max_size=30))
def test_any_cutting_bills_the_same_time(lease: Lease, cuts: list[int]) -> None:
    assert lease.stopped_us is not None
    moments = [*sorted(T0 + cut for cut in cuts), lease.stopped_us]
    moments = [
        *(moment for moment in moments[:-1] if moment < lease.stopped_us),
        lease.stopped_us,
        lease.stopped_us + SECOND_US,
    ]
    found, whole = metered(lease, moments), metered(lease, [lease.stopped_us])

    assert all(one.to_us == other.from_us for one, other in pairwise(found))
    assert all(one.from_us < one.to_us for one in found)
    assert [one.seq for one in found] == list(range(1, len(found) + 1))
    for kind in UsageKind:
        assert sum(one.gpu_us for one in found if one.kind is kind) == sum(one.gpu_us for one in whole if one.kind is kind)

    leased = lease.gpus * (lease.stopped_us - T0)
    free = sum(one.gpu_us for one in found if one.kind is not UsageKind.BILLED)
    billed = sum(one.gpu_us for one in found if one.kind is UsageKind.BILLED)
    assert billed == leased - free


@given(lives(), st.lists(ticks, max_size=30))
def test_rounding_is_half_a_micro_unit_an_interval_and_inside_the_hold(lease: Lease, cuts: list[int]) -> None:
    assert lease.stopped_us is not None and lease.price_micro is not None
    moments = [moment for moment in sorted(T0 + cut for cut in cuts) if moment < lease.stopped_us]
    found = [one for one in metered(lease, [*moments, lease.stopped_us]) if one.kind is UsageKind.BILLED]
    charged = sum(charge(one) for one in found)
    exact = Fraction(sum(one.gpu_us for one in found) * lease.price_micro, HOUR_US)
    assert abs(charged - exact) <= Fraction(len(found), 2)
    if found:
        assert charged <= hold_micro(lease.gpus, found[-1].to_us - T0, lease.price_micro)


@given(st.integers(1, 5_000), st.integers(1, 16), st.integers(1, 10_000_000))
def test_the_hold_covers_the_finest_metering(seconds: int, gpus: int, price: int) -> None:
    every_second = seconds * charge_micro(gpus * SECOND_US, price)
    assert every_second <= hold_micro(gpus, seconds * SECOND_US, price)


@given(st.integers(1, 16), st.integers(0, 10_000_000), st.integers(0, 10**9), ticks)
def test_the_affordable_window_is_the_longest_one(gpus: int, price: int, affordable: int, at_most: int) -> None:
    window = window_us(gpus, price, affordable_micro=affordable, at_most_us=at_most)
    assert 0 <= window <= at_most
    assert window == 0 or hold_micro(gpus, window, price) <= affordable
    assert window == at_most or hold_micro(gpus, window + TICK_US, price) > affordable


def test_nothing_is_due_before_the_start() -> None:
    assert due(running(started_us=None), until_us=T0 + HOUR_US) == ()
    assert due(running(started_us=T0 + HOUR_US), until_us=T0) == ()


def test_a_growing_interval_is_not_cut_into_crumbs() -> None:
    assert due(running(), until_us=T0 + SECOND_US - TICK_US) == ()
    assert len(due(running(), until_us=T0 + SECOND_US)) == 1


def test_unfunded_time_waits_while_it_runs_and_is_free_once_it_stopped() -> None:
    lease = running(funded_until_us=T0 + 10 * SECOND_US)
    (only,) = due(lease, until_us=T0 + 30 * SECOND_US)
    assert (only.kind, only.to_us) == (UsageKind.BILLED, T0 + 10 * SECOND_US)
    stopped = replace(lease, stopped_us=T0 + 20 * SECOND_US, metered_us=only.to_us)
    (rest,) = due(stopped, until_us=T0 + 30 * SECOND_US)
    assert (rest.kind, rest.to_us, charge(rest)) == (UsageKind.UNFUNDED, T0 + 20 * SECOND_US, 0)


def test_a_start_after_the_notice_of_a_reclaim_is_all_grace() -> None:
    lease = running(started_us=T0 + SECOND_US, noticed_us=T0, cause=Cause.RECLAIMED)
    (only,) = due(lease, until_us=T0 + 10 * SECOND_US)
    assert only.kind is UsageKind.GRACE


def test_a_reclaim_that_overtakes_an_expiry_frees_only_what_follows_it() -> None:
    lease = running(noticed_us=T0 + 10 * SECOND_US, cause=Cause.RECLAIMED, metered_us=T0 + 12 * SECOND_US)
    (only,) = due(lease, until_us=T0 + 20 * SECOND_US)
    assert (only.kind, only.from_us) == (UsageKind.GRACE, T0 + 12 * SECOND_US)
    assert paid_until_us(lease, until_us=T0 + HOUR_US) == T0 + 10 * SECOND_US


@pytest.mark.parametrize(
    ("lease_class", "cause", "term_us", "owed"),
    [
        (LeaseClass.SPOT, Cause.RECLAIMED, None, (0, 0)),
        (LeaseClass.GUARDED, Cause.RECLAIMED, 4 * HOUR_US, (777, 2 * 4 * PRICE)),
        (LeaseClass.GUARDED, Cause.EXPIRED, 4 * HOUR_US, (0, 0)),
        (LeaseClass.GUARDED, Cause.RECLAIMED, None, (777, 0)),
        (LeaseClass.BLOCK, Cause.RECLAIMED, 10 * HOUR_US, (777, 10 * 2 * 10 * PRICE)),
    ],
)
def test_what_a_reclaim_owes(lease_class: LeaseClass, cause: Cause, term_us: int | None, owed: tuple[int, int]) -> None:
    lease = queued("l1")
    attempt = Attempt(
        lease=lease.id,
        attempt=1,
        tenant=lease.tenant,
        pool=lease.pool,
        lease_class=lease_class,
        gpus=2,
        price_micro=PRICE,
        term_us=term_us,
        granted_us=T0,
        started_us=T0,
        noticed_us=T0,
        deadline_us=T0,
        stopped_us=T0 + 60 * SECOND_US,
        checkpoint_us=T0 + 20 * SECOND_US,
        cause=cause,
        exit_code=None,
    )
    assert owed_on_reclaim(attempt, TERMS[lease_class], 777) == owed
    assert attempt.lost_us == (40 * SECOND_US if cause is Cause.RECLAIMED else 0)
    assert replace(attempt, started_us=None).lost_us == 0
