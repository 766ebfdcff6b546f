"""Bodies of requests: read with a bound on each, on all that are in memory at once, and on how long a sender takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sublet.gateway.refusals import Refusal, busy, too_large

ALL_BYTES_MAX = 256 * 1024 * 1024
_READ_S = 60.0


class Bodies:
    """What requests have sent and is not answered yet."""

    def __init__(self, *, each_max: int, all_max: int = ALL_BYTES_MAX, read_s: float = _READ_S) -> None:
        self.each_max, self._all_max, self._read_s = each_max, all_max, read_s
        self._held = 0

    @asynccontextmanager
    async def read(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        """The body, which counts against the bound on all for as long as it is used; raises `Refusal` 408, 413 or 503."""
        length = request.content_length
        if length is not None and length > self.each_max:
            raise too_large(self.each_max)
        size = 0
        try:
            if length is not None:
                size = self._hold(length)
            if length is not None and request.content.is_eof():  # all of it came with the head, as it mostly does
                body = request.content.read_nowait() if length else b""
            else:
                async with self._in_time():
                    if length is not None:
                        body = await request.content.readexactly(length) if length else b""
                    else:
                        parts: list[bytes] = []
                        async for part in request.content.iter_any():
                            size += self._hold(len(part))
                            parts.append(part)
                            if size > self.each_max:
                                raise too_large(self.each_max)
                        body = b"".join(parts)
            yield body
        finally:
            self._held -= size

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """What is awaited within comes soon enough, and whole; else `Refusal` 408 or `ConnectionResetError`."""
        try:
            async with asyncio.timeout(self._read_s):
                yield
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {self._read_s:g} s", code="request_timeout") from None
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the sender went away") from error

    def _hold(self, size: int) -> int:
        if self._held + size > self._all_max:
            raise busy("too much is being sent at once; try again shortly")
        self._held += size
        return size
