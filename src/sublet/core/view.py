"""Everything a round may look at, as one value: what is not in the view cannot move a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sublet.core.fleet import Fleet
from sublet.core.forecast import WindowMax
from sublet.core.ids import PoolId, TenantId
from sublet.core.lease import Lease
from sublet.core.owner import OwnerJob
from sublet.core.site import Site
from sublet.core.standing import Standing, standing_of
from sublet.core.terms import Pool
from sublet.core.topology import nowhere_known, topology_of


@dataclass(frozen=True, slots=True)
class Quota:
    """How many GPUs of a pool a tenant may hold: its nominal share, and what it may borrow beyond it (None: no bound)."""

    nominal: int
    borrowing_limit: int | None = None

    @property
    def limit(self) -> int | None:
        """GPUs at most; None for no bound."""
        return None if self.borrowing_limit is None else self.nominal + self.borrowing_limit


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant with its limits. `headroom_micro` is what it may still spend, holds taken off; None: no spend limit."""

    id: TenantId
    headroom_micro: int | None = None
    quotas: Mapping[PoolId, Quota] | None = None
    suspended: bool = False
    evictions: Mapping[PoolId, int] | None = None  # reclaims of its leases within the pool's window, where it bounds them

    def quota(self, pool: PoolId) -> Quota:
        """Its quota in a pool; without one it may borrow whatever is lendable."""
        return (self.quotas or {}).get(pool, Quota(0))


@dataclass(frozen=True)
class PoolView:
    """A pool as the round finds it."""

    pool: Pool
    price_micro: int  # the last clearing price
    price_at_us: int  # when it last moved
    reserve: int
    forecasts: Mapping[int, WindowMax]  # by horizon (µs): the terms it sells, and `lead_us`
    owner_freed_us: int = 0  # when the owner's own work last gave GPUs back, or nodes came up
    recalled: float = 0.0  # share of past guarded windows that were reclaimed, for the expected cost of reclaims
    shifts: Mapping[int, float] = field(default_factory=dict)  # by horizon (µs): by how much calibration moves the level
    feedback: float = 1.0  # times what `lending_risk` leaves to be lent, where reclaims are to move it
    site: Site | None = None  # what its site bears, where the owner bounds that
    ramp_limit: int | None = None  # GPUs lent at once at most so that the site can give them back in time; set in the round
    closed: bool = False  # the market is not held in this round: the owner is served, nobody is admitted or granted

    @property
    def lead_us(self) -> int:
        """Detection + longest notice + stop + hand-over: the time the reserve has to bridge."""
        pool = self.pool
        graces = [pool.terms[c].grace_us for c in pool.classes if pool.terms[c].grace_us <= pool.promise.within_us]
        return pool.longest_handback_us(max(graces, default=0), 0)


class AnyView(Protocol):
    """What a round is given: a state read at once (`View`), or one kept current by events (`KeptView`)."""

    @property
    def pools(self) -> tuple[PoolView, ...]:
        """The pools that the round is about."""

    @property
    def tenants(self) -> Mapping[TenantId, TenantView]:
        """Every tenant that has a lease in them."""

    @property
    def beside(self) -> tuple[Standing, ...]:
        """Pools that the round is not about, but whose leases count at sites that bear only so much."""

    def standing(self, pool: PoolId) -> Standing:
        """Who holds and who waits in a pool."""


@dataclass(frozen=True, slots=True)
class View:
    """One state of the world, read in one transaction. Jobs and leases are the live ones, oldest first."""

    fleet: Fleet
    pools: tuple[PoolView, ...]
    jobs: tuple[OwnerJob, ...]
    leases: tuple[Lease, ...]
    tenants: Mapping[TenantId, TenantView]
    beside: tuple[Standing, ...] = ()

    def standing(self, pool: PoolId) -> Standing:
        """The pool's standing, made from its live jobs and leases."""
        settings = next(view.pool for view in self.pools if view.pool.id == pool)
        rows = self.fleet.rows(pool)
        slots = self.fleet.slots[rows]
        fit = np.where(self.fleet.unfit[rows], np.uint64(0), slots & ~self.fleet.down[rows])
        nodes = tuple(self.fleet.nodes[row] for row in rows)
        jobs = (job for job in self.jobs if job.pool == pool)
        leases = (lease for lease in self.leases if lease.pool == pool)
        locations = self.fleet.locations
        topology = topology_of([locations[row] for row in rows]) if locations else nowhere_known(len(rows))
        return standing_of(settings, nodes, (slots, fit, topology), jobs, leases)


class KeptView:
    """The world of some pools, kept current by events; what a round changes comes back as events, too."""

    def __init__(
        self,
        pools: tuple[PoolView, ...],
        standings: tuple[Standing, ...],
        tenants: Mapping[TenantId, TenantView],
        beside: tuple[Standing, ...] = (),
    ) -> None:
        """`standings` of these pools, in the same order. Whoever keeps it puts what changed into them."""
        self.pools = pools
        self.tenants = tenants
        self.beside = beside
        self._standings = {view.pool.id: standing for view, standing in zip(pools, standings, strict=True)}

    def standing(self, pool: PoolId) -> Standing:
        """The pool's standing."""
        return self._standings[pool]
