"""Forecasts of the owner's demand for the running system: from the recorded history, renewed now and then."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sublet.core.forecast import FORECASTS, History, WindowMax
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.core.supply import term_of
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MINUTE_US
from sublet.core.view import PoolView
from sublet.store import spans
from sublet.store.database import Tx

KEPT_US = 29 * 24 * HOUR_US  # four weeks, and a day so that a week ago is always inside
_LASTS = 6  # a forecast is used for this part of its shortest horizon at most: of seconds ahead, nothing holds for a minute


@dataclass(frozen=True, slots=True)
class _Kept:
    """A pool's history as it was read, and the forecasts made from it while the demand was what it was."""

    read_us: int
    pool: Pool
    history: History
    made: Mapping[int, WindowMax]


class Forecaster:
    """Keeps each pool's history for a while, and its forecasts until the owner's demand changes."""

    def __init__(self, *, every_us: int = MINUTE_US) -> None:
        """`every_us`: how long a history is used before it is read anew."""
        self._every_us = every_us
        self._kept: dict[PoolId, _Kept] = {}

    def forecasts(self, tx: Tx, pool: Pool, *, now_us: int, demand: int | None = None) -> Mapping[int, WindowMax]:
        """M(now, H) for every horizon that a decision about the pool needs; `demand` is the owner's now, None as last known."""
        kept = self._kept.get(pool.id)
        if kept is None or kept.pool != pool or now_us - kept.read_us >= self._every_us:
            history = history_of(spans.demand_levels(tx, pool.id, now_us - KEPT_US))
            kept = None
        else:
            history = kept.history
        changed = demand is not None and demand != history.now()
        if changed and demand is not None:
            history = extended(history, Level(now_us, demand))
        if kept is not None and not changed:
            return kept.made
        method = FORECASTS[pool.forecast]
        made = {horizon: method(history, now_us, horizon) for horizon in horizons(pool)}
        self._kept[pool.id] = _Kept(now_us if kept is None else kept.read_us, pool, history, made)
        return made


def horizons(pool: Pool) -> set[int]:
    """The horizons (µs) over which the pool's decisions look ahead: each term it sells, and the time of a reclaim."""
    sold = {term_of(pool.terms[c], term, pool.hold_us) for c in pool.classes for term in (None, *pool.terms[c].terms_us)}
    return sold | {PoolView(pool, 0, 0, 0, {}).lead_us}


def history_of(levels: list[Level]) -> History:
    """Recorded levels as arrays."""
    return History(np.array([level.at_us for level in levels], np.int64), np.array([level.gpus for level in levels], np.int64))


def extended(history: History, level: Level) -> History:
    """The history with one more level at its end."""
    if len(history.at_us) and level.at_us <= int(history.at_us[-1]):
        return History(history.at_us, np.append(history.gpus[:-1], level.gpus))
    return History(np.append(history.at_us, level.at_us), np.append(history.gpus, level.gpus))
