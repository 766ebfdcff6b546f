"""Demand as a step function of jobs, against counting at every instant; and per pool, inside the window of a trace."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.demand import demand_of_jobs
from sublet.traces import Gap, JobTable, Options, demand_of, jobs_of, read_jobs
from sublet.traces.demand_table import blanked
from sublet.traces.job_table import in_order

PROFILE = settings(deadline=None, derandomize=True, max_examples=300)

jobs = st.lists(st.tuples(st.integers(-20, 60), st.integers(-5, 30), st.integers(0, 9)), max_size=25)


@PROFILE
@given(drawn=jobs)
def test_the_steps_are_what_counting_at_each_instant_gives(drawn: list[tuple[int, int, int]]) -> None:
    begin, length, gpus = (np.array([job[n] for job in drawn], np.int64) for n in range(3))
    found = demand_of_jobs(begin, begin + length, gpus)
    for at in range(-25, 95):
        there = sum(k for b, n, k in drawn if b <= at < b + n)
        step = np.flatnonzero(found.at_us <= at)
        assert (int(found.gpus[step[-1]]) if len(step) else 0) == there
    assert (np.diff(found.at_us) > 0).all() and (np.diff(found.gpus) != 0).all(), "no step is there twice or for nothing"
    assert found.at_us.dtype == found.gpus.dtype == np.int64
    assert found.now() == 0, "all of them end"


def test_no_job_is_no_demand() -> None:
    none = np.empty(0, np.int64)
    assert len(demand_of_jobs(none, none, none).at_us) == 0
    with pytest.raises(AssertionError):
        demand_of_jobs(none, none, np.array([1]))


def table(rows: list[dict[str, object]], **window: object) -> JobTable:
    plain = {"job": "j", "nodes": 1, "spot": False, "restarts": 0, "line": 1, "pool": "a", "run_us": None, "start_us": None}
    frame = pl.DataFrame([plain | row for row in rows], infer_schema_length=None)
    return JobTable(in_order(frame), clock="relative", **({"from_us": 0, "until_us": 100} | window))  # type: ignore[arg-type]


def test_what_was_asked_for_begins_with_the_submission_and_what_was_held_with_the_start() -> None:
    trace = table(
        [
            {"submit_us": 10, "start_us": 30, "end_us": 50, "run_us": 20, "gpus": 4},
            {"submit_us": 20, "end_us": 40, "run_us": 0, "gpus": 2},  # gave up waiting
            {"submit_us": 60, "end_us": None, "gpus": 1},  # goes on, start not known
            {"submit_us": 70, "end_us": None, "run_us": 0, "gpus": 8, "pool": "b"},  # still waits
        ]
    )
    asked, held = demand_of(trace), demand_of(trace, since="start")
    assert asked.frame.select("pool", "at_us", "gpus").rows() == [
        ("a", 0, 0), ("a", 10, 4), ("a", 20, 6), ("a", 40, 4), ("a", 50, 0), ("a", 60, 1), ("b", 0, 0), ("b", 70, 8),
    ]  # fmt: skip
    assert held.frame.select("pool", "at_us", "gpus").rows() == [("a", 0, 0), ("a", 30, 4), ("a", 50, 0), ("a", 60, 1)]


def test_demand_is_clipped_to_the_window_and_begins_with_the_level_there() -> None:
    trace = table(
        [{"submit_us": 5, "end_us": 80, "gpus": 3}, {"submit_us": 60, "end_us": 95, "gpus": 2}], from_us=50, until_us=90
    )
    demand = demand_of(trace)
    assert demand.frame.select("at_us", "gpus").rows() == [(50, 3), (60, 5), (80, 2)]
    assert (demand.from_us, demand.until_us) == (50, 90)


def test_in_a_gap_demand_is_not_known_and_afterwards_what_it_is_then() -> None:
    trace = table([{"submit_us": 0, "end_us": 40, "gpus": 3}, {"submit_us": 40, "end_us": 100, "gpus": 2}], gaps=(Gap(20, 60),))
    demand = demand_of(trace)
    assert demand.frame.select("at_us", "gpus").rows() == [(0, 3), (20, None), (60, 2)]
    assert demand.history("a").at_us.tolist() == [0, 60] and demand.history("a").gpus.tolist() == [3, 2]
    assert demand.gaps == (Gap(20, 60),)


def test_gaps_that_touch_or_begin_with_the_log_are_blanked_once() -> None:
    steps = pl.DataFrame({"pool": "a", "at_us": [0, 10, 20, 30], "gpus": [1, 2, 3, 4], "capacity": [9, 9, 8, 8]})
    assert blanked(steps, (Gap(0, 10), Gap(10, 25))).rows() == [
        ("a", 0, None, 9), ("a", 10, None, 9), ("a", 25, 3, 8), ("a", 30, 4, 8),
    ]  # fmt: skip


def test_a_made_table_has_every_column_and_its_own_window() -> None:
    us = np.array([5, 1], np.int64)
    made = jobs_of(submit_us=us, run_us=np.array([10, 3], np.int64), gpus=np.array([1, 2], np.int64))
    assert made.submit_us.tolist() == [1, 5] and made.duration_us.tolist() == [3, 10] and made.gpus.tolist() == [2, 1]
    assert (made.from_us, made.until_us, made.rows, made.pools) == (1, 15, 2, ("all",))


def test_duration_is_what_is_known_or_so_far() -> None:
    trace = table(
        [
            {"submit_us": 10, "start_us": 30, "end_us": 60, "run_us": 20, "gpus": 4},  # was suspended
            {"submit_us": 20, "start_us": 40, "end_us": None, "gpus": 4},
            {"submit_us": 30, "end_us": None, "gpus": 4},
            {"submit_us": 40, "start_us": 120, "end_us": None, "gpus": 4},  # waits when the trace ends
            {"submit_us": 50, "end_us": 60, "run_us": 0, "gpus": 4},
        ]
    )
    assert trace.duration_us.tolist() == [20, 60, 70, 0, 0]


def test_a_large_trace_takes_well_under_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    submit = np.sort(rng.integers(0, 10**13, 200_000))
    made = jobs_of(submit_us=submit, run_us=rng.integers(1, 10**10, 200_000), gpus=rng.integers(1, 9, 200_000))
    demand = demand_of(made)
    assert int((demand.frame["gpus"] >= 0).sum()) == len(demand) > 300_000
    pl.DataFrame({"submit_s": submit / 1e6, "duration_s": made.duration_us / 1e6, "gpus": made.gpus}).write_parquet(
        tmp_path / "t"
    )
    assert len(read_jobs(tmp_path / "t", Options())) == 200_000
