"""Looking at the cluster's queue: one call for everything, not more often than its length allows, and what it found kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sublet.core.errors import Unavailable
from sublet.engines.slurm.jobs import Job
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.site import POLL_LEAST_S, POLL_MOST_S, POLL_SHARE, Cluster, run_of
from sublet.engines.slurm.transport import Transport

NODES_LEAST_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """The queue at one instant. `asked_s`: when we asked, by the steady clock; what was queued before is in it."""

    asked_s: float = float("-inf")
    asked_us: int = 0  # the same by the wall clock
    ours: dict[str, list[Job]] = field(default_factory=dict)  # by run; more than one only after a crash between two steps
    others: tuple[Job, ...] = ()


class Queue:
    """The last look at jobs and nodes."""

    def __init__(self, cluster: Cluster, transport: Transport, now_s: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._transport, self._now_s = cluster, transport, now_s
        self._look = Look()
        self._next_s = float("-inf")
        self._nodes: dict[str, Node] = {}
        self.problems: dict[str, str] = {}  # of nodes that were unfit for use when they were last asked for
        self._nodes_next_s = float("-inf")
        self.looks = 0

    def look(self) -> Look:
        """The last look, or a new one if that is old enough."""
        return self.fresh() if self._now_s() >= self._next_s else self._look

    def fresh(self) -> Look:
        """A new look, whatever the last one's age. After a failure the next is not tried sooner than after a success."""
        asked, asked_us = self._now_s(), time.time_ns() // 1_000
        try:
            jobs = self._transport.jobs()
        except Unavailable:
            self._next_s = self._now_s() + POLL_LEAST_S
            raise
        took = self._now_s() - asked
        self._next_s = self._now_s() + min(max(POLL_SHARE * took, POLL_LEAST_S), POLL_MOST_S)
        ours: dict[str, list[Job]] = {}
        others = []
        for job in jobs:
            run = run_of(self._cluster, job.comment)
            if run is None:
                others.append(job)
            else:
                ours.setdefault(run, []).append(job)
        self._look = Look(asked, asked_us, ours, tuple(others))
        self.looks += 1
        return self._look

    def since(self, instant_s: float) -> Look:
        """A look that was asked for after an instant of the steady clock."""
        return self._look if self._look.asked_s > instant_s else self.fresh()

    def forget(self) -> None:
        """What was seen is too old by now."""
        self._next_s = self._nodes_next_s = float("-inf")

    def expire(self) -> None:
        """What we have just done should be seen soon."""
        self._next_s = min(self._next_s, self._now_s() + POLL_LEAST_S)

    def nodes(self) -> dict[str, Node]:
        """The nodes by name."""
        if self._now_s() >= self._nodes_next_s:
            asked = self._now_s()
            self._nodes = {node.name: node for node in self._transport.nodes()}
            self.problems = {node.name: node.problem for node in self._nodes.values() if node.problem}
            took = self._now_s() - asked
            self._nodes_next_s = self._now_s() + max(NODES_LEAST_S, POLL_SHARE * took)
        return self._nodes

    def known_nodes(self) -> dict[str, Node]:
        """The nodes by name, however old the answer is."""
        return self._nodes or self.nodes()
