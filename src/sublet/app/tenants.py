"""Tenants: who leases, what they may spend, and how many GPUs they may hold."""

from dataclasses import dataclass

from sublet.core.ids import TenantId
from sublet.core.ledger import Account, receivable, tenant_accounts
from sublet.store import events, ledger, pools
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


def add(tx: Tx, *, tenant: TenantId, name: str, currency: str, limit_micro: int | None, now_us: int) -> TenantState:
    """Make a tenant with its account; `limit_micro` bounds what it owes and has reserved (None: no limit)."""
    store.insert_one(tx, Tenant(tenant, name, currency, now_us))
    ledger.open_accounts(tx, tenant_accounts(tenant, currency, limit_micro=limit_micro))
    events.append(tx, [Entry(now_us, "tenant.added", f"tenant {tenant} was added", tenant=tenant)])
    return state(tx, tenant)


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


def set_suspended(tx: Tx, tenant: TenantId, *, suspended: bool, now_us: int) -> TenantState:
    """Grant nothing new to a tenant, or go on; what runs is left alone."""
    store.get(tx, tenant)
    store.set_suspended(tx, tenant, suspended=suspended)
    kind = "tenant.suspended" if suspended else "tenant.resumed"
    events.append(tx, [Entry(now_us, kind, f"the owner {kind.split('.')[1]} tenant {tenant}", tenant=tenant)])
    return state(tx, tenant)
