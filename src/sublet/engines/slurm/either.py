"""slurmrestd where there is one, the command-line tools where it fails: a hanging daemon must not keep the owner waiting."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from sublet.core.errors import Unavailable
from sublet.engines.slurm.jobs import Job
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.transport import Submission, Transport

REST_AGAIN_S = 30.0
MANY = 8

Answer = TypeVar("Answer")


class Either:
    """The first way, and after a failure of it the second one for a while."""

    def __init__(self, first: Transport, second: Transport, now_s: Callable[[], float] = time.monotonic) -> None:
        self._first, self._second, self._now_s = first, second, now_s
        self._first_from_s = 0.0

    def version(self) -> str:
        """As whoever answers says."""
        return self._try(lambda way: way.version())

    def jobs(self) -> list[Job]:
        """All jobs, from `squeue`: the daemon would write a kilobyte and a half of JSON for each."""
        return self._second.jobs()

    def nodes(self) -> list[Node]:
        """All nodes, from `sinfo`: it asks for less."""
        return self._second.nodes()

    def address(self, node: str) -> str:
        """From `scontrol`."""
        return self._second.address(node)

    def submit(self, job: Submission) -> int:
        """By `sbatch`: slurmrestd of 22.05 cannot ask that the batch script be warned of a preemption."""
        return self._second.submit(job)

    def signal(self, jobs: Sequence[int], name: str) -> None:
        """May reach one twice, which does no harm."""
        self._try_many(jobs, lambda way, some: way.signal(some, name))

    def cancel(self, jobs: Sequence[int]) -> None:
        """The same."""
        self._try_many(jobs, lambda way, some: way.cancel(some))

    def _try_many(self, jobs: Sequence[int], ask: Callable[[Transport, Sequence[int]], None]) -> None:
        """The tools take a thousand jobs in one call, slurmrestd one."""
        if len(jobs) > MANY:
            ask(self._second, jobs)
        elif jobs:
            self._try(lambda way: ask(way, jobs))

    def _way(self) -> Transport:
        return self._first if self._now_s() >= self._first_from_s else self._second

    def _failed(self, way: Transport) -> None:
        if way is self._first:
            self._first_from_s = self._now_s() + REST_AGAIN_S

    def _try(self, ask: Callable[[Transport], Answer]) -> Answer:
        way = self._way()
        try:
            return ask(way)
        except Unavailable:
            self._failed(way)
            if way is self._second:
                raise
            return ask(self._second)
