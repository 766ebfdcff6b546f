"""Calibration of the running system: hour by hour, from the recorded demand, one shift for each method and horizon.

Nothing of it is stored. After a start it is made again by running over the trailing weeks, and a long pause is caught up with
in the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sublet.app.learning import FALLBACK, Models
from sublet.core.forecast import FORECASTS
from sublet.core.forecast.calibration import Calibration
from sublet.core.forecast.hourly_calibration import Lessons, carried_on
from sublet.core.forecast.method import Past, begin_us
from sublet.core.forecast.trailing import TRAILING_US
from sublet.core.ids import PoolId
from sublet.core.pricing.floor import acceptable_risk, floor
from sublet.core.terms import Pool, term_of
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class _Kept:
    """A calibration and the last full hour (µs) that it has looked at."""

    calibration: Calibration
    until_us: int


class Calibrations:
    """The shift of each method and horizon in use, shared by all pools of the fleet that use it."""

    def __init__(self) -> None:
        """None yet."""
        self._kept: dict[tuple[str, int], _Kept] = {}

    def shift(self, name: str, horizon_us: int) -> float:
        """By how much the level is moved; 0 before anything was learnt."""
        kept = self._kept.get((name, horizon_us))
        return kept.calibration.shift if kept else 0.0

    def catch_up(self, pools: Iterable[Pool], past: Past, models: Models, now_us: int) -> None:
        """Look at every full hour since the last one that was looked at; the first time, at those of the trailing weeks.

        Those were before any model of today: the fallback speaks for methods that have to learn.
        """
        hour = now_us // HOUR_US * HOUR_US
        for (name, horizon), risks in _risks_in_use(pools).items():
            kept = self._kept.get((name, horizon))
            if kept is not None and kept.until_us >= hour:
                continue
            begin = begin_us(past)
            first = hour - TRAILING_US if kept is None else max(kept.until_us + HOUR_US, hour - TRAILING_US)
            if begin is not None:
                first = max(first, -(-begin // HOUR_US) * HOUR_US)
            learns = FORECASTS[name].renew_us(0) is not None
            model = (
                FORECASTS[FALLBACK].learn(past, horizon, now_us)
                if kept is None and learns
                else models.of(name, horizon, past, now_us)
            )
            instants = np.arange(first, hour + 1, HOUR_US, dtype=np.int64)
            before = kept.calibration if kept else Calibration(horizon)
            self._kept[name, horizon] = _Kept(carried_on(before, Lessons(past, risks, model), instants), hour)


def risks_of(pool: Pool) -> Mapping[int, float]:
    """Horizon (µs) to p*, for whatever the pool lends with a risk: guaranteed terms at the posted price, and `lending_risk`.

    Where two decisions look equally far ahead, the more careful one counts.
    """
    risks: dict[int, float] = {}
    floor_micro = floor(pool.cost).total_micro
    for lease_class in pool.classes:
        terms = pool.terms[lease_class]
        for term in terms.terms_us or (term_of(terms, None, pool.hold_us),):
            risks[term] = min(risks.get(term, 1.0), acceptable_risk(pool.price_micro, floor_micro, terms, term))
    if pool.lending_risk is not None:
        risks[pool.lending_horizon_us] = min(risks.get(pool.lending_horizon_us, 1.0), pool.lending_risk)
    return {horizon: risk for horizon, risk in risks.items() if 0.0 < risk < 1.0}


def _risks_in_use(pools: Iterable[Pool]) -> Mapping[tuple[str, int], Mapping[PoolId, float]]:
    """(method, horizon) to the risk of each pool that lends by it."""
    found: dict[tuple[str, int], dict[PoolId, float]] = {}
    for pool in pools:
        for horizon, risk in risks_of(pool).items():
            found.setdefault((pool.forecast, horizon), {})[pool.id] = risk
    return found
