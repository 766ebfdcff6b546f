"""The hand-over of a run: what the agent, the nodes' epilog and we ourselves can prove of the nodes it leaves.

Slurm lets a job's nodes go only after every process in its containers has ended and the epilog ran; so a job that it calls over
has left them. The agent adds what it found on the node; the epilog, where the owner installed it (`sublet slurm plan`), looks
at each node as root. A node that failed proves nothing.
"""

import json
from pathlib import Path
from typing import Any

from sublet.engines.local.rundir import RunDir
from sublet.engines.local.trees import remove_tree
from sublet.engines.slurm.jobs import Job
from sublet.engines.slurm.observation import hand_over_record
from sublet.engines.slurm.site import Cluster

EPILOG_DIRECTORY = "epilog"


def verdict(cluster: Cluster, run: RunDir, job: Job | None, *, never: bool) -> tuple[bool, dict[str, str]]:
    """Whether the run's GPUs may go to others, and the evidence."""
    if never:
        return True, {"processes": "it never ran"}
    told = hand_over_record(run)
    problems: list[str] = []
    evidence: dict[str, str] = {"processes": "Slurm ended them: the job is over on all its nodes"}
    if told is not None:
        evidence |= told["evidence"]
        if not told["fine"]:
            problems.append(evidence.get("problem") or evidence.get("devices") or "the agent found something")
    elif job is not None and not job.start_s:
        evidence = {"processes": "it never ran"}
    else:
        evidence["agent"] = "left no word; what follows is Slurm's and ours"
    for path in (run.scratch, run.told):
        left = remove_tree(path)
        if left:
            problems.append(left)
    evidence.setdefault("scratch", "removed" if not run.scratch.exists() else "could not be removed")
    if job is not None and job.state == "NODE_FAIL":
        problems.append("a node failed while it ran: nothing can be proved of what is left there")
    if cluster.epilog and job is not None and job.start_s:
        evidence["epilog"], bad = _epilog(cluster.shared / EPILOG_DIRECTORY, job)
        problems += bad
    if problems:
        evidence["problem"] = "; ".join(problems)
    return not problems, evidence


def _epilog(directory: Path, job: Job) -> tuple[str, list[str]]:
    """What the epilog wrote on each node of the job, and what is wrong with that."""
    said, bad = [], []
    for node, _ in job.held:
        record = _read(directory / f"{job.id}.{node}.json")
        if record is None:
            bad.append(f"the epilog of {node} left no word")
        elif record.get("problem"):
            bad.append(f"{node}: {record['problem']}")
        else:
            said.append(f"{node}: {record.get('found', 'clean')}")
    return "; ".join(said) or "no node is proved clean", bad


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
