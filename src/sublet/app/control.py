"""The control plane of one installation: its doors' way to everything, and the loops while it leads.

On SQLite it always leads. On PostgreSQL several may share one database: one leads, the others follow, serve the API and stand
ready (docs/decisions/0024).
"""

import fcntl
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import structlog

from sublet.app import registry
from sublet.app.books import LAST_INSTANT
from sublet.app.clock import Clock
from sublet.app.decide import Decider
from sublet.app.forecasting import Forecaster
from sublet.app.loops import Loops, Rhythm
from sublet.app.metadata import Metadata
from sublet.app.metrics import Metrics
from sublet.app.mirror import Mirror
from sublet.app.reign import Reign
from sublet.app.replicas import Keeper, Premises
from sublet.app.settings import Settings
from sublet.core.errors import Conflict, SubletError
from sublet.core.rehearsal import rehearse
from sublet.core.server_program import ServerProgram
from sublet.core.units import MINUTE_US
from sublet.engines.protocol import Engine
from sublet.store import events, facts, leadership
from sublet.store.database import Database, Tx
from sublet.store.leadership import Election, Leader

_SWITCH_S = 0.000_5
"""How long one thread may hold up the others (Python's default is 5 ms): a request waits for its turn some twenty times."""
_LOOK_S = 1.0
"""How often a follower stands and a leader says that it lives, at least."""

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
        renew_engine: Callable[[], Engine] | None = None,
        servers: Mapping[str, ServerProgram] | None = None,
    ) -> None:
        """Takes the clock up where an earlier process left it, and the lead if nobody has it.

        `renew_engine` makes the engine again for each later time in the lead: what one remembers of its orders is out of date
        when another has given some. `servers` are the programs that may serve models; none: none is served.
        """
        self.settings, self.database, self.engine, self.clock = settings, database, engine, clock
        self._lock = _only_one(settings.data_dir)
        database.migrate()
        self.metrics, self.forecaster = Metrics(), Forecaster(every_us=forecast_every_us)
        self.metadata = Metadata.open(database, settings.base_url)
        self._renew_engine = renew_engine
        seen = settings.seen_by_runs
        self.premises = Premises(servers or {}, settings.ports, seen / "weights", seen / "tunings")
        self._rhythm = rhythm or Rhythm(meter_us=settings.meter_ms * 1_000)
        name = f"{socket.gethostname()}:{settings.port}"
        self._election = Election(database, name, silent_ms=settings.takeover_ms)
        self._reign: Reign | None = None
        self._mirror = Mirror()  # a follower's, for what is looked up
        self._led_by, self._hindrance = Leader(), ""
        self._look_s = min(_LOOK_S, settings.tick_ms / 1_000, settings.takeover_ms / 5_000)
        self._stop, self._stir = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._compete, name="election", daemon=True)
        self._started, self._looked_on, self._stand_at = False, False, 0.0
        self._stand()
        self._looked_on = True

    @property
    def mirror(self) -> Mirror:
        """The live state in memory."""
        return self._mirror if self._reign is None else self._reign.mirror

    @property
    def loops(self) -> Loops:
        """The loops of the leader; raises `Conflict` on a follower."""
        return self._leading().loops

    @property
    def decider(self) -> Decider:
        """What decides for the leader; raises `Conflict` on a follower."""
        return self._leading().decider

    @property
    def keeper(self) -> Keeper:
        """What keeps replicas of models for the leader; raises `Conflict` on a follower."""
        return self._leading().keeper

    @property
    def leads(self) -> bool:
        """Whether the loops are here."""
        return self._reign is not None

    @property
    def replicated(self) -> bool:
        """Whether others may lead, too."""
        return self._election.contested

    def start(self) -> None:
        """Begin the loops, or to stand ready for them, once everything that they decide by is compiled."""
        began = perf_counter()
        rehearse()
        log.info("ready_to_decide", seconds=round(perf_counter() - began, 1))
        sys.setswitchinterval(_SWITCH_S)
        self._started = True
        if self._reign is not None:
            self._reign.start()
        if self._election.contested:
            self._thread.start()

    def stop(self) -> None:
        """End the loops after the tick at hand, and let others lead. What runs goes on running."""
        self._stop.set()
        self._stir.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._reign is not None:
            self._reign.stop()
        self._election.resign()
        self._lock.close()

    def wake(self) -> None:
        """Let the loops look now, wherever they are."""
        reign = self._reign
        if reign is not None:
            reign.wake()
        self._stir.set()

    def status(self) -> Mapping[str, Any]:
        """How the loops are doing, and who runs them."""
        reign = self._reign
        told = {
            "role": "follower" if reign is None else "leader",
            "leader": self._led_by.name,
            "epoch": self._led_by.epoch,
            "ticks": 0 if reign is None else reign.ticks,
            "running": self._thread.is_alive() if reign is None else reign.running,
            "failing": {} if reign is None else dict(reign.loops.failing),
            "findings": [] if reign is None else list(reign.loops.findings),
            "engine": self.engine.capabilities.name,
            "isolation": self.engine.capabilities.isolation,
        }
        return told if not self._hindrance else told | {"cannot_lead": self._hindrance}

    def run_forever(self) -> None:
        """As `start`, and then wait until `stop`."""
        self.start()
        self._stop.wait()

    def _leading(self) -> Reign:
        if self._reign is None:
            raise Conflict(f"this control plane follows {self._led_by.name}", hint="the loops run there")
        return self._reign

    def _compete(self) -> None:
        """The election's thread: one turn after the other, whatever goes wrong in one."""
        while not self._stop.is_set():
            try:
                if self._reign is not None:
                    self._go_on_leading(self._reign)
                else:
                    self._follow()
            except SubletError as error:
                self._tell_of(error.message)
            except Exception as error:
                log.exception("standing_failed")
                self._tell_of(repr(error))

    def _go_on_leading(self, reign: Reign) -> None:
        """Say that we live, hear what followers wrote, and step down once another leads."""
        if self._election.wait(self._look_s):
            reign.wake()
        if reign.over or not reign.running or not self._election.still_leads():
            self._step_down()

    def _follow(self) -> None:
        """Tell the leader what was written here, and stand again and again."""
        stirred = self._stir.wait(self._look_s)
        self._stir.clear()
        if stirred and not self._stop.is_set():
            self._election.rouse()
        if perf_counter() >= self._stand_at and not self._stop.is_set():
            self._stand_at = perf_counter() + self._look_s
            self._stand()

    def _stand(self) -> None:
        """Take the lead if nobody has it and our engine sees what runs; else learn who has it, and how late it is there."""
        with self.database.read() as tx:
            self.clock.resume(_last_instant(tx))
            self._led_by = leadership.present(tx)
            apart = self._election.contested and registry.runs_elsewhere(tx, self.engine) and not self.settings.engine_moved
        self._tell_of(_APART if apart else "")
        leader = None if apart else self._election.stand(now_us=self.clock.now_us())
        if leader is None:
            self.metrics.leads(leads=False)
            return
        try:
            self._lead(leader)
        except BaseException:
            self._election.resign()
            raise

    def _lead(self, leader: Leader) -> None:
        with self.database.read() as tx:
            self.clock.resume(_last_instant(tx))  # the last leader may have written until the moment before
        if self._looked_on and self._renew_engine is not None:
            self.engine = self._renew_engine()
        reign = Reign(
            leader,
            database=self.database,
            engine=self.engine,
            clock=self.clock,
            forecaster=self.forecaster,
            metrics=self.metrics,
            run_env=self.metadata.env,
            premises=self.premises,
            rhythm=self._rhythm,
            tick_s=self.settings.tick_ms / 1_000,
            books_apart_from=self.settings.books_apart_from,
        )
        log.info("leads", epoch=leader.epoch, name=leader.name)
        self.metrics.leads(leads=True)
        self._led_by, self._reign = leader, reign
        if self._started:
            reign.start()

    def _step_down(self) -> None:
        reign, self._reign, self._mirror = self._reign, None, Mirror()
        assert reign is not None
        log.warning("follows", epoch=reign.leader.epoch)
        self.metrics.leads(leads=False)
        self._election.resign()
        reign.stop()

    def _tell_of(self, hindrance: str) -> None:
        """Log what keeps us from leading, once."""
        if hindrance and hindrance != self._hindrance:
            log.error("cannot_lead", reason=hindrance)
        self._hindrance = hindrance


_APART = (
    "what runs is kept by an engine at another place: give all replicas the same engine_dir; if that place is gone for good, "
    "start one of them with SUBLET_ENGINE_MOVED=true"
)


def _last_instant(tx: Tx) -> int:
    """The last instant (µs) that anybody stamped."""
    return max(int(facts.get(tx, LAST_INSTANT) or 0), events.last_instant_us(tx))


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
