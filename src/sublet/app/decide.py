"""The second loop: a view of the world becomes a stored plan."""

from dataclasses import replace

from sublet.app.forecasting import Forecaster
from sublet.app.world import read_view
from sublet.core.draft import demand_of
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.view import View
from sublet.store import plans, spans
from sublet.store.database import Database


class Decider:
    """Decides and stores; remembers only what saves writing the same thing again."""

    def __init__(self, database: Database, forecaster: Forecaster) -> None:
        """The forecaster keeps its own history."""
        self._database = database
        self._forecaster = forecaster
        self._demand: dict[PoolId, int] = {}
        self._alarms: frozenset[str] = frozenset()

    def decide(self, *, now_us: int) -> tuple[View, Plan] | None:
        """One round; its plan is stored unless there is nothing to do.

        None while an older plan waits to be applied: two plans made from one state would sell the same GPUs twice.
        """
        with self._database.read() as tx:
            if plans.pending(tx, limit=1):
                return None
            view = read_view(tx, self._forecaster, now_us=now_us)
        plan = self._without_old_alarms(decide(view, now=now_us))
        levels = self._new_levels(view, now_us)
        if levels or not plan.empty:
            with self._database.write() as tx:
                for pool, level in levels:
                    spans.note_demand(tx, pool, level)
                if not plan.empty:
                    plans.insert_one(tx, plan)
        self._demand |= {pool: level.gpus for pool, level in levels}
        return view, plan

    def _new_levels(self, view: View, now_us: int) -> list[tuple[PoolId, Level]]:
        """Where the owner's demand has changed since the last round."""
        found = []
        for pool in view.pools:
            gpus = demand_of(job for job in view.jobs if job.pool == pool.pool.id)
            if self._demand.get(pool.pool.id) != gpus:
                found.append((pool.pool.id, Level(now_us, gpus)))
        return found

    def _without_old_alarms(self, plan: Plan) -> Plan:
        """The plan less the alarms that the round before raised too: an operator is told once."""
        known, self._alarms = self._alarms, frozenset(f"{alarm.kind} {alarm.pool}" for alarm in plan.alarms)
        fresh = tuple(alarm for alarm in plan.alarms if f"{alarm.kind} {alarm.pool}" not in known)
        return plan if len(fresh) == len(plan.alarms) else replace(plan, alarms=fresh)
