"""A lease: a right to some GPUs of a pool for a time, and the one table that moves it.

`NEXT` is the whole truth about the life of a lease; docs/lease.md is drawn from it. Why a lease moved or ended is data
(`Cause`), never a state. The caller saves a stepped lease guarded by `version`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sublet.core.fleet import Placement
from sublet.core.ids import LeaseId, PoolId, RunId, TenantId, lease_run
from sublet.core.transitions import walked
from sublet.core.values import changed
from sublet.core.workload import CHECKPOINTED_EXIT


class State(StrEnum):
    """Where a lease is in its life. `Held` states below occupy GPUs."""

    REQUESTED = "requested"  # asked for, not yet looked at
    QUEUED = "queued"  # admitted, waits for a round that grants it
    PAUSED = "paused"  # waits for a budget or the owner
    RESERVED = "reserved"  # GPUs are its own, nothing was ordered from the engine
    STARTING = "starting"  # the engine was or will be told to start it
    ACTIVE = "active"  # its workload runs and is billed
    NOTICED = "noticed"  # a dated end was announced; the grace runs
    STOPPING = "stopping"  # the engine was told to end it
    HANDOVER = "handover"  # its processes are gone; wipe and check before the GPUs change hands
    ENDED = "ended"


class Event(StrEnum):
    """What may happen to a lease."""

    ADMIT = "admit"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"  # released while it held no GPU
    PAUSE = "pause"
    RESUME = "resume"
    GRANT = "grant"
    ORDER = "order"  # from here on a process may exist
    STARTED = "started"
    NOTICE = "notice"
    STOP = "stop"
    EXITED = "exited"
    FREE = "free"  # hand-over confirmed, the lease is over
    REQUEUE = "requeue"  # hand-over confirmed, the next attempt waits


class Cause(StrEnum):
    """Why a lease was noticed, stopped or ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    RECLAIMED = "reclaimed"
    EXPIRED = "expired"
    REFUSED = "refused"
    BUDGET = "budget"


class LeaseClass(StrEnum):
    """What the owner promises about keeping it; the terms are in `core/terms.py`."""

    SPOT = "spot"
    GUARDED = "guarded"
    BLOCK = "block"
    DEDICATED = "dedicated"


class Access(StrEnum):
    """How the tenant uses it."""

    BATCH = "batch"
    SSH = "ssh"
    ENDPOINT = "endpoint"
    RUNNER = "runner"


_S, _E = State, Event
NEXT: Mapping[tuple[State, Event], State] = {
    (_S.REQUESTED, _E.ADMIT): _S.QUEUED,
    (_S.REQUESTED, _E.REFUSE): _S.ENDED,
    (_S.REQUESTED, _E.WITHDRAW): _S.ENDED,
    (_S.QUEUED, _E.GRANT): _S.RESERVED,
    (_S.QUEUED, _E.PAUSE): _S.PAUSED,
    (_S.QUEUED, _E.REFUSE): _S.ENDED,  # it can no longer be had, e.g. the pool stopped offering its class
    (_S.QUEUED, _E.WITHDRAW): _S.ENDED,
    (_S.PAUSED, _E.RESUME): _S.QUEUED,
    (_S.PAUSED, _E.WITHDRAW): _S.ENDED,
    (_S.RESERVED, _E.ORDER): _S.STARTING,
    (_S.RESERVED, _E.NOTICE): _S.NOTICED,
    (_S.RESERVED, _E.STOP): _S.STOPPING,
    (_S.STARTING, _E.STARTED): _S.ACTIVE,
    (_S.STARTING, _E.NOTICE): _S.NOTICED,
    (_S.STARTING, _E.STOP): _S.STOPPING,
    (_S.STARTING, _E.EXITED): _S.HANDOVER,
    (_S.ACTIVE, _E.NOTICE): _S.NOTICED,
    (_S.ACTIVE, _E.STOP): _S.STOPPING,
    (_S.ACTIVE, _E.EXITED): _S.HANDOVER,
    (_S.NOTICED, _E.STARTED): _S.NOTICED,  # the workload came up after its notice: it is told at once, and not billed
    (_S.NOTICED, _E.NOTICE): _S.NOTICED,  # an earlier end: the owner's reclaim overtakes an expiry
    (_S.NOTICED, _E.STOP): _S.STOPPING,
    (_S.NOTICED, _E.EXITED): _S.HANDOVER,
    (_S.STOPPING, _E.EXITED): _S.HANDOVER,
    (_S.HANDOVER, _E.FREE): _S.ENDED,
    (_S.HANDOVER, _E.REQUEUE): _S.QUEUED,
    (_S.HANDOVER, _E.PAUSE): _S.PAUSED,
}

HELD = frozenset({_S.RESERVED, _S.STARTING, _S.ACTIVE, _S.NOTICED, _S.STOPPING, _S.HANDOVER})
WAITING = frozenset({_S.REQUESTED, _S.QUEUED, _S.PAUSED})


@dataclass(frozen=True)
class Lease:
    """A lease as the store keeps it. Instants in µs since the epoch, durations in µs, prices in micro-units a GPU-hour."""

    id: LeaseId
    tenant: TenantId
    pool: PoolId
    name: str
    lease_class: LeaseClass
    access: Access
    gpus: int  # in all, over `nodes`
    nodes: int  # a gang of this many nodes with gpus/nodes each, all or nothing
    bid_micro: int  # the tenant never pays more for a GPU-hour
    grace_us: int  # length of its notice
    requested_us: int
    since_us: int  # when `state` was entered
    state: State = State.REQUESTED
    version: int = 1
    term_us: int | None = None  # ends this long after its start; guarded leases always have one
    restartable: bool = True  # queued again after a reclaim
    whole_nodes: bool = False  # shares its nodes with nobody (ssh)
    attempt: int = 0  # 1 is the first grant
    reclaims: int = 0  # how often the owner took it back
    not_before_us: int = 0  # back-off: not granted again earlier
    # the running attempt, from its grant
    price_micro: int | None = None
    placement: Placement = ()
    granted_us: int | None = None
    exempt_until_us: int = 0  # the end of a reclaim is never before this
    ends_us: int | None = None  # end of the term
    funded_until_us: int | None = None  # the holds on the tenant's account pay up to here
    started_us: int | None = None
    noticed_us: int | None = None
    deadline_us: int | None = None
    notice_at_us: int | None = None  # dated: the owner takes it back, and its notice is to be given then
    stopped_us: int | None = None  # billing ended here at the latest
    checkpoint_us: int | None = None  # the last one the workload proved, over all attempts
    metered_us: int | None = None  # usage is recorded up to here
    usage_seq: int = 0  # the last usage interval written
    cause: Cause | None = None
    exit_code: int | None = None  # of the attempt, and before its end of the last one if that was reclaimed
    reason: str = ""  # what a person should know about its present state

    @property
    def run(self) -> RunId:
        """The engine's name for the present attempt."""
        return lease_run(self.id, self.attempt)

    @property
    def gpus_per_node(self) -> int:
        """GPUs the gang wants on each of its nodes."""
        return self.gpus // self.nodes

    @property
    def heeds(self) -> bool:
        """Whether it answered the notice of its last reclaim with a checkpoint: its next one will lose little."""
        return self.reclaims > 0 and self.exit_code == CHECKPOINTED_EXIT

    @property
    def is_bought(self) -> bool:
        """Whether it is a block that was bought: its start (`not_before_us`), end (`ends_us`) and price (the bid) are fixed."""
        return self.lease_class is LeaseClass.BLOCK and self.ends_us is not None


def step(lease: Lease, *events: Event, at: int, reason: str | None = None, **data: Any) -> Lease:
    """The lease after `events` at instant `at` (µs), one after the other; raises `IllegalStep` if the table has no such step.

    `data` are the fields that belong to the events. The caller saves the lease, guarded by `version`.
    """
    assert at >= lease.since_us, f"{lease.id}: time must not run backwards ({at} < {lease.since_us})"
    state = walked(NEXT, lease.state, events, "lease", lease.id)
    said = lease.reason if reason is None else reason
    return changed(lease, state=state, since_us=at, version=lease.version + len(events), reason=said, **data)
