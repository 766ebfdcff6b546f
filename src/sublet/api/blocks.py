"""Blocks: order one, look at the book, cancel, and give back what is not needed."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from sublet.api.bodies import Body, InPath
from sublet.api.call import Calling, Posting, only
from sublet.api.errors import OVER_BUDGET
from sublet.api.leases import ForTenant
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.app import blocks
from sublet.app.blocks import BlockQuote
from sublet.app.keys import Scope
from sublet.app.quantities import Instant, Price
from sublet.app.tasks import Task
from sublet.core.blocks.order import BlockOrder, OrderState, Side
from sublet.core.ids import OrderId, TenantId
from sublet.store import blocks as store
from sublet.store.database import Tx

router = APIRouter(prefix="/v1/blocks", tags=["blocks"])
_READERS = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]
_TENANTS = [only(Scope.TENANT)]
StateName = Literal["resting", "won", "cancelled", "expired"]


class OrderView(BaseModel):
    """An order for a block, or for the sale of one. Instants in µs since the epoch, prices in micro-units a GPU-hour."""

    id: str
    tenant: str
    pool: str
    side: Literal["buy", "sell"]
    name: str
    state: StateName
    reason: str = Field(description="what to know about its state")
    nodes: int
    gpus: int
    start_us: int
    end_us: int
    limit_micro: int = Field(description="a buy pays no more, a sell takes no less")
    price_micro: int | None = Field(description="what it won at")
    lease: str | None = Field(description="the lease that it became, or whose rest it sells")
    placed_us: int
    since_us: int

    @classmethod
    def of(cls, order: BlockOrder) -> "OrderView":
        """As the API shows it."""
        shown = {name: getattr(order, name) for name in cls.model_fields if name != "lease"}
        is_lease = order.side is Side.SELL or order.state is OrderState.WON
        return cls(**shown, lease=order.lease if is_lease else None)


class PlacedView(OrderView):
    """An order that was just placed."""

    remarks: list[str] = Field(default_factory=list, description="fields of the task that have no effect")


class BlockQuoteView(BaseModel):
    """What a block would cost in an auction held now. Money in micro-units; nothing was written or reserved."""

    pool: str
    gpu_model: str
    currency: str
    nodes: int
    gpus: int
    start_us: int
    end_us: int
    wins: bool
    price_micro: int | None = Field(description="of a GPU-hour; null: it would not win")
    total_micro: int | None = Field(description="the whole block at this price")
    limit_micro: int | None = Field(description="most that would be paid for a GPU-hour; null: none was given")
    reserve_micro: int = Field(description="nothing is sold below this price")
    hold_micro: int | None = Field(description="reserved under the spend limit when it wins, at most; null: no limit was given")
    nodes_left: int = Field(description="that may be sold in all of its delivery windows")
    sell_back_bps: int = Field(description="share of its price for which the owner buys back what is not needed")
    next_auction_us: int
    reason: str

    @classmethod
    def of(cls, quote: BlockQuote) -> "BlockQuoteView":
        """As the API shows it."""
        given = quote.limit_micro < blocks.ANY_PRICE_MICRO
        return cls(
            pool=quote.pool.id,
            gpu_model=quote.pool.gpu_model,
            currency=quote.pool.currency,
            nodes=quote.nodes,
            gpus=quote.gpus,
            start_us=quote.start_us,
            end_us=quote.end_us,
            wins=quote.wins,
            price_micro=quote.price_micro,
            total_micro=quote.total_micro,
            limit_micro=quote.limit_micro if given else None,
            reserve_micro=quote.reserve_micro,
            hold_micro=quote.hold_micro if given else None,
            nodes_left=quote.nodes_left,
            sell_back_bps=quote.pool.blocks.sell_back_bps,
            next_auction_us=quote.next_auction_us,
            reason=quote.reason,
        )


class SellBody(Body):
    """What of a block is given back, and for how much."""

    start: Instant | None = Field(default=None, description="from when on; null: all that is left")
    min_price: Price | None = Field(
        default=None, description="least that another tenant has to pay for a GPU-hour; null: the owner buys it at once"
    )


@router.post("", status_code=201, response_model=PlacedView, dependencies=_TENANTS, responses=OVER_BUDGET)
def place(body: Task, call: Posting, tenant: ForTenant = None) -> Response:
    """Order a block with a task that has `class: block`, a start and hours. The pool's next auction decides about it."""
    asked = body.request()
    whose = call.caller.tenant_for(tenant)

    def effect(tx: Tx) -> PlacedView:
        made = blocks.place(tx, call.forecaster, asked, tenant=whose, now_us=call.now_us)
        return PlacedView(**OrderView.of(made).model_dump(), remarks=list(asked.remarks))

    return call.once(effect, status=201)


@router.post("/quote", dependencies=_TENANTS)
def quote(body: Task, call: Calling, tenant: ForTenant = None) -> BlockQuoteView:
    """What this order would come to if the auction were held now. Reserves and writes nothing."""
    asked = body.request()
    whose = call.caller.tenant_for(tenant)
    with call.read() as tx:
        return BlockQuoteView.of(blocks.preview(tx, call.forecaster, asked, tenant=whose, now_us=call.now_us))


@router.get("", dependencies=_READERS)
def everything(
    call: Calling,
    limit: Limit = 100,
    after: After = None,
    state: Annotated[list[StateName] | None, Query(max_length=4)] = None,
    tenant: ForTenant = None,
) -> Page[OrderView]:
    """Orders, the newest first; a tenant sees its own."""
    place_in_order = instant_and_name(after)
    whose = call.caller.sees or (TenantId(tenant) if tenant else None)
    with call.read() as tx:
        found = store.page(
            tx,
            tenant=whose,
            states=[OrderState(name) for name in state] if state else None,
            after=(place_in_order[0], OrderId(place_in_order[1])) if place_in_order else None,
            limit=limit,
        )
    return page(found, limit, view=OrderView.of, place=lambda order: f"{order.placed_us}/{order.id}")


@router.get("/{order}", dependencies=_READERS)
def show(order: InPath, call: Calling) -> OrderView:
    """One order."""
    with call.read() as tx:
        return OrderView.of(store.get(tx, OrderId(order), tenant=call.caller.sees))


@router.delete("/{order}", dependencies=_TENANTS)
def cancel(order: InPath, call: Calling) -> OrderView:
    """Take a resting order out of the book. A block that was bought is not cancelled but given back: `sell`."""
    with call.write() as tx:
        return OrderView.of(blocks.cancel(tx, OrderId(order), tenant=call.caller.sees, now_us=call.now_us))


@router.post("/{order}/sell", status_code=201, response_model=OrderView, dependencies=_TENANTS)
def sell(order: InPath, body: SellBody, call: Posting) -> Response:
    """Give the rest of a bought block back: to another tenant for a price, or at once to the owner for the published share."""

    def effect(tx: Tx) -> OrderView:
        made = blocks.sell(
            tx,
            OrderId(order),
            from_us=body.start,
            ask_micro=body.min_price,
            tenant=call.caller.sees,
            now_us=call.now_us,
        )
        return OrderView.of(made)

    return call.once(effect, status=201)
