"""What an auction decided becomes leases, holds and entries, in the transaction that applies its plan. Nothing is chosen here.

An order that has moved since, or whose tenant's limit no longer covers it, rests on as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sublet.app import moves
from sublet.app.residency import judged_leases
from sublet.core import lifecycle
from sublet.core.blocks.contract import hold_of, lease_of, rest_micro, shortened
from sublet.core.blocks.deals import Auction, Deal, Lapse, Resale
from sublet.core.blocks.order import BlockOrder, OrderEvent, OrderState, Side, step_order
from sublet.core.errors import Stale
from sublet.core.ids import OrderId
from sublet.core.lease import Lease, State
from sublet.core.ledger import GivenBack, Hold
from sublet.core.plan import Plan
from sublet.core.terms import Pool
from sublet.store import blocks, events, leases, ledger, pools, workloads
from sublet.store.bulk import portions
from sublet.store.database import Tx
from sublet.store.events import Entry

SALEABLE = frozenset({State.QUEUED, State.RESERVED, State.STARTING, State.ACTIVE})
"""A block in one of these states has a rest that can be given back."""


def apply(tx: Tx, plan: Plan) -> int:
    """Apply the plan's auctions; how many of their items had moved since."""
    return sum(_Applying(tx, auction, plan.at_us).run() for auction in plan.auctions)


def barred(tx: Tx, orders: Iterable[BlockOrder], *, at_us: int) -> dict[OrderId, str]:
    """Why the data of orders may not be where their blocks would lie, as the sites are known now; those that may are absent."""
    bought = [order for order in orders if order.side is Side.BUY]
    sold = {row.pool.id: row.pool for row in pools.everything(tx)}
    judged = judged_leases(
        tx, [lease_of(one, sold[one.pool], one.limit_micro, at_us=max(at_us, one.since_us)) for one in bought]
    )
    found = {}
    for order in bought:
        denial = next((one for one in judged.get(order.lease, ()) if not one.allowed), None)
        if denial is not None:
            found[order.id] = f"its data may not be at {denial.place.name}: {denial.reason}"
    return found


def parts(auction: Auction, size: int) -> Iterator[Auction]:
    """The auction in parts that are short to write; the first has what is no deal, and the reason of all."""
    first, *others = [*portions(auction.deals, size)] or [[]]
    yield replace(auction, deals=tuple(first))
    for deals in others:
        yield replace(auction, deals=tuple(deals), lapses=(), losses=(), reason="")


def entry(order: BlockOrder, kind: str, reason: str, *, at_us: int) -> Entry:
    """What the journal says of an order."""
    data = {
        "order": order.id,
        "side": order.side,
        "nodes": order.nodes,
        "start_us": order.start_us,
        "end_us": order.end_us,
        "limit_micro": order.limit_micro,
        "price_micro": order.price_micro,
    }
    return Entry(at_us, f"block.{kind}", reason, order.tenant, order.lease, order.pool, data)


class _Applying:
    """One auction inside one transaction."""

    def __init__(self, tx: Tx, auction: Auction, at_us: int) -> None:
        self.tx, self.auction, self.at_us = tx, auction, at_us
        self.pool: Pool = pools.get(tx, auction.pool).pool
        resales = [deal.resale for deal in auction.deals if deal.resale is not None]
        wanted = {item.order for group in (auction.deals, auction.lapses, resales) for item in group}
        self.orders: dict[OrderId, BlockOrder] = {order.id: order for order in blocks.some(tx, wanted)}
        self.stale = 0

    def run(self) -> int:
        for lapse in self.auction.lapses:
            self._lapse(lapse)
        won = sum([self._deal(deal) for deal in self.auction.deals])
        blocks.note_reasons(self.tx, [(loss.order, loss.reason) for loss in self.auction.losses])
        if won and self.auction.reason:
            data = {"gap": self.auction.gap}
            events.append(self.tx, [Entry(self.at_us, "block.auction", self.auction.reason, pool=self.pool.id, data=data)])
        return self.stale

    def _current(self, item: Deal | Lapse | Resale) -> BlockOrder | None:
        order = self.orders.get(item.order)
        if order is None or order.version != item.version or order.state is not OrderState.RESTING:
            self.stale += 1
            return None
        return order

    def _step(self, order: BlockOrder, event: OrderEvent, reason: str, price_micro: int | None = None) -> BlockOrder:
        at = max(self.at_us, order.since_us)
        moved = step_order(order, event, at=at, reason=reason, price_micro=price_micro)
        blocks.save_all(self.tx, [(order, moved)])
        events.append(self.tx, [entry(moved, moved.state, reason, at_us=at)])
        self.orders[order.id] = moved
        return moved

    def _lapse(self, lapse: Lapse) -> None:
        order = self._current(lapse)
        if order is not None:
            self._step(order, OrderEvent.EXPIRE, lapse.reason)
            if order.side is Side.BUY:
                workloads.delete_all(self.tx, [order.lease])

    def _deal(self, deal: Deal) -> bool:
        """Whether the order has become a lease."""
        order = self._current(deal)
        if order is None:
            return False
        lease = lease_of(order, self.pool, deal.price_micro, at_us=max(self.at_us, order.since_us))
        denials = barred(self.tx, [order], at_us=self.at_us)  # what allows it is recorded at its start
        if denials:
            blocks.note_reasons(self.tx, list(denials.items()))
            return False
        left = ledger.headrooms(self.tx, [order.tenant])[order.tenant]
        if left is not None and hold_of(lease) > left:
            blocks.note_reasons(self.tx, [(order.id, "the spend limit no longer covers it")])
            return False
        if deal.resale is not None and not self._resell(deal.resale):
            return False
        leases.insert_all(self.tx, [lease])
        if ledger.hold_all(self.tx, [Hold(lease.id, 1, lease.tenant, lease.pool, hold_of(lease))], now_us=self.at_us):
            raise Stale(
                "a spend limit was lowered while a block was sold; nothing was saved", hint="the next pass decides anew"
            )
        self._step(order, OrderEvent.WIN, deal.reason, deal.price_micro)
        told = moves.lease_entry(lease)
        events.append(self.tx, [told] if told else [])
        return True

    def _resell(self, resale: Resale) -> bool:
        """Take the rest of a block from its tenant, and book what it gets for that; False if that is no longer possible."""
        order = self._current(resale)
        if order is None:
            return False
        found = leases.get(self.tx, order.lease, lock=True)
        if found.state not in SALEABLE or order.start_us < found.not_before_us or self.at_us > order.start_us:
            self.stale += 1
            return False
        give_rest_back(self.tx, order, found, self.pool, resale.proceeds_micro, at_us=self.at_us)
        self._step(order, OrderEvent.WIN, resale.reason, order.limit_micro)
        return True


def give_rest_back(tx: Tx, order: BlockOrder, lease: Lease, pool: Pool, proceeds_micro: int, *, at_us: int) -> None:
    """Shorten a block to the start of a sell order, or take all of it, and book its price and what its tenant gets."""
    at = max(at_us, lease.since_us)
    whole = order.start_us <= lease.not_before_us
    less = replace(lease, ends_us=lease.not_before_us) if whole else shortened(lease, pool, order.start_us)
    assert less.ends_us is not None, f"{lease.id} has no end"
    forgone = rest_micro(lease, less.ends_us)
    ledger.give_back(tx, GivenBack(order.id, lease.id, 1, lease.tenant, lease.pool, forgone, proceeds_micro), now_us=at)
    if whole:
        moves.save_leases(tx, [(lease, lifecycle.released(less, at_us=at))])
    else:
        leases.save_all(tx, [(lease, less)])
