"""Calibration of the running system: hour by hour, from the recorded demand, one shift for each method and horizon.

Nothing of it is stored. After a start it is made again by running over the trailing weeks, and a long pause is caught up with
in the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sublet.app.learning import FALLBACK, Models
from sublet.core.forecast import FORECASTS
from sublet.core.forecast.calibration import Calibration
from sublet.core.forecast.hourly_calibration import Lessons, carried_on, hours_until
from sublet.core.forecast.method import Past
from sublet.core.ids import PoolId
from sublet.core.pricing.floor import acceptable_risk, floor
from sublet.core.terms import Pool, term_of


@dataclass(frozen=True, slots=True)
class _Kept:
    """A calibration, the last full hour (µs) that it has looked at, and whether the method itself spoke in it."""

    calibration: Calibration
    until_us: int
    own: bool


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

        Until a method has learnt the fallback speaks for it; then it is made again, with the models that it would have had.
        """
        for (name, horizon), risks in _risks_in_use(pools).items():
            kept, back = self._kept.get((name, horizon)), models.looked_back(name, horizon)
            learns = FORECASTS[name].renew_us(0) is not None
            if kept is not None and not kept.own and back is not None:
                kept = None
            hours = hours_until(past, now_us)
            if kept is not None:
                hours = hours[hours > kept.until_us]
            if not len(hours):
                continue
            if kept is None and learns and back is None:
                model, own = FORECASTS[FALLBACK].learn(past, horizon, now_us), False
            elif kept is None:
                model, own = back or models.of(name, horizon, past, now_us), True
            else:
                model, own = models.of(name, horizon, past, now_us), kept.own
            before = kept.calibration if kept else Calibration(horizon)
            self._kept[name, horizon] = _Kept(carried_on(before, Lessons(past, risks, model), hours), int(hours[-1]), own)


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
