"""Jobs from the columns that `squeue --Format` prints: a seventh of the time that `squeue --json` takes for as many jobs.

Columns end with a control character that no name contains, because an owner's job may be called anything. They do not say how
many GPUs a job holds on each of its nodes; that follows from what it asked for, but where it asked for a number in all, or for
each task, and got several nodes: then `scontrol` is asked, once for each such job.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sublet.engines.slurm.hostlist import expand
from sublet.engines.slurm.jobs import Job, asked, gpus_in

_END, _LAST = "\x1f", "\x1e"
_NAMES = (
    *("JobID", "ArrayJobID", "ArrayTaskID", "Name", "Comment", "Partition", "State", "Reason", "NumNodes", "NodeList"),
    *("tres-per-job", "tres-per-node", "tres-per-task", "tres-per-socket", "NumTasks", "OverSubscribe"),
    *("SubmitTime", "StartTime", "EndTime", "exit_code", "RestartCnt", "PreemptTime", "ReqSwitch"),
)
COLUMNS = ",".join(f"{name}:{_END}" for name in _NAMES) + _LAST
"""What `squeue --Format` is told to print."""
SURROUNDINGS = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
"""Instants in seconds since the epoch, and the numbers of an array's tasks in full."""

_NOTHING = frozenset({"", "N/A", "NONE", "(null)", "Unknown"})
_DOWN_OR_RESERVED = "Nodes_required_for_job_are"
"""How Slurm words it where some of the nodes that a job could wait for are out of use: `Resources` all the same."""
_DETAIL = re.compile(r"\bNodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S*)")

Held = tuple[tuple[str, int], ...]


def read_all(text: str, known: Mapping[str, Job]) -> dict[str, Job]:
    """The jobs of an answer by their texts; those that are `known` are not read anew.

    A name may hold anything, even our separators: what cannot be read then is left out, for no job may stop the looks.
    """
    found: dict[str, Job] = {}
    for piece in text.split(_END + _LAST):
        record = piece.removeprefix("\n")
        job = known.get(record)
        if job is None and record.strip():
            with suppress(ValueError):
                job = read(record)
        if job is not None:
            found[record] = job
    return found


def read(record: str) -> Job:
    """One job. Where it is not `sure` what it holds on each of its nodes, that is spread evenly over them."""
    parts = record.split(_END)
    number, array, task = parts[:3]
    *name, comment, partition, state, reason, nodes, names = parts[3:-13]
    by_job, by_node, by_task, by_socket, tasks, sharing = parts[-13:-7]
    submitted, starts, ends, status, restarts, preempted, switches = parts[-7:]
    count = max(1, int(nodes))
    gpus, kind = asked((by_job, by_node, by_task, by_socket), nodes=count, tasks=int(tasks))
    numbers, _, at_once = _given(task).partition("%")
    held = spread(expand(_given(names)), gpus)
    exclusive = sharing == "NO"
    sure = exclusive or not gpus or bool(gpus_in(by_node)[0]) or (len(held) <= 1 and not gpus_in(by_socket)[0])
    return Job(
        id=int(number),
        name=_END.join(name),
        comment=_given(comment),
        partition=partition,
        state=state,
        reason=_reason(reason),
        gpus=gpus,
        gpu_type=kind,
        nodes=count,
        held=held,
        exclusive=exclusive,
        submit_s=_instant(submitted),
        start_s=_instant(starts),
        end_s=_instant(ends),
        exit_status=int(status),
        array=int(array) if numbers else 0,
        task=int(numbers) if numbers.isdigit() else None,
        tasks="" if numbers.isdigit() else _given(task),
        tasks_at_once=int(at_once or 0),
        restarts=int(restarts),
        preempt_s=_instant(preempted),
        switches=int(switches),
        sure=sure,
    )


def spread(names: Sequence[str], gpus: int) -> Held:
    """So many GPUs on these nodes, one more on the first where they do not divide."""
    if not names:
        return ()
    each, more = divmod(gpus, len(names))
    return tuple((name, each + (number < more)) for number, name in enumerate(names))


def read_details(text: str, job: int) -> Held:
    """What `scontrol -d -o show job` says that a job holds on each of its nodes; empty if it does not say."""
    lines = [line for line in text.splitlines() if line.startswith(f"JobId={job} ")]
    found = [(names, gpus_in(gres)[0]) for line in lines for names, gres in _DETAIL.findall(line)]
    return tuple((name, gpus) for names, gpus in found for name in expand(names))


def _given(text: str) -> str:
    return "" if text in _NOTHING else text


def _instant(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _reason(text: str) -> str:
    """The code of the reason: where Slurm has more to say, it prints that in its stead."""
    said = text.replace(" ", "_")
    return "Resources" if said.startswith(_DOWN_OR_RESERVED) else said.partition(",")[0]
