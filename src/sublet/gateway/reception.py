"""What every noun of the API needs: who asks, the body, and how an answer goes out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from aiohttp import web

from sublet.gateway.answers import Desk
from sublet.gateway.bodies import Bodies
from sublet.gateway.borders import Borders
from sublet.gateway.refusals import Refusal
from sublet.gateway.streams import Stream
from sublet.gateway.threads import Thread
from sublet.gateway.visitors import TENANT_HEADER, Visitor, Visitors
from sublet.gateway.works import Work
from sublet.store.database import Database

_AT_ONCE_BYTES = 64 * 1024
STALL_S = 30.0
"""A caller who does not read for so long is cut off."""


@dataclass(eq=False)
class Reception:
    """The front of the gateway."""

    database: Database
    looking: Thread
    books: Thread
    visitors: Visitors
    bodies: Bodies
    desk: Desk
    files_dir: Path
    tunings_dir: Path  # fine-tuning jobs' own copies of their files, where runs read them
    gateway: str
    borders: Borders
    stall_s: float = STALL_S
    streams: dict[Stream, web.BaseRequest] = field(default_factory=dict)

    async def welcome(self, request: web.BaseRequest) -> Visitor:
        """Who asks; raises `Refusal` or one of our errors."""
        visitor = await self.visitors.welcome(request.headers.get("Authorization"), request.headers.get(TENANT_HEADER))
        if not self.borders.knows(visitor.guest):
            await self.borders.refresh(self.visitors.everybody())
        return visitor

    async def send(
        self, request: web.BaseRequest, document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Answer a document."""
        return await self.send_bytes(request, orjson.dumps(document), status=status, headers=headers)

    async def send_bytes(
        self,
        request: web.BaseRequest,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> web.StreamResponse:
        """Answer a body. One that does not fit into the socket's buffer is sent under a time limit."""
        response = web.Response(body=body, status=status, headers=headers, content_type=media_type)
        if len(body) > _AT_ONCE_BYTES:
            try:
                async with asyncio.timeout(self.stall_s):
                    await response.prepare(request)
                    await response.write_eof()
            except TimeoutError:
                _cut(request)
        return response

    async def stream(self, request: web.BaseRequest, work: Work) -> web.StreamResponse:
        """Answer a request with a stream."""
        stream = Stream(self.desk, work)
        leg = await stream.begin()
        told = {**self.told(work), "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=told)
        response.enable_chunked_encoding()
        self.streams[stream] = request

        async def write(data: bytes) -> None:
            if not response.prepared:
                await response.prepare(request)
            await response.write(data)

        try:
            await stream.run(leg, write)
        finally:
            del self.streams[stream]
        if stream.broken and request.transport is not None:
            request.transport.close()  # without the end of the body: no client takes it for a whole answer
        return response

    def told(self, work: Work) -> dict[str, str]:
        """The headers of an answer."""
        return {
            "x-request-id": work.id,
            "openai-processing-ms": str(int((monotonic() - work.began) * 1e3)),
            **work.visitor.guest.limits.headers(),
        }

    async def refuse(self, request: web.BaseRequest, refusal: Refusal, request_id: str) -> web.StreamResponse:
        """Answer an error object. What is left of the body is not read: the connection ends."""
        self.desk.gauges.refusal(refusal)
        response = web.Response(
            body=refusal.body(),
            status=refusal.status,
            headers={"x-request-id": request_id, **refusal.headers},
            content_type="application/json",
        )
        if not request.content.at_eof() and request.can_read_body:
            response.force_close()
        return response

    def sweep(self) -> None:
        """Cut off callers who do not read."""
        now = monotonic()
        for stream, request in list(self.streams.items()):
            if stream.writing_since and now - stream.writing_since > self.stall_s:
                _cut(request)


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
