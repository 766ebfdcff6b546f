"""Seasons and a trend, fitted to the hourly peaks of each pool: MSTL with exponential smoothing, from statsforecast.

The path that a fit draws into the future is a point for each hour. The largest demand is then guessed as the demand now plus
how far the path rises within the horizon, and the samples are that guess plus the errors it had on weeks that the fit had not
seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sublet.core.errors import Unavailable
from sublet.core.forecast.hours import DAY, WEEK, hours_of
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import WEEK_US, Model, Past, as_it_grows
from sublet.core.forecast.series import Series, demand_at, window_peaks
from sublet.core.forecast.trailing import WINDOWS_MIN
from sublet.core.forecast.window import SAMPLES, Ahead, Floats, Ints, nothing_known
from sublet.core.forecast.window_max_quantile import Rises
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US

LOOKED_AT = 8 * WEEK
"""Hours that a fit is made from, at most."""
UNSEEN = 2 * WEEK
"""Hours that are kept from a first fit to see its errors, at most; a third of a short record."""

Fit = Callable[[Floats, int], Floats]
"""(hourly peaks, hours ahead) -> the path."""


@dataclass(frozen=True, slots=True)
class Statistical:
    """M(now, horizon) from each pool's path; horizons below an hour get the rises of the past."""

    def renew_us(self, span_us: int) -> int:
        """Daily at first, then weekly."""
        return as_it_grows(span_us)

    def learn(self, past: Past, horizon_us: int, now_us: int) -> Model:
        """A path and its errors for each pool with a few days on record."""
        if horizon_us < HOUR_US:
            return Rises(horizon_us)
        fit = _mstl()
        paths = {pool: _path(series, horizon_us, now_us, fit) for pool, series in past.items()}
        return Paths(horizon_us, now_us, {pool: path for pool, path in paths.items() if path is not None})


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """One pool's path, float64[hours] in GPUs from the instant of the fit on, and quantiles of its errors, int64[SAMPLES]."""

    demand: Floats
    errors: Ints

    def rise(self, hours: Ints, ahead: int) -> Floats:
        """How far the path rises within so many hours after each of these."""
        window = np.lib.stride_tricks.sliding_window_view(self.demand, ahead + 1)[hours]
        rise: Floats = window.max(axis=1) - window[:, 0]
        return rise


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of all pools, drawn at `from_us`; they end a week and a horizon later, and nothing is known beyond."""

    horizon_us: int
    from_us: int
    of: Mapping[PoolId, Path]

    def at(self, series: Series, instants: Ints) -> Ahead:
        """The demand now, the rise of the path, and the errors of both."""
        ahead = nothing_known(instants)
        path = self.of.get(series.pool)
        if path is None:
            return ahead
        hours, length = (instants - self.from_us) // HOUR_US, -(-self.horizon_us // HOUR_US)
        now = demand_at(series, instants)
        ahead.known[:] = (now != NO_DEMAND) & (hours >= 0) & (hours + length < len(path.demand))
        rows = ahead.known
        guess = now[rows] + path.rise(hours[rows], length).round().astype(np.int64)
        ahead.samples[rows] = np.maximum(guess[:, np.newaxis] + path.errors, now[rows, np.newaxis])
        return ahead


def _path(series: Series, horizon_us: int, now_us: int, fit: Fit) -> Path | None:
    """The pool's path from now on; None while its record is too short for a fit and its errors."""
    hours = hours_of(series, last_us=now_us, horizon_us=horizon_us)
    length = -(-horizon_us // HOUR_US)
    peak = _without_blanks(hours.peak)[-LOOKED_AT:] * series.capacity
    unseen = min(UNSEEN, len(peak) // 3)
    if unseen < length + WINDOWS_MIN or len(peak) - unseen < 2 * DAY:
        return None
    starts = hours.ends_us[-unseen - 1 : -length]
    first = Path(np.concatenate([peak[-unseen - 1 : -unseen], fit(peak[:-unseen], unseen)]), np.empty(0, np.int64))
    level, came = demand_at(series, starts), window_peaks(series, starts, horizon_us)
    known = (level != NO_DEMAND) & (came != NO_DEMAND)
    guess = level + first.rise(np.arange(len(starts)), length)
    errors = np.sort(np.ceil(came - guess).astype(np.int64)[known])
    if len(errors) < WINDOWS_MIN:
        return None
    drawn = np.concatenate([peak[-1:], fit(peak, WEEK_US // HOUR_US + length)])
    ranks = -(-np.arange(1, SAMPLES + 1) * len(errors) // SAMPLES) - 1
    return Path(drawn, errors[ranks])


def _without_blanks(peak: Floats) -> Floats:
    """The hours from the first known one on; an hour that is not known is as the one before it."""
    known = np.isfinite(peak)
    if not known.any():
        return np.empty(0)
    last = np.maximum.accumulate(np.where(known, np.arange(len(peak)), -1))
    return peak[last[np.argmax(known) :]]


def _mstl() -> Fit:
    """The fit; seasons of a day, and of a week once two weeks are there."""
    try:
        from statsforecast.models import MSTL, AutoETS  # noqa: PLC0415 - optional, and takes more than a second
    except ImportError as error:
        raise Unavailable(
            "the forecast `statistical` needs the library statsforecast, which is not installed",
            field="forecast",
            hint="pip install 'sublet[study]', or choose another forecast",
        ) from error

    def fit(peak: Floats, ahead: int) -> Floats:
        seasons = [DAY, WEEK] if len(peak) >= 2 * WEEK else [DAY]
        model = MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN"))
        path: Floats = np.asarray(model.forecast(y=peak, h=ahead)["mean"], np.float64)
        return path

    return fit
