"""The same window a day or a week ago, and how far such a guess was off in the past.

Samples are F(now) + (M(s, H) - F(s)) over the windows s of the trailing weeks, F(s) being the peak of the window that began
whole periods before s: a calendar repeats, and what it misses is as large as it has been.
"""

from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.last_week_peak import whole_periods
from sublet.core.forecast.method import Past
from sublet.core.forecast.series import Series, demand_at, peaks_in
from sublet.core.forecast.trailing import WINDOWS_MIN, grids, quantiles
from sublet.core.forecast.window import Ahead, Ints, nothing_known


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """M(now, horizon) from the window of one period (µs) ago; unknown until enough windows could be compared so."""

    period_us: int

    def renew_us(self, span_us: int) -> None:
        """There is nothing to learn but the horizon."""

    def learn(self, past: Past, horizon_us: int, now_us: int) -> "Repeats":  # noqa: ARG002
        """As good as at any other instant."""
        return Repeats(horizon_us, whole_periods(self.period_us, horizon_us))


@dataclass(frozen=True, slots=True)
class Repeats:
    """The peak of the window `lag_us` earlier, plus past errors of that guess."""

    horizon_us: int
    lag_us: int

    def at(self, series: Series, instants: Ints) -> Ahead:
        """The errors are those of windows that are over by each instant; no sample is below the demand now."""
        ahead = nothing_known(instants)
        if not len(series.history.at_us):
            return ahead
        now, guess = demand_at(series, instants), self._guess(series, instants)
        for grid in grids(instants, int(series.history.at_us[0]), self.horizon_us):
            came = peaks_in(series, grid.starts, grid.starts + self.horizon_us)
            guessed = self._guess(series, grid.starts)
            whole = (came != NO_DEMAND) & (guessed != NO_DEMAND)
            errors, windows = quantiles(grid, came - guessed, whole, self.horizon_us)
            ahead.samples[grid.rows] = np.maximum(guess[grid.rows, np.newaxis] + errors, now[grid.rows, np.newaxis])
            ahead.known[grid.rows] = windows >= WINDOWS_MIN
        ahead.known[(now == NO_DEMAND) | (guess == NO_DEMAND)] = False
        ahead.samples[~ahead.known] = 0
        return ahead

    def _guess(self, series: Series, starts: Ints) -> Ints:
        back = starts - self.lag_us
        return peaks_in(series, back, back + self.horizon_us)
