"""`sublet bench live`: the control plane over a large fleet, asked for leases over HTTP while its rounds run.

The engine is the fake one, so that it is the control plane which is measured; the database, the loops, the API and the client's
connection are real. The client is a process of its own and asks at a steady pace, whether or not the answer before has come, so
a stall is seen by every request that falls into it.
"""

import multiprocessing
import os
import platform
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import numpy as np
import psutil
import uvicorn

from sublet.api.server import create_app
from sublet.app.apply import apply_pending
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.settings import Settings
from sublet.bench.fleet import NODE_GPUS, NOW_US, Size, fleet
from sublet.bench.progress import Progress
from sublet.bench.settled import engine_of, settle
from sublet.core.lease import State
from sublet.engines.fake import FakeEngine
from sublet.store import leases as lease_rows
from sublet.store.database import Database

_ROUNDS = 100
_STEADY, _PATIENCE_S = 4, 300.0
"""The fleet has settled once there are so many ticks in five seconds, or so many seconds have passed."""
_LEASES_HELD = 0.6
"""Of all live leases so many hold GPUs; the others wait."""


def measure(
    *, url: str, folder: Path, nodes: int, leases: int, rate: float, seconds: float, progress: Progress
) -> dict[str, Any]:
    """How `rate` requests a second for a lease are answered, over so many seconds, with so many nodes and live leases."""
    progress("a fleet is made up", 0.0)
    held = round(leases * _LEASES_HELD)
    view = fleet(Size(nodes * NODE_GPUS, held, leases - held))
    began_ns = time.time_ns()
    clock = Clock(wall=lambda: NOW_US * 1_000 + time.time_ns() - began_ns)
    engine, database = engine_of(view, clock.now_us), Database(url)
    database.migrate()
    secret = settle(database, view)
    pools = [pool.pool.id for pool in view.pools]
    del view
    progress("it starts", 0.2)
    with _serving(folder, database, engine, clock) as (plane, base_url, ready_s):
        _settled(plane)
        progress("it is asked", 0.3)
        ticks, began = plane.status()["ticks"], perf_counter()
        with multiprocessing.get_context("spawn").Pool(1) as client:
            asked = client.apply(ask, (base_url, secret, pools, rate, seconds))
        rounds = (plane.status()["ticks"] - ticks) / (perf_counter() - began)
        loops = _means_ms(plane)
        failing = plane.status()["failing"]
        memory = psutil.Process().memory_info().rss
    database.close()
    progress("it starts again", 0.9)
    database, clock = Database(url), Clock(wall=clock_of(clock))
    with _serving(folder, database, engine, clock) as (plane, _, again_s), database.read() as tx:
        states = lease_rows.counts(tx)
    idle = _idle(plane)
    database.close()
    return {
        "benchmark": "live",
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "store": database.url.get_backend_name()},
        "nodes": nodes,
        "live_leases": sum(number for state, number in states.items() if state is not State.ENDED),
        "answers": _spread(asked["seconds"]) | {"asked_a_second": rate, "statuses": asked["statuses"]},
        "ticks_a_second": round(rounds, 2),
        "loops_mean_ms": loops,
        "idle_round": idle,
        "failing": failing,
        "first_start_s": round(ready_s, 1),
        "restart_to_ready_s": round(again_s, 1),
        "memory_mb": round(memory / 1e6),
    }


def _settled(plane: ControlPlane) -> None:
    """Wait until the first rounds have placed what the made-up fleet left waiting: until ticks come one after the other."""
    until = perf_counter() + _PATIENCE_S
    while perf_counter() < until:
        ticks = plane.status()["ticks"]
        time.sleep(5.0)
        if plane.status()["ticks"] - ticks >= _STEADY:
            return


def _means_ms(plane: ControlPlane) -> dict[str, float]:
    """What a pass of each loop took on average."""
    found: dict[str, dict[str, float]] = {}
    for metric in plane.metrics.operations.collect():
        for sample in metric.samples if metric.name == "sublet_loop_duration_seconds" else ():
            found.setdefault(sample.labels["loop"], {})[sample.name.rsplit("_", 1)[-1]] = sample.value
    return {loop: round(1e3 * parts["sum"] / parts["count"], 1) for loop, parts in found.items() if parts.get("count")}


def _idle(plane: ControlPlane) -> dict[str, Any]:
    """Rounds in which nothing has changed, the loops at rest: what it takes to see that."""
    now, seconds = plane.clock.now_us(), []
    for _ in range(_ROUNDS):
        began = perf_counter()
        decided = plane.decider.decide(now_us=now)
        if decided is None:
            seconds.append(perf_counter() - began)
        else:
            apply_pending(plane.database, now_us=now)
    return _spread(seconds[-_ROUNDS // 2 :]) if len(seconds) >= _ROUNDS // 2 else {"number": len(seconds)}


def clock_of(clock: Clock) -> Any:
    """A wall clock that goes on where another one stands."""
    stands_us, since_ns = clock.now_us(), time.time_ns()
    return lambda: stands_us * 1_000 + time.time_ns() - since_ns


@contextmanager
def _serving(folder: Path, database: Database, engine: FakeEngine, clock: Clock) -> Iterator[tuple[ControlPlane, str, float]]:
    """(the control plane, its address, seconds until its first round was applied) with the API on a free port."""
    began = perf_counter()
    plane = ControlPlane(Settings(data_dir=folder, database=str(database.url), port=1), database, engine, clock)
    config = uvicorn.Config(create_app(plane), host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    plane.start()
    thread.start()
    try:
        while not (server.started and plane.status()["ticks"]):
            time.sleep(0.01)
        ready = perf_counter() - began
        yield plane, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", ready
    finally:
        server.should_exit = True
        thread.join()
        plane.stop()


def ask(base_url: str, secret: str, pools: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """Ask for leases at a steady pace; the seconds that each answer took from the instant at which it was due to be asked."""
    rng, headers = np.random.default_rng(1), {"authorization": f"Bearer {secret}"}
    wanted = [(str(rng.choice(pools)), int(rng.choice((1, 2, 4)))) for _ in range(int(rate * seconds))]
    found: list[tuple[float, int]] = []
    limits = httpx.Limits(keepalive_expiry=2.0)  # below what the server keeps an idle connection for
    with httpx.Client(base_url=base_url, headers=headers, timeout=60, limits=limits) as client:

        def one(number: int, due: float) -> tuple[float, int]:
            pool, gpus = wanted[number]
            task = {"run": "true", "resources": {"accelerators": f"H100:{gpus}"}, "lease": {"pool": pool, "max_price": 3.0}}
            answer = client.post("/v1/leases", json=task, headers={"idempotency-key": f"bench-{number}"})
            return perf_counter() - due, answer.status_code

        client.get("/v1/healthz")
        began, asked = perf_counter(), []
        with ThreadPoolExecutor(16) as threads:
            for number in range(len(wanted)):
                due = began + number / rate
                time.sleep(max(0.0, due - perf_counter()))
                asked.append(threads.submit(one, number, due))
            found = [answer.result() for answer in asked]
    statuses: dict[str, int] = {}
    for _, status in found:
        statuses[str(status)] = statuses.get(str(status), 0) + 1
    return {"seconds": [took for took, _ in found], "statuses": statuses}


def _spread(seconds: list[float]) -> dict[str, Any]:
    took = np.array(seconds) * 1e3
    names = {"median_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9}
    return {name: round(float(np.percentile(took, share)), 1) for name, share in names.items()} | {
        "worst_ms": round(float(took.max()), 1),
        "number": len(took),
    }
