"""What one pass over a Slurm cluster costs: how long it takes, how much of slurmctld's time, and how many calls."""

import os
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil

from sublet.bench.progress import Progress
from sublet.core.errors import SubletError
from sublet.core.ids import NodeId, RunId
from sublet.core.units import HOUR_US
from sublet.core.workload import Workload
from sublet.engines.protocol import Phase, StartOrder, StopOrder
from sublet.engines.slurm.engine import SlurmEngine
from sublet.engines.slurm.make import make
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools

TIMEOUT_S = 120.0
_CALLS = re.compile(r"^\s+(REQUEST_\w+)\s+\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)


def measure(cluster: Cluster, leases: int, passes: int, progress: Progress) -> dict[str, Any]:
    """Passes over the cluster with so many leases of one GPU in its queue, held there and taken back afterwards.

    A pass is what the loops do: the state of all jobs, the owner's among them, and all nodes, each asked anew.
    """
    engine, tools = make(replace(cluster, timeout_s=TIMEOUT_S, held=True)), Tools(timeout_s=TIMEOUT_S)
    free = _free_gpus(engine)
    runs = _queue(engine, free, leases, progress) if leases else []
    try:
        before_calls, daemon = _calls(tools), _slurmctld()
        figures: dict[str, list[float]] = {"jobs_s": [], "nodes_s": [], "owner_work_s": [], "pass_s": [], "slurmctld_cpu_s": []}
        for number in range(passes):
            _one_pass(engine, daemon, figures)
            progress("passes", (number + 1) / passes)
        calls = {name: n - before_calls.get(name, 0) for name, n in _calls(tools).items()}
        seen = engine.observe()
        return {
            "nodes": len(engine.nodes()),
            "gpus": sum(node.gpus for node in engine.nodes()),
            "leases": len(runs),
            "leases_seen": sum(run in seen for run in runs),
            "owner_jobs": len(engine.owner_work() or ()),
            "passes": passes,
            "calls_a_pass": round(sum(n for name, n in calls.items() if name != "REQUEST_STATS_INFO") / passes, 2),
            "calls": {name: n for name, n in calls.items() if n},
            **{name: _summary(values) for name, values in figures.items() if values},
        }
    finally:
        _end(engine, runs)


def _one_pass(engine: SlurmEngine, daemon: psutil.Process | None, figures: dict[str, list[float]]) -> None:
    engine.look_anew()
    spent, began = _cpu_s(daemon), time.perf_counter()
    engine.observe()
    after_jobs = time.perf_counter()
    engine.nodes()
    after_nodes = time.perf_counter()
    engine.owner_work()
    ended = time.perf_counter()
    figures["jobs_s"].append(after_jobs - began)
    figures["nodes_s"].append(after_nodes - after_jobs)
    figures["owner_work_s"].append(ended - after_nodes)
    figures["pass_s"].append(ended - began)
    if daemon is not None:
        figures["slurmctld_cpu_s"].append(_cpu_s(daemon) - spent)


def _free_gpus(engine: SlurmEngine) -> Iterator[tuple[NodeId, int]]:
    """(node, mask of one GPU), node by node."""
    for node in engine.nodes():
        if node.healthy:
            yield from ((node.id, 1 << bit) for bit in range(node.gpus))


def _queue(engine: SlurmEngine, free: Iterator[tuple[NodeId, int]], leases: int, progress: Progress) -> list[RunId]:
    work = Workload("exec sleep 3600")
    until_us = time.time_ns() // 1_000 + HOUR_US
    runs = []
    for number, gpu in zip(range(leases), free, strict=False):
        run = RunId(f"bench-{os.getpid()}-{number}.1")
        engine.start([StartOrder(run, "bench", (gpu,), work, kill_at_us=until_us)])
        runs.append(run)
        if number % 100 == 0:
            progress("queueing leases", number / leases)
    return runs


def _end(engine: SlurmEngine, runs: list[RunId]) -> None:
    """Take back what was queued."""
    for first in range(0, len(runs), 500):
        some = runs[first : first + 500]
        try:
            engine.stop([StopOrder(run, 0) for run in some])
        except SubletError:
            continue
    deadline = time.monotonic() + 30
    while runs and time.monotonic() < deadline:
        seen = engine.observe()
        if not any(run in seen and seen[run].phase in {Phase.STARTING, Phase.RUNNING} for run in runs):
            break
        time.sleep(0.5)
    engine.clean(runs)
    engine.forget(runs)


def _calls(tools: Tools) -> dict[str, int]:
    """How often slurmctld was asked what since it started."""
    return {name: int(count) for name, count in _CALLS.findall(tools.run("sdiag"))}


def _slurmctld() -> psutil.Process | None:
    """The controller, where it runs on this machine."""
    wanted = os.environ.get("SLURM_CONF")
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "slurmctld":
            try:
                if wanted is None or process.environ().get("SLURM_CONF") == wanted:
                    return process
            except psutil.Error:
                continue
    return None


def _cpu_s(daemon: psutil.Process | None) -> float:
    if daemon is None:
        return 0.0
    times = daemon.cpu_times()
    return float(times.user + times.system)


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "most": round(max(values), 3)}
