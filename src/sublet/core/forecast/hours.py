"""A pool's demand hour by hour, and what an hour shows of the hours to come: the rows that models learn from.

Hours end at the instant that is looked ahead from, so a row never holds anything that came later. Everything is a share of the
pool's capacity: pools of any size teach one model.
"""

from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.series import Series, demand_at, peaks_in, window_peaks
from sublet.core.forecast.window import Floats, Ints
from sublet.core.units import HOUR_US

DAY = 24
WEEK = 7 * DAY
LOOKBACK = 15 * DAY
"""So many hours before an instant are looked at: the longest lag is two weeks."""
_LAGS = (1, 2, 3, 4, 6, 8, 12, 24, 168)
_SPANS = (3, 6, 12, 24, 72, 168)
_DAYS_AGO = (1, 2, 3, 7, 14)
_DAYS = 14
HORIZON_MAX_US = _DAYS * DAY * HOUR_US
"""Of a longer horizon no window was over within the time that is looked at."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours that end at `ends_us` (int64[n], µs): float64[n] each, shares of the capacity; NaN where it is not known."""

    ends_us: Ints
    level: Floats  # the demand at the end
    peak: Floats  # the largest demand within the hour
    ahead: Floats  # the largest demand within the horizon after the end, also where that is not over yet


def hours_of(series: Series, *, last_us: int, horizon_us: int, from_us: int | None = None) -> Hours:
    """The hours that end at `last_us` and whole hours earlier, after `from_us`; none before the record begins."""
    begin = int(series.history.at_us[0]) if len(series.history.at_us) else last_us
    begin = begin if from_us is None else max(begin, from_us)
    count = max(0, (last_us - begin) // HOUR_US)
    ends = last_us - HOUR_US * np.arange(count - 1, -1, -1, dtype=np.int64)
    return Hours(
        ends,
        _share(demand_at(series, ends), series.capacity),
        _share(peaks_in(series, ends - HOUR_US + 1, ends + 1), series.capacity),
        _share(window_peaks(series, ends, horizon_us), series.capacity),
    )


def rises(hours: Hours) -> Floats:
    """What is to be learnt: how far the demand came to rise within the horizon after each hour."""
    return hours.ahead - hours.level


def rows(hours: Hours, horizon_us: int) -> Floats:
    """float64[n, features]: what each hour shows; NaN where nobody knows.

    Level, headroom, recent changes, highest and lowest of the last hours to weeks, hour of day and weekday, and what the same
    window came to on earlier days.
    """
    level = hours.level
    columns = [level, hours.peak - level]
    columns += [level - _ago(level, lag) for lag in _LAGS]
    for span in _SPANS:
        columns += [_rolling(hours.peak, span, np.fmax) - level, _rolling(level, span, np.fmin) - level]
    for span in (DAY, WEEK):
        mean, spread = _moments(level, span)
        columns += [mean - level, spread]
    hour = (hours.ends_us // HOUR_US).astype(np.float64)
    columns += [hour % DAY, hour // DAY % 7]
    columns += _same_window(hours, -(-horizon_us // HOUR_US))
    return np.stack(columns, axis=1)


def _same_window(hours: Hours, horizon: int) -> list[Floats]:
    """What the window at this time of day came to on earlier days: only of days so long ago that it was over by now."""
    rise = rises(hours)
    columns: list[Floats] = []
    for days in _DAYS_AGO:
        over = days * DAY >= horizon
        ago = _ago(hours.ahead, days * DAY) if over else np.full_like(rise, np.nan)
        columns += [ago - hours.level, _ago(rise, days * DAY) if over else ago]
    first = -(-horizon // DAY)
    past = np.stack([_ago(rise, days * DAY) for days in range(first, _DAYS + 1)], axis=1)
    past = np.sort(past, axis=1)  # NaN last
    count = np.isfinite(past).sum(axis=1)
    high = np.maximum(-(-4 * count // 5) - 1, 0)
    columns.append(np.divide(np.nansum(past, axis=1), count, out=np.full(len(count), np.nan), where=count > 0))
    columns += [np.take_along_axis(past, np.maximum(rank, 0)[:, np.newaxis], axis=1)[:, 0] for rank in (count - 1, high)]
    return columns


def _share(gpus: Ints, capacity: int) -> Floats:
    return np.where(gpus == NO_DEMAND, np.nan, gpus / capacity)


def _ago(values: Floats, hours: int) -> Floats:
    """The values so many hours earlier."""
    return np.concatenate([np.full(min(hours, len(values)), np.nan), values[: max(0, len(values) - hours)]])


def _windows(values: Floats, span: int) -> Floats:
    """float64[n, span]: the values of the last `span` hours at each hour."""
    padded = np.concatenate([np.full(span - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, span)


def _rolling(values: Floats, span: int, of: np.ufunc) -> Floats:
    found: Floats = of.reduce(_windows(values, span), axis=1)
    return found


def _moments(values: Floats, span: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the last `span` hours, of those that are known."""
    windows = _windows(values, span)
    known = np.isfinite(windows)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, windows, 0.0).sum(axis=1) / count
    off = np.where(known, windows - mean[:, np.newaxis], 0.0)
    return mean, np.sqrt((off**2).sum(axis=1) / count)
