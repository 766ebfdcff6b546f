"""Steps two to five of a round: supply, admit, clear, place."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sublet.core.admit import hold_micro, hold_window_us, over_budget, over_quota, refusal
from sublet.core.draft import Draft, Ground
from sublet.core.lease import Cause, Event, Lease, LeaseClass, State
from sublet.core.plan import Grant, PriceSet, ReserveSet
from sublet.core.pricing import PRICING, Bids, Clearing, Market
from sublet.core.promise import broken_by, promisable
from sublet.core.supply import Supply, published_floor, reserve_for, risk_bound, risk_share_of, supply, term_of
from sublet.core.terms import ClassTerms
from sublet.core.units import said
from sublet.core.view import TenantView, View


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued request that could be granted now, and the share its class adds to the price."""

    lease: Lease
    tenant: TenantView
    terms: ClassTerms
    term_us: int
    share: Fraction

    @property
    def bare_bid_micro(self) -> int:
        """The bid with the risk price taken off."""
        return int(self.lease.bid_micro / (1 + self.share))

    def pays(self, price_micro: int) -> int:
        """The price of its GPU-hour at a clearing price; never above its bid."""
        return min(int(price_micro * (1 + self.share)), self.lease.bid_micro)


def run_market(view: View, ground: Ground, draft: Draft) -> None:
    """Lend what the owner can spare, at one price."""
    Trading(view, ground, draft).run()


class Trading:
    """The market of one pool in one round. Sums over leases are kept as it goes, so a grant costs no scan of them."""

    def __init__(self, view: View, ground: Ground, draft: Draft) -> None:
        """`ground` is what the owner has left."""
        self.tenants = view.tenants
        self.ground = ground
        self.draft = draft
        self.pool = ground.view.pool
        held = ground.held_leases
        self.holding = Counter[str]()  # GPUs by tenant
        self.lent = Counter[LeaseClass]()  # GPUs by class
        for lease in held:
            self.holding[lease.tenant] += lease.gpus
            self.lent[lease.lease_class] += lease.gpus
        self.stock = stock_of(ground)
        self.promisable = promisable(self.pool, held, capacity=self.stock.capacity, now_us=draft.now_us)
        self.expected_micro = ground.view.price_micro  # what a GPU-hour will cost at least
        self._bounds: dict[tuple[LeaseClass, int], int] = {}
        self._shares: dict[tuple[LeaseClass, int], Fraction] = {}

    def run(self) -> None:
        """Reserve, admit, clear, place."""
        if self.stock.reserve != self.ground.view.reserve:
            reason = f"the owner's demand may rise by {self.stock.reserve} GPUs before a reclaim is done"
            self.draft.reserves.append(ReserveSet(self.pool.id, self.stock.reserve, reason))
        floor = published_floor(self.ground.view).total_micro
        market = self._market(floor)
        clear = PRICING[self.pool.pricing]
        self.expected_micro = max(self.ground.view.price_micro, clear(_bids([]), market).price_micro)
        candidates = [c for lease in self.ground.leases if (c := self._candidate(lease)) is not None]
        clearing = clear(_bids(candidates), market)
        if market.may_move and clearing.price_micro != self.ground.view.price_micro:
            self.draft.prices.append(PriceSet(self.pool.id, clearing.price_micro, floor, clearing.reason))
        for i in sorted(np.flatnonzero(clearing.won), key=lambda i: -candidates[i].bare_bid_micro):
            why = self._grant(candidates[i], clearing)
            if why is not None:
                self.draft.wait(candidates[i].lease, why)
        for i in np.flatnonzero(~clearing.won):
            self.draft.wait(candidates[i].lease, _lost(candidates[i], clearing))

    def _market(self, floor_micro: int) -> Market:
        due = self.draft.now_us - self.ground.view.price_at_us >= self.pool.price_period_us
        return Market(
            gpus=self.stock.lendable,
            floor_micro=floor_micro,
            last_micro=self.ground.view.price_micro,
            posted_micro=self.pool.price_micro,
            smoothing_bps=self.pool.smoothing_bps,
            may_move=due and self.stock.lendable > 0,  # with nothing to sell there is no price to find
        )

    def _candidate(self, lease: Lease) -> Candidate | None:
        """The lease as a candidate of this round, or None with the step or the reason noted."""
        if lease.state not in {State.REQUESTED, State.QUEUED, State.PAUSED}:
            return None
        tenant = self.tenants[lease.tenant]
        if lease.state is State.REQUESTED and not self._admitted(lease, tenant):
            return None
        terms = self.pool.terms[lease.lease_class]
        term = term_of(terms, lease.term_us, self.pool.hold_us)
        candidate = Candidate(lease, tenant, terms, term, self._share(lease.lease_class, terms, term))
        if lease.state is State.PAUSED and not self._resumed(candidate):
            return None
        why = self._obstacle(candidate) or self._no_room(lease)
        if why is not None:
            self.draft.wait(lease, why)
            return None
        return candidate

    def _admitted(self, lease: Lease, tenant: TenantView) -> bool:
        """Bring a new lease into the queue, or refuse it."""
        refused = refusal(self.ground.view, tenant, lease, self.ground.slots)
        if refused is not None:
            reason = f"{refused.field}: {refused.message}; {refused.hint}"
            self.draft.move(lease, Event.REFUSE, reason, Cause.REFUSED)
            return False
        self.draft.move(lease, Event.ADMIT, "admitted")
        return True

    def _resumed(self, candidate: Candidate) -> bool:
        """Bring a paused lease back into the queue once its tenant can pay the price that is to be expected.

        At any lower sum it would be paused again at once, and so on each round.
        """
        lease, tenant = candidate.lease, candidate.tenant
        needed = hold_micro(self.ground.view, lease, candidate.pays(self.expected_micro))
        if tenant.suspended or over_budget(tenant, self.draft.spent.get(lease.tenant, 0) + needed):
            return False
        self.draft.move(lease, Event.RESUME, "the spend limit allows it again")
        return True

    def _obstacle(self, candidate: Candidate) -> str | None:
        """What in the contracts keeps this request waiting; None if nothing does."""
        lease = candidate.lease
        if candidate.tenant.suspended:
            return "the tenant is suspended; ask the owner"
        if self.draft.now_us < lease.not_before_us:
            return f"waits {(lease.not_before_us - lease.since_us) / 1e6:g} s after its reclaim (back-off)"
        spare = self._bound(lease.lease_class, candidate.terms, candidate.term_us) - self.lent[lease.lease_class]
        if lease.gpus > spare:
            return f"{max(0, spare)} GPUs can be spared for {said(candidate.term_us)} at the risk this class allows"
        over = over_quota(self.ground.view, candidate.tenant, lease, self.holding[lease.tenant])
        return over or broken_by(self.pool, lease, promisable_now=self.promisable, capacity=self.stock.capacity)

    def _no_room(self, lease: Lease) -> str | None:
        """Why there are no GPUs for it now; None if there are."""
        stock = self.stock
        if lease.gpus > stock.lendable:
            return f"wants {lease.gpus} GPUs, {stock.lendable} are lendable now (owner {stock.demand}, reserve {stock.reserve})"
        if self.ground.now.find(gpus_per_node=lease.gpus_per_node, nodes=lease.nodes, whole=lease.whole_nodes) is None:
            where = "no free whole node" if lease.whole_nodes else "not enough free GPUs together on one node"
            return f"{where} for {lease.nodes} x {lease.gpus_per_node}"
        return None

    def _grant(self, candidate: Candidate, clearing: Clearing) -> str | None:
        """Grant one winner, or say why it does not fit after the winners before it."""
        lease = candidate.lease
        if (why := self._obstacle(candidate)) is not None:
            return why
        placement = self.ground.now.find(gpus_per_node=lease.gpus_per_node, nodes=lease.nodes, whole=lease.whole_nodes)
        if placement is None:
            return "other winners took the nodes it would have fitted"
        price = candidate.pays(clearing.price_micro)
        hold = hold_micro(self.ground.view, lease, price)
        spent = self.draft.spent.get(lease.tenant, 0)
        if over_budget(candidate.tenant, spent + hold):
            self.draft.move(lease, Event.PAUSE, "the spend limit does not cover its start", Cause.BUDGET)
            return None
        self.draft.spent[lease.tenant] = spent + hold
        self.holding[lease.tenant] += lease.gpus
        self.lent[lease.lease_class] += lease.gpus
        self.promisable -= lease.gpus if broken_by(self.pool, lease, promisable_now=0, capacity=1) else 0
        self.ground.now.take(placement)
        self.draft.grant(
            lease,
            Grant(
                lease=lease.id,
                version=self.draft.version(lease),
                placement=placement,
                price_micro=price,
                exempt_until_us=self.draft.now_us + candidate.terms.exempt_us,
                hold_micro=hold,
                funded_until_us=self.draft.now_us + hold_window_us(self.ground.view, lease),
                reason=f"{price / 1e6:.4f} a GPU-hour ({clearing.reason}), bid {lease.bid_micro / 1e6:.4f}",
            ),
        )
        return None

    def _share(self, lease_class: LeaseClass, terms: ClassTerms, term_us: int) -> Fraction:
        key = (lease_class, term_us)
        if key not in self._shares:
            lent = self.lent[lease_class]
            self._shares[key] = risk_share_of(
                self.ground.view, terms, term_us, lent_of_class=lent, capacity=self.stock.capacity
            )
        return self._shares[key]

    def _bound(self, lease_class: LeaseClass, terms: ClassTerms, term_us: int) -> int:
        key = (lease_class, term_us)
        if key not in self._bounds:
            price = self.ground.view.price_micro
            self._bounds[key] = risk_bound(self.ground.view, terms, term_us, price_micro=price, capacity=self.stock.capacity)
        return self._bounds[key]


def _bids(candidates: Sequence[Candidate]) -> Bids:
    prices = np.array([c.bare_bid_micro for c in candidates], np.int64)
    return Bids(prices, np.array([c.lease.gpus for c in candidates], np.int64))


def _lost(loser: Candidate, clearing: Clearing) -> str:
    asked = loser.pays(clearing.price_micro) if loser.bare_bid_micro >= clearing.price_micro else None
    if asked is None:
        return f"the price is {int(clearing.price_micro * (1 + loser.share)) / 1e6:.4f}, above its bid"
    return f"dearer bids took what was lendable at {asked / 1e6:.4f}"


def stock_of(ground: Ground) -> Supply:
    """The pool's supply after the owner was served."""
    demand = ground.demand
    return supply(
        ground.view,
        capacity=ground.capacity,
        demand=demand,
        lent=sum(lease.gpus for lease in ground.held_leases),
        free=ground.now.gpus,
        reserve=min(reserve_for(ground.view, demand), ground.capacity),
    )
