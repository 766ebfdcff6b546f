"""The market of a pool: how much is wanted at which price, what a block would take, and how the price moved."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sublet.api.blocks import BlockQuoteView
from sublet.api.bodies import InPath
from sublet.api.call import Calling, only
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.app import blocks, market
from sublet.app.keys import Scope
from sublet.app.market import MarketDepth, ProductDepth, WindowDepth
from sublet.core.depth import Level
from sublet.core.ids import PoolId
from sublet.store.prices import PricePoint

router = APIRouter(prefix="/v1/market", tags=["market"])
_ANYBODY = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]
InstantUs = Annotated[int, Query(ge=0, le=2**53)]


class LevelView(BaseModel):
    """Bids that are close to each other, added up. Single bids stay sealed."""

    price_micro: int | None = Field(description="the bids are at least this; null: too few to say a price")
    gpus: int
    gpus_at_or_above: int = Field(description="of this level and all dearer ones")
    bids: int

    @classmethod
    def of(cls, level: Level) -> "LevelView":
        """As the API shows it."""
        return cls(price_micro=level.price_micro, gpus=level.gpus, gpus_at_or_above=level.gpus_at_or_above, bids=level.bids)


class ProductDepthView(BaseModel):
    """The bids that wait for one class and length."""

    lease_class: str = Field(serialization_alias="class")
    term_us: int | None
    levels: list[LevelView]

    @classmethod
    def of(cls, product: ProductDepth) -> "ProductDepthView":
        """As the API shows it."""
        levels = [LevelView.of(level) for level in product.levels]
        return cls(lease_class=product.lease_class, term_us=product.term_us, levels=levels)


class WindowDepthView(BaseModel):
    """Delivery windows that follow each other and look the same."""

    from_us: int
    to_us: int
    nodes_left: int = Field(description="whole nodes that may still be sold as blocks")
    nodes_sold: int
    wanted: list[LevelView] = Field(description="orders to buy that touch these windows")
    offered: list[LevelView] = Field(description="rests of blocks that tenants offer")

    @classmethod
    def of(cls, window: WindowDepth) -> "WindowDepthView":
        """As the API shows it."""
        return cls(
            from_us=window.from_us,
            to_us=window.to_us,
            nodes_left=window.nodes_left,
            nodes_sold=window.nodes_sold,
            wanted=[LevelView.of(level) for level in window.wanted],
            offered=[LevelView.of(level) for level in window.offered],
        )


class DepthView(BaseModel):
    """How much is wanted at which price. Prices in micro-units a GPU-hour."""

    pool: str
    price_micro: int = Field(description="the clearing price now")
    block_reserve_micro: int = Field(description="no block is sold below this price")
    products: list[ProductDepthView]
    windows: list[WindowDepthView]

    @classmethod
    def of(cls, pool: str, found: MarketDepth) -> "DepthView":
        """As the API shows it."""
        return cls(
            pool=pool,
            price_micro=found.price_micro,
            block_reserve_micro=found.reserve_micro,
            products=[ProductDepthView.of(product) for product in found.products],
            windows=[WindowDepthView.of(window) for window in found.windows],
        )


class PriceView(BaseModel):
    """From this instant on the clearing price was so much."""

    at_us: int
    price_micro: int
    floor_micro: int
    reason: str

    @classmethod
    def of(cls, point: PricePoint) -> "PriceView":
        """As the API shows it."""
        return cls(at_us=point.at_us, price_micro=point.price_micro, floor_micro=point.floor_micro, reason=point.reason)


@router.get("/{pool}/depth", dependencies=_ANYBODY)
def depth(pool: InPath, call: Calling, from_us: InstantUs | None = None, to_us: InstantUs | None = None) -> DepthView:
    """The bids that wait by class and length, and the orders for blocks by delivery window, added up to price levels."""
    with call.read() as tx:
        found = market.pool_depth(tx, call.forecaster, PoolId(pool), from_us=from_us, to_us=to_us, now_us=call.now_us)
    return DepthView.of(pool, found)


@router.get("/{pool}/quote", dependencies=_ANYBODY)
def quote(
    pool: InPath,
    call: Calling,
    nodes: Annotated[int, Query(ge=1, le=10_000)],
    start_us: InstantUs,
    end_us: InstantUs,
) -> BlockQuoteView:
    """What it would take to win so many nodes from a start to an end, if the auction were held now."""
    with call.read() as tx:
        found = blocks.quote(
            tx, call.forecaster, PoolId(pool), nodes=nodes, start_us=start_us, end_us=end_us, now_us=call.now_us
        )
    return BlockQuoteView.of(found)


@router.get("/{pool}/prices", dependencies=_ANYBODY)
def prices(
    pool: InPath,
    call: Calling,
    *,
    from_us: InstantUs = 0,
    to_us: InstantUs | None = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[PriceView]:
    """How the clearing price moved, the oldest first."""
    place = instant_and_name(after)
    with call.read() as tx:
        found = market.price_history(
            tx,
            PoolId(pool),
            from_us=from_us,
            to_us=call.until(to_us) + 1 if to_us is None else to_us,
            after_us=place[0] if place else None,
            limit=limit,
        )
    return page(found, limit, view=PriceView.of, place=lambda point: f"{point.at_us}/{pool}")
