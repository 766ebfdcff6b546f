"""A plain twin of `core.kernels.finish`: Python's own whole numbers, one thing at a time."""

import math
from collections.abc import Sequence

from sublet.core.finishing import Habit
from sublet.core.units import HOUR_US

_64 = 2**64


def mixed(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % _64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % _64
    return value ^ (value >> 31)


def uniform(*parts: int) -> float:
    state = 0
    for part in parts:
        state = mixed((state ^ part) + 0x9E3779B97F4A7C15 & (_64 - 1))
    return ((state >> 11) + 0.5) / 2**53


def reclaim_age(chance: float, edges: Sequence[int], hazards: Sequence[float]) -> float:
    """µs; infinite: never."""
    left = -math.log(chance)
    for age, following, hazard in zip(edges, [*edges[1:], math.inf], hazards, strict=True):
        if hazard and left < hazard * (following - age) / HOUR_US:
            after = left / hazard * HOUR_US
            return math.inf if after > 4e18 else age + int(after)
        if hazard:
            left -= hazard * (following - age) / HOUR_US
    return math.inf


def quantile(chance: float, values: Sequence[float]) -> int:
    at = chance * (len(values) - 1)
    low = min(int(at), len(values) - 2)
    return int(values[low] + (at - low) * (values[low + 1] - values[low]))


def finished(  # noqa: PLR0917 (as the kernel)
    work: int, habit: Habit, hazards: tuple[Sequence[float], Sequence[float]], edges: Sequence[int], first: Sequence[float],
    again: Sequence[float],
    key: tuple[int, int, int], attempts: int,
) -> tuple[int, int, int]:  # fmt: skip
    """(reclaims, end or -1, billed) of one job, played once; `key`: seed, job, run; `hazards`: first run's, later ones'."""
    at, billed, reclaims, left, longest = quantile(uniform(*key, 0), first), 0, 0, work, habit.backoff_us
    while reclaims < attempts:
        repeats = habit.restart_us if reclaims else 0
        age = reclaim_age(uniform(*key, 2 * reclaims + 1), edges, hazards[1 if habit.heeds and reclaims else 0])
        if age >= left + repeats:
            return reclaims, at + left + repeats, billed + left + repeats
        ran = int(age)
        if habit.heeds:
            safe = ran
        elif habit.checkpoint_us is None:
            safe = 0
        else:
            safe = max(0, ran - habit.save_us) // habit.checkpoint_us * habit.checkpoint_us
        left -= min(left, max(0, safe - repeats))
        billed += max(0, ran - habit.free_us)
        wait = min(longest, max(habit.backoff_us, 12 * (ran - safe + habit.restart_us)))  # twelve times what it cost, at most
        at += ran + habit.turn_us + (habit.backoff_us if safe >= wait else wait)
        at += quantile(uniform(*key, 2 * reclaims + 2), again)
        longest = min(2 * longest, habit.backoff_max_us)
        reclaims += 1
    return reclaims, -1, billed
