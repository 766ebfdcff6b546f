"""Invoices: drafts at any time, and issued ones that stand."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from sublet.api.bodies import Body, InPath, Name
from sublet.api.call import Call, Calling, only
from sublet.api.leases import ForTenant
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.api.periods import Begin, ToUs
from sublet.api.usage import RequestView
from sublet.app import invoicing
from sublet.app.export.invoice_page import invoice_page
from sublet.app.keys import Scope
from sublet.core.ids import TenantId
from sublet.core.invoice import Invoice
from sublet.store import model_requests, tenants

router = APIRouter(prefix="/v1/invoices", tags=["invoices"])
_READERS = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]
Instant = Annotated[int, Field(ge=0, le=4_102_444_800_000_000, description="µs since the epoch")]


class InvoiceView(BaseModel):
    """An invoice; a draft has no `issued_us`. Money in micro-units, negative where the owner owes the tenant."""

    due_micro: int
    invoice: Invoice

    @classmethod
    def of(cls, invoice: Invoice) -> "InvoiceView":
        """As the API shows it."""
        return cls(due_micro=invoice.totals.due_micro, invoice=invoice)


class NewInvoice(Body):
    """A period to bill; it must be over."""

    tenant: Name
    from_us: Instant
    to_us: Instant


@router.get("", dependencies=_READERS)
def everything(call: Calling, limit: Limit = 100, after: After = None, tenant: ForTenant = None) -> Page[InvoiceView]:
    """Issued invoices, newest first; a tenant sees its own."""
    whose = call.caller.sees or (TenantId(tenant) if tenant else None)
    found = invoicing.listed(call.plane.database, tenant=whose, after=instant_and_name(after), limit=limit)
    return page(found, limit, view=InvoiceView.of, place=lambda invoice: f"{invoice.issued_us}/{invoice.id}")


@router.post("", status_code=201, dependencies=[only(Scope.FINANCE)])
def issue(body: NewInvoice, call: Calling) -> InvoiceView:
    """Issue the invoice of a period that is over and booked. Issuing it again answers the same invoice."""
    database = call.plane.database
    made = invoicing.issue(database, TenantId(body.tenant), from_us=body.from_us, to_us=body.to_us, now_us=call.now_us)
    return InvoiceView.of(made)


@router.get("/draft", dependencies=_READERS)
def draft(call: Calling, from_us: Begin = None, to_us: ToUs = None, tenant: ForTenant = None) -> InvoiceView:
    """What the invoice of a period looks like now."""
    return InvoiceView.of(_draft(call, from_us, to_us, tenant))


@router.get("/draft/page", dependencies=_READERS, response_class=HTMLResponse)
def draft_page(call: Calling, from_us: Begin = None, to_us: ToUs = None, tenant: ForTenant = None) -> str:
    """The draft as a page to print."""
    return invoice_page(_draft(call, from_us, to_us, tenant))


def _draft(call: Call, from_us: int | None, to_us: int | None, tenant: str | None) -> Invoice:
    whose = call.caller.tenant_for(tenant)
    if from_us is None:
        with call.read() as tx:
            from_us = tenants.get(tx, whose).created_us
    return invoicing.draft(call.plane.database, whose, from_us=from_us, to_us=call.until(to_us))


@router.get("/{invoice}", dependencies=_READERS)
def show(invoice: InPath, call: Calling) -> InvoiceView:
    """One issued invoice."""
    return InvoiceView.of(invoicing.fetch(call.plane.database, invoice, tenant=call.caller.sees))


@router.get("/{invoice}/requests", dependencies=_READERS)
def requests(invoice: InPath, call: Calling, limit: Limit = 100, after: After = None) -> Page[RequestView]:
    """The requests to models behind an issued invoice's lines, newest first."""
    found = invoicing.fetch(call.plane.database, invoice, tenant=call.caller.sees)
    with call.read() as tx:
        rows = model_requests.page(
            tx, tenant=found.tenant, from_us=found.from_us, to_us=found.to_us, after=instant_and_name(after), limit=limit
        )
    return page(rows, limit, view=RequestView.of, place=lambda one: f"{one.booked_us}/{one.id}")


@router.get("/{invoice}/page", dependencies=_READERS, response_class=HTMLResponse)
def show_page(invoice: InPath, call: Calling) -> str:
    """One issued invoice as a page to print."""
    return invoice_page(invoicing.fetch(call.plane.database, invoice, tenant=call.caller.sees))
