"""What each happening makes of a lease: granted, started, noticed, stopped, released, exited, handed over."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from builders import T0, S, lease_of, place, pool_of, running

from sublet.core import lifecycle
from sublet.core.errors import IllegalStep
from sublet.core.lease import Cause, Lease, State
from sublet.core.plan import Grant, Notice

POOL = pool_of(backoff_us=60 * S, backoff_max_us=3600 * S)
GRANT = Grant(
    lease=lease_of().id,
    version=2,
    placement=place((0, 1)),
    price_micro=7,
    exempt_until_us=T0 + 120 * S,
    hold_micro=9,
    funded_until_us=T0 + 3600 * S,
    reason="cheap",
)


def notice_of(lease: Lease, cause: Cause, deadline_us: int) -> Notice:
    return Notice(lease.id, lease.version, cause, deadline_us, "because")


def after_handover(lease: Lease, at_us: int = T0 + 500 * S) -> Lease:
    return lifecycle.after_handover(POOL, lease, at_us=at_us)


def handed_in(cause: Cause, exit_code: int | None, **fields: object) -> Lease:
    ended = {"state": State.HANDOVER, "cause": cause, "exit_code": exit_code, "stopped_us": T0 + 400 * S, "usage_seq": 4}
    return running("l1", (0, 1), since_us=T0 + 400 * S, **ended | fields)


def test_a_grant_begins_a_new_attempt_with_its_price_window_and_funds() -> None:
    reserved, ordered = lifecycle.granted(lease_of(state=State.QUEUED, attempt=1), GRANT, at_us=T0)
    assert (reserved.state, ordered.state) == (State.RESERVED, State.STARTING)
    assert (ordered.attempt, ordered.price_micro, ordered.placement) == (2, 7, place((0, 1)))
    assert (ordered.granted_us, ordered.exempt_until_us, ordered.funded_until_us) == (T0, T0 + 120 * S, T0 + 3600 * S)
    assert ordered.reason == "cheap"


@pytest.mark.parametrize(("term_us", "ends_us"), [(None, None), (100 * S, T0 + 110 * S)])
def test_the_term_begins_when_the_workload_runs(term_us: int | None, ends_us: int | None) -> None:
    lease = running("l1", (0, 1), state=State.STARTING, started_us=None, term_us=term_us)
    begun = lifecycle.started(lease, at_us=T0 + 10 * S)
    assert (begun.state, begun.started_us, begun.ends_us) == (State.ACTIVE, T0 + 10 * S, ends_us)
    assert begun.reason == "runs"


def test_a_workload_that_comes_up_after_its_notice_stays_noticed() -> None:
    lease = running("l1", (0, 1), state=State.STARTING, started_us=None)
    told = lifecycle.noticed(lease, notice_of(lease, Cause.RECLAIMED, T0 + 120 * S), at_us=T0 + S)
    begun = lifecycle.started(told, at_us=T0 + 2 * S)
    assert (begun.state, begun.started_us, begun.deadline_us) == (State.NOTICED, T0 + 2 * S, T0 + 120 * S)
    assert begun.reason == "because"


def test_an_earlier_reclaim_overtakes_an_expiry() -> None:
    lease = running("l1", (0, 1))
    told = lifecycle.noticed(lease, notice_of(lease, Cause.EXPIRED, T0 + 900 * S), at_us=T0 + S)
    again = lifecycle.noticed(told, notice_of(lease, Cause.RECLAIMED, T0 + 120 * S), at_us=T0 + 2 * S)
    assert (again.cause, again.deadline_us, again.noticed_us) == (Cause.RECLAIMED, T0 + 120 * S, T0 + 2 * S)


def test_a_cause_that_was_announced_stands() -> None:
    lease = running("l1", (0, 1))
    told = lifecycle.noticed(lease, notice_of(lease, Cause.RECLAIMED, T0 + 120 * S), at_us=T0 + S)
    ended = lifecycle.stopped(told, Cause.FAILED, at_us=T0 + 120 * S, reason="out")
    assert (ended.cause, ended.stopped_us, ended.state) == (Cause.RECLAIMED, T0 + 120 * S, State.STOPPING)
    assert lifecycle.stopped(lease, Cause.FAILED, at_us=T0, reason="stuck").cause is Cause.FAILED


@pytest.mark.parametrize("state", [State.REQUESTED, State.QUEUED, State.PAUSED])
def test_a_waiting_lease_is_released_at_once(state: State) -> None:
    gone = lifecycle.released(lease_of(state=state), at_us=T0)
    assert (gone.state, gone.cause) == (State.ENDED, Cause.RELEASED)


@pytest.mark.parametrize("state", [State.RESERVED, State.STARTING, State.ACTIVE])
def test_a_held_lease_is_released_for_good_and_billed_no_further(state: State) -> None:
    gone = lifecycle.released(running("l1", (0, 1), state=state), at_us=T0 + S)
    assert (gone.state, gone.cause, gone.stopped_us, gone.restartable) == (State.STOPPING, Cause.RELEASED, T0 + S, False)


def test_a_release_during_the_notice_of_a_reclaim_stays_a_reclaim_and_is_not_queued_again() -> None:
    lease = running("l1", (0, 1))
    told = lifecycle.noticed(lease, notice_of(lease, Cause.RECLAIMED, T0 + 120 * S), at_us=T0 + S)
    gone = lifecycle.after_exit(lifecycle.released(told, at_us=T0 + 2 * S), exit_code=143, at_us=T0 + 3 * S)
    assert (gone.cause, gone.stopped_us) == (Cause.RECLAIMED, T0 + 2 * S)
    over = after_handover(gone)
    assert (over.state, over.cause) == (State.ENDED, Cause.RECLAIMED)


@pytest.mark.parametrize("state", [State.STOPPING, State.HANDOVER, State.ENDED])
def test_what_already_ends_cannot_be_released(state: State) -> None:
    with pytest.raises(IllegalStep):
        lifecycle.released(running("l1", (0, 1), state=state), at_us=T0)


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [(0, Cause.COMPLETED), (85, Cause.COMPLETED), (1, Cause.FAILED), (-9, Cause.FAILED), (None, Cause.FAILED)],
)
def test_without_an_announced_cause_the_exit_code_speaks(exit_code: int | None, cause: Cause) -> None:
    gone = lifecycle.after_exit(running("l1", (0, 1)), exit_code=exit_code, at_us=T0 + 9 * S)
    assert (gone.state, gone.cause, gone.exit_code, gone.stopped_us) == (State.HANDOVER, cause, exit_code, T0 + 9 * S)
    assert gone.reason == f"{cause}; exit code {'unknown' if exit_code is None else exit_code}"


def test_billing_stops_at_the_stop_and_not_at_a_later_exit() -> None:
    lease = lifecycle.stopped(running("l1", (0, 1)), Cause.RELEASED, at_us=T0 + 5 * S, reason="")
    assert lifecycle.after_exit(lease, exit_code=0, at_us=T0 + 9 * S).stopped_us == T0 + 5 * S


def expected_end(cause: Cause, exit_code: int | None, *, restartable: bool) -> tuple[State, Cause | None]:
    """The rule in words: what was cut off goes on if it may; what finished is finished, whoever wanted its end."""
    finished = exit_code == 0
    if restartable and not finished and cause is Cause.RECLAIMED:
        return State.QUEUED, None
    if restartable and not finished and cause is Cause.BUDGET:
        return State.PAUSED, Cause.BUDGET
    if restartable and (cause, exit_code) in {(Cause.COMPLETED, 85), (Cause.FAILED, None)}:
        return State.QUEUED, None
    return State.ENDED, Cause.COMPLETED if finished and cause is Cause.RECLAIMED else cause


@pytest.mark.parametrize(
    ("cause", "exit_code", "restartable"), list(itertools.product(Cause, [0, 1, 85, -15, None], [True, False]))
)
def test_the_hand_over_leads_to_the_next_attempt_or_to_the_end(cause: Cause, exit_code: int | None, restartable: bool) -> None:  # noqa: FBT001
    after = after_handover(handed_in(cause, exit_code, restartable=restartable))
    assert (after.state, after.cause) == expected_end(cause, exit_code, restartable=restartable)
    assert after.placement == ()
    assert after.reclaims == (1 if after.state is State.QUEUED and cause is Cause.RECLAIMED else 0)
    if after.state is not State.ENDED:
        fresh = lease_of("l1")
        for name in ("price_micro", "granted_us", "exempt_until_us", "ends_us", "funded_until_us", "started_us", "noticed_us"):
            assert getattr(after, name) == getattr(fresh, name), name
        assert (after.deadline_us, after.stopped_us, after.metered_us) == (None, None, None)
        assert after.exit_code == (exit_code if cause is Cause.RECLAIMED else None), "how it answered is remembered"
        assert after.heeds == (cause is Cause.RECLAIMED and exit_code == 85)
        assert (after.attempt, after.usage_seq) == (1, 4), "attempts and usage are numbered over the whole life"


def test_the_back_off_doubles_with_each_reclaim_up_to_its_bound() -> None:
    """Reclaim turned off because borrowed work was evicted again and again (djinnos/djinn#2909)."""
    waits = []
    for reclaims in range(9):
        after = after_handover(handed_in(Cause.RECLAIMED, None, reclaims=reclaims))
        waits.append((after.not_before_us - after.since_us) // S)
        assert ("reclaimed once" if reclaims + 1 == 1 else f"reclaimed {reclaims + 1} times") in after.reason
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert after_handover(handed_in(Cause.RECLAIMED, None, reclaims=10_000)).not_before_us == T0 + 500 * S + 3600 * S


@pytest.mark.parametrize(
    ("ended", "waits_s"),
    [
        ({"exit_code": 85, "started_us": T0}, [60, 60, 60, 480, 720]),  # it saved 400 s when it was told, and will restart
        ({"exit_code": 85, "started_us": T0 - 400 * S}, [60, 60, 60, 60, 60]),  # more than twelve restarts are long
        ({"exit_code": None, "started_us": T0, "checkpoint_us": T0 + 130 * S}, [60, 60, 240, 480, 960]),
        ({"exit_code": None, "started_us": T0, "checkpoint_us": T0 + 390 * S}, [60, 60, 60, 480, 840]),  # it lost 10 s
        ({"exit_code": None, "started_us": T0, "checkpoint_us": T0 - 500 * S}, [60, 120, 240, 480, 960]),  # of an earlier one
        ({"exit_code": None, "started_us": None}, [60, 120, 240, 480, 720]),  # it never began
    ],
)
def test_a_back_off_is_as_long_as_what_was_lost_calls_for_and_the_shortest_where_as_much_was_saved(
    ended: dict[str, Any], waits_s: list[int]
) -> None:
    """At most twelve times the lost work and the restart of a minute; the doubling alone would go on to an hour."""
    for reclaims, wait_s in enumerate(waits_s):
        after = after_handover(handed_in(Cause.RECLAIMED, **ended, reclaims=reclaims))
        assert (after.not_before_us - after.since_us) // S == wait_s
        assert after.reclaims == reclaims + 1


def test_work_that_asked_for_a_restart_queues_at_once() -> None:
    after = after_handover(handed_in(Cause.COMPLETED, 85, not_before_us=T0))
    assert (after.state, after.not_before_us, after.reclaims) == (State.QUEUED, T0, 0)


def test_a_run_lost_with_its_node_is_tried_again_after_a_while_but_not_one_that_cannot_be_started() -> None:
    after = after_handover(handed_in(Cause.FAILED, None, reclaims=3))
    assert (after.state, after.not_before_us, after.reclaims) == (State.QUEUED, T0 + 560 * S, 3)
    never = handed_in(Cause.FAILED, None, started_us=None)
    assert after_handover(never).not_before_us == T0 + 560 * S and lifecycle.goes_on(never)
    assert after_handover(replace(never, restartable=False)).state is State.ENDED
    unstartable = handed_in(Cause.FAILED, 126, started_us=None)
    assert after_handover(unstartable).state is State.ENDED and not lifecycle.goes_on(unstartable)


def test_the_next_attempt_keeps_what_was_saved() -> None:
    lease = replace(handed_in(Cause.RECLAIMED, 143), checkpoint_us=T0 + 300 * S)
    assert after_handover(lease).checkpoint_us == T0 + 300 * S
