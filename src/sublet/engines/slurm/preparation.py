"""Make a run's directory, complete before it appears: what the agent will run, and what the workload finds around it."""

import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sublet.core.fleet import gpus_of
from sublet.engines.local import environment, records
from sublet.engines.local.limits import Applied, Watched
from sublet.engines.local.rundir import NOTICE_NAME, SCRIPT_NAME, RunDir
from sublet.engines.local.trees import remove_tree
from sublet.engines.protocol import StartOrder

LOG_BYTES = 64 << 20
SHELL = "/bin/bash"
TASK_NAME = "task.sh"
_ON_EACH_NODE = "srun --ntasks-per-node=1 --kill-on-bad-exit=1 --export=ALL"
_SAID_BY_SLURM = (
    'export SUBLET_NODE_RANK="${SLURM_PROCID:-0}" SKYPILOT_NODE_RANK="${SLURM_PROCID:-0}"',
    'export SUBLET_GPU_IDS="${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-}}"',
    'SUBLET_NODE_IPS="$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null || hostname)"',
    'export SUBLET_NODE_IPS SKYPILOT_NODE_IPS="$SUBLET_NODE_IPS"',
)
"""Rank, hosts and numbers of GPUs are known once the job has its nodes."""


def prepare(shared: Path, order: StartOrder, *, grace_s: int, kill_wait_s: int) -> RunDir:
    """Let the run's directory appear with everything in it. `grace_s`, `kill_wait_s`: Slurm's own, for its preemptions."""
    final = RunDir(shared / "runs" / order.run)
    volume = None if order.volume is None else shared / "volumes" / order.volume
    with draft(final) as fresh:
        for path in (fresh.told, fresh.scratch, fresh.scratch / "tmp"):
            path.mkdir(mode=0o700)
        if volume is not None:
            volume.mkdir(mode=0o700, exist_ok=True)
        fresh.reserve()
        fresh.orders.unlink()  # replaced as a whole, never in place: there is no lock that holds between hosts
        os.mkfifo(fresh.wake, 0o600)
        fresh.lock.touch(0o600)
        _write_scripts(fresh, final, order, volume)
        records.write(fresh.spec, _spec(order, final, volume, grace_s=grace_s, kill_wait_s=kill_wait_s))
        records.sync_directory(fresh.path)
    records.sync_directory(final.path.parent)
    return final


@contextmanager
def draft(final: RunDir) -> Iterator[RunDir]:
    """A directory that becomes `final` once it is complete; one that cannot be completed goes, and the next try begins anew.

    Another control plane may be at the same run: a leader that was paused in the middle of this wakes up when its successor has
    made the run. So each has a draft of its own, whoever is first makes the run, and the other's is thrown away.
    """
    fresh = RunDir(final.path.with_name(f".new-{final.path.name}-{secrets.token_hex(4)}"))
    fresh.path.mkdir(mode=0o700)
    try:
        yield fresh
        fresh.path.rename(final.path)
    except BaseException as error:
        remove_tree(fresh.path)
        if not (isinstance(error, OSError) and final.path.exists()):
            raise


def batch_script(python: str, agent: Path, run: RunDir) -> str:
    """What Slurm starts. The signals that wake and warn are ignored until the agent listens, or they would end it."""
    words = " ".join(shlex.quote(str(word)) for word in (python, "-I", "-S", agent, run.path))
    return f"#!/bin/sh\ntrap '' USR1 USR2\nexec {words}\n"


def _write_scripts(fresh: RunDir, final: RunDir, order: StartOrder, volume: Path | None) -> None:
    """One script on one node; for a gang a first one that starts the other on each node."""
    env = _variables(order, final, volume)
    script = fresh.told / SCRIPT_NAME
    if len(order.placement) == 1:
        script.write_text(environment.script(order, env, first=_SAID_BY_SLURM))
        return
    (fresh.told / TASK_NAME).write_text(environment.script(order, env, first=_SAID_BY_SLURM, ready=False))
    command = f"{_ON_EACH_NODE} {SHELL} {shlex.quote(str(final.told / TASK_NAME))}"
    script.write_text(environment.script(replace(order, workload=replace(order.workload, run=command, setup="")), {}))


def _variables(order: StartOrder, run: RunDir, volume: Path | None) -> dict[str, str]:
    """The workload's variables; what the control plane sets wins."""
    gpus, nodes = gpus_of(order.placement), len(order.placement)
    ours = {
        "SUBLET_RUN_ID": order.run,
        "SUBLET_TASK_ID": order.task,
        "SUBLET_ATTEMPT": str(order.attempt),
        "SUBLET_GPUS": str(gpus),
        "SUBLET_NUM_NODES": str(nodes),
        "SUBLET_SCRATCH": str(run.scratch),
        "SUBLET_NOTICE_FILE": str(run.told / NOTICE_NAME),
        "SKYPILOT_TASK_ID": order.task,
        "SKYPILOT_NUM_NODES": str(nodes),
        "SKYPILOT_NUM_GPUS_PER_NODE": str(gpus // nodes),
    }
    if volume is not None:
        ours["SUBLET_CHECKPOINT_DIR"] = str(volume)
    return {**order.workload.env, **ours, **order.env}


def _spec(order: StartOrder, run: RunDir, volume: Path | None, *, grace_s: int, kill_wait_s: int) -> Mapping[str, Any]:
    mark = secrets.token_hex(16)
    workload = order.workload
    limits: Applied = Watched().prepare(order.run, workload.memory_mib, workload.processes, own_user=False)
    return {
        "run": order.run,
        "mark": mark,
        "gang": len(order.placement) > 1,
        "nodes": [[node, mask.bit_count()] for node, mask in order.placement],
        "argv": [SHELL, str(run.told / SCRIPT_NAME)],
        "env": {
            "HOME": str(run.scratch),
            "TMPDIR": str(run.scratch / "tmp"),
            "LANG": "C.UTF-8",
            "SHELL": SHELL,
            environment.MARK_NAME: mark,
        },
        "cwd": str(run.scratch),
        "uid": None,
        "is_owner": order.is_owner,
        "sandboxed": False,
        "volume": str(volume) if volume else None,
        "signal": environment.check_signal(workload.notice_signal),
        "kill_at_us": order.kill_at_us,
        "max_us": None if workload.max_seconds is None else workload.max_seconds * 1_000_000,
        "log_bytes": LOG_BYTES,
        "limits": limits._asdict() | {"rlimits": dict(limits.rlimits)},
        "preempt_grace_us": grace_s * 1_000_000,
        "kill_wait_s": kill_wait_s,
    }
