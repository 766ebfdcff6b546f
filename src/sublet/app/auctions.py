"""The auctions of blocks: on a grid of time the resting orders of a pool compete, and the outcome is a plan like any other.

It runs in the loops, so that no round grants anything between an auction's look at the calendar and its plan. It may therefore
take only a moment: what is due and does not fit into it waits for the next pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter

from sublet.app import world
from sublet.app.block_deals import SALEABLE
from sublet.app.forecasting import Forecaster
from sublet.core.blocks.auction import hold_auction, venue_of
from sublet.core.blocks.deals import Auction, Lapse
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.ids import PoolId
from sublet.core.plan import Plan
from sublet.core.view import View
from sublet.store import blocks, plans, pools
from sublet.store.database import Database

SOLVER_S = 0.25
"""The solver may take so long for one pool, and all auctions of a pass about as long: the owner's jobs wait meanwhile."""


class Auctioneer:
    """Holds what is due, one pool after the other; remembers only when each pool had its last auction."""

    def __init__(self, database: Database, forecaster: Forecaster) -> None:
        """`forecaster` is that of the rounds."""
        self._database, self._forecaster = database, forecaster
        self._held: dict[PoolId, int] = {}  # the last line of the grid that was served

    def hold(self, *, now_us: int) -> bool:
        """Hold the auctions that are due; whether a plan was stored. An older plan is waited for."""
        with self._database.read() as tx:
            due = {row.pool.id: now_us // row.pool.blocks.auction_us for row in pools.everything(tx)}
            due = {pool: line for pool, line in due.items() if self._held.get(pool) != line}
            if not due or plans.pending(tx, limit=1):
                return False
            orders = [order for order in blocks.resting(tx) if order.pool in due]
            if not orders:
                self._held |= due
                return False
            view = world.read_view(tx, self._forecaster, now_us=now_us)
            tenants = world.tenant_views(tx, {order.tenant for order in orders})
        found = [_changes(auction, orders) for auction in self._auctions(due, orders, replace(view, tenants=tenants), now_us)]
        news = tuple(auction for auction in found if not auction.empty or auction.losses)
        if news:
            with self._database.write() as tx:
                plans.insert_one(tx, Plan(now_us, auctions=news))
        return bool(news)

    def _auctions(self, due: Mapping[PoolId, int], orders: Sequence[BlockOrder], view: View, now_us: int) -> Iterator[Auction]:
        """One auction a pool, until the time of a pass is used up."""
        began = perf_counter()
        for pool, line in due.items():
            mine = [order for order in orders if order.pool == pool]
            if mine and perf_counter() - began > SOLVER_S:
                return
            if mine:
                yield _auction(view, pool, mine, now_us)
            self._held[pool] = line


def _auction(view: View, pool: PoolId, orders: Sequence[BlockOrder], now_us: int) -> Auction:
    """The auction of one pool; what is offered of a block that is over lapses."""
    alive = {lease.id for lease in view.leases if lease.state in SALEABLE}
    over = [order for order in orders if order.side is Side.SELL and order.lease not in alive]
    book = [order for order in orders if order not in over]
    here = next(one for one in view.pools if one.pool.id == pool)
    venue = venue_of(here, view.standing(pool), now_us=now_us)
    held = hold_auction(venue, book, view.tenants, now_us=now_us, seconds=SOLVER_S)
    gone = (Lapse(order.id, order.version, "the block that it is the rest of is over") for order in over)
    return replace(held, lapses=(*held.lapses, *gone))


def _changes(auction: Auction, orders: Sequence[BlockOrder]) -> Auction:
    """The auction less the reasons that its orders already have."""
    said = {order.id: order.reason for order in orders}
    return replace(auction, losses=tuple(loss for loss in auction.losses if said.get(loss.order) != loss.reason))
