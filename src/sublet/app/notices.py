"""What tenants are told: the one document of a lease's dated end, and what the owner owes them for a broken promise."""

import json
from collections.abc import Iterable

from sublet.app.metadata import iso
from sublet.core.lease import Lease, State
from sublet.core.ledger import Settlement
from sublet.core.units import MICRO
from sublet.store import webhooks, workloads
from sublet.store.database import Tx
from sublet.store.events import Entry
from sublet.store.webhooks import Webhook


def document(lease: Lease) -> dict[str, object]:
    """The notice in the clouds' spot-interruption shape, with what we know beyond it."""
    assert lease.deadline_us is not None, f"{lease.id} was given no notice"
    return {
        "action": "terminate",
        "time": iso(lease.deadline_us),
        "deadline_us": lease.deadline_us,
        "reason": lease.cause,
        "lease": lease.id,
        "name": lease.name,
        "attempt": lease.attempt,
    }


def announce(tx: Tx, moved: Iterable[Lease], *, at_us: int) -> None:
    """Put the notices of these leases into the outbox, for tenants who named a webhook."""
    told = [lease for lease in moved if lease.state is State.NOTICED]
    found = workloads.get_all(tx, [lease.id for lease in told]) if told else {}
    rows = [
        Webhook(f"{lease.id}:{lease.attempt}:{lease.deadline_us}", url, json.dumps(document(lease)), at_us)
        for lease in told
        if lease.id in found and (url := found[lease.id].webhook)
    ]
    webhooks.put_all(tx, rows)


def settlement_entries(ended: Iterable[Settlement], *, at_us: int) -> list[Entry]:
    """What the journal says of refunds and credits."""
    return [
        Entry(
            at_us,
            "lease.credited",
            f"attempt {one.attempt.attempt} was reclaimed: "
            f"refund {one.refund_micro / MICRO:.6f}, credit {one.credit_micro / MICRO:.6f}",
            one.attempt.tenant,
            one.attempt.lease,
            one.attempt.pool,
            {"attempt": one.attempt.attempt, "refund_micro": one.refund_micro, "credit_micro": one.credit_micro},
        )
        for one in ended
        if one.refund_micro or one.credit_micro
    ]
