"""Everything a round may look at, as one value: what is not in the view cannot move a decision."""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.fleet import Fleet
from sublet.core.forecast import WindowMax
from sublet.core.ids import PoolId, TenantId
from sublet.core.lease import Lease
from sublet.core.owner import OwnerJob
from sublet.core.terms import Pool


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

    def quota(self, pool: PoolId) -> Quota:
        """Its quota in a pool; without one it may borrow whatever is lendable."""
        return (self.quotas or {}).get(pool, Quota(0))


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as the round finds it."""

    pool: Pool
    price_micro: int  # the last clearing price
    price_at_us: int  # when it last moved
    reserve: int
    forecasts: Mapping[int, WindowMax]  # by horizon (µs): the terms it sells, and `lead_us`
    owner_freed_us: int = 0  # when the owner's own work last gave GPUs back, or nodes came up
    recalled: float = 0.0  # share of past guarded windows that were reclaimed, for the expected cost of reclaims

    @property
    def lead_us(self) -> int:
        """Detection + longest notice + stop + hand-over: the time the reserve has to bridge."""
        pool = self.pool
        graces = [pool.terms[c].grace_us for c in pool.classes if pool.terms[c].grace_us <= pool.promise.within_us]
        return pool.longest_handback_us(max(graces, default=0), 0)


@dataclass(frozen=True, slots=True)
class View:
    """One state of the world, read in one transaction. Jobs and leases are the live ones, oldest first."""

    fleet: Fleet
    pools: tuple[PoolView, ...]
    jobs: tuple[OwnerJob, ...]
    leases: tuple[Lease, ...]
    tenants: Mapping[TenantId, TenantView]
