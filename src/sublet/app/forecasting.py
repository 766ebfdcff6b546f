"""Forecasts of the owner's demand for the running system: from the recorded history, renewed now and then."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sublet.app.calibrating import Calibrations, risks_of
from sublet.app.demand_record import Recorded, extended, read_on
from sublet.app.learning import Job, Models, in_background
from sublet.core.forecast import Series, WindowMax
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.core.terms import Pool, term_of
from sublet.core.units import MINUTE_US
from sublet.core.view import PoolView
from sublet.store import pools
from sublet.store.database import Tx


@dataclass(frozen=True, slots=True)
class _Made:
    """The forecasts of a pool, and what they were made from."""

    read_us: int
    pool: Pool
    series: Series
    ahead: Mapping[int, WindowMax]


class Forecaster:
    """Keeps the recorded demand for a while, and the forecasts made from it until the owner's demand changes.

    Several threads may ask; they are answered one after the other.
    """

    def __init__(self, *, every_us: int = MINUTE_US, run: Callable[[Job], None] = in_background) -> None:
        """`every_us`: how long a record is used before it is read on. `run` does the learning, at once or in the background."""
        self._every_us = every_us
        self._recorded = Recorded()
        self._made: dict[PoolId, _Made] = {}
        self._models, self._calibrations = Models(run), Calibrations()
        self._asked = threading.Lock()

    def forecasts(self, tx: Tx, pool: Pool, *, now_us: int, demand: int | None = None) -> Mapping[int, WindowMax]:
        """M(now, H) for every horizon that a decision about the pool needs; `demand` is the owner's now, None as last known."""
        with self._asked:
            made = self._made.get(pool.id)
            if made is None or made.pool != pool or now_us - made.read_us >= self._every_us:
                self._read(tx, pool.id, now_us)
                made, series = None, self._recorded.series(pool.id)
            else:
                series = made.series
            changed = demand is not None and demand != series.history.now()
            if changed and demand is not None:
                series = replace(series, history=extended(series.history, Level(now_us, demand)))
            if made is None or changed:
                made = _Made(self._recorded.read_us, pool, series, self._look_ahead(pool, series, now_us))
                self._made[pool.id] = made
            return made.ahead

    def shifts(self, pool: Pool) -> Mapping[int, float]:
        """By how much calibration moves the level for each horizon (µs), as of the last forecasts.

        What may be lent at a risk is the capacity less `core.forecast.calibration.calibrated_quantile`.
        """
        with self._asked:
            return {horizon: self._calibrations.shift(pool.forecast, horizon) for horizon in risks_of(pool)}

    def _read(self, tx: Tx, pool: PoolId, now_us: int) -> None:
        if pool in self._recorded.past and now_us - self._recorded.read_us < self._every_us:
            return  # another pool has asked for it
        self._recorded = read_on(tx, self._recorded, now_us)
        every = [row.pool for row in pools.everything(tx)]
        self._calibrations.catch_up(every, self._recorded.past, self._models, now_us)

    def _look_ahead(self, pool: Pool, series: Series, now_us: int) -> Mapping[int, WindowMax]:
        instant, past = np.array([now_us], np.int64), self._recorded.past
        return {
            horizon: self._models.of(pool.forecast, horizon, past, now_us).at(series, instant).row(0)
            for horizon in horizons(pool)
        }


def horizons(pool: Pool) -> set[int]:
    """The horizons (µs) over which the pool's decisions look ahead: the terms it sells, its risk's, the time of a reclaim."""
    sold = {term_of(pool.terms[c], term, pool.hold_us) for c in pool.classes for term in (None, *pool.terms[c].terms_us)}
    risked = set() if pool.lending_risk is None else {pool.lending_horizon_us}
    return sold | risked | {PoolView(pool, 0, 0, 0, {}).lead_us}
