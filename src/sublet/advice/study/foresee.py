"""The forecasts of all pools for a replay: each method once, for every full hour, with the calibration that goes with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.forecast import FORECASTS, Series
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.rolling import Forecasts, looked_ahead, rolled
from sublet.core.forecast.series import demand_at, window_peaks
from sublet.core.forecast.window import rank_of
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.pricing.floor import acceptable_risk, floor
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

    Calibration has run over the hours before the market opens (`asked.lead_in` of them), on offers that were not made.
    """
    instants = asked.hours_us - 1  # what begins with the hour is not known yet
    names = list(asked.past)
    by_horizon: dict[int, list[Rows]] = {}
    steps = len(asked.terms_us) + 1
    for done, horizon in enumerate(asked.terms_us):

        def part(share: float, done: int = done) -> None:
            progress((done + share) / steps)

        ahead = looked_ahead(asked.past, FORECASTS[method], instants, horizon, part)
        shift = _shift(asked, ahead, horizon) if calibrated else np.zeros(len(instants))
        by_horizon[horizon] = [Rows(ahead.samples[i], ahead.known[i], shift) for i in range(len(names))]
    rises = {name: _rises(asked, name, method, instants) for name in names}
    progress(1.0)
    return {
        name: Foreseen(asked.hours_us, {horizon: rows[i] for horizon, rows in by_horizon.items()}, rises[name])
        for i, name in enumerate(names)
    }


def _shift(asked: Asked, ahead: Forecasts, horizon_us: int) -> npt.NDArray[np.float64]:
    """float64[hours]: the shift of the level at each hour, learnt from the windows that had been offered and were over."""
    capacity = np.array([series.capacity for series in asked.past.values()], np.int64)
    peaks = [window_peaks(series, asked.hours_us - 1, horizon_us) for series in asked.past.values()]
    risks = np.array([[risk_of(pool, horizon_us) for pool in asked.pools.values()]])
    _, shifts = rolled(ahead, capacity, np.stack(peaks, axis=1), risks, horizon_us, HOUR_US)
    shift: npt.NDArray[np.float64] = shifts[0]
    return shift


def risk_of(pool: Pool, term_us: int) -> float:
    """p*: the reclaim probability at which a guarded lease of this length is still worth granting, at the posted price."""
    terms = pool.terms[LeaseClass.GUARDED]
    return acceptable_risk(pool.price_micro, floor(pool.cost).total_micro, terms, term_us)


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


__all__: Sequence[str] = ("Asked", "foreseen", "hours_of", "risk_of")
