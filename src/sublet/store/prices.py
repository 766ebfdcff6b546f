"""The price history of pools, as the rounds moved it, and the bids that wait, added up."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass, State
from sublet.store.rows import plain
from sublet.store.schema import leases, prices


@dataclass(frozen=True, slots=True)
class PricePoint:
    """From `at_us` on a pool's clearing price was this; micro-units a GPU-hour."""

    at_us: int
    price_micro: int
    floor_micro: int
    reason: str


def note(tx: Connection, pool: PoolId, point: PricePoint) -> None:
    """Keep a price in the pool's history."""
    here = (prices.c.pool == pool) & (prices.c.at_us == point.at_us)
    values = {"price_micro": point.price_micro, "floor_micro": point.floor_micro, "reason": point.reason}
    if tx.execute(update(prices).where(here).values(values)).rowcount == 0:
        tx.execute(insert(prices).values(pool=pool, at_us=point.at_us, **values))


def page(tx: Connection, pool: PoolId, *, from_us: int, to_us: int, after_us: int | None, limit: int) -> list[PricePoint]:
    """The prices set inside a period, the oldest first; `after_us` is that of the last one seen."""
    columns = (prices.c.at_us, prices.c.price_micro, prices.c.floor_micro, prices.c.reason)
    mine = (prices.c.pool == pool) & (prices.c.at_us >= from_us) & (prices.c.at_us < to_us)
    if after_us is not None:
        mine &= prices.c.at_us > after_us
    return [PricePoint(**plain(row)) for row in tx.execute(select(*columns).where(mine).order_by(prices.c.at_us).limit(limit))]


def waiting_bids(tx: Connection, pool: PoolId) -> Sequence[tuple[LeaseClass, int | None, int, int, int]]:
    """(class, term, bid, GPUs, how many) of the leases that wait for a grant in a pool, those with one bid added up."""
    waits = (leases.c.pool == pool) & (leases.c.state == State.QUEUED) & leases.c.ends_us.is_(None)
    key = (leases.c.lease_class, leases.c.term_us, leases.c.bid_micro)
    query = select(*key, func.sum(leases.c.gpus), func.count()).where(waits).group_by(*key)
    return [(LeaseClass(name), term, bid, int(gpus), number) for name, term, bid, gpus, number in tx.execute(query)]
