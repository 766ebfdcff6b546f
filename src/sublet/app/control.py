"""The control plane of one installation: the loops in threads of their own, and the lock that keeps it the only one."""

import fcntl
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import structlog

from sublet.app.auctions import Auctioneer
from sublet.app.clock import Clock
from sublet.app.decide import Decider
from sublet.app.forecasting import Forecaster
from sublet.app.loops import LAST_INSTANT, Loops, Rhythm
from sublet.app.metadata import Metadata
from sublet.app.metrics import Metrics
from sublet.app.mirror import Mirror
from sublet.app.registry import register_nodes
from sublet.app.settings import Settings
from sublet.app.tally import Tally
from sublet.app.webhooks import Courier
from sublet.core.errors import Conflict
from sublet.core.rehearsal import rehearse
from sublet.core.units import MINUTE_US
from sublet.engines.protocol import Engine
from sublet.store import events, facts
from sublet.store.database import Database

_SWITCH_S = 0.000_5
"""How long one thread may hold up the others (Python's default is 5 ms): a request waits for its turn some twenty times."""

log = structlog.get_logger(__name__)


class ControlPlane:
    """Everything that runs between the doors and the engine."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        engine: Engine,
        clock: Clock,
        *,
        forecast_every_us: int = MINUTE_US,
        rhythm: Rhythm | None = None,
    ) -> None:
        """Takes the clock up where an earlier process left it, and enters the engine's nodes into the fleet."""
        self.settings, self.database, self.engine, self.clock = settings, database, engine, clock
        self._lock = _only_one(settings.data_dir)
        database.claim()
        database.migrate()
        with database.read() as tx:
            clock.resume(max(int(facts.get(tx, LAST_INSTANT) or 0), events.last_instant_us(tx)))
        self.metrics = Metrics()
        self.metadata = Metadata.open(database, settings.base_url)
        with database.write() as tx:
            register_nodes(tx, engine, now_us=clock.now_us())
        self.forecaster, self.mirror = Forecaster(every_us=forecast_every_us), Mirror()
        self.decider = Decider(database, self.forecaster, self.mirror)
        self.loops = Loops(
            database,
            engine,
            clock,
            self.decider,
            Tally(self.metrics),
            auctioneer=Auctioneer(database, self.forecaster, self.mirror),
            mirror=self.mirror,
            run_env=self.metadata.env,
            rhythm=rhythm or Rhythm(meter_us=settings.meter_ms * 1_000),
        )
        self._courier = Courier(database, clock.now_us, self.metrics)
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="loops", daemon=True)
        self._books = threading.Thread(target=self._keep_books, name="books", daemon=True)
        self._ticks = 0

    def start(self) -> None:
        """Begin the loops, once everything that they decide by is compiled."""
        began = perf_counter()
        rehearse()
        log.info("ready_to_decide", seconds=round(perf_counter() - began, 1))
        sys.setswitchinterval(_SWITCH_S)
        self._thread.start()
        self._books.start()
        self._courier.start()

    def stop(self) -> None:
        """End the loops after the tick at hand. What runs goes on running."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
            self._books.join()
            self._courier.stop()
        self._lock.close()

    def wake(self) -> None:
        """Let the loops look now."""
        self._wake.set()

    def status(self) -> Mapping[str, Any]:
        """How the loops are doing."""
        return {
            "ticks": self._ticks,
            "running": self._thread.is_alive(),
            "failing": dict(self.loops.failing),
            "findings": list(self.loops.findings),
            "engine": self.engine.capabilities.name,
            "isolation": self.engine.capabilities.isolation,
        }

    def run_forever(self) -> None:
        """The loops in this thread, until `stop`."""
        rehearse()
        self._books.start()
        self._run()
        self._books.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.loops.serve()
            self._ticks += 1
            self._wake.wait(self.settings.tick_ms / 1_000)

    def _keep_books(self) -> None:
        while not self._stop.wait(self.settings.tick_ms / 1_000):
            self.loops.keep_books()


def _only_one(data_dir: Path) -> IO[str]:
    """The lock on the data directory; two control planes over the same runs would give orders to each other's leases."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "control.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        other = lock.read().strip() or "unknown"
        lock.close()
        raise Conflict(
            f"a control plane is running on {data_dir} already (process {other})",
            field="data_dir",
            hint="stop it first, or choose another data_dir",
        ) from error
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
