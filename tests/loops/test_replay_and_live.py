"""The replay against the running system: the same script on the fake engine and in the replay, and at each instant the same
leases and jobs hold the same GPUs. What differs between them is only who keeps the time."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import START_US, House

from sublet.core.fleet import Placement
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import HELD, LeaseClass
from sublet.core.owner import JOB_HELD
from sublet.core.plan import Plan
from sublet.core.terms import TERMS, Pool
from sublet.core.units import HOUR_US, SECOND_US
from sublet.engines.fake import Behaviour
from sublet.engines.protocol import StartOrder
from sublet.sim.happenings import Kind
from sublet.sim.outlook import Blind
from sublet.sim.replay import Replay
from sublet.sim.scene import Engine, Habits, OwnerJobs, Scene, Wish

SAVE_S = 30
NODES = 3
UNTIL_S = 4_000
Script = list[tuple[int, str, int, int]]
"""(second, ask or submit, GPUs, seconds that an owner job runs)."""
State = dict[str, tuple[str, Placement]]
"""Who holds which GPUs, by the number in order of asking."""

POOL: dict[str, Any] = {
    "pricing": "fixed",
    "price_micro": 2_000_000,
    "forecast": "last_week_peak",  # which knows nothing in its first week
    "reserve_min": 2,
    "handover_us": 5 * SECOND_US,
    "backoff_us": 120 * SECOND_US,
}


def script(seed: int) -> Script:
    """Requests and owner jobs. Of two things at one instant either may come first, so nothing is asked for when a job ends."""
    rng = random.Random(seed)
    seconds = rng.sample(range(2, 3_000, 2), 26)
    events = [(second, "ask", rng.choice([1, 2, 4, 8]), 0) for second in seconds[:14]]
    events += [(second, "submit", rng.choice([1, 2, 4, 8]), rng.randrange(61, 900, 2)) for second in seconds[14:]]
    return sorted(events)


def lived(plot: Script, folder: Path, url: str, seconds: list[int]) -> list[State]:
    """What the running system made of it, looked at in these seconds."""
    lasts: dict[str, int] = {}

    def behave(order: StartOrder) -> Behaviour:
        name = str(order.run).rsplit(".", 1)[0]
        if name in lasts:
            return Behaviour(runs_us=lasts[name] * SECOND_US)
        return Behaviour(notice_us=SAVE_S * SECOND_US, saves=True)

    house = House(folder, url, nodes=NODES, behave=behave)
    house.tick()
    house.set_pool(**POOL)
    leases: list[LeaseId] = []
    jobs: list[JobId] = []
    seen, todo, last = [], list(plot), 0
    for second in seconds:
        house.wait(second - last, ticks=0)
        last = second
        while todo and todo[0][0] == second:
            _, what, gpus, runs = todo.pop(0)
            if what == "ask":
                leases.append(house.ask(gpus))
            else:
                jobs.append(house.submit(gpus))
                lasts[jobs[-1]] = runs
        house.tick(6)
        now: State = {}
        for number, lease in enumerate(map(house.lease, leases)):
            if lease.state in HELD:
                now[f"lease {number}"] = (lease.state, lease.placement)
        for number, job in enumerate(map(house.job, jobs)):
            if job.state in JOB_HELD:
                now[f"job {number}"] = (job.state, job.placement)
        seen.append(now)
    assert house.findings() == []
    house.close()
    return seen


class Watched(Replay):
    """A replay that notes who holds what after each instant at which something happened."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, Blind())
        self.seen: dict[int, State] = {}
        self.granted = False
        self._does = {kind: self._noting(does) if kind != Kind.MARKET else does for kind, does in self._does.items()}

    def _noting(self, does: Callable[[str, int], None]) -> Callable[[str, int], None]:
        def noted(name: str, attempt: int) -> None:
            self.seen[self._now] = {}
            does(name, attempt)

        return noted

    def _job_comes(self, number: int) -> None:
        self.seen[self._now] = {}
        super()._job_comes(number)

    def _apply(self, plan: Plan) -> None:
        if not plan.empty:
            self.seen[self._now] = {}
        self.granted = bool(plan.grants)
        super()._apply(plan)

    def _round(self) -> None:
        """The running system, too, makes rounds until nothing more is granted before time goes on."""
        super()._round()
        while self._market_due and self.granted:
            super()._round()

    def _pass_to(self, at_us: int) -> None:
        if at_us > self._now and self._now in self.seen:
            standing = self.estate.standing
            leases: State = {
                f"lease {int(x.id[1:]) - 1}": (x.state, x.placement) for x in standing.leases.values() if x.state in HELD
            }
            jobs: State = {f"job {x.id[1:]}": (x.state, x.placement) for x in standing.jobs.values() if x.state in JOB_HELD}
            self.seen[self._now] = leases | jobs
        super()._pass_to(at_us)


def replayed(plot: Script) -> dict[int, State]:
    """What the replay made of it: second to who holds what."""
    owner = [event for event in plot if event[1] == "submit"]
    jobs = OwnerJobs(
        np.array([START_US + event[0] * SECOND_US for event in owner], np.int64),
        np.array([event[3] * SECOND_US for event in owner], np.int64),
        np.array([event[2] for event in owner], np.int64),
        np.ones(len(owner), np.int64),
    )
    wishes = tuple(
        (START_US + second * SECOND_US, Wish(TenantId("ada"), LeaseClass.SPOT, gpus, 1, 900 * HOUR_US, 5_000_000))
        for second, what, gpus, _ in plot
        if what == "ask"
    )
    scene = Scene(
        pool=Pool(PoolId("fake"), "fake", terms=dict(TERMS), **POOL),
        nodes=tuple(NodeId(f"node-{number:05d}") for number in range(NODES)),
        sizes=(8,) * NODES,
        jobs=jobs,
        from_us=START_US,
        open_us=START_US,
        until_us=START_US + UNTIL_S * SECOND_US,
        listed=wishes,
        habits=Habits(checkpoint_us=None, save_us=SAVE_S * SECOND_US),
        engine=Engine(start_us=0, stop_us=0, handover_us=0),
        market_us=SECOND_US,
    )
    replay = Watched(scene)
    replay.run()
    return {(at - START_US) // SECOND_US: state for at, state in sorted(replay.seen.items())}


@pytest.mark.parametrize("seed", range(6))
def test_the_replay_does_what_the_running_system_does(seed: int, tmp_path: Path, sqlite_template: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sublet.db'}"
    (tmp_path / "sublet.db").write_bytes(sqlite_template.read_bytes())
    plot = script(seed)
    played = replayed(plot)
    live = lived(plot, tmp_path, url, list(played))
    assert len(played) > 40, "something went on"
    for second, here in zip(played, live, strict=True):
        assert here == played[second], f"after {second} s"
