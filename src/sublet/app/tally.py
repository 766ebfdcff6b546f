"""From steps to metrics: what the loops did, counted."""

from collections.abc import Iterable
from itertools import pairwise

from sublet.app.billing import Billed
from sublet.app.metrics import Metrics
from sublet.app.observe import Steps
from sublet.core.fleet import count
from sublet.core.ids import PoolId
from sublet.core.lease import Cause, Lease, State
from sublet.core.ledger import Settlement
from sublet.core.owner import OwnerJob
from sublet.core.plan import Plan
from sublet.core.rating import closed_attempt
from sublet.core.supply import published_floor
from sublet.core.terms import Pool
from sublet.core.view import AnyView


class Tally:
    """Counts for Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        """`metrics` is the control plane's."""
        self._metrics = metrics
        self._pools: dict[PoolId, Pool] = {}
        self._down: dict[PoolId, int] = {}  # nodes that are not offered

    def took(self, loop: str, seconds: float) -> None:
        """One pass of a loop took so long."""
        self._metrics.loop_took(loop, seconds)

    def failed(self, loop: str) -> None:
        """One pass of a loop failed."""
        self._metrics.loop_failed(loop)

    def decided(self, view: AnyView, plan: Plan) -> None:
        """A round was decided over the pools of `view`."""
        self._metrics.round_applied(plan.at_us)
        for pool in view.pools:
            name, standing = pool.pool.id, view.standing(pool.pool.id)
            self._pools[name] = pool.pool
            self._metrics.priced(name, pool.price_micro, published_floor(pool).total_micro)
            free = count(standing.free)
            kept = min(free, pool.reserve)
            states = {
                "owner": count(standing.owner),
                "leased": count(standing.leased),
                "down": count(standing.slots & ~(standing.fit | standing.owner | standing.leased)),
                "reserve": kept,
                "idle": free - kept,
                "wanted": standing.demand,
            }
            self._metrics.pool_is(name, states)
            self._down[name] = int((standing.fit == 0).sum())
        self._metrics.down_nodes(sum(self._down.values()))

    def observed(self, steps: Steps) -> None:
        """Leases and jobs moved."""
        for chain in steps.leases:
            for was, lease in pairwise(chain):
                self._lease(was, lease)
        for jobs in steps.jobs:
            for before, job in pairwise(jobs):
                self._job(before, job)

    def billed(self, done: Billed) -> None:
        """A billing pass was made."""
        self._metrics.unbilled(len(done.uncovered))
        for pool, micro in done.charged_micro.items():
            self._metrics.charged(pool, micro)

    def settled(self, ended: Iterable[Settlement]) -> None:
        """Attempts were settled; what the owner owed for them was booked."""
        for one in ended:
            self._metrics.credited(one.attempt.pool, one.refund_micro + one.credit_micro)

    def clock_jumped(self) -> None:
        """The wall clock was set back."""
        self._metrics.clock_jumped()

    def _lease(self, was: Lease, lease: Lease) -> None:
        if lease.state is State.RESERVED:
            self._metrics.granted(lease.pool, lease.lease_class)
        elif lease.state is State.HANDOVER and was.state is not State.HANDOVER and lease.cause is Cause.RECLAIMED:
            self._metrics.reclaimed(lease.pool, lease.lease_class, closed_attempt(lease).lost_us * lease.gpus)
        elif lease.state is State.ENDED and lease.cause is Cause.REFUSED:
            self._metrics.refused(lease.pool)

    def _job(self, before: OwnerJob, job: OwnerJob) -> None:
        if before.started_us is None and job.started_us is not None and job.entitled_us is not None:
            pool = self._pools.get(job.pool)
            if pool is not None:
                self._metrics.owner_started(job.pool, max(0, job.started_us - job.entitled_us), pool.promise.within_us)
