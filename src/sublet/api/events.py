"""The journal, in pages and as a stream of server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from sublet.api.bodies import NAME_PATTERN
from sublet.api.call import Calling, only
from sublet.api.pages import Limit
from sublet.app import events
from sublet.app.keys import Scope
from sublet.core.errors import Unavailable
from sublet.core.ids import LeaseId
from sublet.store.events import Entry

router = APIRouter(prefix="/v1/events", tags=["events"], dependencies=[only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)])
HEARTBEAT_S = 10.0
POLL_S = 0.25
_BATCH = 500
Sequence = Annotated[int, Query(ge=0, le=2**53, description="what happened after this sequence number")]
_SENT = {
    "type": "object",
    "description": "One event: `id` is its sequence number, `event` its kind, `data` an EventView as JSON",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
OfLease = Annotated[str | None, Query(pattern=NAME_PATTERN)]


class EventView(BaseModel):
    """One happening and its reason."""

    seq: int
    at_us: int
    kind: str
    tenant: str | None
    lease: str | None
    pool: str | None
    reason: str
    data: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> "EventView":
        """As the API shows it."""
        return cls(
            seq=entry.seq,
            at_us=entry.at_us,
            kind=entry.kind,
            tenant=entry.tenant,
            lease=entry.lease,
            pool=entry.pool,
            reason=entry.reason,
            data=dict(entry.data),
        )


class EventPage(BaseModel):
    """Events in order; ask again with `after` = `last`."""

    items: list[EventView]
    last: int


@router.get("")
def journal(call: Calling, after: Sequence = 0, limit: Limit = 100, lease: OfLease = None) -> EventPage:
    """What happened, oldest first. A tenant sees what concerns it. To follow without gaps, use the stream."""
    found = events.after(
        call.plane.database,
        after,
        tenant=call.caller.sees,
        lease=LeaseId(lease) if lease else None,
        limit=limit,
    )
    return EventPage(items=[EventView.of(entry) for entry in found], last=found[-1].seq if found else after)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _SENT}}, "description": "Server-sent events"}},
)
async def stream(
    request: Request,
    call: Calling,
    *,
    after: Annotated[int | None, Query(ge=0, le=2**53, description="begin after this number; nothing: only what comes")] = None,
    back: Annotated[int, Query(ge=0, le=1_000, description="without `after`: begin so many events back")] = 0,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,16}$", description="sent by browsers that reconnect")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> StreamingResponse:
    """Follow the journal. Each event's `id` is its sequence number; a reconnecting reader misses nothing.

    A reader that does not say `Accept: text/event-stream` gets what is there and the stream ends.
    """
    if request.app.state.streams >= call.plane.settings.streams_max:
        raise Unavailable("too many event streams are open", hint="close one, or ask for pages at /v1/events")
    begin = int(last_event_id) if last_event_id else after
    if begin is None:
        begin = await run_in_threadpool(events.newest, call.plane.database, back=back, tenant=call.caller.sees)
    follower = _Follower(call, begin, follow="text/event-stream" in accept)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follower.text(request), media_type="text/event-stream", headers=headers)


class _Follower:
    """One reader of the stream."""

    def __init__(self, call: Calling, after: int, *, follow: bool) -> None:
        self.call, self.seq, self.follow = call, after, follow

    async def text(self, request: Request) -> AsyncIterator[str]:
        with _counted(request.app.state):
            yield "retry: 2000\n\n"
            said = time.monotonic()
            while not await request.is_disconnected():
                found = await run_in_threadpool(self._next)
                for entry in found:
                    yield f"id: {entry.seq}\nevent: {entry.kind}\ndata: {_line(entry)}\n\n"
                if found:
                    said = time.monotonic()
                    continue
                if not self.follow:
                    return
                if time.monotonic() - said >= HEARTBEAT_S:
                    said = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(POLL_S)

    def _next(self) -> list[Entry]:
        call = self.call
        found = events.settled_after(call.plane.database, self.seq, tenant=call.caller.sees, now_us=call.now_us, limit=_BATCH)
        if found:
            self.seq = found[-1].seq
        return found


def _line(entry: Entry) -> str:
    return json.dumps(EventView.of(entry).model_dump(), separators=(",", ":"))


@contextmanager
def _counted(state: Any) -> Iterator[None]:
    """Count the streams that are open; the event loop is one thread, so a plain number will do."""
    state.streams += 1
    try:
        yield
    finally:
        state.streams -= 1
