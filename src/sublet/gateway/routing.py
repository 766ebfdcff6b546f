"""The replicas of a model as this gateway sees them, and who may use them next.

A request that finds no room waits in a bounded line; when there is room, it goes to the tenant that has the fewest requests
running, so one tenant's thousand do not keep another's one waiting. Streams whose replica is drained go before all.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sublet.core.ids import ReplicaId, TenantId
from sublet.core.model import Model, Replica, ReplicaState, Tier
from sublet.core.route import Load, choose
from sublet.gateway.dialects.dialect import Bears
from sublet.gateway.refusals import busy

Permits = Callable[[Replica], bool]


@dataclass(eq=False, slots=True)
class Post:
    """A replica and what we know of it: where requests are posted."""

    replica: Replica
    running: int = 0
    well: bool = True
    on_drain: set[Callable[[], None]] = field(default_factory=set)
    bears: Bears | None = None  # what of tools its template shows, once somebody asked

    @property
    def open(self) -> bool:
        """Whether new requests may go there."""
        return self.well and self.replica.state is ReplicaState.READY

    @property
    def leaving(self) -> bool:
        """Whether it is drained or gone."""
        return self.replica.state in {ReplicaState.DRAINING, ReplicaState.GONE}


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants a replica, and which may be taken."""

    tenant: TenantId
    tier: Tier
    prefix: bytes
    permits: Permits
    moving: bool = False
    avoid: frozenset[ReplicaId] = frozenset()


@dataclass(eq=False, slots=True)
class _Waiting:
    wish: Wish
    given: "asyncio.Future[Post]"


class Line:
    """One model's replicas, and those who wait for one."""

    def __init__(self, model: Model, *, waiting_max: int) -> None:
        self.model = model
        self.posts: dict[ReplicaId, Post] = {}
        self._waiting: list[_Waiting] = []
        self._waiting_max = waiting_max
        self._running: Counter[TenantId] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def update(self, replicas: Iterable[Replica]) -> None:
        """The replicas as the database shows them. Those that are drained or gone tell whoever runs on them."""
        seen = {replica.id: replica for replica in replicas}
        for name, post in list(self.posts.items()):
            was_leaving = post.leaving
            new = seen.pop(name, None)
            if new is None:
                del self.posts[name]
            post.replica = new if new is not None else _gone(post.replica)
            if post.leaving and not was_leaving:
                for tell in list(post.on_drain):
                    tell()
        for name, replica in seen.items():
            self.posts[name] = Post(replica)
        self.serve()

    def has_open(self, permits: Permits) -> bool:
        """Whether any replica takes requests of this caller, free or not."""
        return any(post.open and permits(post.replica) for post in self.posts.values())

    def spare(self, permits: Permits) -> bool:
        """Whether there is room that nobody else needs: nobody waits, and a quarter of the slots stays free, or all are."""
        posts = [post for post in self.posts.values() if post.open and permits(post.replica)]
        slots, running = sum(post.replica.slots for post in posts), sum(post.running for post in posts)
        return bool(posts) and not self._waiting and running < max(1, slots * 3 // 4)

    async def take(self, wish: Wish, *, wait_s: float) -> Post:
        """A replica with room, at once or when one comes free; raises `Refusal` 503 after `wait_s`, or if too many wait."""
        if not self._waiting or wish.moving:
            post = self._chosen(wish)
            if post is not None:
                return self._given(post, wish)
        if len(self._waiting) >= self._waiting_max and not wish.moving:
            raise busy(f"{len(self._waiting)} requests wait for {self.model.name} already; try again shortly")
        waiting = _Waiting(wish, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(wait_s):
                return await waiting.given
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.given.done() and not waiting.given.cancelled():
                self.give_back(waiting.given.result(), wish.tenant)  # given in the very moment in which we gave up
            if isinstance(error, TimeoutError):
                raise busy(f"no replica of {self.model.name} became free within {wait_s:g} s; try again shortly") from None
            raise

    def give_back(self, post: Post, tenant: TenantId) -> None:
        """The request there is over."""
        post.running -= 1
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        if self._waiting:
            self.serve()

    def serve(self) -> None:
        """Give out what is free: first to streams that move, then to the tenant with the fewest requests running."""
        while self._waiting and any(post.open and post.running < post.replica.slots for post in self.posts.values()):
            order = sorted(self._waiting, key=lambda one: (not one.wish.moving, self._running[one.wish.tenant]))
            for one in order:
                if one.given.done():
                    continue
                post = self._chosen(one.wish)
                if post is not None:
                    self._waiting.remove(one)
                    one.given.set_result(self._given(post, one.wish))
                    break
            else:
                return

    def _given(self, post: Post, wish: Wish) -> Post:
        post.running += 1
        self._running[wish.tenant] += 1
        return post

    def _chosen(self, wish: Wish) -> Post | None:
        loads = [
            Load(post.replica.id, post.replica.tier, post.running, post.replica.slots)
            for post in self.posts.values()
            if post.open and post.replica.id not in wish.avoid and wish.permits(post.replica)
        ]
        chosen = choose(wish.prefix, wish.tier, loads)
        return None if chosen is None else self.posts[chosen]


def _gone(replica: Replica) -> Replica:
    return replace(replica, state=ReplicaState.GONE)
