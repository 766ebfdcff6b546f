"""A control plane on a fake engine behind its real API on a real socket, driven tick by tick: for the tests of the doors."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from sublet.api.server import create_app
from sublet.app import keys, logging
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.settings import Settings
from sublet.console import router as page
from sublet.engines.fake import FakeEngine
from sublet.gateway.servers import SERVERS
from sublet.store.database import Database

TASK = {"name": "train", "run": "python train.py", "resources": {"accelerators": "H100:2"}, "lease": {"max_price": "$3"}}
CHEAP_TERMS = {"terms": {"spot": {"grace_us": 2_000_000, "exempt_us": 0}}}


class Doors:
    """The API of one control plane, and the strings behind it."""

    def __init__(self, plane: ControlPlane, engine: FakeEngine, url: str, owner_key: str) -> None:
        self.plane, self.engine, self.url, self.owner_key = plane, engine, url, owner_key
        self._open: list[httpx.Client] = []
        self._ticked_us = 0
        self.nobody = self.client(None)
        self.owner = self.client(owner_key)

    def client(self, key: str | None) -> httpx.Client:
        """Somebody with a key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)
        self._open.append(made)
        return made

    def key(self, scope: str, tenant: str | None = None) -> str:
        """The secret of a new key."""
        return str(good(self.owner.post("/v1/keys", json={"scope": scope, "tenant": tenant, "name": "test"}))["secret"])

    def tenant(self, name: str, *, limit_micro: int | None = None) -> httpx.Client:
        """A new tenant with a key of its own."""
        good(self.owner.post("/v1/tenants", json={"id": name, "limit_micro": limit_micro}))
        return self.client(self.key("tenant", name))

    def tick(self, times: int = 1) -> None:
        """Let the loops run, each time at an instant of its own: the clock has a grid."""
        for _ in range(times):
            while self.plane.clock.now_us() == self._ticked_us:
                time.sleep(0.001)
            self.plane.loops.tick()
            self._ticked_us = self.plane.clock.now_us()
        assert self.plane.loops.failing == {}

    def close(self) -> None:
        for client in self._open:
            client.close()


def good(answer: httpx.Response) -> dict[str, Any]:
    """The document of an answer that must be good."""
    assert answer.is_success, f"{answer.status_code}: {answer.text}"
    document: dict[str, Any] = answer.json()
    return document


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be a refusal."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status and problem["detail"]
    return problem


@contextmanager
def open_doors(database: Database, data_dir: Path, **more: Any) -> Iterator[Doors]:
    """Doors on a free port; the loops do not run by themselves."""
    logging.configure(Settings(log_level="warning"))
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings(data_dir=data_dir, port=listening.getsockname()[1], **more)
    clock = Clock()
    engine = FakeEngine(clock=clock.now_us, nodes=2, gpus=4, gpu_model="H100")
    plane = ControlPlane(settings, database, engine, clock, servers=SERVERS)
    with database.write() as tx:
        file = keys.ensure_owner_key(tx, data_dir, now_us=clock.now_us())
    assert file is not None
    app = create_app(plane)
    app.include_router(page)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    doors = Doors(plane, engine, settings.base_url, file.read_text().strip())
    try:
        yield doors
    finally:
        doors.close()
        server.should_exit = True
        thread.join()
        plane.stop()


@pytest.fixture(name="doors")
def doors_on_sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[Doors]:
    """For what does not depend on the database; a folder of tests takes it up in its conftest."""
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'sublet.db')}")
    with open_doors(database, tmp_path / "data") as opened:
        yield opened
    database.close()
