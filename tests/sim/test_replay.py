"""Replays of small fleets: every GPU-second is accounted for, the owner comes first, and nothing is left to chance."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import T0, S, jobs_of, replayed, scene_of, wish

import sublet.app.apply
import sublet.app.decide
import sublet.core.lifecycle
import sublet.core.round
import sublet.sim.replay
from sublet.core.invariants import check_leases
from sublet.core.lease import LeaseClass
from sublet.core.units import HOUR_US, MINUTE_US
from sublet.sim.figures import delays_of, figures_of
from sublet.sim.outcome import outcome_of
from sublet.sim.outlook import Blind, Foreseen
from sublet.sim.scene import Habits, OwnerJobs

PROFILE = settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck))
JOBS = st.lists(
    st.tuples(st.integers(0, 600), st.sampled_from([1, 5, 30, 90, 300]), st.sampled_from([1, 2, 3, 4]), st.integers(1, 2)),
    min_size=1,
    max_size=14,
).map(lambda rows: jobs_of(*rows))
GUARDED = wish(2, lease_class=LeaseClass.GUARDED, term_us=HOUR_US, work_us=HOUR_US, restartable=False)
POOLS = st.fixed_dictionaries(
    {
        "reserve_min": st.integers(0, 3),
        "lending_limit": st.none() | st.integers(0, 6),
        "victim_order": st.sampled_from(["least_loss", "fewest_jobs", "first_in_first_out"]),
    }
)
HABITS = st.builds(
    Habits,
    checkpoint_us=st.none() | st.sampled_from([MINUTE_US, HOUR_US]),
    save_us=st.sampled_from([S, 30 * S, 200 * S]),
    heed=st.booleans(),
)


def test_the_replay_calls_the_very_code_that_the_live_loop_calls() -> None:
    """Not a copy and not a twin: the same function objects decide and move leases in both."""
    replay, deciding, applying = vars(sublet.sim.replay), vars(sublet.app.decide), vars(sublet.app.apply)
    assert replay["decide"] is deciding["decide"] is sublet.core.round.decide
    assert replay["lifecycle"] is applying["lifecycle"] is sublet.core.lifecycle
    assert replay["step"] is applying["step"]
    assert replay["step_job"] is applying["step_job"]


@PROFILE
@given(jobs=JOBS, pool=POOLS, habits=HABITS)
def test_every_gpu_second_has_one_state_and_the_sums_are_those_of_the_spans(
    jobs: OwnerJobs, pool: dict[str, Any], habits: Habits
) -> None:
    scene = scene_of(jobs, pool=pool, habits=habits, standing=(wish(2), wish(1), GUARDED))
    replay, estate = replayed(scene)
    by_spans = estate.by_spans(scene)
    assert by_spans.conserved and estate.account.conserved
    assert dict(estate.account.total) == by_spans.by_state
    leased = sum(one.leased_us for one in replay.tally.by_class.values())
    assert leased == estate.account.total["leased"], "what was measured of leases is the time that they were leased"
    assert check_leases(estate.standing.leases.values()) == []


@PROFILE
@given(jobs=JOBS, pool=POOLS, habits=HABITS)
def test_no_owner_job_waits_longer_for_leases_than_was_promised(jobs: OwnerJobs, pool: dict[str, Any], habits: Habits) -> None:
    replay, _ = replayed(scene_of(jobs, pool=pool, habits=habits, standing=(wish(2), wish(1))))
    delays = np.array(replay.tally.delays_us)
    assert len(delays) and delays.min() >= 0
    longest = 120 * S + replay.scene.engine.stop_us + replay.scene.engine.handover_us
    assert delays.max() <= longest <= replay.scene.pool.promise.within_us, "notice, stop and wipe: nothing adds to it"
    outcome = outcome_of("x", replay)
    assert delays_of([outcome]).broken == 0


@PROFILE
@given(jobs=JOBS, habits=HABITS)
def test_the_same_scene_gives_the_same_figures(jobs: OwnerJobs, habits: Habits) -> None:
    scene = scene_of(jobs, habits=habits)

    def figures() -> dict[str, Any]:
        replay, _ = replayed(scene)
        return figures_of([outcome_of("x", replay)], bounds_us={0: 1}, rng=np.random.default_rng(7)).document()

    assert repr(figures()) == repr(figures())


@PROFILE
@given(jobs=JOBS, hour=st.integers(1, 6))
def test_a_replay_that_takes_up_another_s_opening_goes_on_as_if_it_had_seen_all_of_it(jobs: OwnerJobs, hour: int) -> None:
    scene = scene_of(jobs, open_us=T0 + hour * HOUR_US)
    nothing, _ = replayed(scene_of(jobs, open_us=T0 + hour * HOUR_US, pool={"lending_limit": 0}))
    whole, estate = replayed(scene)
    resumed = sublet.sim.replay.Replay(scene, Blind())
    resumed.run(opening=nothing.opening)
    one, other = outcome_of("x", whole), outcome_of("x", resumed)
    for name in ("states_us", "by_class", "alarms", "unstarted", "rounds"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("starts_us", "delays_us", "curve_us", "offers", "demand"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    assert estate.account.since_us == scene.open_us


class EveryRound(sublet.sim.replay.Replay):
    """A replay that leaves out no round of the market."""

    def _nothing_to_lend(self) -> bool:
        return False

    def _nobody_to_lend_to(self) -> bool:
        return False


@PROFILE
@given(jobs=JOBS, pool=POOLS, minutes=st.lists(st.integers(0, 700), max_size=8), standing=st.booleans())
def test_rounds_of_the_market_that_are_left_out_would_have_decided_nothing(
    jobs: OwnerJobs, pool: dict[str, Any], minutes: list[int], *, standing: bool
) -> None:
    listed = tuple((T0 + minute * MINUTE_US, wish(1 + minute % 2)) for minute in sorted(minutes))
    scene = scene_of(jobs, pool=pool, standing=(wish(2),) if standing else (), listed=listed)
    ahead = {scene.pool.longest_handback_us(120 * S, 0): np.arange(12, dtype=np.int64) % 3}
    hours = T0 + HOUR_US * np.arange(12, dtype=np.int64)
    outcomes = []
    for kind in (sublet.sim.replay.Replay, EveryRound):
        replay = kind(scene, Foreseen(hours, {}, ahead))
        replay.run()
        outcomes.append(outcome_of("x", replay))
    one, other = outcomes
    assert one.rounds <= other.rounds
    for name in ("states_us", "by_class", "alarms", "unstarted"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("starts_us", "delays_us", "curve_us", "offers", "demand"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


@PROFILE
@given(jobs=JOBS)
def test_with_nothing_leased_no_owner_job_waits_for_leases(jobs: OwnerJobs) -> None:
    replay, estate = replayed(scene_of(jobs, pool={"lending_limit": 0}))
    assert max(replay.tally.delays_us, default=0) == 0
    assert estate.account.total["leased"] == estate.account.total["handover"] == 0


def test_an_owner_job_ends_a_lease_that_saves_and_goes_on_later() -> None:
    """One node of 4: the lease has it, is told after 100 minutes, saves in 30 s, and the job runs a wipe later."""
    one = wish(4, work_us=5 * HOUR_US)
    scene = scene_of(jobs_of((100, 60, 4, 1)), (4,), hours=5, standing=(), listed=((T0, one),))
    replay, estate = replayed(scene)
    assert list(replay.tally.delays_us) == [(30 + 60) * S], "save and wipe"
    spot = replay.tally.by_class[LeaseClass.SPOT]
    assert (spot.granted, spot.reclaimed, spot.lost_us) == (2, 1, 0)
    (lease,) = estate.standing.leases.values()
    assert (lease.attempt, lease.reclaims) == (2, 1)
    assert spot.leased_us == estate.account.total["leased"]


@pytest.mark.parametrize(
    ("habits", "lost_min"),
    [
        (Habits(heed=True), 0),
        (Habits(heed=False, checkpoint_us=None), 101),  # all of it, the notice of two minutes included
        (Habits(heed=False, checkpoint_us=HOUR_US), 41),
        (Habits(heed=False, checkpoint_us=10 * MINUTE_US, save_us=30 * S), 1),
    ],
)
def test_what_is_lost_is_the_work_since_the_last_checkpoint(habits: Habits, lost_min: int) -> None:
    scene = scene_of(
        jobs_of((101 - 2 + 10 / 60, 60, 4, 1)), (4,), standing=(), listed=((T0, wish(4, work_us=5 * HOUR_US)),), habits=habits
    )
    replay, _ = replayed(scene)
    assert replay.tally.by_class[LeaseClass.SPOT].lost_us == lost_min * 4 * MINUTE_US


def test_a_guarded_lease_that_is_broken_costs_a_refund_and_a_credit() -> None:
    listed = ((T0, replace(GUARDED, gpus_per_node=4)),)
    scene = scene_of(
        jobs_of((30, 60, 4, 1)), (4,), standing=(), listed=listed, pool={"forecast": "window_max_quantile"}, hours=3
    )
    replay, _ = replayed(scene)
    assert not replay.tally.by_class[LeaseClass.GUARDED].granted, "nothing is guaranteed while nothing is known"
    replay, _ = replayed(scene, Sure(0))
    guarded = replay.tally.by_class[LeaseClass.GUARDED]
    assert (guarded.granted, guarded.ended, guarded.reclaimed) == (1, 1, 1)
    assert guarded.refunded_micro == guarded.revenue_micro > 0
    assert guarded.credited_micro == 4 * 1_000_000, "the price of the whole hour, once"


class Sure:
    """An outlook that is certain of the demand to come."""

    def __init__(self, gpus: int) -> None:
        self.gpus = gpus

    def at(self, now_us: int, demand: int) -> Any:
        from sublet.core.forecast import WindowMax
        from sublet.sim.outlook import Known

        del now_us, demand
        sure = WindowMax(np.full(200, self.gpus, np.int64))
        return Known({hours * HOUR_US: sure for hours in (1, 4, 8, 24)})


def test_what_was_offered_is_judged_by_what_came() -> None:
    """An outlook that is always wrong: half of the pool is offered for an hour each hour, and each time the owner takes it."""
    jobs = jobs_of(*[(60 * hour + 30, 10, 4, 2) for hour in range(6)])
    replay, _ = replayed(scene_of(jobs, standing=(), hours=6), Sure(4))
    figures = figures_of([outcome_of("x", replay)], bounds_us={0: 1}, rng=np.random.default_rng(0))
    hourly = next(one for one in figures.windows if one.hours == 1)
    assert (hourly.offered, hourly.reclaimed) == (6, 1.0)


def test_jobs_that_the_owner_s_own_work_keeps_waiting_are_not_leasing_s_doing() -> None:
    replay, _ = replayed(scene_of(jobs_of((0, 240, 4, 2), (10, 30, 4, 2)), standing=(wish(1),)))
    assert list(replay.tally.delays_us) == [0, 0]


def test_a_scene_without_jobs_after_the_opening_is_one_long_lease() -> None:
    scene = scene_of(jobs_of((0, 1, 1, 1)), (2,), hours=5, standing=(wish(1, work_us=1000 * HOUR_US),))
    replay, estate = replayed(scene)
    outcome = outcome_of("x", replay)
    assert outcome.states_us["leased"] > 0.95 * outcome.capacity * outcome.lasted_us
    assert estate.account.conserved
