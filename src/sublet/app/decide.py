"""The second loop: what the world has become, as a stored plan."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sublet.app.forecasting import Forecaster
from sublet.app.mirror import Kept, Mirror
from sublet.core.forecast import WindowMax
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.core.plan import Plan
from sublet.core.rest import rests_until_us
from sublet.core.round import decide
from sublet.core.view import AnyView, PoolView
from sublet.store import plans, spans
from sublet.store.database import Database


@dataclass(frozen=True, slots=True)
class Rest:
    """What a pool's last round looked at, and until when the same would come of it again."""

    revision: int
    ahead: Mapping[int, WindowMax]  # its forecasts; new ones are a new object
    shifts: Mapping[int, float]
    until_us: int


class Decider:
    """Decides and stores; remembers only what saves deciding or writing the same thing again."""

    def __init__(self, database: Database, forecaster: Forecaster, mirror: Mirror) -> None:
        """The forecaster keeps its own history; `mirror` is what the other loops look at, too."""
        self._database, self._forecaster, self._mirror = database, forecaster, mirror
        self._demand: dict[PoolId, int] = {}
        self._alarms: dict[PoolId | None, frozenset[str]] = {}
        self._rests: dict[PoolId, Rest] = {}

    def decide(self, *, now_us: int) -> tuple[AnyView, Plan] | None:
        """One round over the pools in which anything moved, or in which time may change something; the others rest.

        Its plan is stored unless there is nothing to do. None if all rest, and while an older plan waits to be applied: two
        plans made from one state would sell the same GPUs twice.
        """
        mirror = self._mirror
        with mirror.lock:
            with self._database.read() as tx:
                if plans.is_pending(tx):
                    return None
                mirror.catch_up(tx)
                awake = mirror.view(
                    tx, self._forecaster, now_us=now_us, when=lambda kept, view: self._is_awake(kept, view, now_us)
                )
            if not awake.pools:
                return None
            plan = self._without_old_alarms(awake, decide(awake, now=now_us))
            levels = self._new_levels(awake, now_us)
            rests = {view.pool.id: self._rest(mirror.pools[view.pool.id], view, now_us) for view in awake.pools}
        if levels or not plan.empty:
            document = plans.document_of(plan)
            with self._database.write() as tx:
                for pool, level in levels:
                    spans.note_demand(tx, pool, level)
                if not plan.empty:
                    plans.insert_one(tx, plan, document)
        self._demand |= {pool: level.gpus for pool, level in levels}
        self._rests |= rests
        return awake, plan

    def _is_awake(self, kept: Kept, view: PoolView, now_us: int) -> bool:
        """Whether the pool is not what its last round looked at, or time may have changed something."""
        rest = self._rests.get(view.pool.id)
        return (
            rest is None
            or now_us >= rest.until_us
            or rest.revision != kept.revision
            or rest.ahead is not view.forecasts
            or rest.shifts != view.shifts
        )

    @staticmethod
    def _rest(kept: Kept, view: PoolView, now_us: int) -> Rest:
        until_us = rests_until_us(view, kept.standing, now_us=now_us)
        return Rest(kept.revision, view.forecasts, view.shifts, until_us)

    def _new_levels(self, view: AnyView, now_us: int) -> list[tuple[PoolId, Level]]:
        """Where the owner's demand has changed since the last round."""
        found = []
        for pool in view.pools:
            gpus = view.standing(pool.pool.id).demand
            if self._demand.get(pool.pool.id) != gpus:
                found.append((pool.pool.id, Level(now_us, gpus)))
        return found

    def _without_old_alarms(self, view: AnyView, plan: Plan) -> Plan:
        """The plan less the alarms that its pools' rounds before raised too: an operator is told once."""
        known = {pool: self._alarms.get(pool, frozenset()) for pool in (None, *(one.pool.id for one in view.pools))}
        fresh = tuple(alarm for alarm in plan.alarms if alarm.kind not in known.get(alarm.pool, frozenset()))
        for pool in known:
            self._alarms[pool] = frozenset(alarm.kind for alarm in plan.alarms if alarm.pool == pool)
        return plan if len(fresh) == len(plan.alarms) else replace(plan, alarms=fresh)
