"""The loops: observe, decide, apply, auction, enforce, start, in this order, again and again; beside them meter, bill, audit.

None takes input, each does bounded work and is harmless to repeat; a loop that fails is logged and tried again with the next
tick. So the way after a crash is the way of every day.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import structlog

from sublet.app import owner_queue, purge
from sublet.app.apply import apply_pending
from sublet.app.auctions import Auctioneer
from sublet.app.books import Bookkeeping
from sublet.app.books_apart import Closed
from sublet.app.clock import Clock, explain_jump
from sublet.app.decide import Decider
from sublet.app.enforce import Orders, RunEnv, called_for, make_begin, make_end
from sublet.app.mirror import Mirror
from sublet.app.observe import Sight, Steps, observe
from sublet.app.rebalancing import Balancer
from sublet.app.tally import Tally
from sublet.core.errors import SubletError
from sublet.core.ids import RunId
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US, on_grid
from sublet.engines.protocol import Engine, NodeSeen, Seen
from sublet.engines.showing import Shown
from sublet.store import events
from sublet.store.database import Database
from sublet.store.events import Entry
from sublet.store.leadership import Fenced

log = structlog.get_logger(__name__)
_REST = 4
"""Bookkeeping that takes long comes round only after so many times as long: the machine is there for the owner first."""


OWNER_WAITS_FOR = frozenset({"observe", "owner_queue", "decide", "apply", "enforce"})
"""While one of these fails, on a full disk say, we count as silent: whatever else gives the owner his GPUs must take over."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often the slower loops run (µs), and how long what ended is kept."""

    meter_us: int = 10 * SECOND_US
    audit_us: int = MINUTE_US
    purge_us: int = MINUTE_US
    rebalance_us: int = HOUR_US
    keep_us: int = 24 * HOUR_US
    nodes_us: int = 10 * SECOND_US


class Loops:
    """One pass over everything is a `tick`."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        clock: Clock,
        decider: Decider,
        tally: Tally,
        *,
        auctioneer: Auctioneer,
        balancer: Balancer,
        mirror: Mirror,
        run_env: RunEnv,
        rhythm: Rhythm,
        books: Callable[[], Bookkeeping],
    ) -> None:
        """`mirror` is what all loops look at; `run_env` gives what the control plane tells each run in its environment.

        `books` says before each pass who keeps them.
        """
        self._database, self._engine, self._clock, self._mirror = database, engine, clock, mirror
        self._decider, self._tally, self._run_env, self._rhythm = decider, tally, run_env, rhythm
        self._auctioneer, self._balancer, self._books = auctioneer, balancer, books
        self._seen_until_us: int | None = None  # the last look whose news are in the database
        self._shown: Mapping[RunId, Seen] | None = None  # what it showed; None: the next one is taken as a whole
        self._due: dict[str, int] = {}
        self.findings: list[str] = []
        self.failing: dict[str, str] = {}

    def tick(self) -> None:
        """One pass over everything, one part after the other."""
        self.serve()
        self.keep_books()

    def serve(self) -> None:
        """One pass of what the owner and tenants wait for. Each part runs even if the one before it failed."""
        now = self._clock.now_us()
        sight: Sight | None = None
        with self.part("observe"):
            sight = self._look(now)
            self._observe(sight)
        if sight is not None:
            with self.part("owner_queue"):
                self._tally.observed(owner_queue.follow(self._database, self._mirror, sight))
        with self.part("apply"):
            self._apply()  # what an earlier process decided and did not get to apply
        with self.part("decide"):
            decided = self._decider.decide(now_us=max(now, self._clock.now_us()))
            if decided is not None:
                self._tally.decided(*decided)
        with self.part("apply"):
            self._apply()
        with self.part("auction"):
            if self._auctioneer.hold(now_us=self._clock.now_us()):
                self._apply()
        with self.part("rebalance"):
            if self._balancer.propose(now_us=self._clock.now_us()):
                self._apply()
        if sight is not None:
            orders: Orders | None = None
            with self.part("enforce"):
                orders = called_for(self._database, self._mirror, sight, run_env=self._run_env)
                make_end(self._engine, orders)
            if orders is not None:
                with self.part("start"):
                    make_begin(self._engine, orders)
        if not OWNER_WAITS_FOR & self.failing.keys():
            with self.part("show_life"):
                self._engine.show_life()
        self._report_jump()

    def keep_books(self) -> None:
        """One pass of what nobody waits for: meter, bill, audit, purge, re-balance. It may run beside `serve`."""
        now = self._clock.now_us()
        if self._seen_until_us is not None:
            until = self._seen_until_us
            self._every("meter", self._rhythm.meter_us, now, lambda: self._meter(until))
        self._every("audit", self._rhythm.audit_us, now, self._audit)
        self._every("purge", self._rhythm.purge_us, now, self._purge)
        self._every("rebalance", 0, now, lambda: self._balancer.seek(now_us=now, every_us=self._rhythm.rebalance_us))

    def settle(self) -> None:
        """Meter and bill everything up to now, whatever the rhythm says: before a summary is drawn."""
        sight = self._look(self._clock.now_us())
        self._observe(sight)
        self._meter(sight.at_us, every_us=0)

    def _apply(self) -> None:
        applied = apply_pending(self._database, now_us=self._clock.now_us())
        self._tally.observed(Steps(tuple(applied.leases), tuple(applied.jobs)))

    def _look(self, now: int) -> Sight:
        nodes: Sequence[NodeSeen] = ()
        if now >= self._due.get("nodes", 0):
            nodes = tuple(self._engine.nodes())
            self._due["nodes"] = now + self._rhythm.nodes_us
        runs, looked_us = self._engine.observe(), self._engine.looked_us
        at = now if looked_us is None else min(now, on_grid(looked_us))
        changed = runs.changed_since(self._shown) if isinstance(runs, Shown) else None
        return Sight(at, runs, nodes, self._engine.owner_work(), changed, read_us=now)

    def _observe(self, sight: Sight) -> None:
        """Bring the database up to a look. Only once all of it is there the next one may be taken by its changes."""
        self._shown = None
        self._tally.observed(observe(self._database, self._mirror, sight))
        self._shown, self._seen_until_us = sight.runs, sight.at_us

    def _meter(self, until_us: int, *, every_us: int | None = None) -> None:
        wait = self._rhythm.meter_us if every_us is None else every_us
        metered = self._books().meter(until_us=until_us, every_us=wait, now_us=self._clock.now_us())
        self._tally.settled(metered.settled)
        self._tally.billed(metered.billed)

    def _audit(self) -> None:
        now = self._clock.now_us()
        found = self._books().audit(now_us=now)
        fresh = [line for line in found if line not in self.findings]
        self.findings = found
        if fresh:
            log.error("invariant_broken", findings=fresh)
            with self._database.write() as tx:
                events.append(tx, [Entry(now, "alarm.invariant", line) for line in fresh])

    def _purge(self) -> None:
        purge.purge(self._database, self._engine, before_us=self._clock.now_us() - self._rhythm.keep_us)

    def _report_jump(self) -> None:
        behind = self._clock.jumped_back_us()
        if behind is None:
            return
        message = explain_jump(behind)
        log.error("clock_jumped_back", message=message)
        self._tally.clock_jumped()
        with self.part("clock"), self._database.write() as tx:
            events.append(tx, [Entry(self._clock.now_us(), "alarm.clock", message)])

    def _every(self, name: str, every_us: int, now: int, work: Callable[[], None]) -> None:
        """Do it every so often, and for no more than a quarter of the time."""
        if now < self._due.get(name, 0):
            return
        began = perf_counter()
        with self.part(name):
            work()
        self._due[name] = now + max(every_us, _REST * int((perf_counter() - began) * SECOND_US))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part; log its failure and go on: it runs again with the next tick. Only a new leader ends all of them."""
        began = perf_counter()
        try:
            yield
            self.failing.pop(name, None)
        except (Fenced, Closed):
            raise  # these loops are over, all of them
        except SubletError as error:
            self._failed(name, f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:
            if self.failing.get(name) != repr(error):
                log.exception("loop_failed", loop=name)
            self._failed(name, repr(error))
        finally:
            self._tally.took(name, perf_counter() - began)

    def _failed(self, name: str, message: str) -> None:
        if self.failing.get(name) != message:
            log.error("loop_failed", loop=name, reason=message)
        self.failing[name] = message
        self._tally.failed(name)
