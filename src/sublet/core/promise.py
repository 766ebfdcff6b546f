"""The hand-back promise: n GPUs of a pool within t of the owner asking, checked before anything is offered."""

from collections.abc import Iterable

from sublet.core.lease import Lease
from sublet.core.terms import Breaking, ClassTerms, Pool


def handback_us(pool: Pool, lease: Lease, *, now_us: int) -> int | None:
    """From the owner's submission now to this lease's GPUs in the owner's hands, at the latest; None: not without force."""
    terms = pool.terms[lease.lease_class]
    if terms.breaking in {Breaking.FORCE, Breaking.NEVER}:
        return None
    if lease.noticed_us is not None and lease.deadline_us is not None:
        return pool.longest_handback_us(max(0, lease.deadline_us - now_us), 0)
    return pool.longest_handback_us(lease.grace_us, max(0, lease.exempt_until_us - now_us))


def promisable(pool: Pool, leases: Iterable[Lease], *, capacity: int, now_us: int) -> int:
    """GPUs that the owner is sure to have within the promised time, given the leases that hold GPUs."""
    locked = 0
    for lease in leases:
        takes = handback_us(pool, lease, now_us=now_us)
        if takes is None or takes > pool.promise.within_us:
            locked += lease.gpus
    return capacity - locked


def broken_by(pool: Pool, lease: Lease, *, promisable_now: int, capacity: int) -> str | None:
    """Why granting this lease would break the promise, given the GPUs promisable before; None if it keeps it."""
    takes = worst_handback_us(pool, pool.terms[lease.lease_class], lease.grace_us)
    if takes is not None and takes <= pool.promise.within_us:
        return None
    promised = capacity if pool.promise.gpus is None else min(pool.promise.gpus, capacity)
    if promisable_now - lease.gpus >= promised:
        return None
    how = "only by force" if takes is None else f"only within {takes / 1e6:g} s"
    within = pool.promise.within_us / 1e6
    return f"the owner is promised {promised} GPUs within {within:g} s, and this lease could be taken back {how}"


def worst_handback_us(pool: Pool, terms: ClassTerms, grace_us: int) -> int | None:
    """The longest hand-back of a lease on these terms, right after its grant; None: not without force."""
    if terms.breaking in {Breaking.FORCE, Breaking.NEVER}:
        return None
    return pool.longest_handback_us(grace_us, terms.exempt_us)
