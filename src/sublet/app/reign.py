"""One time in the lead: the loops with all that they decide by, from taking over to stepping down."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import structlog

from sublet.app.auctions import Auctioneer
from sublet.app.books import Bookkeeping, Books
from sublet.app.books_apart import BooksApart, Closed, leave_out_what_stays
from sublet.app.clock import Clock
from sublet.app.decide import Decider
from sublet.app.enforce import RunEnv
from sublet.app.fenced import fenced
from sublet.app.forecasting import Forecaster
from sublet.app.loops import Loops, Rhythm
from sublet.app.metrics import Metrics
from sublet.app.mirror import Mirror
from sublet.app.rebalancing import Balancer
from sublet.app.registry import note_place, register_nodes
from sublet.app.replicas import Keeper, Premises
from sublet.app.tally import Tally
from sublet.app.webhooks import Courier
from sublet.engines.protocol import Engine
from sublet.store.database import Database
from sublet.store.leadership import Fenced, Leader, led

log = structlog.get_logger(__name__)

_MODELS_SOON_S, _MODELS_S = 0.1, 1.0
"""How often replicas are asked how they are: while something is on its way, and else."""
_SETTLED = 3
"""After so many ticks the live state stands in memory."""


class Reign:
    """What a leader runs. All that it writes and orders is refused once somebody else leads; then it is over."""

    def __init__(
        self,
        leader: Leader,
        *,
        database: Database,
        engine: Engine,
        clock: Clock,
        forecaster: Forecaster,
        metrics: Metrics,
        run_env: RunEnv,
        premises: Premises,
        rhythm: Rhythm,
        tick_s: float,
        books_apart_from: int,
    ) -> None:
        """Nothing is known yet: the state is read anew with the first tick. New nodes of the engine join the fleet now.

        With `books_apart_from` running leases or more, a process of their own keeps the books.
        """
        self.leader, self.mirror, self.ticks = leader, Mirror(), 0
        mine = led(database, leader)
        with mine.write() as tx:
            note_place(tx, engine)
            register_nodes(tx, engine, now_us=clock.now_us())
        self.decider = Decider(mine, forecaster, self.mirror)
        self._books, self._apart, self._apart_from = Books(mine), BooksApart(database, leader), books_apart_from
        self.loops = Loops(
            mine,
            fenced(engine, mine),
            clock,
            self.decider,
            Tally(metrics),
            auctioneer=Auctioneer(mine, forecaster, self.mirror),
            balancer=Balancer(mine, forecaster, self.mirror),
            mirror=self.mirror,
            run_env=run_env,
            rhythm=rhythm,
            books=self._bookkeeping,
        )
        self._tick_s, self._models_s = tick_s, _MODELS_S
        self._courier = Courier(mine, clock.now_us, metrics)
        self._over, self._wake = threading.Event(), threading.Event()
        self.keeper = Keeper(mine, engine, clock.now_us, premises, forecaster=Forecaster(), wake=self.wake)
        self._models_look = threading.Event()
        self._threads = [
            threading.Thread(target=self._until_over, args=(work,), name=name, daemon=True)
            for name, work in (("loops", self._serve), ("books", self._keep_books), ("models", self._keep_models))
        ]

    def start(self) -> None:
        """Begin the loops."""
        for thread in self._threads:
            thread.start()
        self._courier.start()

    @property
    def running(self) -> bool:
        """Whether the loops run."""
        return self._threads[0].is_alive()

    @property
    def over(self) -> bool:
        """Whether it was told to end, or found that somebody else leads."""
        return self._over.is_set()

    def stop(self) -> None:
        """End the loops after the tick at hand. What runs goes on running."""
        self._over.set()
        self._wake.set()
        self._models_look.set()
        self._apart.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._courier.stop()
        self.keeper.close()

    def wake(self) -> None:
        """Let the loops look now."""
        self._wake.set()
        self._models_look.set()

    def _until_over(self, work: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                work()
        except Fenced as error:
            log.warning("stepped_down", epoch=self.leader.epoch, reason=error.message)
            self._over.set()
            self._wake.set()
        except Closed:
            pass  # told to end in the middle of it

    def _bookkeeping(self) -> Bookkeeping:
        """Whoever keeps the books of as many as there are: they wait until that is known."""
        assert self.mirror.holders is not None, "nobody has looked yet"
        return self._books if self.mirror.holders < self._apart_from else self._apart

    def _serve(self) -> None:
        self._wake.clear()
        with _nothing_collected() if self.ticks < _SETTLED else nullcontext():
            self.loops.serve()
        self.ticks += 1
        if self.ticks == _SETTLED:
            leave_out_what_stays()
        if not self._over.is_set():
            self._wake.wait(self._tick_s)

    def _keep_books(self) -> None:
        if not self._over.wait(self._tick_s) and self.mirror.holders is not None:
            self.loops.keep_books()

    def _keep_models(self) -> None:
        self._models_look.wait(self._models_s)
        self._models_look.clear()
        if self._over.is_set():
            return
        moving = False
        with self.loops.part("models"):
            moving = self.keeper.tick()
        self._models_s = _MODELS_SOON_S if moving else _MODELS_S
        self._over.wait(_MODELS_SOON_S)  # however often it is woken


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While the live state grows, the garbage collector would go through all of it again and again, and find nothing."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
