"""Endings that time brings: deadlines, terms, funds."""

from sublet.core.draft import Draft, Ground
from sublet.core.fleet import overlaps
from sublet.core.ids import LeaseId
from sublet.core.kernels.held import due
from sublet.core.lease import Cause, Event, Lease, State
from sublet.core.plan import Alarm, Notice, Undated
from sublet.core.standing import Standing
from sublet.core.terms import Pool

STUCK = 10
"""A start or stop that takes so many times its bound is given up or reported."""


def end_by_time(ground: Ground, draft: Draft) -> None:
    """Stop what reached its deadline, and announce the ends of terms and of funds."""
    standing, now = ground.standing, draft.now_us
    rows, _ = due(standing.held.rows, now, bounds(standing.pool))
    for row in rows.tolist():
        if ground.noticed[row]:
            continue
        lease = standing.leases[LeaseId(standing.held.keys[row])]
        if lease.state is State.NOTICED:
            draft.move(lease, Event.STOP, f"its notice ran out ({lease.cause})", lease.cause)
        elif lease.notice_at_us is not None and lease.notice_at_us <= now:
            _tell(ground, lease, draft)
        elif lease.state is State.ACTIVE:
            _announce(lease, draft)
        elif lease.state is State.STARTING:
            draft.move(lease, Event.STOP, "the engine did not start it in time", Cause.FAILED)
        else:
            reason = f"lease {lease.id} has been {lease.state} for {(now - lease.since_us) / 1e6:g} s; look at its node"
            draft.alarms.append(Alarm("handover.overdue", standing.pool.id, reason))


def is_due(standing: Standing, *, now_us: int) -> bool:
    """Whether time alone asks for a decision about a lease now."""
    return len(due(standing.held.rows, now_us, bounds(standing.pool))[0]) > 0


def next_end_us(standing: Standing, *, after_us: int) -> int:
    """When time alone next asks for a decision about a lease, later than `after_us`; NEVER if it does not."""
    return int(due(standing.held.rows, after_us, bounds(standing.pool))[1])


def bounds(pool: Pool) -> tuple[int, int, int, int]:
    """What `kernels.held.due` takes: the longest lead of an announced end, and how long a start, stop or hand-over may take."""
    return pool.hold_us // 4, STUCK * pool.start_us, STUCK * pool.stop_us, STUCK * pool.handover_us


def _tell(ground: Ground, lease: Lease, draft: Draft) -> None:
    """The notice of a dated lease; if nobody waits for its GPUs any more, it goes on."""
    standing = ground.standing
    kept = any(int(standing.kept[standing.row_of[node]]) & mask for node, mask in lease.placement)
    if not kept and not any(overlaps(item.placement, lease.placement) for item in draft.kept):
        why = "nobody waits for its GPUs any more: it is not taken back"
        draft.undated.append(Undated(lease.id, draft.version(lease), why))
        return
    deadline = max(draft.now_us + lease.grace_us, lease.exempt_until_us)
    if lease.ends_us is not None:
        deadline = min(deadline, max(draft.now_us, lease.ends_us))  # a notice does not outlast what it ends
    draft.announced.append(Notice(lease.id, draft.version(lease), Cause.RECLAIMED, deadline, lease.reason))


def _announce(lease: Lease, draft: Draft) -> None:
    """A notice that ends with the term or with the funds, whichever is earlier."""
    ends = [(lease.ends_us, Cause.EXPIRED), (lease.funded_until_us, Cause.BUDGET)]
    at, cause = min(((at, cause) for at, cause in ends if at is not None), key=lambda end: end[0])
    why = "its term ends" if cause is Cause.EXPIRED else "the tenant's spend limit is used up"
    draft.announced.append(Notice(lease.id, draft.version(lease), cause, max(at, draft.now_us), why))
