"""Every GPU-second has exactly one state: the account of a pool's time.

Spans say who held which GPUs when. What no span covers is free, and free GPUs are `reserve` up to the reserve's level and
`idle` beyond it. The six states add up to capacity x time because each instant of each GPU is counted once; a span that
overlaps another breaks that, and `account` says where.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from sublet.core.ids import NodeId, PoolId
from sublet.core.lease import HELD, Lease, State
from sublet.core.owner import JobState, OwnerJob

STATES = ("owner", "leased", "reserve", "idle", "handover", "down")
_RUNNING = frozenset({State.ACTIVE, State.NOTICED})


@dataclass(frozen=True, slots=True)
class Span:
    """GPUs of one node in one state for one holder, from `from_us` to `to_us` (µs; None: until now)."""

    pool: PoolId
    node: NodeId
    mask: int
    state: str  # owner | leased | handover | down
    holder: str
    attempt: int
    from_us: int
    to_us: int | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A step function's value from an instant (µs) on."""

    at_us: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """GPUs of one node, in the fleet since `since_us`."""

    node: NodeId
    mask: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Account:
    """GPU-microseconds of one pool by state, over a period; `overlaps` names GPU time that was counted twice."""

    capacity: int
    by_state: dict[str, int]
    overlaps: tuple[str, ...]

    @property
    def conserved(self) -> bool:
        """Whether the six states add up to the capacity, with no GPU in two at once."""
        return not self.overlaps and sum(self.by_state.values()) == self.capacity


def account(spans: Iterable[Span], nodes: Sequence[Capacity], reserve: Sequence[Level], *, from_us: int, to_us: int) -> Account:
    """The GPU-microseconds of a pool in each state between two instants (µs), by one sweep over all changes.

    O(n log n) in the number of spans and levels.
    """
    assert from_us <= to_us
    sweep = _Sweep(nodes, reserve, from_us, to_us)
    for span in spans:
        sweep.add(span)
    return sweep.run()


class _Sweep:
    """A line over time that stops at every change and adds up what lies between two stops."""

    def __init__(self, nodes: Sequence[Capacity], reserve: Sequence[Level], from_us: int, to_us: int) -> None:
        self.row = {node.node: i for i, node in enumerate(nodes)}
        self.nodes = nodes
        self.from_us, self.to_us = from_us, to_us
        self.held = [0] * len(nodes)  # mask of GPUs somebody holds now
        self.count = dict.fromkeys(("owner", "leased", "handover", "down"), 0)
        self.total = dict.fromkeys(STATES, 0)
        self.size = self.reserve = self.capacity = 0
        self.overlaps: list[str] = []
        self.changes: list[tuple[int, int, Callable[[], None]]] = []  # instant, order among equals, what happens
        for node in nodes:
            self._at(node.since_us, 0, partial(self._grow, node.mask.bit_count()))
        for level in reserve:
            self._at(level.at_us, 0, partial(self._set_reserve, level.gpus))

    def add(self, span: Span) -> None:
        end = self.to_us if span.to_us is None else min(span.to_us, self.to_us)
        if end <= max(span.from_us, self.from_us):
            return
        if span.node not in self.row:
            self.overlaps.append(f"{span.holder} holds GPUs of {span.node}, which the pool does not have")
            return
        self._at(end, 1, partial(self._let_go, span))
        self._at(span.from_us, 2, partial(self._hold, span))

    def run(self) -> Account:
        self.changes.sort(key=itemgetter(0, 1))
        now = self.from_us
        for at, _, change in self.changes:
            self._pass(at - now)
            now = at
            change()
        self._pass(self.to_us - now)
        return Account(self.capacity, self.total, tuple(self.overlaps))

    def _at(self, at_us: int, order: int, change: Callable[[], None]) -> None:
        if at_us < self.to_us or order == 1:
            self.changes.append((max(at_us, self.from_us), order, change))

    def _pass(self, us: int) -> None:
        free = max(0, self.size - sum(self.count.values()))
        kept = min(free, self.reserve)
        for state, gpus in self.count.items():
            self.total[state] += gpus * us
        self.total["reserve"] += kept * us
        self.total["idle"] += (free - kept) * us
        self.capacity += self.size * us

    def _grow(self, gpus: int) -> None:
        self.size += gpus

    def _set_reserve(self, gpus: int) -> None:
        self.reserve = gpus

    def _let_go(self, span: Span) -> None:
        self.held[self.row[span.node]] &= ~span.mask
        self.count[span.state] -= span.mask.bit_count()

    def _hold(self, span: Span) -> None:
        row = self.row[span.node]
        node, at = self.nodes[row], max(span.from_us, self.from_us)
        if twice := self.held[row] & span.mask:
            self.overlaps.append(f"{span.holder} takes GPUs {twice:#x} of {node.node} at {at}, which somebody holds")
        if span.mask & ~node.mask or at < node.since_us:
            self.overlaps.append(f"{span.holder} holds GPUs {span.mask:#x} of {node.node} at {at}, which are not there")
        self.held[row] |= span.mask
        self.count[span.state] += span.mask.bit_count()


def gpu_state(lease: Lease) -> str | None:
    """What the lease's GPUs are: `leased` while its workload runs, `handover` around it, None when it holds none."""
    if lease.state not in HELD:
        return None
    runs = lease.state in _RUNNING and lease.started_us is not None
    return "leased" if runs else "handover"


def job_gpu_state(job: OwnerJob) -> str | None:
    """What an owner job's GPUs are: the owner's from its placement to its exit, then in hand-over."""
    if job.state in {JobState.WAITING, JobState.ENDED}:
        return None
    return "handover" if job.state is JobState.HANDOVER else "owner"
