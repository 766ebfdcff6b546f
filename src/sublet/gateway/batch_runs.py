"""Working batches off: on replicas that nobody else needs at the moment, at half price, each line charged once.

A line's request has a name of its own that follows from the batch and its number. It is metered under that name before its
answer is written, so a gateway that is killed between the two asks again and charges nothing again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from sublet.app import names
from sublet.core.batch import Batch, BatchEvent, BatchState, step_batch
from sublet.core.errors import SubletError
from sublet.core.model import Tier
from sublet.core.tokens import BATCH_PERCENT
from sublet.core.units import SECOND_US
from sublet.gateway import batch_lines
from sublet.gateway.batch_lines import Line
from sublet.gateway.files import keep, place
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import Refusal, of
from sublet.gateway.visitors import Visitor
from sublet.store import batches
from sublet.store.files import File

EVERY_S = 1.0
_SILENT_US = 60 * SECOND_US
_BATCHES_MAX, _LINES_MAX = 8, 64
_LOOK_S = 0.05
_CALL_S = 10.0
_AGAIN_S = 2.0
log = structlog.get_logger(__name__)


class BatchRuns:
    """The batches on which this gateway works."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def at_work(self) -> bool:
        """Whether any is being worked on."""
        return bool(self._running)

    async def look(self) -> None:
        """Take up batches, and say that those at work still are."""
        now_us = self._reception.desk.clock.now_us()

        def claim() -> list[Batch]:
            with self._reception.database.write() as tx:
                return batches.claim(tx, self._reception.gateway, now_us=now_us, silent_us=_SILENT_US, limit=_BATCHES_MAX)

        if not self._running and not await self._reception.looking.do(self._any):
            return
        for batch in await self._reception.books.do(claim):
            if batch.id not in self._running:
                task = asyncio.ensure_future(self._work(batch))
                self._running[batch.id] = task
                task.add_done_callback(partial(self._over, batch.id))

    async def close(self) -> None:
        """Stop; the next start goes on."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _over(self, batch: str, _task: "asyncio.Task[None]") -> None:
        self._running.pop(batch, None)

    def _any(self) -> bool:
        with self._reception.database.read() as tx:
            return batches.any_live(tx)

    async def _work(self, batch: Batch) -> None:
        try:
            await _Run(self._reception, batch).through()
        except SubletError as error:
            log.warning("batch_waits", batch=batch.id, reason=error.message)
        except Exception:
            log.exception("batch_failed", batch=batch.id)
            await asyncio.sleep(_AGAIN_S)


class _Run:
    """One batch."""

    def __init__(self, reception: Reception, batch: Batch) -> None:
        self._reception, self._batch = reception, batch
        self._done: set[str] = set()
        self._completed, self._failed = batch.completed, batch.failed  # here: what is read of the batch may be older
        self._writing = asyncio.Lock()

    async def through(self) -> None:
        """From where it stands to its end."""
        source = place(self._reception, self._batch.input_file)
        if self._batch.state is BatchState.VALIDATING:
            await self._validate(source)
        if self._batch.state is BatchState.IN_PROGRESS:
            await self._answer(source)
        if self._batch.state in {BatchState.FINALIZING, BatchState.CANCELLING, BatchState.EXPIRED}:
            await self._finish()

    async def _validate(self, source: Path) -> None:
        if not await asyncio.to_thread(source.exists):
            lost: dict[str, object] = {"code": "file_missing", "line": None, "message": "the file is not here", "param": None}
            total, found = 0, [lost]
        else:
            total, found = await asyncio.to_thread(batch_lines.faults, source, self._batch.endpoint)
        if found:
            await self._step(BatchEvent.REFUSE, errors=tuple(found))
            return
        files = {"output_file": names.fresh("file"), "error_file": names.fresh("file")}
        await self._step(BatchEvent.READ, total=total, **files)

    async def _answer(self, source: Path) -> None:
        """Ask line by line, as many at once as there is room that nobody else needs."""
        output, errors = (place(self._reception, name) for name in (self._batch.output_file, self._batch.error_file))
        answered, failed = await asyncio.to_thread(lambda: (batch_lines.answered(output), batch_lines.answered(errors)))
        self._done = answered | failed
        self._completed, self._failed = len(answered), len(failed)
        room, running = asyncio.Semaphore(_LINES_MAX), set[asyncio.Task[None]]()
        watch = asyncio.ensure_future(self._watch())
        try:
            for line in batch_lines.lines(source, self._batch.endpoint):
                if isinstance(line, dict) or line.custom_id in self._done:
                    continue
                await self._wait_for_room(line, room, watch)
                if watch.done():
                    break
                task = asyncio.ensure_future(self._one(line, output, errors, room))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            watch.cancel()
        await self._refresh()
        if self._batch.state is BatchState.IN_PROGRESS:
            over = self._completed + self._failed >= self._batch.total
            await self._step(BatchEvent.ANSWER if over else BatchEvent.EXPIRE)

    async def _watch(self) -> None:
        """Return when it is to stop: cancelled, or its day is over."""
        while self._batch.state is BatchState.IN_PROGRESS and self._now_us() < self._batch.expires_us:
            await asyncio.sleep(EVERY_S)
            await self._refresh()

    async def _wait_for_room(self, line: Line, room: asyncio.Semaphore, watch: "asyncio.Task[None]") -> None:
        """Until there is room that no other caller wants, or the batch is to stop. The room is taken."""
        called = 0.0
        loop = asyncio.get_running_loop()
        while not watch.done():
            catalogue = self._reception.desk.catalogue
            guest = await self._reception.visitors.guest(self._batch.tenant)
            if not self._reception.borders.knows(guest):
                await self._reception.borders.refresh(self._reception.visitors.everybody())
            try:
                targets = await catalogue.targets(line.ask.model, guest)
            except Refusal:
                break  # the line is told so
            if not guest.suspended and not room.locked() and any(target.line.spare(target.permits) for target in targets):
                break
            if not any(target.line.has_open(target.permits) for target in targets) and loop.time() - called > _CALL_S:
                called = loop.time()
                await catalogue.note_asked(targets[0].model.name, Tier.FLEX, self._now_us())
            await asyncio.sleep(_LOOK_S)
        await room.acquire()

    async def _one(self, line: Line, output: Path, errors: Path, room: asyncio.Semaphore) -> None:
        """Ask one line until it has an answer or a refusal that stands."""
        try:
            document = await self._asked(line)
        finally:
            room.release()
        if document is None:
            return
        good = document["response"]["status_code"] == 200
        async with self._writing:
            await asyncio.to_thread(batch_lines.append, output if good else errors, document)
        self._completed += good
        self._failed += not good

    async def _asked(self, line: Line) -> dict[str, Any] | None:
        """The line of the answer file; None: the day was over first."""
        desk = self._reception.desk
        name = f"batch_req-{self._batch.id.removeprefix('batch-')}-{line.number}"
        ask = replace(line.ask, tier=Tier.FLEX)
        while self._now_us() < self._batch.expires_us and self._batch.state is BatchState.IN_PROGRESS:
            guest = await self._reception.visitors.guest(self._batch.tenant)
            visitor = Visitor(self._batch.key, guest)
            try:
                work = await desk.let_in(visitor, ask, percent=BATCH_PERCENT, batch=self._batch.id, name=name)
                body, status = await desk.answer(work), 200
            except (Refusal, SubletError) as error:
                refusal = error if isinstance(error, Refusal) else of(error)
                if refusal.status >= 500:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                body, status = {"error": refusal.error()}, refusal.status
            response = {"status_code": status, "request_id": name, "body": body}
            return {"id": name, "custom_id": line.custom_id, "response": response, "error": None}
        return None

    async def _finish(self) -> None:
        """Put the files into the books; what has no line is told nothing."""
        for name, kind in ((self._batch.output_file, "output"), (self._batch.error_file, "error")):
            if name and (file := place(self._reception, name)).exists():
                size, digest = await asyncio.to_thread(batch_lines.measured, file)
                made = File(
                    name, self._batch.tenant, "batch_output", f"{self._batch.id}_{kind}.jsonl", size, digest, self._now_us()
                )
                await self._reception.books.do(lambda made=made: keep(self._reception, made))  # type: ignore[misc]
        absent = {
            field: ""
            for field in ("output_file", "error_file")
            if not (name := getattr(self._batch, field)) or not place(self._reception, name).exists()
        }
        if self._batch.state is BatchState.FINALIZING:
            await self._step(BatchEvent.FINISH, **absent)
        elif self._batch.state is BatchState.CANCELLING:
            await self._step(BatchEvent.STOP, **absent)

    async def _step(self, event: BatchEvent, **changed: Any) -> None:
        stepped = replace(step_batch(self._batch, event, at_us=self._now_us()), **changed)
        await self._save(lambda before: replace(stepped, seen_us=before.seen_us))
        self._batch = stepped

    async def _refresh(self) -> None:
        """Write how far it is, and see whether it was cancelled."""

        def counted(before: Batch) -> Batch:
            return replace(before, completed=self._completed, failed=self._failed)

        self._batch = await self._save(counted)

    async def _save(self, change: Callable[[Batch], Batch]) -> Batch:
        def write() -> Batch:
            with self._reception.database.write() as tx:
                before = batches.get(tx, self._batch.id)
                after = change(before)
                batches.save(tx, before, after)
                return after

        return await self._reception.books.do(write)

    def _now_us(self) -> int:
        return self._reception.desk.clock.now_us()
