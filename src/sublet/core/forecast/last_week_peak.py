"""What the next hours needed at most a week ago. Every newer method must beat it."""

import numpy as np

from sublet.core.forecast.window import UNKNOWN, History, WindowMax
from sublet.core.units import HOUR_US

WEEK_US = 7 * 24 * HOUR_US


def last_week_peak(history: History, now_us: int, horizon_us: int) -> WindowMax:
    """M(now, horizon) is the larger of the demand now and the peak of the same window last week; unknown in the first week."""
    from_us = now_us - WEEK_US
    first = int(np.searchsorted(history.at_us, from_us, side="right")) - 1
    if first < 0:
        return UNKNOWN
    last = int(np.searchsorted(history.at_us, from_us + horizon_us, side="left"))
    peak = int(history.gpus[first : max(last, first + 1)].max())
    return WindowMax(np.array([max(peak, history.now())], np.int64))
