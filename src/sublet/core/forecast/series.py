"""One pool's demand as a forecast learns from it, and what is asked of it: values and peaks, at many instants at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sublet.core.errors import Invalid
from sublet.core.forecast.kernels import NO_DEMAND, peaks
from sublet.core.forecast.window import Bools, History, Ints
from sublet.core.ids import PoolId

Gap = tuple[int, int]
"""[from_us, to_us) in which the demand is not known."""


@dataclass(frozen=True, slots=True)
class Series:
    """One pool's demand with its capacity (GPUs). What lies in `gaps` is never learnt from and never scored."""

    pool: PoolId
    history: History
    capacity: int
    gaps: tuple[Gap, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no forecast can be made from."""
        at, gpus = self.history.at_us, self.history.gpus
        if len(at) != len(gpus):
            raise self._wrong("history", f"has {len(at)} instants and {len(gpus)} values", "give one value an instant")
        if self.capacity <= 0:
            raise self._wrong("capacity", f"is {self.capacity} GPUs", "give the number of GPUs of the pool, at least 1")
        if len(at) > 1 and not (at[1:] > at[:-1]).all():
            late = int(np.argmin(at[1:] > at[:-1])) + 1
            raise self._wrong("history", f"goes back in time at step {late}", "sort it by instant, one value each")
        if len(gpus) and int(gpus.min()) < 0:
            low = int(np.argmin(gpus))
            raise self._wrong("history", f"is {int(gpus[low])} GPUs at step {low}", "demand is 0 or more")
        if any(a >= b for a, b in pairwise(edge for gap in self.gaps for edge in gap)):
            raise self._wrong("gaps", "overlap, touch or are empty", "give them in order, and join those that meet")

    def _wrong(self, field: str, said: str, hint: str) -> Invalid:
        return Invalid(f"the {field} of pool {self.pool} {said}", field=field, hint=hint)


def demand_at(series: Series, instants: Ints) -> Ints:
    """The demand at each instant (µs, in any order), GPUs; NO_DEMAND before the record and in a gap."""
    at, gpus = series.history.at_us, series.history.gpus
    step = np.searchsorted(at, instants, side="right") - 1
    recorded = step >= 0
    found = np.full(len(instants), NO_DEMAND, np.int64)
    found[recorded] = gpus[step[recorded]]
    found[touched(series.gaps, instants, instants + 1)] = NO_DEMAND
    return found


def peaks_in(series: Series, from_us: Ints, to_us: Ints) -> Ints:
    """The largest demand in each [from_us, to_us), both never falling; NO_DEMAND where any of it is not known."""
    found: Ints = peaks(series.history.at_us, series.history.gpus, from_us, to_us)
    found[touched(series.gaps, from_us, to_us)] = NO_DEMAND
    return found


def window_peaks(series: Series, starts: Ints, horizon_us: int) -> Ints:
    """M(start, horizon) as it came: the largest demand after each rising start and before start + horizon."""
    return peaks_in(series, starts + 1, starts + max(horizon_us, 2))


def peak_between(series: Series, from_us: int, to_us: int) -> int | None:
    """The largest demand in one [from_us, to_us), without looking at the rest of the record; None where any is not known."""
    at, gpus = series.history.at_us, series.history.gpus
    first = int(np.searchsorted(at, from_us, side="right")) - 1
    if first < 0 or any(begin < to_us and end > from_us for begin, end in series.gaps):
        return None
    last = int(np.searchsorted(at, to_us, side="left"))
    return int(gpus[first : max(last, first + 1)].max())


def touched(gaps: Sequence[Gap], from_us: Ints, to_us: Ints) -> Bools:
    """Whether each [from_us, to_us) meets a gap."""
    if not gaps:
        return np.zeros(len(from_us), np.bool_)
    begins, ends = np.array(gaps, np.int64).T
    met: Bools = np.searchsorted(begins, to_us, side="left") > np.searchsorted(ends, from_us, side="right")
    return met
