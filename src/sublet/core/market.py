"""Steps two to five of a round: supply, admit, clear, place."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sublet.core.admit import hold_micro, over_budget, refusal
from sublet.core.blocks.clearance import barred, blocks_ahead
from sublet.core.draft import Draft, Ground
from sublet.core.ids import LeaseId
from sublet.core.kernels import queue as codes
from sublet.core.kernels.grants import hand_out, without_room
from sublet.core.kernels.held import held_by
from sublet.core.lease import Cause, Event, Lease, State
from sublet.core.packing import bins_of, tastes_of
from sublet.core.plan import Grant, PriceSet, ReserveSet
from sublet.core.pricing import PRICING, Bids, Clearing, Market
from sublet.core.promise import promisable, promised
from sublet.core.shelf import Ints, shelf_of, tenant_columns
from sublet.core.supply import Supply, published_floor, reserve_for, supply
from sublet.core.tables import CLASSES, PRODUCT, QUEUE_ROW
from sublet.core.view import AnyView
from sublet.core.waits import Sentences


class Dealt(NamedTuple):
    """What the winners of a round get, in their order: price (micro-units a GPU-hour) and hold of each, then node by node."""

    pays: Ints
    holds: Ints
    nodes: Ints  # int64[nodes of all], the row of each
    masks: npt.NDArray[np.uint64]  # uint64[nodes of all], its GPUs


def run_market(view: AnyView, ground: Ground, draft: Draft) -> None:
    """Set the reserve, and lend what the owner can spare, at one price."""
    stock = stock_of(ground)
    if stock.reserve != ground.view.reserve:
        reason = f"the owner's demand may rise by {stock.reserve} GPUs before a reclaim is done"
        draft.reserves.append(ReserveSet(ground.view.pool.id, stock.reserve, reason))
    standing = ground.standing
    if not (len(standing.queue) or standing.requested or standing.paused):
        _clear_nothing(ground, draft, stock)
    elif stock.lendable or draft.explain or standing.requested or standing.paused:
        Trading(view, ground, draft, stock).run()


class Trading:
    """The market of one pool in one round. What grants change is kept as it goes, so a grant costs no scan of the others."""

    def __init__(self, view: AnyView, ground: Ground, draft: Draft, stock: Supply) -> None:
        """`ground` is what the owner has left, `stock` what of it may be lent. New requests are admitted or refused at once."""
        self.tenants = view.tenants
        self.ground, self.draft, self.stock = ground, draft, stock
        standing = self.standing = ground.standing
        self.pool = ground.view.pool
        entering = [lease for lease in standing.in_order(standing.requested) if self._admitted(lease)]
        entering += standing.in_order(standing.paused)
        self.entering = [(lease, standing.queue_row(lease)) for lease in entering]  # these may bring new numbers
        by_class, by_tenant = held_by(standing.held.rows, len(CLASSES), len(standing.tenants))
        sure = promisable(standing, now_us=draft.now_us) - blocks_ahead(standing, now_us=draft.now_us)
        self.unlocked = sure - promised(self.pool, self.stock.capacity)
        self.barred = barred(standing, now_us=draft.now_us)
        self.columns = tenant_columns(standing, view.tenants, by_tenant, draft.spent)
        self.shelf = shelf_of(ground.view, standing.products, by_class, self.stock.capacity)
        self.expected_micro = ground.view.price_micro  # what a GPU-hour will cost at least

    def run(self) -> None:
        """Admit, clear, place."""
        market = market_of(self.ground, self.draft, self.stock)
        clear = PRICING[self.pool.pricing]
        if self.entering:
            self.expected_micro = max(self.ground.view.price_micro, clear(_no_bids(), market).price_micro)
        rows, names = self._candidates()
        bare = self.shelf.bare_bids(rows)
        clearing = clear(Bids(bare, rows["gpus"].astype(np.int64)), market)
        _move_price(self.ground, self.draft, market, clearing)
        won = np.flatnonzero(clearing.won)
        if len(won):
            dearest = won[np.argsort(-bare[won], kind="stable")]
            self._hand_out(rows[dearest], [names[i] for i in dearest.tolist()], clearing)
        if self.draft.explain:
            self._tell_losers(rows, bare, names, clearing)

    def _tell_losers(self, rows: npt.NDArray[Any], bare: Ints, names: list[LeaseId], clearing: Clearing) -> None:
        sentences, lost = Sentences(self.ground.view, self.stock, self.shelf, self.columns), np.flatnonzero(~clearing.won)
        columns = (lost, rows["product"][lost], bare[lost], rows["bid_micro"][lost])
        for i, product, bare_micro, bid_micro in zip(*(column.tolist() for column in columns), strict=True):
            said = sentences.lost(product, bare_micro=bare_micro, bid_micro=bid_micro, clearing=clearing)
            self.draft.wait(self.standing.leases[names[i]], said)

    def _candidates(self) -> tuple[npt.NDArray[Any], list[LeaseId]]:
        """The requests that could be granted now, as rows and names, the oldest first; the others are told why not."""
        entering = [(lease, row) for lease, row in self.entering if lease.state is State.REQUESTED or self._resumed(lease, row)]
        queued = self.standing.queue.rows
        rows = queued
        if entering:
            rows = np.empty(len(queued) + len(entering), QUEUE_ROW)
            rows[: len(queued)] = queued
            rows[len(queued) :] = [row for _, row in entering]
        names = [*self.standing.queue.keys, *(lease.id for lease, _ in entering)]
        code = self._screened(rows)
        if self.draft.explain:
            self._tell(_oldest_first(rows, code > codes.FREE_TO_BID), rows, names, code)
        free = _oldest_first(rows, code == codes.FREE_TO_BID)
        return rows[free], [LeaseId(names[i]) for i in free]

    def _tell(self, which: list[int], rows: npt.NDArray[Any], names: Sequence[str], code: npt.NDArray[np.int8]) -> None:
        """Say to these why they wait."""
        sentences = Sentences(self.ground.view, self.stock, self.shelf, self.columns)
        columns = (code[which], rows["product"][which], rows["tenant"][which])
        for i, what, product, tenant in zip(which, *(column.tolist() for column in columns), strict=True):
            lease = self.standing.leases[LeaseId(names[i])]
            self.draft.wait(lease, sentences.why_waits(what, lease, product, tenant))

    def _screened(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
        """int8[n]: what keeps these rows waiting before anything of this round is granted."""
        code: npt.NDArray[np.int8] = codes.screen(
            rows, self.draft.now_us, self.shelf.spare, self.columns.limits, self.unlocked, self.stock.lendable
        )
        now = self.ground.now
        without_room(rows, code, now.free, now.slots)
        for product in np.flatnonzero(self.barred.any(axis=1)).tolist():
            mine = rows["product"] == product
            there = code[mine]
            without_room(rows[mine], there, now.free & ~self.barred[product], now.slots)
            code[mine] = there
        return code

    def _admitted(self, lease: Lease) -> bool:
        """Bring a new lease into the queue, or refuse it."""
        refused = refusal(self.ground.view, self.tenants[lease.tenant], lease, self.standing.slots)
        if refused is not None:
            reason = f"{refused.field}: {refused.message}; {refused.hint}"
            self.draft.move(lease, Event.REFUSE, reason, Cause.REFUSED)
            return False
        self.draft.move(lease, Event.ADMIT, "admitted")
        return True

    def _resumed(self, lease: Lease, row: tuple[Any, ...]) -> bool:
        """Bring a paused lease back into the queue once its tenant can pay the price that is to be expected.

        At any lower sum it would be paused again at once, and so on each round.
        """
        tenant = self.tenants[lease.tenant]
        price = self.shelf.pays(row[PRODUCT], self.expected_micro, lease.bid_micro)
        needed = hold_micro(self.ground.view, lease, price)
        if tenant.suspended or over_budget(tenant, self.draft.spent.get(lease.tenant, 0) + needed):
            return False
        self.draft.move(lease, Event.RESUME, "the spend limit allows it again")
        return True

    def _hand_out(self, rows: npt.NDArray[Any], names: list[LeaseId], clearing: Clearing) -> None:
        """Give the winners, in this order, their GPUs; who comes too late is told so."""
        columns, shelf, now = self.columns, self.shelf, self.ground.now
        code, pays, holds, nodes, masks = hand_out(
            rows,
            self.draft.now_us,
            (clearing.price_micro, shelf.over, shelf.whole),
            (shelf.spare, shelf.class_of, self.unlocked),
            columns.limits,
            (columns.headroom, columns.spent),
            bins := bins_of(now, self.standing),
            tastes_of(self.standing),
            self.barred,
        )
        now.free[:] = bins.nodes["free"]
        self.draft.spent.update(zip(self.standing.tenants, columns.spent.tolist(), strict=True))
        won = np.flatnonzero(code == codes.FREE_TO_BID)
        dealt = Dealt(pays[won], holds[won], nodes, masks)
        self._grant(rows[won], [names[i] for i in won.tolist()], dealt, clearing.reason)
        for i in np.flatnonzero(code == codes.OVER_BUDGET).tolist():
            lease = self.standing.leases[names[i]]
            self.draft.move(lease, Event.PAUSE, "the spend limit does not cover its start", Cause.BUDGET)
        if self.draft.explain:
            late = np.flatnonzero((code != codes.FREE_TO_BID) & (code != codes.OVER_BUDGET))
            self._tell(late.tolist(), rows, names, code)

    def _grant(self, rows: npt.NDArray[Any], names: list[LeaseId], dealt: Dealt, why: str) -> None:
        """Put these requests' grants into the plan, from their rows alone: the leases themselves lie far apart in memory."""
        now_us, moved, at = self.draft.now_us, self.draft.moved, self.ground.now.nodes
        terms = [self.pool.terms.get(lease_class) for lease_class in CLASSES]
        exempt = np.array([0 if one is None else one.exempt_us for one in terms], np.int64)[self.shelf.class_of]
        places = [(at[node], mask) for node, mask in zip(dealt.nodes.tolist(), dealt.masks.tolist(), strict=True)]
        ends = np.cumsum(rows["nodes"])
        columns = (
            rows["version"],
            ends - rows["nodes"],
            ends,
            dealt.pays,
            now_us + exempt[rows["product"]],
            dealt.holds,
            now_us + rows["window_us"],
            rows["bid_micro"],
        )
        for name, version, first, end, pays, until, hold, funded, bid in zip(
            names, *(c.tolist() for c in columns), strict=True
        ):
            reason = f"{pays / 1e6:.4f} a GPU-hour ({why}), bid {bid / 1e6:.4f}"
            placement = tuple(places[first:end])
            self.draft.grant(Grant(name, version + moved.get(name, 0), placement, pays, until, hold, funded, reason))


def market_of(ground: Ground, draft: Draft, stock: Supply) -> Market:
    """What a pricing policy may look at."""
    view, pool = ground.view, ground.view.pool
    due = draft.now_us - view.price_at_us >= pool.price_period_us
    return Market(
        gpus=stock.lendable,
        floor_micro=published_floor(view).total_micro,
        last_micro=view.price_micro,
        posted_micro=pool.price_micro,
        smoothing_bps=pool.smoothing_bps,
        may_move=due and stock.lendable > 0,  # with nothing to sell there is no price to find
    )


def _move_price(ground: Ground, draft: Draft, market: Market, clearing: Clearing) -> None:
    if market.may_move and clearing.price_micro != market.last_micro:
        draft.prices.append(PriceSet(ground.view.pool.id, clearing.price_micro, market.floor_micro, clearing.reason))


def _clear_nothing(ground: Ground, draft: Draft, stock: Supply) -> None:
    """Nobody asks: only the price may move."""
    market = market_of(ground, draft, stock)
    if market.may_move:
        _move_price(ground, draft, market, PRICING[ground.view.pool.pricing](_no_bids(), market))


def _oldest_first(rows: npt.NDArray[Any], among: npt.NDArray[np.bool_]) -> list[int]:
    """The indices of these rows in the order of their leases."""
    picked = np.flatnonzero(among)
    order: list[int] = picked[np.argsort(rows["order"][picked], kind="stable")].tolist()
    return order


def _no_bids() -> Bids:
    nothing = np.empty(0, np.int64)
    return Bids(nothing, nothing)


def stock_of(ground: Ground) -> Supply:
    """The pool's supply after the owner was served."""
    demand = ground.standing.demand
    return supply(
        ground.view,
        capacity=ground.capacity,
        demand=demand,
        lent=ground.standing.lent,
        free=ground.now.gpus,
        reserve=min(reserve_for(ground.view, demand), ground.capacity),
    )
