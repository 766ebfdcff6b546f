"""From what a tenant asks for to the lease it would be: the pool, the bid and the terms that were left open."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from sublet.app import world
from sublet.app.complaints import meant
from sublet.app.forecasting import Forecaster
from sublet.app.tasks import LeaseRequest
from sublet.core.admit import refusal
from sublet.core.errors import Invalid
from sublet.core.fleet import Masks, count
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Access, Lease, LeaseClass
from sublet.core.supply import risk_share_of
from sublet.core.terms import Pool, term_of
from sublet.core.view import PoolView, TenantView
from sublet.store import pools, tenants
from sublet.store.database import Tx
from sublet.store.pools import PoolRow

BID_SHARE = Fraction(5, 4)
"""Without a bid, this share of the price now is the most that is paid."""


_WAYS_OUT = {Access.ENDPOINT: "`sublet model serve` keeps such leases; a batch command may serve whatever it likes, too"}


@dataclass(frozen=True, slots=True)
class Shop:
    """What a request is checked against: every pool, the nodes, and the tenant. No leases, so it stays cheap."""

    pools: tuple[PoolRow, ...]
    view: Callable[[PoolRow], PoolView]  # with its forecasts, for the pool that is chosen
    slots: Callable[[PoolId], Masks]  # uint64[n]: the GPUs of a pool's nodes
    tenant: TenantView
    currency: str


def shop(tx: Tx, forecaster: Forecaster, tenant: TenantId, *, now_us: int) -> Shop:
    """The shop as this tenant finds it."""
    known = tenants.get(tx, tenant)
    view = partial(world.pool_view, tx, forecaster=forecaster, now_us=now_us)
    limits = world.tenant_views(tx, [tenant])[tenant]
    return Shop(tuple(pools.everything(tx)), view, partial(world.slots_of, tx), limits, known.currency)


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


def chosen_pool(known: tuple[Pool, ...], *, pool: str | None, gpu_model: str | None, sites: tuple[str, ...] = ()) -> Pool:
    """The pool that is meant: by its name, or the only one, or the first with these GPUs; within the sites allowed."""
    if pool is not None:
        found = next((one for one in known if one.id == pool), None)
        if found is None:
            raise Invalid(f"there is no pool {pool!r}", field="lease.pool", hint=meant(pool, [one.id for one in known]))
        _fits(found, gpu_model, sites)
        return found
    if not known:
        raise Invalid("nothing is for sale: there is no pool", field="lease.pool", hint="the owner adds one: `sublet pool set`")
    models = sorted({one.gpu_model for one in known})
    if gpu_model is None and len(models) > 1:
        hint = f"add resources.accelerators, for example {models[0]}:1, or lease.pool"
        raise Invalid("say which GPUs, or which pool", field="resources.accelerators", hint=hint)
    same = [one for one in known if gpu_model is None or one.gpu_model.lower() == gpu_model.lower()]
    if not same:
        known_models = meant(str(gpu_model), models)
        raise Invalid(f"no pool has {gpu_model} GPUs", field="resources.accelerators", hint=known_models)
    near = [one for one in same if not sites or one.site in sites]
    if not near:
        hint = f"pools with these GPUs are at: {', '.join(sorted({one.site for one in same}))}"
        raise Invalid(f"no such pool is at {' or '.join(sites)}", field="lease.residency", hint=hint)
    return near[0]


def _fits(pool: Pool, gpu_model: str | None, sites: tuple[str, ...]) -> None:
    if gpu_model is not None and gpu_model.lower() != pool.gpu_model.lower():
        hint = f"write {pool.gpu_model}:COUNT, or leave lease.pool away"
        raise Invalid(f"pool {pool.id} has {pool.gpu_model} GPUs, not {gpu_model}", field="resources.accelerators", hint=hint)
    if sites and pool.site not in sites:
        hint = "choose another pool, or allow this site"
        raise Invalid(f"pool {pool.id} is at {pool.site}, not at {' or '.join(sites)}", field="lease.residency", hint=hint)


def _offered(open_shop: Shop, asked: LeaseRequest) -> PoolView:
    """The pool of a request: of several that fit, one that sells the class, the cheapest."""
    known = sorted(
        open_shop.pools,
        key=lambda row: (
            row.pool.currency != open_shop.currency,
            asked.lease_class not in row.pool.classes,
            row.price_micro,
        ),
    )
    pool = chosen_pool(tuple(row.pool for row in known), pool=asked.pool, gpu_model=asked.gpu_model, sites=asked.sites)
    if asked.access is not Access.BATCH and asked.workload.endpoint is None:
        hint = _WAYS_OUT.get(asked.access, "use batch: its command may serve whatever it likes while it runs")
        raise Invalid(f"nobody asks for {asked.access} access with a task", field="lease.access", hint=hint)
    if pool.currency != open_shop.currency:
        said = f"pool {pool.id} is sold in {pool.currency}, this tenant is billed in {open_shop.currency}"
        raise Invalid(said, field="lease.pool", hint="choose a pool of the tenant's currency")
    return open_shop.view(next(row for row in known if row.pool.id == pool.id))


def _bid_micro(open_shop: Shop, view: PoolView, asked: LeaseRequest) -> int:
    if asked.bid_micro is not None:
        return asked.bid_micro
    if asked.lease_class not in view.pool.terms:
        return 0
    return int(price_now_micro(open_shop, view, asked.lease_class, asked.term_us) * BID_SHARE)
