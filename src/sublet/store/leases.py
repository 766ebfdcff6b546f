"""Leases in the database. A stepped lease is written only over the version it was read at."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, func, literal_column, select, tuple_, update

from sublet.core.errors import NotFound, Stale
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import HELD, Access, Cause, Lease, LeaseClass, State
from sublet.store import bulk
from sublet.store.bulk import Each, among, given, portions
from sublet.store.rows import placement_of, placement_text
from sublet.store.schema import leases, workloads

_FIELDS = tuple(field.name for field in fields(Lease))
assert tuple(leases.c.keys()) == _FIELDS, "a row is read in the order of the value's fields"
_ALL = select(leases)
_SIDE = frozenset({"checkpoint_us", "metered_us", "usage_seq", "funded_until_us"})  # moved without a step
_read_row = attrgetter(*_FIELDS)


def to_row(lease: Lease) -> dict[str, Any]:
    """The lease as a row."""
    row = dict(zip(_FIELDS, _read_row(lease), strict=True))
    row["placement"] = placement_text(lease.placement)
    return row


_AT = {name: place for place, name in enumerate(_FIELDS)}
_TYPES: list[tuple[int, Callable[[Any], Any]]] = [
    (_AT["placement"], placement_of),
    (_AT["state"], State),
    (_AT["lease_class"], LeaseClass),
    (_AT["access"], Access),
    (_AT["cause"], lambda cause: Cause(cause) if cause else None),
]


def of_row(row: Any) -> Lease:
    """The lease behind a row."""
    values = list(row)
    for place, typed in _TYPES:
        values[place] = typed(values[place])
    return Lease(*values)


def insert_all(tx: Connection, new: Sequence[Lease]) -> None:
    """Add new leases."""
    bulk.insert_all(tx, leases, [to_row(lease) for lease in new])


_SAVE = Each(
    update(leases),
    where=(leases.c.id == given(leases.c.id, "b_id"))
    & (leases.c.version == given(leases.c.version, "b_version"))
    & (leases.c.usage_seq == given(leases.c.usage_seq, "b_usage_seq")),  # or what was metered since is billed never, or twice
    values={name: given(leases.c[name], name) for name in _FIELDS if name != "id"},
)
_NOTE_CHECKPOINT = Each(
    update(leases),
    where=(leases.c.id == given(leases.c.id, "b_id"))
    & (leases.c.checkpoint_us.is_(None) | (leases.c.checkpoint_us < given(leases.c.checkpoint_us, "b_at"))),
    values={"checkpoint_us": given(leases.c.checkpoint_us, "b_at")},
)
_NOTE_WAIT = Each(
    update(leases),
    where=(leases.c.id == given(leases.c.id, "b_id")) & (leases.c.state == State.QUEUED.value),
    values={"reason": given(leases.c.reason, "b_reason")},
)


def save_all(tx: Connection, moved: Iterable[tuple[Lease, Lease]]) -> None:
    """Write each (read, stepped) pair, or raise `Stale` if any lease moved since it was read: then nothing is kept.

    The caller's transaction rolls back as a whole; read again and retry.
    """
    rows = []
    for read, stepped in moved:
        assert stepped.version > read.version, f"{read.id} was not stepped"
        rows.append(to_row(stepped) | {"b_id": read.id, "b_version": read.version, "b_usage_seq": stepped.usage_seq})
    if _SAVE.run(tx, rows) != len(rows):
        raise Stale("a lease changed while it was being written; nothing was saved", hint="read again and retry")


def note_checkpoints(tx: Connection, seen: Iterable[tuple[LeaseId, int]]) -> None:
    """Record the last proven checkpoint of running leases; it never moves back."""
    _NOTE_CHECKPOINT.run(tx, [{"b_id": lease, "b_at": at} for lease, at in seen])


def note_waits(tx: Connection, reasons: Iterable[tuple[LeaseId, str]]) -> None:
    """Record why waiting leases wait."""
    _NOTE_WAIT.run(tx, [{"b_id": lease, "b_reason": reason} for lease, reason in reasons])


def get(tx: Connection, lease: LeaseId, *, tenant: TenantId | None = None, lock: bool = False) -> Lease:
    """One lease; with `tenant`, another tenant's lease does not exist. `lock`: it will be stepped, nobody else may write it."""
    query = _ALL.where(leases.c.id == lease)
    if tenant is not None:
        query = query.where(leases.c.tenant == tenant)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no lease {lease}", field="lease", hint="`sublet ps --all` lists yours")
    return of_row(row)


def live(tx: Connection, *, pool: PoolId | None = None) -> list[Lease]:
    """Every lease (of one pool, or of all) that holds GPUs or waits for some, oldest request first."""
    query = _ALL.where(leases.c.state.in_([state.value for state in State if state is not State.ENDED]))
    if pool is not None:
        query = query.where(leases.c.pool == pool)
    return [of_row(row) for row in tx.execute(query.order_by(leases.c.requested_us, leases.c.id))]


def serving(tx: Connection) -> list[Lease]:
    """Every lease that serves a model and has not ended, oldest request first; an index of their own finds them."""
    here = (leases.c.access == literal_column(f"'{Access.ENDPOINT}'")) & (leases.c.state != State.ENDED)
    return [of_row(row) for row in tx.execute(_ALL.where(here).order_by(leases.c.requested_us, leases.c.id))]


def held(tx: Connection, *, pool: PoolId) -> list[Lease]:
    """Every lease of a pool that holds GPUs."""
    here = (leases.c.pool == pool) & leases.c.state.in_([state.value for state in HELD])
    return [of_row(row) for row in tx.execute(_ALL.where(here).order_by(leases.c.id))]


def counts(tx: Connection) -> dict[State, int]:
    """How many leases there are in each state."""
    query = select(leases.c.state, func.count()).group_by(leases.c.state)
    return {State(state): number for state, number in tx.execute(query)}


def page(
    tx: Connection,
    *,
    tenant: TenantId | None = None,
    states: Iterable[State] | None = None,
    after: tuple[int, LeaseId] | None = None,
    limit: int = 100,
) -> list[Lease]:
    """Leases, newest request first; `after` is (requested_us, id) of the last one seen."""
    query = _ALL
    if tenant is not None:
        query = query.where(leases.c.tenant == tenant)
    if states is not None:
        query = query.where(leases.c.state.in_([state.value for state in states]))
    if after is not None:
        query = query.where(tuple_(leases.c.requested_us, leases.c.id) < after)
    return [of_row(row) for row in tx.execute(query.order_by(leases.c.requested_us.desc(), leases.c.id.desc()).limit(limit))]


def some(tx: Connection, wanted: Iterable[LeaseId], *, lock: bool = False) -> list[Lease]:
    """Some of them by id; one that does not exist is absent. `lock`: they will be stepped, nobody else may write them."""
    query = _ALL.with_for_update() if lock else _ALL
    parts = portions(sorted(wanted))
    return [
        of_row(row) for part in parts for row in tx.execute(query.where(among(leases.c.id, part)).order_by(leases.c.id)).all()
    ]


def ended_with_workload(tx: Connection, *, before_us: int, limit: int) -> list[Lease]:
    """Those that ended before an instant and whose workload is still kept."""
    kept = _ALL.join(workloads, workloads.c.holder == leases.c.id)
    old = (leases.c.state == State.ENDED) & (leases.c.since_us < before_us)
    return [of_row(row) for row in tx.execute(kept.where(old).order_by(leases.c.since_us).limit(limit))]
