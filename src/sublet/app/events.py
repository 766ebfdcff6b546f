"""The journal as its readers follow it: in order, without gaps, and only what concerns them."""

from sublet.core.ids import LeaseId, TenantId
from sublet.core.units import SECOND_US
from sublet.store import events
from sublet.store.database import Database
from sublet.store.events import Entry

LAG_US = SECOND_US
"""On PostgreSQL, several writers may commit sequence numbers out of order; a follower stays so far behind."""


def after(
    database: Database, seq: int, *, tenant: TenantId | None, lease: LeaseId | None = None, now_us: int, limit: int
) -> list[Entry]:
    """What happened after `seq`, oldest first."""
    until = None if database.is_sqlite else now_us - LAG_US
    with database.read() as tx:
        return events.page(tx, after=seq, tenant=tenant, lease=lease, until_us=until, limit=limit)


def newest(database: Database) -> int:
    """Where a reader begins who wants only what comes."""
    with database.read() as tx:
        return events.last_seq(tx)
