"""A fleet that is made up: pools of like nodes, owner's jobs on most of them, leases on what is left, and requests that wait.

The owner holds `OWNER_SHARE` of the GPUs. Everything follows from the seed.
"""

from dataclasses import dataclass, replace

import numpy as np

from sublet.core.fleet import Placement, gpus_of
from sublet.core.forecast import WindowMax
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import Access, Lease, LeaseClass, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.topology import Topology, topology_of
from sublet.core.units import HOUR_US, SECOND_US
from sublet.core.view import KeptView, PoolView, TenantView

NODE_GPUS = 8
NODES_A_POOL = 750
RACK_NODES, POD_RACKS = 32, 8
OWNER_SHARE = 0.7
NOW_US = 420_768 * HOUR_US
_FULL = (1 << NODE_GPUS) - 1
_SIZES = (1, 2, 4, 8)
_GANG = (4, 4)
"""Nodes and GPUs on each of them of a lease that is a gang."""
_TENANTS = 40


@dataclass(frozen=True, slots=True)
class Size:
    """How large the fleet is: GPUs, leases that hold some of them, and requests that wait."""

    gpus: int = 600_000
    leases: int = 60_000
    requests: int = 100_000

    def of(self, gpus: int) -> "Size":
        """The same fleet with so many GPUs."""
        share = gpus / self.gpus
        return Size(gpus, round(self.leases * share), round(self.requests * share))


def fleet(size: Size, seed: int = 0, *, shares: tuple[float, ...] = (0.5, 0.3, 0.2, 0.0), gangs: float = 0.0) -> KeptView:
    """The fleet's pools with their standings.

    `shares`: how many leases have 1, 2, 4 and 8 GPUs. `gangs`: which share of all leases have 16 on four nodes instead.
    """
    rng = np.random.default_rng(seed)
    pools = max(1, round(size.gpus / (NODES_A_POOL * NODE_GPUS)))
    nodes = size.gpus // NODE_GPUS // pools
    tenants = {TenantId(f"t{i}"): TenantView(TenantId(f"t{i}")) for i in range(_TENANTS)}
    leases = [rng.choice(_SIZES, size.leases // pools, p=shares).tolist() for _ in range(pools)]
    if gangs:
        leases = [[0 if one else gpus for one, gpus in zip(rng.random(len(x)) < gangs, x, strict=True)] for x in leases]
    made = [_pool(PoolId(f"pool-{i:03d}"), nodes, leases[i], size.requests // pools, rng) for i in range(pools)]
    return KeptView(tuple(view for view, _ in made), tuple(standing for _, standing in made), tenants)


def full_house(size: Size, seed: int = 0, *, gangs: float = 0.0) -> KeptView:
    """A fleet in which leases hold every GPU that the owner does not, and nobody waits. `gangs`: as `fleet` has it."""
    return fleet(replace(size, leases=size.gpus, requests=0), seed, shares=(0.35, 0.3, 0.2, 0.15), gangs=gangs)


def empty_pool(pool: Pool, nodes: int) -> Standing:
    """So many nodes that nobody holds, in racks of `RACK_NODES` and pods of `POD_RACKS` racks."""
    names = tuple(NodeId(f"{pool.id}-{i:05d}") for i in range(nodes))
    return Standing(pool, names, np.full(nodes, _FULL, np.uint64), _racked(nodes))


def _racked(nodes: int) -> Topology:
    racks = [node // RACK_NODES for node in range(nodes)]
    return topology_of([(f"pod-{rack // POD_RACKS:04d}", f"rack-{rack % POD_RACKS}") for rack in racks])


def _pool(name: PoolId, nodes: int, leases: list[int], requests: int, rng: np.random.Generator) -> tuple[PoolView, Standing]:
    pool = Pool(name, "H100")
    standing = empty_pool(pool, nodes)
    owned = round(nodes * OWNER_SHARE)
    for i in range(owned):
        standing.put_job(_job(pool, i, standing.nodes[i]))
    left = nodes - owned
    for i, parts in enumerate(_spread(left, leases)):
        placement = tuple((standing.nodes[owned + row], mask) for row, mask in parts)
        standing.put_lease(_lease(pool, i, rng, placement))
    for i in range(requests):
        standing.put_lease(_request(pool, len(leases) + i, rng))
    ahead = WindowMax(owned * NODE_GPUS + np.sort(rng.integers(0, nodes // 4, 200)).astype(np.int64))
    view = PoolView(pool, pool.price_micro, 0, 0, {})
    terms = {term for terms in pool.terms.values() for term in terms.terms_us} | {pool.hold_us, view.lead_us}
    return PoolView(pool, pool.price_micro, NOW_US, 0, dict.fromkeys(terms, ahead)), standing


def _spread(nodes: int, leases: list[int]) -> list[list[tuple[int, int]]]:
    """The (row, mask) of leases of so many GPUs on these nodes, none of them overlapping; where a node ends, one has fewer.

    One of 0 GPUs is a gang, on the next nodes with room for it, while there are so many.
    """
    used, found, row = [0] * nodes, [], 0
    for gpus in leases:
        while row < nodes and used[row] == NODE_GPUS:
            row += 1
        if row == nodes:
            break
        rows, each = [row], min(gpus, NODE_GPUS - used[row])
        if not gpus:
            near = [i for i in range(row, min(nodes, row + 3 * _GANG[0])) if NODE_GPUS - used[i] >= _GANG[1]][: _GANG[0]]
            rows, each = (near, _GANG[1]) if len(near) == _GANG[0] else (rows, 1)
        found.append([(i, ((1 << each) - 1) << used[i]) for i in rows])
        for i in rows:
            used[i] += each
    return found


def _job(pool: Pool, number: int, node: NodeId) -> OwnerJob:
    return OwnerJob(
        id=JobId(f"{pool.id}-j{number}"),
        pool=pool.id,
        name="",
        gpus=NODE_GPUS,
        nodes=1,
        submitted_us=NOW_US - HOUR_US,
        since_us=NOW_US - HOUR_US,
        state=JobState.RUNNING,
        placement=((node, _FULL),),
        entitled_us=NOW_US - HOUR_US,
        started_us=NOW_US - HOUR_US,
    )


def _lease(pool: Pool, number: int, rng: np.random.Generator, placement: Placement) -> Lease:
    granted = NOW_US - int(rng.integers(600, 36_000)) * SECOND_US
    guarded = number % 10 == 0
    terms = pool.terms[LeaseClass.GUARDED if guarded else LeaseClass.SPOT]
    return Lease(
        id=LeaseId(f"{pool.id}-l{number}"),
        tenant=TenantId(f"t{number % _TENANTS}"),
        pool=pool.id,
        name="",
        lease_class=LeaseClass.GUARDED if guarded else LeaseClass.SPOT,
        access=Access.BATCH,
        gpus=gpus_of(placement),
        nodes=len(placement),
        bid_micro=2_000_000,
        grace_us=terms.grace_us,
        requested_us=granted,
        since_us=granted,
        state=State.ACTIVE,
        attempt=1,
        term_us=24 * HOUR_US if guarded else None,
        price_micro=pool.price_micro,
        placement=placement,
        granted_us=granted,
        exempt_until_us=granted + terms.exempt_us,
        ends_us=granted + 24 * HOUR_US if guarded else None,
        started_us=granted,
        checkpoint_us=granted + int(rng.integers(0, 600)) * SECOND_US,
    )


def _request(pool: Pool, number: int, rng: np.random.Generator) -> Lease:
    gpus = int(rng.choice(_SIZES))
    return Lease(
        id=LeaseId(f"{pool.id}-l{number}"),
        tenant=TenantId(f"t{number % _TENANTS}"),
        pool=pool.id,
        name="",
        lease_class=LeaseClass.SPOT,
        access=Access.BATCH,
        gpus=gpus,
        nodes=1,
        bid_micro=int(rng.integers(500_000, 3_000_000)),
        grace_us=pool.terms[LeaseClass.SPOT].grace_us,
        requested_us=NOW_US,
        since_us=NOW_US,
        state=State.QUEUED,
    )
