"""Forecasts of the owner's demand for the running system: from the recorded history, renewed now and then."""

from collections.abc import Mapping

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


class Forecaster:
    """Keeps each pool's forecasts for a while: a window of hours does not change within a minute."""

    def __init__(self, *, every_us: int = MINUTE_US) -> None:
        """`every_us`: how long a forecast is used, where its shortest horizon is not short itself."""
        self._every_us = every_us
        self._kept: dict[PoolId, tuple[int, Pool, Mapping[int, WindowMax]]] = {}

    def forecasts(self, tx: Tx, pool: Pool, *, now_us: int) -> Mapping[int, WindowMax]:
        """M(now, H) for every horizon that a decision about the pool needs."""
        kept = self._kept.get(pool.id)
        ahead = horizons(pool)
        lasts_us = min(self._every_us, min(ahead) // _LASTS)
        if kept is not None and kept[1] == pool and now_us - kept[0] < lasts_us:
            return kept[2]
        history = history_of(spans.demand_levels(tx, pool.id, now_us - KEPT_US))
        method = FORECASTS[pool.forecast]
        made = {horizon: method(history, now_us, horizon) for horizon in ahead}
        self._kept[pool.id] = (now_us, pool, made)
        return made


def horizons(pool: Pool) -> set[int]:
    """The horizons (µs) over which the pool's decisions look ahead: each term it sells, and the time of a reclaim."""
    sold = {term_of(pool.terms[c], term, pool.hold_us) for c in pool.classes for term in (None, *pool.terms[c].terms_us)}
    return sold | {PoolView(pool, 0, 0, 0, {}).lead_us}


def history_of(levels: list[Level]) -> History:
    """Recorded levels as arrays."""
    return History(np.array([level.at_us for level in levels], np.int64), np.array([level.gpus for level in levels], np.int64))
