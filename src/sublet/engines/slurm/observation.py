"""What a run's files and Slurm's record of its job prove together.

Slurm says whether the job lives, where it ran and how it ended, to the second. The agent says the same to the microsecond, and
more. Where both speak, the agent's instants count inside the seconds that Slurm allows, so that no file in a tenant's reach
can make a run longer or shorter than its job.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sublet.core.ids import RunId
from sublet.engines.local import records
from sublet.engines.local.rundir import RunDir
from sublet.engines.local.volumes import last_checkpoint
from sublet.engines.protocol import Phase, Seen
from sublet.engines.slurm.agent import HANDOVER_RECORD, SLURM_RECORD, TAKEN
from sublet.engines.slurm.jobs import COMPLETING, FINAL, Job

SECOND_US = 1_000_000
NEVER = "stopped before it was started"
BURIED = "engine"  # what `taken` says of a run that was ended before it began
_OWN_END = {"TIMEOUT": "time limit", "PREEMPTED": "preempted", "OUT_OF_MEMORY": "memory", "NODE_FAIL": "node failure"}


def taken_by(run: RunDir) -> str | None:
    """Who decided the run: a job's number, or `BURIED`; None while nobody did."""
    try:
        return str((run.path / TAKEN).readlink())
    except OSError:
        return None


def is_over(job: Job | None) -> bool:
    """Whether Slurm has given the GPUs of this job back."""
    return job is None or job.state in FINAL


def living(name: RunId, job: Job | None, *, now_us: int, started: Mapping[str, Any] | None, spec: Mapping[str, Any]) -> Seen:
    """A run whose job is on its nodes, its grace running if Slurm preempts it."""
    if started is None:
        return Seen(name, Phase.STARTING)
    at = started["started_us"]
    taken = None if job is None or not job.preempt_s else job.preempt_s * SECOND_US
    volume = Path(spec["volume"]) if spec["volume"] else None
    return Seen(
        name,
        Phase.RUNNING,
        started_us=at,
        checkpoint_us=last_checkpoint(volume, claimed_us=at - SECOND_US, started_us=at, now_us=now_us),
        taken_us=None if taken is None else max(at, taken),
        taken_by_us=None if taken is None else max(at, taken) + spec["preempt_grace_us"],
    )


def ended(name: RunId, run: RunDir, job: Job | None, *, now_us: int) -> Seen:
    """A run whose job is over or ends just now, hand-over included if that has a verdict."""
    told = records.read(run.exited)
    warned = records.read(run.path / SLURM_RECORD) or {}
    cleaned = records.read(run.cleaned)
    started_us, exited_us = _instants(run, told, job, now_us)
    evidence = _evidence(run, told, job) | (cleaned["evidence"] if cleaned else {})
    return Seen(
        run=name,
        phase=Phase(cleaned["phase"]) if cleaned else Phase.EXITED,
        started_us=started_us,
        exited_us=exited_us,
        exit_code=_exit_code(told, job, started_us),
        checkpoint_us=_checkpoint(run, told, started_us, exited_us),
        evidence=evidence,
        taken_us=_taken_us(job, warned.get("warned_us"), started_us, exited_us),
    )


def _taken_us(job: Job | None, warned_us: int | None, started_us: int | None, exited_us: int) -> int | None:
    """When Slurm announced that it preempts the run, if it did. One that then saves and leaves by itself is not PREEMPTED."""
    if job is None or not (job.preempt_s or job.state == "PREEMPTED"):
        return None
    said = warned_us or job.preempt_s * SECOND_US or exited_us
    return max(started_us or 0, min(said, exited_us))


def _instants(run: RunDir, told: Mapping[str, Any] | None, job: Job | None, now_us: int) -> tuple[int | None, int]:
    started_record = records.read(run.started)
    said = (told or {}).get("started_us") or (started_record or {}).get("started_us")
    ended = (told or {}).get("exited_us")
    if job is None or not job.start_s:
        return said, ended or (job.end_s * SECOND_US if job is not None and job.end_s else now_us)
    earliest, latest = job.start_s * SECOND_US, now_us
    if job.state in FINAL and job.end_s:
        latest = min((job.end_s + 1) * SECOND_US, now_us)
    latest = max(latest, earliest)
    started = None if said is None else min(max(said, earliest), latest)
    if ended is None:
        ended = job.end_s * SECOND_US if job.state in FINAL and job.end_s else now_us
    return started, min(max(ended, started or earliest), latest)


def _exit_code(told: Mapping[str, Any] | None, job: Job | None, started_us: int | None) -> int | None:
    """None where nobody knows, or where its node failed before it began: then it is not the workload that ended it."""
    if told is not None:
        code: int | None = told["code"]
        return code
    if job is None or job.state not in FINAL or job.state == "NODE_FAIL":
        return None
    if started_us is None:  # an operator's word, or the batch script's: no Python, say. A failed launch has no code
        return -signal.SIGTERM if job.state == "CANCELLED" else os.waitstatus_to_exitcode(job.exit_status & 0xFF00) or None
    if os.WIFSIGNALED(job.exit_status):
        return -os.WTERMSIG(job.exit_status)
    return os.waitstatus_to_exitcode(job.exit_status) or None  # 0 without a word of the agent proves no success


def _checkpoint(run: RunDir, told: Mapping[str, Any] | None, started_us: int | None, exited_us: int) -> int | None:
    if told is not None:
        marked: int | None = told["checkpoint_us"]
        return marked
    spec = records.read(run.spec)
    if spec is None or not spec["volume"] or started_us is None:
        return None
    return last_checkpoint(Path(spec["volume"]), claimed_us=started_us - SECOND_US, started_us=started_us, now_us=exited_us)


def _evidence(run: RunDir, told: Mapping[str, Any] | None, job: Job | None) -> dict[str, str]:
    said = told or {}
    found = {"ended_by": said.get("ended_by", ""), "error": said.get("error", "")}
    if said.get("outlived"):
        found["outlived"] = f"{said['outlived']} processes outlived the main one"
    if job is not None and job.state in FINAL:
        found["slurm"] = f"job {job.id} {job.state}" + (f" ({job.reason})" if job.reason not in {"", "None"} else "")
        if job.state in _OWN_END:
            found["ended_by"] = _OWN_END[job.state]
        elif found["ended_by"] == "slurm":
            found["ended_by"] = "cancelled" if job.state == "CANCELLED" else "slurm"
        if told is None and not found["error"]:
            found["error"] = f"its agent left no record{_last_words(run)}"
    elif told is None:
        found["error"] = f"Slurm no longer knows its job, and its agent left no record{_last_words(run)}"
    return {key: text for key, text in found.items() if text}


def _last_words(run: RunDir) -> str:
    """What the batch script complained of before there was an agent: no Python on the node, say."""
    lines = run.complaints.read_text(errors="replace").split("\n") if run.complaints.exists() else []
    said = [line for line in lines if line.strip()]
    return f" ({said[-1][:200]})" if said else ""


def ends(run: RunDir, job: Job | None) -> bool:
    """Whether the run is over.

    That of a job that still completes is, once its agent has said how it ended, unless Slurm ended it: only the job's final
    state tells whether that was a preemption.
    """
    if is_over(job):
        return True
    if job is None or job.state != COMPLETING:
        return False
    told = records.read(run.exited)
    warned = records.read(run.path / SLURM_RECORD) or {}
    return told is not None and warned.get("warned_us") is None


def hand_over_record(run: RunDir) -> Mapping[str, Any] | None:
    """What the agent found and wiped, if it came to that."""
    return records.read(run.path / HANDOVER_RECORD)
