"""What is predicted of a tenant's jobs beside what a replay of them shows, class by class.

The same jobs lease from a made-up owner. Each half of them is predicted from the risk that the other half met, so that nothing
is predicted from itself, and both are added up.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.advice.study.foresee import Asked, foreseen, hours_of
from sublet.advice.study.result import Wanted
from sublet.core.finishing import Habit, Risk, finish, of_term
from sublet.core.forecast import Series
from sublet.core.ids import NodeId, PoolId
from sublet.core.lease import LeaseClass
from sublet.core.terms import TERMS, Pool
from sublet.core.units import DAY_US, HOUR_US, SECOND_US, TICK_US
from sublet.core.view import PoolView
from sublet.sim.generated import generated
from sublet.sim.leased import Runs, guarded, listed, lived, risk_of, shortest_terms
from sublet.sim.outlook import Foreseen
from sublet.sim.scene import Habits, OwnerJobs, Scene
from sublet.traces import JobTable

T0_US = 1_500_000_000 * SECOND_US // DAY_US * DAY_US
NODE_GPUS = 8
HISTORY_DAYS = 28
"""What forecasts have seen when the market of guarded leases opens."""
TERMS_US = TERMS[LeaseClass.GUARDED].terms_us
Said = Callable[[OwnerJobs, Runs], tuple[float, float]]
"""(some jobs, the runs of others) -> (reclaims, added hours) of all of them together."""


def tenants_jobs(table: JobTable) -> OwnerJobs:
    """The jobs of a history that ran, on nodes of 8 GPUs, from the second day of the made-up clock on."""
    work, submit, gpus = table.duration_us, table.submit_us, table.gpus
    ran = np.flatnonzero(work > 0)
    submit = submit[ran] - submit[ran].min()
    nodes = -(-gpus[ran] // NODE_GPUS)
    begin = T0_US + DAY_US
    run = -(-work[ran] // TICK_US) * TICK_US
    return OwnerJobs(begin + submit // TICK_US * TICK_US, run, -(-gpus[ran] // nodes), nodes.astype(np.int64))


def nodes_for(jobs: OwnerJobs, asked_share: float, load: float) -> int:
    """Nodes of an owner who keeps `load` of the GPUs busy, of the rest of whom these jobs ask for a share on average."""
    span_us = int(jobs.submit_us[-1] - jobs.submit_us[0])
    asked = float((jobs.run_us * jobs.gpus_per_node * jobs.nodes).sum()) / span_us
    return max(1, math.ceil(asked / asked_share / (1 - load) / NODE_GPUS))


def scene_beside(jobs: OwnerJobs, nodes: int, load: float, habits: Habits, *, history_days: int = 0, seed: int = 3) -> Scene:
    """These jobs as spot leases beside an owner who is made up, until four weeks after the last of them came.

    The owner has been there `history_days` before the clock of the jobs begins.
    """
    from_us = T0_US - history_days * DAY_US
    days = int((jobs.submit_us[-1] - from_us) // DAY_US) + 28
    owner = generated(
        nodes * days, capacity=nodes * NODE_GPUS, node_gpus=NODE_GPUS, from_us=from_us, days=days, load=load, seed=seed
    )
    return Scene(
        pool=replace(Pool(PoolId("pool"), "GPU"), pricing="fixed", price_micro=1_000_000),
        nodes=tuple(NodeId(f"n{number:05d}") for number in range(nodes)),
        sizes=(NODE_GPUS,) * nodes,
        jobs=owner,
        from_us=from_us,
        open_us=T0_US + DAY_US,
        until_us=from_us + days * DAY_US,
        listed=listed(jobs),
        habits=habits,
    )


def guarded_beside(jobs: OwnerJobs, nodes: int, load: float, habits: Habits) -> tuple[Scene, Foreseen]:
    """The same jobs as guarded leases, and what is forecast. The longest term has to hold each job."""
    scene = under_guarantee(scene_beside(jobs, nodes, load, habits, history_days=HISTORY_DAYS))
    return scene, outlook_of(scene)


def under_guarantee(scene: Scene) -> Scene:
    """The scene with its jobs as guarded leases."""
    return replace(scene, listed=guarded(scene.listed, TERMS_US))


def outlook_of(scene: Scene) -> Foreseen:
    """The calibrated forecast that a study makes of the owner's jobs: offers under a guarantee need one."""
    pool = scene.pool
    past = {pool.id: Series(pool.id, scene.jobs.demand, scene.capacity)}
    asked = Asked(past, {pool.id: pool}, hours_of(scene.open_us, scene.until_us), (PoolView(pool, 0, 0, 0, {}).lead_us,))
    return foreseen(asked, Wanted().forecast, calibrated=True, progress=lambda _: None)[pool.id]


def agreement(jobs: OwnerJobs, runs: Runs, said: Said) -> dict[str, Any]:
    """Reclaims and added hours of all jobs that were finished: predicted, replayed, and the ratio of the two."""
    seen = lived(runs)
    half = np.random.default_rng(0).random(len(jobs)) < 0.5
    reclaims, added = 0.0, 0.0
    for mine in (half, ~half):
        told = runs.rows[(runs.rows[:, 8] >= 0) & ~mine[runs.rows[:, 8]]]
        more = said(jobs.of(seen.job[mine[seen.job]]), Runs(told))
        reclaims, added = reclaims + more[0], added + more[1]
    took = float((seen.end_us - jobs.run_us[seen.job]).sum()) / HOUR_US
    took_back = int(seen.reclaims.sum())
    return {
        "finished": len(seen.job),
        "unfinished": len(jobs) - len(seen.job),
        "reclaims": {"predicted": reclaims, "replayed": took_back, "ratio": reclaims / took_back if took_back else None},
        "added_h": {"predicted": added, "replayed": took, "ratio": added / took if took else None},
    }


def as_spot(scene: Scene, jobs: OwnerJobs, told: Runs) -> tuple[float, float]:
    """With hazards by size and age, as an audit plays spot leases."""
    habit = habit_of(scene)
    return predicted(jobs, habit, risk_of(told, habit))


def as_guarded(scene: Scene, jobs: OwnerJobs, told: Runs) -> tuple[float, float]:
    """With one share that is taken back of each term, as an audit plays guarded leases."""
    habit = replace(habit_of(scene), backoff_us=0)
    waits = risk_of(told, habit)
    reclaims, added = 0.0, 0.0
    terms = shortest_terms(jobs.run_us, TERMS_US)
    for term_us, share in taken_back(scene, told).items():
        mine = jobs.of(terms == term_us)
        more = predicted(mine, habit, of_term(share, term_us / HOUR_US, waits=waits)) if len(mine) else (0.0, 0.0)
        reclaims, added = reclaims + more[0], added + more[1]
    return reclaims, added


def taken_back(scene: Scene, told: Runs) -> dict[int, float]:
    """The share of the leases of each term (µs) that are taken back if they run for all of it, as these runs show it."""
    terms = np.array([wish.term_us for _, wish in scene.listed], np.int64)
    rows = told.rows[told.rows[:, 4] >= 0]
    found = {}
    for term_us in TERMS_US:
        mine = rows[terms[rows[:, 8]] == term_us]
        ran_h = float((mine[:, 5] - mine[:, 4]).sum()) / HOUR_US
        rate = float(mine[:, 6].sum()) / ran_h if ran_h else 0.0
        found[term_us] = float(-np.expm1(-rate * term_us / HOUR_US))
    return found


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
