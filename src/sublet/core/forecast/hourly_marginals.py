"""The largest of per-hour quantiles: the form that GFS's quota rule has, kept as the yardstick that it is.

Each hour ahead is forecast on its own and the most demanding of their quantiles is taken. That is not a quantile of the
largest hour: whichever hour comes out high is reclaimed for, so at a nominal 10 % it reclaims 21 % of offered four-hour windows
of a public trace, and 56 % of its days. It is here to be compared with, not to lend by.
"""

from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import Past
from sublet.core.forecast.series import Series, demand_at, peaks_in
from sublet.core.forecast.trailing import WINDOWS_MIN, grids, quantiles
from sublet.core.forecast.window import Ahead, Ints, nothing_known
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class HourlyMarginals:
    """M(now, horizon) as the largest of the quantiles of each hour ahead; unknown while there are too few windows."""

    def renew_us(self, span_us: int) -> None:
        """There is nothing to learn but the horizon."""

    def learn(self, past: Past, horizon_us: int, now_us: int) -> "HoursApart":  # noqa: ARG002
        """As good as at any other instant."""
        return HoursApart(horizon_us)


@dataclass(frozen=True, slots=True)
class HoursApart:
    """The demand now plus, at each level, the largest of the rises that the hours ahead had on their own."""

    horizon_us: int

    def at(self, series: Series, instants: Ints) -> Ahead:
        """The rises are those of the windows that are over by each instant; the last part may be less than an hour."""
        ahead = nothing_known(instants)
        if not len(series.history.at_us):
            return ahead
        now = demand_at(series, instants)
        for grid in grids(instants, int(series.history.at_us[0]), self.horizon_us):
            start = demand_at(series, grid.starts)
            ahead.known[grid.rows] = now[grid.rows] != NO_DEMAND
            for part in range(0, self.horizon_us, HOUR_US):
                begins = grid.starts + part
                peak = peaks_in(series, begins, grid.starts + min(part + HOUR_US, self.horizon_us))
                whole = (start != NO_DEMAND) & (peak != NO_DEMAND)
                rises, windows = quantiles(grid, peak - start, whole, self.horizon_us)
                apart = now[grid.rows, np.newaxis] + rises
                ahead.samples[grid.rows] = np.maximum(ahead.samples[grid.rows], apart)
                ahead.known[grid.rows] &= windows >= WINDOWS_MIN
        ahead.samples[~ahead.known] = 0
        return ahead
