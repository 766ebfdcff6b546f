"""The journal as its readers follow it: in order, without gaps, and only what concerns them."""

from sublet.core.ids import LeaseId, TenantId
from sublet.core.units import SECOND_US
from sublet.store import events
from sublet.store.database import Database
from sublet.store.events import Entry

LAG_US = SECOND_US
"""On PostgreSQL, several writers may commit sequence numbers out of order: a follower stays so far behind, and misses none."""


def after(database: Database, seq: int, *, tenant: TenantId | None, lease: LeaseId | None = None, limit: int) -> list[Entry]:
    """What happened after `seq` as it is known now, oldest first."""
    with database.read() as tx:
        return events.page(tx, after=seq, tenant=tenant, lease=lease, limit=limit)


def settled_after(database: Database, seq: int, *, tenant: TenantId | None, now_us: int, limit: int) -> list[Entry]:
    """What happened after `seq`, for a reader that goes on from the last entry it got."""
    until = None if database.is_sqlite else now_us - LAG_US
    with database.read() as tx:
        return events.page(tx, after=seq, tenant=tenant, until_us=until, limit=limit)


def newest(database: Database, *, back: int = 0, tenant: TenantId | None = None) -> int:
    """Where a reader begins who wants only what comes, or the last `back` entries first."""
    with database.read() as tx:
        return events.last_seq(tx, back=back, tenant=tenant)
