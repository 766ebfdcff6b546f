"""One auction of one pool: resting orders compete for the calendar, and all who win are told their price.

First the owner's nodes: the best set of orders wins, and each block costs the mean of its windows' prices. Then what tenants
give back: the cheapest offer goes to the best order that it makes room for and that can pay what is asked for all of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sublet.core.blocks.calendar import Calendar, bought, calendar_of
from sublet.core.blocks.contract import total_micro
from sublet.core.blocks.deals import Auction, Deal, Lapse, Loss, Resale
from sublet.core.blocks.order import BlockOrder, OrderState, Side, latest_win_us
from sublet.core.blocks.prices import block_price_micro, reserve_price_micro, window_prices
from sublet.core.blocks.rectangles import Ints, Rectangles, rectangles
from sublet.core.blocks.winners import SECONDS, Winners, winners
from sublet.core.ids import OrderId, TenantId
from sublet.core.lease import Lease
from sublet.core.rating import hold_micro
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.units import MICRO
from sublet.core.view import PoolView, TenantView


@dataclass(frozen=True, slots=True)
class Venue:
    """Where an auction is held: the pool, its calendar, and the least that a GPU-hour costs.

    `denied`: why orders cannot win here whatever they pay; they compete with nobody.
    """

    pool: Pool
    calendar: Calendar
    reserve_micro: int
    sold: tuple[Lease, ...] = ()  # the blocks behind the calendar, for the quotas of their tenants
    denied: Mapping[OrderId, str] = field(default_factory=dict)


def venue_of(view: PoolView, standing: Standing, *, now_us: int) -> Venue:
    """The venue of a pool as it stands."""
    calendar = calendar_of(view, standing, now_us=now_us)
    reserve = reserve_price_micro(view, calendar, capacity=standing.capacity)
    return Venue(view.pool, calendar, reserve, tuple(bought(standing)))


def hold_auction(
    venue: Venue, book: Iterable[BlockOrder], tenants: Mapping[TenantId, TenantView], *, now_us: int, seconds: float = SECONDS
) -> Auction:
    """The outcome for the resting orders of a pool. `seconds`: how long the solver may take; 0: without it."""
    resting = sorted((one for one in book if one.state is OrderState.RESTING), key=lambda order: (order.placed_us, order.id))
    lapses = tuple(_lapse(order) for order in resting if now_us > latest_win_us(order, venue.pool.blocks))
    gone = {lapse.order for lapse in lapses}
    alive = [order for order in resting if order.id not in gone]
    buys, losses = _able(venue, [order for order in alive if order.side is Side.BUY], tenants)
    trading = _Trading(venue, buys, seconds)
    trading.resell([order for order in alive if order.side is Side.SELL])
    found = trading.found
    reason = f"{len(trading.deals)} of {len(buys)} orders win ({found.method}); at most {found.gap:.2%} below the best possible"
    return Auction(venue.pool.id, tuple(trading.deals), lapses, (*losses, *trading.losses()), reason, found.gap)


def _lapse(order: BlockOrder) -> Lapse:
    what = "a block" if order.side is Side.BUY else "the rest of a block"
    return Lapse(order.id, order.version, f"nobody could be found in time: {what} is sold only so long before its start")


def _able(
    venue: Venue, buys: Sequence[BlockOrder], tenants: Mapping[TenantId, TenantView]
) -> tuple[list[BlockOrder], list[Loss]]:
    """The orders that may win whatever the others do: within quota, floor and what their tenants can pay, the oldest first."""
    able: list[BlockOrder] = []
    losses: list[Loss] = []
    spent: dict[TenantId, int] = {}
    quotas = _Quotas(venue, tenants)
    for order in buys:
        tenant = tenants[order.tenant]
        needed = spent.get(order.tenant, 0) + hold_at_limit_micro(venue.pool, order)
        if order.id in venue.denied:
            losses.append(Loss(order.id, venue.denied[order.id]))
        elif tenant.suspended:
            losses.append(Loss(order.id, "the tenant is suspended; ask the owner"))
        elif order.limit_micro < venue.reserve_micro:
            losses.append(Loss(order.id, f"its limit is below the reserve price of {venue.reserve_micro / MICRO:.4f}"))
        elif tenant.headroom_micro is not None and needed > tenant.headroom_micro:
            losses.append(Loss(order.id, "the spend limit does not cover it, with the older orders of its tenant"))
        elif not quotas.take(order):
            losses.append(Loss(order.id, "its tenant's quota does not cover it, with that tenant's blocks and older orders"))
        else:
            spent[order.tenant] = needed
            able.append(order)
    return able, losses


class _Quotas:
    """How many GPUs each tenant has or may come to have as blocks, window by window, against its quota."""

    def __init__(self, venue: Venue, tenants: Mapping[TenantId, TenantView]) -> None:
        self.calendar = venue.calendar
        limits = {name: tenant.quota(venue.pool.id).limit for name, tenant in tenants.items()}
        self.limit = {name: limit for name, limit in limits.items() if limit is not None}
        self.gpus: dict[TenantId, Ints] = {name: np.zeros(len(self.calendar.limit), np.int64) for name in self.limit}
        for block in venue.sold:
            if block.tenant in self.gpus:
                first, last = self.calendar.span(block.not_before_us, block.ends_us or 0)
                self.gpus[block.tenant][first:last] += block.gpus

    def take(self, order: BlockOrder) -> bool:
        """Count an order for its tenant; False, and nothing is counted, if the quota does not allow it."""
        if order.tenant not in self.limit:
            return True
        first, last = self.calendar.span(order.start_us, order.end_us)
        there = self.gpus[order.tenant][first:last]
        if there.max(initial=0) + order.gpus > self.limit[order.tenant]:
            return False
        there += order.gpus
        return True


def hold_at_limit_micro(pool: Pool, order: BlockOrder) -> int:
    """What has to be free under the tenant's spend limit for an order to win at its limit."""
    return hold_micro(order.gpus, order.end_us - pool.turnround_us - order.start_us, order.limit_micro)


class _Trading:
    """The winners of the owner's nodes, and what is traded between tenants afterwards."""

    def __init__(self, venue: Venue, buys: list[BlockOrder], seconds: float) -> None:
        self.venue, self.buys = venue, buys
        calendar = venue.calendar
        self.rects: Rectangles = rectangles(buys, calendar, venue.reserve_micro)
        self.found: Winners = winners(self.rects, calendar.left, seconds=seconds)
        limits = np.array([order.limit_micro for order in buys], np.int64)
        self.prices: Ints = window_prices(self.rects, limits, self.found.won, calendar.left, venue.reserve_micro)
        self.left: Ints = calendar.left - self.rects.taken(self.found.won, len(calendar.limit))
        self.lost = [i for i in range(len(buys)) if not self.found.won[i]]
        self.deals = [self._deal(i) for i in np.flatnonzero(self.found.won).tolist()]

    def resell(self, sells: Sequence[BlockOrder]) -> None:
        """Match what tenants give back, the cheapest first, with one losing order each."""
        for sell in sorted(sells, key=lambda order: (order.limit_micro, order.placed_us, order.id)):
            asked = total_micro(self.venue.pool, sell.gpus, sell.start_us, sell.end_us, sell.limit_micro)
            best = max(
                (i for i in self.lost if self._suits(i, sell, asked)), key=lambda i: int(self.rects.worth[i]), default=None
            )
            if best is not None:
                self._resale(best, sell, asked)

    def losses(self) -> list[Loss]:
        """Why the others rest on."""
        return [Loss(self.buys[i].id, self._why_lost(i)) for i in self.lost]

    def _price(self, i: int) -> int:
        first, last = int(self.rects.first[i]), int(self.rects.last[i])
        return block_price_micro(self.prices, first, last, self.buys[i].limit_micro)

    def _deal(self, i: int, resale: Resale | None = None, least_micro: int = 0) -> Deal:
        order, price = self.buys[i], max(self._price(i), least_micro)
        how = "the mean of its windows' prices" if resale is None else "on nodes that another tenant gives back"
        why = f"{price / MICRO:.4f} a GPU-hour, {how}; limit {order.limit_micro / MICRO:.4f}"
        return Deal(order.id, order.version, price, why, resale)

    def _suits(self, i: int, sell: BlockOrder, asked_micro: int) -> bool:
        """Whether an order fits once this rest is given back, can pay all that is asked for it, and is somebody else's."""
        order = self.buys[i]
        first, last = int(self.rects.first[i]), int(self.rects.last[i])
        a, b = self.venue.calendar.span(sell.start_us, sell.end_us)
        there = self.left[first:last].copy()
        there[max(a - first, 0) : max(b - first, 0)] += sell.nodes
        fits = last > first and int(there.min()) >= order.nodes
        pays = total_micro(self.venue.pool, order.gpus, order.start_us, order.end_us, order.limit_micro) >= asked_micro
        return fits and pays and order.tenant != sell.tenant

    def _resale(self, i: int, sell: BlockOrder, asked_micro: int) -> None:
        order = self.buys[i]
        least = self._least_price(order, asked_micro)
        why = f"bought by another tenant for what was asked, {sell.limit_micro / MICRO:.4f} a GPU-hour"
        self.deals.append(self._deal(i, Resale(sell.id, sell.version, asked_micro, why), least))
        self.lost.remove(i)
        a, b = self.venue.calendar.span(sell.start_us, sell.end_us)
        self.left[a:b] += sell.nodes
        self.left[int(self.rects.first[i]) : int(self.rects.last[i])] -= order.nodes

    def _least_price(self, order: BlockOrder, asked_micro: int) -> int:
        """The lowest price at which an order brings what is asked; its limit does."""
        low, high = 0, order.limit_micro
        while low < high:
            middle = (low + high) // 2
            if total_micro(self.venue.pool, order.gpus, order.start_us, order.end_us, middle) >= asked_micro:
                high = middle
            else:
                low = middle + 1
        return low

    def _why_lost(self, i: int) -> str:
        order = self.buys[i]
        first, last = int(self.rects.first[i]), int(self.rects.last[i])
        least = int(self.venue.calendar.left[first:last].min()) if last > first else 0
        if least < order.nodes:
            return f"{max(0, least)} nodes may be sold in all of its windows; it rests until some are, or its start is near"
        rects, won = self.rects, self.found.won
        beside = np.flatnonzero(won & (rects.first < last) & (rects.last > first))
        if all(self.buys[j].limit_micro >= order.limit_micro for j in beside.tolist()):
            return f"dearer orders took {self._tight(i)} of its {last - first} windows; a higher limit may win"
        return "letting it in would have put out orders that are worth more together; it rests and competes again"

    def _tight(self, i: int) -> int:
        """In how many of its windows an order lacks nodes now."""
        return int((self.left[int(self.rects.first[i]) : int(self.rects.last[i])] < self.buys[i].nodes).sum())
