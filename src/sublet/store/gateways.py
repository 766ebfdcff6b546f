"""Gateways that were heard of: where their journals are, when that was last, and until when a silent one keeps its purses."""

from sqlalchemy import Connection, insert, select, update

from sublet.core.purse import Gateway
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import gateways, purses


def beat(tx: Connection, gateway: Gateway) -> None:
    """A gateway lives."""
    row = row_of(gateway)
    if tx.execute(update(gateways).where(gateways.c.id == gateway.id).values(row)).rowcount == 0:
        tx.execute(insert(gateways).values(row))


def with_purses(tx: Connection) -> list[Gateway]:
    """The gateways that have purses. One that was never heard of says nothing about itself."""
    names = tx.execute(select(purses.c.gateway).where(purses.c.closed_us.is_(None)).distinct()).scalars().all()
    rows = tx.execute(select(gateways).where(gateways.c.id.in_(names)))
    known = {row.id: Gateway(**plain(row)) for row in rows}
    return [known.get(name) or Gateway(name) for name in sorted(names)]


def keep_until(tx: Connection, gateway: Gateway, until_us: int) -> bool:
    """Write until when a silent gateway keeps its purses; False if it was heard of in the meantime."""
    mine = (gateways.c.id == gateway.id) & (gateways.c.seen_us == gateway.seen_us) & gateways.c.until_us.is_(None)
    return tx.execute(update(gateways).where(mine).values(until_us=until_us)).rowcount == 1


def forget(tx: Connection, gateway: str) -> None:
    """A gateway has nothing any more."""
    tx.execute(gateways.delete().where(gateways.c.id == gateway))
