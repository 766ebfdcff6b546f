"""Limits on memory and processes: cgroup v1, cgroup v2, or what a plain process can be given.

The engine prepares (`prepare`), the keeper's child enters (`enter`), and both ask who is inside. `Applied` is the value that
travels between them and that says honestly which mechanism holds.
"""

import contextlib
import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

MIB = 1 << 20


class Applied(NamedTuple):
    """What holds one run. `watch_*`: the keeper itself looks every second and ends a run that is over."""

    groups: tuple[str, ...] = ()
    rlimits: Mapping[str, int] = MappingProxyType({})
    watch_bytes: int | None = None
    watch_processes: int | None = None
    memory: str = "unlimited"
    processes: str = "unlimited"


class Mechanism(Protocol):
    """One way to limit; a new one is one class and one line in `find`."""

    name: str

    def prepare(self, run: str, memory_mib: int | None, processes: int | None, *, own_user: bool) -> Applied:
        """Make ready for a run. May be repeated."""


class Watched:
    """No cgroup can be written: resource limits, and the keeper's own eye.

    Memory is limited for each process on its private data, not on address space, which CUDA reserves by the terabyte.
    """

    name = "rlimits and watching"

    def prepare(self, run: str, memory_mib: int | None, processes: int | None, *, own_user: bool) -> Applied:  # noqa: ARG002
        """Only values: nothing is made on the system. The kernel counts processes by user, so that limit needs an own one."""
        rlimits: dict[str, int] = {}
        if memory_mib is not None:
            rlimits["DATA"] = memory_mib * MIB
        if processes is not None and own_user:
            rlimits["NPROC"] = processes
        return Applied(
            rlimits=rlimits,
            watch_bytes=None if memory_mib is None else memory_mib * MIB,
            watch_processes=processes,
            memory="unlimited" if memory_mib is None else "rlimit and watched",
            processes="unlimited" if processes is None else ("rlimit and watched" if own_user else "watched"),
        )


class CgroupV1:
    """One group a controller. The pids group is always made: it also knows who belongs to the run."""

    name = "cgroup v1"

    def __init__(self, memory: Path, pids: Path) -> None:
        self._memory = memory
        self._pids = pids

    def prepare(self, run: str, memory_mib: int | None, processes: int | None, *, own_user: bool) -> Applied:  # noqa: ARG002
        """Make the groups and write the limits."""
        groups = [self._pids / run]
        _make(groups[0])
        if processes is not None:
            (groups[0] / "pids.max").write_text(str(processes))
        if memory_mib is not None:
            groups.append(self._memory / run)
            _make(groups[1])
            (groups[1] / "memory.limit_in_bytes").write_text(str(memory_mib * MIB))
            swap = groups[1] / "memory.memsw.limit_in_bytes"
            if swap.exists():
                swap.write_text(str(memory_mib * MIB))
        return _in_groups(self.name, groups, memory_mib, processes)


class CgroupV2:
    """One group for everything."""

    name = "cgroup v2"

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def prepare(self, run: str, memory_mib: int | None, processes: int | None, *, own_user: bool) -> Applied:  # noqa: ARG002
        """Make the group and write the limits."""
        group = self._parent / run
        _make(group)
        if processes is not None:
            (group / "pids.max").write_text(str(processes))
        if memory_mib is not None:
            (group / "memory.max").write_text(str(memory_mib * MIB))
            swap = group / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        return _in_groups(self.name, [group], memory_mib, processes)


def _make(group: Path) -> None:
    group.mkdir(parents=True, exist_ok=True)


def _in_groups(name: str, groups: list[Path], memory_mib: int | None, processes: int | None) -> Applied:
    return Applied(
        groups=tuple(map(str, groups)),
        memory="unlimited" if memory_mib is None else name,
        processes="unlimited" if processes is None else name,
    )


def find(label: str) -> Mechanism:
    """The best mechanism that works here. `label` keeps the groups of several engines on one machine apart."""
    own = _own_groups()
    v1 = _v1(own, label)
    if v1 is not None:
        return v1
    return _v2(own, label) or Watched()


def _own_groups() -> dict[str, str]:
    """Controller to this process's group; the key of the unified hierarchy is empty."""
    groups = {}
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _mounts(kind: str) -> list[tuple[Path, Path, set[str]]]:
    """(mount point, root inside the hierarchy, options) of each mounted hierarchy of this kind."""
    found = []
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        before, _, after = line.partition(" - ")
        kind_here, _, options = after.split(" ", 2)
        if kind_here == kind:
            fields = before.split()
            found.append((Path(fields[4]), Path(fields[3]), set(options.split(","))))
    return found


def _inside(mount: Path, root: Path, group: str) -> Path:
    """Where `group` lies below a mount that may itself show only part of the hierarchy."""
    path = Path(group)
    return mount / (path.relative_to(root) if path.is_relative_to(root) else Path())


def _v1(own: dict[str, str], label: str) -> CgroupV1 | None:
    parents: dict[str, Path] = {}
    for mount, root, options in _mounts("cgroup"):
        for controller in {"memory", "pids"} & options & own.keys():
            parents[controller] = _inside(mount, root, own[controller]) / label
    if len(parents) != 2 or not all(map(_usable, parents.values())):
        return None
    return CgroupV1(parents["memory"], parents["pids"])


def _v2(own: dict[str, str], label: str) -> CgroupV2 | None:
    for mount, root, _ in _mounts("cgroup2"):
        here = _inside(mount, root, own.get("", "/"))
        parent = here / label
        if _delegate(here) and _usable(parent) and _delegate(parent):
            return CgroupV2(parent)
    return None


def _usable(parent: Path) -> bool:
    try:
        _make(parent)
    except OSError:
        return False
    return os.access(parent, os.W_OK)


def _delegate(group: Path) -> bool:
    """Whether children of `group` get the memory and pids controllers; switched on where that is allowed."""
    control = group / "cgroup.subtree_control"
    wanted = {"memory", "pids"}
    try:
        if not wanted <= set((group / "cgroup.controllers").read_text().split()):
            return False
        if not wanted <= set(control.read_text().split()):
            _leave(group)
            control.write_text("+memory +pids")
    except OSError:
        return False
    return True


def _leave(group: Path) -> None:
    """Step aside: a v2 group hands controllers down only while no process sits in it. Only done where we are alone."""
    if (group / "cgroup.procs").read_text().split() == [str(os.getpid())]:
        aside = group / "sublet-control"
        aside.mkdir(exist_ok=True)
        (aside / "cgroup.procs").write_text(str(os.getpid()))


def enter(applied: Applied) -> None:
    """Put the calling process under the limits; everything it starts stays there."""
    for group in applied.groups:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    for name, value in applied.rlimits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def members(groups: Iterable[str]) -> set[int]:
    """Pids inside the groups, groups made inside them included."""
    pids: set[int] = set()
    for group in map(Path, groups):
        for procs in [group / "cgroup.procs", *group.glob("**/cgroup.procs")]:
            try:
                pids.update(map(int, procs.read_text().split()))
            except OSError:
                continue
    return pids


def no_more_processes(groups: Iterable[str]) -> None:
    """Let nothing inside fork any more, so that killing comes to an end even against a fork bomb."""
    for group in map(Path, groups):
        limit = group / "pids.max"
        if limit.exists():
            limit.write_text("0")


def ran_out_of_memory(groups: Iterable[str]) -> bool:
    """Whether the kernel ended a process inside for want of memory."""
    for group in map(Path, groups):
        for name in ("memory.oom_control", "memory.events"):
            try:
                lines = (group / name).read_text().splitlines()
            except OSError:
                continue
            if any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines):
                return True
    return False


def remove(groups: Iterable[str]) -> bool:
    """Remove the groups; False if one is still in use."""
    gone = True
    for group in map(Path, groups):
        nested = sorted((p for p in group.glob("**/") if p != group), reverse=True) if group.exists() else []
        for path in [*nested, group]:
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        # The engine's own group goes with its last run; in v2 it stays, as it carries the delegation.
        if not (group.parent / "cgroup.subtree_control").exists():
            with contextlib.suppress(OSError):
                group.parent.rmdir()
    return gone
