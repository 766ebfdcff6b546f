"""What is for sale now, and what a request would cost: the round itself, run on paper."""

from bisect import bisect_left
from dataclasses import dataclass, replace

from sublet.app import names, requests, world
from sublet.app.forecasting import Forecaster
from sublet.app.mirror import Mirror
from sublet.app.tasks import LeaseRequest
from sublet.core.admit import hold_micro
from sublet.core.blocks.clearance import barred_to, blocks_ahead, first_starts
from sublet.core.blocks.delivery import make_way
from sublet.core.draft import Draft, Ground
from sublet.core.fleet import count
from sublet.core.ids import LeaseId, TenantId
from sublet.core.kernels.held import held_by
from sublet.core.lease import Access, Lease, LeaseClass
from sublet.core.market import stock_of
from sublet.core.owner_first import serve_owner
from sublet.core.promise import broken_by, promisable
from sublet.core.round import decide
from sublet.core.staggering import limit_lending
from sublet.core.supply import Supply, published_floor, risk_bound, risk_share_of
from sublet.core.tables import CLASS_CODE, CLASSES
from sublet.core.terms import ClassTerms, Pool, term_of
from sublet.core.units import charge_micro
from sublet.core.view import View
from sublet.store.database import Tx


@dataclass(frozen=True, slots=True)
class Offer:
    """GPUs of one pool for sale now as one class and length. `term_us` None: for as long as it lasts."""

    pool: Pool
    lease_class: LeaseClass
    terms: ClassTerms
    term_us: int | None
    gpus: int
    price_micro: int
    floor_micro: int
    supply: Supply


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would cost and whether it would start now. `reason` is the round's own."""

    lease: Lease
    pool: Pool
    starts_now: bool
    price_micro: int
    floor_micro: int
    hold_micro: int
    term_micro: int | None  # the whole term at this price, all GPUs
    reason: str
    not_before_us: int | None


def for_sale(tx: Tx, forecaster: Forecaster, mirror: Mirror, *, now_us: int) -> list[Offer]:
    """Every pool's offers, after the owner was served."""
    found: list[Offer] = []
    with mirror.lock:
        mirror.catch_up(tx)
        view = mirror.view(tx, forecaster, now_us=now_us)
        grounds = [Ground(pool, view.standing(pool.pool.id)) for pool in view.pools]
        for here in grounds:
            draft = Draft(now_us)
            serve_owner(view, here, draft)
            make_way(here, draft)
            limit_lending(view, grounds, here)
            found += _of_pool(here, now_us)
    return found


def quote(tx: Tx, forecaster: Forecaster, asked: LeaseRequest, *, tenant: TenantId, now_us: int) -> Quote:
    """What would come of a request if it were made now; nothing is written."""
    open_shop = requests.shop(tx, forecaster, tenant, now_us=now_us)
    view, lease = requests.drafted(open_shop, asked, lease=LeaseId(names.fresh("quote")), now_us=now_us)
    price = min(requests.price_now_micro(open_shop, view, lease.lease_class, lease.term_us), lease.bid_micro)
    starts, reason, granted = _on_paper(tx, forecaster, lease, now_us)
    price = granted if granted is not None else price
    return Quote(
        lease=lease,
        pool=view.pool,
        starts_now=starts,
        price_micro=price,
        floor_micro=published_floor(view).total_micro,
        hold_micro=hold_micro(view, lease, price),
        term_micro=charge_micro(lease.gpus * lease.term_us, price) if lease.term_us else None,
        reason=reason,
        not_before_us=now_us if starts else None,
    )


def _on_paper(tx: Tx, forecaster: Forecaster, lease: Lease, now_us: int) -> tuple[bool, str, int | None]:
    """Whether the next round would grant the lease, what it would say, and at which price."""
    pool_now = world.read_view(tx, forecaster, now_us=now_us, pool=lease.pool)
    everybody = world.tenant_views(tx, {*pool_now.tenants, lease.tenant})
    view: View = replace(pool_now, leases=(*pool_now.leases, lease), tenants=everybody)
    plan = decide(view, now=now_us)
    for grant in plan.grants:
        if grant.lease == lease.id:
            return True, grant.reason, grant.price_micro
    waits = [wait.reason for wait in plan.waits if wait.lease == lease.id]
    moved = [move.reason for move in plan.moves if move.lease == lease.id]
    return False, (waits or moved or ["it waits for the next round"])[-1], None


def _of_pool(here: Ground, now_us: int) -> list[Offer]:
    pool = here.view.pool
    lent, _ = held_by(here.standing.held.rows, len(CLASSES), len(here.standing.tenants))
    stock = stock_of(here)
    standing = here.standing
    sure = promisable(standing, now_us=now_us) - blocks_ahead(standing, now_us=now_us)
    first = first_starts(standing, now_us=now_us)

    def room(name: LeaseClass, term_us: int | None) -> int:
        """GPUs that are free where a lease of this class and length may be placed."""
        product = (name, term_of(pool.terms[name], term_us, pool.hold_us))
        return count(here.now.free & ~barred_to(standing, first, product, now_us=now_us))

    return [
        _offer(
            here,
            replace(stock, lendable=min(stock.lendable, room(name, term_us))),
            (name, term_us),
            lent=int(lent[CLASS_CODE[name]]),
            sure=sure,
        )
        for name in pool.classes
        for term_us in pool.terms[name].terms_us or (None,)
    ]


def _offer(here: Ground, stock: Supply, product: tuple[LeaseClass, int | None], *, lent: int, sure: int) -> Offer:
    """What a lease of this class and length could have now: within supply, the class's risk and the owner's promise.

    `lent`: GPUs that the class holds; `sure`: GPUs that the owner could have back in time.
    """
    view, pool = here.view, here.view.pool
    lease_class, term_us = product
    terms = pool.terms[lease_class]
    term = term_of(terms, term_us, pool.hold_us)
    bound = risk_bound(view, terms, term, price_micro=view.price_micro, capacity=stock.capacity)

    def breaks(gpus: int) -> bool:
        asked = _specimen(pool, lease_class, gpus)
        return broken_by(pool, asked, promisable_now=sure, capacity=stock.capacity) is not None

    gpus = bisect_left(range(1, max(0, min(stock.lendable, bound - lent)) + 1), x=True, key=breaks)
    share = risk_share_of(view, terms, term, lent_of_class=lent, capacity=stock.capacity)
    floor = published_floor(view).total_micro
    price = max(floor, int(view.price_micro * (1 + share)))
    return Offer(pool, lease_class, terms, term_us, gpus, price, floor, stock)


def _specimen(pool: Pool, lease_class: LeaseClass, gpus: int) -> Lease:
    """A lease on the pool's usual terms, to ask the promise about."""
    return Lease(
        id=LeaseId("offer"),
        tenant=TenantId("anybody"),
        pool=pool.id,
        name="offer",
        lease_class=lease_class,
        access=Access.BATCH,
        gpus=gpus,
        nodes=1,
        bid_micro=0,
        grace_us=pool.terms[lease_class].grace_us,
        requested_us=0,
        since_us=0,
    )
