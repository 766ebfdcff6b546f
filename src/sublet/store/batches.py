"""Batches: one row each. A gateway claims one, works on it and says so again and again; a silent one's are claimed anew."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sublet.core.batch import LIVE, Batch, BatchState
from sublet.core.errors import NotFound, Stale
from sublet.core.ids import TenantId
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import batches

_TEXTS = ("metadata", "errors", "instants")


def insert_one(tx: Connection, batch: Batch) -> None:
    """Add a batch."""
    tx.execute(insert(batches).values(_row(batch)))


def get(tx: Connection, batch: str, *, tenant: TenantId | None = None) -> Batch:
    """One batch; with `tenant`, another tenant's does not exist."""
    row = tx.execute(select(batches).where(batches.c.id == batch)).one_or_none()
    if row is None or (tenant is not None and row.tenant != tenant):
        raise NotFound(f"there is no batch {batch}", field="batch_id", hint="GET /openai/v1/batches lists yours")
    return _of(row)


def save(tx: Connection, before: Batch, after: Batch) -> None:
    """Write a stepped batch, or raise `Stale` if it moved since it was read."""
    mine = (batches.c.id == before.id) & (batches.c.state == before.state) & (batches.c.gateway == before.gateway)
    if tx.execute(update(batches).where(mine).values(_row(after))).rowcount != 1:
        raise Stale(f"batch {before.id} moved", hint="read it again")


def claim(tx: Connection, gateway: str, *, now_us: int, silent_us: int, limit: int) -> list[Batch]:
    """Live batches on which nobody works, or whose gateway was silent for so long: they are this gateway's now."""
    free = (batches.c.gateway == "") | (batches.c.seen_us < now_us - silent_us) | (batches.c.gateway == gateway)
    query = select(batches).where(batches.c.state.in_([state.value for state in LIVE]) & free)
    found = [_of(row) for row in tx.execute(query.order_by(batches.c.created_us, batches.c.id).limit(limit))]
    mine = {"gateway": gateway, "seen_us": now_us}
    for one in found:
        tx.execute(update(batches).where((batches.c.id == one.id) & (batches.c.gateway == one.gateway)).values(mine))
    return [_of(tx.execute(select(batches).where(batches.c.id == one.id)).one()) for one in found]


def any_live(tx: Connection) -> bool:
    """Whether there is any batch to work on."""
    return (
        tx.execute(select(batches.c.id).where(batches.c.state.in_([state.value for state in LIVE])).limit(1)).first()
        is not None
    )


def page(tx: Connection, tenant: TenantId, *, after: Batch | None = None, limit: int) -> list[Batch]:
    """A tenant's batches, newest first, from the one after `after`."""
    query = select(batches).where(batches.c.tenant == tenant)
    if after is not None:
        older = batches.c.created_us < after.created_us
        query = query.where(older | ((batches.c.created_us == after.created_us) & (batches.c.id < after.id)))
    rows = tx.execute(query.order_by(batches.c.created_us.desc(), batches.c.id.desc()).limit(limit))
    return [_of(row) for row in rows]


def _row(batch: Batch) -> dict[str, Any]:
    texts = {"metadata": dict(batch.metadata), "errors": [dict(one) for one in batch.errors], "instants": dict(batch.instants)}
    return row_of(batch) | {name: json.dumps(value) for name, value in texts.items()}


def _of(row: Any) -> Batch:
    values = plain(row)
    values |= {name: json.loads(values[name]) for name in _TEXTS}
    return Batch(**values | {"state": BatchState(values["state"]), "errors": tuple(values["errors"])})
