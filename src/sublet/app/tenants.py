"""Tenants: who leases, what they may spend, and how many GPUs they may hold."""

from dataclasses import dataclass

from sublet.app.upholding import uphold_of
from sublet.core.ids import TenantId
from sublet.core.ledger import Account, receivable, tenant_accounts
from sublet.core.residency.words import check_residency, country_name, country_of
from sublet.core.token_terms import TokenTerms
from sublet.store import audit_log, events, ledger, pools, sites, token_terms
from sublet.store import tenants as store
from sublet.store.database import Tx
from sublet.store.events import Entry
from sublet.store.tenants import QuotaRow, Tenant


@dataclass(frozen=True, slots=True)
class TenantState:
    """A tenant with its account and quotas."""

    tenant: Tenant
    account: Account
    quotas: tuple[QuotaRow, ...]


SEAT = "tenant.country"
"""The kind of an entry of the audit log: where a tenant has its seat from then on."""


def add(
    tx: Tx,
    *,
    tenant: TenantId,
    name: str,
    currency: str,
    limit_micro: int | None,
    now_us: int,
    country: str | None = None,
) -> TenantState:
    """Make a tenant with its account; `limit_micro` bounds what it owes and has reserved (None: no limit)."""
    seat = None if country is None else country_of(country)
    store.insert_one(tx, Tenant(tenant, name, currency, now_us, country=seat))
    ledger.open_accounts(tx, tenant_accounts(tenant, currency, limit_micro=limit_micro))
    events.append(tx, [Entry(now_us, "tenant.added", f"tenant {tenant} was added", tenant=tenant)])
    made = state(tx, tenant)
    if seat is not None:
        audit_log.append(tx, at_us=now_us, kind=SEAT, document={"tenant": tenant, "country": seat})
    return made


def set_country(tx: Tx, tenant: TenantId, country: str | None, *, force: bool = False, now_us: int) -> TenantState:
    """State where a tenant, or the parent that controls it, has its seat; None: it is not known.

    Raises `Conflict` where running leases would have to end and that is not forced.
    """
    seat, before = None if country is None else country_of(country), store.get(tx, tenant)
    store.set_country(tx, tenant, seat)
    said = f"the seat of tenant {tenant} is {country_name(seat)}"
    events.append(tx, [Entry(now_us, SEAT, said, tenant=tenant, data={"country": seat})])
    made = state(tx, tenant)
    if seat != before.country:
        uphold_of(tx, tenant, force=force, now_us=now_us)
        audit_log.append(tx, at_us=now_us, kind=SEAT, document={"tenant": tenant, "country": seat})
    return made


def state(tx: Tx, tenant: TenantId) -> TenantState:
    """One tenant as it stands."""
    found = store.get(tx, tenant)
    return TenantState(found, ledger.account(tx, receivable(tenant)), tuple(store.quotas_of(tx, [tenant])))


def page(tx: Tx, *, only: TenantId | None, after: TenantId | None, limit: int) -> list[TenantState]:
    """Tenants by id; `only` for somebody to whom no other exists."""
    if only is not None:
        return [state(tx, only)] if after is None or only > after else []
    return [state(tx, tenant.id) for tenant in store.page(tx, after=after, limit=limit)]


def set_limit(tx: Tx, tenant: TenantId, limit_micro: int | None, *, now_us: int) -> TenantState:
    """Set what a tenant may owe and have reserved at most; the change is told in the journal."""
    store.get(tx, tenant)
    ledger.set_limit(tx, tenant, limit_micro)
    said = "no spend limit" if limit_micro is None else f"a spend limit of {limit_micro / 1e6:.2f}"
    entry = Entry(now_us, "tenant.limited", f"tenant {tenant} has {said}", tenant=tenant, data={"limit_micro": limit_micro})
    events.append(tx, [entry])
    return state(tx, tenant)


def set_quota(tx: Tx, quota: QuotaRow, *, now_us: int) -> TenantState:
    """Set how many GPUs of a pool are a tenant's own share, and how many it may borrow beyond (None: no bound)."""
    store.get(tx, quota.tenant)
    pools.get(tx, quota.pool)
    store.put_quota(tx, quota)
    data = {"nominal": quota.nominal, "borrowing_limit": quota.borrowing_limit}
    said = f"tenant {quota.tenant} has a quota of {quota.nominal} GPUs in pool {quota.pool}"
    events.append(tx, [Entry(now_us, "quota.set", said, tenant=quota.tenant, pool=quota.pool, data=data)])
    return state(tx, quota.tenant)


def set_token_terms(tx: Tx, terms: TokenTerms) -> None:
    """Set what a tenant may ask of models; raises `Invalid` for a place that nobody knows."""
    store.get(tx, terms.tenant)
    known = {site.id for site in sites.everything(tx)} | {row.pool.site for row in pools.everything(tx)}
    check_residency(terms.residency, known)
    token_terms.put(tx, terms)


def set_suspended(tx: Tx, tenant: TenantId, *, suspended: bool, now_us: int) -> TenantState:
    """Grant nothing new to a tenant, or go on; what runs is left alone."""
    store.get(tx, tenant)
    store.set_suspended(tx, tenant, suspended=suspended)
    kind = "tenant.suspended" if suspended else "tenant.resumed"
    events.append(tx, [Entry(now_us, kind, f"the owner {kind.split('.')[1]} tenant {tenant}", tenant=tenant)])
    return state(tx, tenant)
