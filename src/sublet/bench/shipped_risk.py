"""`sublet bench audit --risk`: the risks and waits of the shipped prices of an audit, measured again.

Leases beside the three teams of the study's example, whose nodes are one pool. Others ask for a share of what the teams leave
idle on average, with made-up jobs of every size and length. Where all who lease heed their notices, the others are hardly ever
chosen; nobody should count on that, so the hazards of who has not done so yet come from a market in which nobody does.
"""

from dataclasses import replace
from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt

from sublet.advice.study.question import EXAMPLE, EXAMPLE_NODES, EXAMPLE_ORIGIN, Files, asked
from sublet.advice.study.run import scene_of
from sublet.bench.foretold import NODE_GPUS, TERMS_US, habit_of, outlook_of, taken_back, under_guarantee
from sublet.core.finishing import Risk
from sublet.core.units import DAY_US, HOUR_US, SECOND_US
from sublet.sim.generated import generated
from sublet.sim.leased import listed, replayed, risk_of
from sublet.sim.scene import OwnerJobs, Scene
from sublet.traces import Options

ASKED_SHARE = 0.5


def measured(*, quantiles: int = 11) -> str:
    """The `[risk]` and `[guarded_waits]` tables of a surplus file, and the shares that go into its `[[guarded]]`."""
    scene, jobs = _example()
    habit = habit_of(scene)
    spot = risk_of(replayed(replace(scene, listed=listed(jobs))), habit)
    deaf = replace(scene, listed=listed(jobs), habits=replace(scene.habits, heed=False))
    unproven = risk_of(replayed(deaf), replace(habit, heeds=False))
    short = jobs.of(jobs.run_us + scene.habits.restart_us <= TERMS_US[-1])
    kept = under_guarantee(replace(scene, listed=listed(short)))
    runs = replayed(kept, outlook_of(kept))
    waits = risk_of(runs, replace(habit, backoff_us=0))
    hazards, later = (
        "[\n" + "".join(f"  {[round(float(value), 5) for value in row]},\n" for row in rows) + "]"
        for rows in (unproven.hazards_h[0], spot.hazards_h[1])
    )
    ages = [round(float(edge) / HOUR_US, 4) for edge in spot.edges_us]
    shares = "".join(
        f"# guarded, {term // HOUR_US} h: reclaimed = {share:.3f}\n" for term, share in taken_back(kept, runs).items()
    )
    return (
        f"{shares}\n[risk]\nsizes = {list(spot.sizes)}\nages_h = {ages}\nhazards = {hazards}\nlater = {later}\n"
        f"{_waits(spot, quantiles)}"
        f"\n[guarded_waits]\nsizes = {list(waits.sizes)}\n{_waits(waits, quantiles)}"
    )


def _example(seed: int = 0) -> tuple[Scene, OwnerJobs]:
    """The pool without anybody who leases, and the jobs of those who will."""
    nodes = sum(int(text.split("=")[1].split("x")[0]) for text in EXAMPLE_NODES)
    with as_file(files("sublet.traces") / EXAMPLE) as path:
        options = Options(origin=EXAMPLE_ORIGIN, pool="all")
        question = asked(Files(path, capacity=(f"all={nodes}x{NODE_GPUS}",), options=options))
    (layout,) = question.layouts
    scene = scene_of(question, layout)
    days = (question.until_us - question.open_us) // DAY_US
    work = float((layout.jobs.run_us * layout.jobs.gpus_per_node * layout.jobs.nodes).sum())
    idle = max(0.1, 1 - work / (scene.capacity * (question.until_us - question.from_us)))
    jobs = generated(
        int(scene.capacity * days // 3), capacity=scene.capacity // 2, node_gpus=max(layout.sizes), from_us=question.open_us,
        days=int(days), load=2 * ASKED_SHARE * idle, seed=seed,
    )  # fmt: skip
    return replace(scene, standing=()), jobs


def _waits(risk: Risk, quantiles: int) -> str:
    return f"first_s = {_rows(risk.first_us, quantiles)}\nagain_s = {_rows(risk.again_us, quantiles)}\n"


def _rows(waits_us: npt.NDArray[np.float64], quantiles: int) -> str:
    """So many quantiles, their mean kept."""
    said = []
    for row in waits_us:
        levels = np.interp(np.linspace(0, 1, quantiles), np.linspace(0, 1, len(row)), row) / SECOND_US
        mean, least = float((row[1:] + row[:-1]).mean()) / 2 / SECOND_US, float((levels[1:] + levels[:-1]).mean()) / 2
        said.append([round(float(value) * (mean / least if least else 1.0), 1) for value in levels])
    return "[\n" + "".join(f"  {row},\n" for row in said) + "]"
