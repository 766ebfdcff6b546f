"""Measuring: what ran becomes usage intervals, each written once, in step with the marks on its lease."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sublet.core.lease import Lease
from sublet.core.ledger import Extension
from sublet.core.rating import closed_attempt, due, paid_until_us
from sublet.core.usage import Usage
from sublet.store import ledger
from sublet.store import usage as usage_rows
from sublet.store.bulk import portions
from sublet.store.database import Database, Tx

_BATCH = 50
_AT_ONCE = 100_000


def meter(tx: Tx, leases: Sequence[Lease], *, now_us: int) -> list[Lease]:
    """Write the usage that is due up to `now_us`, and return the leases with their marks moved.

    `Stale` is raised if somebody metered one of them since it was read; the transaction is then to be given up and retried.
    """
    measured = [_measured(lease, now_us=now_us) for lease in leases]
    _write(tx, measured)
    return [one.after for one in measured]


@dataclass(frozen=True, slots=True)
class _Measured:
    """A lease, what is due of it, and the lease with its marks moved accordingly."""

    before: Lease
    usage: Sequence[Usage]
    after: Lease


def _measured(lease: Lease, *, now_us: int) -> _Measured:
    fresh = due(lease, until_us=now_us)
    last = fresh[-1] if fresh else None
    return _Measured(lease, fresh, replace(lease, metered_us=last.to_us, usage_seq=last.seq) if last else lease)


def _write(tx: Tx, measured: Sequence[_Measured]) -> None:
    usage_rows.move_metered(tx, [(one.before, one.after) for one in measured if one.usage])
    usage_rows.insert_all(tx, [used for one in measured for used in one.usage])


def meter_running(db: Database, *, now_us: int, every_us: int) -> int:
    """Meter every running lease that was not metered for `every_us`; returns how many were written.

    Each batch is read and measured before the transaction that writes it, and that is short: grants never wait for a long one.
    What has moved in between is left to the next pass, or was metered to its end by whoever ended it.
    """
    with db.read() as tx:
        behind = usage_rows.unmetered(tx, before_us=now_us - every_us)
    written = 0
    for names in portions(behind[:_AT_ONCE], _BATCH):
        with db.read() as tx:
            running = usage_rows.running(tx, names)
        measured = [one for lease in running if (one := _measured(lease, now_us=now_us)).usage]
        with db.write() as tx:
            unmoved = usage_rows.unmoved(tx, [one.before for one in measured])
            kept = [one for one in measured if one.before.id in unmoved]
            _write(tx, kept)
        written += len(kept)
    return written


def close_attempt(tx: Tx, leases: Sequence[Lease], *, now_us: int) -> list[Lease]:
    """Meter the last of each attempt that has just ended, keep it as an `Attempt`, and return the moved leases.

    Each lease carries `stopped_us` and `cause`. Where its funds ended before its stop (the control plane was away, say), they
    are first extended to the stop as far as the limit allows; what is still unfunded then is the owner's loss.
    """
    funded = _funded_to_the_stop(tx, leases, now_us=now_us)
    closed = meter(tx, funded, now_us=now_us)
    usage_rows.insert_attempts(tx, [closed_attempt(lease) for lease in closed])
    return closed


def _funded_to_the_stop(tx: Tx, leases: Sequence[Lease], *, now_us: int) -> list[Lease]:
    wanted = [wish for lease in leases if (wish := funding_wish(lease, to_us=paid_until_us(lease, until_us=now_us)))]
    ends = ledger.extend_all(tx, wanted, now_us=now_us) if wanted else {}
    return [replace(lease, funded_until_us=ends.get(lease.id, lease.funded_until_us)) for lease in leases]


def funding_wish(lease: Lease, *, to_us: int) -> Extension | None:
    """The extension that funds the present attempt up to an instant; None where it is funded so far, or was never billed."""
    if lease.started_us is None or lease.price_micro is None or lease.funded_until_us is None or lease.funded_until_us >= to_us:
        return None
    return Extension(
        lease=lease.id,
        attempt=lease.attempt,
        tenant=lease.tenant,
        pool=lease.pool,
        gpus=lease.gpus,
        price_micro=lease.price_micro,
        from_us=lease.funded_until_us,
        to_us=to_us,
    )
