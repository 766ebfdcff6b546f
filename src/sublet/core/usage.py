"""What is measured of a lease: intervals of GPU time, each with one price, each counted once.

A finished attempt is kept as an `Attempt`; its intervals are `Usage`, unique by (lease, seq).
"""

from dataclasses import dataclass
from enum import StrEnum

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Cause, LeaseClass


class UsageKind(StrEnum):
    """Whether the tenant pays for it."""

    BILLED = "billed"
    GRACE = "grace"  # after the notice of a reclaim: free
    UNFUNDED = "unfunded"  # it ran on after its holds were used up: free, at the owner's expense


@dataclass(frozen=True, slots=True)
class Usage:
    """GPU time of one attempt from `from_us` to `to_us` (µs) at one price (micro-units a GPU-hour)."""

    lease: LeaseId
    seq: int
    tenant: TenantId
    pool: PoolId
    attempt: int
    from_us: int
    to_us: int
    gpus: int
    price_micro: int
    kind: UsageKind

    @property
    def gpu_us(self) -> int:
        """GPU-microseconds."""
        return self.gpus * (self.to_us - self.from_us)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt of a lease. Instants in µs."""

    lease: LeaseId
    attempt: int
    tenant: TenantId
    pool: PoolId
    lease_class: LeaseClass
    gpus: int
    price_micro: int
    term_us: int | None
    granted_us: int
    started_us: int | None
    noticed_us: int | None
    deadline_us: int | None
    stopped_us: int
    checkpoint_us: int | None
    cause: Cause
    exit_code: int | None
    settled: bool = False

    @property
    def lost_us(self) -> int:
        """Wall time whose work is gone: from the last checkpoint (or the start) to the end, if a reclaim cut it off."""
        if self.started_us is None or self.cause is not Cause.RECLAIMED or self.exit_code == 0:
            return 0
        return max(0, self.stopped_us - max(self.started_us, self.checkpoint_us or 0))
