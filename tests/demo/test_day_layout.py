"""Laying a trace on a few slots: the same seed gives the same day, and nothing is added to what the trace says."""

import numpy as np
import pytest

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, SECOND_US, TICK_US
from sublet.demo.cast import wishes
from sublet.demo.options import Options, check
from sublet.demo.run import PACKAGED
from sublet.demo.schedule import LOAD, lay_out
from sublet.traces import JobTable, jobs_of, read_jobs


def table(*jobs: tuple[float, float, int]) -> JobTable:
    """Jobs as (submitted, lasting, GPUs), in hours."""
    hours = np.array([[at, lasts] for at, lasts, _ in jobs])
    us = (hours * HOUR_US).round().astype(np.int64)
    return jobs_of(submit_us=us[:, 0], run_us=us[:, 1], gpus=np.array([gpus for *_, gpus in jobs], np.int64))


def test_the_last_hours_are_played_at_speed_and_jobs_are_cut_at_the_end_of_the_day() -> None:
    day = lay_out(table((0, 1, 1), (9, 2, 2), (11.5, 9, 1)), slots=8, speed=3600, hours=4, seed=0)
    assert [(p.at_us / 1e6, p.run_us / 1e6, p.gpus) for p in day.pieces] == [(1.0, 2.0, 2), (3.5, 0.5, 1)]
    assert day.length_us == 4 * SECOND_US


def test_what_runs_when_the_day_begins_is_carried_into_it_and_what_ended_is_history() -> None:
    day = lay_out(table((0, 1, 3), (7, 3, 2), (11, 1, 1)), slots=8, speed=3600, hours=4, seed=0)
    assert [(p.at_us / 1e6, p.run_us / 1e6) for p in day.pieces] == [(0.0, 2.0), (3.0, 1.0)]
    assert day.carried == 1
    assert day.history == ((-8 * SECOND_US, 3), (-7 * SECOND_US, 0), (-1 * SECOND_US, 2))


def test_a_job_larger_than_the_machine_takes_all_of_it() -> None:
    day = lay_out(table((0, 0.1, 1), (10, 0.5, 64)), slots=4, speed=3600, hours=8, seed=0)
    assert [p.gpus for p in day.pieces] == [4] and day.shrunk == 1


def test_a_job_that_never_ran_asks_for_nothing() -> None:
    day = lay_out(table((0, 1, 1), (9, 0, 4), (11, 1, 2)), slots=8, speed=3600, hours=4, seed=0)
    assert [p.gpus for p in day.pieces] == [2]


def test_a_trace_too_large_for_the_machine_is_thinned_by_the_seed() -> None:
    many = table(*((n / 100, 2.0, 1) for n in range(1_000)))
    day = lay_out(many, slots=8, speed=3600, hours=8, seed=3)
    asked = sum(p.run_us * p.gpus for p in day.pieces) / day.length_us
    assert day.share < 1 and asked == pytest.approx(LOAD * 8, rel=0.35)
    assert day == lay_out(many, slots=8, speed=3600, hours=8, seed=3)
    assert day.pieces != lay_out(many, slots=8, speed=3600, hours=8, seed=4).pieces


def test_everything_that_is_decided_follows_from_the_seed() -> None:
    real = read_jobs(PACKAGED)
    days = [lay_out(real, slots=8, speed=1440, hours=24, seed=5) for _ in range(2)]
    assert days[0] == days[1] and days[0].share == 1 and len(days[0].pieces) == 40
    asked = [wishes(length_us=days[0].length_us, slots=8, gpu_model="cpu", seed=seed) for seed in (5, 5, 6)]
    assert asked[0] == asked[1] != asked[2]
    assert {wish.tenant for wish in asked[0]} == {"aurora", "borealis", "cirrus"}


def test_all_instants_lie_on_the_grid() -> None:
    day = lay_out(read_jobs(PACKAGED), slots=8, speed=1440, hours=24, seed=0)
    asked = wishes(length_us=day.length_us, slots=8, gpu_model="cpu", seed=0)
    instants = [*(p.at_us for p in day.pieces), *(at for at, _ in day.history), *(w.at_us for w in asked), day.length_us]
    assert all(at % TICK_US == 0 for at in instants)


def test_more_hours_than_the_trace_has_are_refused_with_what_it_has() -> None:
    with pytest.raises(Invalid, match=r"covers 12\.0 hours, less than the 48") as refusal:
        lay_out(table((0, 1, 1), (11.5, 1, 1)), slots=8, speed=3600, hours=48, seed=0)
    assert refusal.value.hint == "give --hours 12 or less"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Options(slots=1), "--slots"),
        (Options(slots=65), "--slots"),
        (Options(speed=0), "--speed"),
        (Options(hours=0), "--hours"),
        (Options(hours=24, speed=1e5), "--speed"),
        (Options(hours=24, speed=1), "--speed"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(wrong: Options, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(wrong)
    assert refusal.value.field == field and refusal.value.hint
