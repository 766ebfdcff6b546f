"""What is for sale now, and what a request would cost."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sublet.api.call import Calling, only
from sublet.api.leases import ForTenant
from sublet.app import offers
from sublet.app.keys import Scope
from sublet.app.offers import Offer, Quote
from sublet.app.tasks import Task
from sublet.core.terms import Breaking

router = APIRouter(prefix="/v1", tags=["offers"])
_IF_BROKEN = {
    Breaking.FREE: "the notice period is free; work since the last checkpoint is your risk",
    Breaking.CREDIT: "what the attempt was billed is refunded, and a credit is booked",
    Breaking.FORCE: "only by the owner's audited force, with a credit",
    Breaking.NEVER: "never reclaimed",
}


class OfferView(BaseModel):
    """GPUs for sale now. Prices in micro-units a GPU-hour, durations in µs."""

    pool: str
    gpu_model: str
    site: str
    lease_class: str = Field(alias="class")
    term_us: int | None = Field(description="the length it is sold for; null: for as long as it lasts")
    gpus: int = Field(description="that could be granted now")
    capacity: int
    price_micro: int
    floor_micro: int
    currency: str
    notice_us: int
    kept_us: int = Field(description="a reclaim never ends it sooner than this after its grant")
    if_reclaimed: str
    credit_multiple: int = Field(description="times the price of the whole term, credited on a reclaim")

    @classmethod
    def of(cls, offer: Offer) -> "OfferView":
        """As the API shows it."""
        pool, terms = offer.pool, offer.terms
        return cls(
            pool=pool.id,
            gpu_model=pool.gpu_model,
            site=pool.site,
            **{"class": offer.lease_class},
            term_us=offer.term_us,
            gpus=offer.gpus,
            capacity=offer.supply.capacity,
            price_micro=offer.price_micro,
            floor_micro=offer.floor_micro,
            currency=pool.currency,
            notice_us=terms.grace_us,
            kept_us=terms.exempt_us,
            if_reclaimed=_IF_BROKEN[terms.breaking],
            credit_multiple=terms.credit_multiple,
        )


class OfferList(BaseModel):
    """All offers."""

    items: list[OfferView]


class QuoteView(BaseModel):
    """What a request would cost. Money in micro-units; nothing was written or reserved."""

    pool: str
    gpu_model: str
    lease_class: str = Field(alias="class")
    gpus: int
    nodes: int
    currency: str
    price_micro: int = Field(description="expected price of a GPU-hour")
    floor_micro: int
    bid_micro: int = Field(description="most you would pay for a GPU-hour")
    per_hour_micro: int = Field(description="all GPUs, at the expected price")
    at_most_per_hour_micro: int = Field(description="all GPUs, at the bid")
    hold_micro: int = Field(description="reserved under the spend limit at the start")
    term_us: int | None
    term_micro: int | None = Field(description="the whole term at the expected price")
    notice_us: int
    starts_now: bool
    earliest_us: int | None = Field(description="null: nobody can say; `reason` tells what it waits for")
    reason: str
    remarks: list[str]

    @classmethod
    def of(cls, quote: Quote, remarks: tuple[str, ...]) -> "QuoteView":
        """As the API shows it."""
        lease, pool = quote.lease, quote.pool
        return cls(
            pool=pool.id,
            gpu_model=pool.gpu_model,
            **{"class": lease.lease_class},
            gpus=lease.gpus,
            nodes=lease.nodes,
            currency=pool.currency,
            price_micro=quote.price_micro,
            floor_micro=quote.floor_micro,
            bid_micro=lease.bid_micro,
            per_hour_micro=quote.price_micro * lease.gpus,
            at_most_per_hour_micro=lease.bid_micro * lease.gpus,
            hold_micro=quote.hold_micro,
            term_us=lease.term_us,
            term_micro=quote.term_micro,
            notice_us=lease.grace_us,
            starts_now=quote.starts_now,
            earliest_us=quote.not_before_us,
            reason=quote.reason,
            remarks=list(remarks),
        )


@router.get("/offers", dependencies=[only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)])
def for_sale(call: Calling) -> OfferList:
    """What is for sale now in each pool, class and length."""
    with call.read() as tx:
        found = offers.for_sale(tx, call.forecaster, call.plane.mirror, now_us=call.now_us)
    return OfferList(items=[OfferView.of(offer) for offer in found])


@router.post("/quote", dependencies=[only(Scope.TENANT)])
def quote(body: Task, call: Calling, tenant: ForTenant = None) -> QuoteView:
    """What this task would cost, and whether it would start now. Reserves and writes nothing."""
    asked = body.request()
    whose = call.caller.tenant_for(tenant)
    with call.read() as tx:
        found = offers.quote(tx, call.forecaster, asked, tenant=whose, now_us=call.now_us)
    return QuoteView.of(found, asked.remarks)
