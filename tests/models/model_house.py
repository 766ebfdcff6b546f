"""A control plane over real runs on CPU slots, driven by hand, with the real server programs."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from sublet.app import models as serving
from sublet.app import owner
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.settings import Settings
from sublet.app.tasks import LeaseRequest
from sublet.core.ids import JobId, ModelName, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.model import Model, Replica, ReplicaState, Serving, Tier
from sublet.core.terms import TERMS
from sublet.core.units import SECOND_US
from sublet.core.workload import Workload
from sublet.engines.local.devices import CpuSlots
from sublet.engines.local.engine import LocalEngine
from sublet.engines.protocol import Engine
from sublet.gateway.servers import SERVERS
from sublet.store import events, leases, models, pools
from sublet.store.database import Database

WAIT_S = 30
_FIRST = 12_000 + os.getpid() % 200 * 100
PORTS = f"{_FIRST}-{_FIRST + 99}"
"""Of this process alone: other tests serve models at the same time."""
TINY = ModelName("tiny")


class ModelHouse:
    """On `slots` CPU slots, or wherever `engine` says. `pass_time` runs every loop once."""

    def __init__(
        self, folder: Path, url: str, *, slots: int = 2, engine: Callable[[], Engine] | None = None, **settings: Any
    ) -> None:
        self.folder, self.url, self.slots = folder, url, slots
        self._engine, self.settings = engine or self._cpu_slots, settings
        self.database = Database(url)
        self.plane = self._open()
        with self.database.write() as tx:
            (pool,) = (row.pool for row in pools.everything(tx))
            spot = replace(TERMS[LeaseClass.SPOT], grace_us=20 * SECOND_US, exempt_us=0)
            short: dict[str, Any] = {
                "detection_us": 15_625,
                "stop_us": SECOND_US,
                "handover_us": SECOND_US,
                "start_us": SECOND_US,
            }
            pools.put(
                tx, replace(pool, terms={**pool.terms, LeaseClass.SPOT: spot}, backoff_us=SECOND_US, **short), now_us=self.now
            )

    def _open(self) -> ControlPlane:
        settings = Settings(data_dir=self.folder / "data", database=self.url, replica_ports=PORTS, **self.settings)
        return ControlPlane(settings, self.database, self._engine(), Clock(), servers=SERVERS)

    def _cpu_slots(self) -> Engine:
        return LocalEngine(self.folder / "engine", devices=CpuSlots(self.slots), name="cpu", hidden=(self.folder,))

    def reopen(self) -> None:
        """As after a kill: another control plane over the same database and the same runs."""
        self.plane.stop()
        self.plane = self._open()

    def close(self) -> None:
        """End all replicas, and the plane."""
        with self.database.write() as tx:
            for one in models.servings_all(tx):
                models.drop_serving(tx, one.model, one.tier)
        self.until(lambda: not self.replicas())
        self.plane.stop()
        self.database.close()

    @property
    def now(self) -> int:
        return self.plane.clock.now_us()

    def add(self, name: str = TINY, source: str = "builtin", **more: Any) -> Model:
        model = Model(ModelName(name), "llamacpp", source, self.now, **more)
        with self.database.write() as tx:
            return serving.add(tx, self.plane.premises, model)

    def serve(self, least: int = 1, most: int = 1, *, tier: Tier = Tier.FLEX, model: str = TINY, **more: Any) -> None:
        wanted = Serving(ModelName(model), tier, TenantId("models"), least, most, **more)
        plane = self.plane
        with self.database.write() as tx:
            serving.serve(tx, plane.forecaster, plane.premises, plane.engine.capabilities, wanted, now_us=self.now)

    def submit(self, gpus: int) -> JobId:
        """A job of the owner."""
        with self.database.write() as tx:
            return owner.run(
                tx, LeaseRequest(Workload("sleep 2"), gpus_per_node=gpus), forced=False, by="test", now_us=self.now
            ).id

    def pass_time(self) -> None:
        self.plane.loops.tick()
        assert self.plane.loops.failing == {} and self.plane.loops.findings == []
        self.plane.keeper.tick()

    def replicas(self) -> list[Replica]:
        with self.database.read() as tx:
            return models.living(tx)

    def ready(self, number: int = 1) -> list[Replica]:
        """Wait until so many are ready."""
        there: list[Replica] = self.until(lambda: found if len(found := self.in_state(ReplicaState.READY)) >= number else None)
        return there

    def in_state(self, state: ReplicaState) -> list[Replica]:
        return [one for one in self.replicas() if one.state is state]

    def story(self) -> list[str]:
        """What happened so far, and what runs have printed: for whoever reads a failure."""
        with self.database.read() as tx:
            told = [f"{entry.kind} {entry.lease}: {entry.reason}" for entry in events.page(tx, limit=200)]
            runs = [lease.run for lease in leases.live(tx) if lease.attempt]
        return [*told, *(b"".join(self.plane.engine.logs(run)).decode(errors="replace")[-800:] for run in runs)]

    def until(self, there: Callable[[], Any]) -> Any:
        """Let time pass until something is there."""
        give_up = time.monotonic() + WAIT_S
        while not (found := there()):
            assert time.monotonic() < give_up, self.story()
            self.pass_time()
            time.sleep(0.02)
        return found


@contextmanager
def house(folder: Path, url: str, **more: Any) -> Iterator[ModelHouse]:
    """One that is closed whatever happens."""
    made = ModelHouse(folder, url, **more)
    try:
        yield made
    finally:
        made.close()


def answered(replica: Replica, prompt: str, **more: Any) -> dict[str, Any]:
    """What a replica makes of a prompt, greedily."""
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 24, "temperature": 0, **more}
    headers = {"Authorization": f"Bearer {replica.secret}"}
    answer = httpx.post(f"{replica.url}/completions", json=body, headers=headers, timeout=30, trust_env=False)
    assert answer.is_success, answer.text
    document: dict[str, Any] = answer.json()
    return document
