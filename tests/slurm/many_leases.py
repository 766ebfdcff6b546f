# ruff: noqa: E402, I001 - a script: it finds its neighbours before it imports them
"""An experiment: many leases at once on many real nodes, from the request to a running task and from the release to the end.

    sudo .venv/bin/python tests/slurm/many_leases.py [--nodes 100] [--leases 1000]

Every node is a slurmd of its own on this machine, and every lease a job with an agent and a task in it. A whole control plane
decides, starts, sees, ends, hands over and bills them; its loops are turned by this script.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import psutil
from slurm_cluster import Cluster, Layout, cluster
from slurm_house import ADA, SlurmHouse

from sublet.app import leases as leasing
from sublet.app.tasks import LeaseRequest
from sublet.core.lease import State
from sublet.core.rehearsal import rehearse
from sublet.core.workload import Workload
from sublet.engines.slurm.site import Cluster as Site
from sublet.store import leases, pools
from sublet.store.database import Database

TASK = "exec sleep 3600"
WITHIN_S = 600.0


@contextmanager
def house_on(made: Cluster) -> Iterator[SlurmHouse]:
    """A control plane without a forecast, on a cluster without an owner."""
    folder = Path(tempfile.mkdtemp(prefix="sublet-many-"))
    url = f"sqlite:///{folder / 'sublet.db'}"
    database = Database(url)
    database.migrate()
    database.close()
    shared = made.home / "shared"
    shared.mkdir()
    os.environ.update(made.env)
    made.preempts(on=False)
    site = Site(shared, python=os.path.realpath(sys.executable), timeout_s=60.0)
    house = SlurmHouse(made, site, url, folder / "data")
    with house.database.write() as tx:
        (row,) = pools.everything(tx)
        pools.put(tx, replace(row.pool, stop_us=20_000_000), now_us=house.plane.clock.now_us())
    try:
        yield house
    finally:
        house.close()
        shutil.rmtree(folder)


def turn_until(house: SlurmHouse, state: State, count: int) -> tuple[float, dict[str, float]]:
    """Turn the loops until so many leases are in a state; how long it took, and when each tenth of them was there."""
    began, seen, tenths = time.monotonic(), 0, {}
    while seen < count:
        house.tick()
        with house.database.read() as tx:
            found = leases.counts(tx)
        seen = found.get(state, 0)
        took = time.monotonic() - began
        tenths.update(
            {f"{part}0%": round(took, 1) for part in range(1, 10) if f"{part}0%" not in tenths and seen >= count * part / 10}
        )
        assert took < WITHIN_S, f"{dict(found)}; failing: {house.plane.loops.failing}"
        time.sleep(0.05)
    return time.monotonic() - began, tenths


def measure(nodes: int, count: int) -> dict[str, Any]:
    """Start and stop them."""
    rehearse()
    with (
        cluster(Layout(nodes=nodes, gpus=-(-count // nodes), cpus=128, rest=False, silent_s=300)) as made,
        house_on(made) as house,
    ):
        before = cpu_s(made)
        began = time.monotonic()
        for _ in range(count):
            with house.database.write() as tx:
                asked = LeaseRequest(Workload(run=TASK), gpus_per_node=1, bid_micro=9_000_000)
                leasing.request(tx, house.plane.forecaster, asked, tenant=ADA, now_us=house.plane.clock.now_us())
        asked_s = time.monotonic() - began
        started_s, started = turn_until(house, State.ACTIVE, count)
        running = int(made.run("squeue", "-h", "-t", "running", "-o", "%i").count("\n")) + 1
        between = cpu_s(made)
        with house.database.read() as tx:
            live = [lease.id for lease in leases.live(tx)]
        stopping = time.monotonic()
        for name in live:
            with house.database.write() as tx:
                leasing.release(tx, name, tenant=None, now_us=house.plane.clock.now_us())
        released_s = time.monotonic() - stopping
        stopped_s, stopped = turn_until(house, State.ENDED, count)
        after = cpu_s(made)
        findings = house.findings()
    assert not findings, findings
    return {
        "nodes": nodes,
        "leases": count,
        "running_at_once": running,
        "asked_s": round(asked_s, 1),
        "started_s": round(started_s, 1),
        "released_s": round(released_s, 1),
        "stopped_s": round(stopped_s, 1),
        "in_all_s": round(asked_s + started_s + released_s + stopped_s, 1),
        "started": started,
        "stopped": stopped,
        "cpu_s_starting": {name: round(between[name] - before.get(name, 0.0), 1) for name in between},
        "cpu_s_stopping": {name: round(after[name] - between.get(name, 0.0), 1) for name in after},
        "load": [round(one, 1) for one in os.getloadavg()],
        "cores": os.cpu_count(),
    }


def cpu_s(made: Cluster) -> dict[str, float]:
    """Processor time so far, by daemon; ours with that of the tools it called."""
    spent: defaultdict[str, float] = defaultdict(float)
    own = psutil.Process().cpu_times()
    spent["control plane"] = own.user + own.system
    spent["tools"] = own.children_user + own.children_system
    for name, process in made.processes.items():
        times = psutil.Process(process.pid).cpu_times()
        spent["slurmd" if name.startswith("node") else name] += times.user + times.system
    machine = psutil.cpu_times()
    spent["machine"] = machine.user + machine.system
    return dict(spent)


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--leases", type=int, default=1000)
    wanted = parser.parse_args()
    print(json.dumps(measure(wanted.nodes, wanted.leases)))


if __name__ == "__main__":
    main()
