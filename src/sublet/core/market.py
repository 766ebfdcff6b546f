"""Steps two to five of a round: supply, admit, clear, place."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.admit import hold_micro, hold_window_us, over_budget, refusal
from sublet.core.draft import Draft, Ground
from sublet.core.ids import LeaseId
from sublet.core.kernels import queue as codes
from sublet.core.kernels.held import held_by
from sublet.core.lease import Cause, Event, Lease, State
from sublet.core.plan import Grant, PriceSet, ReserveSet
from sublet.core.pricing import PRICING, Bids, Clearing, Market
from sublet.core.promise import promisable, promised
from sublet.core.shelf import shelf_of, tenant_columns
from sublet.core.supply import Supply, published_floor, reserve_for, supply
from sublet.core.tables import CLASSES, PRODUCT, QUEUE_ROW
from sublet.core.view import AnyView
from sublet.core.waits import Wall, why_waits

Shape = tuple[int, int, bool]
"""GPUs on each node, nodes, whole nodes only."""


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
        self.unlocked = promisable(standing, now_us=draft.now_us) - promised(self.pool, self.stock.capacity)
        self.columns = tenant_columns(standing, view.tenants, by_tenant)
        self.shelf = shelf_of(ground.view, standing.products, by_class, self.stock.capacity)
        self.expected_micro = ground.view.price_micro  # what a GPU-hour will cost at least
        self._fits: dict[Shape, bool] = {}

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
        for i in won[np.argsort(-bare[won], kind="stable")].tolist():
            lease = self.standing.leases[names[i]]
            why = self._grant(rows[i : i + 1], lease, clearing)
            if why is not None:
                self.draft.wait(lease, why)
        if self.draft.explain:
            for i in np.flatnonzero(~clearing.won).tolist():
                self.draft.wait(self.standing.leases[names[i]], self._lost(rows[i], int(bare[i]), clearing))

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
            for i in _oldest_first(rows, code > codes.FREE_TO_BID):
                lease = self.standing.leases[LeaseId(names[i])]
                self.draft.wait(lease, why_waits(int(code[i]), lease, self._wall(rows[i])))
        free = _oldest_first(rows, code == codes.FREE_TO_BID)
        fitting = [i for i in free if self._fits_now(self.standing.leases[LeaseId(names[i])])]
        return rows[fitting], [LeaseId(names[i]) for i in fitting]

    def _screened(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
        """int8[n]: what keeps these rows waiting, as the round stands."""
        limits = (self.columns.suspended, self.columns.quota, self.columns.holding)
        code: npt.NDArray[np.int8] = codes.screen(
            rows, self.draft.now_us, self.shelf.spare, limits, self.unlocked, self.stock.lendable
        )
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

    def _fits_now(self, lease: Lease) -> bool:
        """Whether there is room for it before anything of this round is granted; if not it is told."""
        shape = (lease.gpus_per_node, lease.nodes, lease.whole_nodes)
        fits = self._fits.get(shape)
        if fits is None:
            fits = self._fits[shape] = self.ground.now.find(gpus_per_node=shape[0], nodes=shape[1], whole=shape[2]) is not None
        if not fits:
            where = "no free whole node" if lease.whole_nodes else "not enough free GPUs together on one node"
            self.draft.wait(lease, f"{where} for {lease.nodes} x {lease.gpus_per_node}")
        return fits

    def _grant(self, row: npt.NDArray[Any], lease: Lease, clearing: Clearing) -> str | None:
        """Grant one winner, or say why it does not fit after the winners before it. `row`: its row, alone."""
        code = self._screened(row)[0]
        if code != codes.FREE_TO_BID:
            return why_waits(int(code), lease, self._wall(row[0]))
        placement = self.ground.now.find(
            gpus_per_node=lease.gpus_per_node,
            nodes=lease.nodes,
            whole=lease.whole_nodes,
            before=self.standing.owner,
        )
        if placement is None:
            return "other winners took the nodes it would have fitted"
        product, tenant = self.standing.product_of(lease), self.tenants[lease.tenant]
        price = self.shelf.pays(product, clearing.price_micro, lease.bid_micro)
        hold = hold_micro(self.ground.view, lease, price)
        spent = self.draft.spent.get(lease.tenant, 0)
        if over_budget(tenant, spent + hold):
            self.draft.move(lease, Event.PAUSE, "the spend limit does not cover its start", Cause.BUDGET)
            return None
        self.draft.spent[lease.tenant] = spent + hold
        self.columns.holding[self.standing.tenant_number(lease.tenant)] += lease.gpus
        self.shelf.lend(product, lease.gpus)
        self.unlocked -= lease.gpus if self.standing.locks(lease) else 0
        self.ground.now.take(placement)
        self.draft.grant(
            lease,
            Grant(
                lease=lease.id,
                version=self.draft.version(lease),
                placement=placement,
                price_micro=price,
                exempt_until_us=self.draft.now_us + self.pool.terms[lease.lease_class].exempt_us,
                hold_micro=hold,
                funded_until_us=self.draft.now_us + hold_window_us(self.ground.view, lease),
                reason=f"{price / 1e6:.4f} a GPU-hour ({clearing.reason}), bid {lease.bid_micro / 1e6:.4f}",
            ),
        )
        return None

    def _wall(self, row: Any) -> Wall:
        """What the sentences about a waiting lease are made of."""
        product = int(row["product"])
        return Wall(
            view=self.ground.view,
            stock=self.stock,
            spare=int(self.shelf.spare[product]),
            term_us=self.shelf.products[product][1],
            holding=int(self.columns.holding[row["tenant"]]),
            quota=int(self.columns.quota[row["tenant"]]),
        )

    def _lost(self, row: Any, bare_micro: int, clearing: Clearing) -> str:
        share = self.shelf.shares[int(row["product"])]
        if bare_micro < clearing.price_micro:
            return f"the price is {int(clearing.price_micro * (1 + share)) / 1e6:.4f}, above its bid"
        asked = self.shelf.pays(int(row["product"]), clearing.price_micro, int(row["bid_micro"]))
        return f"dearer bids took what was lendable at {asked / 1e6:.4f}"


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
