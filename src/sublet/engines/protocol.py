"""What an engine is: it starts, tells, stops, cleans and reports runs, and decides nothing.

Every call is idempotent by run and may be repeated after any crash: the control plane sends an order again until `observe`
shows that it took effect. An order names everything; no meaningful choice is left to the engine. All instants are
microseconds since the epoch by the engine's own clock, all durations microseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sublet.core.fleet import Placement
from sublet.core.ids import NodeId, RunId
from sublet.core.topology import Within
from sublet.core.workload import Workload


class Phase(StrEnum):
    """Where a run is, as the engine can prove it."""

    STARTING = "starting"  # the order was taken
    RUNNING = "running"
    EXITED = "exited"  # its main process is gone; GPUs are not yet fit for others
    CLEAN = "clean"  # hand-over done: no process left, scratch wiped, device checked
    DIRTY = "dirty"  # hand-over failed: the node must not be offered


@dataclass(frozen=True, slots=True)
class Seen:
    """One run as observed. A run of which the engine knows nothing is absent from `observe`."""

    run: RunId
    phase: Phase
    started_us: int | None = None
    exited_us: int | None = None  # the real end, also when nobody was watching
    exit_code: int | None = None  # negative: ended by that signal; None: unknown, so its node failed and it may come again
    checkpoint_us: int | None = None  # the last checkpoint the workload marked
    evidence: Mapping[str, str] = field(default_factory=dict)  # of the hand-over, or of what went wrong
    taken_us: int | None = None  # the owner's own scheduler takes its GPUs, without an order of ours, and said so then
    taken_by_us: int | None = None  # and when that will be at the earliest, while it still runs


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """One node as the engine sees it."""

    id: NodeId
    gpus: int
    gpu_model: str  # honestly `cpu` where a slot is no GPU
    healthy: bool = True
    detail: str = ""
    rack: str = ""  # where it stands, if the engine knows; "" if not
    pod: str = ""  # of racks


@dataclass(frozen=True, slots=True)
class OwnerWork:
    """A job in the owner's own queue, which the engine's scheduler starts and ends without asking us."""

    id: str  # stable as long as it is there, the same for no other job
    name: str
    gpus: int
    nodes: int
    submitted_us: int
    gpu_model: str = ""  # that it insists on; empty: any
    started_us: int | None = None
    ended_us: int | None = None
    exit_code: int | None = None
    held: tuple[tuple[NodeId, int], ...] = ()  # (node, GPUs) of a job that ran or runs; which of a node's GPUs is not said
    within: Within = Within.SITE  # how near each other it wants its nodes
    able: bool = True  # a waiting job that would start if there were GPUs: not held back by a limit, a date or another job


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this engine can do, as one value."""

    name: str
    isolation: str  # what really separates tenants, in words fit for a contract
    gangs: bool = True  # runs over more than one node
    grace_max_us: int | None = None
    survives_control_plane: bool = True
    notice_ways: tuple[str, ...] = ("signal", "file", "environment")
    place: str = ""  # where its runs are kept: engines of different places do not see each other's; empty: all see the same
    endpoint_host: str = ""  # where a server that a run starts is reached; `ON_ITS_NODE`: as `host_of` says; empty: it is not
    programs: str = ""  # the folder in which its runs find this package's own programs; empty: they have them on their PATH
    owner_queue: bool = False  # the owner's jobs are queued there, and `owner_work` tells of them


@dataclass(frozen=True, slots=True)
class StartOrder:
    """Start this run here. `volume` names storage that survives attempts (the lease); None for none."""

    run: RunId
    task: str  # stable over attempts: SUBLET_TASK_ID
    placement: Placement
    workload: Workload
    attempt: int = 1
    volume: str | None = None
    tenant: str = ""  # whose lease it is
    is_owner: bool = False  # the owner's job: not confined as a stranger
    kill_at_us: int | None = None  # end it then even if no further order comes (end of term or of funds)
    env: Mapping[str, str] = field(default_factory=dict)  # set by the control plane, wins over the workload's


@dataclass(frozen=True, slots=True)
class NoticeOrder:
    """Tell the run of its end: file and signal now; the engine itself ends it at the deadline."""

    run: RunId
    deadline_us: int
    reason: str  # reclaimed | expired | budget
    signal: str = "TERM"


@dataclass(frozen=True, slots=True)
class StopOrder:
    """End the run: SIGTERM (or the workload's signal) now, SIGKILL of everything left after `grace_us`."""

    run: RunId
    grace_us: int


class Engine(Protocol):
    """Where runs live. Batches may be taken in any order; one bad order must not stop the others."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def looked_us(self) -> int | None:
        """As of when the last `observe` is true, where a look is costly and kept for a while; None: as of its call."""

    def nodes(self) -> Sequence[NodeSeen]:
        """All nodes, with their health now."""

    def host_of(self, node: NodeId) -> str:
        """The name or address by which a node is reached over the network, for runs that serve something."""

    def start(self, orders: Sequence[StartOrder]) -> None:
        """Start each run unless it was ever started; a run that has exited is never started again."""

    def notify(self, orders: Sequence[NoticeOrder]) -> None:
        """Give each run its notice, once; an earlier deadline replaces a later one."""

    def stop(self, orders: Sequence[StopOrder]) -> None:
        """End each run. A run that was never started becomes `EXITED` without having run, and can never start."""

    def clean(self, runs: Sequence[RunId]) -> None:
        """Hand-over of each exited run: kill leftovers, wipe scratch, check devices. Ends as `CLEAN` or `DIRTY`."""

    def observe(self) -> Mapping[RunId, Seen]:
        """Every run known, in one call."""

    def owner_work(self) -> Sequence[OwnerWork] | None:
        """The owner's jobs as of the last `observe`, waiting and running; None where he queues them with us."""

    def show_life(self) -> None:
        """A whole pass went through: what would give the owner his GPUs without us may go on sleeping."""

    def forget(self, runs: Sequence[RunId]) -> None:
        """Drop the records of finished runs; the control plane has stored what it needs."""

    def discard(self, volume: str) -> None:
        """Wipe a volume that survived attempts; its lease is over."""

    def logs(self, run: RunId, *, offset: int = 0) -> Iterator[bytes]:
        """What the run printed (stdout and stderr), from a byte offset, as far as it is there."""
