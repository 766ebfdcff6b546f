"""Make a run's directory, complete before it appears: what the keeper will run, where, as whom and within which walls."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublet.core.errors import Unavailable
from sublet.core.ids import NodeId
from sublet.engines.local import environment, records, sandbox
from sublet.engines.local.devices import Devices
from sublet.engines.local.environment import Places
from sublet.engines.local.identity import UID_BASE, free_uid
from sublet.engines.local.limits import Applied, Mechanism
from sublet.engines.local.rundir import SCRIPT_NAME, RunDir
from sublet.engines.protocol import StartOrder

US_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Site:
    """Everything about this machine that shapes a run; found once."""

    node: NodeId
    runs: Path
    volumes: Path
    devices: Devices
    mechanism: Mechanism
    bwrap: str | None
    users: range | None  # None: all runs are the service's own user
    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    log_bytes: int

    def run(self, name: str) -> RunDir:
        """The directory of a run."""
        return RunDir(self.runs / name)

    def holds(self) -> list[Path]:
        """Directories whose owner is a lease's user: volumes, and scratch not yet wiped."""
        return [path for path in [*self.volumes.glob("*"), *self.runs.glob("*/scratch")] if path.is_dir()]


def prepare(site: Site, order: StartOrder, final: RunDir) -> None:
    """Let the run's directory appear with everything in it."""
    fresh = RunDir(final.path.with_name(f".new-{final.path.name}"))
    fresh.path.mkdir(mode=0o711)
    uid = _user(site, order)
    volume = _volume(site, order.volume, uid)
    _directories(fresh, uid)
    fresh.reserve()
    os.mkfifo(fresh.wake, 0o600)
    fresh.lock.touch(0o600)
    spec = _spec(site, order, final, uid, volume)
    places = _places(final, volume, sandboxed=spec["sandboxed"])
    shown = site.devices.env(spec["slots"])
    (fresh.told / SCRIPT_NAME).write_text(environment.script(order, environment.variables(order, places, shown)))
    _give(fresh, uid)
    records.write(fresh.spec, spec)
    records.sync_directory(fresh.path)
    fresh.path.rename(final.path)
    records.sync_directory(site.runs)


def _user(site: Site, order: StartOrder) -> int | None:
    """The run's own user: that of its volume if there is one."""
    if site.users is None or order.is_owner:
        return None
    if order.volume is not None and (site.volumes / order.volume).exists():
        kept = (site.volumes / order.volume).stat().st_uid
        if kept >= UID_BASE:
            return kept
    uid = free_uid(site.users, (path.stat().st_uid for path in site.holds()))
    if uid is None:
        raise Unavailable(f"all {len(site.users)} users for leases are taken; discard volumes of leases that are over")
    return uid


def _volume(site: Site, name: str | None, uid: int | None) -> Path | None:
    if name is None:
        return None
    path = site.volumes / name
    path.mkdir(mode=0o700, exist_ok=True)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def _directories(run: RunDir, uid: int | None) -> None:
    run.path.chmod(0o711)
    for path, owned in ((run.told, False), (run.scratch, True), (run.scratch / "tmp", True)):
        path.mkdir(mode=0o700)
        if uid is not None:
            os.chown(path, uid if owned else -1, uid)


def _give(run: RunDir, uid: int | None) -> None:
    """Let the run's user, and nobody else, read what it is told."""
    run.told.chmod(0o750)
    for path in (run.told / SCRIPT_NAME, run.reserved(run.notice)):
        path.chmod(0o640)
        if uid is not None:
            os.chown(path, -1, uid)


def _places(run: RunDir, volume: Path | None, *, sandboxed: bool) -> Places:
    if sandboxed:
        return Places(sandbox.SCRATCH, Path("/tmp"), sandbox.TOLD, volume and sandbox.CHECKPOINT)  # noqa: S108
    return Places(run.scratch, run.scratch / "tmp", run.told, volume)


def _spec(site: Site, order: StartOrder, run: RunDir, uid: int | None, volume: Path | None) -> dict[str, Any]:
    (_, mask) = order.placement[0]
    slots = [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    sandboxed = is_sandboxed(site, order)
    places = _places(run, volume, sandboxed=sandboxed)
    argv = [environment.shell(), str(places.told / SCRIPT_NAME)]
    if sandboxed:
        reads = [Path(path) for path in order.workload.reads]
        walls = _walls(site, run, volume, uid, devices=site.devices.files(slots), reads=reads)
        argv = sandbox.command(site.bwrap or "", walls, argv)
    mark = secrets.token_hex(16)
    workload = order.workload
    return {
        "run": order.run,
        "mark": mark,
        "slots": slots,
        "argv": argv,
        "env": environment.first_environment(places, mark, is_owner=order.is_owner),
        "cwd": "/" if sandboxed else str(run.scratch),
        "uid": uid,
        "is_owner": order.is_owner,
        "sandboxed": sandboxed,
        "volume": str(volume) if volume else None,
        "signal": environment.check_signal(workload.notice_signal),
        "kill_at_us": order.kill_at_us,
        "max_us": None if workload.max_seconds is None else workload.max_seconds * US_PER_SECOND,
        "log_bytes": site.log_bytes,
        "limits": _plain(apply_limits(site, order)),
    }


def is_sandboxed(site: Site, order: StartOrder) -> bool:
    """The owner's own jobs are not confined."""
    return site.bwrap is not None and not order.is_owner


def apply_limits(site: Site, order: StartOrder) -> Applied:
    """Make the limits of the order ready; may be repeated, as after a reboot between preparation and start."""
    workload = order.workload
    own_user = site.users is not None and not order.is_owner
    processes = workload.processes
    if processes is not None and is_sandboxed(site, order):
        processes += sandbox.OWN_PROCESSES
    return site.mechanism.prepare(order.run, workload.memory_mib, processes, own_user=own_user)


def _plain(applied: Applied) -> dict[str, Any]:
    return applied._asdict() | {"rlimits": dict(applied.rlimits)}


def _walls(
    site: Site, run: RunDir, volume: Path | None, uid: int | None, *, devices: Sequence[Path], reads: Sequence[Path]
) -> sandbox.Walls:
    return sandbox.Walls(
        scratch=run.scratch,
        told=run.told,
        volume=volume,
        devices=devices,
        readable=(*site.readable, *reads),
        hidden=site.hidden,
        uid=uid,
    )
