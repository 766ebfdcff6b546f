"""The real control plane on the fake engine in simulated time: days pass in seconds, and a seed repeats them exactly.

Faults are drawn, too: a tick that dies in the middle (any database call may raise), a restart on the same database and engine,
a node that breaks, a hand-over that fails, a clock that is set back.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sublet.app import leases as leasing
from sublet.app import owner as owning
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.loops import Rhythm
from sublet.app.settings import Settings
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import SubletError
from sublet.core.ids import JobId, LeaseId, NodeId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.ledger import tenant_accounts
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US
from sublet.core.workload import CHECKPOINTED_EXIT, Workload
from sublet.engines.fake import Behaviour, FakeEngine
from sublet.engines.protocol import StartOrder
from sublet.store import jobs, leases, ledger, tenants
from sublet.store.database import Database, Tx
from sublet.store.tenants import Tenant

NODES, GPUS = 3, 8
TENANTS = {TenantId("ada"): None, TenantId("bell"): 40_000_000, TenantId("cohen"): 3_000_000}  # spend limits


class Died(BaseException):
    """The process ended here."""


class SimulatedTime:
    """Seconds that pass when told; the wall clock may be set back, the monotonic one never is."""

    def __init__(self, start_s: int = 1_800_000_000) -> None:
        self.monotonic_ns = 0
        self.wall_ns = start_s * 1_000_000_000

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall_ns, monotonic=lambda: self.monotonic_ns)

    def pass_us(self, us: int) -> None:
        self.monotonic_ns += us * 1_000
        self.wall_ns += us * 1_000


class Fragile(Database):
    """A database whose transactions die once after a number of calls: before the work, or just before the commit."""

    dies_in: int | None = None

    @contextmanager
    def write(self) -> Iterator[Tx]:
        self._count()
        with super().write() as tx:
            yield tx
            self._count()

    def _count(self) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.dies_in = None
                raise Died


class Simulation:
    """One installation in simulated time."""

    def __init__(self, folder: Path, url: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.time = SimulatedTime()
        self.database = Fragile(url)
        self.folder, self.url = folder, url
        self.engine = FakeEngine(
            clock=lambda: self.time.monotonic_ns // 1_000 + 1_800_000_000_000_000,
            nodes=NODES,
            gpus=GPUS,
            start_us=3 * SECOND_US,
            behave=self._behave,
        )
        self.plane = self._plane()
        self.began_us = self.plane.clock.now_us()
        self.leases: list[LeaseId] = []
        self.jobs: list[JobId] = []
        self.restarts = 0
        with self.database.write() as tx:
            for name, limit in TENANTS.items():
                tenants.insert_one(tx, Tenant(name, name, "USD", self.began_us))
                ledger.open_accounts(tx, tenant_accounts(name, "USD", limit_micro=limit))

    def _plane(self) -> ControlPlane:
        settings = Settings(data_dir=self.folder, database=self.url)
        rhythm = Rhythm(meter_us=MINUTE_US, audit_us=HOUR_US, purge_us=HOUR_US)
        return ControlPlane(
            settings, self.database, self.engine, self.time.clock(), forecast_every_us=10 * MINUTE_US, rhythm=rhythm
        )

    def _behave(self, order: StartOrder) -> Behaviour:
        lengths = (20, 300, 900) if order.is_owner else (20, 300, 2_000, 20_000)
        return Behaviour(
            runs_us=self.rng.choice(lengths) * SECOND_US,
            exit_code=self.rng.choice((0, 0, 0, 1, CHECKPOINTED_EXIT)),
            stops_us=self.rng.choice((0, SECOND_US, None)),
            notice_us=self.rng.choice((None, 0, 20 * SECOND_US)),
            notice_code=self.rng.choice((0, CHECKPOINTED_EXIT, CHECKPOINTED_EXIT)),
            saves=self.rng.random() < 0.5,
        )

    def run(self, ticks: int) -> None:
        """Live through so many ticks, with faults."""
        for _ in range(ticks):
            self.time.pass_us(self.rng.choice((1, 5, 5, 30, 300)) * SECOND_US + self.rng.randrange(SECOND_US))
            self.rng.choices((self._nothing, self._request, self._submit, self._release, self._break), (8, 6, 2, 1, 1))[0]()
            if self.rng.random() < 0.08:
                self.database.dies_in = self.rng.randint(1, 12)
            try:
                self.plane.loops.tick()
            except Died:
                self.restart()
            self.database.dies_in = None

    def restart(self) -> None:
        """Another process takes over the same database and engine."""
        self.restarts += 1
        self.plane.stop()
        if self.rng.random() < 0.3:
            self.time.wall_ns -= 3_600 * 1_000_000_000  # and somebody set the clock back
        self.database.close()  # as the end of a process does, the claim on the loops with it
        self.plane = self._plane()

    def settle(self) -> None:
        """Give everything back, let it end, and book all of it."""
        for _ in range(400):
            with self.database.write() as tx:
                live, work = leases.live(tx), jobs.live(tx)
                for lease in live:
                    leasing.release(tx, lease.id, tenant=None, now_us=self.plane.clock.now_us())
                for job in work:
                    owning.cancel(tx, job.id, now_us=self.plane.clock.now_us())
            for node in self.engine.nodes():
                self.engine.repair_node(node.id)
            self.time.pass_us(10 * SECOND_US)
            self.plane.loops.tick()
            if not live and not work:
                break
        self.plane.loops.settle()

    def _nothing(self) -> None:
        pass

    def _request(self) -> None:
        asked = LeaseRequest(
            Workload(run="true"),
            gpus_per_node=self.rng.choice((1, 1, 2, 4, 8)),
            nodes=self.rng.choice((1, 1, 1, 2, 3)),
            bid_micro=self.rng.choice((200_000, 1_000_000, 2_000_000, 5_000_000)),
        )
        if self.rng.random() < 0.3:
            asked = replace(asked, lease_class=LeaseClass.GUARDED, term_us=HOUR_US)
        try:
            with self.database.write() as tx:
                now = self.plane.clock.now_us()
                name = self.rng.choice(list(TENANTS))
                self.leases.append(leasing.request(tx, self.plane.forecaster, asked, tenant=name, now_us=now).id)
        except SubletError:
            pass  # over budget, or below the floor: the tenant goes away

    def _submit(self) -> None:
        asked = LeaseRequest(
            Workload(run="true"), gpus_per_node=self.rng.choice((1, 2, 4, 8)), nodes=self.rng.choice((1, 1, 1, 2))
        )
        with self.database.write() as tx:
            made = owning.run(tx, asked, forced=self.rng.random() < 0.2, by="test", now_us=self.plane.clock.now_us())
            self.jobs.append(made.id)

    def _release(self) -> None:
        with self.database.write() as tx:
            live = leases.live(tx)
            if live:
                leasing.release(tx, self.rng.choice(live).id, tenant=None, now_us=self.plane.clock.now_us())

    def _break(self) -> None:
        node = NodeId(f"node-{self.rng.randrange(NODES):05d}")
        self.rng.choice((self.engine.crash_node, self.engine.repair_node, self.engine.repair_node))(node)
