"""From what a tenant asks for to the lease it would be: the pool, the bid and the terms that were left open."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial

from sublet.app import world
from sublet.app.complaints import meant
from sublet.app.forecasting import Forecaster
from sublet.app.residency import Atlas, Bound, Denied
from sublet.app.tasks import LeaseRequest
from sublet.core.admit import refusal
from sublet.core.errors import Invalid
from sublet.core.fleet import Masks, count
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Access, Lease, LeaseClass
from sublet.core.supply import risk_share_of
from sublet.core.terms import Pool, term_of
from sublet.core.view import PoolView, TenantView
from sublet.store import pools, sites, tenants
from sublet.store.database import Tx
from sublet.store.pools import PoolRow

BID_SHARE = Fraction(5, 4)
"""Without a bid, this share of the price now is the most that is paid."""


_WAYS_OUT = {Access.ENDPOINT: "`sublet model serve` keeps such leases; a batch command may serve whatever it likes, too"}


@dataclass(frozen=True, slots=True)
class Shop:
    """What a request is checked against: the pools, their nodes, and the tenant. No leases, so it stays cheap.

    Only what the request needs is read: each row is a moment in which others want the processor (docs/decisions/0033).
    """

    pool: Callable[[str], PoolRow | None]  # by its name
    cheapest_first: Callable[[], Iterable[PoolRow]]
    view: Callable[[PoolRow], PoolView]  # with its forecasts, for the pool that is chosen
    slots: Callable[[PoolId], Masks]  # uint64[n]: the GPUs of a pool's nodes
    tenant: TenantView
    currency: str
    atlas: Atlas  # where data may be


def shop(tx: Tx, forecaster: Forecaster, tenant: TenantId, *, now_us: int) -> Shop:
    """The shop as this tenant finds it."""
    known = tenants.get(tx, tenant)
    view = partial(world.pool_view, tx, forecaster=forecaster, now_us=now_us)
    limits = world.tenant_views(tx, [tenant])[tenant]
    slots = cache(partial(world.slots_of, tx))
    seats = {} if known.country is None else {tenant: known.country}
    atlas = Atlas({site.id: site for site in sites.everything(tx)}, seats)
    return Shop(partial(pools.find, tx), partial(pools.cheapest_first, tx), view, slots, limits, known.currency, atlas)


def drafted(open_shop: Shop, asked: LeaseRequest, *, lease: LeaseId, now_us: int) -> tuple[PoolView, Lease]:
    """The pool, and the lease that a request would be; raises `Invalid` if no round could ever grant it."""
    if asked.lease_class is LeaseClass.BLOCK:
        hint = "`sublet block buy`, or POST /v1/blocks, with the same task and lease.start"
        raise Invalid("blocks are bought ahead, not leased at once", field="lease.class", hint=hint)
    if asked.start_us is not None:
        raise Invalid("only blocks have a start", field="lease.start", hint="leave it away, or write `class: block`")
    view = _offered(open_shop, asked)
    pool = view.pool
    terms = pool.terms.get(asked.lease_class)
    made = Lease(
        id=lease,
        tenant=open_shop.tenant.id,
        pool=pool.id,
        name=asked.name,
        lease_class=asked.lease_class,
        access=asked.access,
        gpus=asked.gpus,
        nodes=asked.nodes,
        bid_micro=_bid_micro(open_shop, view, asked),
        grace_us=asked.grace_us if asked.grace_us is not None else (terms.grace_us if terms else 0),
        requested_us=now_us,
        since_us=now_us,
        term_us=asked.term_us,
        restartable=asked.restartable,
    )
    refused = refusal(view, open_shop.tenant, made, open_shop.slots(pool.id))
    if refused is not None:
        raise Invalid(refused.message, field=refused.field, hint=refused.hint)
    return view, made


def price_now_micro(open_shop: Shop, view: PoolView, lease_class: LeaseClass, term_us: int | None) -> int:
    """What a GPU-hour of this class costs now: the clearing price and, for a guaranteed class, its risk price."""
    terms = view.pool.terms[lease_class]
    capacity = count(open_shop.slots(view.pool.id))
    term = term_of(terms, term_us, view.pool.hold_us)
    return int(view.price_micro * (1 + risk_share_of(view, terms, term, lent_of_class=0, capacity=capacity)))


def chosen_pool(
    known: tuple[Pool, ...], *, pool: str | None, gpu_model: str | None, judged: Callable[[Pool], Bound] | None = None
) -> Pool:
    """The pool that is meant: by its name, or the only one, or the first with these GPUs; of those that its data may be in.

    `judged`: what residency rules say of a pool; None: nobody's data is at stake.
    """
    meant_ones = _meant(known, pool=pool, gpu_model=gpu_model)
    if judged is None:
        return meant_ones[0]
    denied = []
    for one in meant_ones:
        bound = judged(one)
        if bound.allowed:
            return one
        denied.append(bound)
    raise Denied(f"its data may not be in {'pool ' + pool if pool else 'any pool with these GPUs'}", denied)


def _meant(known: tuple[Pool, ...], *, pool: str | None, gpu_model: str | None) -> list[Pool]:
    """The pools that a request can mean, the best first: never none."""
    if pool is not None:
        found = next((one for one in known if one.id == pool), None)
        if found is None:
            raise Invalid(f"there is no pool {pool!r}", field="lease.pool", hint=meant(pool, [one.id for one in known]))
        if gpu_model is not None and not _has(found, gpu_model):
            hint = f"write {found.gpu_model}:COUNT, or leave lease.pool away"
            said = f"pool {found.id} has {found.gpu_model} GPUs, not {gpu_model}"
            raise Invalid(said, field="resources.accelerators", hint=hint)
        return [found]
    if not known:
        raise Invalid("nothing is for sale: there is no pool", field="lease.pool", hint="the owner adds one: `sublet pool set`")
    models = sorted({one.gpu_model for one in known})
    if gpu_model is None and len(models) > 1:
        hint = f"add resources.accelerators, for example {models[0]}:1, or lease.pool"
        raise Invalid("say which GPUs, or which pool", field="resources.accelerators", hint=hint)
    same = [one for one in known if gpu_model is None or _has(one, gpu_model)]
    if not same:
        known_models = meant(str(gpu_model), models)
        raise Invalid(f"no pool has {gpu_model} GPUs", field="resources.accelerators", hint=known_models)
    return same


def _has(pool: Pool, gpu_model: str) -> bool:
    return gpu_model.lower() == pool.gpu_model.lower()


def _offered(open_shop: Shop, asked: LeaseRequest) -> PoolView:
    """The pool of a request: of several that fit, one that sells the class, the cheapest."""
    known = sorted(
        _worth_a_look(open_shop, asked),
        key=lambda row: (
            row.pool.currency != open_shop.currency,
            asked.lease_class not in row.pool.classes,
            row.price_micro,
        ),
    )
    named = tuple(row.pool for row in known)
    judged = open_shop.atlas.door(asked.label, open_shop.tenant.id, named)
    pool = chosen_pool(named, pool=asked.pool, gpu_model=asked.gpu_model, judged=judged)
    if asked.access is not Access.BATCH and asked.workload.endpoint is None:
        hint = _WAYS_OUT.get(asked.access, "use batch: its command may serve whatever it likes while it runs")
        raise Invalid(f"nobody asks for {asked.access} access with a task", field="lease.access", hint=hint)
    if pool.currency != open_shop.currency:
        said = f"pool {pool.id} is sold in {pool.currency}, this tenant is billed in {open_shop.currency}"
        raise Invalid(said, field="lease.pool", hint="choose a pool of the tenant's currency")
    return open_shop.view(next(row for row in known if row.pool.id == pool.id))


def _worth_a_look(open_shop: Shop, asked: LeaseRequest) -> list[PoolRow]:
    """The one pool that is best for the request, where it shows without all the others; else all."""
    if not asked.label.silent:
        return list(open_shop.cheapest_first())  # what it states may name the place of any
    if asked.pool is not None:
        named = open_shop.pool(asked.pool)
        return list(open_shop.cheapest_first()) if named is None else [named]
    seen: list[PoolRow] = []
    for row in open_shop.cheapest_first():
        if _is_fine(open_shop, asked, row.pool):
            return [row]
        seen.append(row)
    return seen


def _is_fine(open_shop: Shop, asked: LeaseRequest, pool: Pool) -> bool:
    """Whether none but a cheaper pool could be better for the request."""
    sells = pool.currency == open_shop.currency and asked.lease_class in pool.classes
    meant_one = asked.gpu_model is not None and _has(pool, asked.gpu_model)
    return sells and meant_one and open_shop.atlas.door(asked.label, open_shop.tenant.id, [pool])(pool).allowed


def _bid_micro(open_shop: Shop, view: PoolView, asked: LeaseRequest) -> int:
    if asked.bid_micro is not None:
        return asked.bid_micro
    if asked.lease_class not in view.pool.terms:
        return 0
    return int(price_now_micro(open_shop, view, asked.lease_class, asked.term_us) * BID_SHARE)
