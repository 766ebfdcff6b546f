"""The owner's own work: jobs that come first, and the table that moves them.

A job may also be queued *elsewhere*, with the owner's own scheduler (Slurm, say). Leases end for it as for any other, but that
scheduler starts it, where it likes; we only follow.

A *hold* is a job without a workload: the owner takes GPUs out of the market and keeps them until it is released.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sublet.core.fleet import Placement
from sublet.core.ids import JobId, PoolId, RunId, job_run
from sublet.core.topology import Within
from sublet.core.transitions import walked
from sublet.core.values import changed

ELSEWHERE = "queue-"
"""Begins the id of a job that is queued elsewhere."""


class JobState(StrEnum):
    """Where a job of the owner is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    HANDOVER = "handover"
    ENDED = "ended"


class JobEvent(StrEnum):
    """What may happen to a job of the owner."""

    PLACE = "place"
    STARTED = "started"
    CANCEL = "cancel"
    STOP = "stop"
    EXITED = "exited"
    FREE = "free"


_S, _E = JobState, JobEvent
NEXT_JOB: Mapping[tuple[JobState, JobEvent], JobState] = {
    (_S.WAITING, _E.PLACE): _S.STARTING,
    (_S.WAITING, _E.CANCEL): _S.ENDED,
    (_S.STARTING, _E.STARTED): _S.RUNNING,
    (_S.STARTING, _E.STOP): _S.STOPPING,
    (_S.STARTING, _E.EXITED): _S.HANDOVER,
    (_S.RUNNING, _E.STOP): _S.STOPPING,
    (_S.RUNNING, _E.EXITED): _S.HANDOVER,
    (_S.STOPPING, _E.EXITED): _S.HANDOVER,
    (_S.HANDOVER, _E.FREE): _S.ENDED,
}

JOB_HELD = frozenset({_S.STARTING, _S.RUNNING, _S.STOPPING, _S.HANDOVER})


@dataclass(frozen=True)
class OwnerJob:
    """A job or hold of the owner. Instants in µs."""

    id: JobId
    pool: PoolId
    name: str
    gpus: int
    nodes: int
    submitted_us: int
    since_us: int
    is_hold: bool = False
    forced: bool = False  # may break what needs force (block leases, the safety limit); audited
    within: Within = Within.SITE  # how near each other its nodes have to be
    state: JobState = JobState.WAITING
    version: int = 1
    placement: Placement = ()  # while it waits: the GPUs that are kept for it until all of them are free
    entitled_us: int | None = None  # when it could first have run had nothing been leased; its delay counts from here
    started_us: int | None = None
    ended_us: int | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def run(self) -> RunId:
        """The engine's name for it."""
        return job_run(self.id)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the owner's own scheduler queues, starts and ends it."""
        return self.id.startswith(ELSEWHERE)

    @property
    def gpus_per_node(self) -> int:
        """GPUs it wants on each of its nodes."""
        return self.gpus // self.nodes


def step_job(job: OwnerJob, *events: JobEvent, at: int, reason: str | None = None, **data: Any) -> OwnerJob:
    """The job after `events` at instant `at` (µs), one after the other; raises `IllegalStep` if the table has no such step.

    `data` are the fields that belong to the events.
    """
    assert at >= job.since_us, f"{job.id}: time must not run backwards"
    state = walked(NEXT_JOB, job.state, events, "owner job", job.id)
    said = job.reason if reason is None else reason
    return changed(job, state=state, since_us=at, version=job.version + len(events), reason=said, **data)
