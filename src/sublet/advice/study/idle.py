"""Idle is not leasable: what a pool's demand leaves over, and how much of it lasts long enough to be leased."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.bound import Idle, idle_of, leasable, leasable_curve
from sublet.core.forecast import History
from sublet.core.units import HOUR_US
from sublet.traces import Gap

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LENGTHS_US = tuple(hours * HOUR_US for hours in (1, 4, 8, 24, 72, 168))
"""Lease lengths for which the bound is reported (µs)."""

SHOWN_US = (4 * HOUR_US, 24 * HOUR_US)
"""Lease lengths whose leasable GPUs are drawn over time (µs)."""


@dataclass(frozen=True, slots=True, eq=False)
class PoolIdle:
    """One pool over the studied period. GPU time in GPU-µs; curves are means of each hour, float64[hours]."""

    pool: str
    capacity: int
    from_us: int
    until_us: int
    unknown_us: int  # inside gaps of the log: neither idle nor busy, and not part of the period below
    idle_us: int
    leasable_us: Mapping[int, int]  # by lease length
    hours_us: Ints  # int64[hours], when each hour begins
    demand: Floats
    idle: Floats
    leasable: Mapping[int, Floats]  # of SHOWN_US
    peak: int  # the largest demand

    @property
    def known_us(self) -> int:
        """Capacity x known time, in GPU-µs."""
        return self.capacity * (self.until_us - self.from_us - self.unknown_us)


def pool_idle(pool: str, demand: History, capacity: int, *, from_us: int, until_us: int, gaps: Sequence[Gap] = ()) -> PoolIdle:
    """The idle and the leasable GPUs of a pool."""
    inside = [(max(gap.from_us, from_us), min(gap.to_us, until_us)) for gap in gaps]
    inside = [(begin, end) for begin, end in inside if end > begin]
    idle = idle_of(demand, capacity, from_us=from_us, until_us=until_us, gaps=inside)
    edges = np.append(np.arange(from_us, until_us, HOUR_US, dtype=np.int64), until_us)
    asked = _levels(demand, idle)
    return PoolIdle(
        pool=pool,
        capacity=capacity,
        from_us=from_us,
        until_us=until_us,
        unknown_us=sum(end - begin for begin, end in inside),
        idle_us=idle.gpu_us,
        leasable_us=leasable(idle, LENGTHS_US),
        hours_us=edges[:-1],
        demand=hourly(idle.at_us, asked, edges),
        idle=hourly(idle.at_us, idle.gpus, edges),
        leasable={length: hourly(idle.at_us, leasable_curve(idle, length), edges) for length in SHOWN_US},
        peak=int(asked.max(initial=0)),
    )


def _levels(demand: History, idle: Idle) -> Ints:
    """The demand on the steps of the idle curve."""
    step = np.searchsorted(demand.at_us, idle.at_us[:-1], side="right") - 1
    known = step >= 0
    levels = np.zeros(len(step), np.int64)
    levels[known] = demand.gpus[step[known]]
    return levels


def hourly(at_us: Ints, gpus: Ints, edges_us: Ints) -> Floats:
    """The mean of a step function between the edges: float64[len(edges) - 1]. It has one value for each [at[i], at[i + 1])."""
    total = np.concatenate([[0], np.cumsum(gpus * np.diff(at_us))]).astype(np.float64)
    at_edges = np.interp(edges_us, at_us, total)
    means: Floats = np.diff(at_edges) / np.maximum(1, np.diff(edges_us))
    return means
