"""The books: what ran is measured and billed, and everything that was booked is proven again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sublet.app import billing, metering
from sublet.app.audit import Auditor
from sublet.app.billing import Billed
from sublet.app.notices import settlement_entries
from sublet.core.ledger import Settlement
from sublet.core.units import HOUR_US
from sublet.store import events, facts
from sublet.store.database import Database, Tx

LAST_INSTANT = "last_instant_us"


@dataclass(frozen=True, slots=True)
class Metered:
    """What a pass of metering did: what was billed, and the attempts that were settled."""

    billed: Billed
    settled: tuple[Settlement, ...]


class Bookkeeping(Protocol):
    """Whoever keeps the books: in this process or in one of its own."""

    def meter(self, *, until_us: int, every_us: int, now_us: int) -> Metered:
        """Meter what ran until the last look (and was not metered for `every_us`), never beyond it; and bill it."""

    def audit(self, *, now_us: int) -> list[str]:
        """Everything that does not hold; an empty list is the proof of order."""


class Books:
    """Bookkeeping on a database, here."""

    def __init__(self, database: Database) -> None:
        """The first audit reads the whole ledger, later ones what is new in it."""
        self._database, self._auditor = database, Auditor(database)

    def meter(self, *, until_us: int, every_us: int, now_us: int) -> Metered:
        """As promised in `Bookkeeping`; each batch is a transaction of its own."""
        with self._database.write() as tx:
            facts.put(tx, LAST_INSTANT, str(until_us))
        metering.meter_running(self._database, now_us=until_us, every_us=every_us)
        settled: list[Settlement] = []

        def note(tx: Tx, ended: Sequence[Settlement]) -> None:
            events.append(tx, settlement_entries(ended, at_us=now_us))
            settled.extend(ended)

        return Metered(billing.bill(self._database, now_us=now_us, on_settled=note), tuple(settled))

    def audit(self, *, now_us: int) -> list[str]:
        """As promised in `Bookkeeping`: time over the last hour, the state as it is, the ledger from its beginning."""
        return self._auditor.findings(from_us=now_us - HOUR_US, now_us=now_us)
