"""Invoices: drafts at any time, and issued ones that stand."""

from hashlib import sha256

from sublet.core.errors import Conflict, Invalid
from sublet.core.ids import TenantId
from sublet.core.invoice import Invoice, Period, build
from sublet.core.ledger import receivable
from sublet.store import invoices, ledger, model_requests, tenants
from sublet.store import usage as usage_rows
from sublet.store.database import Database, Tx


def draft(db: Database, tenant: TenantId, *, from_us: int, to_us: int) -> Invoice:
    """What the invoice of a period looks like now; the issued one, if there is one."""
    _check_period(from_us, to_us)
    with db.read() as tx:
        return invoices.find(tx, tenant, from_us, to_us) or _built(tx, tenant, from_us, to_us, issued_us=None)


def issue(db: Database, tenant: TenantId, *, from_us: int, to_us: int, now_us: int) -> Invoice:
    """Issue the invoice of a period that is over; issuing it again returns the same one.

    All time of the period has to be metered, charged and settled first, and no other invoice may share a part of it: what
    is issued is never changed, later corrections go on a later invoice.
    """
    _check_period(from_us, to_us)
    with db.write() as tx:
        if (present := invoices.find(tx, tenant, from_us, to_us)) is not None:
            return present
        if to_us > now_us:
            raise Invalid("the period is not over yet", field="to", hint="take an earlier end, or ask for a draft")
        if (other := invoices.overlapping(tx, tenant, from_us, to_us)) is not None:
            raise Conflict(f"invoice {other} covers a part of this period", field="from", hint="begin where that one ends")
        if waiting := usage_rows.open_before(tx, tenant, to_us):
            raise Conflict(
                f"{waiting} leases or charges of the period are not booked yet",
                field="to",
                hint="the billing loop books them within a minute; try again then",
            )
        ledger.locked(tx, [receivable(tenant)])  # a request that is booked after this is booked after the invoice's end
        return invoices.insert_once(tx, _built(tx, tenant, from_us, to_us, issued_us=now_us))


def fetch(db: Database, invoice: str, *, tenant: TenantId | None = None) -> Invoice:
    """An issued invoice; with `tenant`, another tenant's invoice does not exist."""
    with db.read() as tx:
        return invoices.get(tx, invoice, tenant=tenant)


def listed(
    db: Database, *, tenant: TenantId | None = None, after: tuple[int, str] | None = None, limit: int = 100
) -> list[Invoice]:
    """Issued invoices, newest first; `after` is (issued_us, id) of the last one seen."""
    with db.read() as tx:
        return invoices.page(tx, tenant=tenant, after=after, limit=limit)


def _check_period(from_us: int, to_us: int) -> None:
    if from_us >= to_us:
        raise Invalid("the period ends before it begins", field="to", hint="give an end after the start")


def _built(tx: Tx, tenant: TenantId, from_us: int, to_us: int, *, issued_us: int | None) -> Invoice:
    who = tenants.get(tx, tenant)
    intervals = usage_rows.between(tx, from_us, to_us, tenant=tenant)
    adjustments = ledger.adjustments(tx, tenant, from_us, to_us)
    named = {one.lease for one in intervals} | {entry.lease for entry in adjustments if entry.lease is not None}
    period = Period(
        tenant=tenant,
        tenant_name=who.name,
        currency=who.currency,
        from_us=from_us,
        to_us=to_us,
        usage=intervals,
        adjustments=adjustments,
        leases=invoices.leases_named(tx, named),
        attempts=usage_rows.attempts_of(tx, named),
        tokens=model_requests.totals(tx, tenant, from_us, to_us),
    )
    mark = sha256(f"{tenant} {from_us} {to_us}".encode()).hexdigest()[:12]
    return build(period, id=f"inv-{mark}", issued_us=issued_us)
