"""The forecasts of all pools for a replay: each method once, for every full hour, with the calibration that goes with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.app.calibrating import risks_of
from sublet.core.forecast import FORECASTS, Series
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import begin_us
from sublet.core.forecast.rolling import Forecasts, looked_ahead, rolled
from sublet.core.forecast.series import demand_at, window_peaks
from sublet.core.forecast.trailing import TRAILING_US
from sublet.core.forecast.window import rank_of
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US
from sublet.sim.outlook import Foreseen, Rows

Ints = npt.NDArray[np.int64]
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What forecasts are wanted for: the pools' demand and settings, and every full hour of the studied period.

    `leads_us`: the times that a reclaim may take (µs), over which the reserve has to bridge a rise.
    """

    past: Mapping[PoolId, Series]
    pools: Mapping[PoolId, Pool]
    hours_us: Ints
    leads_us: tuple[int, ...]

    @property
    def terms_us(self) -> tuple[int, ...]:
        """The horizons over which lending is judged (µs): each guarded term, and that of a lending risk."""
        guarded = {term for pool in self.pools.values() for term in pool.terms[LeaseClass.GUARDED].terms_us}
        return tuple(
            sorted(guarded | {pool.lending_horizon_us for pool in self.pools.values() if pool.lending_risk is not None})
        )


def foreseen(asked: Asked, method: str, *, calibrated: bool, progress: Progress) -> Mapping[PoolId, Foreseen]:
    """What each pool is told at every hour by one method of FORECASTS.

    Calibration has run over a lead-in, the later half of the record before the first hour (four weeks of it at most), on offers
    that were not made: a market opens with what a running system would have learnt by then.
    """
    instants = asked.hours_us - 1  # what begins with the hour is not known yet
    before = _lead_in(asked) if calibrated else instants[:0]
    names = list(asked.past)
    by_horizon: dict[int, list[Rows]] = {}
    steps = len(asked.terms_us) + 1
    for done, horizon in enumerate(asked.terms_us):

        def part(share: float, done: int = done) -> None:
            progress((done + share) / steps)

        every = np.concatenate([before, instants])
        ahead = looked_ahead(asked.past, FORECASTS[method], every, horizon, part)
        shift = _shift(asked, ahead, every, horizon) if calibrated else np.zeros(len(every))
        first = len(before)
        samples = ahead.samples[:, first:].astype(np.int32)  # GPUs of a pool; half the memory of all that is kept
        by_horizon[horizon] = [Rows(samples[i], ahead.known[i, first:], shift[first:]) for i in range(len(names))]
    rises = {name: _rises(asked, name, method, instants) for name in names}
    progress(1.0)
    return {
        name: Foreseen(asked.hours_us, {horizon: rows[i] for horizon, rows in by_horizon.items()}, rises[name])
        for i, name in enumerate(names)
    }


def _lead_in(asked: Asked) -> Ints:
    """int64[n]: the instants before the first hour at which calibration learns, an hour apart."""
    begin = begin_us(asked.past)
    if begin is None or not len(asked.hours_us):
        return np.empty(0, np.int64)
    opens = int(asked.hours_us[0])
    hours = min(max(0, opens - begin) // 2, TRAILING_US) // HOUR_US
    return opens - 1 - HOUR_US * np.arange(hours, 0, -1, dtype=np.int64)


def _shift(asked: Asked, ahead: Forecasts, instants: Ints, horizon_us: int) -> npt.NDArray[np.float64]:
    """float64[instants]: the shift of the level at each, learnt from the windows that had been offered and were over.

    A pool that lends nothing at a risk over this horizon teaches nothing, as in the running system.
    """
    risk_by_pool = [risks_of(asked.pools[name]).get(horizon_us) for name in asked.past]
    lends = [i for i, risk in enumerate(risk_by_pool) if risk is not None]
    if not lends:
        return np.zeros(len(instants))
    series = [list(asked.past.values())[i] for i in lends]
    capacity = np.array([one.capacity for one in series], np.int64)
    peaks = np.stack([window_peaks(one, instants, horizon_us) for one in series], axis=1)
    risks = np.array([[risk_by_pool[i] for i in lends]], np.float64)
    own = Forecasts(ahead.samples[lends], ahead.known[lends])
    _, shifts = rolled(own, capacity, peaks, risks, horizon_us, HOUR_US)
    shift: npt.NDArray[np.float64] = shifts[0]
    return shift


def _rises(asked: Asked, name: PoolId, method: str, instants: Ints) -> Mapping[int, Ints]:
    """How far a pool's demand may rise within each lead: a quantile of M less the demand of the moment."""
    series, quantile = asked.past[name], asked.pools[name].reserve_quantile
    now = demand_at(series, instants)
    found = {}
    for lead in asked.leads_us:
        ahead = looked_ahead({name: series}, FORECASTS[method], instants, lead)
        samples = ahead.samples[0]
        high = samples[:, rank_of(quantile, samples.shape[1])]
        found[lead] = np.where(ahead.known[0] & (now != NO_DEMAND), np.maximum(0, high - now), -1)
    return found


def hours_of(open_us: int, until_us: int) -> Ints:
    """int64[n]: every full hour of [open_us, until_us)."""
    return np.arange(-(-open_us // HOUR_US) * HOUR_US, until_us, HOUR_US, dtype=np.int64)


__all__: Sequence[str] = ("Asked", "foreseen", "hours_of")
