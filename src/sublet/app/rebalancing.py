"""Once an hour it is sought which waiting blocks had better lie in another pool of their kind (`core.blocks.rebalance`).

The search takes seconds and runs beside the loops; what it found is looked at once more by the loops themselves, on the facts
of that moment, and becomes a plan like any other only if it is still better. While a plan waits nothing else is decided, so
nothing moves in between.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sublet.app.forecasting import Forecaster
from sublet.app.mirror import Mirror
from sublet.core.blocks.calendar import Calendar, Ints, calendar_of, node_size
from sublet.core.blocks.deals import Shift
from sublet.core.blocks.delivery import lead_us
from sublet.core.blocks.rebalance import SECONDS, Shelves, kind_of, rebalanced, shelves_of, shifts
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Lease
from sublet.core.plan import Plan
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US
from sublet.core.view import PoolView, TenantView
from sublet.store import blocks, plans
from sublet.store.database import Database, Tx

_TIMES_BETTER = 1.01
"""A move of anything has to make the whole cheaper by this factor at least."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Pools that are alike, and the blocks that may move among them."""

    pools: tuple[Pool, ...]
    blocks: tuple[Lease, ...]
    shelves: Shelves


@dataclass(frozen=True, slots=True)
class _Found:
    """Where blocks of some pools had better lie: the pool of each, and the version that it had."""

    better: dict[LeaseId, tuple[int, PoolId]]
    pools: frozenset[PoolId]


class Balancer:
    """Seeks beside the loops, and proposes inside them."""

    def __init__(self, database: Database, forecaster: Forecaster, mirror: Mirror) -> None:
        """`forecaster` and `mirror` are those of the rounds."""
        self._database, self._forecaster, self._mirror = database, forecaster, mirror
        self._found: list[_Found] = []

    def seek(self, *, now_us: int, seconds: float = SECONDS) -> None:
        """Look for better pools, kind by kind, within so many seconds for all; nothing is written."""
        with self._database.read() as tx:
            kinds = [*self._kinds(tx, now_us=now_us)]
        for kind in kinds:
            best = rebalanced(kind.shelves, seed=now_us // HOUR_US, seconds=seconds / len(kinds))
            if best.before >= _TIMES_BETTER * best.cost and (best.at != kind.shelves.home).any():
                self._found.append(_found(kind, best.at))

    def propose(self, *, now_us: int) -> bool:
        """Store what was found as a plan, if it is still better; whether one was stored. An older plan is waited for."""
        if not self._found:
            return False
        with self._database.read() as tx:
            if plans.is_pending(tx):
                return False
            found, self._found = self._found, []
            news: list[Shift] = []
            for one in found:
                for kind in self._kinds(tx, now_us=now_us, among=one.pools):
                    news += shifts(kind.shelves, _as_found(kind, one), kind.pools, kind.blocks)
        if not news:
            return False
        plan = Plan(now_us, shifts=tuple(news))
        with self._database.write() as tx:
            plans.insert_one(tx, plan)
        return True

    def _kinds(self, tx: Tx, *, now_us: int, among: frozenset[PoolId] | None = None) -> Iterator[_Kind]:
        """Kinds of at least two pools (of these, or of all) with blocks that may move, as they stand."""
        with self._mirror.lock:
            self._mirror.catch_up(tx)
            known = [(name, kept) for name, kept in self._mirror.pools.items() if among is None or name in among]
            selling = {name for name, kept in known if kept.row.pool.blocks.limit or kept.standing.blocks}
            if len(selling) < 2:
                return
            view = self._mirror.view(tx, self._forecaster, now_us=now_us, when=lambda kept, _: kept.row.pool.id in selling)
            alike: dict[object, list[tuple[PoolView, Standing]]] = defaultdict(list)
            for one in view.pools:
                standing = view.standing(one.pool.id)
                alike[kind_of(one.pool), node_size(standing)].append((one, standing))
            offered = {order.lease for order in blocks.resting(tx)}
            for here in alike.values():
                kind = _kind(here, view.tenants, offered, now_us=now_us) if len(here) > 1 else None
                if kind is not None:
                    yield kind


def _kind(
    here: Sequence[tuple[PoolView, Standing]], tenants: Mapping[TenantId, TenantView], offered: set[LeaseId], *, now_us: int
) -> _Kind | None:
    pools = tuple(view.pool for view, _ in here)
    some = [
        (block, np.array([_may(tenants.get(block.tenant), pool, block.pool) for pool in pools], np.bool_))
        for _, standing in here
        for block in standing.in_order(standing.blocks)
        if block.id not in offered and block.not_before_us > now_us + lead_us(standing) + standing.pool.blocks.window_us
    ]
    if not some:
        return None
    calendars: list[Calendar] = [calendar_of(view, standing, now_us=now_us) for view, standing in here]
    return _Kind(pools, tuple(block for block, _ in some), shelves_of(pools, calendars, some))


def _may(tenant: TenantView | None, pool: Pool, home: PoolId) -> bool:
    """Whether a tenant's block may lie in a pool: where it has a quota it has to stay where it bought."""
    unbounded = tenant is not None and tenant.quota(pool.id).limit is None and tenant.quota(home).limit is None
    return pool.id == home or unbounded


def _found(kind: _Kind, at: Ints) -> _Found:
    placed = zip(kind.blocks, at.tolist(), kind.shelves.home.tolist(), strict=True)
    better = {block.id: (block.version, kind.pools[to].id) for block, to, home in placed if to != home}
    return _Found(better, frozenset(pool.id for pool in kind.pools))


def _as_found(kind: _Kind, found: _Found) -> Ints:
    """int64[n]: where the blocks as they are now had better lie; where they are if that is no longer better."""
    place, shelves = {pool.id: number for number, pool in enumerate(kind.pools)}, kind.shelves
    at = shelves.home.copy()
    for i, block in enumerate(kind.blocks):
        version, to = found.better.get(block.id, (block.version, block.pool))
        if version == block.version and to in place and shelves.may[i, place[to]]:
            at[i] = place[to]
    return at if shelves.cost(shelves.home) >= _TIMES_BETTER * shelves.cost(at) else shelves.home
