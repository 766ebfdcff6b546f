"""kill -9 of the control plane at a hundred seeded moments of a running day (PEERS section 3: 23, 25, 26)."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from day import Day, books_are_in_order, no_owner_waited_beyond_the_promise, nothing_ran_twice

KILLS = {"sqlite": 100, "postgresql": 20}


@pytest.fixture
def day(tmp_path: Path, db_url: str) -> Iterator[Day]:
    tmp_path.chmod(0o755)
    made = Day(tmp_path, db_url, random.Random(20261123))
    yield made
    made.close()


@pytest.mark.timeout(400)
def test_a_hundred_kills_lose_nothing_run_nothing_twice_bill_nothing_twice_and_delay_no_owner(day: Day) -> None:
    kills = KILLS[day.database.url.get_backend_name()]
    for _ in range(kills):
        day.live_for(day.rng.uniform(0.05, 0.7))
        day.kill_and_restart()
    while len(day.leases) <= kills / 2 or len(day.jobs) <= kills / 4:  # a slow machine needs longer for as busy a day
        day.live_for(0.5)
    day.live_for(1.0)
    day.drain(60)

    assert day.ended() == (len(day.leases), len(day.jobs)), "a lease or job was lost"
    nothing_ran_twice(day)
    books_are_in_order(day)
    no_owner_waited_beyond_the_promise(day)
