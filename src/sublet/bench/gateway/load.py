"""Requests as fast as connections take them, over plain sockets: a client library would cost more than what is measured.

Run as a program of its own; prints one JSON document: rates, and latencies in milliseconds.
"""

import argparse
import asyncio
import json
import time
from typing import Any

import uvloop

_WARM = 20


def request_bytes(path: str, key: str, *, stream: bool) -> bytes:
    """A request to a chat model."""
    body = (
        b'{"model":"stub","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":'
        b'"Hello, tell me something."}],"max_tokens":64' + (b',"stream":true' if stream else b"") + b"}"
    )
    head = f"POST {path}/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return head.encode() + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def whole(port: int, request: bytes, number: int) -> list[float]:
    """So many requests on one connection, one after the other; the seconds that each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    for _ in range(number):
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        lower = head.lower()
        at = lower.find(b"content-length:")
        await reader.readexactly(int(lower[at + 15 :].split(b"\r\n", 1)[0]))
        took.append(time.perf_counter() - began)
    writer.close()
    return took


async def streamed(port: int, request: bytes) -> int:
    """One stream to its end; the chunks with words that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    told = 0
    async for line in reader:
        told += b" word" in line
        if b"[DONE]" in line:
            break
    writer.close()
    return told


async def measure(port: int, path: str, key: str, connections: int, number: int, *, stream: bool) -> dict[str, Any]:
    """Drive it with so many connections at once."""
    request = request_bytes(path, key, stream=stream)
    if stream:
        began = time.perf_counter()
        told = await asyncio.gather(*(streamed(port, request) for _ in range(connections)))
        return {"chunks": sum(told), "chunks_per_s": sum(told) / (time.perf_counter() - began)}
    await asyncio.gather(*(whole(port, request, _WARM) for _ in range(connections)))
    began, cpu = time.perf_counter(), time.process_time()
    took = await asyncio.gather(*(whole(port, request, number // connections) for _ in range(connections)))
    seconds = time.perf_counter() - began
    every = sorted(one for part in took for one in part)
    return {
        "requests": len(every),
        "requests_per_s": len(every) / seconds,
        "p50_ms": every[len(every) // 2] * 1e3,
        "p99_ms": every[len(every) * 99 // 100] * 1e3,
        "own_cpu_s": time.process_time() - cpu,
    }


def main() -> None:
    """As a program: `load PORT PATH KEY CONNECTIONS NUMBER [--stream]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("key")
    parser.add_argument("connections", type=int)
    parser.add_argument("number", type=int)
    parser.add_argument("--stream", action="store_true")
    given = parser.parse_args()
    found = uvloop.run(measure(given.port, given.path, given.key, given.connections, given.number, stream=given.stream))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
