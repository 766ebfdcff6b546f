"""Reading the world: one state of the database as the view that a round decides on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sublet.app.fitness import last_up_us
from sublet.app.forecasting import Forecaster
from sublet.core.draft import demand_of
from sublet.core.fleet import Fleet, Masks, Placement
from sublet.core.ids import NodeId, PoolId, TenantId
from sublet.core.lease import HELD, Lease
from sublet.core.owner import JOB_HELD, OwnerJob
from sublet.core.site import Site
from sublet.core.terms import Pool
from sublet.core.topology import Topology, topology_of
from sublet.core.view import PoolView, Quota, TenantView, View
from sublet.store import jobs, leases, ledger, nodes, pools, sites, tenants, usage
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow
from sublet.store.pools import PoolRow


def read_view(tx: Tx, forecaster: Forecaster, *, now_us: int, pool: PoolId | None = None) -> View:
    """The view of a round on paper, from one transaction: of one pool, or of all."""
    live_leases = tuple(leases.live(tx, pool=pool))
    live_jobs = tuple(jobs.live(tx, pool=pool))
    rows = [row for row in pools.everything(tx) if pool in {None, row.pool.id}]
    bounded = {site.id: site for site in sites.everything(tx)}
    demand = {row.pool.id: demand_of(job for job in live_jobs if job.pool == row.pool.id) for row in rows}
    return View(
        fleet=fleet_of(nodes.everything(tx, pool=pool), [row.pool.id for row in rows], live_leases, live_jobs),
        pools=tuple(
            pool_view(
                tx,
                row,
                forecaster,
                now_us=now_us,
                demand=demand[row.pool.id],
                freed_us=freed_us(tx, row.pool.id),
                site=bounded.get(row.pool.site),
            )
            for row in rows
        ),
        jobs=live_jobs,
        leases=live_leases,
        tenants=with_evictions(
            tx, tenant_views(tx, {lease.tenant for lease in live_leases}), [row.pool for row in rows], now_us=now_us
        ),
    )


def pool_view(
    tx: Tx,
    row: PoolRow,
    forecaster: Forecaster,
    *,
    now_us: int,
    demand: int | None = None,
    freed_us: int = 0,
    site: Site | None = None,
) -> PoolView:
    """A pool as a round finds it; `demand` is the owner's now (None: as last known), `freed_us` when he last gave GPUs back."""
    return PoolView(
        row.pool,
        row.price_micro,
        row.price_at_us,
        row.reserve,
        forecaster.forecasts(tx, row.pool, now_us=now_us, demand=demand),
        freed_us,
        shifts=forecaster.shifts(row.pool),
        site=site,
    )


def freed_us(tx: Tx, pool: PoolId) -> int:
    """When the owner's own work last gave GPUs of the pool back, or a node came up."""
    return max(jobs.last_freed_us(tx, pool), last_up_us(tx, pool))


def tenant_views(tx: Tx, wanted: Iterable[TenantId]) -> Mapping[TenantId, TenantView]:
    """Tenants with their quotas and what they may still spend."""
    names = sorted(set(wanted))
    headrooms = ledger.headrooms(tx, names)
    quotas: dict[TenantId, dict[PoolId, Quota]] = {}
    for row in tenants.quotas_of(tx, names):
        quotas.setdefault(row.tenant, {})[row.pool] = Quota(row.nominal, row.borrowing_limit)
    suspended = tenants.suspended(tx)
    return {name: TenantView(name, headrooms.get(name), quotas.get(name), name in suspended) for name in names}


def with_evictions(
    tx: Tx, known: Mapping[TenantId, TenantView], of: Iterable[Pool], *, now_us: int
) -> Mapping[TenantId, TenantView]:
    """The tenants with how often the owner evicted them from those of these pools that bound it, within their windows."""
    since = {pool.id: now_us - pool.evictions_window_us for pool in of if pool.evictions_per_tenant is not None}
    counted = usage.evictions(tx, since) if since else {}
    return {**known, **{name: replace(known[name], evictions=had) for name, had in counted.items() if name in known}}


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


def ground_of(tx: Tx, pool: PoolId) -> tuple[Masks, Topology]:
    """(uint64[n], where they stand): the GPUs of a pool's nodes, as `slots_of`, for what has to be near each other."""
    rows = nodes.everything(tx, pool=pool)
    return np.array([(1 << node.gpus) - 1 for node in rows], np.uint64), topology_of([(node.pod, node.rack) for node in rows])


def slots_of(tx: Tx, pool: PoolId) -> Masks:
    """uint64[n]: the GPUs of a pool's nodes, in no particular order; what a request is measured against."""
    return np.array([(1 << gpus) - 1 for _, gpus, number in nodes.sizes(tx, pool=pool) for _ in range(number)], np.uint64)
