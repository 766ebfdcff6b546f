"""Whether replicas answer. A request that fails casts suspicion; a replica under suspicion gets nothing until it is well.

A check is hedged: if the first question is not answered soon, a second one goes out beside it, and one answer is enough. A
server that is merely slow to accept is not taken for dead, and a dead one is known after one time-out, not after many.
"""

import asyncio

import structlog

from sublet.gateway.routing import Line, Post
from sublet.gateway.upstream import Upstream

_HEDGE_S = 0.3
_WITHIN_S = 2.0
_AGAIN_S = 0.5
EVERY_S = 5.0
log = structlog.get_logger(__name__)


class Health:
    """Asks replicas how they are."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._watched: dict[Post, asyncio.Task[None]] = {}

    def suspect(self, post: Post) -> None:
        """A request failed there: nothing new goes there until it has said that it is well."""
        if post not in self._watched and not post.leaving:
            post.well = False
            self._watched[post] = asyncio.ensure_future(self._watch(post))

    async def look_round(self, lines: list[Line]) -> None:
        """Ask every replica that is open and idle; those at work show it by answering."""
        posts = [post for line in lines for post in line.posts.values() if post.open and not post.running]
        answers = await asyncio.gather(*(self._is_well(post) for post in posts))
        for post, well in zip(posts, answers, strict=True):
            if not well:
                self.suspect(post)

    def close(self) -> None:
        """Watch no longer."""
        for task in self._watched.values():
            task.cancel()

    async def _watch(self, post: Post) -> None:
        log.warning("replica_suspected", replica=post.replica.id)
        try:
            while not post.leaving and not await self._is_well(post):  # noqa: ASYNC110 (it is asked again)
                await asyncio.sleep(_AGAIN_S)
        finally:
            del self._watched[post]
        post.well = True
        if not post.leaving:
            log.info("replica_well_again", replica=post.replica.id)

    async def _is_well(self, post: Post) -> bool:
        first = asyncio.ensure_future(self._upstream.is_well(post.replica, within_s=_WITHIN_S))
        done, _ = await asyncio.wait({first}, timeout=_HEDGE_S)
        if done:
            return first.result()
        second = asyncio.ensure_future(self._upstream.is_well(post.replica, within_s=_WITHIN_S))
        for answer in asyncio.as_completed((first, second)):
            if await answer:
                return True
        return False
