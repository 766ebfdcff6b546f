"""The tables that move leases and the owner's jobs: nothing else does."""

import itertools
from dataclasses import replace

import pytest
from builders import T0, S, job_of, lease_of, running

from sublet.core.errors import Conflict, IllegalStep
from sublet.core.lease import HELD, NEXT, WAITING, Event, State, step
from sublet.core.owner import JOB_HELD, NEXT_JOB, JobEvent, JobState, step_job


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_only_the_table_moves_a_lease(state: State, event: Event) -> None:
    lease = lease_of(state=state, version=3, reason="before")
    if (state, event) in NEXT:
        moved = step(lease, event, at=T0 + S, reason="after")
        expected = replace(lease, state=NEXT[state, event], since_us=T0 + S, version=4, reason="after")
        assert moved == expected
    else:
        with pytest.raises(IllegalStep, match=f"l1 is {state}: it cannot take {event}"):
            step(lease, event, at=T0 + S)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JobState, JobEvent)))
def test_only_the_table_moves_a_job_of_the_owner(state: JobState, event: JobEvent) -> None:
    job = job_of(state=state, version=3, reason="before")
    if (state, event) in NEXT_JOB:
        moved = step_job(job, event, at=T0 + S, reason="after")
        assert moved == replace(job, state=NEXT_JOB[state, event], since_us=T0 + S, version=4, reason="after")
    else:
        with pytest.raises(IllegalStep, match=f"j1 is {state}: it cannot take {event}"):
            step_job(job, event, at=T0 + S)


def test_a_step_without_a_reason_keeps_the_last_one() -> None:
    assert step(lease_of(reason="why"), Event.ADMIT, at=T0).reason == "why"
    assert step_job(job_of(reason="why"), JobEvent.PLACE, at=T0).reason == "why"


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(AssertionError, match="backwards"):
        step(lease_of(), Event.ADMIT, at=T0 - 1)
    with pytest.raises(AssertionError, match="backwards"):
        step_job(job_of(), JobEvent.PLACE, at=T0 - 1)


def test_every_state_either_holds_gpus_or_waits_or_is_over() -> None:
    assert {*HELD, *WAITING, State.ENDED} == set(State)
    assert not HELD & WAITING
    assert {*JOB_HELD, JobState.WAITING, JobState.ENDED} == set(JobState)


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_lease_can_be_reached_and_left(state: State) -> None:
    reached = {State.REQUESTED}
    for _ in State:
        reached |= {target for (source, _), target in NEXT.items() if source in reached}
    ending = {State.ENDED}
    for _ in State:
        ending |= {source for (source, _), target in NEXT.items() if target in ending}
    assert state in reached and state in ending


def test_gpus_are_given_up_only_through_the_hand_over() -> None:
    """A GPU unavailable, or offered, while its lease lingers (akash-network/support#430): no held state but the hand-over
    leads to one that holds nothing."""
    ways_out = {source for (source, _), target in NEXT.items() if source in HELD and target not in HELD}
    assert ways_out == {State.HANDOVER}
    assert {source for (source, _), target in NEXT_JOB.items() if source in JOB_HELD and target not in JOB_HELD} == {
        JobState.HANDOVER
    }


def test_a_lease_and_a_job_know_their_runs_and_their_share_of_a_node() -> None:
    lease = running("a", (0, 0b11), (1, 0b11), attempt=3)
    assert (lease.run, lease.gpus_per_node) == ("a.3", 2)
    assert (job_of("b", 6, 3).run, job_of("b", 6, 3).gpus_per_node) == ("b.1", 2)


def test_an_illegal_step_is_a_conflict_that_carries_its_message_field_and_hint() -> None:
    error = IllegalStep("no", field="lease", hint="wait")
    assert isinstance(error, Conflict)
    assert (str(error), error.message, error.field, error.hint) == ("no", "no", "lease", "wait")
