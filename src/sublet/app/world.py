"""Reading the world: one state of the database as the view that a round decides on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sublet.app.fitness import last_up_us
from sublet.app.forecasting import Forecaster
from sublet.core.draft import demand_of
from sublet.core.fleet import Fleet, Masks, Placement
from sublet.core.ids import NodeId, PoolId, TenantId
from sublet.core.lease import HELD, Lease
from sublet.core.owner import JOB_HELD, OwnerJob
from sublet.core.view import PoolView, Quota, TenantView, View
from sublet.store import jobs, leases, ledger, nodes, pools, tenants
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow


def read_view(tx: Tx, forecaster: Forecaster, *, now_us: int) -> View:
    """The view of one round, from one transaction."""
    live_leases = tuple(leases.live(tx))
    live_jobs = tuple(jobs.live(tx))
    rows = pools.everything(tx)
    demand = {row.pool.id: demand_of(job for job in live_jobs if job.pool == row.pool.id) for row in rows}
    return View(
        fleet=fleet_of(nodes.everything(tx), [row.pool.id for row in rows], live_leases, live_jobs),
        pools=tuple(
            PoolView(
                row.pool,
                row.price_micro,
                row.price_at_us,
                row.reserve,
                forecaster.forecasts(tx, row.pool, now_us=now_us, demand=demand[row.pool.id]),
                max(jobs.last_freed_us(tx, row.pool.id), last_up_us(tx, row.pool.id)),
                shifts=forecaster.shifts(row.pool),
            )
            for row in rows
        ),
        jobs=live_jobs,
        leases=live_leases,
        tenants=tenant_views(tx, {lease.tenant for lease in live_leases}),
    )


def tenant_views(tx: Tx, wanted: Iterable[TenantId]) -> Mapping[TenantId, TenantView]:
    """Tenants with their quotas and what they may still spend."""
    names = sorted(set(wanted))
    headrooms = ledger.headrooms(tx, names)
    quotas: dict[TenantId, dict[PoolId, Quota]] = {}
    for row in tenants.quotas_of(tx, names):
        quotas.setdefault(row.tenant, {})[row.pool] = Quota(row.nominal, row.borrowing_limit)
    suspended = tenants.suspended(tx)
    return {name: TenantView(name, headrooms.get(name), quotas.get(name), name in suspended) for name in names}


@dataclass(slots=True)
class _Columns:
    """Masks in the making, one row a node."""

    row: Mapping[NodeId, int]
    masks: list[int]

    def hold(self, placements: Iterable[Placement]) -> None:
        for placement in placements:
            for node, mask in placement:
                self.masks[self.row[node]] |= mask


def fleet_of(rows: list[NodeRow], pool_ids: list[PoolId], live: Iterable[Lease], work: Iterable[OwnerJob]) -> Fleet:
    """The fleet as arrays, from its nodes and everything that holds GPUs."""
    order = {node.id: i for i, node in enumerate(rows)}
    slots = [(1 << node.gpus) - 1 for node in rows]
    owner, leased = _Columns(order, [0] * len(rows)), _Columns(order, [0] * len(rows))
    owner.hold(job.placement for job in work if job.state in JOB_HELD)
    leased.hold(lease.placement for lease in live if lease.state in HELD)
    unfit = [slots[i] & ~(owner.masks[i] | leased.masks[i]) if node.down else 0 for i, node in enumerate(rows)]
    return Fleet(
        nodes=tuple(node.id for node in rows),
        pools=tuple(pool_ids),
        pool=np.array([pool_ids.index(node.pool) for node in rows], np.int32),
        slots=np.array(slots, np.uint64),
        owner=np.array(owner.masks, np.uint64),
        leased=np.array(leased.masks, np.uint64),
        down=np.array(unfit, np.uint64),
        unfit=np.array([node.down for node in rows], np.bool_),
        locations=tuple((node.pod, node.rack) for node in rows),
    )


def slots_by_pool(tx: Tx) -> Mapping[PoolId, Masks]:
    """uint64[n] for each pool: the GPUs of its nodes, in no particular order; what a request is measured against."""
    sizes: dict[PoolId, list[int]] = {}
    for pool, gpus, number in nodes.sizes(tx):
        sizes.setdefault(pool, []).extend([(1 << gpus) - 1] * number)
    return {pool: np.array(masks, np.uint64) for pool, masks in sizes.items()}
