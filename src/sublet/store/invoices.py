"""Issued invoices, kept as they were issued: what a tenant was shown does not change afterwards."""

from collections.abc import Iterable

from pydantic import TypeAdapter
from sqlalchemy import Connection, func, select

from sublet.core.errors import NotFound
from sublet.core.ids import LeaseId, TenantId
from sublet.core.invoice import Invoice
from sublet.core.lease import Lease
from sublet.store import leases as lease_rows
from sublet.store.bulk import among, insert_new, portions
from sublet.store.schema import invoices, leases

_INVOICE = TypeAdapter(Invoice)


def insert_once(tx: Connection, invoice: Invoice) -> Invoice:
    """Keep an invoice; if the tenant has one for exactly this period, that one is returned and stands."""
    assert invoice.issued_us is not None, "a draft is not kept"
    row = {
        "id": invoice.id,
        "tenant": invoice.tenant,
        "from_us": invoice.from_us,
        "to_us": invoice.to_us,
        "issued_us": invoice.issued_us,
        "document": _INVOICE.dump_json(invoice).decode(),
    }
    insert_new(tx, invoices, [row], key=[invoices.c.tenant, invoices.c.from_us, invoices.c.to_us])
    return get(tx, invoice.id)


def get(tx: Connection, invoice: str, *, tenant: TenantId | None = None) -> Invoice:
    """One invoice; with `tenant`, another tenant's invoice does not exist."""
    query = select(invoices.c.document).where(invoices.c.id == invoice)
    if tenant is not None:
        query = query.where(invoices.c.tenant == tenant)
    document = tx.execute(query).scalar_one_or_none()
    if document is None:
        raise NotFound(f"there is no invoice {invoice}", field="invoice", hint="`sublet invoice` lists them")
    return _INVOICE.validate_json(document)


def find(tx: Connection, tenant: TenantId, from_us: int, to_us: int) -> Invoice | None:
    """The tenant's invoice for exactly this period, if it was issued."""
    mine = (invoices.c.tenant == tenant) & (invoices.c.from_us == from_us) & (invoices.c.to_us == to_us)
    document = tx.execute(select(invoices.c.document).where(mine)).scalar_one_or_none()
    return None if document is None else _INVOICE.validate_json(document)


def overlapping(tx: Connection, tenant: TenantId, from_us: int, to_us: int) -> str | None:
    """An issued invoice of the tenant that shares a part of this period, and not all of it."""
    touching = (invoices.c.tenant == tenant) & (invoices.c.from_us < to_us) & (invoices.c.to_us > from_us)
    other = touching & ~((invoices.c.from_us == from_us) & (invoices.c.to_us == to_us))
    return tx.execute(select(invoices.c.id).where(other).limit(1)).scalar_one_or_none()


def last_end_us(tx: Connection, tenant: TenantId) -> int:
    """Up to where a tenant's invoices were issued; 0 without any. What is booked from now on has to come after it."""
    return tx.execute(select(func.max(invoices.c.to_us)).where(invoices.c.tenant == tenant)).scalar_one() or 0


def page(
    tx: Connection, *, tenant: TenantId | None = None, after: tuple[int, str] | None = None, limit: int = 100
) -> list[Invoice]:
    """Invoices, newest first; `after` is (issued_us, id) of the last one seen."""
    query = select(invoices.c.document)
    if tenant is not None:
        query = query.where(invoices.c.tenant == tenant)
    if after is not None:
        issued, last = after
        query = query.where((invoices.c.issued_us < issued) | ((invoices.c.issued_us == issued) & (invoices.c.id < last)))
    ordered = query.order_by(invoices.c.issued_us.desc(), invoices.c.id.desc()).limit(limit)
    return [_INVOICE.validate_json(document) for document in tx.execute(ordered).scalars()]


def leases_named(tx: Connection, wanted: Iterable[LeaseId]) -> dict[LeaseId, Lease]:
    """The leases that usage and transfers speak of."""
    found: dict[LeaseId, Lease] = {}
    for portion in portions(sorted(set(wanted))):
        found |= {
            LeaseId(row.id): lease_rows.of_row(row) for row in tx.execute(select(leases).where(among(leases.c.id, portion)))
        }
    return found
