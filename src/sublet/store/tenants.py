"""Tenants and their quotas in pools."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from sublet.core.errors import Conflict, NotFound
from sublet.core.ids import PoolId, TenantId
from sublet.store.bulk import among, portions
from sublet.store.rows import plain, row_of
from sublet.store.schema import quotas, tenants


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody who leases. A suspended tenant keeps what runs and gets nothing new."""

    id: TenantId
    name: str
    currency: str
    created_us: int
    suspended: bool = False
    country: str | None = None  # its seat, or that of the parent that controls it; None: not known


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """GPUs of a pool that a tenant may hold: its own share, and what it may borrow beyond it (None: no bound)."""

    tenant: TenantId
    pool: PoolId
    nominal: int
    borrowing_limit: int | None = None


def insert_one(tx: Connection, tenant: Tenant) -> None:
    """Add a tenant, or raise `Conflict` if the name is taken."""
    try:
        with tx.begin_nested():
            tx.execute(insert(tenants).values(row_of(tenant)))
    except IntegrityError as error:
        raise Conflict(
            f"there is a tenant {tenant.id} already", field="id", hint="choose another id; `sublet tenant ls` lists them"
        ) from error


def get(tx: Connection, tenant: TenantId) -> Tenant:
    """One tenant."""
    row = tx.execute(select(tenants).where(tenants.c.id == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"there is no tenant {tenant}", field="tenant", hint="`sublet tenant ls` lists them")
    return Tenant(**plain(row))


def everything(tx: Connection) -> list[Tenant]:
    """All tenants by id."""
    return [Tenant(**plain(row)) for row in tx.execute(select(tenants).order_by(tenants.c.id))]


def suspended(tx: Connection) -> frozenset[TenantId]:
    """Tenants who get nothing new."""
    return frozenset(tx.execute(select(tenants.c.id).where(tenants.c.suspended)).scalars())


def page(tx: Connection, *, after: TenantId | None = None, limit: int = 100) -> list[Tenant]:
    """Tenants by id, from the one after `after`."""
    query = select(tenants).order_by(tenants.c.id).limit(limit)
    if after is not None:
        query = query.where(tenants.c.id > after)
    return [Tenant(**plain(row)) for row in tx.execute(query)]


def set_suspended(tx: Connection, tenant: TenantId, *, suspended: bool) -> None:
    """Stop granting to a tenant, or go on."""
    tx.execute(update(tenants).where(tenants.c.id == tenant).values(suspended=suspended))


def set_country(tx: Connection, tenant: TenantId, country: str | None) -> None:
    """Set where a tenant has its seat."""
    tx.execute(update(tenants).where(tenants.c.id == tenant).values(country=country))


def countries(tx: Connection, wanted: Iterable[TenantId]) -> dict[TenantId, str]:
    """Where some tenants have their seats; one whose seat is not known is absent."""
    found: dict[TenantId, str] = {}
    for part in portions(set(wanted)):
        known = select(tenants.c.id, tenants.c.country).where(among(tenants.c.id, part), tenants.c.country.is_not(None))
        found.update((tenant, country) for tenant, country in tx.execute(known))
    return found


def put_quota(tx: Connection, quota: QuotaRow) -> None:
    """Set a tenant's quota in a pool."""
    mine = (quotas.c.tenant == quota.tenant) & (quotas.c.pool == quota.pool)
    values = {"nominal": quota.nominal, "borrowing_limit": quota.borrowing_limit}
    if tx.execute(update(quotas).where(mine).values(values)).rowcount == 0:
        tx.execute(insert(quotas).values(row_of(quota)))


def quotas_of(tx: Connection, wanted: Sequence[TenantId] | None = None) -> list[QuotaRow]:
    """The quotas of some tenants, or of all."""
    query = select(quotas).order_by(quotas.c.tenant, quotas.c.pool)
    if wanted is not None:
        query = query.where(among(quotas.c.tenant, wanted))
    return [QuotaRow(**plain(row)) for row in tx.execute(query)]
