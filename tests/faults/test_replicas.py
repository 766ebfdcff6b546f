"""Two whole control planes on one PostgreSQL database, while leaders die, sleep and wake, and the server restarts."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from day import books_are_in_order, first_right_decision, nothing_ran_twice
from replicas import Replica, Replicas, until

from postgres_server import restart
from sublet.core.ids import LeaseId

pytestmark = pytest.mark.postgres


@pytest.fixture
def day(tmp_path: Path, postgres_db: str) -> Iterator[Replicas]:
    tmp_path.chmod(0o755)
    made = Replicas(tmp_path, postgres_db, random.Random(20261127))
    yield made
    made.close()


@pytest.mark.timeout(300)
def test_leaders_come_and_go_and_nothing_is_lost_or_done_twice(day: Replicas, postgres_url: str) -> None:
    one, two = day.both
    assert (day.role(one), day.role(two)) == ("leader", "follower")
    assert day.told(two)["leader"].endswith(f":{one.port}") and not (day.folder / "two" / "owner.key").exists()
    _ask_at_the_follower(day, two)
    day.live_for(1.5)

    os.kill(one.pid, signal.SIGKILL)
    killed = until(lambda: day.role(two) == "leader", "the other leads after a kill")
    print(f"leader killed: another led after {killed:.1f} s, right decisions {first_right_decision(day):.1f} s later")
    day.live_for(1.5)
    day.raise_up(one)
    assert day.role(one) == "follower"

    os.kill(two.pid, signal.SIGSTOP)
    slept = until(lambda: day.role(one) == "leader", "the other leads while the leader sleeps")
    print(f"leader paused: another led after {slept:.1f} s")
    before = day.epoch()
    day.live_for(1.5)
    os.kill(two.pid, signal.SIGCONT)
    until(lambda: day.role(two) == "follower", "who slept follows")
    day.live_for(1.0)
    assert day.epoch() == before and day.role(one) == "leader", "who woke up led for a moment"

    restart(postgres_url)
    back = until(lambda: {day.role(one), day.role(two)} == {"leader", "follower"}, "both are back")
    print(f"PostgreSQL crashed and came back: led after {back:.1f} s, right decisions {first_right_decision(day):.1f} s later")
    assert day.epoch() > before
    day.live_for(1.0)
    day.drain(60)

    assert day.ended() == (len(day.leases), len(day.jobs)), "a lease or job was lost"
    assert len(day.leases) > 10
    nothing_ran_twice(day)
    books_are_in_order(day)


def _ask_at_the_follower(day: Replicas, follower: Replica) -> None:
    """All of the API is there: what is for sale, a lease, its way to an end."""
    with day.client(follower) as client:
        assert client.get("/v1/offers").json()["items"]
        task = {"run": "sleep 0.2", "resources": {"accelerators": "cpu:1"}}
        made = client.post("/v1/leases", params={"tenant": "ada"}, json=task)
        assert made.status_code == 201, made.text
        lease = made.json()["id"]
        day.leases.append(LeaseId(lease))
        until(lambda: client.get(f"/v1/leases/{lease}").json()["state"] == "ended", "a lease asked for at the follower runs")
        metrics = client.get("/metrics").text
        assert "sublet_leader 0.0" in metrics
