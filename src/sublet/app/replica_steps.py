"""What a step of a lease means for the replica that it is: written in the very transaction of the step.

So a replica drains from the instant of its notice, whoever gave it: a reclaim, the end of a term or of funds, a release.
"""

from collections.abc import Iterable, Mapping, Sequence

from sublet.core import scaling
from sublet.core.ids import ModelName, ReplicaId
from sublet.core.lease import Access, Cause, Lease, State
from sublet.core.model import REPLICA_NEXT, Replica, ReplicaEvent, ReplicaState, Tier, step_replica
from sublet.store import models, pools, workloads
from sublet.store.database import Tx

_EVENTS: Mapping[State, ReplicaEvent] = {
    State.NOTICED: ReplicaEvent.DRAIN,
    State.STOPPING: ReplicaEvent.DRAIN,
    State.HANDOVER: ReplicaEvent.END,
    State.QUEUED: ReplicaEvent.END,
    State.PAUSED: ReplicaEvent.END,
    State.ENDED: ReplicaEvent.END,
}


def follow(tx: Tx, chains: Iterable[Sequence[Lease]]) -> None:
    """Step the replicas of leases that moved; a chain is the lease as read, then each step that it took."""
    for chain in chains:
        if chain[-1].access is Access.ENDPOINT:
            for lease in chain[1:]:
                _follow(tx, lease)


def _follow(tx: Tx, lease: Lease) -> None:
    if lease.state is State.STARTING:
        models.insert_replicas(tx, _begun(tx, lease))
        return
    event = _EVENTS.get(lease.state)
    replica = models.replica(tx, ReplicaId(lease.run)) if event is not None and lease.attempt else None
    if event is None or replica is None or (replica.state, event) not in REPLICA_NEXT:
        return
    models.save_replica(tx, replica, step_replica(replica, event, at_us=lease.since_us))
    if replica.state is ReplicaState.STARTING and event is ReplicaEvent.END and lease.cause is Cause.FAILED:
        _note_failure(tx, replica, lease)


def _begun(tx: Tx, lease: Lease) -> list[Replica]:
    """The replica that the present attempt of a lease is."""
    workload = workloads.get(tx, lease.id)
    at = None if workload is None else workload.endpoint
    if at is None:
        return []
    return [
        Replica(
            id=ReplicaId(lease.run),
            model=ModelName(at.model),
            tier=Tier(at.tier),
            url=at.url,
            secret=at.secret,
            site=pools.get(tx, lease.pool).pool.site,
            since_us=lease.since_us,
            lease=lease.id,
            slots=at.slots,
        )
    ]


def _note_failure(tx: Tx, replica: Replica, lease: Lease) -> None:
    """Its server ended before it was ready: the next one is not tried at once."""
    serving = models.serving_of(tx, replica.model, replica.tier)
    if serving is not None:
        said = f"a server ended before it was ready ({lease.reason}): `sublet logs {lease.id}` shows why"
        models.put_serving(tx, scaling.failed(serving, said, at_us=lease.since_us))
