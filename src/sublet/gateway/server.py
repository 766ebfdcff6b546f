"""The gateway as a server: one event loop, its connections, and what it does besides answering."""

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import IO

import structlog
from aiohttp import web

from sublet.app import names
from sublet.app.clock import Clock
from sublet.app.settings import Settings
from sublet.app.token_journal import taken
from sublet.core.errors import Conflict, SubletError
from sublet.gateway import batch_runs, borders
from sublet.gateway import catalogue as catalogues
from sublet.gateway import health as healths
from sublet.gateway import meter as meters
from sublet.gateway import visitors as guests
from sublet.gateway.answers import Desk
from sublet.gateway.batch_runs import BatchRuns
from sublet.gateway.bodies import Bodies
from sublet.gateway.borders import Borders
from sublet.gateway.catalogue import Catalogue, Verdict
from sublet.gateway.gauges import Gauges
from sublet.gateway.health import Health
from sublet.gateway.journal import Journal
from sublet.gateway.limits import Rates
from sublet.gateway.meter import Meter
from sublet.gateway.money import Money
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import Refusal, no_address, of
from sublet.gateway.routes import route
from sublet.gateway.threads import Thread
from sublet.gateway.upstream import Upstream
from sublet.gateway.visitors import Visitors
from sublet.store.database import Database

_GRACE_S = 5.0
_TICK_S = 0.02
_TEND_S = 1.0
_LINGER_S = 2.0
_LOCK_S = 1.0  # a control plane may be looking into the journal
log = structlog.get_logger(__name__)


class Gateway:
    """One gateway on a socket. Making it takes the journal's lock and books what an earlier process left."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, listener: socket.socket, *, verdict: Verdict | None = None
    ) -> None:
        folder = settings.data_dir.resolve() / "gateway" / settings.gateway_name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _only_one(folder)
        self._listener, self._database, self._clock = listener, database, clock
        self._books, self._looking = Thread("books"), Thread("looking")
        self._active = 0  # requests that are being answered
        self._batches: BatchRuns | None = None
        self._journal = Journal(folder, alone=self._is_alone)
        self.name = _name_of(folder)
        money = Money(database, clock, self._books, self.name)
        self.meter = Meter(database, clock, self._books, self._journal, money)
        left = self.meter.recover(self.name)
        if left:
            log.info("journal_recovered", requests=left)
        self._money, self._settings, self._verdict = money, settings, verdict
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()

    def run(self) -> None:
        """Serve until `stop`, in this thread."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    def start(self) -> None:
        """Serve in the background."""
        self._thread = threading.Thread(target=self.run, name="gateway", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End what `run` or `start` began: answers in the making get a moment, then the books are closed."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.reception = self._reception()
        self._batches = batches = BatchRuns(self.reception)
        server = web.Server(self._handle, access_log=None, keepalive_timeout=75, lingering_time=_LINGER_S)
        try:
            await self.reception.desk.catalogue.refresh(whole=True)
            await self.reception.borders.refresh(())
            accepting = await self._loop.create_server(server, sock=self._listener, backlog=1024)
            self._tasks = [asyncio.create_task(task) for task in self._duties(batches)]
            self._ready.set()
            await self._stop.wait()
            accepting.close()
            server.pre_shutdown()  # idle connections end at once
            await server.shutdown(_GRACE_S)
        finally:
            self._ready.set()
            await self._close()

    def _reception(self) -> Reception:
        given = self._settings
        upstream = Upstream()
        visitors = Visitors(
            self._database,
            self._clock,
            self._looking,
            Rates(given.gateway_requests_per_min, given.gateway_tokens_per_min),
        )
        known = Borders(self._database, self._clock, self._looking, self._books, site=given.gateway_site)
        desk = Desk(
            clock=self._clock,
            catalogue=Catalogue(
                self._database,
                self._looking,
                self._books,
                waiting_max=given.gateway_queue_max,
                verdict=self._verdict or known.verdict,
            ),
            money=self._money,
            meter=self.meter,
            upstream=upstream,
            health=Health(upstream),
            gauges=Gauges(),
            wait_s=given.gateway_queue_s,
        )
        return Reception(
            database=self._database,
            looking=self._looking,
            books=self._books,
            visitors=visitors,
            bodies=Bodies(each_max=given.gateway_body_bytes_max),
            desk=desk,
            files_dir=given.data_dir.resolve() / "files",
            tunings_dir=given.seen_by_runs / "tunings",
            gateway=self.name,
            borders=known,
        )

    def _duties(self, batches: BatchRuns) -> list[Coroutine[None, None, None]]:
        """What is done again and again."""
        reception, desk = self.reception, self.reception.desk

        async def look_round() -> None:
            await desk.health.look_round(list(desk.catalogue.lines.values()))

        async def see_borders() -> None:
            await reception.borders.refresh(reception.visitors.everybody())

        async def tend() -> None:
            reception.sweep()
            await self._money.tend()

        return [
            _again(catalogues.EVERY_S, desk.catalogue.refresh),
            _again(guests.REFRESH_S, reception.visitors.refresh),
            _again(meters.LOOK_S, self.meter.look),
            _again(meters.BEAT_S, partial(self.meter.beat, self.name)),
            _again(healths.EVERY_S, look_round),
            _again(_TEND_S, tend),
            _again(borders.EVERY_S, see_borders),
            _again(batch_runs.EVERY_S, batches.look),
        ]

    def _is_alone(self) -> bool:
        """Whether the request at hand is the only one."""
        return self._active <= 1 and (self._batches is None or not self._batches.at_work)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._active += 1
        try:
            return await self._answered(request)
        finally:
            self._active -= 1

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._routed(request)
        except Refusal as refusal:
            return await self.reception.refuse(request, refusal, _error_id())
        except SubletError as error:
            return await self.reception.refuse(request, of(error), _error_id())
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            name = _error_id()
            log.exception("request_failed", method=request.method, path=request.path, request=name)
            told = Refusal(500, f"an unexpected error; it is in the log as {name}", kind="server_error", code="internal_error")
            return await self.reception.refuse(request, told, name)

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        found = route(request.path)
        if found is not None:
            handler, rest = found
            return await handler(self.reception, request, rest)
        desk = self.reception.desk
        if request.path == "/health":
            return await self.reception.send(request, {"status": "ok", "gateway": self.name})
        if request.path == "/metrics":
            page = desk.gauges.page(desk.catalogue.lines.values(), unbooked=self.meter.waiting)
            return await self.reception.send_bytes(request, page, media_type="text/plain")
        raise no_address(request.path)

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):  # who was cut off is still metered
                while self._active:  # noqa: ASYNC110 (a moment, at the end)
                    await asyncio.sleep(_TICK_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._batches is not None:
            await self._batches.close()
        desk = self.reception.desk
        desk.health.close()
        await desk.upstream.close()
        await self.meter.book()
        await self._money.close()
        self._books.close()
        self._looking.close()
        self._journal.close()
        self._lock.close()


async def _again(every_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever; what goes wrong is told once, and it is done again."""
    failing = ""
    while True:
        try:
            await work()
            failing = ""
        except SubletError as error:
            if failing != error.message:
                log.warning("gateway_duty_failed", reason=error.message)
            failing = error.message
        except Exception as error:
            if failing != repr(error):
                log.exception("gateway_duty_failed")
            failing = repr(error)
        await asyncio.sleep(every_s)


def _error_id() -> str:
    return f"req-{secrets.token_hex(12)}"


def _only_one(folder: Path) -> IO[str]:
    file = taken(folder, within_s=_LOCK_S)
    if file is None:
        raise Conflict(
            f"another gateway uses {folder}", field="gateway_name", hint="give each gateway of a data directory its own --name"
        )
    return file


def _name_of(folder: Path) -> str:
    """The gateway's name, made at its first start: its purses bear it."""
    file = folder / "name"
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_text(names.fresh("gateway"))
        with new.open() as written:
            os.fsync(written.fileno())
        new.rename(file)
    return file.read_text().strip()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 (where there is one)
    except ImportError:
        return None
    return uvloop.new_event_loop
