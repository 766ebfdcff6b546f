"""An order for a block, or for the sale of one, and the one table that moves it.

An order rests in the book until it wins, is cancelled, or can no longer be delivered. What it won is a lease; from then on the
lease tells the story.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sublet.core.admit import Refusal
from sublet.core.ids import LeaseId, OrderId, PoolId, TenantId
from sublet.core.terms import BlockSale, Pool
from sublet.core.transitions import walked
from sublet.core.units import MICRO, said
from sublet.core.values import changed


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"  # a tenant gives the rest of a block back


class OrderState(StrEnum):
    """Where an order is in its life."""

    RESTING = "resting"
    WON = "won"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class OrderEvent(StrEnum):
    """What may happen to an order."""

    WIN = "win"
    CANCEL = "cancel"
    EXPIRE = "expire"


NEXT_ORDER: Mapping[tuple[OrderState, OrderEvent], OrderState] = {
    (OrderState.RESTING, OrderEvent.WIN): OrderState.WON,
    (OrderState.RESTING, OrderEvent.CANCEL): OrderState.CANCELLED,
    (OrderState.RESTING, OrderEvent.EXPIRE): OrderState.EXPIRED,
}


@dataclass(frozen=True)
class BlockOrder:
    """An order as the store keeps it. Instants in µs since the epoch, prices in micro-units a GPU-hour.

    A buy: `nodes` whole nodes with `gpus` GPUs in all from `start_us` to `end_us`, for at most `limit_micro`; `lease` is what
    it becomes. A sell: the rest of the block `lease` from `start_us` on, for at least `limit_micro`.
    """

    id: OrderId
    tenant: TenantId
    pool: PoolId
    side: Side
    lease: LeaseId
    name: str
    nodes: int
    gpus: int
    start_us: int
    end_us: int
    limit_micro: int
    placed_us: int
    since_us: int
    state: OrderState = OrderState.RESTING
    version: int = 1
    price_micro: int | None = None  # what it won at
    reason: str = ""

    @property
    def gpu_us(self) -> int:
        """GPU-microseconds from its start to its end."""
        return self.gpus * (self.end_us - self.start_us)


def step_order(order: BlockOrder, event: OrderEvent, *, at: int, reason: str, **data: Any) -> BlockOrder:
    """The order after `event` at instant `at` (µs); raises `IllegalStep` if the table has no such step."""
    assert at >= order.since_us, f"{order.id}: time must not run backwards"
    state = walked(NEXT_ORDER, order.state, (event,), "order", order.id)
    return changed(order, state=state, since_us=at, version=order.version + 1, reason=reason, **data)


def latest_win_us(order: BlockOrder, sale: BlockSale) -> int:
    """Up to when an order may win: what is needed to make room for its start still has to fit."""
    return order.start_us - sale.lead_us


def wrong_times(sale: BlockSale, start_us: int, end_us: int, *, now_us: int) -> Refusal | None:
    """Why no block is sold from this start to this end; None if it may be."""
    grid, length = sale.window_us, end_us - start_us
    if start_us % grid or end_us % grid:
        return Refusal("lease.start", f"blocks start and end on the grid of {said(grid)}", "choose full ones, in UTC")
    if start_us < now_us + sale.lead_us:
        return Refusal("lease.start", f"a block is bought at least {said(sale.lead_us)} before it starts", "start later")
    if start_us > now_us + sale.ahead_us:
        return Refusal("lease.start", f"a block starts at most {said(sale.ahead_us)} ahead", "start earlier")
    if not sale.length_min_us <= length <= sale.length_max_us:
        lengths = f"between {said(sale.length_min_us)} and {said(sale.length_max_us)}"
        return Refusal("lease.hours", f"a block lasts {lengths}", "buy two that follow each other, or fewer hours")
    return None


def wrong_size(pool: Pool, nodes: int, *, node_gpus: int, capacity: int, promised: int) -> Refusal | None:
    """Why so many whole nodes can never be a block here. GPUs: `capacity` of the pool, `promised` to its owner."""
    limit = pool.blocks.limit
    if not limit:
        hint = "choose another pool; the owner opens this one with blocks.limit (`sublet pool set`)"
        return Refusal("lease.pool", f"pool {pool.id} sells no blocks", hint)
    if nodes > limit:
        return Refusal("num_nodes", f"pool {pool.id} sells {limit} nodes as blocks at most", "ask for fewer nodes")
    if nodes * node_gpus > capacity - promised:
        free = max(0, capacity - promised) // max(1, node_gpus)
        return Refusal(
            "num_nodes",
            f"pool {pool.id}'s owner is promised {promised} of its {capacity} GPUs, which leaves {free} nodes for blocks",
            "ask for fewer nodes; the owner makes room with promise.gpus (`sublet pool set`)",
        )
    return None


def below_reserve(pool: Pool, limit_micro: int, reserve_micro: int) -> Refusal | None:
    """Why a limit buys nothing; None if it is at least the reserve price."""
    if limit_micro >= reserve_micro:
        return None
    said_now, least = f"{limit_micro / MICRO:.4f} {pool.currency} a GPU-hour", f"{reserve_micro / MICRO:.4f}"
    return Refusal(
        "lease.max_price", f"{said_now} is below the reserve price of blocks in pool {pool.id}", f"offer at least {least}"
    )


def over_quota(pool: Pool, gpus: int, limit: int | None) -> Refusal | None:
    """Why a tenant may not have so many GPUs of a pool; None if it may, or has no quota (`limit` None)."""
    if limit is None or gpus <= limit:
        return None
    hint = "ask for fewer nodes, or ask the owner for a larger quota"
    return Refusal("num_nodes", f"{gpus} GPUs are more than the quota of {limit} in pool {pool.id}", hint)
