"""An invoice: every interval, notice, refund and credit of one tenant in one period, and what they add up to.

Usage belongs to the period in which its interval begins; refunds, credits and corrections to the one in which they were
booked. So periods that touch share nothing and leave nothing out. Signs are the tenant's: what it is given back is negative.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Cause, Lease, LeaseClass
from sublet.core.ledger import Purpose, Transfer, receivable
from sublet.core.model_request import TokenUse
from sublet.core.rating import charge
from sublet.core.usage import Attempt, Usage, UsageKind


@dataclass(frozen=True, slots=True)
class Line:
    """One interval of GPU time, or several that touch and have one price (`intervals`)."""

    kind: UsageKind
    from_us: int
    to_us: int
    gpus: int
    price_micro: int
    gpu_us: int
    amount_micro: int
    intervals: int = 1


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A refund, a credit, a correction, or time of a block not used or resold. Negative: in the tenant's favour."""

    id: str
    purpose: Purpose
    at_us: int
    amount_micro: int
    memo: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of an invoice or of a part of it: micro-units and GPU-microseconds."""

    usage_micro: int = 0
    refund_micro: int = 0
    credit_micro: int = 0
    correction_micro: int = 0
    billed_gpu_us: int = 0
    free_gpu_us: int = 0
    block_micro: int = 0  # time of blocks that was bought and not used, less what it was resold for
    tokens_micro: int = 0  # requests to models

    @property
    def due_micro(self) -> int:
        """What is to be paid; negative where the owner owes the tenant."""
        given = self.refund_micro + self.credit_micro + self.correction_micro
        return self.usage_micro + self.tokens_micro + self.block_micro + given


@dataclass(frozen=True, slots=True)
class AttemptBill:
    """One attempt of a lease: its lines in the period, how it ended, what it was given back."""

    attempt: int
    started_us: int | None
    noticed_us: int | None
    deadline_us: int | None
    stopped_us: int | None
    cause: Cause | None
    lines: tuple[Line, ...]
    adjustments: tuple[Adjustment, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class LeaseBill:
    """All that one lease brings to the period."""

    lease: LeaseId
    name: str
    pool: PoolId
    lease_class: LeaseClass
    gpus: int
    attempts: tuple[AttemptBill, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Invoice:
    """One tenant's bill for a period. Without `issued_us` it is a draft and may still change."""

    id: str
    tenant: TenantId
    tenant_name: str
    currency: str
    from_us: int
    to_us: int
    issued_us: int | None
    leases: tuple[LeaseBill, ...]
    corrections: tuple[Adjustment, ...]
    totals: Totals
    tokens: tuple[TokenUse, ...] = ()  # one line a model, tier and price; `sublet requests` lists the requests behind it


@dataclass(frozen=True, slots=True)
class Period:
    """What is known of one tenant in a period: the material of an invoice."""

    tenant: TenantId
    tenant_name: str
    currency: str
    from_us: int
    to_us: int
    usage: Sequence[Usage]
    adjustments: Sequence[Transfer]
    leases: Mapping[LeaseId, Lease]
    attempts: Sequence[Attempt]
    tokens: Sequence[TokenUse] = ()


def build(period: Period, *, id: str, issued_us: int | None) -> Invoice:  # noqa: A002 (an invoice has an id)
    """The invoice of a period."""
    lines: dict[tuple[LeaseId, int], list[Line]] = defaultdict(list)
    for one in sorted(period.usage, key=lambda usage: (usage.lease, usage.seq)):
        lines[one.lease, one.attempt].append(_line(one))
    given: dict[tuple[LeaseId, int], list[Adjustment]] = defaultdict(list)
    corrections: list[Adjustment] = []
    for entry in period.adjustments:
        adjustment = _adjustment(entry, period.tenant)
        if entry.lease is not None and entry.purpose in OF_ATTEMPT:
            given[entry.lease, attempt_of(entry)].append(adjustment)
        else:
            corrections.append(adjustment)
    ended = {(one.lease, one.attempt): one for one in period.attempts}
    bills = [
        _lease_bill(
            period.leases[lease],
            [_attempt_bill(period.leases[lease], ended.get(key), key[1], lines[key], given[key]) for key in keys],
        )
        for lease, keys in groupby(sorted({*lines, *given}), key=lambda key: key[0])
    ]
    bills.sort(key=lambda bill: (period.leases[bill.lease].requested_us, bill.lease))
    return Invoice(
        id=id,
        tenant=period.tenant,
        tenant_name=period.tenant_name,
        currency=period.currency,
        from_us=period.from_us,
        to_us=period.to_us,
        issued_us=issued_us,
        leases=tuple(bills),
        corrections=tuple(corrections),
        totals=_sum([*(bill.totals for bill in bills), _totals((), corrections), _token_totals(period.tokens)]),
        tokens=tuple(period.tokens),
    )


OF_ATTEMPT = frozenset({Purpose.REFUND, Purpose.CREDIT, Purpose.FORGONE, Purpose.RESALE})
"""What is booked for an attempt of a lease."""


def attempt_of(entry: Transfer) -> int:
    """The attempt that a refund, a credit or time of a block is booked for: the last part of its id."""
    return int(entry.id.rsplit(":", 1)[1])


def merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with those joined that touch and have one kind and price: what a person wants to read first."""
    out: list[Line] = []
    for line in lines:
        last = out[-1] if out else None
        if last and (last.kind, last.price_micro, last.gpus, last.to_us) == (
            line.kind,
            line.price_micro,
            line.gpus,
            line.from_us,
        ):
            out[-1] = replace(
                last,
                to_us=line.to_us,
                gpu_us=last.gpu_us + line.gpu_us,
                amount_micro=last.amount_micro + line.amount_micro,
                intervals=last.intervals + line.intervals,
            )
        else:
            out.append(line)
    return tuple(out)


def _line(usage: Usage) -> Line:
    return Line(usage.kind, usage.from_us, usage.to_us, usage.gpus, usage.price_micro, usage.gpu_us, charge(usage))


def _adjustment(entry: Transfer, tenant: TenantId) -> Adjustment:
    sign = 1 if entry.debit == receivable(tenant) else -1
    return Adjustment(entry.id, entry.purpose, entry.at_us, sign * entry.amount_micro, entry.memo)


def _attempt_bill(
    lease: Lease, ended: Attempt | None, attempt: int, lines: Sequence[Line], given: Sequence[Adjustment]
) -> AttemptBill:
    """How the attempt went is told by its record, or by the lease while it runs."""
    life = ended or (lease if lease.attempt == attempt else None)
    return AttemptBill(
        attempt=attempt,
        started_us=life.started_us if life else None,
        noticed_us=life.noticed_us if life else None,
        deadline_us=life.deadline_us if life else None,
        stopped_us=life.stopped_us if life else None,
        cause=life.cause if life else None,
        lines=tuple(lines),
        adjustments=tuple(given),
        totals=_totals(lines, given),
    )


def _lease_bill(lease: Lease, attempts: Sequence[AttemptBill]) -> LeaseBill:
    totals = _sum([attempt.totals for attempt in attempts])
    return LeaseBill(lease.id, lease.name, lease.pool, lease.lease_class, lease.gpus, tuple(attempts), totals)


def _totals(lines: Iterable[Line], adjustments: Iterable[Adjustment]) -> Totals:
    by_purpose: dict[Purpose, int] = defaultdict(int)
    for one in adjustments:
        by_purpose[one.purpose] += one.amount_micro
    usage, billed, free = 0, 0, 0
    for line in lines:
        usage += line.amount_micro
        billed += line.gpu_us if line.kind is UsageKind.BILLED else 0
        free += line.gpu_us if line.kind is not UsageKind.BILLED else 0
    refund, credit = by_purpose.pop(Purpose.REFUND, 0), by_purpose.pop(Purpose.CREDIT, 0)
    block = by_purpose.pop(Purpose.FORGONE, 0) + by_purpose.pop(Purpose.RESALE, 0)
    return Totals(usage, refund, credit, sum(by_purpose.values()), billed, free, block)


def _token_totals(lines: Iterable[TokenUse]) -> Totals:
    return Totals(tokens_micro=sum(line.amount_micro for line in lines))


def _sum(parts: Sequence[Totals]) -> Totals:
    return Totals(
        usage_micro=sum(part.usage_micro for part in parts),
        refund_micro=sum(part.refund_micro for part in parts),
        credit_micro=sum(part.credit_micro for part in parts),
        correction_micro=sum(part.correction_micro for part in parts),
        billed_gpu_us=sum(part.billed_gpu_us for part in parts),
        free_gpu_us=sum(part.free_gpu_us for part in parts),
        block_micro=sum(part.block_micro for part in parts),
        tokens_micro=sum(part.tokens_micro for part in parts),
    )
