"""The quantity that leasing needs: M(t, H), the largest owner demand within the next H.

A forecast gives it as equally likely samples. Forecasting each hour apart and taking the minimum of their quantiles is wrong:
it reclaims two to five times more often than it says.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SAMPLES = 200
"""So many samples stand for a forecast: number i is its quantile (i + 1) / SAMPLES, so a level is never rounded down."""


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
        return int(self.samples[rank_of(q, len(self.samples))])


UNKNOWN = WindowMax(np.empty(0, np.int64))


def rank_of(q: float, size: int) -> int:
    """Which of `size` sorted samples is the smallest m with P(M <= m) >= q."""
    rank = int(np.ceil(q * size)) - 1
    return min(max(rank, 0), size - 1)


@dataclass(frozen=True, slots=True)
class Ahead:
    """M(t, H) of one pool at n instants: `samples` int64[n, SAMPLES] in GPUs, rows sorted; one that is not `known` is all 0."""

    samples: Ints
    known: Bools

    def row(self, number: int) -> WindowMax:
        """The forecast at one of the instants."""
        return WindowMax(self.samples[number]) if self.known[number] else UNKNOWN


def nothing_known(instants: Ints) -> Ahead:
    """Unknown at every one of these instants."""
    return Ahead(np.zeros((len(instants), SAMPLES), np.int64), np.zeros(len(instants), np.bool_))
