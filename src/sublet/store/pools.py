"""Pools: the owner's settings as JSON, and what the last round made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from sublet.core.errors import NotFound
from sublet.core.ids import PoolId
from sublet.core.terms import Pool
from sublet.store.schema import pools

_POOL = TypeAdapter(Pool)


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool with its running state."""

    pool: Pool
    price_micro: int
    price_at_us: int
    reserve: int


@lru_cache(maxsize=1_024)
def _parsed(settings: str) -> Pool:
    """Settings rarely change and are read by every round and request."""
    return _POOL.validate_json(settings)


def _of_row(row: Any) -> PoolRow:
    return PoolRow(_parsed(row.settings), row.price_micro, row.price_at_us, row.reserve)


def put(tx: Connection, pool: Pool, *, now_us: int) -> None:
    """Add a pool or change its settings; the last price stands."""
    settings = _POOL.dump_json(pool).decode()
    changed = tx.execute(update(pools).where(pools.c.id == pool.id).values(settings=settings, version=pools.c.version + 1))
    if changed.rowcount == 0:
        tx.execute(
            insert(pools).values(
                id=pool.id, settings=settings, price_micro=pool.price_micro, price_at_us=now_us, reserve=0, created_us=now_us
            )
        )


def get(tx: Connection, pool: PoolId) -> PoolRow:
    """One pool."""
    row = find(tx, pool)
    if row is None:
        known = ", ".join(tx.execute(select(pools.c.id).order_by(pools.c.id)).scalars()) or "none yet"
        raise NotFound(f"there is no pool {pool!r}", field="pool", hint=f"the pools are: {known}")
    return row


def find(tx: Connection, pool: str) -> PoolRow | None:
    """One pool, if there is one of this name."""
    row = tx.execute(select(pools).where(pools.c.id == pool)).one_or_none()
    return None if row is None else _of_row(row)


def cheapest_first(tx: Connection) -> Iterator[PoolRow]:
    """All pools by price, each read when it is asked for."""
    for row in tx.execute(select(pools).order_by(pools.c.price_micro, pools.c.id)):
        yield _of_row(row)


def everything(tx: Connection) -> list[PoolRow]:
    """All pools by name."""
    return [_of_row(row) for row in tx.execute(select(pools).order_by(pools.c.id))]


def set_price(tx: Connection, pool: PoolId, price_micro: int, *, at_us: int) -> None:
    """Keep the last clearing price."""
    tx.execute(update(pools).where(pools.c.id == pool).values(price_micro=price_micro, price_at_us=at_us))


def set_reserve(tx: Connection, pool: PoolId, reserve: int) -> None:
    """Keep the present reserve."""
    tx.execute(update(pools).where(pools.c.id == pool).values(reserve=reserve))
