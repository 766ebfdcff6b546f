"""The keeper: one small process a run, which starts it, watches it and ends it on time, whoever else has died.

It is started as `python -I -S keeper.py RUNDIR` in its own session and holds the run's lock as long as it lives. Only the
standard library is imported, and of that what loads fast (no dataclasses): every start waits for it. It sleeps until a
pipe, a child or a deadline wakes it, and once a second gives a sign of life.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from sublet.engines.local import launch, limits, processes, records
from sublet.engines.local.deadlines import Deadlines, SteadyClock
from sublet.engines.local.output import CHUNK_BYTES, Output
from sublet.engines.local.rundir import RunDir, locked_orders, try_lock
from sublet.engines.local.volumes import last_checkpoint

HEARTBEAT_MS = 1_000
LOCK_TRIES = 2_000  # of 5 ms each
EVERY_CHILD = 0x4000_0000
"""`__WALL` of waitpid(2): children of any kind, those too that end without a SIGCHLD."""
UNSTARTABLE = "could not be started"
CANNOT_BE_INVOKED = 126
"""What shells say of a command that is there and cannot be run."""
KILL_ROUNDS = 200  # of 25 ms each


class Life:
    """What the keeper knows of the run so far."""

    def __init__(self, claimed_us: int) -> None:
        self.claimed_us = claimed_us
        self.started_us: int | None = None
        self.status: int | None = None  # of waitpid, when the main process has ended
        self.exited_us: int | None = None
        self.outlived = 0  # processes that were left when the main one had ended
        self.error = ""
        self.ended_by = ""  # the deadline or limit that made the keeper kill it
        self.pending: list[str] = []  # signals that wait for the shell to be ready
        self.stop_seen = False
        self.notice_seen = False


class Keeper:
    """Starts one run and sees it through."""

    heartbeat_ms = HEARTBEAT_MS

    def __init__(self, run: RunDir, lock: int) -> None:
        self._run = run
        self._lock = lock
        self._spec: dict[str, Any] = records.read(run.spec) or {}
        self._applied = limits.Applied(**self._spec["limits"])
        self._clock = SteadyClock()
        self._deadlines = Deadlines()
        self._output = Output(run.path, self._spec["log_bytes"])
        self._life = Life(claimed_us=self._clock.now_us())
        self._poll = select.poll()
        self._wake = os.open(run.wake, os.O_RDWR | os.O_NONBLOCK)
        self._child_wake, wakeup = os.pipe()
        for fd in (self._child_wake, wakeup):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # a handler, unlike "ignore", is not passed on to the workload
        self._child = launch.Child(-1, -1, -1)
        self._ready_text = b""
        self._alone = False  # everything below us was seen to be gone

    def see_through(self) -> None:
        """Claim, run, enforce, record. A claimed run is never started a second time."""
        claim = {"keeper": os.getpid(), "born": _born(), "boot": processes.boot_id(), "at_us": self._life.claimed_us}
        self._run.publish(self._run.claim, claim)
        if "stop" in self._orders():
            self._life.error = "stopped before it was started"
            self._record_exit()
            return
        try:
            launch.adopt_orphans()
            self._child = launch.launch(self._spec)
        except OSError as error:
            self._life.error = f"{UNSTARTABLE}: {error}"
            self._record_exit()
            return
        for fd in (self._wake, self._child_wake, self._child.output, self._child.ready):
            self._poll.register(fd, select.POLLIN)
        if self._spec["kill_at_us"] is not None:
            self._deadlines.set("term", self._spec["kill_at_us"])
        self._read_orders()
        while self._life.status is None:
            self._turn()
        self._sweep()
        self._record_exit()

    def _turn(self) -> None:
        for fd, _ in self._poll.poll(self._deadlines.wait_ms(self.heartbeat_ms)):
            self._react(fd)
        os.utime(self._lock)
        self._reap()
        if self._life.status is not None:
            return
        self._read_orders()
        self._watch()
        reason = self._life.ended_by or self._deadlines.due()
        if reason:
            self._life.ended_by = reason
            self._kill_all()

    def _react(self, fd: int) -> None:
        data = _read_some(fd)
        if data is None:
            return
        if fd == self._child.output:
            self._output.take(data)
        elif fd == self._child.ready:
            self._ready_text += data
            self._take_ready(closed=not data)
        if not data:  # end of file: all writers are gone
            self._poll.unregister(fd)

    def _take_ready(self, *, closed: bool) -> None:
        if self._ready_text.startswith(launch.READY) and self._life.started_us is None:
            now = self._clock.now_us()
            self._life.started_us = now
            if self._spec["max_us"] is not None:
                self._deadlines.set("max_seconds", now + self._spec["max_us"])
            self._run.publish(self._run.started, {"started_us": now, "main": self._child.pid})
            while self._life.pending:
                self._signal(self._life.pending.pop(0))
        elif closed and self._life.started_us is None:
            reason = self._ready_text.removeprefix(launch.FAILED).decode(errors="replace")
            self._life.error = f"{UNSTARTABLE}: {reason or 'its sandbox or shell failed, see its log'}"

    def _orders(self) -> dict[str, Any]:
        with locked_orders(self._run, write=False) as (_, orders):
            return orders

    def _read_orders(self) -> None:
        orders = self._orders()
        notice, stop = orders.get("notice"), orders.get("stop")
        if notice and self._deadlines.set("notice", notice["deadline_us"]):
            self._tell(notice)
            if not self._life.notice_seen:
                self._life.notice_seen = True
                self._signal(notice["signal"])
        if stop:
            self._deadlines.set("stop", stop["by_us"])
            if not self._life.stop_seen:
                self._life.stop_seen = True
                self._signal(self._spec["signal"])

    def _tell(self, notice: dict[str, Any]) -> None:
        """Put the notice where the workload reads it, in the shape the big clouds use."""
        seconds = notice["deadline_us"] // 1_000_000
        text = {
            "action": "terminate",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
            "reason": notice["reason"],
            "deadline_us": notice["deadline_us"],
        }
        reserved = self._run.reserved(self._run.notice)
        # A full disk must not keep the signal and the deadline from coming; only a second notice has no reserved blocks.
        with contextlib.suppress(OSError):
            if not reserved.exists():
                records.reserve(reserved)
                self._give_to_workload(reserved)
            self._run.publish(self._run.notice, text)

    def _give_to_workload(self, path: Path) -> None:
        path.chmod(0o640)
        if self._spec["uid"] is not None:
            os.chown(path, -1, self._spec["uid"])

    def _signal(self, name: str) -> None:
        """Signal every process of the run, but never the sandbox itself: its end would be theirs."""
        if self._life.started_us is None:
            self._life.pending.append(name)
            return
        number = signal.Signals[f"SIG{name.removeprefix('SIG')}"]
        for process in reversed(self._workload()):  # children first: a shell must not act before what it waits for
            processes.send(process, number)

    def _workload(self) -> list[processes.Process]:
        everyone = processes.below(os.getpid())
        if not self._spec["sandboxed"]:
            return everyone
        return [p for p in everyone if self._child.pid not in (p.pid, p.parent)]

    def _watch(self) -> None:
        """Enforce what no kernel mechanism holds here."""
        bytes_max, processes_max = self._applied.watch_bytes, self._applied.watch_processes
        if bytes_max is None and processes_max is None:
            return
        mine = self._workload()
        if bytes_max is not None and sum(p.resident_bytes for p in mine) > bytes_max:
            self._life.ended_by = "memory"
        if processes_max is not None and len(mine) > processes_max:
            self._life.ended_by = "processes"

    def _kill_all(self) -> int:
        """End everything below us; how many had to be ended. Gives up after 5 s on what the kernel will not let go.

        Once nothing was left, nothing can come any more: nobody is there to start it.
        """
        killed: set[tuple[int, int]] = set()
        for _ in range(KILL_ROUNDS if not self._alone else 0):
            self._alone = self._reap()
            left = [] if self._alone else processes.below(os.getpid()) or processes.descendants(os.getpid())
            if not left:
                self._alone = True
                break
            with contextlib.suppress(OSError):
                limits.no_more_processes(self._applied.groups)
            for process in left:
                processes.send(process, signal.SIGKILL)
                killed.add((process.pid, process.born))
            time.sleep(0.002 if len(killed) < 1_000 else 0.025)
        return len(killed)

    def _reap(self) -> bool:
        """Collect ended children; orphans come to us, too. Whether none is left: then nothing is below us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | EVERY_CHILD)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self._child.pid:
                self._life.status = status
                self._life.exited_us = self._clock.now_us()

    def _sweep(self) -> None:
        """The main process is gone: nothing of the run may outlive it, and its last words are kept."""
        left = self._kill_all()
        if not (self._life.ended_by or self._spec["sandboxed"]):  # a sandbox takes its own with it
            self._life.outlived = left
        while data := _read_some(self._child.ready):
            self._ready_text += data
        self._take_ready(closed=True)
        while data := _read_some(self._child.output):
            self._output.take(data)
        self._reap()

    def _record_exit(self) -> None:
        life, spec = self._life, self._spec
        now = life.exited_us or self._clock.now_us()
        volume = Path(spec["volume"]) if spec["volume"] else None
        record = {
            "started_us": life.started_us,
            "exited_us": now,
            "code": self._exit_code(),
            "checkpoint_us": last_checkpoint(volume, claimed_us=life.claimed_us, started_us=life.started_us, now_us=now),
            "ended_by": life.ended_by,
            "error": life.error,
            "outlived": life.outlived,
            "out_of_memory": limits.ran_out_of_memory(self._applied.groups),
        }
        self._run.publish(self._run.exited, record)

    def _exit_code(self) -> int | None:
        """The shell's code; negative for a signal. A sandbox tells of our SIGKILL as 137.

        A shell that could not be started has the code that shells give for that; one that was ended first has none.
        """
        if self._life.started_us is None and self._life.error.startswith(UNSTARTABLE):
            return CANNOT_BE_INVOKED
        if self._life.status is None or self._life.started_us is None:
            return None
        code = os.waitstatus_to_exitcode(self._life.status)
        return -signal.SIGKILL if self._life.ended_by and code == 128 + signal.SIGKILL else code


def _read_some(fd: int) -> bytes | None:
    """What is there now; empty at the end of the file, None if there may be more later."""
    try:
        return os.read(fd, CHUNK_BYTES)
    except BlockingIOError:
        return None


def _born() -> int:
    me = processes.look(os.getpid())
    assert me is not None
    return me.born


def take_lock(run: RunDir) -> int | None:
    """The run's lock, or None if another keeper has it. Somebody who only looks holds it for an instant: try again."""
    for _ in range(LOCK_TRIES):
        fd = try_lock(run, shared=False)
        if fd is not None:
            fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            return fd
        if run.claim.exists():
            return None
        time.sleep(0.005)
    return None


def main(path: Path) -> None:
    """Keep the run in `path`, unless it was ever taken or was ended before it began."""
    run = RunDir(path)
    lock = take_lock(run)
    if lock is None or run.claim.exists() or run.exited.exists():
        return
    Keeper(run, lock).see_through()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
