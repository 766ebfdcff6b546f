"""A running day under fire: tenants and the owner go on asking while the control plane is killed and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from settled_books import settled
from sublet.app import leases as leasing
from sublet.app import owner as owning
from sublet.app.clock import Clock
from sublet.app.forecasting import Forecaster
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import Unavailable
from sublet.core.ids import JobId, LeaseId, TenantId
from sublet.core.lease import LeaseClass, State
from sublet.core.ledger import tenant_accounts
from sublet.core.owner import JobState
from sublet.core.terms import Breaking, ClassTerms, Pool, Promise
from sublet.core.units import SECOND_US
from sublet.core.workload import Workload
from sublet.store import jobs, leases, ledger, pools, tenants
from sublet.store.database import Database
from sublet.store.tenants import Tenant

PROMISE_US = 6 * SECOND_US
TENANTS = (TenantId("ada"), TenantId("bell"))
PATIENCE_S = 60.0
Name = TypeVar("Name")


def quick(pool: Pool) -> Pool:
    """The pool on terms of seconds, so that a day of reclaims fits into a minute."""
    spot = ClassTerms(grace_us=SECOND_US // 2, exempt_us=SECOND_US // 2, breaking=Breaking.FREE)
    return replace(
        pool,
        classes=(LeaseClass.SPOT,),
        terms={LeaseClass.SPOT: spot},
        promise=Promise(PROMISE_US),
        detection_us=SECOND_US // 2,
        stop_us=SECOND_US // 2,
        handover_us=SECOND_US,
        start_us=SECOND_US,
        backoff_us=SECOND_US // 4,
        backoff_max_us=SECOND_US,
        hold_us=5 * SECOND_US,
        price_period_us=SECOND_US,
    )


@dataclass
class Day:
    """One installation and what happened to it."""

    folder: Path
    url: str
    rng: random.Random
    database: Database = field(init=False)
    clock: Clock = field(init=False, default_factory=Clock)
    outages: list[tuple[int, int]] = field(default_factory=list)  # (killed, ready again), µs
    leases: list[LeaseId] = field(default_factory=list)
    jobs: list[JobId] = field(default_factory=list)
    began_us: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.database = Database(self.url)
        self.forecaster = Forecaster()
        (self.folder / "marks").mkdir()
        self._begin()
        self.began_us = self.clock.now_us()
        with self.database.write() as tx:
            pool = quick(pools.everything(tx)[0].pool)
            pools.put(tx, pool, now_us=self.began_us)
            for name in TENANTS:
                tenants.insert_one(tx, Tenant(name, name, "USD", self.began_us))
                ledger.open_accounts(tx, tenant_accounts(name, "USD"))

    def _begin(self) -> None:
        self._open_zygote("zygote.py")
        self.pid = self._start()

    def _open_zygote(self, name: str) -> None:
        script = Path(__file__).with_name(name)
        self.zygote = subprocess.Popen(
            [sys.executable, str(script), str(self.folder), self.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _line(self) -> str:
        assert self.zygote.stdout is not None
        line = self.zygote.stdout.readline().strip()
        assert line, "the control plane ended by itself; its error is above"
        return line

    def _start(self) -> int:
        assert self.zygote.stdin is not None
        self.zygote.stdin.write("\n")
        self.zygote.stdin.flush()
        answers = {self._line(), self._line()}
        assert "ready" in answers, answers
        return int(next(iter(answers - {"ready"})))

    def kill_and_restart(self) -> None:
        """SIGKILL to the control plane, and another one at once."""
        killed = self.clock.now_us()
        os.kill(self.pid, signal.SIGKILL)
        self.pid = self._start()
        self.outages.append((killed, self.clock.now_us()))

    def live_for(self, seconds: float) -> None:
        """Tenants and the owner go about their day."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.rng.uniform(0.01, 0.08))
            self.rng.choices((self.request, self.submit, self.release), weights=(6, 3, 1))[0]()

    def request(self) -> None:
        """A tenant asks for a lease, unless many wait."""
        with self.database.read() as tx:
            if len(leases.live(tx)) > 12:
                return
        self.request_one()

    def request_one(self) -> LeaseId:
        """A tenant asks for a lease."""
        seconds = self.rng.choice((0.2, 0.5, 1.0, 3.0))
        asked = LeaseRequest(self._workload(seconds), gpus_per_node=self.rng.randint(1, 4), bid_micro=3_000_000)
        with self.database.write() as tx:
            made = leasing.request(tx, self.forecaster, asked, tenant=self.rng.choice(TENANTS), now_us=self.clock.now_us())
        self.leases.append(made.id)
        return made.id

    def submit(self) -> None:
        """The owner submits a job, unless many wait."""
        with self.database.read() as tx:
            if len(jobs.live(tx)) > 3:
                return
        self.submit_one()

    def submit_one(self) -> JobId:
        """The owner submits a job."""
        asked = LeaseRequest(self._workload(self.rng.choice((0.2, 0.6))), gpus_per_node=self.rng.randint(1, 6))
        with self.database.write() as tx:
            made = owning.run(tx, asked, forced=False, by="test", now_us=self.clock.now_us())
        self.jobs.append(made.id)
        return made.id

    def insist(self, ask: Callable[[], Name]) -> Name:
        """Ask again and again until the database answers."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except Unavailable:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def release(self) -> None:
        """A tenant gives something back."""
        with self.database.write() as tx:
            live = leases.live(tx)
            if live:
                leasing.release(tx, self.rng.choice(live).id, tenant=None, now_us=self.clock.now_us())

    def _workload(self, seconds: float) -> Workload:
        """Leaves a mark for each time it starts, and sleeps; a reclaim ends it with "restart me"."""
        mark = 'echo x >> "${SUBLET_CHECKPOINT_DIR:-$MARKS}/$SUBLET_RUN_ID"'
        run = f"{mark}\ntrap 'exit 85' TERM\nsleep {seconds} & wait $!"
        return Workload(run=run, env={"MARKS": str(self.folder / "marks")})

    def drain(self, timeout_s: float) -> None:
        """Release everything and wait until nobody holds or waits for anything."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self.database.write() as tx:
                live, work = leases.live(tx), jobs.live(tx)
                for lease in live:
                    leasing.release(tx, lease.id, tenant=None, now_us=self.clock.now_us())
            if not live and not work:
                return
            time.sleep(0.2)
        raise AssertionError(f"still there after {timeout_s} s: {live} {work}")

    def outage_us(self, from_us: int, to_us: int) -> int:
        """How long the control plane was away inside a period."""
        return sum(max(0, min(to_us, up) - max(from_us, down)) for down, up in self.outages)

    def ended(self) -> tuple[int, int]:
        """How many of the leases and jobs asked for are over, as the database says."""
        with self.database.read() as tx:
            found = [lease.state for lease in leases.some(tx, self.leases)]
            done = [job.state for job in jobs.some(tx, self.jobs)]
        return found.count(State.ENDED), done.count(JobState.ENDED)

    def close(self) -> None:
        """End the control plane."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.zygote.stdin is not None
        self.zygote.stdin.close()
        self.zygote.wait(timeout=10)
        self.database.close()


def nothing_ran_twice(day: Day) -> None:
    places = (day.folder / "engine" / "volumes", day.folder / "marks")
    marks = {path.name: len(path.read_text()) // 2 for place in places for path in place.rglob("*.[0-9]*")}
    assert len(marks) > len(day.jobs)
    assert {run: times for run, times in marks.items() if times != 1} == {}


def books_are_in_order(day: Day) -> None:
    measured = settled(day.database, began_us=day.began_us, now_us=day.clock.now_us())
    assert max(Counter((one.lease, one.seq) for one in measured).values()) == 1


def no_owner_waited_beyond_the_promise(day: Day) -> None:
    """Each of his jobs started within the promise, but for the time that the control plane was away."""
    with day.database.read() as tx:
        done = jobs.some(tx, day.jobs)
    late = []
    for job in done:
        assert job.entitled_us is not None and job.started_us is not None, f"{job.id} never started"
        away = day.outage_us(job.submitted_us, job.started_us)
        if job.started_us - job.entitled_us > PROMISE_US + away:
            late.append(job)
    assert late == []


def first_right_decision(day: Day) -> float:
    """Until a job of the owner that was submitted now runs, and a lease that was asked for now has its answer; in seconds."""
    began = time.monotonic()
    job = day.insist(day.submit_one)
    lease = day.insist(day.request_one)
    while time.monotonic() < began + PATIENCE_S:
        try:
            with day.database.read() as tx:
                (mine,), (his,) = leases.some(tx, [lease]), jobs.some(tx, [job])
        except Unavailable:
            continue
        if mine.state is not State.REQUESTED and his.started_us is not None:
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"no decision within {PATIENCE_S} s: {mine} {his}")
