"""What the next hours needed at most a week ago. Every newer method must beat it."""

from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import WEEK_US, Past
from sublet.core.forecast.series import Series, demand_at, peaks_in
from sublet.core.forecast.window import SAMPLES, Ahead, Ints


@dataclass(frozen=True, slots=True)
class LastWeekPeak:
    """M(now, horizon) is the larger of the demand now and the peak of the same window last week; unknown in the first week.

    A window longer than a week is compared with the last one of its length that is over.
    """

    def renew_us(self, span_us: int) -> None:
        """There is nothing to learn but the horizon."""

    def learn(self, past: Past, horizon_us: int, now_us: int) -> "SameWindow":  # noqa: ARG002
        """As good as at any other instant."""
        return SameWindow(horizon_us)


@dataclass(frozen=True, slots=True)
class SameWindow:
    """The peak of the same window, whole weeks ago."""

    horizon_us: int

    def at(self, series: Series, instants: Ints) -> Ahead:
        """One value: all samples are the same."""
        back = instants - whole_periods(WEEK_US, self.horizon_us)
        now = demand_at(series, instants)
        peak = peaks_in(series, back, back + self.horizon_us)
        known = (now != NO_DEMAND) & (peak != NO_DEMAND)
        samples = np.where(known, np.maximum(now, peak), 0)
        return Ahead(np.repeat(samples[:, np.newaxis], SAMPLES, axis=1), known)


def whole_periods(period_us: int, horizon_us: int) -> int:
    """The fewest whole periods (µs) that are not shorter than the horizon: so far back, its window is over."""
    return -(-horizon_us // period_us) * period_us
