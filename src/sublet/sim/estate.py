"""The state of a replay: the view that rounds decide on, kept current step by step, and the account of its GPU time.

Leases and jobs are moved by `core.lifecycle` and `core.owner`, as the running system moves them; there is no other state.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.forecast import WindowMax
from sublet.core.ids import JobId, LeaseId, TenantId
from sublet.core.lease import HELD, Lease
from sublet.core.occupancy import gpu_state, job_gpu_state
from sublet.core.owner import OwnerJob
from sublet.core.standing import Standing
from sublet.core.values import changed
from sublet.core.view import KeptView, PoolView, TenantView
from sublet.sim.account import Account
from sublet.sim.scene import Scene


class Estate:
    """One pool in a replay."""

    def __init__(self, scene: Scene) -> None:
        """Nobody holds anything."""
        slots = np.array([(1 << size) - 1 for size in scene.sizes], np.uint64)
        self.standing = Standing(scene.pool, scene.nodes, slots)
        self.account = Account(scene.capacity, scene.from_us)
        tenants = {wish.tenant for wish in scene.standing} | {wish.tenant for _, wish in scene.listed}
        self._tenants: dict[TenantId, TenantView] = {name: TenantView(name) for name in tenants}
        self._evicted: dict[TenantId, deque[int]] = defaultdict(deque)  # when, within the pool's window
        self._habits = scene.habits
        self._pool = PoolView(
            scene.pool, price_micro=scene.pool.price_micro, price_at_us=scene.from_us, reserve=0, forecasts={}, closed=True
        )
        self._views: dict[bool, KeptView] = {}

    @property
    def pool(self) -> PoolView:
        """The pool as the next round finds it."""
        return self._pool

    def view(self, *, market: bool) -> KeptView:
        """What the next round decides on; `market`: whether the market is held."""
        if market not in self._views:
            pool = self._pool if not market else changed(self._pool, closed=False)
            self._views[market] = KeptView((pool,), (self.standing,), self._tenants)
        return self._views[market]

    def set_pool(
        self,
        *,
        price: tuple[int, int] | None = None,
        reserve: int | None = None,
        freed_us: int | None = None,
        forecasts: Mapping[int, WindowMax] | None = None,
        shifts: Mapping[int, float] | None = None,
        feedback: float | None = None,
    ) -> None:
        """Change what the pool's next rounds find. `price`: (micro-units a GPU-hour, since when)."""
        old = self._pool
        self._pool = PoolView(
            old.pool,
            old.price_micro if price is None else price[0],
            old.price_at_us if price is None else price[1],
            old.reserve if reserve is None else reserve,
            old.forecasts if forecasts is None else forecasts,
            old.owner_freed_us if freed_us is None else freed_us,
            old.recalled,
            old.shifts if shifts is None else shifts,
            old.feedback if feedback is None else feedback,
            closed=True,
        )
        if reserve is not None:
            self.account.reserve = reserve
        self._views.clear()

    def job(self, name: str) -> OwnerJob:
        """A live job of the owner."""
        return self.standing.jobs[JobId(name)]

    def lease(self, name: str) -> Lease | None:
        """A live lease; None once it ended."""
        return self.standing.leases.get(LeaseId(name))

    def put_job(self, job: OwnerJob) -> None:
        """A job of the owner as it is now."""
        before = self.standing.jobs.get(job.id)
        self.account.move(None if before is None else job_gpu_state(before), job_gpu_state(job), job.gpus)
        self.standing.put_job(job)

    def put_lease(self, lease: Lease) -> None:
        """A lease as it is now."""
        before = self.standing.leases.get(lease.id)
        if lease.state in HELD or (before is not None and before.state in HELD):
            self.account.move(None if before is None else gpu_state(before), gpu_state(lease), lease.gpus)
        self.standing.put_lease(lease)

    def note_eviction(self, lease: Lease, now_us: int) -> None:
        """The owner took a lease back: it counts for its tenant, where the pool bounds that."""
        if self._pool.pool.evictions_per_tenant is not None:
            self._evicted[lease.tenant].append(now_us)

    def count_evictions(self, now_us: int) -> None:
        """Let the next round know how many evictions each tenant had within the window."""
        pool = self._pool.pool
        for name, when in self._evicted.items():
            while when and when[0] <= now_us - pool.evictions_window_us:
                when.popleft()
            self._tenants[name] = replace(self._tenants[name], evictions={pool.id: len(when)})

    def note_checkpoints(self, now_us: int) -> None:
        """What the engine has seen: the last checkpoint of everything that runs. It matters only to who is reclaimed."""
        if self._habits.checkpoint_us is not None:
            note_checkpoints(self.standing.held.rows, now_us - self._habits.save_us, self._habits.checkpoint_us)


@njit(cache=True)
def note_checkpoints(rows: npt.NDArray[Any], written_us: int, every_us: int) -> None:
    """Put the last checkpoint of each running lease into `safe_us` (`tables.HELD_ROW`; `workloads.last_checkpoint`).

    One is begun `every_us` after the start, and again; those begun by `written_us` are written.
    """
    for i in range(len(rows)):
        if rows[i]["used"] and rows[i]["runs"]:
            started = rows[i]["started_us"]
            last = started + max(0, written_us - started) // every_us * every_us
            rows[i]["safe_us"] = max(rows[i]["safe_us"], last)
