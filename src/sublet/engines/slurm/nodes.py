"""Nodes as Slurm tells of them: their GPUs, what else they have, and whether they are fit for use.

`sinfo` is asked for the few columns that are needed: its lines stand for all nodes that are alike, so that 75,000 nodes are a
handful of lines where `sinfo --json` writes 98 MB.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sublet.engines.slurm.hostlist import expand
from sublet.engines.slurm.jobs import gpus_in

COLUMNS = "NodeList:|,Gres:|,CPUs:|,Memory:|,StateLong:|,Reason:|"
"""What `sinfo --Format` prints."""

_UNFIT = (
    *("down", "drain", "fail", "unknown", "error", "reboot", "maint"),
    *("inval", "power", "future", "blocked", "not_resp", "reserved"),
)
_SILENT = "*"  # behind a state: the node does not respond


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `state` as Slurm says it; `problem`: why it is not fit for use, or empty."""

    name: str
    gpus: int
    gpu_type: str
    cpus: int
    memory_mib: int
    problem: str


def read_lines(text: str) -> list[Node]:
    """From `sinfo -h --Format=COLUMNS`: nodes of several partitions come once for each, and are told once."""
    found: dict[str, Node] = {}
    for line in filter(None, text.splitlines()):
        names, gres, cpus, memory, state, reason = line.split("|", 5)
        gpus, kind = gpus_in(gres)
        problem = _problem(state, reason.rstrip("|"))
        for name in expand(names):
            found[name] = Node(name, gpus, kind or "gpu", int(cpus), int(memory), problem)
    return list(found.values())


def read(documents: Iterable[Mapping[str, Any]]) -> list[Node]:
    """From slurmrestd's `/nodes`."""
    out = []
    for of in documents:
        gpus, kind = gpus_in(of["gres"] or "")
        state = "+".join([of["state"], *of["state_flags"]]).lower()
        problem = _problem(state, of["reason"] or "")
        out.append(Node(of["name"], gpus, kind or "gpu", of["cpus"], of["real_memory"], problem))
    return out


def _problem(state: str, reason: str) -> str:
    said = state.lower()
    fit = not any(word in said for word in _UNFIT) and _SILENT not in said
    why = "" if reason in {"", "none"} else f": {reason}"
    return "" if fit else f"Slurm says {state}{why}"
