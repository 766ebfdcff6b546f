"""The hand-back promise: n GPUs of a pool within t of the owner asking, checked before anything is offered."""

from sublet.core.kernels.held import locked, unlocks_us
from sublet.core.lease import Lease
from sublet.core.standing import Standing
from sublet.core.terms import Pool, worst_handback_us


def promisable(standing: Standing, *, now_us: int) -> int:
    """GPUs that the owner is sure to have within the promised time, given the leases that hold GPUs."""
    pool = standing.pool
    within = pool.promise.within_us
    back_us = pool.longest_handback_us(0, 0)
    return standing.capacity - int(locked(standing.held.rows, now_us, within, back_us, standing.unbreakable))


def promisable_grows_us(standing: Standing, *, after_us: int) -> int:
    """When more GPUs can be promised by waiting alone, later than `after_us`; NEVER if that does not come."""
    pool = standing.pool
    back_us = pool.longest_handback_us(0, 0)
    return int(unlocks_us(standing.held.rows, after_us, pool.promise.within_us, back_us, standing.unbreakable))


def promised(pool: Pool, capacity: int) -> int:
    """GPUs of the pool that the owner is promised."""
    return capacity if pool.promise.gpus is None else min(pool.promise.gpus, capacity)


def broken_by(pool: Pool, lease: Lease, *, promisable_now: int, capacity: int) -> str | None:
    """Why granting this lease would break the promise, given the GPUs promisable before; None if it keeps it."""
    takes = worst_handback_us(pool, pool.terms[lease.lease_class], lease.grace_us)
    if takes is not None and takes <= pool.promise.within_us:
        return None
    if promisable_now - lease.gpus >= promised(pool, capacity):
        return None
    return promise_broken(pool, lease, capacity=capacity)


def promise_broken(pool: Pool, lease: Lease, *, capacity: int) -> str:
    """The sentence about a lease that could not be taken back in time."""
    takes = worst_handback_us(pool, pool.terms[lease.lease_class], lease.grace_us)
    how = "only by force" if takes is None else f"only within {takes / 1e6:g} s"
    within = pool.promise.within_us / 1e6
    return (
        f"the owner is promised {promised(pool, capacity)} GPUs within {within:g} s, and this lease could be taken back {how}"
    )
