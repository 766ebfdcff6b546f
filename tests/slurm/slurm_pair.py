"""Two real control planes (`sublet up`) on one PostgreSQL database lease out one real cluster; a test kills and pauses them."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from slurm_house import House

from free_ports import free_port
from settled_books import settled
from slurm_cluster import Cluster
from sublet.core.errors import Unavailable
from sublet.core.ids import LeaseId
from sublet.core.lease import Lease, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.terms import Promise
from sublet.core.units import SECOND_US
from sublet.engines.slurm.net import ALIVE
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.site import run_of
from sublet.store import jobs, leadership, leases

PROMISE_US = 25 * SECOND_US
"""Detection, notice, stop, hand-over, and the next leader's beginning."""
TAKEOVER_MS = 1_500
MARKS = """echo "$SLURM_JOB_ID $SUBLET_RUN_ID" >>"$SUBLET_CHECKPOINT_DIR/ran"
trap '{heeds}' TERM
while :; do sleep 600 & wait $!; done"""
HEEDS, DEAF = "exit 85", ":"
SLOWLY = """#!/bin/sh
sleep "$(cat {pace})"
exec {real} "$@"
"""
"""Of a busy cluster: its answers take a while, and what was asked of it happens although who asked is gone."""
PACE_S = "0.15"
LONG_S = "2.5"


@dataclass
class Replica:
    """One of the two."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


class SlurmPair(House):
    """What they share is the database, the cluster and the directory that the nodes see."""

    def __init__(self, made: Cluster, site: Site, url: str, folder: Path) -> None:
        super().__init__(made, site, url, folder)
        self.asked: list[LeaseId] = []
        self.pace = folder / "pace"
        self.pace.write_text(PACE_S)
        shim = folder / "bin" / "sbatch"
        shim.parent.mkdir()
        shim.write_text(SLOWLY.format(pace=self.pace, real=shutil.which("sbatch", path=made.env["PATH"])))
        shim.chmod(0o755)
        self.both = (Replica("one", free_port()), Replica("two", free_port()))
        for replica in self.both:
            self.begin(replica)
        for replica in self.both:
            self.until_ready(replica)
        self.furnish(promise=Promise(PROMISE_US), handover_us=5 * SECOND_US)

    def begin(self, replica: Replica) -> None:
        """Start its process."""
        settings = {
            "slurm_shared": self.site.shared,
            "slurm_name": self.site.installation,
            "slurm_timeout_ms": 8_000,
            "tick_ms": 100,
            "meter_ms": 250,
            "takeover_ms": TAKEOVER_MS,
            "gateway_port": 0,
            "log_level": "warning",
        }
        env = {**self.cluster.env, **{f"SUBLET_{name.upper()}": str(value) for name, value in settings.items()}}
        env["PATH"] = f"{self.folder / 'bin'}:{env['PATH']}"
        words = [Path(sys.executable).with_name("sublet"), "up", "--engine", "slurm", "--db", self.url]
        words += ["--data-dir", self.folder / replica.name, "--port", replica.port]
        with (self.folder / f"{replica.name}.log").open("ab") as log:
            replica.process = subprocess.Popen([str(word) for word in words], env=env, stdout=log, stderr=log, cwd=self.folder)

    def until_ready(self, replica: Replica) -> None:
        """Wait until it leads or stands ready; the first of all on a machine compiles what it decides by."""
        self.until(lambda: self.role(replica), within_s=150, said=f"{replica.name} to be ready")

    def told(self, replica: Replica) -> dict[str, Any]:
        """What it says of itself; nothing while it starts or is gone."""
        key = next(self.folder.glob("*/owner.key"), None)
        if key is None:
            return {}
        headers = {"Authorization": f"Bearer {key.read_text().strip()}"}
        try:
            answer = httpx.get(f"{replica.url}/v1/status", headers=headers, timeout=5)
        except httpx.HTTPError:
            return {}
        return dict(answer.json()["status"]) if answer.status_code == 200 else {}

    def role(self, replica: Replica) -> str:
        return str(self.told(replica).get("role", ""))

    def leader_and_other(self) -> tuple[Replica, Replica]:
        one, two = self.both
        roles = (self.role(one), self.role(two))
        assert sorted(roles) == ["follower", "leader"], roles
        return (one, two) if roles[0] == "leader" else (two, one)

    def failing(self) -> dict[str, str]:
        said = {replica.name: self.told(replica) for replica in self.both}
        logs = {replica.name: (self.folder / f"{replica.name}.log").read_text()[-1_500:] for replica in self.both}
        return {name: f"{told.get('failing')} {told.get('findings')}; {logs[name]}" for name, told in said.items()}

    def epoch(self) -> int:
        with self.database.read() as tx:
            return leadership.present(tx).epoch

    def signs_of_life(self) -> int:
        """When the last one was given."""
        return (self.site.shared / ALIVE).stat().st_mtime_ns

    # What happens to them

    def kill(self, replica: Replica) -> None:
        os.kill(replica.pid, signal.SIGKILL)
        assert replica.process is not None
        replica.process.wait()

    def end(self, replica: Replica) -> None:
        """As its service manager would."""
        assert replica.process is not None
        replica.process.terminate()
        replica.process.wait(timeout=20)

    def close(self) -> None:
        for replica in self.both:
            if replica.process is not None and replica.process.poll() is None:
                os.kill(replica.pid, signal.SIGCONT)
                self.kill(replica)
        self.database.close()

    # What tenants and the owner do

    def ask_marked(self, number: int, gpus: int, *, heeds: str = HEEDS) -> list[LeaseId]:
        """Leases whose runs leave a mark each."""
        fresh = [self.ask(gpus, run=MARKS.format(heeds=heeds)) for _ in range(number)]
        self.asked += fresh
        return fresh

    def runs(self) -> set[str]:
        """Those that were made."""
        return {entry.name for entry in (self.site.shared / "runs").iterdir() if not entry.name.startswith(".")}

    def into_the_middle_of_starts(self, before: set[str], *, begun: int) -> None:
        """Wait until so many runs of a wave are made, and the job of one more is on its way to Slurm for a while."""
        self.until_quickly(lambda: len(self.runs() - before) >= begun)
        time.sleep(0.05)  # or its own job would take so long
        self.pace.write_text(LONG_S)
        self.until_quickly(lambda: len(self.runs() - before) > begun)

    def until_quickly(self, what: Callable[[], Any]) -> None:
        give_up = time.monotonic() + 40
        while not what():
            assert time.monotonic() < give_up, self._state_of_things()
            time.sleep(0.002)

    def some(self, names: list[LeaseId]) -> list[Lease]:
        with self.database.read() as tx:
            return leases.some(tx, names)

    def active(self) -> list[LeaseId]:
        return [one.id for one in self.live() if one.state is State.ACTIVE]

    def owner_jobs(self) -> list[OwnerJob]:
        with self.database.read() as tx:
            return jobs.page(tx, limit=1_000)

    def first_right_decision(self) -> None:
        """Wait until a job of the owner that needs leases to end runs, and a lease that is asked for has its answer."""
        job = self.cluster.submit("sleep 1", "--gres=gpu:8")
        (lease,) = self.insist(lambda: self.ask_marked(1, gpus=1))
        self.until(lambda: self.cluster.state(job) in {"RUNNING", "COMPLETED"}, said="the owner's job to run")
        self.until(lambda: self.insist(lambda: self.lease(lease)).state is not State.REQUESTED, said="an answer")

    def insist(self, ask: Callable[[], Any]) -> Any:
        """Ask again and again until the database answers."""
        give_up = time.monotonic() + 40
        while True:
            try:
                return ask()
            except Unavailable:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    # What must hold

    def marks(self) -> Counter[str]:
        """How often the workload of each run really began."""
        files = (self.site.shared / "volumes").glob("*/ran")
        return Counter(line.split()[1] for file in files for line in file.read_text().splitlines())

    def nothing_ran_twice(self) -> None:
        """A job that came late may be there for as long as it takes to find that its run is taken."""
        assert {run: times for run, times in self.marks().items() if times != 1} == {}
        self.until(lambda: max(self._jobs_by_lease().values(), default=0) <= 1, said="one job for each lease")

    def _jobs_by_lease(self) -> Counter[str]:
        said = self.cluster.run("squeue", "-h", "-t", "running", "-o", "%k").split()
        running = [run for comment in said if (run := run_of(self.site, comment)) is not None]
        return Counter(run.rpartition(".")[0] for run in running)

    def each_began_once(self, names: list[LeaseId]) -> None:
        """They run, and none of them has run before."""
        began = Counter(run.rpartition(".")[0] for run in self.marks().elements())
        for lease in self.some(names):
            assert (lease.state, lease.reclaims, began[lease.id]) == (State.ACTIVE, 0, 1), lease

    def no_owner_waited_beyond_the_promise(self) -> None:
        for job in self.owner_jobs():
            assert job.entitled_us is not None and job.started_us is not None, job
            assert job.started_us - job.entitled_us <= PROMISE_US, job

    def books_are_in_order(self) -> None:
        """Once nobody keeps them any more: no lease lost, and no second billed twice."""
        measured = settled(self.database, began_us=self.began_us, now_us=self.clock.now_us())
        assert {lease.state for lease in self.some(self.asked)} == {State.ENDED}
        by_lease: dict[LeaseId, list[tuple[int, int]]] = {}
        for one in measured:
            by_lease.setdefault(one.lease, []).append((one.from_us, one.to_us))
        for intervals in by_lease.values():
            ordered = sorted(intervals)
            assert all(until <= begin for (_, until), (begin, _) in itertools.pairwise(ordered))

    def drain(self) -> None:
        """Everybody leaves."""
        self.cluster.cancel_all()
        self.until(lambda: {job.state for job in self.owner_jobs()} <= {JobState.ENDED}, said="the owner's jobs to end")
        self.release_all()
