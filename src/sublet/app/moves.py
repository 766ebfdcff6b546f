"""Writing what moved: the value itself, the spans of its GPUs and the journal, all in one transaction.

A chain is the value as read followed by each step it took; a lease that started and ended between two looks still leaves the
span in which it ran.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sublet.app import replica_steps
from sublet.core.blocks.contract import never_started
from sublet.core.fleet import Placement
from sublet.core.ids import NodeId, PoolId
from sublet.core.lease import Lease, State
from sublet.core.occupancy import Span, gpu_state, job_gpu_state
from sublet.core.owner import OwnerJob
from sublet.store import events, jobs, leases, nodes, spans, usage
from sublet.store.database import Tx
from sublet.store.events import Entry

LeaseChain = Sequence[Lease]
JobChain = Sequence[OwnerJob]

_LEASE_KINDS = {
    State.QUEUED: "lease.queued",
    State.PAUSED: "lease.paused",
    State.RESERVED: "lease.granted",
    State.ACTIVE: "lease.started",
    State.NOTICED: "lease.noticed",
    State.STOPPING: "lease.stopping",
    State.HANDOVER: "lease.exited",
    State.ENDED: "lease.ended",
}


@dataclass(frozen=True, slots=True)
class _Hold:
    """GPUs in one state for one holder from an instant on; no state: they are free."""

    at_us: int
    state: str | None
    pool: PoolId
    placement: Placement
    holder: str
    attempt: int


def save_leases(tx: Tx, chains: Iterable[LeaseChain]) -> None:
    """Write stepped leases with their spans and events."""
    moved = [chain for chain in chains if len(chain) > 1]
    leases.save_all(tx, [(chain[0], chain[-1]) for chain in moved])
    _save_spans(tx, [[_lease_hold(lease) for lease in chain] for chain in moved])
    replica_steps.follow(tx, moved)
    over = [never_started(chain[-1]) for chain in moved if _never_started(chain[-1])]
    usage.insert_attempts(tx, over)
    events.append(tx, (entry for chain in moved for lease in chain[1:] if (entry := lease_entry(lease)) is not None))


def _never_started(lease: Lease) -> bool:
    """Whether this is a block that is over before it had any GPUs: what was paid for it is settled all the same."""
    return lease.is_bought and lease.state is State.ENDED and lease.attempt == 0


def save_jobs(tx: Tx, chains: Iterable[JobChain]) -> None:
    """Write stepped jobs of the owner with their spans and events."""
    moved = [chain for chain in chains if len(chain) > 1]
    jobs.save_all(tx, [(chain[0], chain[-1]) for chain in moved])
    _save_spans(tx, [[_job_hold(job) for job in chain] for chain in moved])
    events.append(tx, (_job_entry(job) for chain in moved for job in chain[1:]))


def lease_entry(lease: Lease) -> Entry | None:
    """What the journal says of a lease that has just entered its state; an order to the engine is no news."""
    kind = _LEASE_KINDS.get(lease.state)
    if kind is None:
        return None
    data: dict[str, object] = {"attempt": lease.attempt, "gpus": lease.gpus, "name": lease.name, "state": lease.state}
    optional = {"price_micro": lease.price_micro, "deadline_us": lease.deadline_us, "cause": lease.cause}
    data |= {name: value for name, value in optional.items() if value is not None}
    if lease.state in {State.HANDOVER, State.ENDED}:
        data["exit_code"] = lease.exit_code
    return Entry(lease.since_us, kind, lease.reason, lease.tenant, lease.id, lease.pool, data)


def _job_entry(job: OwnerJob) -> Entry:
    data = {"job": job.id, "gpus": job.gpus, "name": job.name, "state": job.state, "forced": job.forced}
    return Entry(job.since_us, f"owner.{job.state}", job.reason, pool=job.pool, data=data)


def _lease_hold(lease: Lease) -> _Hold:
    return _Hold(lease.since_us, gpu_state(lease), lease.pool, lease.placement, lease.id, lease.attempt)


def _job_hold(job: OwnerJob) -> _Hold:
    return _Hold(job.since_us, job_gpu_state(job), job.pool, job.placement, job.id, 1)


def _save_spans(tx: Tx, chains: Sequence[Sequence[_Hold]]) -> None:
    """Close and open spans along each chain of holds."""
    freed = {node for chain in chains if any(hold.state is None for hold in chain[1:]) for node in _nodes_of(chain)}
    down = frozenset(row.id for row in nodes.some(tx, freed) if row.down)
    closing: list[tuple[str, int]] = []
    opening: list[Span] = []
    for chain in chains:
        last, since = chain[0], None  # the span open in the database began before this chain
        for hold in chain[1:]:
            if hold.state == last.state:
                continue
            if last.state is not None and since is None:
                closing.append((last.holder, hold.at_us))
            elif last.state is not None and since is not None:
                opening += _spans(last, since, hold.at_us)
            if hold.state is None:
                opening += _unfit(last, hold.at_us, down)
            last, since = hold, hold.at_us
        if last.state is not None and since is not None:
            opening += _spans(last, since, None)
    spans.close(tx, closing)
    spans.open_all(tx, opening)


def _nodes_of(chain: Sequence[_Hold]) -> set[NodeId]:
    return {node for hold in chain for node, _ in hold.placement}


def _spans(hold: _Hold, from_us: int, to_us: int | None) -> list[Span]:
    if to_us == from_us or hold.state is None:
        return []
    return [Span(hold.pool, node, mask, hold.state, hold.holder, hold.attempt, from_us, to_us) for node, mask in hold.placement]


def _unfit(freed: _Hold, at_us: int, down: frozenset[NodeId]) -> list[Span]:
    """GPUs that come free on a node that is down are down, not free."""
    return [Span(freed.pool, node, mask, "down", node, 0, at_us) for node, mask in freed.placement if node in down]
