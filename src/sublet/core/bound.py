"""How much could have been leased by somebody who knew the future: the clairvoyant bound.

A lease needs its GPUs for at least H in one piece. Of the idle GPUs h(t) = max(0, C - D(t)) only what lies in level sets as
long as H can be leased so: U_H is the integral of the opening of h by a window of H. It is attained by 1-GPU leases stacked on
the level sets, with no reclaim at all; nobody who keeps every promise leases more. Exact on the step function, in O(n).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.forecast import History
from sublet.core.kernels.opening import nests, opened

Ints = npt.NDArray[np.int64]
Gap = tuple[int, int]
"""[from_us, to_us): nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Idle:
    """Idle GPUs as steps: `gpus[i]` (int64[n]) from `at_us[i]` up to `at_us[i + 1]` (int64[n + 1], µs). 0 inside gaps."""

    at_us: Ints
    gpus: Ints

    @property
    def gpu_us(self) -> int:
        """All of it, in GPU-µs."""
        return _integral(self.gpus, self.at_us)


def idle_of(demand: History, capacity: int, *, from_us: int, until_us: int, gaps: Sequence[Gap] = ()) -> Idle:
    """What the demand leaves of `capacity` GPUs over [from_us, until_us); before the first step the demand is 0.

    What is not known counts as not idle: no lease may lie in or across a gap.
    """
    edges = [edge for gap in gaps for edge in gap]
    inside = demand.at_us[(demand.at_us > from_us) & (demand.at_us < until_us)]
    at = np.unique(np.concatenate([[from_us, until_us], inside, [e for e in edges if from_us < e < until_us]]).astype(np.int64))
    step = np.searchsorted(demand.at_us, at[:-1], side="right") - 1
    gpus = np.full(len(step), capacity, np.int64)
    known = step >= 0
    gpus[known] = np.maximum(0, capacity - demand.gpus[step[known]])
    for begin, end in gaps:
        gpus[(at[:-1] >= begin) & (at[:-1] < end)] = 0
    return Idle(at, gpus)


def leasable(idle: Idle, lengths_us: Iterable[int]) -> Mapping[int, int]:
    """U_H in GPU-µs for each length H (µs)."""
    nest = nests(idle.gpus, idle.at_us)
    return {length: _integral(opened(idle.gpus, nest, length), idle.at_us) for length in lengths_us}


def leasable_curve(idle: Idle, length_us: int) -> Ints:
    """The opening of the idle curve by windows of `length_us`: int64[n], GPUs by step."""
    curve: Ints = opened(idle.gpus, nests(idle.gpus, idle.at_us), length_us)
    return curve


def _integral(gpus: Ints, at_us: Ints) -> int:
    return int(np.dot(gpus, np.diff(at_us)))
