"""Values for tests of the core: small, explicit, and as the control plane would make them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from sublet.core.fleet import Fleet, Placement
from sublet.core.forecast import WindowMax
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import HELD, Access, Lease, LeaseClass, State
from sublet.core.owner import JOB_HELD, JobState, OwnerJob
from sublet.core.terms import TERMS, CostSheet, Pool, Promise
from sublet.core.units import SECOND_US
from sublet.core.view import PoolView, TenantView, View

S = SECOND_US
T0 = 1_700_000_000 * S
POOL = PoolId("h100")
BID = 3_000_000


def node(number: int) -> NodeId:
    return NodeId(f"n{number}")


def place(*masks: tuple[int, int]) -> Placement:
    """A placement from (node number, mask) pairs."""
    return tuple((node(number), mask) for number, mask in masks)


def lease_of(name: str = "l1", **fields: object) -> Lease:
    """A request for one GPU on spot terms."""
    made = Lease(
        id=LeaseId(name),
        tenant=TenantId("acme"),
        pool=POOL,
        name=name,
        lease_class=LeaseClass.SPOT,
        access=Access.BATCH,
        gpus=1,
        nodes=1,
        bid_micro=BID,
        grace_us=120 * S,
        requested_us=T0,
        since_us=T0,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def running(name: str, *masks: tuple[int, int], **fields: object) -> Lease:
    """An active lease on these GPUs, granted and started at T0, its exempt window over."""
    placement = place(*masks)
    data = {
        "state": State.ACTIVE,
        "version": 5,
        "attempt": 1,
        "placement": placement,
        "gpus": sum(mask.bit_count() for _, mask in placement),
        "nodes": len(placement),
        "price_micro": 1_000_000,
        "granted_us": T0,
        "started_us": T0,
    }
    return lease_of(name, **data | fields)


def job_of(name: str = "j1", gpus: int = 1, nodes: int = 1, **fields: object) -> OwnerJob:
    """A waiting job of the owner, submitted at T0."""
    made = OwnerJob(id=JobId(name), pool=POOL, name=name, gpus=gpus, nodes=nodes, submitted_us=T0, since_us=T0)
    return replace(made, **fields)  # type: ignore[arg-type]


def running_job(name: str, *masks: tuple[int, int], **fields: object) -> OwnerJob:
    """A job of the owner that runs on these GPUs."""
    placement = place(*masks)
    gpus = sum(mask.bit_count() for _, mask in placement)
    made = job_of(name, gpus, len(placement), state=JobState.RUNNING, version=3, placement=placement, entitled_us=T0)
    return replace(made, **{"started_us": T0, **fields})  # type: ignore[arg-type]


def fleet_of(
    sizes: Iterable[int], leases: Iterable[Lease] = (), jobs: Iterable[OwnerJob] = (), down: Iterable[int] = ()
) -> Fleet:
    """One pool of nodes n0, n1, ... with so many GPUs each, held by whoever holds them; whole nodes may be down."""
    slots = [(1 << size) - 1 for size in sizes]
    rows = {node(number): number for number in range(len(slots))}
    owner, leased = [0] * len(slots), [0] * len(slots)
    for masks, placements in (
        (owner, [job.placement for job in jobs if job.state in JOB_HELD]),
        (leased, [lease.placement for lease in leases if lease.state in HELD]),
    ):
        for placement in placements:
            for where, mask in placement:
                masks[rows[where]] |= mask
    unfit = set(down)
    return Fleet(
        nodes=tuple(rows),
        pools=(POOL,),
        pool=np.zeros(len(slots), np.int32),
        slots=np.array(slots, np.uint64),
        owner=np.array(owner, np.uint64),
        leased=np.array(leased, np.uint64),
        down=np.array(
            [s & ~(o | t) if i in unfit else 0 for i, (s, o, t) in enumerate(zip(slots, owner, leased, strict=True))], np.uint64
        ),
        unfit=np.array([number in unfit for number in range(len(slots))], np.bool_),
    )


FREE_OF_COST = CostSheet(busy_w=0, idle_w=0, wear_micro=0, operations_micro=0)


def pool_of(**fields: object) -> Pool:
    """A pool on the default terms."""
    return replace(Pool(POOL, "H100"), **fields)  # type: ignore[arg-type]


def certain(gpus: int) -> WindowMax:
    """A forecast that is sure of the peak."""
    return WindowMax(np.array([gpus], np.int64))


def view_of(
    sizes: Iterable[int],
    leases: Iterable[Lease] = (),
    jobs: Iterable[OwnerJob] = (),
    *,
    pool: Pool | None = None,
    down: Iterable[int] = (),
    tenants: Iterable[TenantView] = (),
    peaks: Mapping[int, WindowMax] | None = None,
    **fields: object,
) -> View:
    """A view of one pool; every tenant of a lease is known, with no limits unless given."""
    held, work = tuple(leases), tuple(jobs)
    known = {lease.tenant: TenantView(lease.tenant) for lease in held} | {tenant.id: tenant for tenant in tenants}
    seen = PoolView(pool or pool_of(), price_micro=1_000_000, price_at_us=T0, reserve=0, forecasts=peaks or {})
    return View(fleet_of(sizes, held, work, down), (replace(seen, **fields),), work, held, known)  # type: ignore[arg-type]


def short_terms(**fields: object) -> Pool:
    """A pool whose times are seconds instead of minutes, so that a history of a few hundred rounds sees everything.

    Rounds are to come every four seconds: three of them pass unseen at worst (submission, deadline, hand-over confirmed), and
    `detection_us` says so. The promise is exactly the sum of the bounds.
    """
    terms = dict(TERMS) | {
        LeaseClass.SPOT: replace(TERMS[LeaseClass.SPOT], grace_us=20 * S, exempt_us=24 * S),
        LeaseClass.GUARDED: replace(TERMS[LeaseClass.GUARDED], grace_us=28 * S, exempt_us=40 * S, terms_us=(300 * S,)),
        LeaseClass.BLOCK: replace(TERMS[LeaseClass.BLOCK], grace_us=60 * S),
    }
    pool = pool_of(
        terms=terms,
        detection_us=12 * S,
        stop_us=6 * S,
        handover_us=10 * S,
        start_us=6 * S,
        price_period_us=16 * S,
        backoff_us=20 * S,
        backoff_max_us=100 * S,
        restart_us=10 * S,
        hold_us=600 * S,
        promise=Promise(within_us=(12 + 40 + 6 + 10 + 6) * S),
    )
    return replace(pool, **fields)  # type: ignore[arg-type]
