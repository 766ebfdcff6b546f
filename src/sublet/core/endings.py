"""Endings that time brings: deadlines, terms, funds."""

from sublet.core.draft import Draft, Ground
from sublet.core.lease import Cause, Event, Lease, State
from sublet.core.plan import Alarm, Notice
from sublet.core.terms import Pool

STUCK = 10
"""A start or stop that takes so many times its bound is given up or reported."""


def end_by_time(ground: Ground, draft: Draft) -> None:
    """Stop what reached its deadline, and announce the ends of terms and of funds."""
    pool = ground.view.pool
    now = draft.now_us
    for lease in ground.held_leases:
        if lease.id in ground.noticed:
            continue
        if lease.state is State.NOTICED and lease.deadline_us is not None and now >= lease.deadline_us:
            draft.move(lease, Event.STOP, f"its notice ran out ({lease.cause})", lease.cause)
        elif lease.state is State.ACTIVE:
            _announce(ground, lease, draft)
        elif lease.state is State.STARTING and now - lease.since_us > STUCK * pool.start_us:
            draft.move(lease, Event.STOP, "the engine did not start it in time", Cause.FAILED)
        elif lease.state in {State.STOPPING, State.HANDOVER} and _overdue(pool, lease, now):
            reason = f"lease {lease.id} has been {lease.state} for {(now - lease.since_us) / 1e6:g} s; look at its node"
            draft.alarms.append(Alarm("handover.overdue", pool.id, reason))


def _announce(ground: Ground, lease: Lease, draft: Draft) -> None:
    """A notice that ends with the term or with the funds, whichever is earlier."""
    ends = [(lease.ends_us, Cause.EXPIRED), (lease.funded_until_us, Cause.BUDGET)]
    dated = [(at, cause) for at, cause in ends if at is not None]
    if not dated:
        return
    at, cause = min(dated, key=lambda end: end[0])
    lead = min(lease.grace_us, ground.view.pool.hold_us // 4)
    if draft.now_us >= at - lead:
        why = "its term ends" if cause is Cause.EXPIRED else "the tenant's spend limit is used up"
        deadline = max(at, draft.now_us)
        draft.notices.append(Notice(lease.id, draft.version(lease), cause, deadline, why))
        ground.noticed.add(lease.id)


def _overdue(pool: Pool, lease: Lease, now_us: int) -> bool:
    bound = pool.stop_us if lease.state is State.STOPPING else pool.handover_us
    return now_us - lease.since_us > STUCK * bound
