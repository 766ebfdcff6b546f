"""The quantity that leasing needs: M(t, H), the largest owner demand within the next H.

A forecast gives it as equally likely samples. Forecasting each hour apart and taking the minimum of their quantiles is wrong:
it reclaims two to five times more often than it says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BINS_MAX = 4_096
"""A history is looked at in at most so many bins; each keeps its maximum, so no peak is lost."""


@dataclass(frozen=True, slots=True)
class History:
    """The owner's demand as a step function: `gpus[i]` (GPUs, int64[n]) from `at_us[i]` (µs, int64[n], rising) on."""

    at_us: Ints
    gpus: Ints

    def now(self) -> int:
        """The last known demand; 0 without any."""
        return int(self.gpus[-1]) if len(self.gpus) else 0


@dataclass(frozen=True, slots=True)
class WindowMax:
    """M(t, H) as sorted, equally likely samples (int64[m], GPUs). None means: unknown, promise nothing on it."""

    samples: Ints

    def exceeds(self, gpus: int) -> float:
        """P(M > gpus); 1 when unknown."""
        if not len(self.samples):
            return 1.0
        return float(len(self.samples) - np.searchsorted(self.samples, gpus, side="right")) / len(self.samples)

    def quantile(self, q: float) -> int | None:
        """The smallest sample m with P(M <= m) >= q; None when unknown."""
        if not len(self.samples):
            return None
        rank = int(np.ceil(q * len(self.samples))) - 1
        return int(self.samples[min(max(rank, 0), len(self.samples) - 1)])


Forecast = Callable[[History, int, int], WindowMax]
"""(history, now_us, horizon_us) -> M(now, horizon)."""

UNKNOWN = WindowMax(np.empty(0, np.int64))


def binned(history: History, *, from_us: int, to_us: int, bin_us: int) -> tuple[Ints, Ints]:
    """(first, peak) of the demand in each bin of [from_us, to_us): its value at the bin's start, and its maximum inside."""
    edges = np.arange(from_us, to_us, bin_us, dtype=np.int64)
    at = np.searchsorted(history.at_us, edges, side="right") - 1
    assert at[0] >= 0, "the history begins after the first bin"
    first = history.gpus[at]
    peak = first.copy()
    inside = (history.at_us > from_us) & (history.at_us < to_us)
    np.maximum.at(peak, (history.at_us[inside] - from_us) // bin_us, history.gpus[inside])
    return first, peak


def window_maxima(peak: Ints, width: int) -> Ints:
    """Maximum of each run of `width` bins: int64[n - width + 1]."""
    maxima: Ints = np.lib.stride_tricks.sliding_window_view(peak, width).max(axis=1)
    return maxima
