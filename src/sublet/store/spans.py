"""Who held which GPUs, when: one row for a holder, a node and a state, written in the transaction of the step itself."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table, insert, or_, select, update

from sublet.core.ids import NodeId, PoolId
from sublet.core.occupancy import Level, Span
from sublet.store.bulk import Each, given, insert_all
from sublet.store.rows import plain, row_of
from sublet.store.schema import demand, reserves, spans

_CLOSE = Each(
    update(spans),
    where=(spans.c.holder == given(spans.c.holder, "b_holder")) & spans.c.to_us.is_(None),
    values={"to_us": given(spans.c.to_us, "b_at")},
)
_NAMES = ("pool", "node", "mask", "state", "holder", "attempt", "from_us", "to_us")


def close(tx: Connection, ends: Iterable[tuple[str, int]]) -> None:
    """End the open spans of each (holder, instant)."""
    _CLOSE.run(tx, [{"b_holder": holder, "b_at": at} for holder, at in ends])


def open_all(tx: Connection, new: Sequence[Span]) -> None:
    """Begin spans."""
    insert_all(tx, spans, [row_of(span) for span in new])


def between(tx: Connection, pool: PoolId, from_us: int, to_us: int) -> list[Span]:
    """Every span of the pool that touches a period, as it was recorded (an open one has no end)."""
    touching = (spans.c.pool == pool) & (spans.c.from_us < to_us) & or_(spans.c.to_us.is_(None), spans.c.to_us > from_us)
    columns = [spans.c[name] for name in _NAMES]
    return [Span(**plain(row)) for row in tx.execute(select(*columns).where(touching).order_by(spans.c.seq))]


def open_now(tx: Connection, node: NodeId) -> list[Span]:
    """Every span of a node without an end."""
    columns = [spans.c[name] for name in _NAMES]
    mine = (spans.c.node == node) & spans.c.to_us.is_(None)
    return [Span(**plain(row)) for row in tx.execute(select(*columns).where(mine))]


def note_reserve(tx: Connection, pool: PoolId, level: Level) -> None:
    """Record that the reserve has this size from an instant on."""
    _note(tx, reserves, pool, level)


def note_demand(tx: Connection, pool: PoolId, level: Level) -> None:
    """Record that the owner's demand has this size from an instant on."""
    _note(tx, demand, pool, level)


def reserve_levels(tx: Connection, pool: PoolId, to_us: int) -> list[Level]:
    """The reserve as a step function, up to an instant."""
    query = select(reserves.c.at_us, reserves.c.gpus).where((reserves.c.pool == pool) & (reserves.c.at_us <= to_us))
    return [Level(at, gpus) for at, gpus in tx.execute(query.order_by(reserves.c.at_us))]


def demand_levels(tx: Connection, pool: PoolId, from_us: int) -> list[Level]:
    """The owner's demand as a step function since an instant."""
    query = select(demand.c.at_us, demand.c.gpus).where((demand.c.pool == pool) & (demand.c.at_us >= from_us))
    return [Level(at, gpus) for at, gpus in tx.execute(query.order_by(demand.c.at_us))]


def _note(tx: Connection, table: Table, pool: PoolId, level: Level) -> None:
    here = (table.c.pool == pool) & (table.c.at_us == level.at_us)
    if tx.execute(update(table).where(here).values(gpus=level.gpus)).rowcount == 0:
        tx.execute(insert(table).values(pool=pool, at_us=level.at_us, gpus=level.gpus))
