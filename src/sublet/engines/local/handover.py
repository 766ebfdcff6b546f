"""Hand-over: what happens between a run's end and the next use of its GPUs.

Leftover processes are found by every sign they could carry, ended, and their end is awaited; the scratch directory and what
the run left in shared temporary directories is removed; the devices are checked. The evidence says what was found.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from sublet.engines.local import limits, processes
from sublet.engines.local.devices import Devices
from sublet.engines.local.environment import MARK_NAME
from sublet.engines.local.rundir import RunDir
from sublet.engines.local.trees import remove_tree

KILL_S = 3.0
SHARED_TEMPORARY = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - looked through, never used


def hand_over(run: RunDir, spec: dict[str, Any], devices: Devices, *, own_uid: int | None) -> tuple[bool, dict[str, str]]:
    """Whether the run's slots may be given to others, and the evidence. `own_uid`: its user, if no living run shares it."""
    ended, left = _end_leftovers(spec, own_uid)
    groups_gone = limits.remove(spec["limits"]["groups"]) if not left else False
    problems = _wipe(run, own_uid)
    devices_fine, device_evidence = devices.check(spec["slots"])
    if left:
        problems.append(f"{len(left)} processes cannot be ended: {', '.join(str(p.pid) for p in left[:5])}")
    if not groups_gone and not left:
        problems.append("its control group is still in use")
    evidence = {
        "processes": f"{ended} leftover processes ended" if ended else "no process left",
        "scratch": "removed" if not run.scratch.exists() else "could not be removed",
        "devices": device_evidence,
    }
    if problems:
        evidence["problem"] = "; ".join(problems)
    return devices_fine and not problems, evidence


def _end_leftovers(spec: dict[str, Any], own_uid: int | None) -> tuple[int, list[processes.Process]]:
    """(how many were ended, those that would not go)."""
    met: set[tuple[int, int]] = set()
    give_up = time.monotonic() + KILL_S
    while left := _leftovers(spec, own_uid):
        if time.monotonic() > give_up:
            return len(met) - len(left), left
        for process in left:
            processes.send(process, signal.SIGKILL)
            met.add((process.pid, process.born))
        time.sleep(0.01)
    return len(met), []


def _leftovers(spec: dict[str, Any], own_uid: int | None) -> list[processes.Process]:
    """Everything that belongs to the run by control group, user or mark."""
    found = {p.pid: p for p in map(processes.look, limits.members(spec["limits"]["groups"])) if p is not None and not p.zombie}
    if own_uid is not None:
        found |= {p.pid: p for p in processes.of_user(own_uid)}
    found |= {p.pid: p for p in processes.marked(f"{MARK_NAME}={spec['mark']}")}
    return list(found.values())


def _wipe(run: RunDir, own_uid: int | None) -> list[str]:
    """Remove what the run wrote, its volume apart; what could not be removed."""
    targets = [run.scratch, run.told]
    if own_uid is not None:
        targets += [entry for shared in SHARED_TEMPORARY if shared.is_dir() for entry in _owned(shared, own_uid)]
    return [problem for target in targets if (problem := remove_tree(target))]


def _owned(directory: Path, uid: int) -> list[Path]:
    found = []
    for entry in os.scandir(directory):
        try:
            if entry.stat(follow_symlinks=False).st_uid == uid:
                found.append(Path(entry.path))
        except FileNotFoundError:
            continue
    return found
