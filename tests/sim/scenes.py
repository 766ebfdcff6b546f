"""Small scenes for replays, and a replay that also notes spans, as the running system does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sublet.core.fleet import Placement
from sublet.core.ids import NodeId, PoolId, TenantId
from sublet.core.lease import Lease, LeaseClass
from sublet.core.occupancy import Account, Capacity, Level, Span, account, gpu_state, job_gpu_state
from sublet.core.owner import OwnerJob
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US
from sublet.sim.estate import Estate
from sublet.sim.outlook import Blind, Outlook
from sublet.sim.replay import Replay
from sublet.sim.scene import OwnerJobs, Scene, Wish

S = SECOND_US
T0 = 1_500_000_000 * S
T0 -= T0 % HOUR_US


def jobs_of(*jobs: tuple[float, float, int, int]) -> OwnerJobs:
    """Jobs as (minute of submission, minutes of running, GPUs a node, nodes)."""
    rows = sorted(jobs)
    columns = [np.array([row[i] for row in rows]) for i in range(4)]
    return OwnerJobs(
        T0 + (columns[0] * MINUTE_US).astype(np.int64),
        np.maximum(S, (columns[1] * MINUTE_US).astype(np.int64)),
        columns[2].astype(np.int64),
        columns[3].astype(np.int64),
    )


def wish(gpus: int = 1, **fields: Any) -> Wish:
    made = Wish(TenantId("t"), LeaseClass.SPOT, gpus, 1, 3 * HOUR_US, 10**9)
    return replace(made, **fields)


def scene_of(
    jobs: OwnerJobs, sizes: Sequence[int] = (4, 4), *, hours: int = 12, pool: dict[str, Any] | None = None, **fields: Any
) -> Scene:
    """A scene whose market is open from the first minute on."""
    settings = {"pricing": "fixed", "price_micro": 1_000_000, **(pool or {})}
    made = Scene(
        pool=replace(Pool(PoolId("p"), "H100"), **settings),
        nodes=tuple(NodeId(f"n{i}") for i in range(len(sizes))),
        sizes=tuple(sizes),
        jobs=jobs,
        from_us=T0,
        open_us=T0,
        until_us=T0 + hours * HOUR_US,
        standing=(wish(2), wish(1)),
    )
    return replace(made, **fields)


class NotingEstate(Estate):
    """An estate that also notes who held which GPUs when."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.open: dict[str, tuple[str, int, Placement]] = {}
        self.spans: list[Span] = []
        self.levels: list[Level] = [Level(scene.from_us, 0)]

    def put_lease(self, lease: Lease) -> None:
        super().put_lease(lease)
        self._note(lease.id, gpu_state(lease), lease.placement)

    def put_job(self, job: OwnerJob) -> None:
        super().put_job(job)
        self._note(job.id, job_gpu_state(job), job.placement)

    def set_pool(self, **changes: Any) -> None:
        super().set_pool(**changes)
        if changes.get("reserve") is not None:
            self.levels.append(Level(self.account.now_us, changes["reserve"]))

    def _note(self, holder: str, state: str | None, placement: Placement) -> None:
        before = self.open.get(holder)
        if before is not None and before[0] == state:
            return
        now = self.account.now_us
        if before is not None:
            del self.open[holder]
            self.spans += [
                Span(PoolId("p"), node, mask, before[0], holder, 1, before[1], now)
                for node, mask in before[2]
                if now > before[1]
            ]
        if state is not None:
            self.open[holder] = (state, now, placement)

    def by_spans(self, scene: Scene) -> Account:
        """The account of core.occupancy, from the spans."""
        running = [
            Span(PoolId("p"), node, mask, state, holder, 1, since, None)
            for holder, (state, since, placement) in self.open.items()
            for node, mask in placement
        ]
        nodes = [Capacity(node, (1 << size) - 1, scene.from_us) for node, size in zip(scene.nodes, scene.sizes, strict=True)]
        return account([*self.spans, *running], nodes, self.levels, from_us=self.account.since_us, to_us=self.account.now_us)


def replayed(scene: Scene, outlook: Outlook | None = None) -> tuple[Replay, NotingEstate]:
    """A replay that has run, and its estate."""
    replay = Replay(scene, outlook or Blind())
    estate = NotingEstate(scene)
    replay.estate = estate
    replay.run()
    return replay, estate
