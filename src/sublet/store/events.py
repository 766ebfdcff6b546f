"""The journal: what happened, in order, with its reason. Only ever added to; the page at `/` and `sublet events` follow it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, func, select

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.store.bulk import insert_all
from sublet.store.rows import plain
from sublet.store.schema import events


@dataclass(frozen=True, slots=True)
class Entry:
    """One happening. `kind` is `noun.verb` (`lease.granted`, `price.set`); `seq` is given by the store."""

    at_us: int
    kind: str
    reason: str = ""
    tenant: TenantId | None = None
    lease: LeaseId | None = None
    pool: PoolId | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


def append(tx: Connection, entries: Iterable[Entry]) -> None:
    """Add entries, in the transaction of what they tell of."""
    rows = [
        {
            "at_us": entry.at_us,
            "kind": entry.kind,
            "tenant": entry.tenant,
            "lease": entry.lease,
            "pool": entry.pool,
            "reason": entry.reason,
            "data": json.dumps(dict(entry.data), separators=(",", ":")),
        }
        for entry in entries
    ]
    insert_all(tx, events, rows)


def page(
    tx: Connection,
    *,
    after: int = 0,
    tenant: TenantId | None = None,
    lease: LeaseId | None = None,
    until_us: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries after a sequence number, oldest first; with `tenant`, only what concerns it.

    `until_us` ends before the first that is younger: PostgreSQL may commit a lower number after a higher one, so a follower
    that must miss nothing stays a moment behind. What comes after that one is left for later, whatever its instant.
    """
    query = select(events).where(events.c.seq > after)
    if tenant is not None:
        query = query.where(events.c.tenant == tenant)
    if lease is not None:
        query = query.where(events.c.lease == lease)
    found = (_of_row(row) for row in tx.execute(query.order_by(events.c.seq).limit(limit)))
    return list(found if until_us is None else takewhile(lambda entry: entry.at_us <= until_us, found))


def last_seq(tx: Connection, *, back: int = 0, tenant: TenantId | None = None) -> int:
    """The newest sequence number, or that of the entry `back` entries before it; 0 where there is none."""
    query = select(events.c.seq).order_by(events.c.seq.desc()).offset(back).limit(1)
    if tenant is not None and back:
        query = query.where(events.c.tenant == tenant)
    return tx.execute(query).scalar_one_or_none() or 0


def _of_row(row: Any) -> Entry:
    values = plain(row)
    return Entry(**values | {"data": json.loads(values["data"])})


def last_instant_us(tx: Connection) -> int:
    """The latest instant in the journal; 0 when nothing has happened yet."""
    return tx.execute(select(func.max(events.c.at_us))).scalar_one() or 0
