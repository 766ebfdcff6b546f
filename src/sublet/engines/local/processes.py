"""Processes as /proc shows them, and signals that cannot hit a stranger.

A process is a pid *and* its start time; a signal goes through a pidfd whose start time was checked after it was opened,
so a pid that was used again in between is never hit.
"""

import errno
import os
import signal
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process at the moment of looking. `born` is its start in clock ticks since boot."""

    pid: int
    parent: int
    session: int
    born: int
    resident_bytes: int
    zombie: bool


def look(pid: int) -> Process | None:
    """The process with this pid, or None."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in brackets and may itself hold brackets and blanks; what follows the last bracket is regular.
    rest = text[text.rindex(")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(rest[1]),
        session=int(rest[3]),
        born=int(rest[19]),
        resident_bytes=int(rest[21]) * PAGE_BYTES,
        zombie=rest[0] in "ZX",
    )


def everyone() -> list[Process]:
    """Every process that can be seen."""
    pids = [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 - names only, and often
    return [process for process in map(look, pids) if process is not None]


def descendants(ancestor: int) -> list[Process]:
    """All living processes below `ancestor`, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in everyone():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    frontier = [ancestor]
    while frontier:
        below = [child for pid in frontier for child in children.get(pid, [])]
        found += below
        frontier = [child.pid for child in below]
    return [process for process in found if not process.zombie]


def below(ancestor: int) -> list[Process]:
    """The same from the kernel's own lists of children, whatever else runs on the machine.

    Children that end while a list is read may hide others (proc(5)): that nothing is left only `descendants` proves.
    """
    if not (PROC / str(ancestor) / "task" / str(ancestor) / "children").exists():
        return descendants(ancestor)  # an old kernel has none
    found: list[Process] = []
    frontier = [ancestor]
    while frontier:
        children = [pid for parent in frontier for pid in _children(parent)]
        found += [process for process in map(look, children) if process is not None]
        frontier = children
    return [process for process in found if not process.zombie]


def _children(parent: int) -> list[int]:
    """Of all its threads."""
    tasks, found = PROC / str(parent) / "task", []
    try:
        for thread in os.listdir(tasks):  # noqa: PTH208 - names only, and often
            found += [int(pid) for pid in (tasks / thread / "children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return found


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False if it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return _send_by_pid(process, number)
    try:
        now = look(process.pid)
        if now is None or now.born != process.born:
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def _send_by_pid(process: Process, number: signal.Signals) -> bool:
    """For kernels before 5.3, which have no pidfds: the start time is checked right before."""
    now = look(process.pid)
    if now is None or now.born != process.born:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def marked(mark: str) -> list[Process]:
    """Processes that carry `mark` in their environment: the last resort where neither group nor user tells them."""
    needle = mark.encode()
    found = []
    for process in everyone():
        try:
            environment = (PROC / str(process.pid) / "environ").read_bytes()
        except OSError:
            continue
        if needle in environment and not process.zombie:
            found.append(process)
    return found


def of_user(uid: int) -> list[Process]:
    """Living processes of one user (effective or real)."""
    found = []
    for process in everyone():
        try:
            owner = (PROC / str(process.pid)).stat().st_uid
        except OSError:
            continue
        if owner == uid and not process.zombie:
            found.append(process)
    return found


def boot_id() -> str:
    """Which boot this is: pids of another one mean nothing."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
