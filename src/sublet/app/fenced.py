"""An engine that takes orders from the present leader only."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from sublet.core.ids import NodeId, RunId
from sublet.engines.protocol import Capabilities, Engine, NodeSeen, NoticeOrder, OwnerWork, Seen, StartOrder, StopOrder
from sublet.store.database import Database
from sublet.store.leadership import Led


class FencedEngine:
    """Before each order that changes something, the leadership is confirmed. Looking is free to all.

    Between the confirmation and the order another may come to lead. What is ordered then is an order of a moment ago, which
    the engine knows how to take: it starts no run twice, and none that was stopped before it began.
    """

    def __init__(self, engine: Engine, confirm: Callable[[], None]) -> None:
        """`confirm` raises `Fenced` if somebody else leads."""
        self._engine, self._confirm = engine, confirm

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._engine.capabilities

    @property
    def looked_us(self) -> int | None:
        """As of when the last look is true."""
        return self._engine.looked_us

    def nodes(self) -> Sequence[NodeSeen]:
        """All nodes."""
        return self._engine.nodes()

    def host_of(self, node: NodeId) -> str:
        """Where a node is reached."""
        return self._engine.host_of(node)

    def observe(self) -> Mapping[RunId, Seen]:
        """Every run known."""
        return self._engine.observe()

    def owner_work(self) -> Sequence[OwnerWork] | None:
        """The owner's jobs as of the last look."""
        return self._engine.owner_work()

    def show_life(self) -> None:
        """A whole pass went through here, where the lead is."""
        self._confirm()
        self._engine.show_life()

    def logs(self, run: RunId, *, offset: int = 0) -> Iterator[bytes]:
        """What the run printed."""
        return self._engine.logs(run, offset=offset)

    def start(self, orders: Sequence[StartOrder]) -> None:
        """Start each run."""
        if orders:
            self._confirm()
            self._engine.start(orders)

    def notify(self, orders: Sequence[NoticeOrder]) -> None:
        """Give each run its notice."""
        if orders:
            self._confirm()
            self._engine.notify(orders)

    def stop(self, orders: Sequence[StopOrder]) -> None:
        """End each run."""
        if orders:
            self._confirm()
            self._engine.stop(orders)

    def clean(self, runs: Sequence[RunId]) -> None:
        """Hand over each exited run."""
        if runs:
            self._confirm()
            self._engine.clean(runs)

    def forget(self, runs: Sequence[RunId]) -> None:
        """Drop the records of finished runs."""
        if runs:
            self._confirm()
            self._engine.forget(runs)

    def discard(self, volume: str) -> None:
        """Wipe a volume."""
        self._confirm()
        self._engine.discard(volume)


def fenced(engine: Engine, database: Database) -> Engine:
    """The engine for the loops that write this database."""
    return FencedEngine(engine, database.confirm) if isinstance(database, Led) else engine
