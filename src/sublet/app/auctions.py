"""The auctions of blocks: on a grid of time the resting orders of a pool compete, and the outcome is a plan like any other.

It runs in the loops, so that no round grants anything between an auction's look at the calendar and its plan. It may therefore
take only a moment: what is due and does not fit into it waits for the next pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from sublet.app import world
from sublet.app.block_deals import SALEABLE, barred
from sublet.app.forecasting import Forecaster
from sublet.app.mirror import Mirror
from sublet.core.blocks.auction import Venue, hold_auction, venue_of
from sublet.core.blocks.calendar import bought
from sublet.core.blocks.deals import Auction, Lapse
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.ids import OrderId, PoolId, TenantId
from sublet.core.plan import Plan
from sublet.core.standing import Standing
from sublet.core.view import PoolView, TenantView
from sublet.store import blocks, plans, pools
from sublet.store.database import Database, Tx

SOLVER_S = 0.25
"""The solver may take so long for one pool, and all auctions of a pass about as long: the owner's jobs wait meanwhile."""


class Auctioneer:
    """Holds what is due, one pool after the other; remembers only when each pool had its last auction."""

    def __init__(self, database: Database, forecaster: Forecaster, mirror: Mirror) -> None:
        """`forecaster` and `mirror` are those of the rounds."""
        self._database, self._forecaster, self._mirror = database, forecaster, mirror
        self._held: dict[PoolId, int] = {}  # the last line of the grid that was served

    def hold(self, *, now_us: int) -> bool:
        """Hold the auctions that are due; whether a plan was stored. An older plan is waited for."""
        with self._database.read() as tx:
            due = {row.pool.id: now_us // row.pool.blocks.auction_us for row in pools.everything(tx)}
            due = {pool: line for pool, line in due.items() if self._held.get(pool) != line}
            if not due or plans.is_pending(tx):
                return False
            orders = [order for order in blocks.resting(tx) if order.pool in due]
            wanted = {order.pool for order in orders}
            tenants = world.tenant_views(tx, {order.tenant for order in orders})
            books = self._books(tx, orders, now_us) if orders else []
        self._held |= {pool: line for pool, line in due.items() if pool not in wanted}
        found: list[Auction] = []
        began = perf_counter()
        for book in books:
            if perf_counter() - began > SOLVER_S:
                break
            found.append(book.auction(tenants, now_us=now_us))
            self._held[book.venue.pool.id] = due[book.venue.pool.id]
        news = tuple(auction for auction in found if not auction.empty or auction.losses)
        if news:
            plan = Plan(now_us, auctions=news)
            document = plans.document_of(plan)
            with self._database.write() as tx:
                plans.insert_one(tx, plan, document)
        return bool(news)

    def _books(self, tx: Tx, orders: Sequence[BlockOrder], now_us: int) -> "list[_Book]":
        """What each pool's auction is held on."""
        wanted = {order.pool for order in orders}
        denied = barred(tx, orders, at_us=now_us)
        with self._mirror.lock:
            self._mirror.catch_up(tx)
            view = self._mirror.view(tx, self._forecaster, now_us=now_us, when=lambda kept, _: kept.row.pool.id in wanted)
            return [_book(one, view.standing(one.pool.id), orders, denied, now_us) for one in view.pools]


@dataclass(frozen=True, slots=True)
class _Book:
    """The resting orders of one pool where they are held: `over` offer the rest of a block that is no more."""

    venue: Venue
    orders: Sequence[BlockOrder]
    over: Sequence[BlockOrder]

    def auction(self, tenants: Mapping[TenantId, TenantView], *, now_us: int) -> Auction:
        """The auction, less the reasons that its orders have already."""
        held = hold_auction(self.venue, self.orders, tenants, now_us=now_us, seconds=SOLVER_S)
        gone = (Lapse(order.id, order.version, "the block that it is the rest of is over") for order in self.over)
        said = {order.id: order.reason for order in self.orders}
        news = tuple(loss for loss in held.losses if said.get(loss.order) != loss.reason)
        return replace(held, lapses=(*held.lapses, *gone), losses=news)


def _book(
    view: PoolView, standing: Standing, orders: Sequence[BlockOrder], denied: Mapping[OrderId, str], now_us: int
) -> _Book:
    alive = {lease.id for lease in bought(standing) if lease.state in SALEABLE}
    mine = [order for order in orders if order.pool == view.pool.id]
    over = [order for order in mine if order.side is Side.SELL and order.lease not in alive]
    venue = replace(venue_of(view, standing, now_us=now_us), denied=denied)
    return _Book(venue, [order for order in mine if order not in over], over)
