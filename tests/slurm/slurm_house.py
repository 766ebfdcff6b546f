"""A house of leases on a real cluster: with a control plane whose loops are turned by the test, or with others."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_cluster import Cluster
from sublet.app import audit
from sublet.app import leases as leasing
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.forecasting import Forecaster
from sublet.app.loops import Rhythm
from sublet.app.settings import Settings
from sublet.app.tasks import LeaseRequest
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Lease, LeaseClass, State
from sublet.core.ledger import tenant_accounts
from sublet.core.owner import OwnerJob
from sublet.core.terms import TERMS
from sublet.core.units import HOUR_US, SECOND_US
from sublet.core.usage import Attempt
from sublet.core.workload import Workload
from sublet.engines.slurm.make import make
from sublet.engines.slurm.site import Cluster as Site
from sublet.store import events, jobs, leases, ledger, pools, tenants, usage
from sublet.store.database import Database
from sublet.store.tenants import Tenant

ADA = TenantId("ada")
SLEEPS = "trap 'exit 85' TERM; while :; do sleep 0.1; done"


class House:
    """One tenant, one pool: the GPUs of the cluster. Notices of a few seconds, and nothing held in reserve."""

    def __init__(self, made: Cluster, site: Site, url: str, folder: Path) -> None:
        self.cluster, self.site, self.url, self.folder = made, site, url, folder
        self.database = Database(url)
        self.clock, self.forecaster = Clock(), Forecaster()
        self.began_us = self.clock.now_us()

    def furnish(self, *, grace_s: int = 3, backoff_s: int = 1, **terms: Any) -> None:
        """Let the tenant in and put the pool on quick terms, once a control plane has seen the nodes."""
        with self.database.write() as tx:
            tenants.insert_one(tx, Tenant(ADA, ADA, "USD", self.clock.now_us()))
            ledger.open_accounts(tx, tenant_accounts(ADA, "USD"))
            (row,) = pools.everything(tx)
            self.pool: PoolId = row.pool.id
            spot = replace(TERMS[LeaseClass.SPOT], grace_us=grace_s * SECOND_US, exempt_us=0)
            by_class = {**TERMS, LeaseClass.SPOT: spot}
            easy = replace(row.pool, terms=by_class, forecast="last_week_peak", backoff_us=backoff_s * SECOND_US)
            quick = replace(easy, stop_us=2 * SECOND_US, restart_us=SECOND_US)  # what runs here starts again at once
            pools.put(tx, replace(quick, **terms), now_us=self.clock.now_us())

    def turn(self) -> None:
        """What goes on while a test waits."""

    def failing(self) -> Mapping[str, str]:
        """The loops that fail, and why."""
        return {}

    def ask(self, gpus: int = 1, *, nodes: int = 1, run: str = SLEEPS, **terms: Any) -> LeaseId:
        asked = LeaseRequest(Workload(run=run), gpus_per_node=gpus, nodes=nodes, bid_micro=9_000_000, **terms)
        with self.database.write() as tx:
            return leasing.request(tx, self.forecaster, asked, tenant=ADA, now_us=self.clock.now_us()).id

    def release_all(self) -> None:
        with self.database.read() as tx:
            live = leases.live(tx)
        for lease in live:
            with self.database.write() as tx:
                leasing.release(tx, lease.id, tenant=None, now_us=self.clock.now_us())
        self.until(lambda: not self.live(), said="all leases to end")

    def lease(self, lease: LeaseId) -> Lease:
        with self.database.read() as tx:
            return leases.get(tx, lease)

    def live(self) -> list[Lease]:
        with self.database.read() as tx:
            return list(leases.live(tx))

    def jobs(self) -> list[OwnerJob]:
        with self.database.read() as tx:
            return jobs.page(tx)

    def attempts(self, lease: LeaseId) -> list[Attempt]:
        with self.database.read() as tx:
            return usage.attempts_of(tx, [lease])

    def until(self, what: Callable[[], Any], *, within_s: float = 40, said: str = "") -> float:
        """Wait until something holds; how long that took in seconds."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > within_s:
                raise AssertionError(f"not within {within_s} s: {said}; {self._state_of_things()}")
            self.turn()
            time.sleep(0.05)
        return time.monotonic() - began

    def _state_of_things(self) -> str:
        """What a test that waited in vain shows: the leases there are, what became of others, what fails, and Slurm's queue."""
        live = [(one.id, one.state, one.cause, one.reason) for one in self.live()]
        with self.database.read() as tx:
            over = [entry for entry in events.page(tx, limit=1_000) if entry.kind in {"lease.exited", "lease.ended"}]
            attempts = usage.attempts_of(tx, {entry.lease for entry in over if entry.lease is not None})
        told = [(entry.lease, entry.kind, entry.reason, entry.data) for entry in over]
        queue = self.cluster.run("squeue", "-h", "-t", "all", "-o", "%i %T %r %N %k", check=False)
        return f"live {live}; over {told}; {attempts}; failing {self.failing()}; queue {queue}"

    def until_active(self, *wanted: LeaseId) -> None:
        self.until(lambda: all(self.lease(one).state is State.ACTIVE for one in wanted), said="active leases")


class SlurmHouse(House):
    """Its loops are turned by the test."""

    def __init__(self, made: Cluster, site: Site, url: str, folder: Path, *, grace_s: int = 3, backoff_s: int = 1) -> None:
        super().__init__(made, site, url, folder)
        self.plane = self._open()
        self.furnish(grace_s=grace_s, backoff_s=backoff_s)

    def _open(self) -> ControlPlane:
        settings = Settings(data_dir=self.folder, database=self.url)
        rhythm = Rhythm(meter_us=SECOND_US, audit_us=HOUR_US, purge_us=HOUR_US, nodes_us=SECOND_US)
        return ControlPlane(settings, self.database, make(self.site), Clock(), rhythm=rhythm)

    def reopen(self) -> None:
        """As after a crash of the control plane."""
        self.plane.stop()
        self.plane = self._open()

    def close(self) -> None:
        self.plane.stop()
        self.database.close()

    def tick(self) -> None:
        self.plane.loops.tick()

    def turn(self) -> None:
        self.tick()

    def failing(self) -> Mapping[str, str]:
        return self.plane.loops.failing

    def findings(self) -> list[str]:
        self.plane.loops.settle()
        with self.database.read() as tx:
            return audit.findings(tx, from_us=self.began_us, now_us=self.plane.clock.now_us())
