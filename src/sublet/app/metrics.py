"""Prometheus metrics, `sublet_<noun>_<unit>`, in base units. One registry a control plane, so that tests do not share any.

What concerns money is a registry of its own: `/metrics` shows it only to a key that may see the books.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sublet.core.ids import PoolId
from sublet.core.units import MICRO, SECOND_US

_LOOP_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_DELAY_S = (0, 1, 3, 10, 30, 60, 120, 180, 300, 600, 1_200, 3_600)


class Metrics:
    """What the loops and doors count."""

    def __init__(self) -> None:
        self.operations = CollectorRegistry()
        self.money = CollectorRegistry()
        operations, money = self.operations, self.money
        self._loop = Histogram(
            "sublet_loop_duration_seconds", "One pass of a loop", ["loop"], buckets=_LOOP_S, registry=operations
        )
        self._loop_errors = Counter("sublet_loop_errors", "Passes of a loop that failed", ["loop"], registry=operations)
        self._last_round = Gauge("sublet_round_timestamp_seconds", "When the last round was applied", registry=operations)
        self._gpus = Gauge("sublet_gpus", "GPUs by state now", ["pool", "state"], registry=operations)
        self._price = Gauge("sublet_price_per_gpu_hour", "Clearing price in units of currency", ["pool"], registry=operations)
        self._floor = Gauge("sublet_floor_per_gpu_hour", "Published floor in units of currency", ["pool"], registry=operations)
        self._grants = Counter("sublet_lease_grants", "Leases granted", ["pool", "lease_class"], registry=operations)
        self._refusals = Counter("sublet_lease_refusals", "Lease requests refused", ["pool"], registry=operations)
        self._reclaims = Counter("sublet_lease_reclaims", "Leases reclaimed", ["pool", "lease_class"], registry=operations)
        self._lost = Counter(
            "sublet_lost_gpu_seconds", "GPU time since the last checkpoint, lost", ["pool"], registry=operations
        )
        self._delay = Histogram(
            "sublet_owner_delay_seconds",
            "What leasing made a job of the owner wait",
            ["pool"],
            buckets=_DELAY_S,
            registry=operations,
        )
        self._broken = Counter("sublet_broken_promises", "Owner jobs delayed beyond the promise", ["pool"], registry=operations)
        self._quarantined = Gauge("sublet_down_nodes", "Nodes that are not offered", registry=operations)
        self._webhooks = Counter("sublet_webhook_deliveries", "Webhooks by outcome", ["outcome"], registry=operations)
        self._requests = Histogram(
            "sublet_request_duration_seconds",
            "API requests",
            ["method", "route", "status"],
            buckets=_LOOP_S,
            registry=operations,
        )
        self._clock = Counter("sublet_clock_jumps", "Times that the wall clock was set back", registry=operations)
        self._leader = Gauge("sublet_leader", "1 where the loops run, 0 at a follower", registry=operations)
        self._revenue = Counter("sublet_revenue_units", "Charged to tenants, in units of currency", ["pool"], registry=money)
        self._credits = Counter("sublet_credits_units", "Refunded and credited, in units of currency", ["pool"], registry=money)
        self._unbilled = Gauge("sublet_unbilled_intervals", "Usage intervals that wait for their charge", registry=money)

    def loop_took(self, loop: str, seconds: float) -> None:
        """One pass of a loop took so long."""
        self._loop.labels(loop).observe(seconds)

    def loop_failed(self, loop: str) -> None:
        """One pass of a loop failed."""
        self._loop_errors.labels(loop).inc()

    def round_applied(self, at_us: int) -> None:
        """A round was decided and applied."""
        self._last_round.set(at_us / SECOND_US)

    def pool_is(self, pool: PoolId, gpus: Mapping[str, int]) -> None:
        """GPUs of a pool by state, now."""
        for state, count in gpus.items():
            self._gpus.labels(pool, state).set(count)

    def down_nodes(self, nodes: int) -> None:
        """Nodes that are not offered, now."""
        self._quarantined.set(nodes)

    def priced(self, pool: PoolId, price_micro: int, floor_micro: int) -> None:
        """A pool's clearing price and published floor (micro-units a GPU-hour)."""
        self._price.labels(pool).set(price_micro / MICRO)
        self._floor.labels(pool).set(floor_micro / MICRO)

    def granted(self, pool: PoolId, lease_class: str) -> None:
        """A lease was granted."""
        self._grants.labels(pool, lease_class).inc()

    def refused(self, pool: PoolId) -> None:
        """A request was refused."""
        self._refusals.labels(pool).inc()

    def reclaimed(self, pool: PoolId, lease_class: str, lost_gpu_us: int = 0) -> None:
        """A lease was reclaimed, with this much work lost."""
        self._reclaims.labels(pool, lease_class).inc()
        self._lost.labels(pool).inc(lost_gpu_us / SECOND_US)

    def owner_started(self, pool: PoolId, delay_us: int, promise_us: int) -> None:
        """A job of the owner started, this long after it could have."""
        self._delay.labels(pool).observe(delay_us / SECOND_US)
        if delay_us > promise_us:
            self._broken.labels(pool).inc()

    def charged(self, pool: PoolId, amount_micro: int) -> None:
        """A charge was booked."""
        self._revenue.labels(pool).inc(amount_micro / MICRO)

    def credited(self, pool: PoolId, amount_micro: int) -> None:
        """A refund or credit was booked."""
        self._credits.labels(pool).inc(amount_micro / MICRO)

    def unbilled(self, intervals: int) -> None:
        """Usage intervals without a charge, now."""
        self._unbilled.set(intervals)

    def webhook(self, outcome: str, count: int = 1) -> None:
        """Webhooks were `delivered`, will be `retried`, or were `abandoned`."""
        self._webhooks.labels(outcome).inc(count)

    def request_took(self, method: str, route: str, status: int, seconds: float) -> None:
        """An API request was answered."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def clock_jumped(self) -> None:
        """The wall clock was set back."""
        self._clock.inc()

    def leads(self, *, leads: bool) -> None:
        """Whether this control plane runs the loops. What a past leader knew of the pools is no longer shown."""
        self._leader.set(leads)
        if not leads:
            for gauge in (self._gpus, self._price, self._floor):
                gauge.clear()

    def text(self, *, with_money: bool) -> bytes:
        """The exposition format."""
        registries: Iterable[CollectorRegistry] = (self.operations, self.money) if with_money else (self.operations,)
        return b"".join(generate_latest(registry) for registry in registries)
