"""The engine that runs leases and the owner's jobs as processes of this machine.

The control plane may die at any time: each run has a keeper of its own (keeper.py) that starts it, ends it on time and puts
down how it ended. The engine only writes orders and reads records, so a fresh one takes over by looking at the same
directory. Where systemd starts the control plane, its unit needs `KillMode=process`, or a restart ends the keepers, too.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import NodeId, RunId
from sublet.engines.local import environment, output, records
from sublet.engines.local.devices import Devices
from sublet.engines.local.handover import hand_over
from sublet.engines.local.observation import Observer, never_started
from sublet.engines.local.preparation import apply_limits, prepare
from sublet.engines.local.rundir import RunDir, keeper_lives, locked_orders, put_orders, try_lock, wake
from sublet.engines.local.survey import survey
from sublet.engines.local.trees import remove_tree
from sublet.engines.orders import each, name_of_place, on_disk, remove, safe_name
from sublet.engines.protocol import Capabilities, NodeSeen, NoticeOrder, OwnerWork, Phase, Seen, StartOrder, StopOrder

LOG_BYTES = 64 << 20
KEEPER = Path(__file__).with_name("keeper.py")
LOOPBACK = "127.0.0.1"  # runs share the network of their host
_NEVER = "stopped before it was started"

Item = TypeVar("Item")


class LocalEngine:
    """Runs on one node: this machine. `state` holds runs and volumes; give `hidden` the control plane's own directories."""

    def __init__(
        self,
        state: Path,
        *,
        slots: int | None = None,
        devices: Devices | None = None,
        name: str = "local",
        node: str | None = None,
        hidden: Sequence[Path] = (),
        readable: Sequence[Path] | None = None,
        use_sandbox: bool = True,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self._state, self._name = state.resolve(), name
        self._children: dict[RunId, int] = {}
        self._observer = Observer()
        with self._on_disk():
            for directory in (self._state, self._state / "runs", self._state / "volumes"):
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(0o711)
            self._site, self._isolation = survey(
                self._state,
                slots=slots,
                devices=devices,
                node=node,
                hidden=hidden,
                readable=readable,
                use_sandbox=use_sandbox,
                log_bytes=log_bytes,
            )
        with self._alone():
            for path in [*self._site.runs.glob(".*"), *self._site.volumes.glob(".*")]:
                remove_tree(path)  # half-made or half-removed when an earlier engine died
            self._place = name_of_place(self._state)

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as found on this machine."""
        return Capabilities(name=self._name, isolation=self._isolation, gangs=False, place=self._place, endpoint_host=LOOPBACK)

    @property
    def looked_us(self) -> int | None:
        """Always now."""
        return None

    def nodes(self) -> Sequence[NodeSeen]:
        """This machine."""
        devices = self._site.devices
        healthy, detail = devices.health()
        return [NodeSeen(self._site.node, devices.count, devices.model, healthy, detail)]

    def start(self, orders: Sequence[StartOrder]) -> None:
        """Prepare each run's directory and start its keeper, unless that was done."""
        with self._alone():
            self._each(orders, self._start)

    def notify(self, orders: Sequence[NoticeOrder]) -> None:
        """Put the notice down and wake the keeper."""
        self._each(orders, self._notify)

    def stop(self, orders: Sequence[StopOrder]) -> None:
        """Put the stop down and wake the keeper; end what was never started on the spot."""
        with self._alone():
            self._each(orders, self._stop)

    def clean(self, runs: Sequence[RunId]) -> None:
        """Hand over each exited run."""
        self._each(runs, self._clean)

    def observe(self) -> Mapping[RunId, Seen]:
        """Every run that has a directory."""
        self._reap()
        now = _now_us()
        with self._on_disk():
            names = [RunId(entry.name) for entry in os.scandir(self._site.runs) if not entry.name.startswith(".")]
            return {name: self._observer.see(name, self._site.run(name), now_us=now) for name in names}

    def owner_work(self) -> Sequence[OwnerWork] | None:
        """None: this machine has no queue but ours."""
        return None

    def host_of(self, node: NodeId) -> str:
        """This machine, whose network its runs share."""
        del node
        return LOOPBACK

    def show_life(self) -> None:
        """Nothing waits for our silence: each run's keeper has its deadlines."""

    def forget(self, runs: Sequence[RunId]) -> None:
        """Remove the directories of runs whose hand-over has a verdict; others are kept."""
        for name in runs:
            run = self._run(name)
            if run.cleaned.exists():
                remove(run.path)
                self._observer.forget(name, run)

    def discard(self, volume: str) -> None:
        """Remove a volume."""
        remove(self._site.volumes / safe_name(volume, "volume"))

    def logs(self, run: RunId, *, offset: int = 0) -> Iterator[bytes]:
        """Output from `offset`, or from the oldest byte kept."""
        directory = self._run(run).path
        if not directory.exists():
            raise NotFound(f"this engine knows no run {run}", field="run")
        return output.read(directory, offset)

    def _run(self, name: RunId) -> RunDir:
        return self._site.run(safe_name(name, "run"))

    def _start(self, order: StartOrder) -> None:
        run = self._run(order.run)
        if not run.path.exists():
            self._check(order)
            try:
                prepare(self._site, order, run)
            except BaseException:
                remove_tree(run.path.with_name(f".new-{run.path.name}"))
                raise
        elif run.claim.exists() or run.exited.exists() or self._booting(order.run) or keeper_lives(run):
            return
        else:
            apply_limits(self._site, order)
        self._children[order.run] = _spawn_keeper(run)

    def _check(self, order: StartOrder) -> None:
        slots = (1 << self._site.devices.count) - 1
        if len(order.placement) != 1:
            raise Invalid(f"run {order.run} wants {len(order.placement)} nodes; the local engine has one", field="placement")
        node, mask = order.placement[0]
        if node != self._site.node or mask & ~slots or not mask:
            have = f"{self._site.node} with {self._site.devices.count} slots"
            raise Invalid(f"run {order.run} wants slots {mask:#x} of {node}; there is {have}", field="placement")
        if order.volume is not None:
            safe_name(order.volume, "volume")
        environment.check(order)

    def _notify(self, order: NoticeOrder) -> None:
        run, number = self._run(order.run), environment.check_signal(order.signal)
        if not run.spec.exists() or run.exited.exists():
            return
        with locked_orders(run, write=True) as (fd, known):
            notice = known.get("notice")
            if notice is None or order.deadline_us < notice["deadline_us"]:
                told = {"deadline_us": order.deadline_us, "reason": order.reason, "signal": number}
                put_orders(fd, known | {"notice": told})
        wake(run)

    def _stop(self, order: StopOrder) -> None:
        run = self._run(order.run)
        if not run.path.exists():
            self._bury(run)
            return
        if run.exited.exists():
            return
        by_us = _now_us() + order.grace_us
        with locked_orders(run, write=True) as (fd, known):
            if "stop" not in known or by_us < known["stop"]["by_us"]:
                put_orders(fd, known | {"stop": {"by_us": by_us}})
        wake(run)
        lock = try_lock(run, shared=False)
        if lock is not None:
            if not run.claim.exists() and not run.exited.exists():
                run.publish(run.exited, never_started(_now_us(), _NEVER))
            os.close(lock)

    def _bury(self, run: RunDir) -> None:
        """Leave a directory that says: this run is over and never was."""
        fresh = RunDir(run.path.with_name(f".new-{run.path.name}"))
        fresh.path.mkdir(mode=0o711)
        records.write(fresh.exited, never_started(_now_us(), _NEVER))
        fresh.path.rename(run.path)

    def _clean(self, name: RunId) -> None:
        run = self._run(name)
        if not run.path.exists() or self._observer.ended(run, now_us=_now_us()) is None:
            return
        known = records.read(run.cleaned)
        if known is not None and known["phase"] == Phase.CLEAN:
            return
        spec = records.read(run.spec)
        fine, evidence = True, {"processes": "it never ran"}
        if spec is not None:
            fine, evidence = hand_over(run, spec, self._site.devices, own_uid=self._own_uid(run, spec["uid"]))
            evidence |= {"isolation": "owner's job" if spec["is_owner"] else self._isolation}
            evidence |= {f"{kind} limit": spec["limits"][kind] for kind in ("memory", "processes")}
        records.write(run.cleaned, {"phase": Phase.CLEAN if fine else Phase.DIRTY, "evidence": evidence, "at_us": _now_us()})

    def _own_uid(self, run: RunDir, uid: int | None) -> int | None:
        """The run's user, unless a living run (a later attempt) has the same one."""
        if uid is None:
            return None
        others = [RunDir(path.parent) for path in self._site.runs.glob("*/scratch") if path.parent != run.path]
        shared = any(other.scratch.stat().st_uid == uid and not other.exited.exists() for other in others)
        return None if shared else uid

    def _booting(self, name: RunId) -> bool:
        """Whether a keeper that we started ourselves is still on its way to the lock."""
        self._reap()
        return name in self._children

    def _reap(self) -> None:
        for name, pid in list(self._children.items()):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self._children.pop(name, None)

    def _each(self, items: Sequence[Item], act: Callable[[Item], None]) -> None:
        each(items, act, self._on_disk)

    def _on_disk(self) -> AbstractContextManager[None]:
        return on_disk(self._state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One engine at a time makes runs here, so that no user is given out twice."""
        with self._on_disk():
            fd = os.open(self._state / "engine.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _spawn_keeper(run: RunDir) -> int:
    """Start a keeper that shares nothing with us: session, environment, open files."""
    words = [sys.executable, "-I", "-S", str(KEEPER), str(run.path)]
    to_log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(run.complaints), to_log, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(sys.executable, words, {"LANG": "C.UTF-8"}, file_actions=files, setsid=True)


def _now_us() -> int:
    return time.time_ns() // 1_000
