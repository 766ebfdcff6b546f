"""Orders for blocks in the database. A stepped order is written only over the version it was read at."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from sublet.core.blocks.order import BlockOrder, OrderState, Side
from sublet.core.errors import NotFound, Stale
from sublet.core.ids import LeaseId, OrderId, PoolId, TenantId
from sublet.store.bulk import among, portions
from sublet.store.rows import plain, row_of
from sublet.store.schema import block_orders

_ALL = select(block_orders)


def _of_row(row: Any) -> BlockOrder:
    values = plain(row)
    return BlockOrder(**values | {"side": Side(values["side"]), "state": OrderState(values["state"])})


def insert_one(tx: Connection, order: BlockOrder) -> None:
    """Add a new order."""
    tx.execute(insert(block_orders), [row_of(order)])


def save_all(tx: Connection, moved: Iterable[tuple[BlockOrder, BlockOrder]]) -> None:
    """Write each (read, stepped) pair, or raise `Stale` if any order moved since it was read: then nothing is kept."""
    rows = [
        {
            "b_id": read.id,
            "b_version": read.version,
            "n_state": new.state,
            "n_version": new.version,
            "n_since": new.since_us,
            "n_price": new.price_micro,
            "n_reason": new.reason,
        }
        for read, new in moved
    ]
    if not rows:
        return
    mine = (block_orders.c.id == bindparam("b_id")) & (block_orders.c.version == bindparam("b_version"))
    values: dict[str, Any] = {
        "state": bindparam("n_state"),
        "version": bindparam("n_version"),
        "since_us": bindparam("n_since"),
        "price_micro": bindparam("n_price"),
        "reason": bindparam("n_reason"),
    }
    if tx.execute(update(block_orders).where(mine).values(values), rows).rowcount != len(rows):
        raise Stale("an order changed while it was being written; nothing was saved", hint="read again and retry")


def of_leases(tx: Connection, wanted: Iterable[LeaseId]) -> list[BlockOrder]:
    """The orders that bought these blocks, for moving: nobody else may write them meanwhile."""
    bought = _ALL.where((block_orders.c.side == Side.BUY) & (block_orders.c.state == OrderState.WON)).with_for_update()
    parts = portions(sorted(wanted))
    found = (tx.execute(bought.where(among(block_orders.c.lease, part)).order_by(block_orders.c.id)).all() for part in parts)
    return [_of_row(row) for rows in found for row in rows]


def move_all(tx: Connection, moved: Iterable[tuple[BlockOrder, PoolId]]) -> None:
    """Write to which pool each order's block belongs now, or raise `Stale` if an order moved since it was read."""
    rows = [{"b_id": read.id, "b_version": read.version, "n_pool": pool} for read, pool in moved]
    if not rows:
        return
    mine = (block_orders.c.id == bindparam("b_id")) & (block_orders.c.version == bindparam("b_version"))
    values = {"pool": bindparam("n_pool"), "version": block_orders.c.version + 1}
    if tx.execute(update(block_orders).where(mine).values(values), rows).rowcount != len(rows):
        raise Stale("an order changed while its block was moved; nothing was saved", hint="the next pass decides anew")


def note_reasons(tx: Connection, reasons: Iterable[tuple[OrderId, str]]) -> None:
    """Record why resting orders rest."""
    rows = [{"b_id": order, "b_reason": reason} for order, reason in reasons]
    if rows:
        mine = (block_orders.c.id == bindparam("b_id")) & (block_orders.c.state == OrderState.RESTING)
        tx.execute(update(block_orders).where(mine).values(reason=bindparam("b_reason")), rows)


def get(tx: Connection, order: OrderId, *, tenant: TenantId | None = None, lock: bool = False) -> BlockOrder:
    """One order; with `tenant`, another tenant's order does not exist. `lock`: nobody else may write it meanwhile."""
    query = _ALL.where(block_orders.c.id == order)
    if tenant is not None:
        query = query.where(block_orders.c.tenant == tenant)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no order {order}", field="order", hint="`sublet block ls --all` lists yours")
    return _of_row(row)


def some(tx: Connection, wanted: Iterable[OrderId]) -> list[BlockOrder]:
    """Some of them by id, for stepping: nobody else may write them meanwhile. One that does not exist is absent."""
    query = _ALL.with_for_update()
    parts = portions(sorted(wanted))
    found = (tx.execute(query.where(among(block_orders.c.id, part)).order_by(block_orders.c.id)).all() for part in parts)
    return [_of_row(row) for rows in found for row in rows]


def resting(tx: Connection, pool: PoolId | None = None) -> list[BlockOrder]:
    """Every resting order of a pool, or of all, the oldest first."""
    query = _ALL.where(block_orders.c.state == OrderState.RESTING)
    if pool is not None:
        query = query.where(block_orders.c.pool == pool)
    return [_of_row(row) for row in tx.execute(query.order_by(block_orders.c.placed_us, block_orders.c.id))]


def resting_sell(tx: Connection, lease: LeaseId) -> BlockOrder | None:
    """The order that offers the rest of a block, if there is one."""
    mine = (block_orders.c.lease == lease) & (block_orders.c.state == OrderState.RESTING) & (block_orders.c.side == Side.SELL)
    row = tx.execute(_ALL.where(mine)).one_or_none()
    return None if row is None else _of_row(row)


def count_resting(tx: Connection, tenant: TenantId) -> int:
    """How many orders of a tenant rest."""
    mine = (block_orders.c.tenant == tenant) & (block_orders.c.state == OrderState.RESTING)
    return int(tx.execute(select(func.count()).select_from(block_orders).where(mine)).scalar_one())


def page(
    tx: Connection,
    *,
    tenant: TenantId | None = None,
    states: Sequence[OrderState] | None = None,
    after: tuple[int, OrderId] | None = None,
    limit: int = 100,
) -> list[BlockOrder]:
    """Orders, the newest first; `after` is (placed_us, id) of the last one seen."""
    query = _ALL
    if tenant is not None:
        query = query.where(block_orders.c.tenant == tenant)
    if states is not None:
        query = query.where(block_orders.c.state.in_(list(states)))
    if after is not None:
        query = query.where(tuple_(block_orders.c.placed_us, block_orders.c.id) < after)
    newest = query.order_by(block_orders.c.placed_us.desc(), block_orders.c.id.desc()).limit(limit)
    return [_of_row(row) for row in tx.execute(newest)]
