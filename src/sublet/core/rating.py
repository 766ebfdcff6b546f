"""From a lease's life to intervals of usage, and from usage to money.

Cutting time finer or coarser never changes what is billed: intervals of an attempt touch, none overlaps another, and each
is charged by `units.charge_micro`. That rounds each interval by at most half a micro-unit, so a hold carries a small
allowance (`allowance_micro`) that covers every rounding that can happen inside its window.
"""

from bisect import bisect_right

from sublet.core.lease import Cause, Lease
from sublet.core.terms import ClassTerms
from sublet.core.units import SECOND_US, TICK_US, charge_micro
from sublet.core.usage import Attempt, Usage, UsageKind

INTERVAL_MIN_US = SECOND_US
"""An interval that is still growing is not cut shorter than this, which bounds their number and so the rounding."""


def due(lease: Lease, *, until_us: int) -> tuple[Usage, ...]:
    """The usage of the present attempt that is not yet metered, up to `until_us`.

    Billed from the start to the notice of a reclaim, or to the stop; from that notice to the stop it is grace. What is not
    funded is never billed: while the lease runs it waits for the hold to be extended, and once it stopped it is written
    as unfunded, so that the intervals of a finished attempt cover all of its time.
    """
    if lease.started_us is None:
        return ()
    stopped = lease.stopped_us is not None and lease.stopped_us <= until_us
    end = lease.stopped_us if stopped and lease.stopped_us is not None else until_us
    notice = _reclaim_notice_us(lease)
    paid_end = end if notice is None else min(end, notice)
    funded_end = paid_end if lease.funded_until_us is None else min(paid_end, lease.funded_until_us)
    at = max(lease.started_us, lease.metered_us or 0)
    pieces = [(UsageKind.BILLED, funded_end)]
    if funded_end == paid_end or stopped:
        pieces += [(UsageKind.UNFUNDED, paid_end), (UsageKind.GRACE, end)]
    out: list[Usage] = []
    for kind, to in pieces:
        growing = to == until_us and not stopped
        if to - at >= (INTERVAL_MIN_US if growing else 1):
            out.append(_interval(lease, len(out) + 1, at, to, kind))
            at = to
        elif growing:
            break
    return tuple(out)


def _reclaim_notice_us(lease: Lease) -> int | None:
    """When the owner announced that it takes the lease back; None for every other end."""
    return lease.noticed_us if lease.cause is Cause.RECLAIMED else None


def _interval(lease: Lease, nth: int, from_us: int, to_us: int, kind: UsageKind) -> Usage:
    assert lease.price_micro is not None, f"{lease.id} runs without a price"
    return Usage(
        lease=lease.id,
        seq=lease.usage_seq + nth,
        tenant=lease.tenant,
        pool=lease.pool,
        attempt=lease.attempt,
        from_us=from_us,
        to_us=to_us,
        gpus=lease.gpus,
        price_micro=lease.price_micro,
        kind=kind,
    )


def paid_until_us(lease: Lease, *, until_us: int) -> int:
    """Where billing of the present attempt ends if funds suffice: `until_us`, its stop, the notice of a reclaim.

    A bought block is never billed beyond its end: its price was fixed at purchase.
    """
    ends = (until_us, lease.stopped_us, _reclaim_notice_us(lease), lease.ends_us if lease.is_bought else None)
    return min(end for end in ends if end is not None)


def charge(usage: Usage) -> int:
    """What an interval costs its tenant, in micro-units; only billed time costs anything."""
    return charge_micro(usage.gpu_us, usage.price_micro) if usage.kind is UsageKind.BILLED else 0


def owed_on_reclaim(attempt: Attempt, terms: ClassTerms, billed_micro: int) -> tuple[int, int]:
    """(refund, credit) in micro-units that the owner owes for ending `attempt`, of which `billed_micro` was charged.

    The credit is a multiple of the price of the whole term; an open-ended attempt has no term and earns none.
    """
    if attempt.cause is not Cause.RECLAIMED:
        return 0, 0
    term_price = charge_micro(attempt.gpus * (attempt.term_us or 0), attempt.price_micro)
    return (billed_micro if terms.refunds else 0), terms.credit_multiple * term_price


def allowance_micro(window_us: int) -> int:
    """How far the rounded charges inside a window may pass its rounded price, at most: half a micro-unit an interval.

    There is at most one interval a second, and a few that end at the edge of a window, a notice or a stop.
    """
    return -(-window_us // (2 * INTERVAL_MIN_US)) + 2


def hold_micro(gpus: int, window_us: int, price_micro: int) -> int:
    """What must be reserved so that `window_us` of `gpus` can be billed, however it is cut into intervals."""
    if price_micro == 0:
        return 0
    return charge_micro(gpus * window_us, price_micro) + allowance_micro(window_us)


def window_us(gpus: int, price_micro: int, *, affordable_micro: int, at_most_us: int) -> int:
    """The longest window on the time grid, up to `at_most_us`, whose hold is affordable; 0 if none is."""
    if hold_micro(gpus, at_most_us, price_micro) <= affordable_micro:
        return at_most_us
    ticks = range(1, at_most_us // TICK_US + 1)
    return TICK_US * bisect_right(ticks, affordable_micro, key=lambda tick: hold_micro(gpus, tick * TICK_US, price_micro))


def closed_attempt(lease: Lease) -> Attempt:
    """The present attempt of a lease that has just ended, as it is kept."""
    assert lease.granted_us is not None and lease.price_micro is not None, f"{lease.id} was never granted"
    assert lease.stopped_us is not None and lease.cause is not None, f"{lease.id} ended without an instant or a cause"
    return Attempt(
        lease=lease.id,
        attempt=lease.attempt,
        tenant=lease.tenant,
        pool=lease.pool,
        lease_class=lease.lease_class,
        gpus=lease.gpus,
        price_micro=lease.price_micro,
        term_us=lease.term_us,
        granted_us=lease.granted_us,
        started_us=lease.started_us,
        noticed_us=lease.noticed_us,
        deadline_us=lease.deadline_us,
        stopped_us=lease.stopped_us,
        checkpoint_us=lease.checkpoint_us,
        cause=lease.cause,
        exit_code=lease.exit_code,
    )
