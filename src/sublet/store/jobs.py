"""The owner's jobs and holds in the database."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from sublet.core.errors import NotFound, Stale
from sublet.core.fleet import Placement
from sublet.core.ids import JobId, PoolId
from sublet.core.owner import JOB_HELD, JobState, OwnerJob
from sublet.core.topology import Within
from sublet.store.bulk import among, portions
from sublet.store.rows import placement_of, placement_text
from sublet.store.schema import jobs, workloads

_FIELDS = tuple(field.name for field in fields(OwnerJob))
assert tuple(jobs.c.keys()) == _FIELDS, "a row is read in the order of the value's fields"
_ALL = select(jobs)
_read_row = attrgetter(*_FIELDS)
_LIVE = [state.value for state in JobState if state is not JobState.ENDED]


def to_row(job: OwnerJob) -> dict[str, Any]:
    """The job as a row."""
    return dict(zip(_FIELDS, _read_row(job), strict=True)) | {"placement": placement_text(job.placement)}


_PLACEMENT, _STATE, _WITHIN = _FIELDS.index("placement"), _FIELDS.index("state"), _FIELDS.index("within")


def of_row(row: Any) -> OwnerJob:
    """The job behind a row."""
    values = list(row)
    values[_PLACEMENT], values[_STATE] = placement_of(values[_PLACEMENT]), JobState(values[_STATE])
    values[_WITHIN] = Within(values[_WITHIN])
    return OwnerJob(*values)


def insert_all(tx: Connection, new: Sequence[OwnerJob]) -> None:
    """Add new jobs."""
    if new:
        tx.execute(insert(jobs), [to_row(job) for job in new])


def save_all(tx: Connection, moved: Iterable[tuple[OwnerJob, OwnerJob]]) -> None:
    """Write each (read, stepped) pair, or raise `Stale` if any moved since it was read."""
    rows = [to_row(stepped) | {"b_id": read.id, "b_version": read.version} for read, stepped in moved]
    if not rows:
        return
    for row in rows:
        row.pop("id")
    guarded = update(jobs).where((jobs.c.id == bindparam("b_id")) & (jobs.c.version == bindparam("b_version")))
    statement = guarded.values({name: bindparam(name) for name in _FIELDS if name != "id"})
    if tx.execute(statement, rows).rowcount != len(rows):
        raise Stale("an owner job changed while it was being written; nothing was saved", hint="read again and retry")


def note_entitled(tx: Connection, seen: Iterable[tuple[JobId, int]]) -> None:
    """Record from when a waiting job could have run had nothing been leased; the first word stands."""
    rows = [{"b_id": job, "b_at": at} for job, at in seen]
    if rows:
        mine = (jobs.c.id == bindparam("b_id")) & jobs.c.entitled_us.is_(None)
        tx.execute(update(jobs).where(mine).values(entitled_us=bindparam("b_at")), rows)


def note_kept(tx: Connection, kept: Iterable[tuple[JobId, Placement]]) -> None:
    """Record which GPUs are kept for a job while it waits; it does not hold them yet."""
    rows = [{"b_id": job, "b_placement": placement_text(placement)} for job, placement in kept]
    if rows:
        mine = (jobs.c.id == bindparam("b_id")) & (jobs.c.state == JobState.WAITING)
        tx.execute(update(jobs).where(mine).values(placement=bindparam("b_placement")), rows)


def get(tx: Connection, job: JobId) -> OwnerJob:
    """One job."""
    row = tx.execute(_ALL.where(jobs.c.id == job)).one_or_none()
    if row is None:
        raise NotFound(f"there is no owner job {job}", field="job", hint="`sublet owner ps` lists them")
    return of_row(row)


def live(tx: Connection, *, pool: PoolId | None = None) -> list[OwnerJob]:
    """Every job (of one pool, or of all) that waits or holds GPUs, in order of submission."""
    query = _ALL.where(jobs.c.state.in_(_LIVE))
    if pool is not None:
        query = query.where(jobs.c.pool == pool)
    return [of_row(row) for row in tx.execute(query.order_by(jobs.c.submitted_us, jobs.c.id))]


def held(tx: Connection) -> list[OwnerJob]:
    """Every job that holds GPUs."""
    states = [state.value for state in JOB_HELD]
    return [of_row(row) for row in tx.execute(_ALL.where(jobs.c.state.in_(states)))]


def page(
    tx: Connection, *, states: Iterable[JobState] | None = None, after: tuple[int, JobId] | None = None, limit: int = 100
) -> list[OwnerJob]:
    """Jobs, newest first; `after` is (submitted_us, id) of the last one seen."""
    query = _ALL
    if states is not None:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    if after is not None:
        query = query.where(tuple_(jobs.c.submitted_us, jobs.c.id) < after)
    return [of_row(row) for row in tx.execute(query.order_by(jobs.c.submitted_us.desc(), jobs.c.id.desc()).limit(limit))]


def last_freed_us(tx: Connection, pool: PoolId) -> int:
    """When a job of the owner last left the pool, its GPUs clean; 0 before the first."""
    ended = (jobs.c.pool == pool) & (jobs.c.state == JobState.ENDED)
    return tx.execute(select(func.max(jobs.c.since_us)).where(ended)).scalar_one() or 0


def some(tx: Connection, wanted: Iterable[JobId]) -> list[OwnerJob]:
    """Some of them by id; one that does not exist is absent."""
    query = _ALL
    return [of_row(row) for part in portions(wanted) for row in tx.execute(query.where(among(jobs.c.id, part)))]


def ended_with_workload(tx: Connection, *, before_us: int, limit: int) -> list[OwnerJob]:
    """Those that ended before an instant and whose workload is still kept."""
    kept = _ALL.join(workloads, workloads.c.holder == jobs.c.id)
    old = (jobs.c.state == JobState.ENDED) & (jobs.c.since_us < before_us)
    return [of_row(row) for row in tx.execute(kept.where(old).order_by(jobs.c.since_us).limit(limit))]
