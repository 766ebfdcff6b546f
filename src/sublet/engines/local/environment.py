"""What a workload finds around it: a clean environment, and the shell script that carries its command.

Nothing of the control plane's environment is passed on. The tenant's variables are set inside the script, after the user
was changed and the sandbox built: a loader variable among them can then never reach a process with more rights.
"""

import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sublet.core.errors import Invalid
from sublet.core.fleet import gpus_of
from sublet.engines.local.launch import READY, READY_FD
from sublet.engines.local.rundir import NOTICE_NAME
from sublet.engines.protocol import StartOrder

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARK_NAME = "SUBLET_MARK"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Places:
    """Paths as the workload sees them."""

    scratch: Path
    tmp: Path
    told: Path
    checkpoint: Path | None


def shell() -> str:
    """bash, or sh where there is none."""
    return shutil.which("bash", path=SYSTEM_PATH) or "/bin/sh"


def first_environment(places: Places, mark: str, *, is_owner: bool) -> dict[str, str]:
    """What the process is started with: only values that we chose."""
    login = (os.environ.get("USER") or "owner") if is_owner else "tenant"
    return {
        "PATH": f"{Path(sys.prefix) / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(places.scratch),
        "TMPDIR": str(places.tmp),
        "LANG": "C.UTF-8",
        "USER": login,
        "LOGNAME": login,
        "SHELL": shell(),
        MARK_NAME: mark,
    }


def variables(order: StartOrder, places: Places, devices: Mapping[str, str]) -> dict[str, str]:
    """The workload's variables; what the control plane sets wins."""
    gpus = gpus_of(order.placement)
    (_, mask) = order.placement[0]
    ours = {
        "SUBLET_RUN_ID": order.run,
        "SUBLET_TASK_ID": order.task,
        "SUBLET_ATTEMPT": str(order.attempt),
        "SUBLET_GPUS": str(gpus),
        "SUBLET_GPU_IDS": ",".join(str(bit) for bit in range(mask.bit_length()) if mask >> bit & 1),
        "SUBLET_NODE_RANK": "0",
        "SUBLET_NUM_NODES": "1",
        "SUBLET_NODE_IPS": "127.0.0.1",
        "SUBLET_SCRATCH": str(places.scratch),
        "SUBLET_NOTICE_FILE": str(places.told / NOTICE_NAME),
        "SKYPILOT_TASK_ID": order.task,
        "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NODE_IPS": "127.0.0.1",
        "SKYPILOT_NUM_GPUS_PER_NODE": str(gpus),
    }
    if places.checkpoint is not None:
        ours["SUBLET_CHECKPOINT_DIR"] = str(places.checkpoint)
    return {**order.workload.env, **ours, **devices, **order.env}


def check(order: StartOrder) -> None:
    """Refuse what a shell cannot set and signals that do not exist."""
    for name in [*order.workload.env, *order.env]:
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name!r} cannot be the name of an environment variable", field="env", hint="use A-Z, 0-9 and _")
    check_signal(order.workload.notice_signal)


def check_signal(name: str) -> str:
    """The signal's name without SIG, if there is such a signal."""
    short = name.removeprefix("SIG")
    if f"SIG{short}" not in signal.Signals.__members__:
        raise Invalid(f"{name!r} is no signal of this system", field="notice_signal", hint="use TERM, INT, USR1 or USR2")
    return short


def script(order: StartOrder, env: Mapping[str, str], *, first: Sequence[str] = (), ready: bool = True) -> str:
    """The shell script of a run. `first`: lines before its command; `ready`: it tells the keeper that it runs.

    The shell outlives the notice (its trap does nothing), so that a workload in the foreground can save its work and choose
    the exit code. A command of its own that traps the signal replaces ours. The last line keeps the shell from replacing
    itself by the last command, which would undo that.
    """
    workload = order.workload
    signals = " ".join(sorted({"TERM", check_signal(workload.notice_signal)}))
    lines = [f"trap : {signals}", *(f"export {name}={shlex.quote(value)}" for name, value in env.items())]
    lines += first
    if ready:
        lines += [f"printf {READY.decode()} >&{READY_FD}", f"exec {READY_FD}>&-"]
    if workload.setup.strip():
        lines += [workload.setup, "sublet_setup=$?", 'if [ "$sublet_setup" -ne 0 ]; then exit "$sublet_setup"; fi']
    lines += [workload.run, "exit $?"]
    return "\n".join(lines) + "\n"
