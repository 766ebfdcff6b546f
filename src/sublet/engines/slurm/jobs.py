"""Jobs as Slurm tells of them, read from slurmrestd's `/jobs` (data v0.0.38); `columns` reads them from `squeue`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublet.engines.slurm.hostlist import expand

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
ON_NODES = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
FINAL = frozenset(
    {
        "COMPLETED",
        "CANCELLED",
        "FAILED",
        "TIMEOUT",
        "NODE_FAIL",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
        "OUT_OF_MEMORY",
        "REVOKED",
    }
)
COMPLETING = "COMPLETING"

_GPUS = re.compile(r"(?:^|,)(?:gres[:/])?gpu(?::([A-Za-z][^:(,=]*))?(?:[:=](\d+))?(?=[(,]|$)")


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Instants are whole seconds since the epoch, 0: not yet. `held`: GPUs of each node it has, in their order."""

    id: int
    name: str
    comment: str
    partition: str
    state: str
    reason: str
    gpus: int  # that it asks for in all; 0: none
    gpu_type: str  # that it asks for; empty: any
    nodes: int
    held: tuple[tuple[str, int], ...]
    exclusive: bool  # it shares its nodes with nobody
    submit_s: int
    start_s: int
    end_s: int
    exit_status: int  # as of wait(2)
    array: int  # the job array it belongs to; 0: none
    task: int | None  # its number in the array
    tasks: str  # the numbers that still wait in this one record: `3-100%3`
    tasks_at_once: int  # of an array; 0: as many as fit
    restarts: int
    preempt_s: int  # when Slurm began to preempt it: its grace runs
    switches: int = 0  # it wants to be on so many leaf switches at most; 0: it does not say, nor does slurmrestd
    sure: bool = True  # `held` is what it holds, not only what follows from what it asked for


def read(documents: Iterable[Mapping[str, Any]]) -> list[Job]:
    """The jobs of an answer."""
    return [_job(document) for document in documents]


def _job(of: Mapping[str, Any]) -> Job:
    nodes = max(1, of["node_count"] or 1)
    texts = [of[name] or "" for name in ("tres_per_job", "tres_per_node", "tres_per_task", "tres_per_socket")]
    gpus, gpu_type = asked(texts, nodes=nodes, tasks=of["tasks"] or 1)
    return Job(
        id=of["job_id"],
        name=of["name"] or "",
        comment=of["comment"] or "",
        partition=of["partition"] or "",
        state=of["job_state"],
        reason=of["state_reason"] or "",
        gpus=gpus,
        gpu_type=gpu_type,
        nodes=nodes,
        held=_held(of),
        exclusive=of["shared"] == "none",
        submit_s=of["submit_time"] or 0,
        start_s=of["start_time"] or 0,
        end_s=of["end_time"] or 0,
        exit_status=of["exit_code"] or 0,
        array=of["array_job_id"] or 0,
        task=of["array_task_id"],
        tasks=of["array_task_string"] or "",
        tasks_at_once=of["array_max_tasks"] or 0,
        restarts=of["restart_cnt"] or 0,
        preempt_s=of["preempt_time"] or 0,
    )


def gpus_in(text: str) -> tuple[int, str]:
    """(GPUs, their type) in a list of generic resources: `gres:gpu:h100:2`, `gpu:2`, `gpu:h100:8(S:0-1)`, `gres/gpu=4`."""
    total, kind = 0, ""
    for found in _GPUS.finditer(text):
        total += int(found[2] or 1)
        kind = kind or (found[1] or "")
    return total, kind


def asked(texts: Sequence[str], *, nodes: int, tasks: int) -> tuple[int, str]:
    """(GPUs in all, their type) of requests by job, node, task and socket; sockets count once a node, which is the least."""
    for text, times in zip(texts, (1, nodes, max(1, tasks), nodes), strict=True):
        gpus, kind = gpus_in(text)
        if gpus:
            return gpus * times, kind
    return 0, ""


def _held(of: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    if not of["nodes"]:
        return ()
    names = expand(of["nodes"])
    detail = [gpus_in(text)[0] for text in of["gres_detail"] or ()]
    detail += [0] * (len(names) - len(detail))
    return tuple(zip(names, detail, strict=False))
