"""The meter: a request that is over goes into the journal, and from there, many at once, into the database.

A charge is booked once because the request's id is (`store.purses.charge`): the journal may be read as often as one likes.
"""

import asyncio
from collections import Counter, deque
from functools import partial
from time import monotonic

import orjson
import structlog

from sublet.app.clock import Clock
from sublet.app.token_journal import left_in
from sublet.core.errors import SubletError
from sublet.core.ids import TenantId
from sublet.core.model_request import ModelRequest
from sublet.core.purse import Gateway
from sublet.gateway.journal import Journal
from sublet.gateway.money import Money
from sublet.gateway.threads import Thread
from sublet.store import gateways, purses
from sublet.store.database import Database

_PORTION = 400
LOOK_S = 0.3
_LATEST_S = 1.0
"""While the books are written, requests wait for the interpreter several times each: fewer of them where it is done more
seldom. But what waits is kept in memory, so a whole portion goes into the books at the next look."""
BEAT_S = 5.0
log = structlog.get_logger(__name__)


class Meter:
    """What was used, on its way into the books."""

    def __init__(self, database: Database, clock: Clock, books: Thread, journal: Journal, money: Money) -> None:
        self._database, self._clock, self._books, self._journal, self._money = database, clock, books, journal, money
        self._waiting: deque[tuple[int, ModelRequest]] = deque()
        self.booked, self.uncovered, self._looked = 0, 0, 0.0

    @property
    def waiting(self) -> int:
        """Requests that are in the journal only."""
        return len(self._waiting)

    async def record(self, request: ModelRequest) -> None:
        """Return once it is on the disk; raises `OSError` if it does not get there."""
        written = self._journal.write(orjson.dumps(request))
        if written.done():
            self._waiting.append((written.result(), request))
            return
        written.add_done_callback(partial(self._written, request))
        await asyncio.shield(written)  # whoever waits may go away, the record stays

    async def look(self) -> None:
        """Book, if there is a whole portion or it is time to."""
        now = monotonic()
        if len(self._waiting) >= _PORTION or now - self._looked >= _LATEST_S:
            self._looked = now
            await self.book()

    async def book(self) -> None:
        """Bring what is in the journal into the database. What does not get there now stays and is tried again."""
        now_waiting = len(self._waiting)  # what comes meanwhile waits for the next time: a transaction has its price, too
        while now_waiting > 0:
            portion = [self._waiting.popleft() for _ in range(min(_PORTION, now_waiting))]
            now_waiting -= len(portion)
            try:
                await self._books.do(partial(self._charge, [request for _, request in portion]))
            except SubletError as error:
                self._waiting.extendleft(reversed(portion))
                log.warning("charges_wait", requests=len(self._waiting), reason=error.message)
                return
            except BaseException:
                self._waiting.extendleft(reversed(portion))
                raise
            self.booked += len(portion)
            for number, records in Counter(number for number, _ in portion).items():
                self._journal.drop(number, records)
            spent: Counter[TenantId] = Counter()
            for _, request in portion:
                spent[request.tenant] += request.amount_micro
            for tenant, amount in spent.items():
                self._money.booked(tenant, amount)

    def recover(self, gateway: str) -> int:
        """Book what an earlier process of this gateway left in the journal and give its purses back: before anything else."""
        left = left_in(self._journal.folder)
        for start in range(0, len(left), _PORTION):
            self._charge(left[start : start + _PORTION])
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            for purse in purses.opened_by(tx, gateway):
                purses.close(tx, purse.id, now_us=now_us)
        self._journal.begin()
        self._beat(gateway)
        return len(left)

    async def beat(self, gateway: str) -> None:
        """Say that this gateway lives: the purses of one that does not say so are given back."""
        await self._books.do(partial(self._beat, gateway))

    def _beat(self, gateway: str) -> None:
        with self._database.write() as tx:
            gateways.beat(tx, Gateway(gateway, str(self._journal.folder), self._clock.now_us()))

    def _written(self, request: ModelRequest, written: "asyncio.Future[int]") -> None:
        if written.exception() is None:
            self._waiting.append((written.result(), request))

    def _charge(self, requests: list[ModelRequest]) -> None:
        with self._database.write() as tx:
            uncovered = purses.charge(tx, requests, now_us=self._clock.now_us())
        if uncovered:
            self.uncovered += len(uncovered)
            log.error("requests_not_covered", requests=[one.id for one in uncovered][:10], number=len(uncovered))
