"""Metered intervals and finished attempts, and the marks on a lease that say how far its time and funds are counted."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, exists, func, select, true, tuple_, union_all, update

from sublet.core.errors import Stale
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.ledger import Purpose
from sublet.core.usage import Attempt, Usage, UsageKind
from sublet.store import leases as lease_rows
from sublet.store.bulk import Each, among, given, insert_new, portions
from sublet.store.rows import plain, row_of
from sublet.store.schema import attempts, leases, transfers, usage

_USAGE = [column for column in usage.columns if column.name != "billed"]
_USAGE_NAMES = tuple(column.name for column in _USAGE)
_read_usage = attrgetter(*_USAGE_NAMES)
_ENDING = (State.NOTICED.value, State.STOPPING.value)  # an attempt that is over is among the attempts
_RUNNING = (State.ACTIVE.value, State.NOTICED.value)
_OF_CHARGE = (
    (transfers.c.lease == usage.c.lease) & (transfers.c.usage_seq == usage.c.seq) & (transfers.c.purpose == Purpose.USAGE)
)
_MOVE_METERED = Each(
    update(leases),
    where=(leases.c.id == given(leases.c.id, "b_id")) & (leases.c.usage_seq == given(leases.c.usage_seq, "b_seq")),
    values={"usage_seq": given(leases.c.usage_seq, "n_seq"), "metered_us": given(leases.c.metered_us, "n_us")},
)
_MARK_BILLED = Each(
    update(usage),
    where=(usage.c.lease == given(usage.c.lease, "b_lease")) & (usage.c.seq == given(usage.c.seq, "b_seq")),
    values={"billed": true()},
)
_MARK_SETTLED = Each(
    update(attempts),
    where=(attempts.c.lease == given(attempts.c.lease, "b_lease"))
    & (attempts.c.attempt == given(attempts.c.attempt, "b_attempt")),
    values={"settled": true()},
)


def _usage_of(row: Any) -> Usage:
    values = plain(row)
    return Usage(**values | {"kind": UsageKind(values["kind"])})


def _attempt_of(row: Any) -> Attempt:
    values = plain(row)
    return Attempt(**values | {"cause": Cause(values["cause"]), "lease_class": LeaseClass(values["lease_class"])})


def insert_all(tx: Connection, intervals: Iterable[Usage]) -> int:
    """Add intervals and return how many were new; one whose (lease, seq) is there already is ignored.

    What is free has no charge to wait for, so only billed intervals are added as unbilled.
    """
    rows = [
        dict(zip(_USAGE_NAMES, _read_usage(one), strict=True)) | {"billed": one.kind is not UsageKind.BILLED}
        for one in intervals
    ]
    return len(insert_new(tx, usage, rows, key=(usage.c.lease, usage.c.seq)))


def move_metered(tx: Connection, moved: Sequence[tuple[Lease, Lease]]) -> None:
    """Note on each (read, metered) lease up to where its usage is recorded, or raise `Stale` if somebody else did so first.

    They are locked already.
    """
    rows = [{"b_id": old.id, "b_seq": old.usage_seq, "n_seq": new.usage_seq, "n_us": new.metered_us} for old, new in moved]
    if _MOVE_METERED.run(tx, rows) != len(rows):
        raise Stale("a lease was metered by somebody else at the same time; nothing was saved", hint="read again and retry")


def unmetered(tx: Connection, *, before_us: int) -> list[LeaseId]:
    """Running leases whose usage is recorded only up to `before_us` or less, by id.

    All in one go, and nothing but their names: to look for the next hundred again and again is to look through all each time.
    """
    running = leases.c.started_us.is_not(None) & leases.c.state.in_(_RUNNING)
    behind = func.coalesce(leases.c.metered_us, leases.c.started_us) <= before_us
    return sorted(LeaseId(name) for name in tx.execute(select(leases.c.id).where(running & behind)).scalars())


def running_short(tx: Connection, pool: PoolId, *, before_us: int) -> list[LeaseId]:
    """Running leases of the pool whose funds end before an instant, by id."""
    running = (leases.c.pool == pool) & leases.c.started_us.is_not(None) & leases.c.state.in_(_RUNNING)
    short = leases.c.funded_until_us < before_us
    return sorted(LeaseId(name) for name in tx.execute(select(leases.c.id).where(running & short)).scalars())


def running(tx: Connection, wanted: Iterable[LeaseId], *, lock: bool = False) -> list[Lease]:
    """Those of some leases that run, by id. `lock`: nobody else may write them."""
    found = lease_rows.some(tx, wanted, lock=lock)
    return [lease for lease in found if lease.started_us is not None and lease.state in _RUNNING]


def unmoved(tx: Connection, read: Sequence[Lease]) -> set[LeaseId]:
    """Which of these leases have taken no step and were not metered since they were read; their rows are locked."""
    query = select(leases.c.id, leases.c.version, leases.c.usage_seq).with_for_update()
    parts = portions([one.id for one in read])
    now = {tuple(row) for part in parts for row in tx.execute(query.where(among(leases.c.id, part)))}
    return {one.id for one in read if (one.id, one.version, one.usage_seq) in now}


def unbilled(tx: Connection, *, after: tuple[LeaseId, int] | None, limit: int) -> list[Usage]:
    """Intervals whose charge is not in the ledger yet, by (lease, seq)."""
    query = select(*_USAGE).where(usage.c.billed.is_(False)).order_by(usage.c.lease, usage.c.seq).limit(limit)
    if after is not None:
        query = query.where(tuple_(usage.c.lease, usage.c.seq) > after)
    return [_usage_of(row) for row in tx.execute(query)]


def mark_billed(tx: Connection, intervals: Iterable[Usage]) -> None:
    """Note that the charges of these intervals are in the ledger."""
    _MARK_BILLED.run(tx, [{"b_lease": one.lease, "b_seq": one.seq} for one in intervals])


def of_lease(tx: Connection, lease: LeaseId) -> list[Usage]:
    """All intervals of a lease, in order."""
    return [_usage_of(row) for row in tx.execute(select(*_USAGE).where(usage.c.lease == lease).order_by(usage.c.seq))]


def between(tx: Connection, from_us: int, to_us: int, *, tenant: TenantId | None = None) -> list[Usage]:
    """Intervals that begin inside a period, so that each belongs to one period; by (lease, seq)."""
    query = select(*_USAGE).where((usage.c.from_us >= from_us) & (usage.c.from_us < to_us))
    if tenant is not None:
        query = query.where(usage.c.tenant == tenant)
    return [_usage_of(row) for row in tx.execute(query.order_by(usage.c.lease, usage.c.seq))]


def touching(tx: Connection, pool: PoolId, from_us: int, to_us: int) -> list[Usage]:
    """Intervals of a pool that overlap a period, also those that began before it."""
    inside = (usage.c.pool == pool) & (usage.c.from_us < to_us) & (usage.c.to_us > from_us)
    return [_usage_of(row) for row in tx.execute(select(*_USAGE).where(inside).order_by(usage.c.lease, usage.c.seq))]


def insert_attempts(tx: Connection, finished: Iterable[Attempt]) -> int:
    """Add finished attempts and return how many were new."""
    return len(insert_new(tx, attempts, [row_of(one) for one in finished], key=(attempts.c.lease, attempts.c.attempt)))


def unsettled(tx: Connection, *, after: tuple[LeaseId, int] | None, limit: int) -> list[Attempt]:
    """Finished attempts whose every charge is booked and whose account is still open."""
    charge_waits = exists().where(
        (usage.c.lease == attempts.c.lease) & (usage.c.attempt == attempts.c.attempt) & usage.c.billed.is_(False)
    )
    query = select(attempts).where(attempts.c.settled.is_(False) & ~charge_waits)
    if after is not None:
        query = query.where(tuple_(attempts.c.lease, attempts.c.attempt) > after)
    return [_attempt_of(row) for row in tx.execute(query.order_by(attempts.c.lease, attempts.c.attempt).limit(limit))]


def mark_settled(tx: Connection, finished: Iterable[Attempt]) -> None:
    """Note that the money of these attempts is done."""
    _MARK_SETTLED.run(tx, [{"b_lease": one.lease, "b_attempt": one.attempt} for one in finished])


def attempts_of(tx: Connection, wanted: Iterable[LeaseId]) -> list[Attempt]:
    """The finished attempts of some leases, in order."""
    found: list[Attempt] = []
    for portion in portions(sorted(set(wanted))):
        query = select(attempts).where(among(attempts.c.lease, portion)).order_by(attempts.c.lease, attempts.c.attempt)
        found += [_attempt_of(row) for row in tx.execute(query)]
    return found


def billed_micro(tx: Connection, wanted: Iterable[Attempt]) -> dict[tuple[LeaseId, int], int]:
    """What the ledger says each attempt was charged, micro-units."""
    found: dict[tuple[LeaseId, int], int] = {}
    for portion in portions({one.lease for one in wanted}):
        query = select(usage.c.lease, usage.c.attempt, func.sum(transfers.c.amount_micro)).join(transfers, _OF_CHARGE)
        both = among(usage.c.lease, portion) & among(
            transfers.c.lease, portion
        )  # or all transfers are read where few are meant
        grouped = query.where(both).group_by(usage.c.lease, usage.c.attempt)
        found |= {(lease, attempt): int(total) for lease, attempt, total in tx.execute(grouped)}
    return found


def gpu_us_by_kind(tx: Connection, from_us: int, to_us: int) -> dict[tuple[PoolId, UsageKind], int]:
    """GPU-microseconds of each pool that begin inside a period, by who pays for them."""
    gpu_us = func.sum(usage.c.gpus * (usage.c.to_us - usage.c.from_us))
    query = select(usage.c.pool, usage.c.kind, gpu_us).where((usage.c.from_us >= from_us) & (usage.c.from_us < to_us))
    return {
        (PoolId(pool), UsageKind(kind)): int(total)
        for pool, kind, total in tx.execute(query.group_by(usage.c.pool, usage.c.kind))
    }


def charged_micro(tx: Connection, from_us: int, to_us: int) -> dict[PoolId, int]:
    """What the ledger charged for intervals of each pool that begin inside a period, micro-units."""
    query = select(usage.c.pool, func.sum(transfers.c.amount_micro)).join(transfers, _OF_CHARGE)
    inside = query.where((usage.c.from_us >= from_us) & (usage.c.from_us < to_us)).group_by(usage.c.pool)
    return {PoolId(pool): int(total) for pool, total in tx.execute(inside)}


def open_before(tx: Connection, tenant: TenantId, to_us: int) -> int:
    """How many things of a tenant still keep a period that ends at `to_us` open: unmetered, unbilled or unsettled ones."""
    behind = func.coalesce(leases.c.metered_us, leases.c.started_us) < to_us
    running = (leases.c.tenant == tenant) & leases.c.state.in_((*_RUNNING, State.STOPPING.value)) & behind
    charges = (usage.c.tenant == tenant) & (usage.c.from_us < to_us) & usage.c.billed.is_(False)
    endings = (attempts.c.tenant == tenant) & (attempts.c.stopped_us < to_us) & attempts.c.settled.is_(False)
    pairs = ((leases, running), (usage, charges), (attempts, endings))
    return sum(tx.execute(select(func.count()).select_from(table).where(which)).scalar_one() for table, which in pairs)


def evictions(tx: Connection, since_us: Mapping[PoolId, int]) -> dict[TenantId, dict[PoolId, int]]:
    """How many leases the owner took back from each tenant after an instant of each of these pools, those that end now too."""
    found: dict[TenantId, dict[PoolId, int]] = {}
    for pool, since in since_us.items():
        over = select(attempts.c.tenant).where(
            (attempts.c.pool == pool) & (attempts.c.stopped_us > since) & (attempts.c.cause == Cause.RECLAIMED)
        )
        under_way = select(leases.c.tenant).where(
            (leases.c.pool == pool) & leases.c.state.in_(_ENDING) & (leases.c.cause == Cause.RECLAIMED)
        )
        both = union_all(over, under_way).subquery()
        for tenant, many in tx.execute(select(both.c.tenant, func.count()).group_by(both.c.tenant)):
            found.setdefault(TenantId(tenant), {})[pool] = many
    return found
