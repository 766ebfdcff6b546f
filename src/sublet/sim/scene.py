"""What a replay is given: one pool, the owner's jobs, and who wants to lease."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sublet.core.demand import demand_of_jobs
from sublet.core.forecast import History
from sublet.core.ids import NodeId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class OwnerJobs:
    """The owner's jobs in order of submission: int64[n] each, µs and GPUs. Each is a gang of `nodes` x `gpus_per_node`."""

    submit_us: Ints
    run_us: Ints
    gpus_per_node: Ints
    nodes: Ints

    def __len__(self) -> int:
        """How many jobs."""
        return len(self.submit_us)

    def of(self, which: npt.NDArray[np.bool_] | Ints) -> "OwnerJobs":
        """Some of them: bool[n], or their indices, rising."""
        return OwnerJobs(self.submit_us[which], self.run_us[which], self.gpus_per_node[which], self.nodes[which])

    @property
    def demand(self) -> History:
        """The demand if each job ran when it was submitted."""
        return demand_of_jobs(self.submit_us, self.submit_us + self.run_us, self.gpus_per_node * self.nodes)


def no_jobs() -> OwnerJobs:
    """None at all."""
    nothing = np.empty(0, np.int64)
    return OwnerJobs(nothing, nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a tenant wants to lease: a gang of `nodes` x `gpus_per_node` GPUs for so much work (µs of running time)."""

    tenant: TenantId
    lease_class: LeaseClass
    gpus_per_node: int
    nodes: int
    work_us: int
    bid_micro: int
    term_us: int | None = None
    restartable: bool = True
    again: bool = False  # what a reclaim or the end of a term leaves undone is asked for anew, by a lease of its own


@dataclass(frozen=True, slots=True)
class Habits:
    """How workloads save their work. Durations in µs."""

    checkpoint_us: int | None = HOUR_US  # a checkpoint each such stretch of running; None: never
    save_us: int = 30 * SECOND_US  # writing one takes so long
    heed: bool = True  # a notice is answered with a checkpoint, and the GPUs are given back at once after it
    restart_us: int = MINUTE_US  # work that a new attempt repeats before it goes on


@dataclass(frozen=True, slots=True)
class Engine:
    """What a run takes on the engine, in µs."""

    start_us: int = 10 * SECOND_US  # from a grant to the running workload
    stop_us: int = 2 * SECOND_US  # from the end signal to the last process gone
    handover_us: int = MINUTE_US  # wipe and check


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One pool from `from_us` to `until_us`; the market opens at `open_us`, and from there on everything is measured.

    `standing` wishes are always there: as soon as one is granted the next is queued, `depth` of each. `listed` come once,
    at their instant.
    """

    pool: Pool
    nodes: tuple[NodeId, ...]
    sizes: tuple[int, ...]  # GPUs of each node
    jobs: OwnerJobs
    from_us: int
    open_us: int
    until_us: int
    standing: tuple[Wish, ...] = ()
    depth: int = 2
    listed: tuple[tuple[int, Wish], ...] = ()
    habits: Habits = field(default_factory=Habits)
    engine: Engine = field(default_factory=Engine)
    market_us: int = 5 * MINUTE_US  # a market round each such stretch; the owner is served at every instant

    @property
    def capacity(self) -> int:
        """GPUs of the pool."""
        return sum(self.sizes)
