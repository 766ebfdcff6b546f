"""A stream that outlives its replica.

Chunks are passed on as they come, with what the gateway has to change in them. Meanwhile it remembers what was said and the
tokens behind it. When the replica is drained, a place elsewhere is found first, while the old one goes on; when it breaks, at
once. The new replica is given the prompt and the tokens already said, and goes on where the other stopped: its caller sees one
stream. Where tokens cannot be given (tool calls, a bound form, several choices, a server that names no tokens), the request is
made again and what was told is left out; that is exact for answers that are not drawn by chance, and checked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import orjson
import structlog

from sublet.core.model_request import Counted, Outcome
from sublet.core.tokens import Tokens
from sublet.gateway.answers import TRIES, Desk, judged
from sublet.gateway.asks import PATHS
from sublet.gateway.calls import Turner
from sublet.gateway.chunks import Chunks
from sublet.gateway.dialects import DIALECTS
from sublet.gateway.events import DONE, Events
from sublet.gateway.refusals import Refusal, broken, busy
from sublet.gateway.resuming import limit_of, resumption
from sublet.gateway.routing import Post
from sublet.gateway.said import Diverged, Resume, Said, content_of
from sublet.gateway.upstream import Unreachable, Whole, limited
from sublet.gateway.works import Work

MOVES_MAX = 32
_LOOK_AGAIN_S = 0.2
log = structlog.get_logger(__name__)
Write = Callable[[bytes], Awaitable[None]]


class LegFailed(Exception):
    """A replica stopped answering in the middle."""


@dataclass(eq=False, slots=True)
class Leg:
    """The part of a stream that one replica says."""

    post: Post
    response: aiohttp.ClientResponse
    resume: Resume
    end: int = 0  # up to which byte of the content it has come, with what was told before
    memory: dict[str, Any] = field(default_factory=dict)
    turner: Turner | None = None  # where its texts are calls
    next: Post | None = None  # where it goes on, once a place was found
    mover: "asyncio.Task[None] | None" = None
    on_drain: Callable[[], None] = lambda: None


class Stream:
    """One request's stream."""

    def __init__(self, desk: Desk, work: Work) -> None:
        self._desk, self._work = desk, work
        self._dialect = DIALECTS[work.model.server]
        self._said = Said()
        self._chunks = Chunks(work, self._said)
        self._tokens, self._counted = Tokens(), Counted.GATEWAY
        self._prompt: dict[str, Any] = {}  # what the first leg's server told of the prompt
        self._write: Write = _nowhere
        self.writing_since = 0.0  # monotonic; 0: nothing is being written
        self.broken = False

    async def begin(self) -> Leg:
        """The first leg; raises `Refusal`, and then nothing was sent and nothing is owed."""
        try:
            return await self._first()
        except BaseException as error:
            self._desk.dropped(self._work)
            self._desk.gauges.failed(self._work, error)
            raise

    async def run(self, leg: Leg, write: Write) -> None:
        """Pass everything on and meter it. What goes wrong is told in the stream, which then ends without its mark."""
        self._write = write
        try:
            await self._legs(leg)
        except ConnectionError:
            await self._over(Outcome.DISCONNECTED)
        except Refusal as refusal:
            self.broken = True
            log.warning("stream_broken", request=self._work.id, reason=refusal.message)
            await self._over(Outcome.BROKEN)
            await self._send_last(b"data: " + refusal.body() + b"\n\n")
        except BaseException:
            await self._over(Outcome.BROKEN)
            raise
        else:
            await self._over(Outcome.DONE)
            await self._send_last(self._chunks.usage(self._tokens) + DONE)

    async def _legs(self, leg: Leg) -> None:
        """One leg after the other, until one comes to the answer's end."""
        while True:
            try:
                if await self._whole(leg):
                    return
                self._work.moves += 1
                limit = limit_of(self._work)
                if limit is not None and self._work.ask.answers == 1 and self._said.tokens >= limit:
                    await self._send(self._chunks.cut_off())
                    return
                if self._work.moves > MOVES_MAX:
                    raise broken("this answer had to be moved too often")
                following = await self._next(leg)
            finally:
                self._forget(leg)
            leg = following

    async def _whole(self, leg: Leg) -> bool:
        """Pass a leg on; whether it came to the answer's end."""
        try:
            return await self._pump(leg)
        except LegFailed as error:
            if leg.next is None and not leg.post.leaving:
                log.warning("leg_failed", request=self._work.id, replica=leg.post.replica.id, reason=str(error))
                self._desk.health.suspect(leg.post)
            return False
        except Diverged as error:
            raise broken("another replica could not go on with this answer: it said something else") from error
        finally:
            leg.post.on_drain.discard(leg.on_drain)
            leg.response.release()
            self._desk.leave(leg.post, self._work)

    async def _pump(self, leg: Leg) -> bool:
        """Pass on what a replica says; whether it came to its end. Raises `LegFailed` where it stops before."""
        events = Events()
        content = leg.response.content
        try:
            while True:
                data = await content.readany()
                if not data:
                    break
                out, ended = self._heard(leg, events.feed(data))
                if out:
                    await self._send(out)
                if ended:
                    return True
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if isinstance(error, ConnectionError) and not isinstance(error, aiohttp.ClientError):
                raise
            raise LegFailed(str(error) or type(error).__name__) from error
        if len(self._said.finished) >= self._work.ask.answers:
            return True
        raise LegFailed("it closed the connection")

    def _heard(self, leg: Leg, events: list[bytes]) -> tuple[bytes, bool]:
        """What events become for the caller, and whether one was the end."""
        out: list[bytes] = []
        for raw in events:
            if raw == b"[DONE]":
                return b"".join(out), True
            event = orjson.loads(raw)
            if event.get("error"):
                raise LegFailed(str(event["error"])[:300])
            choices = event.get("choices") or []
            heard = [self._dialect.hear(event, choice, self._work.ask, leg.memory) for choice in choices]
            self._count(leg, self._dialect.count(event, leg.memory))
            if choices and self._work.ask.answers == 1:
                piece = content_of(choices[0])
                leg.end += len(piece.encode("utf-8", "surrogatepass"))
                if heard[0].ids or heard[0].missing is None:
                    self._said.note_ids(heard[0].ids, heard[0].missing, piece, end=leg.end)
            if leg.turner is not None:
                choices = [leg.turner.turn(one) for one in choices]
            chunk = self._chunks.of(choices, leg.resume)
            if chunk:
                self._work.note_first()
                out.append(chunk)
        return b"".join(out), False

    def _count(self, leg: Leg, tokens: Tokens | None) -> None:
        """What was used so far, over all legs, as an answer without moves would have used it."""
        if tokens is None:
            return
        self._counted = Counted.SERVER
        old, before = self._tokens, leg.resume.before
        input_ = old.input or max(0, tokens.input - before)
        cached = tokens.cached if not self._work.moves else old.cached
        self._tokens = Tokens(input_, min(cached, input_), max(old.output, before + tokens.output))

    async def _first(self) -> Leg:
        path = PATHS[self._work.ask.kind]
        tried: set[str] = set()
        failure: Exception | None = None
        for _ in range(TRIES):
            fresh = any(post.open and name not in tried for name, post in self._work.target.line.posts.items())
            post = await self._desk.take(self._work, avoid=frozenset(tried) if fresh else frozenset())  # type: ignore[arg-type]
            try:
                return await self._open(post, Resume(), path, await self._desk.body_at(post, self._work), 0)
            except Unreachable as error:
                failure = error
                self._desk.leave(post, self._work)
                self._desk.health.suspect(post)
                tried.add(post.replica.id)
                self._work.moves += 1
            except BaseException:
                self._desk.leave(post, self._work)
                raise
        raise broken(str(failure)) from failure

    async def _next(self, old: Leg) -> Leg:
        """The leg after one that ended early."""
        post = await self._found(old) if old.mover is not None else None
        for attempt in range(TRIES):
            if post is None:
                avoid = frozenset({old.post.replica.id}) if attempt == 0 and self._elsewhere(old) else frozenset()
                post = await self._desk.take(self._work, avoid=avoid, moving=True)
            self._work.replica, self._work.tier = post.replica.id, post.replica.tier.value
            try:
                return await self._resumed(post)
            except Unreachable as error:
                self._desk.leave(post, self._work)
                self._desk.health.suspect(post)
                log.warning("leg_failed", request=self._work.id, replica=post.replica.id, reason=str(error))
                post = None
            except BaseException:
                self._desk.leave(post, self._work)
                raise
        raise broken("no replica could go on with this answer")

    async def _resumed(self, post: Post) -> Leg:
        resume, path, body = await resumption(
            self._desk.upstream,
            self._dialect,
            self._work,
            self._said,
            self._prompt,
            post,
            body=await self._desk.body_at(post, self._work),
            said_tokens=self._tokens.output,
        )
        end = self._said.keep_ids(len(resume.ids) if resume.knows_ids else None)
        return await self._open(post, resume, path, body, end)

    def _elsewhere(self, old: Leg) -> bool:
        return any(post.open and post is not old.post for post in self._work.target.line.posts.values())

    async def _open(self, post: Post, resume: Resume, path: str, body: dict[str, Any], end: int) -> Leg:
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        self._dialect.shape(body, self._work.ask)
        response = await self._desk.upstream.open(post.replica, path, body)
        if response.status != 200:
            await _refused(response, post)
        leg = Leg(post, response, resume, end)
        if self._work.binding is not None:
            leg.turner = Turner(self._work.binding)
        if resume.before:
            leg.memory["resumed"] = True
        else:
            self._prompt = leg.memory
        leg.on_drain = lambda: self._drained(leg)
        post.on_drain.add(leg.on_drain)
        if post.leaving:
            self._drained(leg)
        return leg

    def _drained(self, leg: Leg) -> None:
        """The replica is to go: look for a place elsewhere, and leave when there is one."""
        if leg.mover is None:
            leg.mover = asyncio.ensure_future(self._look_elsewhere(leg))

    async def _look_elsewhere(self, leg: Leg) -> None:
        """Look again and again: as long as the replica answers, nothing is lost."""
        while leg.next is None:
            at = self._work.replica, self._work.tier
            try:
                leg.next = await self._desk.take(self._work, avoid=frozenset({leg.post.replica.id}), moving=True)
            except Refusal:
                await asyncio.sleep(_LOOK_AGAIN_S)
            finally:
                self._work.replica, self._work.tier = at  # it is where it was
        leg.response.close()

    async def _found(self, leg: Leg) -> Post:
        """The place that is being looked for; raises `Refusal` when none comes free in time."""
        assert leg.mover is not None
        try:
            async with asyncio.timeout(self._desk.wait_s):
                await leg.mover
        except TimeoutError:
            raise busy("the replica ended, and no other became free in time") from None
        post, leg.next = leg.next, None
        assert post is not None
        return post

    def _forget(self, leg: Leg) -> None:
        """A leg is over: nobody looks for a place for it any more, and one that was found is given back."""
        if leg.mover is not None and not leg.mover.done():
            leg.mover.cancel()
        if leg.next is not None:
            self._desk.leave(leg.next, self._work)
            leg.next = None

    async def _send(self, data: bytes) -> None:
        self.writing_since = monotonic()
        await self._write(data)
        self.writing_since = 0.0

    async def _send_last(self, data: bytes) -> None:
        """The end, which nobody may be there to hear."""
        with contextlib.suppress(ConnectionError):
            await self._send(data)

    async def _over(self, outcome: Outcome) -> None:
        tokens = self._tokens
        if self._counted is Counted.GATEWAY:
            tokens = Tokens(self._work.ask.body_bytes // 4, 0, self._chunks.pieces)
            self._tokens = tokens
        await self._desk.settled(self._work, tokens, outcome, self._counted)


async def _nowhere(_data: bytes) -> None:
    raise AssertionError("a stream writes once it has begun")


async def _refused(response: aiohttp.ClientResponse, post: Post) -> None:
    """Read why a replica does not begin; raises `Refusal` where the caller is at fault, else `Unreachable`."""
    try:
        whole = Whole(response.status, await limited(response))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(f"{post.replica.id} answered {response.status}") from error
    finally:
        response.release()
    failure = judged(whole, post)
    assert failure is not None, "a status other than 200 is a failure or a refusal"
    raise failure
