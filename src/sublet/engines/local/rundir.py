"""The directory of one run: which file says what, and who holds its lock.

A run's life is in its files, so that the engine, the keeper and a person with a shell see the same truth:

    spec.json     what to run, complete; the directory appears together with it
    orders.json   notice and stop, rewritten in place by the engine
    claim.json    the keeper took the run: from here on its workload may have run and is never started again
    started.json  the workload's shell runs
    exit.json     it is over
    clean.json    the verdict of the hand-over
    keeper.lock   held by the keeper as long as it lives; its mtime is the keeper's last sign of life
    keeper.err    what went wrong in the keeper itself
    log.*         what the workload printed
    wake          FIFO that makes the keeper look at its orders now
    told/         what the workload may read: its script and its notice
    scratch/      the workload's own; wiped at hand-over
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sublet.engines.local import records
from sublet.engines.local.records import Record

NOTICE_NAME = "notice.json"
SCRIPT_NAME = "run.sh"


class RunDir(NamedTuple):
    """Names inside the directory of one run."""

    path: Path

    @property
    def spec(self) -> Path:
        """What to run."""
        return self.path / "spec.json"

    @property
    def orders(self) -> Path:
        """Notice and stop."""
        return self.path / "orders.json"

    @property
    def claim(self) -> Path:
        """The keeper's mark that it took the run."""
        return self.path / "claim.json"

    @property
    def started(self) -> Path:
        """Written when the workload's shell runs."""
        return self.path / "started.json"

    @property
    def exited(self) -> Path:
        """Written when it is over."""
        return self.path / "exit.json"

    @property
    def cleaned(self) -> Path:
        """The verdict of the hand-over."""
        return self.path / "clean.json"

    @property
    def lock(self) -> Path:
        """Held by a living keeper."""
        return self.path / "keeper.lock"

    @property
    def complaints(self) -> Path:
        """What the keeper itself prints: nothing, unless it fails."""
        return self.path / "keeper.err"

    @property
    def wake(self) -> Path:
        """FIFO to the keeper."""
        return self.path / "wake"

    @property
    def told(self) -> Path:
        """What the workload may read."""
        return self.path / "told"

    @property
    def notice(self) -> Path:
        """The notice as the workload sees it; absent until there is one."""
        return self.told / NOTICE_NAME

    @property
    def scratch(self) -> Path:
        """The workload's own directory."""
        return self.path / "scratch"

    @staticmethod
    def reserved(final: Path) -> Path:
        """Where the blocks of a reserved record wait for it."""
        return final.with_name(f".{final.name}")

    def reserve(self) -> None:
        """Reserve every record that must not fail later for want of space."""
        for final in (self.claim, self.started, self.exited, self.notice):
            records.reserve(self.reserved(final))
        records.reserve(self.orders)

    def publish(self, final: Path, record: Record) -> None:
        """Let a reserved record appear."""
        records.publish(self.reserved(final), final, record)


@contextmanager
def locked_orders(run: RunDir, *, write: bool) -> Iterator[tuple[int, Record]]:
    """The orders file, locked, with its present content; nobody ever sees half an order."""
    fd = os.open(run.orders, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        yield fd, records.read(run.orders) or {}
    finally:
        os.close(fd)


def put_orders(fd: int, orders: Record) -> None:
    """Overwrite the orders in their reserved blocks; the caller holds the lock for writing."""
    data = json.dumps(orders).encode()
    assert len(data) <= records.RESERVED_BYTES
    os.pwrite(fd, data.ljust(records.RESERVED_BYTES), 0)
    os.fsync(fd)


def try_lock(run: RunDir, *, shared: bool) -> int | None:
    """The keeper's lock as an open descriptor, or None if a keeper lives. `shared`: only to look, beside others."""
    fd = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def keeper_lives(run: RunDir) -> bool:
    """Whether a keeper holds the run now. The lock proves it; a process id alone never does."""
    fd = try_lock(run, shared=True)
    if fd is None:
        return True
    os.close(fd)
    return False


def wake(run: RunDir) -> None:
    """Make the keeper look at its orders at once; without a keeper, or with a full pipe, nothing is lost."""
    try:
        fd = os.open(run.wake, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(fd, b"!")
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
