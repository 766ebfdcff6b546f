"""Calibration hour by hour over a recorded past: what would have been offered, and what it taught once it was over."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.calibration import Calibration, Offered, level, offered, part, settled
from sublet.core.forecast.method import Model, Past, begin_us
from sublet.core.forecast.rolling import Forecasts, lent
from sublet.core.forecast.series import peak_between
from sublet.core.forecast.trailing import TRAILING_US
from sublet.core.forecast.window import Ints
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a calibration is carried on with: pools with their demand, the risk accepted for each, and who forecasts."""

    past: Past
    risks: Mapping[PoolId, float]  # p* of each pool that offers anything for this horizon
    model: Model


def hours_until(past: Past, now_us: int) -> Ints:
    """int64[n]: the full hours (µs) of the trailing weeks up to now, as far as the record reaches back."""
    hour = now_us // HOUR_US * HOUR_US
    begin = begin_us(past)
    first = hour - TRAILING_US if begin is None else max(hour - TRAILING_US, -(-begin // HOUR_US) * HOUR_US)
    return np.arange(first, hour + 1, HOUR_US, dtype=np.int64)


def carried_on(calibration: Calibration, lessons: Lessons, instants: Ints) -> Calibration:
    """The calibration after offers at each of the instants (µs, rising, not before the last one it knows of).

    At each, what is over by then is learnt from first. A pool without a risk offers nothing.
    """
    pools = tuple(pool for pool in lessons.past if pool in lessons.risks)
    if not pools or not len(instants):
        return calibration
    aheads = [lessons.model.at(lessons.past[pool], instants) for pool in pools]
    forecasts = Forecasts(np.stack([ahead.samples for ahead in aheads]), np.stack([ahead.known for ahead in aheads]))
    capacity = np.array([lessons.past[pool].capacity for pool in pools], np.int64)
    risk = np.array([lessons.risks[pool] for pool in pools])

    def came(pool: PoolId, from_us: int, to_us: int) -> int | None:
        return peak_between(lessons.past[pool], from_us + 1, to_us) if pool in lessons.past else None

    for i, at_us in enumerate(instants.tolist()):
        calibration = settled(calibration, at_us, came)
        shift = calibration.shift
        gpus = lent(forecasts, capacity, i, level(risk, shift)[np.newaxis], part(shift))[0]
        calibration = offered(calibration, Offered(at_us, pools, gpus, capacity, risk))
    return calibration
