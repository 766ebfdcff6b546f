"""Two whole control planes on one PostgreSQL database, while leaders die, sleep and wake, and the server restarts."""

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from day import Day, books_are_in_order, nothing_ran_twice

from postgres_server import restart
from sublet.core.ids import LeaseId
from sublet.store import leadership

pytestmark = pytest.mark.postgres
PATIENCE_S = 40.0


@dataclass
class Replica:
    """One of the two."""

    name: str
    port: int
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Replicas(Day):
    """A day of two control planes with data directories of their own and one place where runs are kept."""

    both: tuple[Replica, Replica] = field(init=False)

    def _begin(self) -> None:
        self._open_zygote("replica_zygote.py")
        self.both = (Replica("one", _free_port()), Replica("two", _free_port()))
        for replica in self.both:
            self.raise_up(replica)

    def raise_up(self, replica: Replica) -> None:
        """Start it and wait until it is ready."""
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(f"{replica.name} {replica.port}\n")
        self.zygote.stdin.flush()
        replica.pid = int(self._line())
        _until(lambda: httpx.get(f"{replica.url}/readyz").status_code == 200, f"{replica.name} is ready")

    def told(self, replica: Replica) -> dict[str, Any]:
        """What a replica says of itself."""
        answer = self.client(replica).get("/v1/status")
        answer.raise_for_status()
        return dict(answer.json()["status"])

    def client(self, replica: Replica) -> httpx.Client:
        key = (self.folder / "one" / "owner.key").read_text().strip()
        return httpx.Client(base_url=replica.url, headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def role(self, replica: Replica) -> str:
        return str(self.told(replica)["role"])

    def epoch(self) -> int:
        with self.database.read() as tx:
            return leadership.present(tx).epoch

    def close(self) -> None:
        for replica in self.both:
            os.kill(replica.pid, signal.SIGKILL)
        assert self.zygote.stdin is not None
        self.zygote.stdin.close()
        self.zygote.wait(timeout=10)
        self.database.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass  # it is starting, or its database is away
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


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
    _until(lambda: day.role(two) == "leader", "the other leads after a kill")
    day.live_for(1.5)
    day.raise_up(one)
    assert day.role(one) == "follower"

    os.kill(two.pid, signal.SIGSTOP)
    _until(lambda: day.role(one) == "leader", "the other leads while the leader sleeps")
    before = day.epoch()
    day.live_for(1.5)
    os.kill(two.pid, signal.SIGCONT)
    _until(lambda: day.role(two) == "follower", "who slept follows")
    day.live_for(1.0)
    assert day.epoch() == before and day.role(one) == "leader", "who woke up led for a moment"

    restart(postgres_url)
    _until(lambda: {day.role(one), day.role(two)} == {"leader", "follower"}, "both are back")
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
        _until(lambda: client.get(f"/v1/leases/{lease}").json()["state"] == "ended", "a lease asked for at the follower runs")
        metrics = client.get("/metrics").text
        assert "sublet_leader 0.0" in metrics
