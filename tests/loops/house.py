"""A control plane on the fake engine, in time that passes when told, with nothing left to chance."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sublet.app import audit
from sublet.app import leases as leasing
from sublet.app import owner as owning
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.loops import Rhythm
from sublet.app.settings import Settings
from sublet.app.tasks import LeaseRequest
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import Lease, State
from sublet.core.ledger import Account, receivable, tenant_accounts
from sublet.core.owner import OwnerJob
from sublet.core.terms import Pool
from sublet.core.topology import Within
from sublet.core.units import HOUR_US, SECOND_US
from sublet.core.workload import Workload
from sublet.engines.fake import Behaviour, FakeEngine, ordinary
from sublet.engines.protocol import NodeSeen, StartOrder
from sublet.store import events, jobs, leases, ledger, pools, tenants
from sublet.store.database import Database
from sublet.store.events import Entry
from sublet.store.tenants import Tenant

POOL, ADA, BELL = PoolId("fake"), TenantId("ada"), TenantId("bell")
START_US = 1_800_000_000 * SECOND_US


class House:
    """One pool of `nodes` x 8 GPUs and two tenants."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        nodes: int = 1,
        behave: Callable[[StartOrder], Behaviour] = ordinary,
        rack_nodes: int = 0,
    ) -> None:
        self._ns = 0
        self.folder, self.url = folder, url
        self.database = Database(url)
        names = [NodeId(f"node-{number:05d}") for number in range(nodes)]
        racks = [f"rack-{number // rack_nodes}" if rack_nodes else "" for number in range(nodes)]
        seen = [NodeSeen(name, 8, "fake", rack=rack, pod=rack and "pod") for name, rack in zip(names, racks, strict=True)]
        self.engine = FakeEngine(clock=self._now_us, nodes=seen, gpus=8, behave=behave)
        self.plane = self._open()
        with self.database.write() as tx:
            for name in (ADA, BELL):
                tenants.insert_one(tx, Tenant(name, name, "USD", self.plane.clock.now_us()))
                ledger.open_accounts(tx, tenant_accounts(name, "USD"))

    def _now_us(self) -> int:
        return START_US + self._ns // 1_000

    def _open(self) -> ControlPlane:
        clock = Clock(wall=lambda: self._now_us() * 1_000, monotonic=lambda: self._ns)
        rhythm = Rhythm(meter_us=0, audit_us=HOUR_US, purge_us=HOUR_US, nodes_us=0)
        settings = Settings(data_dir=self.folder, database=self.url)
        return ControlPlane(settings, self.database, self.engine, clock, rhythm=rhythm)

    def close(self) -> None:
        self.plane.stop()
        self.database.close()

    def reopen(self) -> None:
        """As after a crash: another control plane over the same database and engine."""
        self.close()
        self.plane = self._open()

    def set_pool(self, **changes: Any) -> None:
        with self.database.write() as tx:
            pools.put(tx, replace(self.pool(), **changes), now_us=self.now)

    def pool(self) -> Pool:
        with self.database.read() as tx:
            return pools.get(tx, POOL).pool

    def limit(self, tenant: TenantId, micro: int | None) -> None:
        with self.database.write() as tx:
            ledger.set_limit(tx, tenant, micro)

    @property
    def now(self) -> int:
        return self.plane.clock.now_us()

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.plane.loops.tick()
            assert self.plane.loops.failing == {}

    def wait(self, seconds: float, *, ticks: int = 2) -> None:
        """Let time pass, and the loops look."""
        self._ns += int(seconds * 1e9)
        self.tick(ticks)

    def ask(self, gpus: int = 1, *, tenant: TenantId = ADA, bid_micro: int = 5_000_000, **terms: Any) -> LeaseId:
        workload = terms.pop("workload", Workload(run="true"))
        asked = LeaseRequest(workload, gpus_per_node=gpus, bid_micro=bid_micro, **terms)
        with self.database.write() as tx:
            return leasing.request(tx, self.plane.forecaster, asked, tenant=tenant, now_us=self.now).id

    def submit(self, gpus: int, *, nodes: int = 1, within: Within = Within.SITE, forced: bool = False) -> JobId:
        asked = LeaseRequest(Workload(run="true"), gpus_per_node=gpus, nodes=nodes)
        with self.database.write() as tx:
            return owning.run(tx, asked, forced=forced, by="test", now_us=self.now, within=within).id

    def release(self, lease: LeaseId) -> None:
        with self.database.write() as tx:
            leasing.release(tx, lease, tenant=None, now_us=self.now)

    def lease(self, lease: LeaseId) -> Lease:
        with self.database.read() as tx:
            return leases.get(tx, lease)

    def state(self, lease: LeaseId) -> State:
        return self.lease(lease).state

    def job(self, job: JobId) -> OwnerJob:
        with self.database.read() as tx:
            return jobs.get(tx, job)

    def account(self, tenant: TenantId = ADA) -> Account:
        with self.database.read() as tx:
            return ledger.account(tx, receivable(tenant))

    def told(self, kind: str) -> list[Entry]:
        with self.database.read() as tx:
            return [entry for entry in events.page(tx, limit=10_000) if entry.kind == kind]

    def findings(self) -> list[str]:
        self.plane.loops.settle()
        with self.database.read() as tx:
            return audit.findings(tx, from_us=START_US, now_us=self.now)
