"""The batch script of a run: the local engine's keeper on a node of the cluster, and the hand-over before the GPUs go back.

It is started by Slurm as `python3 -I -S agent.py RUNDIR` and needs Python 3.11 with nothing but the standard library. The run's
directory is shared with the control plane. Here, unlike on one machine, nobody relies on locks or pipes between hosts:

    taken         a link, made once and for all by who may decide the run: the job that runs it, or the engine that ends it
                  before it began. A second job of the same run finds it and leaves without doing anything
    orders.json   replaced as a whole by the engine; a signal makes us read it, and we look every few seconds without one
    slurm.json    what Slurm itself told us: its job, our GPUs, when it warned us that it takes them back
    handover.json what was found and wiped on the node before it was given back
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from sublet.engines.local import processes, records
from sublet.engines.local.keeper import Keeper
from sublet.engines.local.rundir import RunDir
from sublet.engines.local.trees import remove_tree

TAKEN = "taken"
SLURM_RECORD = "slurm.json"
HANDOVER_RECORD = "handover.json"
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
TOOL_S = 10.0
RECORDING_S = 3
"""What we keep for ourselves of Slurm's KillWait: time to kill, to wipe and to write down how it ended."""


class Agent(Keeper):
    """Sees one run through inside its Slurm job."""

    heartbeat_ms = 2_000

    def __init__(self, run: RunDir, lock: int) -> None:
        super().__init__(run, lock)
        self._warned_us: int | None = None  # Slurm announced that it preempts us
        self._ended_us: int | None = None  # Slurm ends us
        self._told_warned = self._told_ended = False
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGUSR2, self._hear)
        signal.signal(signal.SIGTERM, self._hear)
        self._job = os.environ.get("SLURM_JOB_ID", "")
        self._spec["env"] = _environment(self._spec)
        self._note()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR2:
            self._warned_us = self._warned_us or self._clock.now_us()
        else:
            self._ended_us = self._ended_us or self._clock.now_us()

    def _note(self) -> None:
        """What the engine cannot see from outside."""
        told = {
            "job": self._job,
            "node": os.environ.get("SLURMD_NODENAME", ""),
            "gpus": os.environ.get("SLURM_JOB_GPUS", ""),
            "warned_us": self._warned_us or self._ended_us,
        }
        with contextlib.suppress(OSError):
            records.write(self._run.path / SLURM_RECORD, told)

    def _orders(self) -> dict[str, Any]:
        try:
            return records.read(self._run.orders) or {}
        except ValueError:  # a shared file system may show half of it for a moment
            return {}

    def _read_orders(self) -> None:
        """Slurm's own warnings are orders, too. A preemption's grace ends when Slurm says so, not when we do."""
        super()._read_orders()
        if self._warned_us is not None and not self._told_warned:
            self._told_warned = True
            self._note()
            deadline = self._warned_us + self._spec["preempt_grace_us"]
            if not self._life.notice_seen:
                self._life.notice_seen = True
                self._tell({"deadline_us": deadline, "reason": "reclaimed"})
                self._signal(self._spec["signal"])
        if self._ended_us is not None and not self._told_ended:
            self._told_ended = True
            self._note()
            left_s = max(1, self._spec["kill_wait_s"] - RECORDING_S)
            self._deadlines.set("slurm", self._ended_us + left_s * 1_000_000)
            if not self._life.stop_seen:
                self._life.stop_seen = True
                self._signal(self._spec["signal"])

    def _signal(self, name: str) -> None:
        """A gang's processes are on other nodes, out of our reach: Slurm passes the signal on to its steps."""
        if self._spec["gang"] and self._life.started_us is not None:
            _tool("scancel", f"--signal={name.removeprefix('SIG')}", self._job)
            return
        super()._signal(name)

    def _kill_all(self) -> int:
        if self._spec["gang"] and self._life.status is None:
            _tool("scancel", "--signal=KILL", self._job)
        return super()._kill_all()

    def hand_over(self) -> None:
        """Leave nothing behind on this node, look at the GPUs, and put down what was found."""
        problems = []
        ended = self._kill_all()
        if not self._alone:
            problems.append(f"{len(processes.descendants(os.getpid()))} processes cannot be ended")
        scratch = remove_tree(self._run.scratch)
        if scratch:
            problems.append(scratch)
        fine, gpus = check_gpus()
        evidence = {
            "processes": f"{ended} leftover processes ended" if ended else "no process left",
            "scratch": "could not be removed" if scratch else "removed",
            "devices": gpus,
            "job": f"Slurm job {self._job} on {os.environ.get('SLURM_JOB_NODELIST', 'an unknown node')}",
            "gpus": f"Slurm gave GPUs {os.environ.get('SLURM_JOB_GPUS') or 'without numbers'}",
        }
        if problems:
            evidence["problem"] = "; ".join(problems)
        with contextlib.suppress(OSError):
            records.write(self._run.path / HANDOVER_RECORD, {"fine": fine and not problems, "evidence": evidence})

    def leave(self) -> None:
        """End as the workload ended, so that Slurm's own record says the same as ours."""
        code = self._exit_code()
        if code is None:
            sys.exit(1)
        if code < 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if -code not in {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
            time.sleep(1)
        sys.exit(code & 0xFF)


def check_gpus() -> tuple[bool, str]:
    """Whether no process is left on the GPUs that this job may use, as far as the node can tell."""
    if shutil.which("nvidia-smi") is None:
        return True, "not checked: the node has no nvidia-smi"
    done = _tool("nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader")
    if done is None or done.returncode != 0:
        return False, "nvidia-smi failed"
    left = [line for line in done.stdout.splitlines() if line.strip() and "No " not in line]
    return not left, f"{len(left)} processes left on the GPUs" if left else "no process on the GPUs"


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    """What the workload is started with: values that we chose, and what Slurm says of its job and devices."""
    passed = {key: value for key, value in os.environ.items() if key.startswith("SLURM_") or key in PASSED_ON}
    path = os.environ.get("PATH") or "/usr/local/bin:/usr/bin:/bin"
    return {**passed, "PATH": path, **spec["env"]}


def _tool(*words: str) -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def main(path: Path) -> None:
    """See the run in `path` through, unless somebody else has it or it was ended before it began."""
    run = RunDir(path)
    try:
        (path / TAKEN).symlink_to(os.environ.get("SLURM_JOB_ID", "unknown"))
    except FileExistsError:
        print(f"{path.name} is {(path / TAKEN).readlink()}'s; nothing was done")
        return
    except FileNotFoundError:
        print(f"{path.name} is forgotten; nothing was done")
        return
    lock = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o600)
    agent = Agent(run, lock)
    agent.see_through()
    agent.hand_over()
    agent.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
