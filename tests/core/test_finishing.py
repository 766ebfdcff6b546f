"""When work is done that may be taken back: the kernel against its twin, and the expectation against the kernel."""

from dataclasses import replace

import numpy as np
import pytest
from finish_twins import finished
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.finishing import ATTEMPTS_MAX, Habit, Risk, backed_off_h, expected, finish, of_term, steady
from sublet.core.kernels import finish as kernels
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US

HABITS = st.builds(
    Habit,
    heeds=st.booleans(),
    checkpoint_us=st.none() | st.integers(MINUTE_US, 5 * HOUR_US),
    save_us=st.integers(0, 5 * MINUTE_US),
    restart_us=st.integers(0, 10 * MINUTE_US),
    free_us=st.integers(0, 10 * MINUTE_US),
    turn_us=st.integers(0, 10 * MINUTE_US),
    backoff_us=st.integers(0, MINUTE_US),
    backoff_max_us=st.integers(MINUTE_US, HOUR_US),
)
HAZARDS = st.lists(st.floats(0, 2) | st.sampled_from([0.0, 2.2e-311]), min_size=3, max_size=3)
WAITS = st.lists(st.floats(0, 1e10), min_size=3, max_size=3).map(sorted)


def rows(habit: Habit, count: int) -> np.ndarray:
    return np.tile(np.array(habit.row, np.int64), (count, 1))


@settings(max_examples=150, deadline=None)
@given(
    work=st.lists(st.integers(SECOND_US, 60 * HOUR_US), min_size=1, max_size=4),
    habit=HABITS,
    hazards=st.tuples(HAZARDS, HAZARDS),
    edges=st.tuples(st.integers(1, HOUR_US), st.integers(HOUR_US + 1, 20 * HOUR_US)),
    first=WAITS,
    again=WAITS,
    seed=st.integers(0, 2**40),
)
def test_the_kernel_is_its_twin(*, work, habit, hazards, edges, first, again, seed) -> None:  # type: ignore[no-untyped-def]
    ages = np.array([0, *edges], np.int64)
    risk = Risk((1,), ages, np.array(hazards)[:, None, :].copy(), np.array([first]), np.array([again]))
    found = kernels.finish(
        np.array(work, np.int64), np.zeros(len(work), np.int64), rows(habit, len(work)), ages, risk.hazards_h, risk.first_us,
        risk.again_us, 2, seed, 30,
    )  # fmt: skip
    for job, work_us in enumerate(work):
        for run in range(2):
            twin = finished(work_us, habit, hazards, ages.tolist(), first, again, (seed, job, run), 30)
            mine = tuple(int(part[job, run]) for part in found)
            assert (
                mine[0] == twin[0] and mine[1] == pytest.approx(twin[1], abs=70) and mine[2] == pytest.approx(twin[2], abs=70)
            )


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("checkpoint", [None, HOUR_US, 3 * HOUR_US])
@pytest.mark.parametrize("hazard", [0.002, 0.03, 0.15])
def test_what_is_expected_is_the_mean_of_many_runs(*, heeds: bool, checkpoint: int | None, hazard: float) -> None:
    habit = Habit(heeds, checkpoint)
    work = np.random.default_rng(2).integers(HOUR_US // 4, 12 * HOUR_US, 2_000)
    again = 0.3 * HOUR_US
    played = finish(
        work, np.ones(2_000, np.int64), rows(habit, 2_000), steady(hazard, first_us=1e8, again_us=again), runs=40, seed=7
    )
    said = expected(work / HOUR_US, np.full(2_000, hazard), habit, first_h=1e8 / HOUR_US, again_h=0.3)
    assert played.done.all()
    assert said.billed_h.mean() == pytest.approx(played.billed_us.mean() / HOUR_US, rel=0.02)
    assert said.reclaims.mean() == pytest.approx(played.reclaims.mean(), rel=0.05)
    assert said.end_h.mean() == pytest.approx(played.end_us.mean() / HOUR_US, rel=0.03)


def test_the_share_of_a_term_that_is_taken_back_is_the_share_that_is_said() -> None:
    waits = steady(9.0, first_us=5e8)
    risk = of_term(0.3, 8, waits=waits)
    habit = Habit(heeds=True, restart_us=0)
    played = finish(np.full(4_000, 8 * HOUR_US), np.ones(4_000, np.int64), rows(habit, 4_000), risk, runs=5, seed=1)
    assert (played.reclaims > 0).mean() == pytest.approx(0.3, abs=0.01)
    assert risk.first_us is waits.first_us


def test_work_that_never_saves_and_is_too_long_is_never_done() -> None:
    habit = Habit(heeds=False, checkpoint_us=None)
    played = finish(np.array([60 * HOUR_US]), np.ones(1, np.int64), rows(habit, 1), steady(0.5), runs=3, seed=0)
    assert not played.done.any() and (played.reclaims == ATTEMPTS_MAX).all()
    assert expected(np.array([4_000.0]), np.array([0.5]), habit).end_h[0] == np.inf


def test_without_a_risk_work_takes_its_time() -> None:
    work = np.array([HOUR_US, 7 * HOUR_US])
    played = finish(work, np.ones(2, np.int64), rows(Habit(), 2), steady(0.0, first_us=5e6), runs=2, seed=0)
    assert (played.reclaims == 0).all() and (played.billed_us == work[:, None]).all()
    assert (played.end_us == work[:, None] + 5 * SECOND_US).all()


def test_the_same_seed_gives_the_same_runs_and_another_one_others() -> None:
    work = np.full(50, 10 * HOUR_US)
    one, same, other = (
        finish(work, np.ones(50, np.int64), rows(Habit(), 50), steady(0.2), runs=2, seed=seed) for seed in (1, 1, 2)
    )
    assert (one.end_us == same.end_us).all() and (one.end_us != other.end_us).any()


def test_numbers_are_spread_evenly() -> None:
    found = np.array([kernels.uniform(np.uint64(3), np.uint64(n), np.uint64(0), np.uint64(1)) for n in range(20_000)])
    counts = np.histogram(found, 20, (0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 43.8  # chi-squared, 19 degrees of freedom, 1 in 1,000


@given(count=st.integers(0, 40))
def test_back_offs_double_up_to_the_longest(count: int) -> None:
    habit = Habit(heeds=False, restart_us=HOUR_US, backoff_us=MINUTE_US, backoff_max_us=HOUR_US)
    often, seldom = np.array([1e6]), np.array([1e-9])
    plain = sum(min(MINUTE_US * 2**n, HOUR_US) for n in range(count)) / HOUR_US
    assert backed_off_h(np.array([float(count)]), often, habit)[0] == pytest.approx(plain, rel=1e-4)
    assert backed_off_h(np.array([float(count)]), seldom, habit)[0] == pytest.approx(count / 60, rel=1e-4), "each was worth it"
    cheap = sum(min(MINUTE_US * 2**n, 12 * MINUTE_US) for n in range(count)) / HOUR_US
    restart = replace(habit, restart_us=MINUTE_US)
    assert backed_off_h(np.array([float(count)]), often, restart)[0] == pytest.approx(cheap, rel=1e-4), "12 times what it cost"
    losing = replace(habit, checkpoint_us=None)
    assert backed_off_h(np.array([float(count)]), seldom, losing)[0] == pytest.approx(plain), "no attempt is worth anything"


def test_a_size_takes_the_row_that_holds_it() -> None:
    risk = Risk((1, 8, 64), np.zeros(1, np.int64), np.ones((2, 3, 1)), np.zeros((3, 2)), np.zeros((3, 2)))
    assert risk.kinds(np.array([1, 2, 8, 9, 64, 65])).tolist() == [0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("habit", [Habit(), Habit(heeds=False), Habit(heeds=False, checkpoint_us=None, restart_us=0)])
@pytest.mark.parametrize("hazard_h", [0.2, 2.0, 20.0])
def test_expected_back_offs_are_the_mean_of_those_that_are_played(habit: Habit, hazard_h: float) -> None:
    ages_h, waits_h, back_off_us = np.random.default_rng(1).exponential(1 / hazard_h, 40_000), 0.0, habit.backoff_us
    every, save = np.int64(habit.checkpoint_us or 0), np.int64(habit.save_us)
    for _ in range(5):
        kept_us = np.array([kernels.safe_us(np.int64(age * HOUR_US), habit.heeds, every, save) for age in ages_h])
        cost_us = np.maximum(habit.backoff_us, 12 * (ages_h * HOUR_US - kept_us + habit.restart_us))
        wait_us = np.minimum(back_off_us, cost_us)
        waits_h += float(np.where(kept_us >= wait_us, habit.backoff_us, wait_us).mean()) / HOUR_US
        back_off_us *= 2
    assert backed_off_h(np.array([5.0]), np.array([hazard_h]), habit)[0] == pytest.approx(waits_h, rel=0.03)
