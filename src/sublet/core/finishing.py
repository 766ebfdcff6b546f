"""When work is done that may be taken back on the way, and what is billed for it: drawn run by run, or expected at once.

Both the audit of a job history and the comparison of providers ask this; the replay in `sim/` answers the same question of
leases one by one. A run that is taken back goes on after a wait; what is lost of it depends on how the workload saves.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.kernels import finish as kernels
from sublet.core.terms import BACK_OFF_PER_LOSS
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_AGES = 64
ATTEMPTS_MAX = 2_000
"""Work that is not done after so many attempts never will be."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How a workload saves and what a reclaim takes. Durations in µs.

    `free_us` is not billed at a reclaim: the part of its notice that it ran. `turn_us` passes at least between two runs:
    hand-over and start. The back-off doubles with each reclaim up to the longest, is no more than a multiple of what the
    reclaim cost, and is the shortest after a run that saved as much work, as in `lifecycle.after_handover`.
    """

    heeds: bool = True  # a notice is answered with a checkpoint
    checkpoint_us: int | None = HOUR_US  # of running; None: it never saves by itself
    save_us: int = 30 * SECOND_US
    restart_us: int = MINUTE_US  # work that a new attempt repeats
    free_us: int = 30 * SECOND_US
    turn_us: int = 70 * SECOND_US
    backoff_us: int = MINUTE_US
    backoff_max_us: int = HOUR_US

    @property
    def row(self) -> tuple[int, ...]:
        """As the kernel takes it."""
        return (
            int(self.heeds), self.checkpoint_us or 0, self.save_us, self.restart_us, self.free_us, self.turn_us,
            self.backoff_us, self.backoff_max_us,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Risk:
    """How leases of a class are taken back, by their size. C sizes, K ages, Q quantiles.

    `sizes` [C]: the most GPUs of each size but the last, which has no bound. `hazards_h` [2, C, K]: reclaims an hour at an age,
    from each of `edges_us` [K] (the first is 0) to the next; the second of runs after a reclaim whose notice was heeded: who
    has shown that a reclaim costs it little is chosen again. `first_us`, `again_us` [C, Q]: evenly spaced quantiles of the
    wait for the first run, and for the next one after a reclaim beyond its back-off; Q is 2 or more.
    """

    sizes: tuple[int, ...]
    edges_us: Ints
    hazards_h: Floats
    first_us: Floats
    again_us: Floats

    def kinds(self, gpus: npt.NDArray[Any]) -> Ints:
        """The row of each number of GPUs: int64[n]."""
        return np.searchsorted(np.array(self.sizes[:-1], np.int64), gpus, side="left").astype(np.int64)


def steady(hazard_h: float, *, first_us: float = 0.0, again_us: float = 0.0) -> Risk:
    """The same hazard at every age and size, and waits that are always the same."""
    edges, hazards = np.zeros(1, np.int64), np.full((2, 1, 1), hazard_h)
    return Risk((1,), edges, hazards, np.array([[first_us, first_us]]), np.array([[again_us, again_us]]))


def of_term(chance: float, hours: float, *, waits: Risk) -> Risk:
    """Leases of which `chance` (below 1) would be taken back if they ran for all their `hours`, at any age alike.

    They wait as those of `waits` do, size by size.
    """
    hazards = np.full((2, len(waits.sizes), 1), -math.log1p(-chance) / hours)
    return Risk(waits.sizes, np.zeros(1, np.int64), hazards, waits.first_us, waits.again_us)


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """N jobs, each played R times: int64[N, R], µs. `end_us` counts from asking; -1: never done."""

    reclaims: Ints
    end_us: Ints
    billed_us: Ints

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Whether each was finished: bool[N, R]."""
        return self.end_us >= 0


def finish(work_us: Ints, gpus: npt.NDArray[Any], habits: Ints, risk: Risk, *, runs: int, seed: int) -> Finish:
    """Play N jobs R times each. `habits` [N, 8] holds `Habit.row` of each."""
    assert len(work_us) == len(gpus) == len(habits) and runs > 0
    work = np.array(work_us, np.int64)  # a copy, since one that may not be written to would be compiled for apart
    found = kernels.finish(
        work, risk.kinds(gpus), habits, risk.edges_us, risk.hazards_h, risk.first_us, risk.again_us, runs, seed, ATTEMPTS_MAX
    )
    return Finish(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """The means of many runs, float64 in hours; infinite where the work is as good as never done."""

    reclaims: Floats
    running_h: Floats
    billed_h: Floats
    end_h: Floats


def expected(
    work_h: Floats, hazard_h: Floats, habit: Habit, *, first_h: Floats | float = 0.0, again_h: Floats | float = 0.0
) -> Expected:
    """What `finish` comes to on average where the hazard is the same at every age (arrays of one shape).

    Failures come at the hazard's rate while it runs, so reclaims = hazard x running time. With a notice that is heeded only the
    repeated work is at risk: running = work x exp(hazard x repeated). Without, each stretch up to a checkpoint is run until
    it comes through (Daly 2006): running = exp(hazard x (repeated + save)) x (exp(hazard x stretch) - 1) / hazard for each
    stretch; work that never saves is one stretch, whose first run repeats nothing. The back-off is taken as its mean
    over that many reclaims.
    """
    hour = float(HOUR_US)
    repeats, save = habit.restart_us / hour, habit.save_us / hour
    rate = np.maximum(np.asarray(hazard_h, np.float64), 1e-12)
    work = np.asarray(work_h, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if habit.heeds:
            running = work * np.exp(rate * repeats)
        else:
            whole = np.expm1(rate * work) / rate
            again = np.expm1(rate * (work + repeats)) / rate
            running = -np.expm1(-rate * work) * (1 / rate + again)
            if habit.checkpoint_us is not None:
                every = habit.checkpoint_us / hour
                pieces = work / every
                split = np.exp(rate * (repeats + save)) * np.expm1(rate * every) / rate * pieces
                running = np.where(work > every, np.minimum(split, np.maximum(whole, again)), running)
        reclaims = rate * running
        billed = running - reclaims * np.minimum(habit.free_us / hour, 1 / rate)
        waits = reclaims * (habit.turn_us / hour + again_h) + backed_off_h(reclaims, rate, habit)
        end = first_h + running + waits
    return Expected(reclaims, running, billed, end)


def backed_off_h(reclaims: Floats, hazard_h: Floats, habit: Habit) -> Floats:
    """All back-offs of so many reclaims together, in hours; between two whole numbers of reclaims linear.

    Each is the mean over the ages at which a run is taken back at a steady hazard, at `_AGES` evenly spaced quantiles.
    """
    first_h, most_h = habit.backoff_us / HOUR_US, habit.backoff_max_us / HOUR_US
    total, number, longest_h = np.zeros_like(reclaims), 0, first_h
    if not first_h:
        return total
    age_h = -np.log1p(-(np.arange(_AGES) + 0.5) / _AGES) / np.asarray(hazard_h, np.float64)[..., None]
    kept_h = _kept_h(age_h, habit)
    worth_h = np.maximum(first_h, BACK_OFF_PER_LOSS * (age_h - kept_h + habit.restart_us / HOUR_US))
    while True:
        wait_h = np.minimum(longest_h, worth_h)
        each = np.where(kept_h >= wait_h, first_h, wait_h).mean(axis=-1)
        if longest_h >= most_h:
            return np.asarray(total + each * np.maximum(0.0, reclaims - number))
        total = total + each * np.clip(reclaims - number, 0.0, 1.0)
        number, longest_h = number + 1, min(2 * longest_h, most_h)


def _kept_h(age_h: Floats, habit: Habit) -> Floats:
    """What is safe of runs that were taken back at these ages, as `kernels.finish.safe_us` has it."""
    if habit.heeds:
        return age_h
    if habit.checkpoint_us is None:
        return np.zeros_like(age_h)
    every_h = habit.checkpoint_us / HOUR_US
    return np.floor(np.maximum(0.0, age_h - habit.save_us / HOUR_US) / every_h) * every_h
