"""A made-up fleet as it stands in a database and on the fake engine: everything that runs has just started."""

from collections.abc import Callable, Iterable, Iterator

from sublet.app import keys, tenants
from sublet.bench.fleet import NODE_GPUS, NOW_US
from sublet.core.ids import TenantId
from sublet.core.lease import HELD, Lease
from sublet.core.ledger import Hold, pool_accounts
from sublet.core.occupancy import Span
from sublet.core.owner import JOB_HELD, OwnerJob
from sublet.core.rating import hold_micro
from sublet.core.terms import hold_window_us
from sublet.core.values import changed
from sublet.core.view import KeptView
from sublet.core.workload import Workload
from sublet.engines.fake import FakeEngine
from sublet.engines.protocol import NodeSeen, StartOrder
from sublet.store import jobs, leases, ledger, nodes, pools, spans, workloads
from sublet.store.bulk import portions
from sublet.store.database import Database, Tx
from sublet.store.nodes import NodeRow

_WORK = Workload(run="true")
_AT_ONCE = 5_000


def engine_of(view: KeptView, clock: Callable[[], int]) -> FakeEngine:
    """An engine with the fleet's nodes on which everything that holds GPUs runs."""
    models = {pool.pool.id: pool.pool.gpu_model for pool in view.pools}
    seen = [
        NodeSeen(node, NODE_GPUS, models[pool.pool.id]) for pool in view.pools for node in view.standing(pool.pool.id).nodes
    ]
    engine = FakeEngine(clock=clock, nodes=seen)
    running = [job for job in _jobs(view) if job.state in JOB_HELD]
    engine.start([StartOrder(job.run, job.id, job.placement, _WORK, is_owner=True) for job in running])
    engine.start([StartOrder(lease.run, lease.id, lease.placement, _WORK) for lease in _leases(view) if lease.state in HELD])
    return engine


def settle(database: Database, view: KeptView) -> str:
    """Write the fleet with its jobs, leases, spans and holds; the secret of a key with which its first tenant asks for more."""
    with database.write() as tx:
        _pools_and_tenants(tx, view)
        secret = keys.add(tx, scope=keys.Scope.TENANT, name="bench", tenant=TenantId("t0"), now_us=NOW_US).secret
    for work in portions(_jobs(view), _AT_ONCE):
        with database.write() as tx:
            jobs.insert_all(tx, work)
            workloads.put_all(tx, [(job.id, _WORK) for job in work])
            spans.open_all(tx, [span for job in work for span in _spans(job, "owner")])
    for live in portions((_funded(view, lease) for lease in _leases(view)), _AT_ONCE):
        with database.write() as tx:
            leases.insert_all(tx, live)
            workloads.put_all(tx, [(lease.id, _WORK) for lease in live])
            held = [lease for lease in live if lease.state in HELD]
            spans.open_all(tx, [span for lease in held for span in _spans(lease, "leased")])
            ledger.hold_all(tx, [_hold(view, lease) for lease in held], now_us=NOW_US)
    return secret


def _pools_and_tenants(tx: Tx, view: KeptView) -> None:
    for pool in view.pools:
        pools.put(tx, pool.pool, now_us=NOW_US)
        ledger.open_accounts(tx, pool_accounts(pool.pool.id, pool.pool.currency))
        rows = (NodeRow(node, pool.pool.id, NODE_GPUS, pool.pool.gpu_model) for node in view.standing(pool.pool.id).nodes)
        nodes.insert_all(tx, rows)
    for name in view.tenants:
        tenants.add(tx, tenant=name, name=name, currency="USD", limit_micro=None, now_us=NOW_US)


def _jobs(view: KeptView) -> Iterator[OwnerJob]:
    return (job for pool in view.pools for job in view.standing(pool.pool.id).jobs.values())


def _leases(view: KeptView) -> Iterator[Lease]:
    return (lease for pool in view.pools for lease in view.standing(pool.pool.id).leases.values())


def _funded(view: KeptView, lease: Lease) -> Lease:
    """What runs has just begun, and is paid ahead."""
    if lease.state not in HELD:
        return lease
    pool = view.standing(lease.pool).pool
    return changed(
        lease,
        since_us=NOW_US,
        granted_us=NOW_US,
        started_us=NOW_US,
        checkpoint_us=None,
        exempt_until_us=NOW_US + pool.terms[lease.lease_class].exempt_us,
        ends_us=None if lease.term_us is None else NOW_US + lease.term_us,
        funded_until_us=NOW_US + hold_window_us(pool, lease.term_us),
    )


def _hold(view: KeptView, lease: Lease) -> Hold:
    window = hold_window_us(view.standing(lease.pool).pool, lease.term_us)
    return Hold(lease.id, lease.attempt, lease.tenant, lease.pool, hold_micro(lease.gpus, window, lease.price_micro or 0))


def _spans(holder: Lease | OwnerJob, state: str) -> Iterable[Span]:
    return (Span(holder.pool, node, mask, state, holder.id, 1, NOW_US) for node, mask in holder.placement)
