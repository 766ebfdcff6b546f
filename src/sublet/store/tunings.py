"""Fine-tuning jobs in the database."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select, tuple_, update

from sublet.core.errors import NotFound
from sublet.core.ids import TenantId
from sublet.core.tuning import Tuning, TuningState
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import tunings


def insert_one(tx: Connection, tuning: Tuning) -> None:
    """Add a job."""
    tx.execute(insert(tunings).values(_row(tuning)))


def close(tx: Connection, tuning: Tuning) -> bool:
    """Write what became of an open job; False if that was written before: the first word stands."""
    mine = (tunings.c.id == tuning.id) & (tunings.c.state == TuningState.OPEN)
    return tx.execute(update(tunings).where(mine).values(_row(tuning))).rowcount == 1


def get(tx: Connection, name: str, *, tenant: TenantId | None = None) -> Tuning:
    """One job; to a tenant no other's exists."""
    row = tx.execute(select(tunings).where(tunings.c.id == name)).one_or_none()
    if row is None or tenant not in {None, row.tenant}:
        raise NotFound(
            f"there is no fine-tuning job {name}", field="fine_tuning_job_id", hint="list them to see which there are"
        )
    return _of(row)


def opened(tx: Connection) -> list[Tuning]:
    """Jobs of which nothing is decided yet, oldest first."""
    query = select(tunings).where(tunings.c.state == TuningState.OPEN).order_by(tunings.c.created_us, tunings.c.id)
    return [_of(row) for row in tx.execute(query)]


def page(tx: Connection, *, tenant: TenantId | None, after: str | None = None, limit: int = 20) -> list[Tuning]:
    """Jobs, the newest first, from the one after `after`."""
    query = select(tunings).order_by(tunings.c.created_us.desc(), tunings.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(tunings.c.tenant == tenant)
    if after is not None:
        last = get(tx, after, tenant=tenant)
        query = query.where(tuple_(tunings.c.created_us, tunings.c.id) < (last.created_us, last.id))
    return [_of(row) for row in tx.execute(query)]


def _row(tuning: Tuning) -> dict[str, Any]:
    return row_of(tuning) | {"asked": json.dumps(dict(tuning.asked))}


def _of(row: Any) -> Tuning:
    fields = plain(row)
    return Tuning(**fields | {"asked": json.loads(fields["asked"]), "state": TuningState(fields["state"])})
