"""Turn a forked child into the workload: own session, limits, user, directory, then exec.

Standard library only; runs between fork and exec of the keeper.
"""

import ctypes
import os
import signal
from typing import Any, NamedTuple

from sublet.engines.local import limits

READY_FD = 9
"""The workload's shell writes one byte here when its traps are set, then closes it."""
READY = b"r"
FAILED = b"!"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


class Child(NamedTuple):
    """The workload's main process with our ends of its pipes."""

    pid: int
    output: int
    ready: int


def prctl(option: int, value: int) -> None:
    """One switch of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def adopt_orphans() -> None:
    """Make every descendant that loses its parent our child, so that none can slip away."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def launch(spec: dict[str, Any]) -> Child:
    """Start the workload described by `spec`. Raises OSError if not even a fork is possible."""
    output, output_end = os.pipe()
    ready, ready_end = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(spec, keeper, output_end, ready_end)
    os.close(output_end)
    os.close(ready_end)
    for fd in (output, ready):
        os.set_blocking(fd, False)
    return Child(pid, output, ready)


def _child(spec: dict[str, Any], keeper: int, output: int, ready: int) -> None:
    """Never returns. Whatever goes wrong is told through the ready pipe."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(ready, READY_FD)  # last: where more files are open than usual, `output` may have that number
        os.set_inheritable(READY_FD, True)  # noqa: FBT003 (its only parameter); nothing was copied if it had the number already
        limits.enter(limits.Applied(**spec["limits"]))
        os.chdir(spec["cwd"])
        if spec["uid"] is not None and not spec["sandboxed"]:
            become_user(spec["uid"])
        if not spec["is_owner"]:
            prctl(_PR_SET_NO_NEW_PRIVS, 1)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        # Python ignores these two; a workload expects the system's default.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - a list, no shell
    except (OSError, ValueError) as error:
        os.write(READY_FD, FAILED + str(error).encode())
    finally:
        os._exit(127)


def become_user(uid: int) -> None:
    """Drop to a user and a group of that number, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
