"""Jobs on nodes: what fits is laid out as it was, what does not is counted, and demand alone becomes jobs that add up to it."""

from pathlib import Path

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

from sublet.advice.study.layout import jobs_of_steps, layouts
from sublet.core.demand import demand_of_jobs
from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, TICK_US
from sublet.traces import JobTable, read_trace, written_nodes

HEAD = "submit_s,duration_s,gpus,workers"
AROUND = "0,60,1,1\n864000,60,1,1"  # a trace is as long as its submissions


def table_of(folder: Path, *rows: str, head: str = HEAD) -> JobTable:
    found = read_trace(small.write(folder / "jobs.csv", "\n".join([head, AROUND, *rows]) + "\n"))
    assert isinstance(found, JobTable)
    return found


@pytest.mark.parametrize(
    ("fleet", "row", "gang"),
    [
        ("all=4x8", "5000,600,8,1", (8, 1)),
        ("all=4x8", "5000,600,16,2", (8, 2)),
        ("all=4x8", "5000,600,4,4", (1, 4)),
        ("all=4x8", "5000,600,24,1", (8, 3)),  # a worker larger than any node: as many nodes as it needs
        ("all=4x8", "5000,600,7,2", (4, 2)),  # all nodes of a gang have as many
        ("all=2x8", "5000,600,4,4", (4, 1)),  # more workers than nodes: they share one
        ("all=16", "5000,600,4,1", (1, 4)),  # nothing is known of nodes
    ],
)
def test_a_job_is_a_gang(tmp_path: Path, fleet: str, row: str, gang: tuple[int, int]) -> None:
    (pool,) = layouts(table_of(tmp_path, row), written_nodes([fleet]))
    place = int(np.flatnonzero(pool.jobs.run_us == 600_000_000)[0])
    assert (int(pool.jobs.gpus_per_node[place]), int(pool.jobs.nodes[place])) == gang


@pytest.mark.parametrize(
    ("row", "kind", "says"),
    [
        ("5000,600,33,1", "too_large", "1 job larger than the pool: left out"),
        ("5000,600,7,2", "rounded", "1 GPU added so that all nodes of a gang have as many"),
        ("5000,0,1,1", "never_ran", "1 job that never ran"),
    ],
)
def test_what_is_not_replayed_as_it_was_is_counted(tmp_path: Path, row: str, kind: str, says: str) -> None:
    (pool,) = layouts(table_of(tmp_path, row), written_nodes(["all=4x8"]))
    (left,) = pool.left
    assert left.kind == kind and str(left).startswith(says)


def test_every_job_is_replayed_or_counted(tmp_path: Path) -> None:
    rows = [f"{at},{run},{gpus},{workers}" for at in (10, 20) for run in (0, 50) for gpus in (1, 9, 64) for workers in (1, 2)]
    table = table_of(tmp_path, *rows)
    (pool,) = layouts(table, written_nodes(["all=4x8"]))
    assert len(pool.jobs) + sum(left.count for left in pool.left if left.noun == "job") == len(table.frame)


def test_pools_are_told_apart_and_missing_ones_are_named(tmp_path: Path) -> None:
    rows = ["5,60,1,1,a", "6,60,1,1,b"]
    table = read_trace(small.write(tmp_path / "two.csv", "\n".join([f"{HEAD},pool", *rows, "864000,60,1,1,a"]) + "\n"))
    assert isinstance(table, JobTable)
    assert [(pool.pool, len(pool.jobs), pool.capacity) for pool in layouts(table, written_nodes(["a=1x8", "b=2x4"]))] == [
        ("a", 2, 8),
        ("b", 1, 8),
    ]
    with pytest.raises(Invalid, match="does not have: b"):
        layouts(table, written_nodes(["a=1x8", "c=2x4"]))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30))
def test_jobs_made_of_demand_add_up_to_it(levels: list[int]) -> None:
    at = np.arange(len(levels), dtype=np.int64) * HOUR_US
    jobs = jobs_of_steps(at, np.array(levels, np.int64), len(levels) * HOUR_US)
    demand = demand_of_jobs(jobs.submit_us, jobs.submit_us + jobs.run_us, jobs.gpus_per_node * jobs.nodes)
    for hour, level in enumerate(levels):
        step = np.searchsorted(demand.at_us, hour * HOUR_US + TICK_US, side="right") - 1
        assert (int(demand.gpus[step]) if step >= 0 else 0) == level
