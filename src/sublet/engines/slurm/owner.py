"""The owner's own jobs in the queue, as work that leases give way to.

Everything that is not ours and holds or wants GPUs is his. A waiting job counts as able to start only when nothing but GPUs is
missing: for one that waits for a date, a limit or another job no lease is ended. Jobs without GPUs that share their nodes do
not concern leases and are left out.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from sublet.core.ids import NodeId
from sublet.core.topology import Within
from sublet.engines.protocol import OwnerWork
from sublet.engines.slurm.jobs import FINAL, ON_NODES, WAITING, Job
from sublet.engines.slurm.nodes import Node

SECOND_US = 1_000_000
ARRAY_MOST = 256
"""Tasks of one waiting array that are shown singly; the others follow as these start."""

_ONLY_GPUS_MISSING = frozenset({"", "None", "Resources", "Priority", "Reservation"})
_TASKS = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


def owner_work(jobs: Iterable[Job], nodes: Mapping[str, Node], *, surplus: str) -> list[OwnerWork]:
    """His jobs. One that waits in the surplus partition takes what is left, as leases do: nothing is ended for it."""
    largest = _largest(nodes)
    return [work for job in jobs for work in _work(job, nodes, largest, surplus)]


def _largest(nodes: Mapping[str, Node]) -> dict[str, int]:
    """GPUs of the largest node by their type; under the empty name, of all."""
    found: dict[str, int] = {}
    for node in nodes.values():
        for kind in ("", node.gpu_type):
            found[kind] = max(found.get(kind, 0), node.gpus)
    return found


def _work(job: Job, nodes: Mapping[str, Node], largest: Mapping[str, int], surplus: str) -> Iterator[OwnerWork]:
    if job.state in ON_NODES or (job.state in FINAL and job.start_s):
        held = tuple(_held(job, nodes))
        if held:
            started = job.start_s * SECOND_US
            over = job.state in FINAL
            yield OwnerWork(
                id=_name(job, job.task),
                name=job.name,
                gpus=sum(count for _, count in held),
                nodes=len(held),
                submitted_us=min(job.submit_s * SECOND_US, started),
                gpu_model=job.gpu_type,
                started_us=started,
                ended_us=max(job.end_s, job.start_s) * SECOND_US if over else None,
                exit_code=os.waitstatus_to_exitcode(job.exit_status) if over else None,
                held=held,
            )
    elif job.state in WAITING:
        shape = _shape(job, largest.get(job.gpu_type, 0))
        if shape is None:
            return
        gpus, count = shape
        near = Within.RACK if job.switches == 1 else Within.SITE
        able = job.reason in _ONLY_GPUS_MISSING and job.partition != surplus
        for task in _tasks(job):
            submitted = job.submit_s * SECOND_US
            yield OwnerWork(_name(job, task), job.name, gpus, count, submitted, job.gpu_type, within=near, able=able)


def _held(job: Job, nodes: Mapping[str, Node]) -> Iterator[tuple[NodeId, int]]:
    """GPUs it holds on each node; a job that shares its nodes with nobody holds all of theirs."""
    for name, count in job.held:
        node = nodes.get(name)
        if node is None or not node.gpus:
            continue
        gpus = node.gpus if job.exclusive else min(count, node.gpus)
        if gpus:
            yield NodeId(name), gpus


def _shape(job: Job, largest: int) -> tuple[int, int] | None:
    """(GPUs in all, nodes) that it waits for, even over its nodes; None if it wants none. `largest`: GPUs of one node."""
    if not largest or not (job.gpus or job.exclusive):
        return None
    count = max(job.nodes, -(-job.gpus // largest))
    per_node = largest if job.exclusive else -(-job.gpus // count)
    return per_node * count, count


def _tasks(job: Job) -> Iterator[int | None]:
    """The numbers of an array's waiting tasks, or None once for a plain job. `3-9:2,20%4` runs four at once."""
    if not job.tasks:
        yield job.task
        return
    most = min(ARRAY_MOST, job.tasks_at_once or ARRAY_MOST)
    given = 0
    for first, last, step in _TASKS.findall(job.tasks.partition("%")[0]):
        for number in range(int(first), int(last or first) + 1, int(step or 1)):
            if given == most:
                return
            given += 1
            yield number


def _name(job: Job, task: int | None) -> str:
    """Stable over the split of an array, and new for each restart of a job."""
    name = str(job.id) if task is None else f"{job.array}_{task}"
    return f"{name}r{job.restarts}" if job.restarts else name
