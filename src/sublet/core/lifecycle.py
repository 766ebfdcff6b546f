"""What each happening makes of a lease: the step of its table together with the data that belongs to it."""

from typing import Any

from sublet.core.lease import WAITING, Cause, Event, Lease, State, step
from sublet.core.plan import Grant, Notice
from sublet.core.terms import Pool
from sublet.core.values import changed
from sublet.core.workload import CHECKPOINTED_EXIT


def granted(lease: Lease, grant: Grant, *, at_us: int) -> tuple[Lease, Lease]:
    """The lease with its GPUs reserved, and then ordered from the engine: a new attempt."""
    reserved = step(lease, Event.GRANT, at=at_us, reason=grant.reason, **_of_grant(lease, grant, at_us))
    return reserved, step(reserved, Event.ORDER, at=at_us)


def ordered(lease: Lease, grant: Grant, *, at_us: int, funded_until_us: int | None) -> Lease:
    """The second of these at once, from its admission on, for whoever keeps no journal.

    `funded_until_us` None: its funds never end.
    """
    data = _of_grant(lease, grant, at_us) | {"funded_until_us": funded_until_us}
    events = (Event.GRANT, Event.ORDER) if lease.state is State.QUEUED else (Event.ADMIT, Event.GRANT, Event.ORDER)
    return step(lease, *events, at=at_us, reason=grant.reason, **data)


def _of_grant(lease: Lease, grant: Grant, at_us: int) -> dict[str, Any]:
    return {
        "attempt": lease.attempt + 1,
        "placement": grant.placement,
        "price_micro": grant.price_micro,
        "granted_us": at_us,
        "exempt_until_us": grant.exempt_until_us,
        "funded_until_us": grant.funded_until_us,
    }


def started(lease: Lease, *, at_us: int) -> Lease:
    """The lease once its workload runs: its term begins, unless its end is fixed."""
    said = lease.reason if lease.state is State.NOTICED else "runs"
    ends = at_us + lease.term_us if lease.ends_us is None and lease.term_us is not None else lease.ends_us
    return step(lease, Event.STARTED, at=at_us, reason=said, started_us=at_us, ends_us=ends)


def noticed(lease: Lease, notice: Notice, *, at_us: int) -> Lease:
    """The lease once its end is announced."""
    told = {"noticed_us": at_us, "deadline_us": notice.deadline_us, "cause": notice.cause}
    return step(lease, Event.NOTICE, at=at_us, reason=notice.reason, **told)


def dated(lease: Lease, at_us: int | None, *, reason: str) -> Lease:
    """The lease with the instant at which it is to be given its notice; None: it is not taken back after all."""
    return changed(lease, notice_at_us=at_us, reason=reason, version=lease.version + 1)


def stopped(lease: Lease, cause: Cause, *, at_us: int, reason: str) -> Lease:
    """The lease once the engine has to end it; it is not billed from here on. A cause that was announced stands."""
    return step(lease, Event.STOP, at=at_us, reason=reason, stopped_us=at_us, cause=lease.cause or cause)


def released(lease: Lease, *, at_us: int) -> Lease:
    """The lease given back by its tenant, for good. What a reclaim already made free stays free."""
    if lease.state in WAITING:
        withdrawn = step(lease, Event.WITHDRAW, at=at_us, reason="released by the tenant", exit_code=None)
        return changed(withdrawn, cause=Cause.RELEASED)
    given = stopped(lease, Cause.RELEASED, at_us=at_us, reason="released by the tenant")
    return changed(given, restartable=False)


def after_exit(lease: Lease, *, exit_code: int | None, at_us: int, checkpoint_us: int | None = None) -> Lease:
    """The lease once its workload is gone at `at_us`: in hand-over, with the cause of the attempt's end.

    A lease that was told to end keeps that cause; otherwise the exit code speaks. `checkpoint_us`: a checkpoint that was proven
    since it was last looked at.
    """
    cause = lease.cause
    if cause is None:
        cause = Cause.COMPLETED if exit_code in {0, CHECKPOINTED_EXIT} else Cause.FAILED
    said = "unknown" if exit_code is None else str(exit_code)
    reason = f"{cause}; exit code {said}"
    stopped = min(lease.stopped_us, at_us) if lease.stopped_us is not None else at_us
    data = {"cause": cause, "exit_code": exit_code, "stopped_us": stopped}
    if checkpoint_us is not None:
        data["checkpoint_us"] = checkpoint_us
    return step(lease, Event.EXITED, at=at_us, reason=reason, **data)


def after_handover(pool: Pool, lease: Lease, *, at_us: int) -> Lease:
    """The lease once its GPUs are clean: over, or waiting for its next attempt.

    Work that was reclaimed waits a back-off that doubles with each reclaim, so that it is not lent and evicted for ever, but
    no longer than a multiple of what the reclaim cost; and an attempt that saved as much work as that is long was worth it,
    and is followed by the shortest one (docs/decisions/0037). Work that asked for a restart by itself queues at once.
    """
    finished = lease.exit_code == 0
    if lease.cause is Cause.RECLAIMED and lease.restartable and not finished:
        reclaims = lease.reclaims + 1
        kept = kept_us(lease)
        longest = pool.back_off_us(reclaims, lost_us=max(0, ran_us(lease) - kept) + pool.restart_us)
        wait = pool.backoff_us if kept >= longest else longest
        often = "once" if reclaims == 1 else f"{reclaims} times"
        why = f"reclaimed {often} by the owner; queued again after {wait / 1e6:g} s"
        again = {"reclaims": reclaims, "not_before_us": at_us + wait, "exit_code": lease.exit_code}
        return _again(lease, Event.REQUEUE, at_us, why, **again)
    if lease.cause is Cause.BUDGET and lease.restartable and not finished:
        return _again(lease, Event.PAUSE, at_us, "the spend limit is used up; it goes on when the limit is raised")
    if _is_lost(lease) and lease.restartable:
        what = "its run was lost with its node" if lease.started_us is not None else "its node failed before it began"
        why = f"{what}, which is not its fault; queued again"
        return _again(lease, Event.REQUEUE, at_us, why, not_before_us=at_us + pool.backoff_us)
    if lease.cause is Cause.COMPLETED and lease.exit_code == CHECKPOINTED_EXIT and lease.restartable:
        return _again(lease, Event.REQUEUE, at_us, "saved a checkpoint and asked for a restart (exit code 85)")
    cause = Cause.COMPLETED if finished and lease.cause is Cause.RECLAIMED else lease.cause
    return step(lease, Event.FREE, at=at_us, cause=cause, placement=())


def ran_us(lease: Lease) -> int:
    """How long an attempt that is over ran."""
    return 0 if lease.started_us is None or lease.stopped_us is None else max(0, lease.stopped_us - lease.started_us)


def kept_us(lease: Lease) -> int:
    """How much work of an attempt that is over need not be done again."""
    if lease.started_us is None or lease.stopped_us is None:
        return 0
    safe = lease.stopped_us if lease.exit_code == CHECKPOINTED_EXIT else lease.checkpoint_us or 0
    return max(0, safe - lease.started_us)


def goes_on(lease: Lease) -> bool:
    """Whether a lease in hand-over queues again without any back-off for what the owner did: it crashed, or was lost."""
    asked = lease.cause is Cause.COMPLETED and lease.exit_code == CHECKPOINTED_EXIT
    return lease.state is State.HANDOVER and lease.restartable and (asked or _is_lost(lease))


def _is_lost(lease: Lease) -> bool:
    """Whether an attempt ended without anybody knowing how, or before it began: then it was the node that failed.

    A workload that ended by itself, or could not be started, has an exit code.
    """
    return lease.cause is Cause.FAILED and lease.exit_code is None


def _again(lease: Lease, event: Event, at_us: int, reason: str, **data: int | None) -> Lease:
    """The lease without what belonged to the attempt. How that ended is kept where a reclaim ended it (`Lease.heeds`)."""
    return step(
        lease,
        event,
        at=at_us,
        reason=reason,
        cause=Cause.BUDGET if event is Event.PAUSE else None,
        price_micro=None,
        placement=(),
        granted_us=None,
        exempt_until_us=0,
        ends_us=None,
        funded_until_us=None,
        started_us=None,
        noticed_us=None,
        deadline_us=None,
        notice_at_us=None,
        stopped_us=None,
        metered_us=None,
        **{"exit_code": None, **data},
    )
