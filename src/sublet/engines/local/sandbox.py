"""The walls around a tenant's run: bubblewrap where it is present and works, else only what users and modes give.

Inside, a tenant sees the system read-only, its own `/scratch`, `/checkpoint`, `/tmp` and `/proc`, its own GPUs, and nothing
else of this machine; the network is shared with the host. Everything is named, so what is not named is not there.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "sys")
SCRATCH = Path("/scratch")
CHECKPOINT = Path("/checkpoint")
TOLD = Path("/run/sublet")
PROBE_S = 10
OWN_PROCESSES = 2
"""bubblewrap itself, outside and inside; they count against a limit of processes like the tenant's."""


@dataclass(frozen=True, slots=True)
class Walls:
    """One run's places on the host, as its sandbox needs them. `readable` and `hidden` are seen or masked, deeper paths win."""

    scratch: Path
    told: Path
    volume: Path | None
    devices: Sequence[Path]
    readable: Sequence[Path]
    hidden: Sequence[Path]
    uid: int | None


def command(bwrap: str, walls: Walls, argv: Sequence[str]) -> list[str]:
    """`argv` inside the walls, as the run's own user."""
    words = [bwrap, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent"]
    words += ["--hostname", "sublet", *_system(), "--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's own
    for device in walls.devices:
        words += ["--dev-bind-try", str(device), str(device)]
    words += ["--bind", str(walls.scratch / "tmp"), "/tmp"]  # noqa: S108 - private, and on the disk
    words += ["--dir", "/var/tmp", "--dir", "/home", *_resolver()]  # noqa: S108
    words += _shown_and_hidden(walls)
    words += ["--bind", str(walls.scratch), str(SCRATCH), *_way_to(TOLD), "--ro-bind", str(walls.told), str(TOLD)]
    if walls.volume is not None:
        words += ["--bind", str(walls.volume), str(CHECKPOINT)]
    words += ["--remount-ro", "/", "--chdir", str(SCRATCH), "--"]
    return [*words, *(_user_step(walls.uid) if walls.uid is not None else []), *argv]


def _user_step(uid: int) -> list[str]:
    """The command prefix that drops to `uid` inside a sandbox, which itself had to be built with full rights.

    Busybox has a setpriv that cannot do this; where it is the only one, Python does it, more slowly.
    """
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin")
    if setpriv is not None and Path(setpriv).resolve().name == "setpriv":
        return [setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    script = (
        "import os,sys;u=int(sys.argv[1]);"
        "os.setgroups([]);os.setresgid(u,u,u);os.setresuid(u,u,u);os.execv(sys.argv[2],sys.argv[2:])"
    )
    return [sys.executable, "-I", "-S", "-c", script, str(uid)]


def _system() -> list[str]:
    """The system's directories, links as links."""
    words = []
    for path in (Path("/") / name for name in SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words


def _resolver() -> list[str]:
    """Name resolution where /etc/resolv.conf points out of /etc."""
    resolver = Path("/etc/resolv.conf")
    if not resolver.is_symlink() or not resolver.exists():
        return []
    target = str(resolver.resolve())
    return [*_way_to(Path(target)), "--ro-bind", target, target] if target.startswith("/run/") else []


def _shown_and_hidden(walls: Walls) -> list[str]:
    """What else may be read, and what must not, from the outside in."""
    words = []
    shown = dict.fromkeys(walls.readable, True) | dict.fromkeys(walls.hidden, False)
    visible = [Path("/") / name for name in SYSTEM]
    for path, is_shown in sorted(shown.items(), key=lambda item: len(item[0].parts)):
        inside = any(path.is_relative_to(parent) for parent in visible)
        if is_shown and not (inside and not _masked_above(path, shown)):
            words += [*_way_to(path), "--ro-bind", str(path), str(path)]
            visible.append(path)
        elif not is_shown and inside and path.is_dir():
            words += ["--tmpfs", str(path)]
    return words


def _way_to(path: Path) -> list[str]:
    """Directories on the way to a mount, open to all; bubblewrap alone would close them wherever the source is closed."""
    return [word for parent in reversed(path.parents[:-1]) for word in ("--dir", str(parent))]


def _masked_above(path: Path, shown: dict[Path, bool]) -> bool:
    return any(not shown.get(parent, True) for parent in path.parents)


def interpreter_paths() -> list[Path]:
    """Where this Python, its packages and this package live, so that a run may use them."""
    package = Path(__file__).resolve().parents[3]
    return sorted({Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package})


def probe(walls: Walls) -> tuple[str | None, str]:
    """(bubblewrap's path, "") if walls like these can be built here, else (None, why not)."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return None, "bubblewrap is not installed"
    try:
        tried = subprocess.run(
            command(bwrap, walls, ["/bin/sh", "-c", "exit 0"]), capture_output=True, timeout=PROBE_S, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"bubblewrap does not work here: {error}"
    if tried.returncode != 0:
        first = (tried.stderr.decode(errors="replace").splitlines() or ["no message"])[0]
        return None, f"bubblewrap does not work here: {first}"
    return bwrap, ""
