"""What an export is made from: the books of a period, of all tenants or of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Lease
from sublet.core.ledger import Account, Transfer
from sublet.core.model_request import TokenDay
from sublet.core.terms import Pool
from sublet.core.usage import Usage
from sublet.store import invoices, ledger, model_requests, pools, tenants
from sublet.store import usage as usage_rows
from sublet.store.database import Tx
from sublet.store.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Books:
    """Transfers and requests to models booked in the period, usage that began in it, and the things they name."""

    from_us: int
    to_us: int
    accounts: Mapping[str, Account]
    transfers: Sequence[Transfer]
    usage: Sequence[Usage]
    tokens: Sequence[TokenDay]
    leases: Mapping[LeaseId, Lease]
    tenants: Mapping[TenantId, Tenant]
    pools: Mapping[PoolId, Pool]


def load(tx: Tx, *, from_us: int, to_us: int, tenant: TenantId | None = None) -> Books:
    """The books of a period; with `tenant`, only what touches that tenant."""
    entries = ledger.every_transfer(tx, from_us=from_us, to_us=to_us, tenant=tenant)
    intervals = usage_rows.between(tx, from_us, to_us, tenant=tenant)
    named = {entry.lease for entry in entries if entry.lease is not None} | {one.lease for one in intervals}
    return Books(
        from_us=from_us,
        to_us=to_us,
        accounts={account.id: account for account in ledger.every_account(tx)},
        transfers=entries,
        usage=intervals,
        tokens=model_requests.by_day(tx, from_us, to_us, tenant=tenant),
        leases=invoices.leases_named(tx, named),
        tenants={one.id: one for one in tenants.everything(tx)},
        pools={row.pool.id: row.pool for row in pools.everything(tx)},
    )
