"""kill -9 of the control plane at a hundred seeded moments of a running day (PEERS section 3: 23, 25, 26)."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from day import PROMISE_US, Day

from sublet.app import audit, billing, metering
from sublet.core.usage import UsageKind
from sublet.store import jobs, usage

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
    _nothing_ran_twice(day)
    _books_are_in_order(day)
    _no_owner_job_was_delayed_beyond_promise_and_restart(day)


def _nothing_ran_twice(day: Day) -> None:
    places = (day.folder / "engine" / "volumes", day.folder / "marks")
    marks = {path.name: len(path.read_text()) // 2 for place in places for path in place.rglob("*.[0-9]*")}
    assert len(marks) > len(day.jobs)
    assert {run: times for run, times in marks.items() if times != 1} == {}


def _books_are_in_order(day: Day) -> None:
    now = day.clock.now_us()
    metering.meter_running(day.database, now_us=now, every_us=0)
    billing.bill(day.database, now_us=now)
    with day.database.read() as tx:
        assert audit.findings(tx, from_us=day.began_us, now_us=now) == []
        measured = usage.between(tx, 0, now)
        assert not usage.unbilled(tx, after=None, limit=1)
        assert not usage.unsettled(tx, after=None, limit=1)
    assert max(Counter((one.lease, one.seq) for one in measured).values()) == 1
    assert sum(one.gpu_us for one in measured if one.kind is UsageKind.BILLED) > 0


def _no_owner_job_was_delayed_beyond_promise_and_restart(day: Day) -> None:
    with day.database.read() as tx:
        done = jobs.some(tx, day.jobs)
    late = []
    for job in done:
        assert job.entitled_us is not None and job.started_us is not None, f"{job.id} never started"
        away = day.outage_us(job.submitted_us, job.started_us)
        if job.started_us - job.entitled_us > PROMISE_US + away:
            late.append(job)
    assert late == []
