"""A stub of a model server that costs as little as a server can, and a bare pass-through: what the gateway is measured against.

`python -m sublet.bench.gateway.plain stub` answers every request with the same bytes; with "stream" in the request it sends
chunks at a steady pace. `... plain pass-through URL` hands requests and answers on with aiohttp and does nothing else.
"""

import argparse
import asyncio
import os
import socket
import time
from typing import cast

import aiohttp
import uvloop
from aiohttp import web

CHUNKS, PACE_S = 200, 0.005
_USAGE = b'{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}'
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"Hello there, how can I help you today?"},"finish_reason":"stop"}],"usage":' + _USAGE + b"}"
)
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _part(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def _chunk(delta: bytes, finish: bytes = b"null") -> bytes:
    return _part(
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub","choices":[{"index":0,"delta":{'
        + delta
        + b'},"finish_reason":'
        + finish
        + b"}]}\n\n"
    )


_SAID = _chunk(b'"content":" word"')
_END = (
    _chunk(b"", b'"stop"')
    + _part(b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":%s}\n\n' % _USAGE)
    + _part(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Stub(asyncio.Protocol):
    """One connection of the stub."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        self._transport, self._data = cast("asyncio.Transport", transport), b""  # uvloop's own is none by class
        self._streams: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            if b'"stream":true' in body:
                task = asyncio.ensure_future(self._stream())
                self._streams.add(task)
                task.add_done_callback(self._streams.discard)
            else:
                self._transport.write(_WHOLE)

    async def _stream(self) -> None:
        self._transport.write(_HEAD)
        began = time.monotonic()
        for number in range(1, CHUNKS + 1):
            await asyncio.sleep(max(0.0, began + number * PACE_S - time.monotonic()))
            self._transport.write(_SAID)
        self._transport.write(_END)


def _told(listener: socket.socket) -> None:
    os.write(1, f"{listener.getsockname()[1]}\n".encode())


async def stub(listener: socket.socket) -> None:
    """Serve the stub for ever."""
    server = await asyncio.get_running_loop().create_server(Stub, sock=listener)
    _told(listener)
    await server.serve_forever()


async def pass_through(listener: socket.socket, upstream: str) -> None:
    """Hand everything on for ever."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def hand_on(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"Content-Type": "application/json"}
        async with session.post(upstream + request.path, data=body, headers=headers) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", hand_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    _told(listener)
    await asyncio.Event().wait()


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("stub", "pass-through"))
    parser.add_argument("upstream", nargs="?", default="")
    given = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    uvloop.run(stub(listener) if given.what == "stub" else pass_through(listener, given.upstream))


if __name__ == "__main__":
    main()
