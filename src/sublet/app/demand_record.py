"""The owner's recorded demand of all pools, in memory: read once, then only what is new."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sublet.core.forecast import History, Series
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.core.units import HOUR_US
from sublet.store import nodes, pools, spans
from sublet.store.database import Tx

KEPT_US = 57 * 24 * HOUR_US
"""Eight weeks to learn from, and a day so that the same hour eight weeks ago is always inside."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on record: each pool's demand with its capacity, as read at an instant (µs)."""

    read_us: int = 0
    past: Mapping[PoolId, Series] = field(default_factory=dict)

    def series(self, pool: PoolId) -> Series:
        """One pool's demand; empty for a pool that is newer than the last look."""
        return self.past.get(pool, Series(pool, NO_HISTORY, 1))


NO_HISTORY = History(np.empty(0, np.int64), np.empty(0, np.int64))


def read_on(tx: Tx, before: Recorded, now_us: int) -> Recorded:
    """The record brought up to now. Steps that are known are not read again, but for the last one, which may have changed."""
    capacity: dict[PoolId, int] = {}
    for pool, gpus, count in nodes.sizes(tx):
        capacity[pool] = capacity.get(pool, 0) + gpus * count
    past = {}
    for row in pools.everything(tx):
        known = before.series(row.pool.id).history
        since = int(known.at_us[-1]) if len(known.at_us) else now_us - KEPT_US
        history = joined(known, spans.demand_levels(tx, row.pool.id, since), now_us - KEPT_US)
        past[row.pool.id] = Series(row.pool.id, history, max(1, capacity.get(row.pool.id, 0)))
    return Recorded(now_us, past)


def joined(known: History, fresh: list[Level], since_us: int) -> History:
    """The history with levels that follow it, or replace its last one; steps that are over before `since_us` are dropped."""
    if not fresh:
        return _from(known, since_us)
    keep = int(np.searchsorted(known.at_us, fresh[0].at_us))
    at = np.append(known.at_us[:keep], np.array([level.at_us for level in fresh], np.int64))
    gpus = np.append(known.gpus[:keep], np.array([level.gpus for level in fresh], np.int64))
    return _from(History(at, gpus), since_us)


def extended(history: History, level: Level) -> History:
    """The history with one more level at its end."""
    return (
        joined(history, [level], -1) if not len(history.at_us) or level.at_us > history.at_us[-1] else _ending(history, level)
    )


def _ending(history: History, level: Level) -> History:
    return History(history.at_us, np.append(history.gpus[:-1], level.gpus))


def _from(history: History, since_us: int) -> History:
    """The history without the steps that something later replaced before an instant."""
    first = max(0, int(np.searchsorted(history.at_us, since_us, side="right")) - 1)
    return History(history.at_us[first:], history.gpus[first:])
