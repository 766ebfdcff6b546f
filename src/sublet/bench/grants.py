"""Durable grants a second through the whole loop, beside a bare loop of single-row commits on the same store.

A grant counts when its lease is active in the database: decided, stored as a plan, applied with its hold, spans and journal
entries, ordered from the engine, and seen running. The requests come in before, by the use case that the API calls, one commit
each; they are timed apart, and `end_to_end` counts both. The engine is the fake one, so the control plane is what is measured.
SQLite runs with `synchronous=FULL`: what was committed is on disk.
"""

import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sublet.app import leases as leasing
from sublet.app import logging as logs
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.settings import Settings
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import Unavailable
from sublet.core.ids import TenantId
from sublet.core.lease import State
from sublet.core.ledger import tenant_accounts
from sublet.core.rehearsal import rehearse
from sublet.core.workload import Workload
from sublet.engines.fake import FakeEngine
from sublet.store import facts, ledger, tenants
from sublet.store import leases as lease_rows
from sublet.store.database import Database
from sublet.store.tenants import Tenant

_TENANT = TenantId("bench")
_TICKS_MAX = 200
_BARE_COMMITS = 500
_FOLLOWER_READY_S = 300
Progress = Callable[[int], None]
"""Told how many repetitions are done."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition; all figures are events a second, the round trip in seconds."""

    bare_commits: float
    raw_commits: float
    requests: float
    grants: float
    end_to_end: float


def measure(*, url: str, folder: Path, leases: int, repeats: int, followers: int, progress: Progress) -> dict[str, Any]:
    """Medians over `repeats` repetitions of `leases` grants each, on a fresh control plane in `folder`.

    So many `followers` stand beside it in processes of their own, as replicas on PostgreSQL do.
    """
    database = Database(url)
    clock = Clock()
    engine = FakeEngine(clock=clock.now_us, nodes=-(-leases // 8), gpus=8)
    plane = ControlPlane(Settings(data_dir=folder, database=url), database, engine, clock)
    try:
        with database.write() as tx:
            tenants.insert_one(tx, Tenant(_TENANT, "bench", "USD", clock.now_us()))
            ledger.open_accounts(tx, tenant_accounts(_TENANT, "USD"))
        rehearse()  # as whoever serves has done before: nobody is granted anything while a compiler runs
        samples = []
        with _followers(url, folder, followers):
            for nth in range(repeats):
                samples.append(_repetition(plane, engine, leases))
                progress(nth + 1)
    finally:
        plane.stop()
        database.close()
    return _report(database, samples, leases) | {"followers": followers}


@contextmanager
def _followers(url: str, folder: Path, count: int) -> Iterator[None]:
    if not count:
        yield
        return
    context = multiprocessing.get_context("spawn")
    ready, enough = context.Barrier(count + 1), context.Event()
    running = [context.Process(target=follow, args=(url, folder / f"follower-{nth}", ready, enough)) for nth in range(count)]
    for one in running:
        one.start()
    try:
        ready.wait(timeout=_FOLLOWER_READY_S)
        yield
    finally:
        enough.set()
        for one in running:
            one.join()


def follow(url: str, folder: Path, ready: Any, enough: Any) -> None:
    """Stand ready for the lead until it is enough."""
    logs.configure(Settings(log_level="error"))
    database, clock = Database(url), Clock()
    engine = FakeEngine(clock=clock.now_us)
    plane = ControlPlane(Settings(data_dir=folder, database=url), database, engine, clock)
    plane.start()
    ready.wait(timeout=_FOLLOWER_READY_S)
    enough.wait()
    plane.stop()
    database.close()


def _repetition(plane: ControlPlane, engine: FakeEngine, leases: int) -> Sample:
    bare, raw = _bare_commits(plane.database), _raw_commits(plane.database)
    began = perf_counter()
    for _ in range(leases):
        with plane.database.write() as tx:
            leasing.request(
                tx,
                plane.forecaster,
                LeaseRequest(Workload(run="true"), bid_micro=5_000_000),
                tenant=_TENANT,
                now_us=plane.clock.now_us(),
            )
    asked = perf_counter()
    _tick_until(plane, State.ACTIVE, leases)
    granted = perf_counter()
    with plane.database.read() as tx:
        runs = [lease.run for lease in lease_rows.live(tx)]
    for run in runs:
        engine.finish(run)
    _tick_until(plane, None, 0)
    engine.forget(runs)
    return Sample(bare, raw, leases / (asked - began), leases / (granted - asked), leases / (granted - began))


def _raw_commits(database: Database) -> float:
    """Single-row commits a second by the driver alone, with prepared text and nothing of ours in between."""
    with database.driver() as (execute, mark):
        update = "UPDATE facts SET value = {} WHERE name = 'bench'".format(mark)  # noqa: UP032, S608 (the mark is ours)
        began = perf_counter()
        for nth in range(_BARE_COMMITS):
            execute("BEGIN")
            execute(update, (str(nth),))
            execute("COMMIT")
        return _BARE_COMMITS / (perf_counter() - began)


def _bare_commits(database: Database) -> float:
    """Single-row commits a second through our own store layer, one thing at a time."""
    began = perf_counter()
    for nth in range(_BARE_COMMITS):
        with database.write() as tx:
            facts.put(tx, "bench", str(nth))
    return _BARE_COMMITS / (perf_counter() - began)


def _tick_until(plane: ControlPlane, state: State | None, count: int) -> None:
    """Tick until so many leases are in a state; without a state, until none lives."""
    for _ in range(_TICKS_MAX):
        plane.loops.tick()
        with plane.database.read() as tx:
            found = lease_rows.counts(tx)
        living = sum(number for one, number in found.items() if one is not State.ENDED)
        if (living if state is None else found.get(state, 0)) == count:
            return
    raise Unavailable(f"after {_TICKS_MAX} ticks not all leases were {state or 'over'}", hint=f"{plane.loops.failing}")


def _report(database: Database, samples: list[Sample], leases: int) -> dict[str, Any]:
    def median(name: str) -> float:
        return round(statistics.median(float(getattr(sample, name)) for sample in samples), 1)

    def spread(name: str) -> list[float]:
        values = [getattr(sample, name) for sample in samples]
        return [round(min(values), 1), round(max(values), 1)]

    def ratio(of: str, to: str) -> float:
        return round(statistics.median(float(getattr(sample, of) / getattr(sample, to)) for sample in samples), 3)

    return {
        "benchmark": "grants",
        "store": database.url.get_backend_name(),
        "leases": leases,
        "repeats": len(samples),
        "grants_per_s": median("grants"),
        "grants_per_s_range": spread("grants"),
        "requests_per_s": median("requests"),
        "end_to_end_per_s": median("end_to_end"),
        "bare_commits_per_s": median("bare_commits"),
        "driver_commits_per_s": median("raw_commits"),
        "ratio_to_bare": ratio("grants", "bare_commits"),
        "ratio_to_driver": ratio("grants", "raw_commits"),
        "end_to_end_ratio_to_bare": ratio("end_to_end", "bare_commits"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
    }
