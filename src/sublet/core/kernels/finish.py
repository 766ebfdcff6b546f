"""How often work is taken back before it is done, and when it is done: attempt after attempt, until the work is finished.

Random numbers are counted, not drawn from a stream: the number of a (seed, job, run, draw) is a mix of these four, so the same
arguments give the same result in any order and on any number of threads. Twin in `tests/core/finish_twins.py`.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.terms import BACK_OFF_PER_LOSS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NEVER_US = np.int64(2**62)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / 9_007_199_254_740_992.0  # 2 ** -53


@njit(cache=True, nogil=True)
def _mixed(value: np.uint64) -> np.uint64:
    """64 bits well stirred: the finaliser of Steele, Lea and Flood's SplitMix (OOPSLA 2014)."""
    value = (value ^ (value >> _BY_30)) * _FIRST
    value = (value ^ (value >> _BY_27)) * _SECOND
    return value ^ (value >> _BY_31)


@njit(cache=True, nogil=True)
def uniform(seed: np.uint64, job: np.uint64, run: np.uint64, draw: np.uint64) -> float:
    """A number in (0, 1) that belongs to these four."""
    state = _mixed(seed + _GOLDEN)
    for part in (job, run, draw):
        state = _mixed((state ^ part) + _GOLDEN)
    return (float(state >> _BY_11) + 0.5) * _UNIT


@njit(cache=True, nogil=True)
def reclaim_age(chance: float, edges_us: Ints, hazards_h: Floats) -> np.int64:
    """The age (µs) at which a run is taken back whose survival is `chance`, in (0, 1).

    The hazard is `hazards_h[k]` an hour from age `edges_us[k]` to the next edge, and stays the last one after it: the age is
    where the hazard summed up so far reaches -log(chance).
    """
    left = -math.log(chance)
    last = edges_us.shape[0] - 1
    for k in range(last):
        wide_us = edges_us[k + 1] - edges_us[k]
        summed = hazards_h[k] * wide_us / 3.6e9
        if left < summed:
            reached: np.int64 = edges_us[k] + np.int64(left / hazards_h[k] * 3.6e9)
            return reached
        left -= summed
    if hazards_h[last] <= 0.0:
        return NEVER_US
    beyond = left / hazards_h[last] * 3.6e9
    return NEVER_US if beyond > 4e18 else edges_us[last] + np.int64(beyond)


@njit(cache=True, nogil=True)
def quantile(chance: float, values_us: Floats) -> np.int64:
    """The value at `chance` between the least and the largest of evenly spaced quantiles, linear between two of them."""
    at = chance * (values_us.shape[0] - 1)
    low = min(int(at), values_us.shape[0] - 2)
    return np.int64(values_us[low] + (at - low) * (values_us[low + 1] - values_us[low]))


@njit(cache=True, nogil=True)
def safe_us(ran_us: np.int64, heeds: bool, every_us: np.int64, save_us: np.int64) -> np.int64:
    """What is safe of a run that was taken back after `ran_us`: all of it where a notice is heeded, else the last checkpoint.

    Checkpoints are begun each `every_us` of running (0: never) and are written `save_us` later.
    """
    if heeds:
        return ran_us
    if every_us <= 0:
        return np.int64(0)
    return max(np.int64(0), ran_us - save_us) // every_us * every_us


@njit(cache=True, nogil=True)
def finish(
    work_us: Ints, kind: Ints, habits: Ints, edges_us: Ints, hazards_h: Floats, first_us: Floats, again_us: Floats,
    runs: int, seed: int, attempts_max: int,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """Reclaims [N, R], time from asking to the end [N, R] and time billed [N, R] of N jobs, each played R times; µs.

    `work_us` [N] is what each has to do, `kind` [N] its row in `hazards_h` [2, C, K] (a reclaim's hazard an hour by age, whose
    edges are `edges_us` [K]; the second of runs after a reclaim whose notice was heeded), and in `first_us` and `again_us`
    [C, Q], evenly spaced quantiles of the wait from asking to the first run, and from having left after a reclaim to the next
    one beyond its back-off.
    `habits` [N, 8]: whether a notice is heeded, checkpoint period (0: none), time to save, work that a new attempt repeats,
    time that is free at a reclaim, shortest turn-round, back-off, longest back-off: it doubles, is no more than
    `BACK_OFF_PER_LOSS` times what was lost and is to be repeated, and the shortest one follows an attempt that saved as much.
    An end of -1: not done after `attempts_max` attempts.
    """
    jobs = work_us.shape[0]
    reclaims, ends, billed = (
        np.zeros((jobs, runs), np.int64), np.zeros((jobs, runs), np.int64), np.zeros((jobs, runs), np.int64)
    )  # fmt: skip
    key = np.uint64(seed)
    for n in range(jobs):
        heeds, every, save, repeats = habits[n, 0] != 0, habits[n, 1], habits[n, 2], habits[n, 3]
        free, turn, back_off, back_off_max = habits[n, 4], habits[n, 5], habits[n, 6], habits[n, 7]
        job = np.uint64(n)
        for r in range(runs):
            run, draw = np.uint64(r), 1
            left, longest = work_us[n], back_off
            at = quantile(uniform(key, job, run, np.uint64(0)), first_us[kind[n]])
            done = False
            for attempt in range(attempts_max):
                repeat = repeats if attempt > 0 else np.int64(0)
                proven = 1 if heeds and attempt > 0 else 0
                age = reclaim_age(uniform(key, job, run, np.uint64(draw)), edges_us, hazards_h[proven, kind[n]])
                if age >= left + repeat:
                    at += left + repeat
                    billed[n, r] += left + repeat
                    done = True
                    break
                kept = safe_us(age, heeds, every, save)
                left -= min(left, max(np.int64(0), kept - repeat))
                wait = min(longest, max(back_off, BACK_OFF_PER_LOSS * (age - kept + repeats)))
                wait = back_off if kept >= wait else wait
                longest = min(2 * longest, back_off_max)
                at += age + turn + wait + quantile(uniform(key, job, run, np.uint64(draw + 1)), again_us[kind[n]])
                billed[n, r] += max(np.int64(0), age - free)
                reclaims[n, r] += 1
                draw += 2
            ends[n, r] = at if done else np.int64(-1)
    return reclaims, ends, billed
