"""What a replay counts while it goes: owner delays, attempts, money, and what was offered."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from sublet.core.lease import Cause, Lease, LeaseClass
from sublet.core.rating import charge, closed_attempt, due, owed_on_reclaim
from sublet.core.terms import Pool
from sublet.core.usage import UsageKind

JOB = "job-"
"""Tenants of this name and a number are single jobs, as `leased.listed` makes them."""


@dataclass(slots=True)
class ClassTally:
    """One class's attempts. GPU time in GPU-µs, money in micro-units."""

    guaranteed: bool = False  # the class owes a credit for a reclaim
    granted: int = 0
    ended: int = 0
    reclaimed: int = 0
    leased_us: int = 0
    billed_us: int = 0
    lost_us: int = 0
    revenue_micro: int = 0
    refunded_micro: int = 0
    credited_micro: int = 0


@dataclass(slots=True)
class Tally:
    """Everything counted since the market opened."""

    starts_us: "array[int]" = field(default_factory=lambda: array("q"))  # of each owner job by number; -1: it has not started
    delays_us: "array[int]" = field(default_factory=lambda: array("q"))  # of each owner job that started: start - entitlement
    by_class: dict[LeaseClass, ClassTally] = field(default_factory=lambda: {name: ClassTally() for name in LeaseClass})
    alarms: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    offers: "array[int]" = field(default_factory=lambda: array("q"))  # (instant, horizon, GPUs) of each offered window
    demand: "array[int]" = field(default_factory=lambda: array("q"))  # (instant, GPUs): the owner's, whenever it changed
    runs: "array[int] | None" = None  # of each attempt that ended, as `leased.RUN` has it; only where somebody asks for it

    def attempt_ended(self, pool: Pool, lease: Lease) -> None:
        """An attempt is over: what it used is rated, and what the owner owes for ending it is booked."""
        if self.runs is not None:
            self._note(lease)
        if lease.started_us is None and lease.cause is not Cause.RECLAIMED:
            return
        assert lease.stopped_us is not None, f"{lease.id} ended without an instant"
        usage = due(lease, until_us=lease.stopped_us)
        billed = sum(charge(one) for one in usage)
        mine = self.by_class[lease.lease_class]
        mine.guaranteed = pool.terms[lease.lease_class].credit_multiple > 0
        mine.ended += 1
        mine.reclaimed += lease.cause is Cause.RECLAIMED and lease.exit_code != 0
        mine.leased_us += sum(one.gpu_us for one in usage)
        mine.billed_us += sum(one.gpu_us for one in usage if one.kind is UsageKind.BILLED)
        mine.revenue_micro += billed
        if lease.cause is Cause.RECLAIMED:
            attempt = closed_attempt(lease)
            refund, credit = owed_on_reclaim(attempt, pool.terms[lease.lease_class], billed)
            mine.lost_us += attempt.lost_us * attempt.gpus
            mine.refunded_micro += refund
            mine.credited_micro += credit

    def _note(self, lease: Lease) -> None:
        assert self.runs is not None and lease.stopped_us is not None
        started = -1 if lease.started_us is None else lease.started_us
        reclaimed = lease.cause is Cause.RECLAIMED and lease.exit_code != 0
        cut = lease.cause in {Cause.RELEASED, Cause.EXPIRED}  # by the end of the trace, or of its term
        asked, stopped = lease.requested_us, lease.stopped_us
        job = int(lease.tenant[len(JOB) :]) if lease.tenant.startswith(JOB) else -1
        self.runs.extend((int(lease.id[1:]), lease.attempt, lease.gpus, asked, started, stopped, reclaimed, cut, job))
