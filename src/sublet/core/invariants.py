"""What must always hold (DESIGN section 1.4). Tests, the replay and the live system call these very functions.

Each check returns sentences that say what is broken and where; an empty list is the proof that nothing is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sublet.core.fleet import Fleet, count
from sublet.core.ids import LeaseId, PoolId
from sublet.core.lease import HELD, WAITING, Lease, State
from sublet.core.occupancy import Account, Capacity, Level, Span, account
from sublet.core.owner import JOB_HELD, OwnerJob
from sublet.core.usage import Usage, UsageKind


@dataclass(frozen=True, slots=True)
class Books:
    """What is recorded of one pool over a period (µs) that is metered to its end."""

    pool: PoolId
    from_us: int
    to_us: int
    nodes: Sequence[Capacity]
    spans: Sequence[Span]
    reserve: Sequence[Level]
    usage: Sequence[Usage]

    def account(self) -> Account:
        """GPU time by state."""
        return account(self.spans, self.nodes, self.reserve, from_us=self.from_us, to_us=self.to_us)


def check_books(books: Books) -> list[str]:
    """Every GPU-second has one state and one payer: the six states add up, and usage covers the leased time exactly."""
    result = books.account()
    broken = list(result.overlaps)
    total = sum(result.by_state.values())
    if total != result.capacity:
        broken.append(f"pool {books.pool}: the six states add up to {total} GPU-us, its capacity is {result.capacity}")
    return broken + _check_measured(books) + check_usage(books.usage)


def _check_measured(books: Books) -> list[str]:
    """Usage covers each lease's leased time exactly, inside the period."""

    def inside(from_us: int, to_us: int | None) -> int:
        return max(0, min(books.to_us if to_us is None else to_us, books.to_us) - max(from_us, books.from_us))

    measured, leased = Counter[str](), Counter[str]()
    for usage in books.usage:
        measured[usage.lease] += usage.gpus * inside(usage.from_us, usage.to_us)
    for span in books.spans:
        if span.state == "leased":
            leased[span.holder] += span.mask.bit_count() * inside(span.from_us, span.to_us)
    return [
        f"lease {lease}: {leased[lease]} GPU-us of pool {books.pool} were leased, {measured[lease]} measured"
        for lease in sorted({*measured, *leased})
        if measured[lease] != leased[lease]
    ]


def check_usage(usage: Iterable[Usage]) -> list[str]:
    """No second of a lease is measured twice, and none of an attempt is left out between two intervals."""
    broken: list[str] = []
    last: dict[tuple[LeaseId, int], Usage] = {}
    for one in sorted(usage, key=lambda u: (u.lease, u.attempt, u.from_us)):
        before = last.get((one.lease, one.attempt))
        if one.to_us <= one.from_us:
            broken.append(f"lease {one.lease}: interval {one.seq} has no length")
        if before is not None and before.to_us != one.from_us:
            what = "overlap" if before.to_us > one.from_us else "leave a gap"
            broken.append(f"lease {one.lease}: intervals {before.seq} and {one.seq} {what}")
        last[one.lease, one.attempt] = one
    return broken


def check_now(fleet: Fleet, leases: Iterable[Lease], jobs: Iterable[OwnerJob]) -> list[str]:
    """No more is sold than there is: no GPU has two holders, none lies outside its node, and each gang is whole."""
    broken: list[str] = []
    rows = fleet.row_of()
    taken: dict[tuple[str, int], str] = {}
    for holder in _holders(leases, jobs):
        for node, mask in holder.placement:
            if node not in rows or mask & ~int(fleet.slots[rows[node]]):
                broken.append(f"{holder.id} holds GPUs {mask:#x} of {node}, which are not there")
            for gpu in range(mask.bit_length()):
                if mask >> gpu & 1:
                    other = taken.setdefault((node, gpu), holder.id)
                    if other != holder.id:
                        broken.append(f"GPU {gpu} of {node} is held by {other} and {holder.id}")
        if [mask.bit_count() for _, mask in holder.placement] != [holder.gpus_per_node] * holder.nodes:
            broken.append(
                f"{holder.id} has a right to {holder.nodes} x {holder.gpus_per_node} GPUs and holds {holder.placement}"
            )
    if count(fleet.owner & fleet.leased) or count((fleet.owner | fleet.leased) & fleet.down):
        broken.append("a GPU is in two states at once")
    return broken


def _holders(leases: Iterable[Lease], jobs: Iterable[OwnerJob]) -> list[Lease | OwnerJob]:
    return [*(lease for lease in leases if lease.state in HELD), *(job for job in jobs if job.state in JOB_HELD)]


def check_leases(leases: Iterable[Lease]) -> list[str]:
    """Contracts: nobody pays above the bid, no reclaim ends inside the exempt window, waiting leases hold nothing."""
    broken: list[str] = []
    for lease in leases:
        if lease.price_micro is not None and lease.price_micro > lease.bid_micro:
            broken.append(f"lease {lease.id} pays {lease.price_micro}, above its bid of {lease.bid_micro}")
        if lease.deadline_us is not None and lease.cause == "reclaimed" and lease.deadline_us < lease.exempt_until_us:
            broken.append(f"lease {lease.id} is reclaimed at {lease.deadline_us}, inside its exempt window")
        if lease.state in WAITING | {State.ENDED} and lease.placement:
            broken.append(f"lease {lease.id} is {lease.state} and holds GPUs")
    return broken


def billed_and_grace(usage: Iterable[Usage]) -> Mapping[UsageKind, int]:
    """GPU-microseconds by kind of usage."""
    total: Counter[UsageKind] = Counter()
    for one in usage:
        total[one.kind] += one.gpu_us
    return total
