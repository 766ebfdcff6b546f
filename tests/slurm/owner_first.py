# ruff: noqa: E402, I001 - a script: it finds its neighbours before it imports them
"""An experiment: the owner's jobs against a full house of leases, with Sublet's plan and with Slurm's preemption alone.

    sudo .venv/bin/python tests/slurm/owner_first.py [--jobs 20] [--seed 1] [--grace 5] [--json]

Both arms run on a real cluster of 8 nodes with 8 GPUs, with the same tenants, the same owner's jobs at the same instants, and
the same notice. Tenants' tasks checkpoint every 20 s; every other one also saves when it is told of its end, and does no more
work then. On a lease they mark their checkpoints as the documentation asks (docs/checkpoint.md); Slurm has no place for that.
A run that saved asks Sublet for its restart by its exit code; in Slurm it waits until it is ended, or it would not be requeued.
An owner's wait is from `sbatch` to his script's first line; lost work is what an ended run did since its last checkpoint, and
its share is of all that the tenants worked.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from slurm_cluster import Cluster, Layout, cluster
from slurm_house import SlurmHouse

from sublet.engines.slurm.site import Cluster as Site
from sublet.store.database import Database

TASK = """f={marks}/$SLURM_JOB_ID.${{SLURM_RESTART_COUNT:-0}}
echo {gpus} >$f.gpus
date +%s.%N >$f.born
save() {{
  date +%s.%N >$f.saved
  [ -z "$SUBLET_CHECKPOINT_DIR" ] || touch "$SUBLET_CHECKPOINT_DIR/.sublet-checkpointed"
}}
trap '{heeds}' TERM USR2
save
n=0
while :; do date +%s.%N >$f.alive; n=$((n + 1)); [ $((n % 20)) -ne 0 ] || save; sleep 1; done
"""
DEAF = ":"
BACKOFF_S = 10
"""Before a lease is granted again, doubling as in any pool: as long as Slurm keeps a requeued job from starting here."""
SAVES = {"sublet": "save; exit 85", "slurm alone": "save; exec sleep 300"}


@dataclass(frozen=True)
class Ask:
    """One job of the owner."""

    after_s: float
    nodes: int
    gpus: int
    runs_s: int


def script(jobs: int, rng: random.Random) -> list[Ask]:
    """From one GPU to the whole cluster, at random intervals."""
    shapes = [(1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (2, 4), (4, 8), (8, 8)]
    asked = [rng.choice(shapes) for _ in range(jobs)]
    asked[jobs // 2] = (8, 8)
    return [Ask(rng.uniform(6, 12), nodes, gpus, rng.randint(3, 6)) for nodes, gpus in asked]


def house_of(rng: random.Random) -> list[int]:
    """Sizes of leases that fill 8 nodes of 8 GPUs."""
    sizes: list[int] = []
    for _ in range(8):
        left = 8
        while left:
            sizes.append(rng.choice([size for size in (1, 2, 4, 8) if size <= left]))
            left -= sizes[-1]
    return sorted(sizes, reverse=True)


def play(made: Cluster, asks: list[Ask], marks: Path) -> list[float]:
    """Submit, and wait for each to have started; the waits in seconds."""
    stamps = []
    for number, ask in enumerate(asks):
        time.sleep(ask.after_s)
        stamp = marks / f"owner-{number}"
        submitted = time.time()
        made.submit(f"date +%s.%N >{stamp}; sleep {ask.runs_s}", f"--gres=gpu:{ask.gpus}", f"-N{ask.nodes}", "--mem=100M")
        stamps.append((stamp, submitted))
    give_up = time.monotonic() + 180
    while not all(stamp.exists() and stamp.read_text() for stamp, _ in stamps) and time.monotonic() < give_up:
        time.sleep(0.2)
    return [float(stamp.read_text()) - at if stamp.exists() else float("inf") for stamp, at in stamps]


@dataclass
class Work:
    """What the tenants did. `worked`, `lost`: GPU-seconds."""

    runs_ended: int = 0
    worked_gpu_s: float = 0.0
    lost_gpu_s: float = 0.0


def work_of(marks: Path, alive: set[str]) -> Work:
    """What all runs worked, and what those that ended lost since their last checkpoints."""
    done = Work()
    for path in marks.glob("*.gpus"):
        run, gpus = path.name.removesuffix(".gpus"), int(path.read_text())
        born, saved, last = (_read(marks / f"{run}.{what}") for what in ("born", "saved", "alive"))
        born = born or saved or last  # its own `date` may have met the signal that it is deaf to
        done.worked_gpu_s += gpus * max(0.0, last - born)
        if run not in alive:
            done.runs_ended += 1
            done.lost_gpu_s += gpus * max(0.0, last - max(born, saved))
    return done


def _read(path: Path) -> float:
    text = path.read_text().strip() if path.exists() else ""
    return float(text) if text else 0.0


def running(made: Cluster) -> set[str]:
    """`job.restart` of each lease that still runs."""
    said = made.run("squeue", "-h", "-p", "surplus", "-t", "running", "-O", "JobID:.20,RestartCnt:.20")
    return {".".join(line.split()) for line in said.splitlines()}


@contextmanager
def with_sublet(made: Cluster, sizes: list[int], marks: Path, grace_s: int) -> Iterator[None]:
    """Leases of one tenant, queued again after each reclaim; Slurm's own preemption is off."""
    made.preempts(on=False)
    folder = Path(tempfile.mkdtemp(prefix="sublet-experiment-"))
    database = Database(f"sqlite:///{folder / 'sublet.db'}")
    database.migrate()
    database.close()
    shared = made.home / "shared"
    shared.mkdir()
    token = made.home / "token"
    token.write_text(made.token())
    os.environ.update(made.env)
    site = Site(shared, rest_url=made.rest_url, token_file=token, python=os.path.realpath(sys.executable))
    house = SlurmHouse(made, site, f"sqlite:///{folder / 'sublet.db'}", folder / "data", grace_s=grace_s, backoff_s=BACKOFF_S)
    leased = [house.ask(gpus, run=_task("sublet", n, gpus, marks)) for n, gpus in enumerate(sizes)]
    house.until_active(*leased)
    house.plane.start()
    try:
        yield
    finally:
        house.plane.stop()
        house.plane = house._open()
        house.release_all()
        findings = house.findings()
        house.close()
        shutil.rmtree(folder)
        assert not findings, findings


@contextmanager
def with_slurm_alone(made: Cluster, sizes: list[int], marks: Path, grace_s: int) -> Iterator[None]:
    """The same tasks as ordinary jobs of the partition below, requeued by Slurm."""
    made.preempts(on=True)
    assert made.layout.grace_s == grace_s
    jobs = []
    for n, gpus in enumerate(sizes):
        words = ["--partition=surplus", f"--gres=gpu:{gpus}", "--mem=100M", "--requeue", "--signal=B:USR2@60", "--time=60"]
        jobs.append(made.submit(_task("slurm alone", n, gpus, marks), *words))
    made.until(lambda: all(made.state(job) == "RUNNING" for job in jobs), within_s=60)
    try:
        yield
    finally:
        made.run("scancel", "-Q", "-p", "surplus", check=False)


def _task(arm: str, number: int, gpus: int, marks: Path) -> str:
    return TASK.format(marks=marks, gpus=gpus, heeds=SAVES[arm] if number % 2 else DEAF)


ARMS: dict[str, Callable[..., Any]] = {"sublet": with_sublet, "slurm alone": with_slurm_alone}


def measure(arm: str, *, jobs: int, seed: int, grace_s: int) -> dict[str, Any]:
    """One arm on a cluster of its own."""
    rng = random.Random(seed)
    asks, sizes = script(jobs, rng), house_of(rng)
    with cluster(Layout(grace_s=grace_s)) as made:
        marks = made.home / "marks"
        marks.mkdir()
        with ARMS[arm](made, sizes, marks, grace_s):
            waits = play(made, asks, marks)
            done = work_of(marks, running(made))
    ordered = sorted(waits)
    return {
        "arm": arm,
        "leases": len(sizes),
        "owner_jobs": jobs,
        "wait_median_s": round(statistics.median(waits), 1),
        "wait_p99_s": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
        "late": sum(wait > grace_s + 5 + 5 for wait in waits),
        "runs_ended": done.runs_ended,
        "worked_gpu_s": round(done.worked_gpu_s),
        "lost_gpu_s": round(done.lost_gpu_s, 1),
        "lost_share": round(done.lost_gpu_s / done.worked_gpu_s, 4),
        "waits": [round(wait, 1) for wait in waits],
        "shapes": [f"{ask.nodes}x{ask.gpus}" for ask in asks],
    }


def main() -> None:
    """Both arms, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grace", type=int, default=5)
    parser.add_argument("--arm", choices=[*ARMS], action="append")
    wanted = parser.parse_args()
    for arm in wanted.arm or ARMS:
        print(json.dumps(measure(arm, jobs=wanted.jobs, seed=wanted.seed, grace_s=wanted.grace)), flush=True)


if __name__ == "__main__":
    main()
