"""The way to the server programs: one pool of connections, and answers as they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from sublet.core.model import Replica

_CONNECT_S = 2.0
_SILENCE_S = 600.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class Unreachable(Exception):
    """The replica did not answer, or failed: another may do better."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that came in one piece."""

    status: int
    body: bytes


class Upstream:
    """Requests to replicas."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            read_bufsize=2**16,
        )

    async def ask(self, replica: Replica, path: str, body: Mapping[str, Any]) -> Whole:
        """The whole answer to a request; raises `Unreachable` when none comes."""
        try:
            async with self._session.post(replica.url + path, data=orjson.dumps(body), headers=headers(replica)) as answer:
                return Whole(answer.status, await limited(answer))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{replica.id} did not answer: {str(error) or type(error).__name__}") from error

    async def ask_root(self, replica: Replica, path: str, body: Mapping[str, Any]) -> Any:
        """The answer of one of the server program's own addresses, as a value; raises `Unreachable` without one."""
        try:
            async with self._session.post(replica.root + path, data=orjson.dumps(body), headers=headers(replica)) as answer:
                raw = await limited(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{replica.id} did not answer: {str(error) or type(error).__name__}") from error
        if answer.status != 200:
            raise Unreachable(f"{replica.id} answered {answer.status} at {path}")
        return orjson.loads(raw)

    async def open(self, replica: Replica, path: str, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        """An answer that is read as it comes; raises `Unreachable` when none begins."""
        try:
            return await self._session.post(replica.url + path, data=orjson.dumps(body), headers=headers(replica))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{replica.id} did not answer: {str(error) or type(error).__name__}") from error

    async def is_well(self, replica: Replica, *, within_s: float) -> bool:
        """Whether the server program lists its models, which every one of them does."""
        limit = aiohttp.ClientTimeout(total=within_s)
        try:
            async with self._session.get(f"{replica.url}/models", headers=headers(replica), timeout=limit) as answer:
                return answer.status < 500
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def headers(replica: Replica) -> dict[str, str]:
    """What each request to a replica bears."""
    told = {"Content-Type": "application/json"}
    if replica.secret:
        told["Authorization"] = f"Bearer {replica.secret}"
    return told


async def limited(answer: aiohttp.ClientResponse) -> bytes:
    """The body of an answer, which must not be larger than we keep in memory."""
    length = answer.content_length
    if length is not None and length <= ANSWER_BYTES_MAX:
        return await answer.read()
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise Unreachable("its answer is larger than we keep in memory")
        parts.append(part)
    return b"".join(parts)
