"""Fine-tuning jobs in the database, and what they told."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, tuple_, update

from sublet.core.errors import NotFound
from sublet.core.ids import LeaseId, TenantId, TuningId
from sublet.core.lease import State
from sublet.core.tuning import LIVE, Step, Tuning, TuningState
from sublet.store.rows import plain, row_of
from sublet.store.schema import leases
from sublet.store.schema_models import tuning_steps, tunings


def insert_one(tx: Connection, tuning: Tuning) -> None:
    """Add a job."""
    tx.execute(insert(tunings).values(_row(tuning)))


def move(tx: Connection, tuning: Tuning, *, out_of: Collection[TuningState]) -> bool:
    """Write a job that was in one of these states; False if it is in none of them any more: the first word stands."""
    mine = (tunings.c.id == tuning.id) & tunings.c.state.in_([state.value for state in out_of])
    return tx.execute(update(tunings).where(mine).values(_row(tuning))).rowcount == 1


def close(tx: Connection, tuning: Tuning) -> bool:
    """Write what became of a job that is alive; False if that was written before."""
    return move(tx, tuning, out_of=LIVE)


def get(tx: Connection, name: str, *, tenant: TenantId | None = None) -> Tuning:
    """One job; to a tenant no other's exists."""
    row = tx.execute(select(tunings).where(tunings.c.id == name)).one_or_none()
    if row is None or tenant not in {None, row.tenant}:
        raise NotFound(
            f"there is no fine-tuning job {name}", field="fine_tuning_job_id", hint="list them to see which there are"
        )
    return _of(row)


def living(tx: Connection) -> list[Tuning]:
    """Jobs of which nothing is decided yet, oldest first."""
    alive = tunings.c.state.in_([state.value for state in LIVE])
    return [_of(row) for row in tx.execute(select(tunings).where(alive).order_by(tunings.c.created_us, tunings.c.id))]


def leases_of_cancelled(tx: Connection) -> list[LeaseId]:
    """The leases that jobs still have which were cancelled."""
    joined = select(tunings.c.lease).join(leases, leases.c.id == tunings.c.lease)
    still = (tunings.c.state == TuningState.CANCELLED) & leases.c.state.not_in([State.HANDOVER, State.ENDED])
    return [LeaseId(lease) for lease in tx.execute(joined.where(still)).scalars()]


def page(tx: Connection, *, tenant: TenantId | None, after: str | None = None, limit: int = 20) -> list[Tuning]:
    """Jobs, the newest first, from the one after `after`."""
    query = select(tunings).order_by(tunings.c.created_us.desc(), tunings.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(tunings.c.tenant == tenant)
    if after is not None:
        last = get(tx, after, tenant=tenant)
        query = query.where(tuple_(tunings.c.created_us, tunings.c.id) < (last.created_us, last.id))
    return [_of(row) for row in tx.execute(query)]


def tell(tx: Connection, tuning: TuningId, steps: Sequence[Step]) -> None:
    """Add what a job told."""
    if steps:
        told = [row_of(step) | {"tuning": tuning, "data": json.dumps(dict(step.data))} for step in steps]
        tx.execute(insert(tuning_steps), told)


def heard(tx: Connection, tuning: TuningId) -> tuple[int, int]:
    """How far a job was heard: the last attempt that told something, and how much it told."""
    mine = tuning_steps.c.tuning == tuning
    query = select(tuning_steps.c.attempt, func.max(tuning_steps.c.nth)).where(mine).group_by(tuning_steps.c.attempt)
    last = tx.execute(query.order_by(tuning_steps.c.attempt.desc()).limit(1)).one_or_none()
    return (0, 0) if last is None else (int(last[0]), int(last[1]) + 1)


def told(
    tx: Connection, tuning: TuningId, *, before: tuple[int, int] | None = None, event: str | None = None, limit: int
) -> list[Step]:
    """What a job told, the newest first, from the one before (attempt, nth)."""
    table = tuning_steps.c
    query = select(tuning_steps).where(table.tuning == tuning)
    if before is not None:
        query = query.where(tuple_(table.attempt, table.nth) < before)
    if event is not None:
        query = query.where(table.event == event)
    rows = tx.execute(query.order_by(table.attempt.desc(), table.nth.desc()).limit(limit))
    return [Step(row.attempt, row.nth, row.at_us, row.event, json.loads(row.data)) for row in rows]


def _row(tuning: Tuning) -> dict[str, Any]:
    texts = {"asked": json.dumps(dict(tuning.asked)), "metadata": json.dumps(dict(tuning.metadata))}
    return row_of(tuning) | texts | {"lease": tuning.lease or ""}


def _of(row: Any) -> Tuning:
    fields = plain(row)
    read = {name: json.loads(fields[name]) for name in ("asked", "metadata")}
    return Tuning(**fields | read | {"state": TuningState(fields["state"]), "lease": fields["lease"] or None})
