"""The figures of a day, drawn from what was recorded: nothing here was counted while the day went on.

GPU time comes from the books' spans and usage with the functions that audit the live system; jobs, bills and the ledger's
proof come from the public API. All times lie on the grid of 1/64 s, so the seconds below are exact and add up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sublet.app import audit
from sublet.core.ids import LeaseId
from sublet.core.invariants import Books, billed_and_grace, check_books
from sublet.core.lease import Cause
from sublet.core.units import seconds
from sublet.core.usage import Attempt, UsageKind
from sublet.demo.billing import Bill
from sublet.demo.director import Played
from sublet.demo.learning import Learning
from sublet.demo.options import Options
from sublet.demo.stage import Stage
from sublet.store import usage as usage_rows


@dataclass(frozen=True, slots=True)
class Delay:
    """What leasing made the owner wait, in seconds, over all his jobs."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class OwnerFigures:
    """The owner's jobs. `never_started`: the day ended first; those that could have run count with their whole wait."""

    jobs: int
    started: int
    never_started: int
    delay: Delay
    promises_broken: int


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """One tenant's day and its bill, micro-units."""

    tenant: str
    leases: int
    attempts: int
    reclaims: int
    billed_gpu_s: float
    grace_gpu_s: float
    lost_gpu_s: float
    usage_micro: int
    refund_micro: int
    credit_micro: int
    due_micro: int
    invoice: str


@dataclass(frozen=True, slots=True)
class Money:
    """The owner's side, micro-units."""

    revenue_micro: int
    refunds_micro: int
    credits_micro: int
    cost_micro: int
    margin_micro: int
    depreciation_micro: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A day in figures. Utilisation is the share of the capacity: of the owner alone, and of owner and tenants."""

    options: Options
    gpu_model: str
    isolation: str
    length_s: float
    capacity_gpu_s: float
    gpu_s: Mapping[str, float]
    usage_gpu_s: Mapping[str, float]  # by kind
    reclaims: int
    resumed: int
    lost_gpu_s: float
    owner: OwnerFigures
    tenants: tuple[TenantFigures, ...]
    money: Money
    learning: Learning
    findings: tuple[str, ...]  # of the books and the ledger; empty is the proof
    ledger_balanced: bool

    @property
    def utilisation_without(self) -> float:
        """The owner's share of the capacity."""
        return self.gpu_s["owner"] / self.capacity_gpu_s

    @property
    def utilisation_with(self) -> float:
        """The share of the owner and the tenants."""
        return (self.gpu_s["owner"] + self.gpu_s["leased"]) / self.capacity_gpu_s

    @property
    def conserved(self) -> bool:
        """Whether the six states add up to the capacity, to the last 1/64 s."""
        return sum(self.gpu_s.values()) == self.capacity_gpu_s

    @property
    def billed_matches(self) -> bool:
        """Whether what was billed is what was leased less what was free."""
        free = self.usage_gpu_s["grace"] + self.usage_gpu_s["unfunded"]
        return self.usage_gpu_s["billed"] == self.gpu_s["leased"] - free

    def document(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        options = self.options
        return {
            "capacity_gpu_s": self.capacity_gpu_s,
            "gpu_s": dict(self.gpu_s),
            "billed_gpu_s": self.usage_gpu_s["billed"],
            "grace_gpu_s": self.usage_gpu_s["grace"],
            "unfunded_gpu_s": self.usage_gpu_s["unfunded"],
            "utilisation_without": round(self.utilisation_without, 6),
            "utilisation_with": round(self.utilisation_with, 6),
            "reclaims": self.reclaims,
            "resumed": self.resumed,
            "lost_gpu_s": self.lost_gpu_s,
            "owner_delay_s": asdict(self.owner.delay),
            "promise_s": seconds(options.pace.promise_us),
            "promises_broken": self.owner.promises_broken,
            "owner_jobs": {name: getattr(self.owner, name) for name in ("jobs", "started", "never_started")},
            **asdict(self.money),
            "ledger_balanced": self.ledger_balanced,
            "findings": list(self.findings),
            "tenants": [asdict(tenant) for tenant in self.tenants],
            "training": self.learning.document(),
            "seed": options.seed,
            "slots": options.slots,
            "slot": self.gpu_model,
            "isolation": self.isolation,
            "speed": options.speed,
            "hours": options.hours,
            "trace": str(options.trace) if options.trace else "philly_day (packaged)",
            "length_s": self.length_s,
            "data_dir": str(options.data_dir),
        }


def draw(
    stage: Stage,
    options: Options,
    played: Played,
    learning: Learning,
    bills: Mapping[str, Bill],
    *,
    begin_us: int,
    end_us: int,
    booked_us: int,
) -> Summary:
    """The summary of a day that lasted from `begin_us` to `end_us` and was booked by `booked_us`."""
    with stage.server.plane.database.read() as tx:
        books = audit.read_books(tx, stage.pool, from_us=begin_us, to_us=end_us)
        broken = [*check_books(books), *audit.check_now(tx)]
        leases = [LeaseId(lease) for mine in played.leases.values() for lease in mine]
        attempts = usage_rows.attempts_of(tx, leases)
    proof = stage.owner.get("/v1/ledger/check")
    (earned,) = stage.owner.get("/v1/statement", from_us=begin_us, to_us=booked_us)["items"]
    total = earned["total"]
    result = books.account()
    by_kind = billed_and_grace(books.usage)
    jobs = stage.owner.everything("/v1/jobs")
    return Summary(
        options=options,
        gpu_model=stage.gpu_model,
        isolation=stage.server.plane.engine.capabilities.isolation,
        length_s=seconds(end_us - begin_us),
        capacity_gpu_s=seconds(result.capacity),
        gpu_s={state: seconds(gpu_us) for state, gpu_us in result.by_state.items()},
        usage_gpu_s={kind.value: seconds(by_kind.get(kind, 0)) for kind in UsageKind},
        reclaims=sum(one.cause is Cause.RECLAIMED for one in attempts),
        resumed=_resumed(attempts),
        lost_gpu_s=_lost(attempts),
        owner=owner_figures(jobs, within_us=options.pace.promise_us),
        tenants=tuple(_tenant(name, played, attempts, books, bill) for name, bill in bills.items()),
        money=Money(
            total["revenue_micro"],
            total["refund_micro"],
            total["credit_micro"],
            total["cost_micro"],
            total["margin_micro"],
            total["depreciation_micro"],
        ),
        learning=learning,
        findings=(*broken, *proof["findings"]),
        ledger_balanced=proof["balanced"],
    )


def owner_figures(jobs: Sequence[Mapping[str, Any]], *, within_us: int) -> OwnerFigures:
    """The delays of the owner's jobs, as the API shows the jobs.

    A delay counts from the instant at which the job could have run had nothing been leased. A job that was still waiting when
    the day ended counts with its wait so far; one that waited for the owner's own work alone was not delayed by leasing.
    """
    started = [job for job in jobs if job["started_us"] is not None]
    kept_waiting = [job for job in jobs if job["started_us"] is None and job["entitled_us"] is not None]
    waits = [job["delay_us"] or 0 for job in started]
    waits += [job["since_us"] - job["entitled_us"] for job in kept_waiting]
    at = np.quantile(waits, (0.5, 0.99, 1.0), method="inverted_cdf").tolist() if waits else [0, 0, 0]
    return OwnerFigures(
        jobs=len(jobs),
        started=len(started),
        never_started=len(jobs) - len(started),
        delay=Delay(*(seconds(int(us)) for us in at)),
        promises_broken=sum(wait > within_us for wait in waits),
    )


def _resumed(attempts: Sequence[Attempt]) -> int:
    """Attempts that began from a checkpoint after a reclaim."""
    ended = {(one.lease, one.attempt): one for one in attempts}
    before = [(one, ended.get((one.lease, one.attempt - 1))) for one in attempts if one.started_us is not None]
    return sum(last is not None and last.cause is Cause.RECLAIMED and last.checkpoint_us is not None for _, last in before)


def _lost(attempts: Sequence[Attempt]) -> float:
    """GPU-seconds of work that reclaims have cost."""
    return seconds(sum(one.gpus * one.lost_us for one in attempts))


def _tenant(tenant: str, played: Played, attempts: Sequence[Attempt], books: Books, bill: Bill) -> TenantFigures:
    mine = [one for one in attempts if one.tenant == tenant]
    by_kind = billed_and_grace(one for one in books.usage if one.tenant == tenant)
    return TenantFigures(
        tenant=tenant,
        leases=len(played.leases[tenant]),
        attempts=len(mine),
        reclaims=sum(one.cause is Cause.RECLAIMED for one in mine),
        billed_gpu_s=seconds(by_kind.get(UsageKind.BILLED, 0)),
        grace_gpu_s=seconds(by_kind.get(UsageKind.GRACE, 0)),
        lost_gpu_s=_lost(mine),
        usage_micro=bill.usage_micro,
        refund_micro=bill.refund_micro,
        credit_micro=bill.credit_micro,
        due_micro=bill.due_micro,
        invoice=str(bill.file),
    )
