"""`sublet bench audit`: how long an audit takes, whether it leaves anything out, and whether its predictions come true.

They are held against the replay: the same jobs as spot leases beside a made-up owner. Each half of the jobs is predicted from
the risk that the other half met, so that nothing is predicted from itself, and both are added up.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sublet
from sublet.advice.audit.history import read
from sublet.advice.audit.report import Wanted, report_of
from sublet.advice.audit.surplus_file import read_surplus
from sublet.advice.study.question import EXAMPLE, EXAMPLE_NODES, EXAMPLE_ORIGIN, Files, asked
from sublet.advice.study.run import scene_of
from sublet.bench.progress import Progress, prefixed
from sublet.core.finishing import Habit, Risk, finish
from sublet.core.ids import NodeId, PoolId
from sublet.core.terms import Pool
from sublet.core.units import DAY_US, HOUR_US, SECOND_US, TICK_US
from sublet.sim.generated import generated
from sublet.sim.leased import Runs, listed, lived, replayed, risk_of
from sublet.sim.scene import Engine, Habits, OwnerJobs, Scene
from sublet.traces import JobTable, Options

T0_US = 1_500_000_000 * SECOND_US // DAY_US * DAY_US
NODE_GPUS = 8
HABITS: Mapping[str, Habits] = {
    "heeds": Habits(), "checkpoints": Habits(heed=False), "loses": Habits(heed=False, checkpoint_us=None, restart_us=0),
}  # fmt: skip
LOSING_MAX_US = 12 * HOUR_US
"""Work that never saves is replayed only up to this length: longer work might never end."""


def measure(path: Path, nodes: int, load: float, progress: Progress) -> dict[str, Any]:
    """Speed, share classified, and predictions against the replay with each habit. `nodes` and `load`: the made-up owner."""
    table = read((path,), Options(), trace_format=None)
    progress("audit", 0.0)
    begin = time.perf_counter()
    table = read((path,), Options(), trace_format=None)
    report = report_of(table, path.name, surplus=read_surplus(None), wanted=Wanted())
    seconds = time.perf_counter() - begin
    jobs = tenants_jobs(table)
    found: dict[str, Any] = {
        "benchmark": "audit",
        "version": sublet.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "jobs": report.jobs,
        "groups": len(report.lines),
        "seconds": seconds,
        "classified": report.classified,
        "owner": {"gpus": nodes * NODE_GPUS, "load": load},
    }
    for name, habits in HABITS.items():
        mine = jobs if name != "loses" else jobs.of(jobs.run_us <= LOSING_MAX_US)
        scene = scene_beside(mine, nodes, load, habits)
        found[name] = agreement(mine, scene, partial(prefixed(progress, name), "replay"))
    return found


def tenants_jobs(table: JobTable) -> OwnerJobs:
    """The jobs of a history that ran, on nodes of 8 GPUs, from the second day of the made-up clock on."""
    work, submit, gpus = table.duration_us, table.submit_us, table.gpus
    ran = np.flatnonzero(work > 0)
    submit = submit[ran] - submit[ran].min()
    nodes = -(-gpus[ran] // NODE_GPUS)
    begin = T0_US + DAY_US
    run = -(-work[ran] // TICK_US) * TICK_US
    return OwnerJobs(begin + submit // TICK_US * TICK_US, run, -(-gpus[ran] // nodes), nodes.astype(np.int64))


def scene_beside(jobs: OwnerJobs, nodes: int, load: float, habits: Habits, *, seed: int = 3) -> Scene:
    """These jobs as spot leases beside an owner who is made up, until a fortnight after the last of them came."""
    days = int((jobs.submit_us[-1] - T0_US) // DAY_US) + 14
    owner = generated(
        nodes * days, capacity=nodes * NODE_GPUS, node_gpus=NODE_GPUS, from_us=T0_US, days=days, load=load, seed=seed
    )
    return Scene(
        pool=replace(Pool(PoolId("pool"), "GPU"), pricing="fixed", price_micro=1_000_000),
        nodes=tuple(NodeId(f"n{number:05d}") for number in range(nodes)),
        sizes=(NODE_GPUS,) * nodes,
        jobs=owner,
        from_us=T0_US,
        open_us=T0_US + DAY_US,
        until_us=T0_US + days * DAY_US,
        listed=listed(jobs),
        habits=habits,
    )


def agreement(jobs: OwnerJobs, scene: Scene, progress: Any = lambda _: None) -> dict[str, Any]:
    """Reclaims and added hours of all jobs that were finished: predicted, replayed, and the ratio of the two."""
    runs = replayed(scene, progress=progress)
    seen = lived(runs)
    half = np.random.default_rng(0).random(len(jobs)) < 0.5
    turn_us = scene.engine.handover_us + scene.engine.start_us
    habit = habit_of(scene)
    reclaims, added = 0.0, 0.0
    for mine in (half, ~half):
        told = runs.rows[(runs.rows[:, 8] >= 0) & ~mine[runs.rows[:, 8]]]
        risk = risk_of(Runs(told), scene.pool, turn_us=turn_us)
        chosen = seen.job[mine[seen.job]]
        said = predicted(jobs.of(chosen), habit, risk)
        reclaims, added = reclaims + said[0], added + said[1]
    took = float((seen.end_us - jobs.run_us[seen.job]).sum()) / HOUR_US
    took_back = int(seen.reclaims.sum())
    return {
        "finished": len(seen.job),
        "unfinished": len(jobs) - len(seen.job),
        "reclaims": {"predicted": reclaims, "replayed": took_back, "ratio": reclaims / took_back if took_back else None},
        "added_h": {"predicted": added, "replayed": took, "ratio": added / took if took else None},
    }


def habit_of(scene: Scene) -> Habit:
    """The scene's habits and times as `core.finishing` has them."""
    habits, pool = scene.habits, scene.pool
    return Habit(
        heeds=habits.heed,
        checkpoint_us=habits.checkpoint_us,
        save_us=habits.save_us,
        restart_us=habits.restart_us,
        turn_us=scene.engine.handover_us + scene.engine.start_us,
        backoff_us=pool.backoff_us,
        backoff_max_us=pool.backoff_max_us,
    )


def predicted(jobs: OwnerJobs, habit: Habit, risk: Risk) -> tuple[float, float]:
    """(reclaims, added hours) of all jobs together."""
    habits = np.tile(np.array(habit.row, np.int64), (len(jobs), 1))
    gpus: npt.NDArray[np.int64] = jobs.gpus_per_node * jobs.nodes
    played = finish(jobs.run_us, gpus, habits, risk, runs=20, seed=1)
    later = np.where(played.done, played.end_us - jobs.run_us[:, None], 0)
    return float(played.reclaims.mean(axis=1).sum()), float(later.mean(axis=1).sum()) / HOUR_US


def shipped_risk(*, asked_share: float = 0.5, seed: int = 0) -> Risk:
    """The risk of the shipped prices: spot leases beside the three teams of the study's example, whose nodes are one pool.

    Others ask for `asked_share` of what the teams leave idle on average, with made-up jobs of every size and length.
    """
    nodes = sum(int(text.split("=")[1].split("x")[0]) for text in EXAMPLE_NODES)
    with as_file(files("sublet.traces") / EXAMPLE) as path:
        options = Options(origin=EXAMPLE_ORIGIN, pool="all")
        question = asked(Files(path, capacity=(f"all={nodes}x{NODE_GPUS}",), options=options))
    parts = []
    for number, layout in enumerate(question.layouts):
        scene = scene_of(question, layout)
        days = (question.until_us - question.open_us) // DAY_US
        work = float((layout.jobs.run_us * layout.jobs.gpus_per_node * layout.jobs.nodes).sum())
        idle = max(0.1, 1 - work / (scene.capacity * (question.until_us - question.from_us)))
        count = int(scene.capacity * days // 3)
        jobs = generated(
            count, capacity=scene.capacity // 2, node_gpus=max(layout.sizes), from_us=question.open_us, days=int(days),
            load=2 * asked_share * idle, seed=seed + number,
        )  # fmt: skip
        rows = replayed(replace(scene, standing=(), listed=listed(jobs))).rows.copy()
        rows[:, 0] += number * 10**9  # leases of different pools are different leases
        parts.append(rows)
    engine = Engine()
    return risk_of(Runs(np.concatenate(parts)), scene.pool, turn_us=engine.handover_us + engine.start_us)


def risk_text(risk: Risk, *, quantiles: int = 11) -> str:
    """The `[risk]` table of a surplus file; waits by so many quantiles, their mean kept."""

    def waits(rows: npt.NDArray[np.float64]) -> str:
        said = []
        for row in rows:
            levels = np.interp(np.linspace(0, 1, quantiles), np.linspace(0, 1, len(row)), row) / SECOND_US
            mean, least = float((row[1:] + row[:-1]).mean()) / 2 / SECOND_US, float((levels[1:] + levels[:-1]).mean()) / 2
            said.append([round(float(value) * (mean / least if least else 1.0), 1) for value in levels])
        return "[\n" + "".join(f"  {row},\n" for row in said) + "]"

    hazards = "[\n" + "".join(f"  {[round(float(value), 5) for value in row]},\n" for row in risk.hazards_h) + "]"
    ages = [round(float(edge) / HOUR_US, 4) for edge in risk.edges_us]
    return (
        f"[risk]\nsizes = {list(risk.sizes)}\nages_h = {ages}\nhazards = {hazards}\nfirst_s = {waits(risk.first_us)}\n"
        f"again_s = {waits(risk.again_us)}\n"
    )
