"""Two whole control planes on one PostgreSQL database, each a process that a test may kill, pause and cut off."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from day import Day

from free_ports import free_port
from separate_hosts import Host
from sublet.store import leadership

PATIENCE_S = 40.0


@dataclass
class Replica:
    """One of the two."""

    name: str
    port: int
    host: Host | None = None  # where it runs; None: here
    pid: int = 0

    @property
    def address(self) -> str:
        return "127.0.0.1" if self.host is None else self.host.address

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


@dataclass
class Replicas(Day):
    """A day of two control planes with data directories of their own and one place where runs are kept."""

    hosts: tuple[Host | None, Host | None] = (None, None)
    both: tuple[Replica, Replica] = field(init=False)

    def _begin(self) -> None:
        self._open_zygote("replica_zygote.py")
        self.both = (Replica("one", free_port(), self.hosts[0]), Replica("two", free_port(), self.hosts[1]))
        for replica in self.both:
            self.raise_up(replica)

    def raise_up(self, replica: Replica) -> None:
        """Start it and wait until it is ready."""
        assert self.zygote.stdin is not None
        space = "" if replica.host is None else replica.host.name
        self.zygote.stdin.write(f"{replica.name} {replica.address} {replica.port} {space}\n")
        self.zygote.stdin.flush()
        replica.pid = int(self._line())
        until(lambda: httpx.get(f"{replica.url}/readyz", timeout=10).status_code == 200, f"{replica.name} is ready")

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


def until(holds: Callable[[], Any], what: str) -> float:
    """Wait until something holds; how long that took in seconds."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_S:
        try:
            if holds():
                return time.monotonic() - began
        except httpx.HTTPError:
            pass  # it is starting, or its database is away
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")
